"""The reduced downstream task: what is still known of the factors once the codes that matter most
for one of them are gone?
"""

from collections.abc import Sequence

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.errors import UserError
from dlib_tf2.metrics import _limits, _parallel, _rows, common
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._predictors import Classifier, fit_and_score

HEADLINE = Headline(
    key="1000:mean_test_accuracy_other_factors",
    higher_is_better=True,
    low=0,
    high=1,
    random=0.12,
    cost="minutes",
)


@gin.register
def reduced_downstream_task(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | Sequence[int] | None = (1000,),
    num_test: int | None = 1000,
    num_codes_to_remove: int = 1,
    disjoint: bool | None = None,
    classifier: Classifier = lightgbm_exact_gradient_boosting,
    importance_classifier: Classifier = lightgbm_exact_gradient_boosting,
) -> dict[str, float]:
    """Computes the reduced downstream task, a variation on the downstream task of Locatello et al.,
    ICML 2019 (arXiv 1811.12359).

    No paper is known to define it. For each factor: `num_codes_to_remove` times, fit
    `importance_classifier` on the codes left and drop the one with the largest importance for that
    factor; then predict every factor from the codes that remain. Of a disentangled representation
    the reduced factor falls to chance and the others stay: `<n>:mean_test_accuracy_reduced_factor`
    is low (about 1 / its number of values), `<n>:mean_test_accuracy_other_factors` high. Noise and
    constant codes have both at chance, duplicated codes both high.

    No code left, or one class in the training rows: the most frequent class is predicted. One
    factor: the keys about other factors are left out. A factor with one value is left out, and keys
    keep the numbers of the columns. The fits run through `joblib.Parallel()`; scores do not depend
    on its workers.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows and of each classifier's random state.
        num_train: training set sizes, or one; None shuffles all rows and splits them 2:1 once.
        num_test: test rows of each size.
        num_codes_to_remove: at least 0.
        disjoint: True: no row in both sets; False: both drawn with replacement; None: False on a
            full grid where at most 5 % of the test rows should be training rows too, else True.
        classifier: factory called with `random_state`, for the models that predict.
        importance_classifier: factory for the models whose `feature_importances_` say which code
            goes.

    Returns:
        For each size n, S in `train`, `test`: `n:mean_S_accuracy_reduced_factor` and
        `n:mean_S_accuracy_other_factors`, means over the
        reduced factors; for each reduced factor f `n:reduced_factor_f:mean_S_accuracy_` +
        `reduced_factor`, `non_reduced_factor` (mean of
        the others) and `factor_i`. Also `n:test_overlap` and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, one row only, a factor of over 500 values, no
            factor that varies, no size, or counts out of range.
    """
    checked, labels = common.check_table(codes, factors)
    _limits.check_classes(labels)
    wanted = _rows.training_sizes(num_train, labels, num_test, disjoint)
    common.check_counts(0, num_codes_to_remove=num_codes_to_remove)
    kept = np.flatnonzero(common.sizes(labels) > 1).tolist()
    labels = common.varying_factors(labels)
    num_factors = labels.shape[1]
    result: dict[str, float] = {}
    overlaps, tasks, costs = {}, [], []
    for size in wanted:
        train, test, overlap = _rows.split_rows(rng, labels, size, num_test, disjoint)
        overlaps[len(train)] = overlap
        sets = checked[train], labels[train], checked[test], labels[test]
        for factor in range(num_factors):
            seeds = rng.integers(2**31, size=num_codes_to_remove + num_factors).tolist()
            removers = [
                common.make_model(importance_classifier, seed, "importance_classifier")
                for seed in seeds[:num_codes_to_remove]
            ]
            predictors = [
                common.make_model(classifier, seed) for seed in seeds[num_codes_to_remove:]
            ]
            tasks.append((factor, removers, predictors, *sets))
            costs.append(len(train) * float(common.sizes(labels).sum()))
    accuracies = np.array(_parallel.run(_reduce_and_predict, tasks, costs)).reshape(
        len(wanted), num_factors, num_factors, 2
    )
    for (size, overlap), of_size in zip(overlaps.items(), accuracies, strict=True):
        result[f"{size}:test_overlap"] = overlap
        for side, name in enumerate(("train", "test")):
            result |= _keys(of_size[..., side], kept, f"{size}:", f"mean_{name}_accuracy_")
    return {**result, "num_factors_scored": float(num_factors)}


def _reduce_and_predict(
    factor: int,
    removers: list,
    predictors: list,
    train_codes: NDArray[np.float32],
    train_labels: common.Labels,
    test_codes: NDArray[np.float32],
    test_labels: common.Labels,
) -> list[tuple[float, float]]:
    """Drops a code per remover, then predicts: training and test accuracy of each factor."""
    left = np.arange(train_codes.shape[1])
    for model in removers:
        if len(left):
            codes, target = train_codes[:, left], train_labels[:, factor]
            importances = fit_and_score(model, codes, target, codes[:1], target[:1]).importances
            if importances is None:
                raise UserError(
                    f"importance_classifier: {type(model).__name__} has no feature_importances_;"
                    " take boosted trees"
                )
            left = np.delete(left, importances.argmax())
    pairs = []
    for model, train, test in zip(predictors, train_labels.T, test_labels.T, strict=True):
        if len(left):
            fit = fit_and_score(model, train_codes[:, left], train, test_codes[:, left], test)
            pairs.append((fit.train_accuracy, fit.test_accuracy))
        else:
            common_class = np.bincount(train).argmax()
            pairs.append(
                (float(np.mean(train == common_class)), float(np.mean(test == common_class)))
            )
    return pairs


def _keys(
    accuracy: NDArray[np.float64], names: list[int], size: str, kind: str
) -> dict[str, float]:
    """All scores of one training size from accuracies [reduced factor, predicted factor]."""
    num_factors = len(names)
    result = {f"{size}{kind}reduced_factor": float(np.diag(accuracy).mean())}
    others = accuracy[~np.eye(num_factors, dtype=bool)].reshape(num_factors, num_factors - 1)
    if num_factors > 1:
        result[f"{size}{kind}other_factors"] = float(others.mean())
    for reduced, row in enumerate(accuracy):
        prefix = f"{size}reduced_factor_{names[reduced]}:{kind}"
        result |= {f"{prefix}factor_{names[i]}": float(value) for i, value in enumerate(row)}
        result[f"{prefix}reduced_factor"] = float(row[reduced])
        if num_factors > 1:
            result[f"{prefix}non_reduced_factor"] = float(others[reduced].mean())
    return result
