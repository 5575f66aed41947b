"""scikit-learn's linear classifiers, with what the study's release meant by each call pinned, and
today's meaning as an option.

scikit-learn 0.21 took every multi-class logistic regression apart into one-vs-rest problems;
today's fits one multinomial model. This moves the scores of downstream tasks and explicitness
(docs/metrics.md), so the default is the study's.
"""

import inspect
from typing import Any

import gin
import numpy as np
from numpy.typing import NDArray

from dlib_tf2.system import workers


@gin.register
def sklearn_logistic_regression(random_state: int) -> Any:
    """Makes the study's LogisticRegression: one-vs-rest, liblinear, L2 with C = 1, the intercept
    penalised, at most 100 iterations.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    workers.start()  # its fits of one value against the rest run on them
    return OneVsRestClassifier(LogisticRegression(solver="liblinear", random_state=random_state))


@gin.register
def sklearn_multinomial_logistic_regression(random_state: int) -> Any:
    """Makes today's default LogisticRegression: multinomial, lbfgs (which draws nothing), L2 with C
    = 1, the intercept free.
    """
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(random_state=random_state)


@gin.register
def sklearn_logistic_regression_cv(
    random_state: int, num_penalties: int = 10, num_folds: int = 5
) -> Any:
    """Makes the study's LogisticRegressionCV: one-vs-rest by lbfgs, a penalty of its own per class,
    chosen by accuracy.

    Args:
        random_state: unused: contiguous folds and lbfgs draw nothing.
        num_penalties: values of C, evenly spaced in logarithm from 1e-4 to 1e4; the smallest of
            equals is taken.
        num_folds: contiguous folds, not shuffled.
    """
    return _one_vs_rest(num_penalties, num_folds, "lbfgs")


@gin.register
def sklearn_newton_logistic_regression_cv(
    random_state: int, num_penalties: int = 10, num_folds: int = 5
) -> Any:
    """Makes the model of `sklearn_logistic_regression_cv`, solved by Newton's method.

    It ends nearer to the optimum than lbfgs, which stops early. It takes three quarters of the time
    on dSprites' factors, and a tenth at 1,000 rows of nearly perfect codes.

    Args:
        random_state: unused, as above.
        num_penalties: as in `sklearn_logistic_regression_cv`.
        num_folds: as there.
    """
    return _one_vs_rest(num_penalties, num_folds, "newton-cholesky")


@gin.register
def sklearn_multinomial_logistic_regression_cv(
    random_state: int, num_penalties: int = 10, num_folds: int = 5
) -> Any:
    """Makes what today's scikit-learn means by the study's LogisticRegressionCV: one multinomial
    model, one penalty.

    Args:
        random_state: unused, as above.
        num_penalties: as in `sklearn_logistic_regression_cv`.
        num_folds: as there.
    """
    return _cross_validated(num_penalties, num_folds, "accuracy")


@gin.register
def sklearn_linear_svc(random_state: int, penalty: float = 0.01) -> Any:
    """Makes SAP's LinearSVC: one-vs-rest, squared hinge, balanced class weights, the intercept
    penalised.

    The study's release solved the dual with random numbers; the primal, which today's takes for
    more rows than codes, agrees to four decimals and draws nothing.

    Args:
        random_state: of the dual solver, where there are fewer rows than codes.
        penalty: scikit-learn's C.
    """
    from sklearn.svm import LinearSVC

    return LinearSVC(C=penalty, class_weight="balanced", dual="auto", random_state=random_state)


def _binary_accuracy(model: Any, codes: NDArray, labels: NDArray) -> float:
    """scikit-learn's "accuracy" of labels 0 and 1, without its checks of every call, which take 40
    % of a fit.
    """
    return float(
        np.mean((codes @ model.coef_.ravel() + np.ravel(model.intercept_) > 0) == (labels > 0))
    )


def _one_vs_rest(num_penalties: int, num_folds: int, solver: str) -> Any:
    from sklearn.multiclass import OneVsRestClassifier

    workers.start()
    return OneVsRestClassifier(_cross_validated(num_penalties, num_folds, _binary_accuracy, solver))


def _cross_validated(
    num_penalties: int, num_folds: int, scoring: Any, solver: str = "lbfgs"
) -> Any:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import KFold

    # The last two pin, in the releases that know them, what later ones change; older ones would
    # warn about the first.
    pinned = {"l1_ratios": (0.0,), "use_legacy_attributes": False}
    known = inspect.signature(LogisticRegressionCV).parameters
    pinned = pinned if "use_legacy_attributes" in known else {}
    return LogisticRegressionCV(
        Cs=num_penalties, cv=KFold(num_folds), scoring=scoring, solver=solver, **pinned
    )
