"""The downstream task: accuracies by scikit-learn in the definition, sizes, and the measured values
of the study's codes.
"""

import joblib
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics import _rows, common
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._linear import (
    sklearn_logistic_regression_cv,
    sklearn_multinomial_logistic_regression_cv,
)
from dlib_tf2.metrics.downstream_task import downstream_task

GRID = np.stack(np.unravel_index(np.arange(4 * 5 * 6), (4, 5, 6)), axis=1)


def run(codes, factors, seed=0, **parameters):
    return downstream_task(codes, factors, np.random.default_rng(seed), **parameters)


def tree(random_state):
    return DecisionTreeClassifier(max_depth=3, random_state=0)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    factors = np.stack(
        [rng.integers(3, size=900), np.full(900, 7), rng.integers(5, size=900)], axis=1
    )
    return (factors @ rng.normal(size=(3, 4)) + rng.normal(size=(900, 4))).astype(
        np.float32
    ), factors


def test_accuracies_equal_sklearn_in_the_definition(table):
    codes, factors = table
    result = run(codes, factors, num_train=[30, 200], num_test=300, classifier=tree)
    rng, labels = np.random.default_rng(0), common.check_table(codes, factors)[1]
    for size in (30, 200):
        train, test, _ = _rows.split_rows(
            np.random.default_rng(0) if size == 30 else rng, labels, size, 300
        )
        if size == 30:  # what the first size drew, so that the second starts where it ended
            _rows.split_rows(rng, labels, size, 300)
        models = {j: tree(0).fit(codes[train], factors[train, j]) for j in (0, 2)}
        for part, rows in (("train", train), ("test", test)):
            accuracies = {
                j: model.score(codes[rows], factors[rows, j]) for j, model in models.items()
            }
            for j, accuracy in accuracies.items():
                assert result[f"{size}:{part}_accuracy_factor_{j}"] == pytest.approx(
                    accuracy, abs=1e-12
                )
            assert result[f"{size}:mean_{part}_accuracy"] == pytest.approx(
                np.mean(list(accuracies.values()))
            )
            assert result[f"{size}:min_{part}_accuracy"] == pytest.approx(min(accuracies.values()))
        assert f"{size}:test_accuracy_factor_1" not in result  # it has one value
        assert result[f"{size}:test_overlap"] == 0.0
    assert result["num_factors_scored"] == 2.0
    assert len(result) == 2 * (4 + 4 + 1) + 1


def test_all_rows_are_split_two_to_one(table):
    result = run(*table, num_train=None, classifier=tree)
    assert {key.split(":")[0] for key in result} == {"600", "num_factors_scored"}


def test_workers_do_not_change_scores(table):
    expected = run(*table, num_train=[20, 100], num_test=200)
    with joblib.parallel_config(backend="loky", n_jobs=2, inner_max_num_threads=1):
        assert run(*table, num_train=[20, 100], num_test=200) == expected


def test_perfect_and_constant_codes():
    trees = {"classifier": lightgbm_exact_gradient_boosting}
    with pytest.warns(ScoreWarning, match="about 100% of the test rows are training rows too"):
        perfect = run(GRID, GRID, num_train=[1000], num_test=500, disjoint=False, **trees)
    assert perfect["1000:min_test_accuracy"] == 1.0
    assert perfect["1000:test_overlap"] == 1.0  # 120 points: every one is drawn for training
    with pytest.warns(ScoreWarning, match="about 100% of the test rows are training rows too"):
        constant = run(np.zeros_like(GRID), GRID, num_train=[1000], num_test=2000, disjoint=False)
    for factor, size in enumerate((4, 5, 6)):
        assert constant[f"1000:test_accuracy_factor_{factor}"] == pytest.approx(1 / size, abs=0.04)


@pytest.mark.slow
def test_measured_values_of_the_study_at_small_sizes(dsprites_grid, reference_codes):
    # Over seeds the mean accuracy of the ideal code is .202 +- .030 at 10 rows and .318 +- .034 at
    # 100: four standard errors of six seeds.
    scores = [
        run(reference_codes["ideal"], dsprites_grid, seed, num_train=[10, 100]) for seed in range(6)
    ]
    assert np.mean([score["10:mean_test_accuracy"] for score in scores]) == pytest.approx(
        0.191, abs=4 * 0.030 / np.sqrt(6)
    )
    assert np.mean([score["100:mean_test_accuracy"] for score in scores]) == pytest.approx(
        0.326, abs=4 * 0.034 / np.sqrt(6)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name, expected", [("ideal", 0.372), ("noise", 0.117), ("const", 0.117)])
def test_measured_values_of_the_study(dsprites_grid, reference_codes, name, expected):
    result = run(reference_codes[name], dsprites_grid, num_train=[10_000])
    # Which inner values of an ordered code are said depends on the draw: 0.33 to 0.38 were seen, by
    # scikit-learn as by Newton.
    assert result["10000:mean_test_accuracy"] == pytest.approx(
        expected, abs=0.02 if name == "ideal" else 0.01
    )
    if name == "ideal":
        assert result["10000:test_accuracy_factor_0"] == 1.0
        assert result["10000:test_accuracy_factor_2"] == pytest.approx(0.07, abs=0.03)


@pytest.mark.slow
def test_newton_and_sklearn_agree_and_the_multinomial_meaning_is_another_score(
    dsprites_grid, reference_codes
):
    few = {"num_train": [1000], "num_test": 5000}
    newton, sklearn, today = (
        run(reference_codes["ideal"], dsprites_grid, **few, **model)["1000:mean_test_accuracy"]
        for model in (
            {},
            {"classifier": sklearn_logistic_regression_cv},
            {"classifier": sklearn_multinomial_logistic_regression_cv},
        )
    )
    assert newton == pytest.approx(sklearn, abs=0.005)
    # Over seeds the accuracy is .338 +- .023; the old library's .357 is one draw more.
    seeds = [
        run(reference_codes["ideal"], dsprites_grid, seed, **few)["1000:mean_test_accuracy"]
        for seed in range(6)
    ]
    assert np.mean(seeds) == pytest.approx(0.357, abs=2 * 0.023 * np.sqrt(1 + 1 / 6))
    assert today == pytest.approx(0.884, abs=0.02)


def test_sizes_are_checked(table):
    for wrong in ([], "abc", 2.5):
        with pytest.raises(UserError, match="num_train = .*, expected sizes such as"):
            run(*table, num_train=wrong)
    with pytest.raises(UserError, match=r"num_train = 50 and num_test = None, expected positive"):
        run(*table, num_train=[50], num_test=None)
    with pytest.raises(UserError, match="classifier = 3, expected a function of random_state"):
        run(*table, num_train=[50], num_test=50, classifier=3)
    with pytest.warns(
        ScoreWarning, match="10,000 training and 5,000 test .* 600 train and 300 test"
    ):
        scored = run(*table, classifier=tree)
    assert {key.split(":")[0] for key in scored if ":" in key} == {"10", "100", "600"}
    with pytest.raises(
        UserError, match="cannot be fitted to 4 rows and .* codes: .*n_splits=5 greater than"
    ):
        run(*table, seed=3, num_train=[4], num_test=10)


def test_one_size_may_be_a_number(table):
    assert run(*table, num_train=50, num_test=50, classifier=tree) == run(
        *table, num_train=[50], num_test=50, classifier=tree
    )


def test_large_singular_codes_are_scored_without_a_warning(table):
    copies = np.repeat(table[0][:, :1], 2, axis=1) * 1e25
    result = run(copies, table[1], num_train=[100], num_test=50)
    assert all(np.isfinite(value) for value in result.values())
