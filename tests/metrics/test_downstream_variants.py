"""The reduced and the strong downstream task on codes whose accuracies are known."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics import common
from dlib_tf2.metrics._interventions import Interventions
from dlib_tf2.metrics.reduced_downstream_task import reduced_downstream_task
from dlib_tf2.metrics.strong_downstream_task import _shift, strong_downstream_task

GRID = np.stack(np.unravel_index(np.arange(4 * 3 * 5), (4, 3, 5)), axis=1)
CHANCE = (1 / 4 + 1 / 3 + 1 / 5) / 3


def tree(random_state):
    return DecisionTreeClassifier(random_state=random_state)


def reduced(codes, factors=GRID, seed=0, **parameters):
    trees = {
        "classifier": tree,
        "importance_classifier": tree,
        "num_train": (600,),
        "num_test": 2000,
    }
    return reduced_downstream_task(
        codes, factors, np.random.default_rng(seed), **trees | parameters
    )


def strong(codes, factors=GRID, seed=0, **parameters):
    return strong_downstream_task(
        codes,
        factors,
        np.random.default_rng(seed),
        **{"classifier": tree, "num_train": (600,), "num_test": 2000} | parameters,
    )


def with_replacement(metric, codes, **parameters):
    """A metric as the study draws rows, on many more of them than there are grid points."""
    with pytest.warns(ScoreWarning, match="of the test rows are training rows too"):
        return metric(codes, disjoint=False, **parameters)


def test_without_its_code_a_factor_falls_to_chance_and_the_others_stay():
    result = with_replacement(reduced, GRID.astype(float), num_train=(300, 600))
    for size in (300, 600):
        assert result[f"{size}:mean_test_accuracy_other_factors"] == 1.0
        assert result[f"{size}:mean_train_accuracy_other_factors"] == 1.0
        assert result[f"{size}:mean_test_accuracy_reduced_factor"] == pytest.approx(
            CHANCE, abs=0.06
        )
        for factor, other in ((0, 1), (1, 2), (2, 0)):
            prefix = f"{size}:reduced_factor_{factor}:mean_test_accuracy_"
            assert result[f"{prefix}factor_{factor}"] == result[f"{prefix}reduced_factor"] < 0.5
            assert result[f"{prefix}factor_{other}"] == result[f"{prefix}non_reduced_factor"] == 1.0
    assert 0.9 < result["600:test_overlap"] <= 1  # sixty grid points


def test_a_copy_leaks_until_it_is_removed_too():
    doubled = np.concatenate([GRID, GRID], axis=1).astype(float)
    assert with_replacement(reduced, doubled)["600:mean_test_accuracy_reduced_factor"] == 1.0
    without_both = with_replacement(reduced, doubled, num_codes_to_remove=2)
    assert without_both["600:mean_test_accuracy_reduced_factor"] == pytest.approx(CHANCE, abs=0.06)
    with_all = with_replacement(reduced, doubled, num_codes_to_remove=0)
    assert with_all["600:mean_test_accuracy_reduced_factor"] == 1.0


def test_without_any_code_the_most_frequent_class_is_said():
    result = with_replacement(reduced, GRID[:, :1].astype(float), num_codes_to_remove=3)
    for key in ("reduced_factor", "other_factors"):
        assert result[f"600:mean_test_accuracy_{key}"] == pytest.approx(CHANCE, abs=0.04)
    constant = with_replacement(reduced, np.ones((60, 2)))
    assert constant["600:mean_test_accuracy_reduced_factor"] == pytest.approx(CHANCE, abs=0.04)


def test_keys_keep_the_numbers_of_the_columns_and_one_factor_has_no_others():
    few = {"num_train": (40,), "num_test": 20}
    result = reduced(
        GRID[:, :1].astype(float), np.stack([np.zeros(60, int), GRID[:, 0]], axis=1), **few
    )
    assert set(result) == {
        *(
            f"40:{prefix}mean_{side}_accuracy_{key}"
            for side in ("train", "test")
            for prefix, key in (
                ("", "reduced_factor"),
                ("reduced_factor_1:", "factor_1"),
                ("reduced_factor_1:", "reduced_factor"),
            )
        ),
        "40:test_overlap",
        "num_factors_scored",
    }


def test_a_classifier_without_importances_cannot_choose_the_code():
    linear = {"importance_classifier": lambda random_state: LogisticRegression()}
    message = "importance_classifier: LogisticRegression has no feature_importances_; take boosted"
    with pytest.raises(UserError, match=message):
        reduced(GRID.astype(float), num_train=30, num_test=20, **linear)
    with pytest.raises(UserError, match="num_codes_to_remove = -1"):
        reduced(GRID, num_codes_to_remove=-1)


def test_a_shift_never_touches_the_target_nor_shares_a_value_between_train_and_test():
    labels = common.check_table(np.zeros((60, 1)), GRID)[1]
    rng, shifted = np.random.default_rng(0), set()
    for _ in range(40):
        target = int(rng.integers(3))
        rows = rng.integers(60, size=50), rng.integers(60, size=70)
        train, test = (
            labels[drawn] for drawn in _shift(Interventions(labels), rng, labels, target, *rows)
        )
        (factor,) = [f for f in range(3) if not (np.array_equal(train[:, f], labels[rows[0], f]))]
        assert factor != target
        assert len(np.unique(train[:, factor])) == 1
        assert train[0, factor] not in test[:, factor]
        np.testing.assert_array_equal(
            np.delete(test, factor, axis=1), np.delete(labels[rows[1]], factor, axis=1)
        )
        shifted.add((target, factor))
    assert len(shifted) == 6


def test_perfect_codes_generalise_and_mixed_ones_do_not():
    perfect = with_replacement(strong, GRID.astype(float), num_experiments=4)
    assert perfect["600:mean_strong_test_accuracy"] == perfect["600:mean_test_accuracy"] == 1.0
    assert perfect["600:strong_generalization_gap"] == 0.0
    mixed = GRID @ np.random.default_rng(0).normal(size=(3, 3))
    result = with_replacement(strong, mixed, num_experiments=4)
    assert result["600:mean_test_accuracy"] == 1.0  # a tree remembers all sixty points
    assert result["600:mean_strong_train_accuracy"] == 1.0
    assert result["600:mean_strong_test_accuracy"] < 0.7
    assert result["600:strong_generalization_gap"] == pytest.approx(
        1 - result["600:mean_strong_test_accuracy"]
    )


def test_noise_and_constant_codes_stay_at_chance():
    tiled = np.tile(GRID, (500, 1))  # rows that are in both sets would be remembered
    for codes in (np.random.default_rng(0).normal(size=tiled.shape), np.ones(tiled.shape)):
        result = strong(codes, tiled)
        assert result["600:mean_strong_test_accuracy"] == pytest.approx(CHANCE, abs=0.06)
        assert result["600:mean_test_accuracy"] == pytest.approx(CHANCE, abs=0.06)


def test_one_factor_cannot_be_shifted_against_another():
    result = strong(GRID[:, :1].astype(float), GRID[:, :1], num_train=(40,), num_test=20)
    assert set(result) == {
        *(f"40:{key}" for key in ("mean_train_accuracy", "mean_test_accuracy", "test_overlap")),
        *("interventional", "num_factors_scored"),
    }
    with pytest.raises(UserError, match="num_experiments = 0"):
        strong(GRID, num_experiments=0)


def test_all_rows_are_split_two_to_one():
    for result in (
        reduced(GRID.astype(float), num_train=None),
        strong(GRID.astype(float), num_train=None),
    ):
        assert {key.split(":")[0] for key in result if ":" in key} == {"40"}
        assert result["40:test_overlap"] == 0.0
    with pytest.raises(UserError, match="expected sizes"):
        reduced(GRID.astype(float), num_train=())
    with pytest.raises(UserError, match="expected sizes"):
        strong(GRID.astype(float), num_train=())


@pytest.mark.parametrize("metric", [reduced, strong])
def test_settings_of_another_kind_are_refused(metric):
    codes = GRID.astype(float)
    assert metric(codes, num_train=40, num_test=20) == metric(codes, num_train=(40,), num_test=20)
    with pytest.raises(UserError, match="num_train = 10 and num_test = None"):
        metric(codes, num_train=[10, 50], num_test=None)
    with pytest.raises(UserError, match="classifier = 3, expected a function"):
        metric(codes, num_train=[10], num_test=10, classifier=3)
