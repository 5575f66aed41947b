"""MIG against a hand-worked case, scikit-learn, and the measured values of the study's codes."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from dlib_tf2.errors import ScoreWarning
from dlib_tf2.metrics.mig import mig

GRID = np.stack(np.unravel_index(np.arange(10**4), (10,) * 4), axis=1)


def score(codes, factors, seed=0, **parameters):
    return mig(codes, factors, np.random.default_rng(seed), **parameters)["mig"]


def test_a_case_worked_by_hand():
    # Eight rows, factors a (2 values) and b (4 values). Code 0 is a. Code 1 is b. Code 2 is b // 2,
    # which knows one of b's two bits.
    b = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    a = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    codes = np.stack([a, b, b // 2], axis=1)
    # a: (ln 2 - 0) / ln 2 = 1;  b: (ln 4 - ln 2) / ln 4 = 1/2;  mean 3/4
    assert score(codes, np.stack([a, b], axis=1), num_train=None, num_bins=4) == pytest.approx(
        0.75, abs=1e-12
    )


def test_equals_sklearns_mutual_information_in_the_definition():
    rng = np.random.default_rng(5)
    factors = np.stack([rng.integers(4, size=700), rng.integers(9, size=700)], axis=1)
    codes = (factors @ rng.normal(size=(2, 5)) + rng.normal(size=(700, 5))).astype(np.float32)
    gaps = []
    for factor in factors.T:
        binned = [np.digitize(code, np.histogram(code, 20)[1][:-1]) for code in codes.T]
        information = sorted(mutual_info_score(factor, code) for code in binned)
        gaps.append((information[-1] - information[-2]) / mutual_info_score(factor, factor))
    assert score(codes, factors, num_train=None) == pytest.approx(np.mean(gaps), abs=1e-9)


def test_measured_values_of_the_study(dsprites_grid, reference_codes):
    # Over evaluation seeds the ideal score has a standard deviation below 0.001, and noise scores
    # stay below 0.001.
    assert score(reference_codes["ideal"], dsprites_grid) == pytest.approx(0.895, abs=0.003)
    assert score(reference_codes["noise"], dsprites_grid) == pytest.approx(0.0003, abs=0.0005)
    assert score(reference_codes["const"], dsprites_grid) == 0.0


@pytest.mark.parametrize(
    "num_train, num_bins, expected",
    [(10_000, 10, 0.787), (10_000, 40, 0.987), (10_000, 100, 0.970), (1000, 20, 0.83)],
)
def test_measured_bounds_by_bins_and_rows(
    dsprites_grid, reference_codes, num_train, num_bins, expected
):
    ideal = score(reference_codes["ideal"], dsprites_grid, num_train=num_train, num_bins=num_bins)
    assert ideal == pytest.approx(expected, abs=0.01 if num_train == 1000 else 0.004)


def test_the_measured_value_of_rotated_codes_is_a_typical_rotation(rotated_codes):
    # The published 0.048 belongs to one unknown rotation; the score depends on the rotation
    # (standard deviation 0.026 over 30).
    scores = [score(*rotated_codes(seed)) for seed in range(16)]
    assert abs(np.mean(scores) - 0.054) < 3 * 0.026 / 4
    assert abs(np.mean(scores) - 0.048) < 2 * np.std(scores)


def test_perfect_constant_duplicated_and_permuted_codes():
    perfect = GRID.astype(np.float32)
    # each row's codes in an order of its own
    shuffled = np.random.default_rng(1).permuted(perfect, axis=1)
    # the chance information of the runner-up costs 0.01
    assert score(perfect, GRID, num_train=3000, num_bins=None) > 0.97
    assert score(np.zeros_like(perfect), GRID, num_train=3000) == 0.0
    assert score(np.concatenate([perfect, perfect], axis=1), GRID, num_train=3000) == 0.0
    assert score(shuffled, GRID, num_train=3000) < 0.05


def test_order_of_codes_and_of_factors_does_not_matter(rotated_codes):
    codes, factors = rotated_codes(0)
    expected = score(codes, factors, num_train=None)
    assert score(codes[:, ::-1], factors[:, [3, 1, 4, 0, 2]], num_train=None) == pytest.approx(
        expected, rel=1e-12
    )


def test_one_code_counts_no_runner_up_and_single_valued_factors_are_left_out():
    codes, factors = (
        GRID[:, :1].astype(np.float32),
        np.concatenate([GRID[:, :1], np.full((len(GRID), 1), 4)], axis=1),
    )
    result = mig(codes, factors, np.random.default_rng(0), num_train=None)
    assert result == {"mig": pytest.approx(1.0), "num_factors_scored": 1.0}


def test_too_few_rows_are_all_used_with_a_warning():
    with pytest.warns(ScoreWarning, match="num_train asks for 10,000 .*, the table has 9,999: all"):
        few = score(GRID[1:], GRID[1:])
    assert few == pytest.approx(score(GRID[1:], GRID[1:], num_train=None), abs=1e-12)
