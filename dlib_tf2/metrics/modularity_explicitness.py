"""Modularity (does each code know one factor only?) and explicitness (can a linear classifier read
each factor off?).
"""

from typing import Any

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _limits, _parallel, _rows, common
from dlib_tf2.metrics._linear import sklearn_logistic_regression
from dlib_tf2.metrics._predictors import Classifier, fit_quietly

HEADLINE = Headline(
    key="modularity", higher_is_better=True, low=0, high=1, random=0.66, cost="seconds"
)

CHANCE = 0.5  # area under the curve of a score that knows nothing


@gin.register
def modularity_explicitness(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_test: int | None = 5_000,
    disjoint: bool | None = None,
    num_bins: int | None = 20,
    classifier: Classifier = sklearn_logistic_regression,
) -> dict[str, float]:
    """Computes modularity and explicitness of Ridgeway and Mozer, NeurIPS 2018 (arXiv 1802.05312),
    section 3, as the study did.

    Modularity: of code i, 1 - (sum of squared I(code i; factor) over all factors but the best) /
    (best^2 (factors - 1)), 0 for a code without information; the mean over all codes, unweighted.
    So nearly dead codes, which carry only the bias of I, count like any other, and noise scores far
    above 0.

    Explicitness: per factor the mean over its values of the one-vs-rest area under the ROC curve of
    a logistic regression on all codes, standardised by the training rows. It lies in [0.5, 1], and
    depends on what the model means by several classes: the study's is one-vs-rest, today's is
    `sklearn_multinomial_logistic_regression`.

    One factor: modularity is 1 for every code with information. A factor with one value is left
    out. Constant codes take no part in explicitness (standardising them would divide by 0). A value
    that the test rows lack has no curve and is left out of the mean; one that the training rows
    lack has probability 0 everywhere, an area of 0.5.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows and of the classifiers' random state.
        num_train: training rows; None shuffles all rows and splits them 2:1.
        num_test: test rows.
        disjoint: True: no row in both sets; False: both drawn with replacement, as the study did;
            None: False on a full grid where at most 5 % of the test rows should be training rows
            too, else True.
        num_bins: equal-width bins per code for modularity; None takes each distinct value as its
            own bin.
        classifier: factory called with `random_state`, for a model with `fit`, `classes_` and
            `predict_proba`.

    Returns:
        `modularity`, `explicitness_train`, `explicitness_test`, `test_overlap` (fraction of the
        test rows that are training rows too),
        `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, one row only, a factor of over 500 values, or no
            factor that varies.
    """
    _limits.check_bins(num_bins)
    codes, labels = common.check_table(codes, factors)
    _limits.check_classes(labels)
    labels = common.varying_factors(labels)
    train, test, overlap = _rows.split_rows(rng, labels, num_train, num_test, disjoint)
    information = common.mutual_information(
        common.discretize(codes[train], num_bins), labels[train]
    )
    train_codes, test_codes = _standardise(codes[train], codes[test])
    models = [
        common.make_model(classifier, int(rng.integers(2**31)), method="predict_proba")
        for _ in range(labels.shape[1])
    ]
    tasks = [
        (model, train_codes, labels[train, j], test_codes, labels[test, j])
        for j, model in enumerate(models)
    ]
    # [factors, 2]
    areas = np.array(_parallel.run(_explicitness, tasks, costs=common.sizes(labels).tolist()))
    return {
        "modularity": modularity(information),
        "explicitness_train": float(areas[:, 0].mean()),
        "explicitness_test": float(areas[:, 1].mean()),
        "test_overlap": overlap,
        "num_factors_scored": float(labels.shape[1]),
    }


def modularity(information: NDArray[np.float64]) -> float:
    """Scores how far each code knows one factor only.

    Args:
        information: [codes, factors], not negative.

    Returns:
        Mean over codes, in [0, 1]: 1 where every code knows one factor; a code that knows nothing
        counts as 0.
    """
    best = information.max(axis=1)
    others = (information**2).sum(axis=1) - best**2
    worst = best**2 * max(information.shape[1] - 1, 1)
    return float(
        np.mean(
            np.where(
                best > 0,
                1 - np.divide(others, worst, out=np.zeros_like(best), where=worst > 0),
                0.0,
            )
        )
    )


def areas_under_curves(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Area under the ROC curve of each column of scores [n, k] for the rows positive [n, k], from
    ranks; NaN without both kinds.
    """
    num_positive = positive.sum(axis=0)
    num_negative = len(positive) - num_positive
    above = (rankdata(scores, axis=0) * positive).sum(axis=0) - num_positive * (
        num_positive + 1
    ) / 2
    both = num_positive * num_negative
    return np.divide(above, both, out=np.full(len(both), np.nan), where=both > 0)


def _standardise(
    train: NDArray[np.float32], test: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    varies = np.ptp(train, axis=0) > 0
    train, test = train[:, varies].astype(np.float64), test[:, varies].astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    return (train - mean) / deviation, (test - mean) / deviation


def _explicitness(
    model: Any,
    train_codes: NDArray,
    train_labels: NDArray,
    test_codes: NDArray,
    test_labels: NDArray,
) -> tuple[float, float]:
    """Mean area over the values of one factor, on training and on test rows."""
    if not train_codes.shape[1] or (train_labels == train_labels[0]).all():
        return CHANCE, CHANCE
    fit_quietly(model, train_codes, train_labels)
    train, test = (
        _mean_area(model, codes, labels)
        for codes, labels in ((train_codes, train_labels), (test_codes, test_labels))
    )
    return train, test


def _mean_area(model: Any, codes: NDArray, labels: NDArray) -> float:
    known, values = model.classes_, np.unique(labels)
    probability = np.zeros((len(labels), int(max(known.max(), values.max())) + 1))
    probability[:, known] = model.predict_proba(codes)
    areas = areas_under_curves(probability[:, values], labels[:, None] == values)
    return float(areas[~np.isnan(areas)].mean()) if len(values) > 1 else CHANCE
