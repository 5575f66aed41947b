"""SAP, separated attribute predictability: does one code alone predict a factor much better than
every other code alone does?
"""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _information, _limits, _parallel, _rows, common
from dlib_tf2.metrics._linear import sklearn_linear_svc
from dlib_tf2.metrics._predictors import Classifier, fit_and_score

HEADLINE = Headline(key="sap", higher_is_better=True, low=0, high=1, random=0.0, cost="seconds")

MIN_VARIANCE = 1e-12  # of a code that is correlated with anything (the study's constant)
LEAST_DEVIATION = 1e-6  # its root


@gin.register
def sap(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_test: int | None = 5_000,
    disjoint: bool | None = None,
    continuous: bool = False,
    classifier: Classifier = sklearn_linear_svc,
) -> dict[str, float]:
    """Computes SAP of Kumar, Sattigeri and Balakrishnan, ICLR 2018 (arXiv 1711.00848), section 3,
    as the study did (arXiv 1811.12359).

    SAP = mean over factors of (largest - second largest S[code, factor]). By default S is the test
    accuracy of a linear SVM that predicts the factor from that code alone, with balanced class
    weights in the fit and plain accuracy in the test; with `continuous` it is their squared
    correlation on the training rows.

    The default does not reach 1: one-vs-rest on one code singles out the extreme values only. It
    depends on the codes' scale, since codes are not standardised and C is 0.01.

    With one code the runner-up counts as 0. A factor with one value is left out; in a training set
    of one class the classifier says it.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v]; `continuous` correlates the number of each value in their order.
        rng: source of the rows and of the classifiers' random state.
        num_train: training rows; None shuffles all rows and splits them 2:1.
        num_test: test rows.
        disjoint: True: no row in both sets; False: both drawn with replacement, as the study did;
            None: False on a full grid where at most 5 % of the test rows should be training rows
            too, else True.
        continuous: squared correlation in place of accuracy.
        classifier: factory called with `random_state`, unused if `continuous`.

    Returns:
        `sap`, `test_overlap` (fraction of the test rows that are training rows too),
        `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, one row only, a factor of over 500 values, or no
            factor that varies.
    """
    codes, labels = common.check_table(codes, factors)
    _limits.check_classes(labels)
    labels = common.varying_factors(labels)
    train, test, overlap = _rows.split_rows(rng, labels, num_train, num_test, disjoint)
    if continuous:
        if (deviation := float(codes[train].std(axis=0, dtype=np.float64).max())) < LEAST_DEVIATION:
            _limits.warn_of_no_active_code(deviation, LEAST_DEVIATION)
        score = _squared_correlation(
            codes[train].astype(np.float64), labels[train].astype(np.float64)
        )
    else:
        score = _accuracies(
            codes, labels, train, test, classifier, random_state=int(rng.integers(2**31))
        )
    first, second = _information.top_two(score)
    return {
        "sap": float((first - second).mean()),
        "test_overlap": overlap,
        "num_factors_scored": float(labels.shape[1]),
    }


def _accuracies(
    codes: NDArray[np.float32],
    labels: common.Labels,
    train: common.Labels,
    test: common.Labels,
    classifier: Classifier,
    random_state: int,
) -> NDArray[np.float64]:
    """Test accuracy [d, v] of predicting each factor from each code alone."""
    pairs = [(i, j) for i in range(codes.shape[1]) for j in range(labels.shape[1])]
    tasks = [
        (
            common.make_model(classifier, random_state),
            codes[train, i, None],
            labels[train, j],
            codes[test, i, None],
            labels[test, j],
        )
        for i, j in pairs
    ]
    fits = _parallel.run(
        fit_and_score, tasks, costs=[float(common.sizes(labels)[j]) for _, j in pairs]
    )
    return np.array([fit.test_accuracy for fit in fits]).reshape(codes.shape[1], labels.shape[1])


def _squared_correlation(
    codes: NDArray[np.float64], factors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared correlation [d, v]; 0 for a code or a factor that does not vary."""
    codes, factors = codes - codes.mean(axis=0), factors - factors.mean(axis=0)
    rest = max(len(codes) - 1, 1)
    code_variance, factor_variance = (codes**2).sum(axis=0) / rest, (factors**2).sum(axis=0) / rest
    covariance = codes.T @ factors / rest
    product = np.outer(code_variance, factor_variance)
    varies = (code_variance > MIN_VARIANCE)[:, None] & (factor_variance > 0)
    return np.divide(covariance**2, product, out=np.zeros_like(product), where=varies)
