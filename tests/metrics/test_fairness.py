"""Unfairness: tables by hand, the intervened rows, and codes whose unfairness is known."""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from dlib_tf2.errors import UserError
from dlib_tf2.metrics import common
from dlib_tf2.metrics._interventions import Interventions
from dlib_tf2.metrics.fairness import fairness, reductions, total_variation

GRID = np.stack(np.unravel_index(np.arange(4 * 3 * 5), (4, 3, 5)), axis=1)
SCORE = "mean_fairness:mean_pred:mean_sens"


def tree(random_state):
    return DecisionTreeClassifier(random_state=random_state)


def run(codes, factors, seed=0, **parameters):
    return fairness(
        codes,
        factors,
        np.random.default_rng(seed),
        **{"num_train": 2000, "classifier": tree} | parameters,
    )


def test_total_variation_by_hand():
    assert total_variation(np.array([[0, 100], [100, 100]])) == pytest.approx((2 / 9, 1 / 3))
    assert total_variation(np.array([[50, 10], [50, 10]])) == pytest.approx((0, 0))
    assert total_variation(np.array([[7, 0], [0, 7]])) == pytest.approx((0.5, 0.5))


def test_reductions_by_hand():
    # [target, sensitive]; the diagonal must not count
    table = np.array([[9, 1, 2], [3, 9, 5], [7, 0, 9]])
    result = reductions(table, [0, 1, 4])
    assert result["pred0:sens4"] == 2
    assert result["pred4:sens0"] == 7
    assert "pred1:sens1" not in result
    assert (result["pred1:mean_sens"], result["pred1:max_sens"]) == (4, 5)
    assert (result["sens0:mean_pred"], result["sens0:max_pred"]) == (5, 7)
    assert result["mean_pred:mean_sens"] == pytest.approx((1.5 + 4 + 3.5) / 3)
    assert result["mean_pred:max_sens"] == pytest.approx((2 + 5 + 7) / 3)
    assert result["max_pred:mean_sens"] == 4
    assert result["max_pred:max_sens"] == 7
    assert result["mean_sens:max_pred"] == pytest.approx((7 + 1 + 5) / 3)
    assert result["max_sens:mean_pred"] == 5
    assert len(result) == 6 + 6 + 6 + 8


@pytest.mark.parametrize(
    "table", [GRID, np.tile(np.random.default_rng(0).permutation(GRID), (3, 1))]
)
def test_interventions_on_a_grid_change_one_factor_only(table):
    labels = common.check_table(np.zeros((len(table), 1)), table)[1]
    rng = np.random.default_rng(0)
    rows, values = rng.integers(len(table), size=500), rng.integers(3, size=500)
    interventions = Interventions(labels)
    assert interventions.exact
    changed = interventions.set(rng, rows, 1, values)
    expected = table[rows]
    expected[:, 1] = values
    np.testing.assert_array_equal(table[changed], expected)
    # every repeat is used
    assert len(np.unique(changed)) > 0.9 * min(len(table), 500) * (1 - np.exp(-500 / len(table)))


def test_other_tables_are_conditioned_on():
    table = GRID[::2]
    interventions = Interventions(common.check_table(np.zeros((len(table), 1)), table)[1])
    assert not interventions.exact
    values = np.random.default_rng(0).integers(5, size=1000)
    changed = interventions.set(np.random.default_rng(1), np.zeros(1000, int), 2, values)
    np.testing.assert_array_equal(table[changed, 2], values)
    assert len(np.unique(changed)) == len(table)


def test_perfect_constant_and_noise_codes():
    perfect = run(GRID.astype(float), GRID)
    assert perfect["interventional"] == 1.0
    assert all(value == 0 for key, value in perfect.items() if "fairness" in key)
    const = run(np.ones((60, 2)), GRID)
    assert all(value == 0 for key, value in const.items() if "fairness" in key)
    # fresh noise at every repeat: a tree could remember sixty points
    tiled = np.tile(GRID, (50, 1))
    noise = run(np.random.default_rng(0).normal(size=(3000, 4)), tiled)
    assert 0.02 < noise[SCORE] < 0.5


def test_a_code_that_adds_two_factors_is_unfair_by_a_known_amount():
    # The code is a + b, both 0 or 1. A tree says a = 0 for code 0, a = 1 for code 2, and one of
    # them, always the same, for code 1. Where it says 0, the part of 1s is 0 for b = 0 and 1/2 for
    # b = 1; overall 1/4: both distances are 1/4. Likewise where it says 1.
    factors = np.stack(np.unravel_index(np.arange(4), (2, 2)), axis=1)
    result = run(
        factors.sum(axis=1, keepdims=True), factors, num_train=500, num_test_points_per_class=4000
    )
    for key in (
        "mean_fairness:pred0:sens1",
        "max_fairness:pred1:sens0",
        SCORE,
        "max_fairness:max_sens:max_pred",
    ):
        assert result[key] == pytest.approx(0.25, abs=5 * 0.5 / 2 / np.sqrt(4000))


def test_mixed_codes_are_unfair_and_keys_keep_the_numbers_of_the_columns():
    factors = np.insert(GRID, 1, 7, axis=1)  # a factor with one value in between
    result = run(GRID.sum(axis=1, keepdims=True), factors)
    assert {key for key in result if ":pred2:sens" in key} == {
        f"{p}_fairness:pred2:sens{j}" for p in ("mean", "max") for j in (0, 3)
    }
    assert result["num_factors_scored"] == 3
    assert result[SCORE] > 0.1
    assert (
        result["max_fairness:max_pred:max_sens"]
        >= result["mean_fairness:max_pred:max_sens"]
        >= result[SCORE]
    )
    assert result[SCORE] == pytest.approx(result["mean_fairness:mean_sens:mean_pred"])


def test_one_factor_has_nothing_sensitive():
    result = run(GRID[:, :1].astype(float), GRID[:, :1], num_train=None)
    assert result[SCORE] == 0.0
    assert not [key for key in result if ":pred0:" in key]
    with pytest.raises(UserError, match="num_test_points_per_class = 0"):
        run(GRID, GRID, num_test_points_per_class=0)


@pytest.mark.slow
def test_the_measured_value_of_perfect_codes_of_the_study(dsprites_grid, reference_codes):
    result = fairness(
        reference_codes["ideal"], dsprites_grid, np.random.default_rng(0), num_train=2000
    )
    assert result[SCORE] < 1e-3
