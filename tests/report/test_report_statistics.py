"""The report's statistics against cases worked by hand, scipy, and simulations of known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dlib_tf2.report.statistics import explained_variance, rank_correlations, win_probability


def test_explained_variance_of_a_hand_worked_table():
    # Groups a = (1, 3), b = (5, 7): total 20 = between 16 (means 2 and 6 around 4) + within 4.
    found = explained_variance([1, 3, 5, 7], list("aabb"))
    assert found == pytest.approx((0.8, 1 - 0.2 * 3 / 2, 1 / 3, 4, 2))


def test_explained_variance_is_least_squares_on_indicators_for_unequal_groups():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 5, 60)
    values = groups**2 + rng.normal(0, 3, 60)
    indicators = (groups[:, None] == np.arange(5)).astype(float)
    residual = values - indicators @ np.linalg.lstsq(indicators, values, rcond=None)[0]
    assert explained_variance(values, groups).r2 == pytest.approx(
        1 - residual @ residual / np.sum((values - values.mean()) ** 2)
    )


def test_shares_of_variance_that_were_put_in_come_out():
    # Balanced and orthogonal by construction: method, strength within method and seed carry exactly
    # 37, 22 and 41 %.
    method = np.repeat([-1.0, 1.0], 12)
    strength = np.tile(np.repeat([-1.0, 0.0, 1.0], 4), 2)
    seed = np.tile([-1.0, 1.0, -1.0, 1.0], 6)
    parts = [(method, 0.37), (strength, 0.22), (seed, 0.41)]
    values = sum(np.sqrt(share) * part / part.std() for part, share in parts)
    assert explained_variance(values, method).r2 == pytest.approx(0.37)
    assert explained_variance(values, method * 10 + strength).r2 == pytest.approx(0.59)


def test_pure_noise_gives_the_null_expectation_and_adjusted_zero():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(36), 5)
    found = [explained_variance(rng.normal(size=180), groups) for _ in range(300)]
    assert found[0].null == pytest.approx(35 / 179)
    # standard error 0.0024
    assert np.mean([one.r2 for one in found]) == pytest.approx(35 / 179, abs=0.01)
    assert np.mean([one.adjusted for one in found]) == pytest.approx(0, abs=0.012)


@pytest.mark.parametrize(
    "values, groups", [([1, 2], "ab"), ([1, 2, 3], "aaa"), ([1, 1, 1, 1], "aabb"), ([], "")]
)
def test_what_cannot_be_explained_is_none(values, groups):
    assert explained_variance(values, list(groups)) is None


def test_rank_correlation_is_scipys_with_ties_and_missing_values():
    rng = np.random.default_rng(1)
    left = pd.DataFrame({"a": rng.integers(0, 4, 50).astype(float), "b": rng.normal(size=50)})
    right = pd.DataFrame(
        {"c": left["b"] + rng.normal(size=50), "d": rng.integers(0, 3, 50).astype(float)}
    )
    left.loc[:9, "a"], right.loc[5:20, "d"], right.loc[49, "c"] = np.nan, np.nan, np.inf
    found = rank_correlations(left, right, bootstrap=100).set_index(["left", "right"])
    assert list(found.index) == [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]
    for (one, other), row in found.iterrows():
        both = np.isfinite(left[one]) & np.isfinite(right[other])
        assert row["n"] == both.sum()
        assert row["rho"] == pytest.approx(
            stats.spearmanr(left[one][both], right[other][both]).statistic
        )
        assert row["low"] < row["rho"] < row["high"]


def test_the_bootstrap_ranks_every_sample_anew():
    rng = np.random.default_rng(2)
    left, right = rng.integers(0, 6, 30).astype(float), rng.normal(size=30)
    right = right + left / 3
    drawn = np.random.default_rng(7).integers(30, size=(200, 30))
    direct = [stats.spearmanr(left[rows], right[rows]).statistic for rows in drawn]
    found = rank_correlations(
        pd.DataFrame({"a": left}), pd.DataFrame({"b": right}), bootstrap=200, seed=7
    ).iloc[0]
    assert [found["low"], found["high"]] == pytest.approx(list(np.quantile(direct, [0.025, 0.975])))


def test_a_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    rho = 0.6
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's of a bivariate normal
    covered = []
    for trial in range(300):
        pair = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 60)
        found = rank_correlations(
            pd.DataFrame(pair[:, :1]), pd.DataFrame(pair[:, 1:]), bootstrap=300, seed=trial
        ).iloc[0]
        covered.append(found["low"] <= truth <= found["high"])
    # 95 % is asked for; standard error of 300 trials 1.3 %
    assert 0.90 <= np.mean(covered) <= 0.985


def test_too_few_or_equal_values_are_not_estimated():
    def rho(left, right):
        return rank_correlations(
            pd.DataFrame({"a": left}), pd.DataFrame({"b": right}), bootstrap=100
        ).iloc[0]

    assert np.isnan(rho([1.0, 2.0], [1.0, 2.0])["rho"])
    three = rho([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert three["rho"] == pytest.approx(0.5)
    assert np.isnan(three["low"])
    equal = rho(np.ones(20), np.arange(20.0))
    assert (equal["n"], np.isnan(equal["rho"]), np.isnan(equal["low"])) == (20, True, True)
    again = [rho(np.arange(20.0), np.arange(20.0) % 7)["low"] for _ in range(2)]
    assert again[0] == again[1]  # seeded


def test_a_setting_that_is_always_best_wins_but_against_itself():
    rng = np.random.default_rng(4)
    scores = rng.random((3, 4, 9, 6))
    # of 9 settings: 8 of 9 opponents lose, the ninth is itself and counts half
    scores[:, :, 5] += 10
    for same_metric in (True, False):
        for same_dataset in (True, False):
            win = win_probability(scores, same_metric, same_dataset, 20000, rng)
            assert win.draws == 20000
            assert win.probability == pytest.approx(1 - 1 / 18, abs=0.005)
            assert win.standard_error == pytest.approx(
                np.sqrt(1 / 9 * 8 / 9) / 2 / np.sqrt(20000), rel=0.05
            )


def test_a_choice_that_means_nothing_wins_half():
    scores = np.random.default_rng(5).random((4, 3, 12, 40))
    assert win_probability(
        scores, False, False, 40000, np.random.default_rng(6)
    ).probability == pytest.approx(0.5, abs=0.02)
    assert (
        win_probability(
            np.ones((2, 2, 5, 4)), True, True, 1000, np.random.default_rng(7)
        ).probability
        == 0.5
    )


def test_metrics_and_datasets_are_taken_same_or_different_as_asked():
    # Metric 1 and dataset 1 each turn the order round, so that the best setting of two becomes the
    # worst where exactly one of them differs.
    order = np.array([0.0, 1.0])
    scores = np.empty((2, 2, 2, 3))
    for metric in range(2):
        for dataset in range(2):
            scores[metric, dataset] = (order if (metric + dataset) % 2 == 0 else 1 - order)[:, None]
    rng = np.random.default_rng(8)
    found = {
        (m, d): win_probability(scores, m, d, 4000, rng).probability
        for m in (True, False)
        for d in (True, False)
    }
    # The opponent is the other setting half of the time (win or loss) and itself else (half a win).
    expected = {(True, True): 0.75, (True, False): 0.25, (False, True): 0.25, (False, False): 0.75}
    assert found == pytest.approx(expected, abs=0.03)


def test_the_target_is_another_seed():
    # Each seed has a best setting of its own that is no better than the rest elsewhere.
    scores = np.zeros((1, 1, 5, 5))
    scores[0, 0, np.arange(5), np.arange(5)] = 1
    win = win_probability(scores, True, True, 20000, np.random.default_rng(9))
    # loses to the target's own best, 1 of 5; ties with the others
    assert win.probability == pytest.approx(0.4, abs=0.01)


def test_missing_models_are_drawn_around():
    rng = np.random.default_rng(10)
    scores = rng.random((2, 2, 6, 5))
    scores[:, :, :2] = np.nan
    scores[0, 0, 3:, 1:] = np.nan
    scores[:, :, 2] = 10.0  # the best wherever it is compared, with itself or one of three others
    win = win_probability(scores, True, False, 3000, rng)
    # those that would start or end where a single setting is left were made again
    assert win.draws == 3000
    assert win.probability == pytest.approx(1 - 1 / 8, abs=0.02)
    scores[:] = np.nan
    assert win_probability(scores, True, False, 1000, rng) is None
    scores[0, 0, :, 0] = 1.0  # one seed alone
    assert win_probability(scores, True, True, 1000, rng) is None


@pytest.mark.parametrize(
    "shape, metric, dataset",
    [((1, 2, 3, 3), False, True), ((2, 1, 3, 3), True, False), ((2, 2, 3, 1), True, True)],
)
def test_no_win_probability_without_two_to_choose_from(shape, metric, dataset):
    assert (
        win_probability(
            np.random.default_rng(0).random(shape), metric, dataset, 100, np.random.default_rng(0)
        )
        is None
    )
