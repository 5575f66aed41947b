"""Readout transfer: do readouts that were fitted to rows of the training distribution still work on
rows that training held out?
"""

from collections.abc import Sequence
from typing import Any

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.errors import UserError, check_number
from dlib_tf2.metrics import _limits, _parallel, _rows, common
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._linear import sklearn_multinomial_logistic_regression_cv
from dlib_tf2.metrics._predictors import Classifier, fit_quietly
from dlib_tf2.representations.table import checked_mask

HEADLINE = Headline(
    key="ridge_r2", higher_is_better=True, low=None, high=1, random=-0.01, cost="seconds"
)

# What each readout is scored by, in the order of the keys.
READOUTS = ("ridge_r2", "logistic_regression_accuracy", "boosted_trees_accuracy")
RIDGE_COST = 1.0  # in units of a classifier's cost per value of the factor


@gin.register
def readout_transfer(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 1000,
    num_test: int | None = 5000,
    alphas: Sequence[float] = (1e-6, 0.01, 0.1, 1.0, 10.0),
    num_folds: int = 5,
    logistic_regression: Classifier = sklearn_multinomial_logistic_regression_cv,
    boosted_trees: Classifier = lightgbm_exact_gradient_boosting,
    held_out: NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """Scores readouts of each factor on rows that the training of the model never drew, as in Xu,
    Niethammer, Raffel, NeurIPS 2022 (arXiv 2210.00482).

    Ridge regression, logistic regression and boosted trees are fitted to codes of rows that
    training drew, and scored on held-out rows, and, for comparison, on rows that training drew and
    the fit did not. All rows differ. Codes are standardised by the rows of the fit. Ridge
    regression predicts i / (n - 1) for value i of n, and its R^2 is 1 - (mean squared error) /
    (variance of the factor over the whole table), as in Schott et al., ICLR 2022
    (arXiv 2107.08221): it may be negative, and predicting the mean may score above 0 where the
    held-out rows vary less than the table. A value that only held-out rows have is legal: no
    classifier can say it, ridge regression can.

    Without a mask the rows are split at random: the scores are those in distribution, the gaps are
    0, and a warning says so. A factor with one value is left out. One class in the rows of the fit:
    that class is predicted. The fits run through `joblib.Parallel()`; scores do not depend on its
    workers.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows and of each classifier's random state.
        num_train: rows that readouts are fitted to, five at least; None shuffles the rows that
            training drew, splits them 2:1, and scores all held-out rows.
        num_test: most rows that are scored, of each kind.
        alphas: penalties of ridge regression, above 0, one of which is chosen by cross-validation;
            the smallest stands for none, which singular codes do not allow.
        num_folds: of that cross-validation, 2 at least; contiguous.
        logistic_regression: factory called with `random_state`, for a model with `fit` and
            `predict`. Its accuracies are called so whatever it makes.
        boosted_trees: another one.
        held_out: bool [n], True where training never drew the row; dlib_evaluate gives the table's.

    Returns:
        `ridge_r2`, `logistic_regression_accuracy`, `boosted_trees_accuracy`: means over factors on
            held-out rows; each also with `_in_distribution` on rows that training drew,
        and `_gap`, the second minus the first. `<key>:factor_i` of the first two (i: column of
        `factors`). `num_held_out_rows` that were scored, `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, fewer than two rows that training drew or fewer
            rows than folds, a factor of over 500 values, no factor that varies, a mask of another
            shape or dtype or of one kind of rows only, or settings out of range.

    Warns:
        ScoreWarning: there is no mask, or too few rows.
    """
    checked, labels = common.check_table(codes, factors)
    _limits.check_classes(labels)
    common.varying_factors(labels)  # refuses a table without any
    varying = np.flatnonzero(common.sizes(labels) > 1).tolist()
    _check_ridge(alphas, num_folds)
    fitted, drawn, new = _split(rng, labels, num_train, num_test, held_out)
    scaled = _standardised(checked, fitted)
    tasks: list[tuple] = []
    costs: list[float] = []
    for j in varying:
        models = [
            common.make_model(logistic_regression, int(rng.integers(2**31)), "logistic_regression"),
            common.make_model(boosted_trees, int(rng.integers(2**31)), "boosted_trees"),
        ]
        values = float(labels[:, j].max()) + 1
        target = labels[:, j] / (values - 1)
        for model, of_rows in (
            (_ridge(alphas, num_folds), target),
            *((model, labels[:, j]) for model in models),
        ):
            rows = [(scaled[some], of_rows[some]) for some in (fitted, drawn, new)]
            tasks.append((model, float(target.var()), *rows))
            costs.append(values if model in models else RIDGE_COST)
    scores = np.array(_parallel.run(_fit_and_score, tasks, costs))
    scores = scores.reshape(len(varying), len(READOUTS), 2)
    return {
        **_keys(scores, varying),
        "num_held_out_rows": float(len(new) if held_out is not None else 0),
        "num_factors_scored": float(len(varying)),
    }


def _check_ridge(alphas: Sequence[float], num_folds: int) -> None:
    if isinstance(alphas, str) or not isinstance(alphas, Sequence) or not alphas:
        raise UserError(f"readout_transfer.alphas must be a list of numbers, got {alphas!r}")
    for alpha in alphas:
        check_number(1e-12, readout_transfer__alphas=alpha)
    common.check_counts(2, num_folds=num_folds)


def _split(
    rng: np.random.Generator,
    labels: common.Labels,
    num_train: int | None,
    num_test: int | None,
    held_out: NDArray[np.bool_] | None,
) -> tuple[common.Labels, common.Labels, common.Labels]:
    """Row numbers: of the fit, of the same distribution, and held out; the last two are the same
    without a mask.
    """
    if held_out is None:
        fitted, drawn, _ = _rows.split_rows(rng, labels, num_train, num_test, disjoint=True)
        _limits.warn(
            "no_held_out_rows",
            "the table marks no row as held out of training: these are scores in distribution, of a"
            " random split; train on a distribution with hold_out for others",
        )
        return fitted, drawn, drawn
    mask = checked_mask("held_out", held_out, len(labels))
    if mask.all() or not mask.any():
        raise UserError(
            f"{'every' if mask.all() else 'no'} row was held out of training, and readouts are"
            " fitted to rows of one kind and scored on the other; score a whole table,"
            ' evaluate.rows = "all"'
        )
    inside, outside = np.flatnonzero(~mask), np.flatnonzero(mask)
    fitted, drawn, _ = _rows.split_rows(rng, labels[inside], num_train, num_test, disjoint=True)
    new = rng.permutation(outside)[: num_test if num_train is not None else None]
    return inside[fitted], inside[drawn], new


def _standardised(codes: NDArray[np.float32], rows: common.Labels) -> NDArray[np.float64]:
    """Codes [n, d] with mean 0 and standard deviation 1 over some rows; a code that is constant
    there is only moved.
    """
    some = codes[rows].astype(np.float64)
    deviation = np.where(np.ptp(some, axis=0) > 0, some.std(axis=0), 1.0)
    return (codes - some.mean(axis=0)) / deviation


def _ridge(alphas: Sequence[float], num_folds: int) -> Any:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold

    return RidgeCV(tuple(alphas), cv=KFold(num_folds), scoring="neg_mean_squared_error")


def _fit_and_score(
    model: Any,
    variance: float,
    train: tuple[NDArray, NDArray],
    drawn: tuple[NDArray, NDArray],
    new: tuple[NDArray, NDArray],
) -> tuple[float, float]:
    """Fits a readout to (codes, target) and scores it on two others: R^2 of a real target, by its
    variance in the table, or accuracy of labels.
    """
    of_numbers, target = train[1].dtype.kind == "f", train[1]
    if (target == target[0]).all():
        predicted = [np.full(len(codes), target[0]) for codes, _ in (drawn, new)]
    else:
        fit_quietly(model, *train)
        predicted = [model.predict(codes) for codes, _ in (drawn, new)]
    pairs = [(found, truth) for found, (_, truth) in zip(predicted, (drawn, new), strict=True)]
    if of_numbers:
        first, second = (
            1 - float(np.mean((found - truth) ** 2)) / variance for found, truth in pairs
        )
    else:
        first, second = (float(np.mean(found == truth)) for found, truth in pairs)
    return first, second


def _keys(scores: NDArray[np.float64], factors: Sequence[int]) -> dict[str, float]:
    """The result from scores [factors, readouts, (in distribution, held out)]."""
    result: dict[str, float] = {}
    for number, readout in enumerate(READOUTS):
        drawn, new = scores[:, number, 0], scores[:, number, 1]
        parts = {readout: new, f"{readout}_in_distribution": drawn}
        result |= {key: float(values.mean()) for key, values in parts.items()}
        result[f"{readout}_gap"] = float(drawn.mean() - new.mean())
        result |= {
            f"{key}:factor_{factor}": float(value)
            for key, values in parts.items()
            for factor, value in zip(factors, values, strict=True)
        }
    return result
