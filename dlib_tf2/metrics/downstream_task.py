"""The downstream task: how well do classifiers read the factors off the codes, from few examples
and from many?
"""

from collections.abc import Sequence

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _limits, _parallel, _rows, common
from dlib_tf2.metrics._linear import sklearn_newton_logistic_regression_cv
from dlib_tf2.metrics._predictors import Classifier, Fit, fit_and_score

HEADLINE = Headline(
    key="10000:mean_test_accuracy",
    higher_is_better=True,
    low=0,
    high=1,
    random=0.12,
    cost="minutes",
)

SMALL_FIT = 1000  # rows' worth of cost that a fit has besides its rows


@gin.register
def downstream_task(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | Sequence[int] | None = (10, 100, 1000, 10_000),
    num_test: int | None = 5_000,
    disjoint: bool | None = None,
    classifier: Classifier = sklearn_newton_logistic_regression_cv,
) -> dict[str, float]:
    """Scores classifiers that predict each factor from all codes, by the number of training rows
    (arXiv 1811.12359, section 5.5).

    For every size, training and test rows are drawn anew. The paper's sample efficiency is the
    ratio of mean test accuracies at two sizes. With the study's one-vs-rest logistic regression
    even a perfect code stays far below 1: a linear function of an ordered code cannot single out
    its inner values. Chance is about the mean of 1 / (number of values). Codes are not scaled.

    A factor with one value is left out. In a training set of one class the classifier says that
    class.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows and of each classifier's random state.
        num_train: training rows of each size, or of one; None shuffles all rows and splits them 2:1
            once.
        num_test: test rows of each size.
        disjoint: True: no row in both sets; False: both drawn with replacement, as the study did;
            None: False on a full grid where at most 5 % of the test rows should be training rows
            too, else True.
        classifier: factory called with `random_state`: `lightgbm_exact_gradient_boosting`,
            `sklearn_gradient_boosting`, `sklearn_logistic_regression_cv` (the study's),
            `sklearn_newton_logistic_regression_cv` (the same, faster), or today's
            `sklearn_multinomial_logistic_regression_cv`.

    Returns:
        For each size n: `n:mean_train_accuracy`, `n:mean_test_accuracy`, `n:min_train_accuracy`,
            `n:min_test_accuracy` over factors,
        `n:train_accuracy_factor_i` and `n:test_accuracy_factor_i` (i: column of `factors`),
        `n:test_overlap` (fraction of the test
        rows that are training rows too); and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, one row only, a factor of over 500 values, no
            size, or no factor that varies.
    """
    codes, labels = common.check_table(codes, factors)
    _limits.check_classes(labels)
    common.varying_factors(labels)  # refuses a table without any
    varying = np.flatnonzero(common.sizes(labels) > 1).tolist()
    sizes = _rows.training_sizes(num_train, labels, num_test, disjoint)
    splits = [_rows.split_rows(rng, labels, size, num_test, disjoint) for size in sizes]
    tasks, costs = [], []
    for train, test, _ in splits:
        for j in varying:
            model = common.make_model(classifier, int(rng.integers(2**31)))
            tasks.append((model, codes[train], labels[train, j], codes[test], labels[test, j]))
            costs.append(float(common.sizes(labels)[j]) * (len(train) + SMALL_FIT))
    fits = _parallel.run(fit_and_score, tasks, costs)
    result: dict[str, float] = {}
    for number, (train, _, overlap) in enumerate(splits):
        of_size = fits[number * len(varying) : (number + 1) * len(varying)]
        result |= {
            f"{len(train)}:{key}": value for key, value in _summary(of_size, varying).items()
        }
        result[f"{len(train)}:test_overlap"] = overlap
    return {**result, "num_factors_scored": float(len(varying))}


def _summary(fits: Sequence[Fit], factors: Sequence[int]) -> dict[str, float]:
    summary: dict[str, float] = {}
    accuracies: dict[str, NDArray] = {
        "train": np.array([fit.train_accuracy for fit in fits]),
        "test": np.array([fit.test_accuracy for fit in fits]),
    }
    for part, values in accuracies.items():
        summary |= {
            f"mean_{part}_accuracy": float(values.mean()),
            f"min_{part}_accuracy": float(values.min()),
        }
        summary |= {
            f"{part}_accuracy_factor_{factor}": float(value)
            for factor, value in zip(factors, values, strict=True)
        }
    return summary
