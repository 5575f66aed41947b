"""Readout transfer: hand-worked scores on held-out rows, what is in distribution, and what is
refused.
"""

import gin
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier

from dlib_tf2 import seeds
from dlib_tf2.configuration import gin_utils, metric_config
from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.evaluate import score_arrays
from dlib_tf2.metrics import collecting, repeats
from dlib_tf2.metrics.readout_transfer import READOUTS, readout_transfer
from dlib_tf2.representations.representation import Representation
from tests.metrics.conftest import full_grid, standardised

SIZES = (4, 5, 6)
GRID = full_grid(SIZES)
CORNER = (GRID[:, 0] >= 2) & (GRID[:, 2] >= 3)  # 2 * 5 * 3 = 30 of 120 rows


def nearest(random_state):
    """The label of the nearest code, in the place of slow classifiers."""
    return KNeighborsClassifier(1)


def first_class(random_state):
    """Always the lowest label of the fit."""
    return DummyClassifier(strategy="constant", constant=0)


def run(codes, factors=GRID, held_out=CORNER, seed=0, **settings):
    fast = {"num_train": 60, "num_test": 30, "logistic_regression": nearest}
    settings = fast | {"boosted_trees": nearest} | settings
    rng = np.random.default_rng(seed)
    return readout_transfer(codes, factors, rng, held_out=held_out, **settings)


@pytest.fixture(autouse=True)
def clean_gin():
    yield
    gin.clear_config()


def test_codes_that_are_the_factors_are_read_in_a_corner_that_was_held_out():
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    for codes in (GRID.astype(float), standardised(GRID) @ rotation):
        result = run(codes)
        assert result["ridge_r2"] == pytest.approx(1, abs=1e-4)
        assert result["ridge_r2_in_distribution"] == pytest.approx(1, abs=1e-4)
        assert result["ridge_r2_gap"] == pytest.approx(0, abs=1e-4)
        assert (result["num_held_out_rows"], result["num_factors_scored"]) == (30, 3)


def test_the_shipped_classifiers_read_them_too():
    codes = standardised(GRID)
    result = readout_transfer(
        codes, GRID, np.random.default_rng(0), num_train=60, num_test=30, held_out=CORNER
    )
    assert result["boosted_trees_accuracy"] > 0.95
    assert result["logistic_regression_accuracy"] > 0.6


def test_codes_that_remember_their_row_transfer_nothing():
    factors = np.tile(full_grid((4, 5)), (50, 1))
    held_out = (factors[:, 0] >= 2) & (factors[:, 1] >= 3)
    codes = np.random.default_rng(2).normal(size=(len(factors), 10))
    result = run(codes, factors, held_out, num_train=400, num_test=200)
    assert -1 < result["ridge_r2"] < 0.1
    assert -0.1 < result["ridge_r2_in_distribution"] < 0.1
    assert result["boosted_trees_accuracy"] < 0.25  # chance is 0.225
    # codes of which the held-out rows have others than the fit knows
    number = np.ravel_multi_index(tuple(factors.T), (4, 5))
    remembered = np.eye(20)[number]
    result = run(remembered, factors, held_out, num_train=400, num_test=200)
    assert result["ridge_r2_in_distribution"] > 0.99
    assert result["ridge_r2"] < 0.1
    assert result["ridge_r2_gap"] > 0.9
    assert result["boosted_trees_accuracy_in_distribution"] == 1
    assert result["boosted_trees_accuracy"] < 0.5


def test_an_accuracy_and_a_r_squared_worked_by_hand():
    # One factor of values 0, 1, 2, five rows each; those of value 2 are held out. A constant code:
    # ridge regression says the mean of the fit's targets 0 and 1/2. Of ten rows num_train = None
    # fits six and scores four.
    factors, codes = np.repeat([0, 1, 2], 5)[:, None], np.zeros((15, 1))
    held_out = factors[:, 0] == 2
    settings = {"num_train": None, "num_folds": 2, "boosted_trees": first_class}
    result = run(codes, factors, held_out, logistic_regression=first_class, **settings)
    assert result["logistic_regression_accuracy"] == 0  # value 2 was never seen
    ones = round(4 * (1 - result["logistic_regression_accuracy_in_distribution"]))
    mean = 0.5 * (5 - ones) / 6  # the fit has the other rows of value 1
    variance = 1 / 6  # of 0, 1/2, 1 over the whole table
    assert result["ridge_r2"] == pytest.approx(1 - (1 - mean) ** 2 / variance, abs=1e-6)
    error = ((4 - ones) * mean**2 + ones * (0.5 - mean) ** 2) / 4
    assert result["ridge_r2_in_distribution"] == pytest.approx(1 - error / variance, abs=1e-6)
    assert result["num_held_out_rows"] == 5


def test_a_value_that_only_held_out_rows_have():
    # Extrapolation: values 4 and 5 of the last factor. Ridge regression says them, no classifier
    # does; of the other factors nothing is missing.
    result = run(GRID.astype(float), held_out=GRID[:, 2] >= 4, num_train=50)
    assert result["ridge_r2:factor_2"] == pytest.approx(1, abs=1e-3)
    assert result["boosted_trees_accuracy:factor_2"] == 0
    assert result["logistic_regression_accuracy:factor_2"] == 0
    assert result["boosted_trees_accuracy_in_distribution:factor_2"] > 0.4
    # a factor with one value in the fit
    result = run(GRID.astype(float), held_out=GRID[:, 2] >= 1, num_train=13, num_test=7)
    assert result["ridge_r2_in_distribution:factor_2"] == 1
    assert result["boosted_trees_accuracy_in_distribution:factor_2"] == 1
    assert result["boosted_trees_accuracy:factor_2"] == 0
    variance = (np.arange(6) / 5).var()
    expected = 1 - np.mean((np.arange(1, 6) / 5) ** 2) / variance
    whole = run(GRID.astype(float), held_out=GRID[:, 2] >= 1, num_train=None)
    assert whole["ridge_r2:factor_2"] == pytest.approx(expected)


def test_means_gaps_and_keys():
    result = run(standardised(GRID) + np.random.default_rng(3).normal(0, 0.5, GRID.shape))
    for readout in READOUTS:
        for key in (readout, f"{readout}_in_distribution"):
            of_factors = [result[f"{key}:factor_{j}"] for j in range(3)]
            assert result[key] == pytest.approx(np.mean(of_factors))
        gap = result[f"{readout}_in_distribution"] - result[readout]
        assert result[f"{readout}_gap"] == pytest.approx(gap)
    assert len(result) == 3 * (3 + 2 * 3) + 2
    named = repeats.named(result, ("shape", "x", "y"))
    assert named["ridge_r2:y"] == result["ridge_r2:factor_2"]
    key = "boosted_trees_accuracy_in_distribution:shape"
    assert named[key] == result["boosted_trees_accuracy_in_distribution:factor_0"]


def test_no_row_is_in_two_of_the_three_sets():
    # The code is the row's number. Seen rows are those whose label the nearest code repeats.
    codes, factors = np.arange(120.0)[:, None], np.arange(120)[:, None] // 2
    held_out = np.arange(120) % 2 == 1  # one of each pair: the other may be in the fit
    with collecting():
        result = run(codes, factors, held_out, num_train=30, num_test=30)
    assert result["boosted_trees_accuracy_in_distribution"] == 0
    assert 0.2 < result["boosted_trees_accuracy"] < 0.8  # half of the others were fitted


def test_the_scale_of_codes_does_not_matter_and_a_constant_code_is_borne():
    codes = standardised(GRID) + np.random.default_rng(3).normal(0, 0.5, GRID.shape)
    scaled = np.concatenate([codes * [1e-3, 1, 1e3] + 7, np.full((120, 1), 0.1)], axis=1)
    one, other = run(codes), run(scaled)
    for key in one:
        assert other[key] == pytest.approx(one[key], abs=1e-3), key


def test_without_a_mask_rows_are_split_at_random_and_a_warning_says_so():
    with pytest.warns(ScoreWarning, match="marks no row as held out.*in distribution") as caught:
        result = run(GRID.astype(float), held_out=None)
    assert [warning.message.kind for warning in caught] == ["no_held_out_rows"]
    for readout in READOUTS:
        assert result[readout] == result[f"{readout}_in_distribution"]
        assert result[f"{readout}_gap"] == 0
    assert result["num_held_out_rows"] == 0


def test_too_few_rows_are_said():
    with pytest.warns(ScoreWarning, match="the table has 90 rows: 60 train and 30 test"):
        run(GRID.astype(float), num_train=1000, num_test=5000)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"held_out": CORNER[1:]}, r"held_out has dtype bool and shape \(119,\), expected bool"),
        ({"held_out": CORNER.astype(int)}, "held_out has dtype int64"),
        ({"held_out": np.ones(120, bool)}, 'every row was held out .*evaluate.rows = "all"'),
        ({"held_out": np.zeros(120, bool)}, 'no row was held out .*evaluate.rows = "all"'),
        ({"held_out": np.arange(120) > 0}, "needs two rows, the table has one"),
        ({"num_train": 0}, "num_train = 0 and num_test = 30, expected positive whole numbers"),
        ({"num_train": 60.5}, "num_train = 60.5 and"),
        ({"num_test": None}, "num_test = None, expected positive"),
        ({"num_train": 3}, "RidgeCV cannot be fitted to 3 rows and 3 codes"),
        ({"num_folds": 1}, "num_folds = 1, expected a whole number of at least 2"),
        ({"alphas": ()}, r"readout_transfer.alphas must be a list of numbers, got \(\)"),
        ({"alphas": 1.0}, "readout_transfer.alphas must be a list of numbers, got 1.0"),
        ({"alphas": "1"}, "readout_transfer.alphas must be a list of numbers, got '1'"),
        ({"alphas": (0.0, 1.0)}, "readout_transfer.alphas must be a number of at least 1e-12, got"),
        ({"logistic_regression": 3}, "logistic_regression = 3, expected a function of random_st"),
        ({"boosted_trees": lambda random_state: 3}, "boosted_trees makes a int, expected a model"),
    ],
)
def test_what_is_out_of_range_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        run(GRID.astype(float), **settings)


def test_the_mask_comes_from_the_table_and_is_no_part_of_the_configuration():
    small = ["readout_transfer.num_train = 60", "readout_transfer.num_test = 30"]
    trees = "lightgbm_exact_gradient_boosting.num_rounds = 3"
    gin_utils.parse(metric_config.files(["readout_transfer"]), [*small, trees])
    call = metric_config.resolve("readout_transfer")
    assert "held_out" not in call.config_text
    names = ("a", "b", "c")
    table = Representation(standardised(GRID), GRID, names, SIZES, CORNER)
    values = repeats.score(call, table, 0, 1, "readout_transfer")
    rng = seeds.generator(0, "readout_transfer")
    assert values == call(table.codes, table.factors, rng, held_out=CORNER)
    assert values["num_held_out_rows"] == 30
    other = metric_config.MetricCall("mig", lambda codes, factors, rng: {"x": 1.0}, "")
    assert repeats.score(other, table, 0, 1, "mig") == {"x": 1.0}  # it takes no mask


def test_arrays_have_no_mask():
    small = ["readout_transfer.num_train = 60", "readout_transfer.num_test = 30"]
    trees = "lightgbm_exact_gradient_boosting.num_rounds = 3"
    with pytest.warns(ScoreWarning, match="in distribution"):
        scores = score_arrays(GRID, GRID, ["readout_transfer"], gin_bindings=[*small, trees])
    assert scores["readout_transfer"]["ridge_r2"] == pytest.approx(1, abs=1e-3)
