"""Modularity and explicitness: matrices worked by hand, scikit-learn's areas, and the measured
values of the study's codes.
"""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.multiclass import OneVsRestClassifier

from dlib_tf2.metrics import _rows, common
from dlib_tf2.metrics._linear import sklearn_multinomial_logistic_regression
from dlib_tf2.metrics.modularity_explicitness import (
    areas_under_curves,
    modularity,
    modularity_explicitness,
)

GRID = np.stack(np.unravel_index(np.arange(10**4), (10,) * 4), axis=1)


def run(codes, factors, seed=0, **parameters):
    return modularity_explicitness(codes, factors, np.random.default_rng(seed), **parameters)


@pytest.mark.parametrize(
    "information, expected",
    [
        (np.eye(10), 1),
        (np.concatenate([np.eye(5), np.eye(5)]), 1),  # every code twice
        (np.eye(5)[:3], 1),  # missing factors
        (np.array([[1, 0], [0, 1], [0, 0]]), 2 / 3),  # a code that knows nothing counts as 0
        (np.zeros((10, 5)), 0),
        (np.repeat(np.eye(5), 2, axis=1), 1 - 1 / 9),  # two factors on each code
        (np.array([[2.0, 1.0, 1.0]]), 1 - 2 / (4 * 2)),
        (np.array([[0.3], [0.0]]), 0.5),  # one factor
    ],
)
def test_modularity_of_a_matrix(information, expected):
    assert modularity(np.asarray(information, np.float64)) == pytest.approx(expected, abs=1e-12)


def test_areas_equal_sklearn_with_ties():
    rng = np.random.default_rng(0)
    scores, positive = (
        rng.integers(8, size=(300, 4)).astype(float),
        rng.random((300, 4)) < [0.5, 0.1, 0.9, 0.3],
    )
    scores += positive
    expected = [roc_auc_score(positive[:, k], scores[:, k]) for k in range(4)]
    np.testing.assert_allclose(areas_under_curves(scores, positive), expected, rtol=1e-12)
    assert np.isnan(areas_under_curves(scores, np.ones_like(positive))).all()


def test_explicitness_equals_sklearn_in_the_definition():
    rng = np.random.default_rng(1)
    factors = np.stack([rng.integers(2, size=900), rng.integers(5, size=900)], axis=1)
    codes = (factors @ rng.normal(size=(2, 4)) + rng.normal(size=(900, 4))).astype(np.float32)
    train, test, _ = _rows.split_rows(
        np.random.default_rng(0), common.check_table(codes, factors)[1], 500, 300
    )
    scaled = (codes - codes[train].mean(axis=0, dtype=np.float64)) / codes[train].std(
        axis=0, dtype=np.float64
    )
    areas = []
    for factor in factors.T:
        model = OneVsRestClassifier(LogisticRegression(solver="liblinear")).fit(
            scaled[train], factor[train]
        )
        score, indicator = model.predict_proba(scaled[test]), factor[test, None] == model.classes_
        areas.append(roc_auc_score(indicator, score, average="macro"))
    result = run(codes, factors, num_train=500, num_test=300)
    # liblinear's random order moves the fourth digit
    assert result["explicitness_test"] == pytest.approx(np.mean(areas), abs=1e-4)


@pytest.mark.slow
def test_measured_values_of_the_study(dsprites_grid, reference_codes):
    # Modularity of nearly dead codes is the bias of their information: a standard deviation of 0.01
    # over seeds and draws of the noise.
    ideal, noise, const = (
        run(reference_codes[name], dsprites_grid) for name in ("ideal", "noise", "const")
    )
    assert ideal["modularity"] == pytest.approx(0.852, abs=0.04)
    assert noise["modularity"] == pytest.approx(0.664, abs=0.04)
    assert const["modularity"] == 0.0
    assert ideal["explicitness_test"] == pytest.approx(0.926, abs=0.006)
    assert noise["explicitness_test"] == pytest.approx(0.503, abs=0.006)
    assert (const["explicitness_train"], const["explicitness_test"]) == (0.5, 0.5)


def test_measured_values_without_dead_codes_and_with_constant_ones(dsprites_grid, reference_codes):
    perfect = reference_codes["ideal"][:, :5]
    alone = run(perfect, dsprites_grid)
    assert alone["modularity"] == pytest.approx(0.99996, abs=0.00003)
    assert alone["explicitness_test"] == pytest.approx(0.941, abs=0.005)
    beside_zeros = run(np.concatenate([perfect, np.zeros_like(perfect)], axis=1), dsprites_grid)
    assert beside_zeros["modularity"] == pytest.approx(alone["modularity"] / 2, abs=1e-12)
    assert beside_zeros["explicitness_test"] == pytest.approx(alone["explicitness_test"], abs=1e-12)


@pytest.mark.slow
def test_the_measured_value_of_the_multinomial_model(dsprites_grid, reference_codes):
    scores = run(
        reference_codes["ideal"], dsprites_grid, classifier=sklearn_multinomial_logistic_regression
    )
    assert scores["explicitness_test"] == pytest.approx(0.982, abs=0.003)


def test_the_multinomial_model_is_an_option(dsprites_grid, reference_codes):
    few = {"num_train": 2000, "num_test": 1000}
    study, today = (
        run(reference_codes["ideal"], dsprites_grid[:, 3:4], **few, **model)["explicitness_test"]
        for model in ({}, {"classifier": sklearn_multinomial_logistic_regression})
    )
    assert today > study + 0.02  # the inner values of an ordered code


def test_permuted_and_duplicated_codes():
    perfect = GRID.astype(np.float32)
    few = {"num_train": 5000, "num_test": 500}
    assert run(np.concatenate([perfect, perfect], axis=1), GRID, **few)["modularity"] > 0.99
    # each row's codes in an order of its own
    scattered = np.random.default_rng(0).permuted(perfect, axis=1)
    assert run(scattered, GRID, **few)["modularity"] < 0.2
    one, other = run(perfect, GRID, **few), run(perfect[:, ::-1], GRID[:, [2, 0, 3, 1]], **few)
    assert other["modularity"] == pytest.approx(one["modularity"], abs=1e-9)


def test_values_that_only_one_of_the_sets_has():
    # Value 2 is never among the training rows, value 3 never among the test rows, whatever the
    # split: each has one row.
    rng = np.random.default_rng(0)
    factor = np.concatenate([np.tile([0, 1], 150), [2, 3]])
    codes = np.stack([factor + rng.normal(0, 0.1, 302), rng.normal(size=302)], axis=1)
    for seed in range(6):
        result = run(codes, factor[:, None], seed, num_train=None)
        assert 0.6 < result["explicitness_test"] <= 1.0
