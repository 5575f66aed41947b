"""The strong downstream task: does a predictor still work where another factor takes values it has
never seen?
"""

from collections.abc import Sequence

import gin
import numpy as np
from numpy.typing import ArrayLike

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _limits, _parallel, _rows, common
from dlib_tf2.metrics._interventions import Interventions
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._predictors import Classifier, fit_and_score

HEADLINE = Headline(
    key="1000:mean_strong_test_accuracy",
    higher_is_better=True,
    low=0,
    high=1,
    random=0.12,
    cost="minutes",
)


@gin.register
def strong_downstream_task(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | Sequence[int] | None = (1000,),
    num_test: int | None = 1000,
    num_experiments: int = 2,
    disjoint: bool | None = None,
    classifier: Classifier = lightgbm_exact_gradient_boosting,
) -> dict[str, float]:
    """Computes downstream accuracy under a shift of one factor, as in Locatello et al., ICML 2020
    (arXiv 2002.02886), section 5.

    Plain accuracies first: a predictor per factor on a training and a test set. Then, for each
    target factor, `num_experiments` times: another factor is drawn and one of its values; it has
    that value in the whole training set, and any of its other values, uniformly, in the test set;
    all other factors stay as in the plain sets. The gap is 1 - strong / plain test accuracy; it is
    about 0 where both are at chance, and it can be negative.

    On a table that is not a full grid, rows with the value stand for the changed ones (see
    `fairness`). A plain accuracy of 0 has gap 0. One factor: no other can be shifted, and strong
    keys and gap are left out. One class in the training rows: that class is predicted. A factor
    with one value is left out. The fits run through `joblib.Parallel()`; scores do not depend on
    its workers.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows, the shifts and each classifier's random state.
        num_train: training set sizes, or one; None shuffles all rows and splits them 2:1 once.
        num_test: test rows of each size.
        num_experiments: shifts per target factor, at least 1.
        disjoint: of the plain sets, True: no row in both; False: both drawn with replacement; None:
            False on a full grid where at most 5 % of the test rows should be training rows too,
            else True.
        classifier: factory called with `random_state`, for a model with `fit` and `predict`.

    Returns:
        For each size n: `n:mean_train_accuracy`, `n:mean_test_accuracy`,
            `n:mean_strong_train_accuracy`, `n:mean_strong_test_accuracy`,
        `n:strong_generalization_gap`, `n:test_overlap`. Also `interventional` (1 on a full grid,
        else 0) and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, one row only, a factor of over 500 values, no
            factor that varies, no size, or counts out of range.
    """
    checked, labels = common.check_table(codes, factors)
    _limits.check_classes(labels)
    wanted = _rows.training_sizes(num_train, labels, num_test, disjoint)
    common.check_counts(num_experiments=num_experiments)
    labels = common.varying_factors(labels)
    num_factors, interventions, tasks, costs = labels.shape[1], Interventions(labels), [], []
    overlaps: dict[int, float] = {}

    def add(target: int, train: common.Labels, test: common.Labels) -> None:
        model = common.make_model(classifier, int(rng.integers(2**31)))
        tasks.append(
            (model, checked[train], labels[train, target], checked[test], labels[test, target])
        )
        costs.append(len(train) * float(common.sizes(labels)[target]))

    for size in wanted:
        train, test, overlap = _rows.split_rows(rng, labels, size, num_test, disjoint)
        overlaps[len(train)] = overlap
        for target in range(num_factors):
            add(target, train, test)
        for target in np.repeat(
            np.arange(num_factors), num_experiments if num_factors > 1 else 0
        ).tolist():
            add(target, *_shift(interventions, rng, labels, target, train, test))
    accuracy = np.array(
        [
            (fit.train_accuracy, fit.test_accuracy)
            for fit in _parallel.run(fit_and_score, tasks, costs)
        ]
    )
    result: dict[str, float] = {}
    for (size, overlap), of_size in zip(
        overlaps.items(), np.split(accuracy, len(wanted)), strict=True
    ):
        result |= _keys(f"{size}:", of_size[:num_factors].mean(axis=0), of_size[num_factors:]) | {
            f"{size}:test_overlap": overlap
        }
    return {
        **result,
        "interventional": float(interventions.exact),
        "num_factors_scored": float(num_factors),
    }


def _shift(
    interventions: Interventions,
    rng: np.random.Generator,
    labels: common.Labels,
    target: int,
    train: common.Labels,
    test: common.Labels,
) -> tuple[common.Labels, common.Labels]:
    """Training rows with one value of a random factor other than `target`, and test rows with its
    other values.
    """
    factor = int(rng.integers(labels.shape[1] - 1))
    factor += factor >= target
    size = int(common.sizes(labels)[factor])
    value = int(rng.integers(size))
    other = rng.integers(size - 1, size=len(test))
    other += other >= value
    return interventions.set(rng, train, factor, np.full(len(train), value)), interventions.set(
        rng, test, factor, other
    )


def _keys(size: str, plain, strong) -> dict[str, float]:
    """Scores of one training size from the plain accuracies [train, test] and those of the
    experiments [experiments, (train, test)].
    """
    result = {
        f"{size}mean_train_accuracy": float(plain[0]),
        f"{size}mean_test_accuracy": float(plain[1]),
    }
    if not len(strong):
        return result
    train, test = strong.mean(axis=0).tolist()
    gap = 1 - test / result[f"{size}mean_test_accuracy"] if plain[1] else 0.0
    strong_keys = {
        f"{size}mean_strong_train_accuracy": train,
        f"{size}mean_strong_test_accuracy": test,
    }
    return result | strong_keys | {f"{size}strong_generalization_gap": gap}
