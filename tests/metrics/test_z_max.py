"""Z-max variance: the groups that votes are drawn from, votes counted by hand, and made codes."""

import numpy as np
import pytest

from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics import common
from dlib_tf2.metrics.z_max import _Groups, z_max

GRID = np.stack(np.unravel_index(np.arange(5 * 6 * 7), (5, 6, 7)), axis=1)
FEW = {"batch_size": 40, "num_train": 400, "num_eval": 400, "num_variance_estimate": None}


def run(codes, factors=GRID, seed=0, **parameters):
    return z_max(codes, factors, np.random.default_rng(seed), **FEW | parameters)


@pytest.mark.parametrize(
    "table", [GRID, np.tile(GRID, (2, 1)), np.random.default_rng(0).permutation(GRID)[:150]]
)
def test_rows_of_a_vote_differ_in_one_factor_only(table):
    labels = common.check_table(np.zeros((len(table), 1)), table)[1]
    for factor in range(3):
        # [votes, rows, factors]
        drawn = labels[_Groups(labels, factor).draw(np.random.default_rng(0), 300, 50)]
        others = np.delete(drawn, factor, axis=2)
        assert (others == others[:, :1]).all()
        assert (np.ptp(drawn[..., factor], axis=1) > 0).all()  # fifty rows of at least two values
    if len(table) >= len(GRID):
        assert len(np.unique(others[:, 0], axis=0)) == 30  # all groups of the last factor are drawn


def test_perfect_noise_constant_duplicated_and_merged_codes():
    rng = np.random.default_rng(0)
    perfect = GRID + rng.normal(0, 0.01, GRID.shape)
    assert run(perfect)["z_max"] == 1.0
    assert run(np.concatenate([perfect, perfect[:, ::-1]], axis=1))["z_max"] == 1.0
    assert run(np.concatenate([perfect, rng.normal(0, 0.01, GRID.shape)], axis=1)) == pytest.approx(
        run(perfect), abs=0.1
    )
    noise = run(rng.normal(size=(210, 6)))
    assert abs(noise["z_max"]) < 0.15
    assert noise["z_max"] == pytest.approx((noise["eval_accuracy"] - 1 / 3) / (2 / 3))
    with pytest.warns(ScoreWarning, match="every code is constant"):
        collapsed = run(np.ones((210, 2)))
    assert collapsed == {
        "z_max": 0,
        "train_accuracy": 0,
        "eval_accuracy": 0,
        "num_active": 0,
        "num_factors_scored": 3,
    }


def test_two_factors_on_one_code_cost_their_votes():
    # Code 0 alone varies with factors 0 and 1, code 1 with factor 2: of three factors one is always
    # guessed wrongly.
    codes = np.stack([GRID[:, 0] + 0.01 * GRID[:, 1], GRID[:, 2]], axis=1)
    result = run(codes, num_train=3000, num_eval=3000)
    assert result["eval_accuracy"] == pytest.approx(2 / 3, abs=4 * np.sqrt(2 / 9 / 3000))
    assert result["z_max"] == pytest.approx(0.5, abs=0.06)


def test_dead_codes_take_no_part_and_one_factor_is_always_right():
    dead = np.concatenate([GRID, 0.01 * GRID[:, ::-1]], axis=1)
    assert run(dead)["num_active"] == 3
    assert run(dead, threshold=0.0)["num_active"] == 6
    alone = run(GRID[:, :1].astype(float), GRID[:, :1])
    assert (alone["z_max"], alone["eval_accuracy"]) == (1.0, 1.0)


def test_tables_without_neighbours_are_refused():
    diagonal = np.stack([np.arange(8), np.arange(8)], axis=1)
    message = "no two rows differ in varying factor 0 .* while they share all other factors; merge"
    with (
        pytest.warns(ScoreWarning, match=r"factor_0 \(8 values\), factor_1 \(8 values\)"),
        pytest.raises(UserError, match=message),
    ):
        run(diagonal, diagonal)
    with pytest.raises(UserError, match="num_train = None, expected a whole number of at least 1"):
        run(GRID, GRID, num_train=None)
    with pytest.raises(UserError, match="z_max.threshold must be a number of at least 0, got 'a'"):
        run(GRID, GRID, threshold="a", num_variance_estimate=None)
    with pytest.raises(UserError, match="batch_size = 1"):
        run(GRID, batch_size=1)
