"""Unified scores: aggregations by hand and by scipy's graphs, and agreement with the single
metrics.
"""

from functools import partial

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.svm import LinearSVC

from dlib_tf2.configuration import gin_utils, metric_config
from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics._relation import aggregate, merge_ranks, precision
from dlib_tf2.metrics.unified_scores import (
    accuracy_svm_matrix,
    importance_gbt_matrix,
    mutual_information_matrix,
    unified_scores,
)

GRID = np.stack(np.unravel_index(np.arange(4 * 3 * 5), (4, 3, 5)), axis=1)
IDENTITY = np.random.default_rng(0).integers(10, size=(3000, 10))


def run(codes, factors, seed=0, **parameters):
    return unified_scores(codes, factors, np.random.default_rng(seed), **parameters)


def test_precision_and_merges_by_hand():
    matrix = np.array([[0.9, 0.1], [0.2, 0.6]])
    # From 0.9 one component, from 0.6 two, at 0.2 the edge (1, 0) joins them. Area: 0.3 at (1 + 2)
    # / 2, 0.4 at (2 + 1) / 2, 0.1 at 1.
    assert precision(matrix) == pytest.approx(
        {"max_precision": 2, "area_precision": 0.45 + 0.6 + 0.1}
    )
    assert merge_ranks(matrix)[0, 1] == 2
    assert merge_ranks(np.eye(3)).max() == 3  # never joined: the number of edges
    assert precision(np.eye(3)) == pytest.approx({"max_precision": 3, "area_precision": 3})
    assert precision(np.zeros((2, 3))) == {"max_precision": 0, "area_precision": 0}


def test_precision_and_merges_equal_scipys_components():
    rng = np.random.default_rng(0)
    matrix = np.round(rng.random((6, 4)), 1) * (rng.random((6, 4)) > 0.3)  # ties and zeros
    thresholds = np.sort(matrix.ravel())[::-1]
    counts = []
    for threshold in thresholds:
        edges = (matrix >= threshold) & (matrix > 0)
        graph = np.block([[np.zeros((6, 6)), edges], [np.zeros((4, 10))]])
        component = connected_components(graph, directed=False)[1]
        counts.append(
            len(np.unique(component[np.concatenate([edges.any(axis=1), edges.any(axis=0)])]))
        )
    assert precision(matrix)["max_precision"] == max(counts)
    assert precision(matrix)["area_precision"] == pytest.approx(-np.trapezoid(counts, thresholds))

    matrix = rng.random((5, 4))
    ordered, ranks = np.argsort(-matrix, axis=None), merge_ranks(matrix)
    for a in range(4):
        for b in range(a):
            for rank in (ranks[a, b], ranks[a, b] + 1):  # before and after that edge
                edges = np.zeros(20)
                edges[ordered[:rank]] = 1
                graph = np.block([[np.zeros((5, 5)), edges.reshape(5, 4)], [np.zeros((4, 9))]])
                component = connected_components(graph, directed=False)[1]
                assert (component[5 + a] == component[5 + b]) == (rank > ranks[a, b])


def test_aggregation_by_hand():
    result = aggregate(np.array([[0.8, 0.0], [0.2, 0.5]]), np.array([2.0, 0.5]), [0, 3])
    assert result["sap"] == pytest.approx((0.6 + 0.5) / 2)
    assert (
        result["sap.factor_0"],
        result["mig.factor_0"],
        result["mig.factor_3"],
    ) == pytest.approx((0.6, 0.3, 1.0))
    assert result["mig"] == pytest.approx(0.65)
    assert (result["modularity.code_0"], result["modularity.code_1"]) == pytest.approx(
        (1, 1 - 0.04 / 0.25)
    )
    assert result["dci_disentanglement.code_0"] == pytest.approx(1, abs=1e-8)
    assert result["dci_completeness.factor_3"] == pytest.approx(1, abs=1e-8)
    assert result["merge_0_3"] == 2
    zero = aggregate(np.zeros((2, 2)), np.array([2.0, 0.5]), [0, 3])
    assert all(value == 0 for value in zero.values())


def test_measured_values_of_the_identity():
    result = run(
        IDENTITY.astype(float),
        IDENTITY,
        num_train=2000,
        num_test=1000,
        matrices=[mutual_information_matrix],
    )
    assert result["mutual_information_matrix.max_precision"] == 10
    assert result["mutual_information_matrix.area_precision"] == pytest.approx(21.7, abs=0.5)
    assert result["mutual_information_matrix.mig"] > 0.9
    assert result["mutual_information_matrix.modularity"] > 0.9
    matrix = mutual_information_matrix(
        IDENTITY.astype(np.float32), IDENTITY, 3000, np.random.default_rng(0)
    )
    assert aggregate(matrix, np.full(10, np.log(10)), list(range(10)))[
        "dci_disentanglement"
    ] == pytest.approx(0.858, abs=0.01)
    doubled = run(
        np.tile(IDENTITY, 2),
        IDENTITY,
        num_train=2000,
        num_test=1000,
        matrices=[mutual_information_matrix],
    )
    assert doubled["mutual_information_matrix.mig"] == 0
    assert doubled["mutual_information_matrix.modularity"] > 0.9


def test_matrices_equal_models_fitted_by_hand():
    rng = np.random.default_rng(0)
    labels = np.tile(GRID, (8, 1))[:, :2]
    codes = (labels @ rng.normal(size=(2, 3)) + rng.normal(0, 0.2, (480, 3))).astype(np.float32)
    order = rng.permutation(480)
    codes, labels = codes[order], labels[order]
    ours = importance_gbt_matrix(codes, labels, 300, np.random.default_rng(0))
    theirs = [
        GradientBoostingClassifier(random_state=1)
        .fit(codes[:300], factor[:300])
        .feature_importances_
        for factor in labels.T
    ]
    np.testing.assert_allclose(ours, np.stack(theirs, axis=1), atol=0.02)
    ours = accuracy_svm_matrix(codes, labels, 300, np.random.default_rng(0))
    for i in range(3):
        for j in range(2):
            model = LinearSVC(C=0.01, class_weight="balanced", dual="auto").fit(
                codes[:300, [i]], labels[:300, j]
            )
            assert ours[i, j] == pytest.approx(
                model.score(codes[300:, [i]], labels[300:, j]), abs=1e-9
            )


def test_keys_keep_the_numbers_of_the_columns():
    factors = np.insert(GRID, 1, 7, axis=1)
    result = run(
        GRID.astype(float), factors, num_train=40, num_test=20, matrices=[mutual_information_matrix]
    )
    assert {key.rsplit("_", 1)[1] for key in result if ".mig.factor_" in key} == {"0", "2", "3"}
    assert {key for key in result if "merge" in key} == {
        f"mutual_information_matrix.merge_{pair}" for pair in ("0_2", "0_3", "2_3")
    }
    with pytest.raises(UserError, match=r"matrices = .*, expected functions"):
        run(GRID, factors, matrices=[])


def test_the_record_names_the_matrices_and_their_classifiers():
    gin_utils.parse(
        metric_config.files(["unified_scores"]), ["mutual_information_matrix.num_bins = 10"]
    )
    call = metric_config.resolve("unified_scores")
    bound = gin_utils.typed_bindings(call.config_text)
    assert bound["mutual_information_matrix.num_bins"] == 10
    assert bound["importance_gbt_matrix.classifier"] == "@lightgbm_exact_gradient_boosting"
    assert bound["unified_scores.matrices"] == [
        "@mutual_information_matrix",
        "@importance_gbt_matrix",
        "@accuracy_svm_matrix",
    ]
    gin_utils.parse([], [call.config_text])
    gin_utils.parse(
        metric_config.files(["unified_scores"]),
        ["unified_scores.matrices = [@mutual_information_matrix]"],
    )
    with pytest.warns(ScoreWarning, match="the table has 60 rows: 40 train and 20 test"):
        result = metric_config.resolve("unified_scores")(GRID * 1.0, GRID, np.random.default_rng(0))
    assert {key.split(".")[0] for key in result} == {
        "mutual_information_matrix",
        "test_overlap",
        "num_factors_scored",
    }


def test_settings_of_another_kind_are_refused():
    few = {"num_train": 40, "num_test": 20}
    with pytest.raises(
        UserError, match="classifier LinearSVC has no feature_importances_; DCI needs boosted trees"
    ):
        run(GRID, GRID, matrices=[partial(importance_gbt_matrix, classifier=LinearSVC)], **few)
    with pytest.raises(UserError, match="matrices = 3, expected functions"):
        run(GRID, GRID, matrices=3, **few)
    with pytest.raises(UserError, match="num_train = 40 and num_test = None"):
        run(GRID, GRID, num_train=40, num_test=None)
