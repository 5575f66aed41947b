"""DCI-ES: explicitness of curves by hand, the linear probe against numpy, and codes from linear to
hidden.
"""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from dlib_tf2.errors import UserError
from dlib_tf2.metrics.dci_es import dci_es, explicitness

GRID = np.stack(np.unravel_index(np.arange(12 * 10 * 8), (12, 10, 8)), axis=1)
PROBES = {"num_train": None, "num_features": (0, 8, 32, 128)}


def run(codes, factors=GRID, seed=0, **parameters):
    return dci_es(codes, factors, np.random.default_rng(seed), **PROBES | parameters)


@pytest.mark.parametrize(
    "curve, expected, attainable",
    [
        ([1.0, 0.5, 0.0], 0.0, 0.0),  # a straight line
        ([0.0, 0.0, 0.0], 1.0, 1.0),
        ([0.5, 0.5, 0.5], 1.0, 1.0),  # the smallest probe does what any does
        # a straight line down to the attainable 0.5: area 1/4 of the range
        ([1.0, 0.75, 0.5], 0.5, 0.0),
        ([1.0, 1.0, 1.0], 1.0, 0.0),  # nothing is known
        ([1.0, 0.0, 0.0], 0.5, 0.5),
        ([1.0, 1.0, 0.0], -0.5, -0.5),  # capacity helps late
    ],
)
def test_curves_by_hand(curve, expected, attainable):
    result = explicitness(np.array([curve]), np.array([2.0, 3.0, 4.0]))
    assert result["explicitness"] == pytest.approx(expected)
    assert result["explicitness_attainable"] == pytest.approx(attainable)


def test_capacities_need_not_be_evenly_spaced():
    result = explicitness(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), np.array([0.0, 1.0, 4.0]))
    assert result["explicitness"] == pytest.approx((1 - 2 * 0.5 / 4 + 1) / 2)


def test_the_linear_probe_is_a_ridge_regression():
    rng = np.random.default_rng(0)
    codes = (GRID @ rng.normal(size=(3, 4)) + rng.normal(0, 2, (960, 4))).astype(np.float32)
    order = np.random.default_rng(5).permutation(960)
    train, test = order[:640], order[640:]
    units = (codes - codes[train].mean(axis=0)) / codes[train].std(axis=0)
    losses = []
    for factor in GRID.T:
        model = Ridge(alpha=1e-4 * 640).fit(units[train], factor[train])
        error = ((model.predict(units[test]) - factor[test]) ** 2).sum()
        losses.append(error / ((factor[test] - factor[train].mean()) ** 2).sum())
    result = run(codes, seed=5, num_features=(0, 1))  # one random feature adds next to nothing
    assert result["informativeness"] == pytest.approx(1 - np.mean(losses), abs=2e-3)


def test_linear_codes_are_explicit_and_hidden_ones_less():
    perfect = run(GRID.astype(float))
    assert perfect["explicitness"] == pytest.approx(1, abs=1e-3)
    assert perfect["explicitness_attainable"] == pytest.approx(1, abs=1e-3)
    assert perfect["informativeness"] == pytest.approx(1, abs=1e-3)
    assert perfect["size"] == 1.0
    units = (GRID - GRID.mean(axis=0)) / GRID.std(axis=0)
    rotated = run(units @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0])
    assert rotated["explicitness"] == pytest.approx(1, abs=1e-3)
    angles = units[:, :, None] * 1.5
    hidden = run(np.concatenate([np.sin(angles), np.cos(angles)], axis=2).reshape(len(GRID), -1))
    assert hidden["size"] == 0.5
    assert hidden["informativeness"] > 0.9
    assert hidden["explicitness"] < 0.95
    assert hidden["explicitness_attainable"] < hidden["explicitness"]


def test_codes_that_hold_nothing_are_told_by_informativeness():
    for codes in (np.ones((960, 4)), np.random.default_rng(0).normal(size=(960, 4))):
        result = run(codes)
        assert result["informativeness"] < 0.01
        assert result["explicitness"] > 0.98
    assert run(np.ones((960, 4)))["explicitness_attainable"] == 0.0


def test_one_hot_targets_suit_unordered_factors():
    ordered, unordered = run(GRID.astype(float)), run(GRID.astype(float), one_hot=True)
    # a linear probe cannot single out a middle value
    assert unordered["explicitness"] < 0.9 < ordered["explicitness"]
    three = GRID[:, :1] % 3
    corners = np.eye(3)[three[:, 0]]  # a corner each: the order of the values means nothing
    assert run(corners, three, one_hot=True)["explicitness"] == pytest.approx(1, abs=1e-3)


def test_order_and_scale_of_codes_do_not_matter():
    codes = np.sin(GRID @ np.random.default_rng(0).normal(size=(3, 3)))
    one, other = run(codes), run(codes * [1e-3, 1, 1e3])
    assert other == pytest.approx(one, abs=1e-3)


def test_settings_that_mean_nothing_are_refused():
    for wrong in ((0,), (4, 4), (8, 2), (-1, 4)):
        with pytest.raises(UserError, match="num_features = .*expected"):
            run(GRID, num_features=wrong)
    for setting in (
        {"num_features": 5},
        {"num_features": (0, 2.5)},
        {"bandwidth": "a"},
        {"bandwidth": 0},
    ):
        with pytest.raises(UserError, match=f"{next(iter(setting))} "):
            run(GRID, **setting)
