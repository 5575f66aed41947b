"""IRS: a case worked by hand, numpy in the definition, and the measured values of the study's
codes.
"""

import numpy as np
import pytest

from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics.irs import irs

GRID = np.stack(np.unravel_index(np.arange(10**3), (10,) * 3), axis=1)


def score(codes, factors, seed=0, **parameters):
    return irs(codes, factors, np.random.default_rng(seed), **parameters)["irs"]


def test_a_case_worked_by_hand():
    # Factors a in {0, 1} and b in {0, 1, 2}, all six rows. Code 0 is 6 a + b, code 1 is 2 b.
    factors = np.stack(np.unravel_index(np.arange(6), (2, 3)), axis=1)
    a, b = factors.T
    codes = np.stack([6 * a + b, 2 * b], axis=1)
    # Code 0 has mean 4 and largest distance 4; with a fixed it moves by 1 (1 - 1/4), with b fixed
    # by 3: 3/4. Code 1 has largest distance 2; with b fixed it does not move: 1. Weighted by 4 and
    # 2: (4 x 3/4 + 2 x 1) / 6 = 5/6.
    assert score(codes, factors, num_train=None, num_bins=None, diff_quantile=1.0) == pytest.approx(
        5 / 6, abs=1e-7
    )


def test_equals_the_definition_on_random_codes():
    rng = np.random.default_rng(3)
    factors = np.stack([rng.integers(3, size=400), rng.integers(7, size=400)], axis=1)
    codes = (factors @ rng.normal(size=(2, 4)) + rng.normal(size=(400, 4))).astype(np.float32)
    total, weights = 0.0, 0.0
    for code in codes.astype(np.float64).T:
        largest = max(abs(code - code.mean()))
        moved = []
        for factor in factors.T:
            groups = [code[factor == value] for value in set(factor)]
            moved.append(
                np.mean([np.percentile(abs(group - group.mean()), 99) for group in groups])
            )
        total, weights = total + largest * (1 - min(moved) / largest), weights + largest
    assert score(codes, factors, num_train=None) == pytest.approx(total / weights, abs=1e-9)


def test_measured_values_of_the_study(dsprites_grid, reference_codes):
    # Over seeds the standard deviation is 0.0001 (ideal) and 0.01 (noise, through its maximum).
    assert score(reference_codes["ideal"], dsprites_grid) == pytest.approx(0.970, abs=0.001)
    assert score(reference_codes["ideal"][:, :5], dsprites_grid) == pytest.approx(
        0.9856, abs=0.0005
    )
    assert score(reference_codes["ideal"][:, :5], dsprites_grid, num_bins=None) == pytest.approx(
        0.99999, abs=0.00002
    )
    assert score(reference_codes["noise"], dsprites_grid) == pytest.approx(0.375, abs=0.04)
    assert score(reference_codes["noise"], dsprites_grid, diff_quantile=1.0) == pytest.approx(
        0.20, abs=0.04
    )
    with pytest.warns(
        ScoreWarning, match="no code is active and the score is 0, since every code is constant"
    ):
        assert score(reference_codes["const"], dsprites_grid) == 0.0


def test_noise_counts_by_its_size(dsprites_grid, reference_codes):
    sampled = np.concatenate(
        [reference_codes["ideal"][:, :5], reference_codes["noise"][:, :5]], axis=1
    )
    assert score(sampled, dsprites_grid) == pytest.approx(0.54, abs=0.03)


def test_active_codes_are_counted_and_constant_ones_take_no_part():
    codes = GRID.astype(np.float32)
    result = irs(
        np.concatenate([codes, np.full_like(codes, 0.1)], axis=1),
        GRID,
        np.random.default_rng(0),
        num_train=3000,
    )
    assert result == {"irs": pytest.approx(1.0), "num_active": 3.0, "num_factors_scored": 3.0}


def test_order_does_not_matter_and_the_quantile_is_checked(rotated_codes):
    codes, factors = rotated_codes(0)
    expected = score(codes, factors, num_train=None)
    assert score(codes[:, ::-1], factors[:, [3, 1, 4, 0, 2]], num_train=None) == pytest.approx(
        expected, rel=1e-9
    )
    with pytest.raises(UserError, match="diff_quantile = 99"):
        score(codes, factors, diff_quantile=99)
