"""DCI: disentanglement, completeness and informativeness from the importances of classifiers that
predict each factor.
"""

from collections.abc import Sequence

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.errors import UserError
from dlib_tf2.metrics import _limits, _parallel, _rows, common
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._predictors import Classifier, Fit, fit_and_score

HEADLINE = Headline(
    key="disentanglement", higher_is_better=True, low=0, high=1, random=0.0, cost="minutes"
)


@gin.register
def dci(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_test: int | None = 5_000,
    disjoint: bool | None = None,
    classifier: Classifier = lightgbm_exact_gradient_boosting,
) -> dict[str, float]:
    """Computes DCI of Eastwood and Williams, ICLR 2018 (OpenReview By-7dz-AZ), section 2, by
    boosted trees as in arXiv 1811.12359.

    A classifier per factor predicts it from all codes; its importances are a column of a matrix
    [codes, factors], from which come `disentanglement` and `completeness`. Informativeness is
    accuracy here (higher is better), not the paper's error. Every column weighs the same, so that
    the importances of a factor that no code predicts count in full.

    One factor: disentanglement is 1. One code: completeness is 1. No importance at all: both are 0.
    A factor with one value is left out. One class in the training rows: the classifier says that
    class, with importances 0. Duplicated codes share importance at random.

    The fits run through `joblib.Parallel()`: set the workers around the call with
    `joblib.parallel_config`; scores do not depend on them.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows and of each classifier's random state.
        num_train: training rows; None shuffles all rows and splits them 2:1.
        num_test: test rows.
        disjoint: True: no row in both sets; False: both drawn with replacement, as the study did;
            None: False on a full grid where at most 5 % of the test rows should be training rows
            too, else True.
        classifier: factory called with `random_state`, for a model with `fit`, `predict` and
            `feature_importances_`.

    Returns:
        `disentanglement`, `completeness`, `informativeness_train`, `informativeness_test`,
        `test_overlap` (fraction of the test rows that
        are training rows too), `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, one row only, a factor of over 500 values, or no
            factor that varies.
    """
    codes, labels = common.check_table(codes, factors)
    _limits.check_classes(labels)
    labels = common.varying_factors(labels)
    train, test, overlap = _rows.split_rows(rng, labels, num_train, num_test, disjoint)
    models = [
        common.make_model(classifier, int(rng.integers(2**31))) for _ in range(labels.shape[1])
    ]
    tasks = [
        (model, codes[train], labels[train, j], codes[test], labels[test, j])
        for j, model in enumerate(models)
    ]
    fits = _parallel.run(fit_and_score, tasks, costs=common.sizes(labels).tolist())
    importance = importance_matrix(fits, classifier)
    return {
        "disentanglement": disentanglement(importance),
        "completeness": completeness(importance),
        "informativeness_train": float(np.mean([fit.train_accuracy for fit in fits])),
        "informativeness_test": float(np.mean([fit.test_accuracy for fit in fits])),
        "test_overlap": overlap,
        "num_factors_scored": float(labels.shape[1]),
    }


def importance_matrix(fits: Sequence[Fit], classifier: Classifier) -> NDArray[np.float64]:
    """The importances [codes, factors] that classifiers of each factor found; models without any
    are refused.
    """
    columns = [fit.importances for fit in fits if fit.importances is not None]
    if len(columns) < len(fits):
        raise UserError(
            f"classifier {getattr(classifier, '__name__', classifier)} has no feature_importances_;"
            " DCI needs boosted trees"
        )
    return np.stack(columns, axis=1)


def disentanglement(importance: NDArray[np.float64]) -> float:
    """Scores how far each code serves one factor: sum over codes of its share of all importance
    times (1 - entropy of its row).

    Args:
        importance: [codes, factors], not negative.

    Returns:
        1 where every used code serves one factor (always so with one factor), 0 where all serve all
        alike or nothing is used.
    """
    return _concentration(importance)


def completeness(importance: NDArray[np.float64]) -> float:
    """Scores how far each factor is served by one code: as `disentanglement`, over the columns of
    `importance` [codes, factors].
    """
    return _concentration(importance.T)


def _concentration(importance: NDArray[np.float64]) -> float:
    """Mean over rows, weighted by their sums, of 1 - entropy of the normalised row in units of the
    largest possible entropy.
    """
    total = importance.sum()
    if total == 0:
        return 0.0
    if importance.shape[1] == 1:
        return 1.0
    share = importance + 1e-11  # the study's constant: keeps empty rows defined
    share = share / share.sum(axis=1, keepdims=True)
    concentration = 1 + (share * np.log(share)).sum(axis=1) / np.log(importance.shape[1])
    return float((importance.sum(axis=1) / total * concentration).sum())
