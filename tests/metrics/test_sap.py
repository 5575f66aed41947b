"""SAP: hand-worked cases, scikit-learn and numpy in the definition, and the measured values of the
study's codes.
"""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from dlib_tf2.errors import ScoreWarning
from dlib_tf2.metrics import _rows, common
from dlib_tf2.metrics.sap import sap

GRID = np.stack(np.unravel_index(np.arange(10**3), (10,) * 3), axis=1)


def run(codes, factors, seed=0, **parameters):
    return sap(codes, factors, np.random.default_rng(seed), **parameters)


def test_two_classes_worked_by_hand():
    # Factor a is code 0, which says it all; code 1 is right on three of four of each kind; code 2
    # says nothing. 1 - 3/4.
    a = np.tile([0, 1], 200)
    rare = np.repeat([0, 1, 1, 1], 100) * (2 * a - 1) + np.repeat([1, 0, 0, 0], 100) * (1 - 2 * a)
    codes = np.stack([10 * a, 10 * rare, np.zeros(400)], axis=1)
    # Small sets drawn from a table that is no grid are disjoint, so that the accuracies on the test
    # rows vary a little.
    assert run(codes, a[:, None], num_train=None)["sap"] == pytest.approx(0.25, abs=0.1)
    assert run(codes, a[:, None], num_train=None, continuous=True)["sap"] == pytest.approx(
        1 - 0.25, abs=0.08
    )


def test_accuracies_equal_sklearn_in_the_definition():
    rng = np.random.default_rng(1)
    factors = np.stack([rng.integers(3, size=600), rng.integers(5, size=600)], axis=1)
    codes = (factors @ rng.normal(size=(2, 4)) + rng.normal(size=(600, 4))).astype(np.float32)
    train, test, _ = _rows.split_rows(
        np.random.default_rng(0), common.check_table(codes, factors)[1], 300, 200
    )
    gaps = []
    for factor in factors.T:
        accuracy = [
            LinearSVC(C=0.01, class_weight="balanced", dual=False)
            .fit(code[train, None], factor[train])
            .score(code[test, None], factor[test])
            for code in codes.T
        ]
        gaps.append(np.diff(np.sort(accuracy))[-1])
    assert run(codes, factors, num_train=300, num_test=200)["sap"] == pytest.approx(
        np.mean(gaps), abs=1e-12
    )


def test_squared_correlations_equal_numpy():
    rng = np.random.default_rng(2)
    factors = rng.integers(6, size=(500, 2))
    codes = (factors @ rng.normal(size=(2, 3)) + rng.normal(size=(500, 3))).astype(np.float32)
    train = _rows.split_rows(np.random.default_rng(0), factors, 300, 100)[0]
    squared = np.corrcoef(codes[train], factors[train], rowvar=False)[:3, 3:] ** 2
    expected = np.mean(np.diff(np.sort(squared, axis=0), axis=0)[-1])
    assert run(codes, factors, num_train=300, num_test=100, continuous=True)[
        "sap"
    ] == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_measured_values_of_the_study(dsprites_grid, reference_codes):
    # Over evaluation seeds the standard deviation is below 0.001 (0.2436 to 0.2468 were seen).
    assert run(reference_codes["ideal"], dsprites_grid)["sap"] == pytest.approx(0.245, abs=0.003)
    # A gap between accuracies at chance on 5,000 rows: 0.0012 to 0.0040 over seeds, never 0.
    assert 0.0003 < run(reference_codes["noise"], dsprites_grid)["sap"] < 0.006
    assert run(reference_codes["const"], dsprites_grid)["sap"] == 0.0
    with pytest.warns(ScoreWarning, match="every code is constant"):
        continuous = {
            name: run(codes, dsprites_grid, continuous=True)["sap"]
            for name, codes in reference_codes.items()
        }
    assert continuous == {
        "ideal": pytest.approx(0.9994, abs=0.0006),
        "noise": pytest.approx(0.0002, abs=0.0003),
        "const": 0.0,
    }


@pytest.mark.slow
def test_the_measured_value_of_noise_is_a_typical_draw_and_not_zero(dsprites_grid, reference_codes):
    scores = np.array(
        [run(reference_codes["noise"], dsprites_grid, seed)["sap"] for seed in range(8)]
    )
    spread = scores.std(ddof=1)
    assert scores.mean() > 4 * spread / np.sqrt(8)
    assert spread < 0.002
    assert abs(0.0013 - scores.mean()) < 2.5 * spread  # published: one draw


def test_the_score_depends_on_the_codes_scale(dsprites_grid, reference_codes):
    # Of three values the middle one is found or lost by the balance of classes in the sample: 0.184
    # (published: 0.18) or 0.118.
    score = run(reference_codes["ideal"][:, :6] * np.float32(0.1), dsprites_grid)["sap"]
    assert min(abs(score - 0.184), abs(score - 0.118)) < 0.01


def test_the_values_asserted_of_the_identity():
    codes = GRID.astype(np.float32)
    few = {"num_train": 600, "num_test": 300, "continuous": True}
    assert 0.9 <= run(codes, GRID, **few)["sap"] <= 1
    with pytest.warns(ScoreWarning, match="every code is constant"):
        assert run(np.zeros_like(codes), GRID, **few)["sap"] == 0.0
    assert run(np.concatenate([codes, codes], axis=1), GRID, **few)["sap"] == 0.0
    assert run(codes[:, ::-1], GRID[:, [1, 2, 0]], **few)["sap"] == pytest.approx(
        run(codes, GRID, **few)["sap"], abs=1e-6
    )


def test_one_code_has_no_runner_up():
    one = run(GRID[:, :1], GRID[:, :1], num_train=300, num_test=300, continuous=True)
    assert one["sap"] == pytest.approx(1.0)
    assert run(GRID[:, :1], GRID[:, :2], num_train=300, num_test=300, continuous=True)[
        "sap"
    ] == pytest.approx(0.5, abs=0.02)
