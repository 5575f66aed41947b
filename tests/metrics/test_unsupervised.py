"""Unsupervised scores: closed forms, scipy's matrix root, and the measured values of the study's
codes.
"""

from contextlib import nullcontext

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.metrics import mutual_info_score

from dlib_tf2.errors import ScoreWarning
from dlib_tf2.metrics.unsupervised import (
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    unsupervised,
)


def run(codes, seed=0, **parameters):
    return unsupervised(
        codes, np.zeros((len(codes), 1), int), np.random.default_rng(seed), **parameters
    )


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_two_codes_worked_by_hand(correlation):
    covariance = np.array([[1, correlation], [correlation, 1]])
    assert gaussian_total_correlation(covariance) == pytest.approx(
        -0.5 * np.log(1 - correlation**2), abs=1e-12
    )
    # Eigenvalues of the covariance are 1 + c and 1 - c.
    expected = 4 - 2 * (np.sqrt(1 + correlation) + np.sqrt(1 - correlation))
    assert gaussian_wasserstein_correlation(covariance) == pytest.approx(expected, abs=1e-12)


def test_gaussian_scores_equal_the_formulas_of_a_random_covariance():
    root = np.random.default_rng(0).normal(size=(6, 6))
    covariance = root @ root.T
    diagonal = np.diag(np.diag(covariance))
    expected = 0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1])
    assert gaussian_total_correlation(covariance) == pytest.approx(expected, rel=1e-10)
    expected = 2 * np.trace(covariance) - 2 * np.trace(sqrtm(diagonal @ covariance)).real
    assert gaussian_wasserstein_correlation(covariance) == pytest.approx(expected, rel=1e-9)


def test_a_singular_covariance_has_real_and_finite_scores():
    # Ten codes of rank three, where the root of a general matrix comes out complex.
    root = np.random.default_rng(1).normal(size=(10, 3))
    covariance = root @ root.T
    expected = (
        2 * np.trace(covariance) - 2 * sqrtm(np.diag(np.diag(covariance)) @ covariance).trace().real
    )
    assert gaussian_wasserstein_correlation(covariance) == pytest.approx(expected, abs=1e-5)
    # seven directions at the resolution of float64
    assert 7 * 15 < gaussian_total_correlation(covariance) < 7 * 20


def test_scores_of_a_table_equal_numpy_and_sklearn():
    codes = (
        np.random.default_rng(2).normal(size=(800, 4))
        @ np.random.default_rng(3).normal(size=(4, 4))
    ).astype(np.float32)
    result = run(codes, num_train=None)
    covariance = np.cov(codes.astype(np.float64), rowvar=False)
    assert result["gaussian_total_correlation"] == pytest.approx(
        gaussian_total_correlation(covariance), rel=1e-12
    )
    wasserstein = result["gaussian_wasserstein_correlation"]
    assert result["gaussian_wasserstein_correlation_norm"] == pytest.approx(
        wasserstein / np.trace(covariance), rel=1e-12
    )
    binned = [
        np.digitize(code, np.histogram(code, 20)[1][:-1]) for code in codes.astype(np.float64).T
    ]
    pairs = [mutual_info_score(binned[i], binned[j]) for i in range(4) for j in range(4) if i != j]
    assert result["mutual_information"] == pytest.approx(np.mean(pairs), rel=1e-9)


def test_constant_codes_are_dropped():
    codes = np.random.default_rng(4).normal(size=(500, 3)).astype(np.float32)
    with_constants = np.concatenate([codes, np.zeros((500, 1)), np.full((500, 1), 0.1)], axis=1)
    assert run(with_constants, num_train=None) == run(codes, num_train=None)
    for few in (codes * 0, codes[:, :1]):
        constant = not few.any()
        warned = pytest.warns(ScoreWarning, match="constant") if constant else nullcontext()
        with warned:
            result = run(few, num_train=None)
        assert {value for key, value in result.items() if key != "num_active"} == {0.0}
        assert result["num_active"] == (0.0 if few.shape[1] == 3 else 1.0)


def test_measured_values_of_the_study(dsprites_grid, reference_codes):
    # Total correlation of d independent codes is d (d - 1) / (4 n) on average: 0.00225 at d = 10, n
    # = 10,000, give or take a quarter.
    for name, information in (("ideal", 0.0114), ("noise", 0.0155)):
        result = unsupervised(reference_codes[name], dsprites_grid, np.random.default_rng(0))
        assert result["gaussian_total_correlation"] == pytest.approx(0.0021, abs=0.0016)
        assert result["gaussian_wasserstein_correlation_norm"] == pytest.approx(
            0.00018, abs=0.00012
        )
        assert result["mutual_information"] == pytest.approx(information, abs=0.0015)
        assert result["num_active"] == 10


def test_rotation_changes_the_mutual_information_only(rotated_codes):
    scores = [run(rotated_codes(seed)[0], num_train=10_000) for seed in range(3)]
    assert np.mean([score["gaussian_total_correlation"] for score in scores]) == pytest.approx(
        0.0021, abs=0.001
    )
    assert np.mean([score["mutual_information"] for score in scores]) == pytest.approx(
        0.0175, abs=0.001
    )
