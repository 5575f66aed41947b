"""DCI: identities of the importance matrix, classifiers fitted by hand, and the measured values of
the study's codes.
"""

import joblib
import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier

from dlib_tf2.errors import ScoreWarning
from dlib_tf2.metrics.dci import completeness, dci, disentanglement

GRID = np.stack(np.unravel_index(np.arange(3 * 4 * 5), (3, 4, 5)), axis=1)


def run(codes, factors, seed=0, **parameters):
    return dci(codes, factors, np.random.default_rng(seed), **parameters)


@pytest.mark.parametrize(
    "importance, expected_d, expected_c",
    [
        (np.eye(10), 1, 1),
        (np.eye(10) * np.arange(1, 11), 1, 1),
        (np.concatenate([np.eye(5), np.zeros((1, 5))]), 1, 1),  # an unused code
        (np.concatenate([np.eye(5), np.eye(5)]), 1, 1 - np.log(2) / np.log(10)),  # every code twice
        # two factors on each code
        (np.repeat(np.eye(5), 2, axis=1), 1 - np.log(2) / np.log(10), 1),
        (np.ones((4, 3)), 0, 0),
        (np.zeros((10, 5)), 0, 0),
        (np.array([[0.5], [0.5]]), 1, 0),  # one factor
        (np.array([[1.0, 1.0]]), 0, 1),  # one code
        (np.zeros((1, 1)), 0, 0),
    ],
)
def test_matrix_identities(importance, expected_d, expected_c):
    assert disentanglement(importance) == pytest.approx(expected_d, abs=1e-8)
    assert completeness(importance) == pytest.approx(expected_c, abs=1e-8)


def test_scores_of_a_random_matrix_equal_the_definition():
    importance = np.random.default_rng(0).random((6, 3))
    weight = importance.sum(axis=1) / importance.sum()
    assert disentanglement(importance) == pytest.approx(
        np.sum(weight * (1 - entropy(importance, base=3, axis=1))), abs=1e-9
    )
    weight = importance.sum(axis=0) / importance.sum()
    assert completeness(importance) == pytest.approx(
        np.sum(weight * (1 - entropy(importance, base=6, axis=0))), abs=1e-9
    )


def test_equals_classifiers_fitted_by_hand():
    rng = np.random.default_rng(1)
    factors = np.stack([rng.integers(3, size=450), rng.integers(4, size=450)], axis=1)
    codes = (factors @ rng.normal(size=(2, 3)) + rng.normal(0, 0.3, (450, 3))).astype(np.float32)
    result = run(codes, factors, num_train=None)
    importances, accuracies = [], []
    for factor in factors.T:  # other rows and another random state: the same up to sampling error
        model = GradientBoostingClassifier(random_state=9).fit(codes[:300], factor[:300])
        importances.append(model.feature_importances_)
        accuracies.append(model.score(codes[300:], factor[300:]))
    matrix = np.stack(importances, axis=1)
    weight = matrix.sum(axis=1) / matrix.sum()
    assert result["disentanglement"] == pytest.approx(
        np.sum(weight * (1 - entropy(matrix, base=2, axis=1))), abs=0.06
    )
    assert result["completeness"] == pytest.approx(
        np.mean(1 - entropy(matrix, base=3, axis=0)), abs=0.06
    )
    assert result["informativeness_test"] == pytest.approx(
        np.mean(accuracies), abs=4 * np.sqrt(0.25 / 300)
    )
    assert result["informativeness_train"] == pytest.approx(1.0, abs=0.01)
    assert result["test_overlap"] == 0.0


def test_perfect_constant_permuted_and_duplicated_codes():
    factors = np.tile(GRID, (5, 1))
    perfect = (factors + np.random.default_rng(0).normal(0, 0.01, factors.shape)).astype(np.float32)
    rows = {"num_train": 200, "num_test": 100}  # of 300, on a grid: all different by default
    result = run(perfect, factors, **rows)
    assert result["disentanglement"] > 0.99
    assert result["completeness"] > 0.99
    assert result["informativeness_test"] == 1.0
    assert result["test_overlap"] == 0.0

    result = run(np.ones_like(perfect), factors, **rows)
    assert (result["disentanglement"], result["completeness"]) == (0.0, 0.0)
    assert result["informativeness_test"] == pytest.approx((1 / 3 + 1 / 4 + 1 / 5) / 3, abs=0.12)

    result = run(np.random.default_rng(0).permuted(perfect, axis=1), factors, **rows)
    assert result["disentanglement"] < 0.2
    assert result["completeness"] < 0.2

    result = run(np.concatenate([perfect, perfect], axis=1), factors, **rows)
    assert result["disentanglement"] > 0.95
    assert result["completeness"] < 1 - 0.5 * np.log(2) / np.log(6)


def test_order_of_codes_and_of_factors_does_not_matter():
    factors = np.tile(GRID, (3, 1))
    codes = factors @ np.random.default_rng(0).normal(size=(3, 3)) + np.random.default_rng(
        1
    ).normal(0, 0.3, factors.shape)
    one, other = (
        run(codes, factors, num_train=None),
        run(codes[:, ::-1], factors[:, [2, 0, 1]], num_train=None),
    )
    for key in one:
        assert other[key] == pytest.approx(one[key], abs=0.02), key


def test_the_number_of_workers_changes_nothing():
    factors = np.tile(GRID[:, :2], (2, 1))
    codes = factors @ np.ones((2, 2)) + np.random.default_rng(1).normal(0, 0.3, (len(factors), 2))
    results = []
    for workers in (1, 2):
        with joblib.parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
            results.append(run(codes, factors, num_train=None))
    assert results[0] == results[1]


def test_one_class_in_the_training_rows_is_predicted():
    factors = np.zeros((30, 1), int)
    factors[-1] = 1
    codes = np.random.default_rng(0).normal(size=(30, 2))
    # the odd row is a test row
    seed = next(s for s in range(50) if 29 not in np.random.default_rng(s).permutation(30)[:20])
    result = run(codes, factors, seed, num_train=None)
    assert result["informativeness_train"] == 1.0
    assert result["informativeness_test"] == pytest.approx(0.9)
    assert (result["disentanglement"], result["completeness"]) == (0.0, 0.0)


def test_too_few_rows_are_used_two_to_one_with_a_warning():
    with pytest.warns(
        ScoreWarning, match="10,000 training and 5,000 test .* 59 rows: 39 train and 20"
    ):
        few = run(GRID[1:], GRID[1:])
    assert few == run(GRID[1:], GRID[1:], num_train=None)
    with pytest.warns(
        ScoreWarning, match="50 training and 20 test .* 60 rows: 40 train and 20 test"
    ):
        assert run(GRID, GRID, num_train=50, num_test=20, disjoint=True)["test_overlap"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, expected_d, expected_c, expected_accuracy, error",
    [
        ("ideal", 1.0, 1.0, 1.0, 1e-3),
        ("noise", 0.0013, 0.0011, 0.118, 6e-3),
        ("const", 0.0, 0.0, 0.118, 1e-2),
    ],
)
def test_measured_values_of_the_study(
    dsprites_grid, reference_codes, kind, expected_d, expected_c, expected_accuracy, error
):
    with joblib.parallel_config(backend="loky", n_jobs=-1, inner_max_num_threads=1):
        result = run(reference_codes[kind], dsprites_grid)
    assert result["disentanglement"] == pytest.approx(expected_d, abs=1e-3)
    assert result["completeness"] == pytest.approx(expected_c, abs=1e-3)
    assert result["informativeness_test"] == pytest.approx(expected_accuracy, abs=error)
