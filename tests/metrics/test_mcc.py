"""MCC and its companion against numpy, scipy and scikit-learn, and on codes whose answer is
known.
"""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression

from dlib_tf2.metrics.mcc import best_assignment, mcc

GRID = np.stack(np.unravel_index(np.arange(6 * 7 * 8), (6, 7, 8)), axis=1)


def run(codes, factors=GRID, **parameters):
    return mcc(codes, factors, np.random.default_rng(0), **{"num_train": None, **parameters})


def test_the_assignment_by_hand():
    # Taking the largest entry first gives 0.9 + 0.1; the best sum is 0.8 + 0.7.
    assert best_assignment(np.array([[0.9, 0.8], [0.7, 0.1]])) == pytest.approx(0.75)
    assert best_assignment(np.array([[0.2, 0.8]])) == pytest.approx(0.4)  # one code, two factors
    assert best_assignment(np.array([[0.2], [0.8], [0.5]])) == pytest.approx(0.8)


def test_equals_numpy_scipy_and_scikit_learn():
    rng = np.random.default_rng(1)
    codes = (np.exp(GRID @ rng.normal(0, 0.2, (3, 4))) + rng.normal(0, 0.3, (336, 4))).astype(
        np.float32
    )
    result = run(codes)
    for key, table in (
        ("mcc_pearson", np.corrcoef(codes.T, GRID.T)),
        ("mcc_spearman", spearmanr(codes, GRID)[0]),
    ):
        assert result[key] == pytest.approx(best_assignment(np.abs(table[:4, 4:])), abs=1e-6)
    r2 = np.mean([LinearRegression().fit(codes, factor).score(codes, factor) for factor in GRID.T])
    assert result["linear_r2"] == pytest.approx(r2, abs=1e-6)


def test_codes_whose_answer_is_known(rotated_codes):
    order_and_sign = GRID[:, [2, 0, 1]] * [-1.0, 0.5, 3] + 2
    assert run(order_and_sign) == pytest.approx(
        {"mcc_pearson": 1, "mcc_spearman": 1, "linear_r2": 1, "num_factors_scored": 3}
    )
    monotone = run(np.exp(GRID))
    assert monotone["mcc_spearman"] == pytest.approx(1)
    assert monotone["mcc_pearson"] < 0.9
    codes, factors = rotated_codes(0)
    rotated = run(codes, factors)
    assert rotated["linear_r2"] == pytest.approx(1, abs=1e-6)
    assert rotated["mcc_pearson"] < 0.8
    noise = run(np.random.default_rng(0).normal(size=(len(GRID) * 30, 5)), np.tile(GRID, (30, 1)))
    assert max(noise["mcc_pearson"], noise["mcc_spearman"], noise["linear_r2"]) < 0.03
    const = run(np.ones((len(GRID), 5)))
    assert [const[key] for key in ("mcc_pearson", "mcc_spearman", "linear_r2")] == [0, 0, 0]


def test_duplicates_change_nothing_and_missing_codes_count_zero():
    doubled = run(GRID[:, [0, 0, 1, 2, 2]].astype(float))
    assert doubled == pytest.approx(
        {"mcc_pearson": 1, "mcc_spearman": 1, "linear_r2": 1, "num_factors_scored": 3}
    )
    assert run(GRID[:, :2].astype(float))["mcc_pearson"] == pytest.approx(2 / 3)
    shuffled = np.random.default_rng(0).permuted(np.tile(GRID, (20, 1)), axis=1)
    assert run(shuffled, np.tile(GRID, (20, 1)))["mcc_pearson"] < 0.5
