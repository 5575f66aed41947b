"""The boosted trees that metrics fit, and how any classifier is fitted and scored.

A classifier is a factory of unfitted models: `classifier(random_state=int)` has `fit`, `predict`
and `classes_`. The linear ones are in `_linear`, LightGBM's trees in `_lightgbm`.
Each is registered with gin, and which one a score came from is part of its configuration: scores of
different classifiers do not belong in one table.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gin
import numpy as np
from numpy.typing import NDArray

from dlib_tf2.errors import UserError, first_line

Classifier = Callable[..., Any]


@gin.register
def sklearn_gradient_boosting(random_state: int) -> Any:
    """Makes scikit-learn's GradientBoostingClassifier as the study used it: 100 rounds, depth 3,
    learning rate 0.1, all codes per split.

    Its importances and accuracies agree between scikit-learn 0.21 and today's to three decimals.
    One core; time grows with the number of classes: about five minutes for the 113 values of
    dSprites' factors at 10,000 rows.
    """
    # a second to import, and only this factory needs it
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(
        n_estimators=100, max_depth=3, learning_rate=0.1, random_state=random_state
    )


class Fit(NamedTuple):
    """One fitted classifier: importance of each code (summing to 1, or all 0), accuracy on its
    training rows and on the test rows.

    A classifier that has no importances, such as a linear one, leaves them None.
    """

    importances: NDArray[np.float64] | None
    train_accuracy: float
    test_accuracy: float


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without three warnings of scikit-learn: the study's limits on iterations are part of its
    numbers, few rows may hold many values, and Newton's solver leaves singular problems to lbfgs.
    """
    # scikit-learn is loaded by whoever made the model, or by this fit
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings(
            "ignore", "The number of unique classes is greater than 50%", UserWarning
        )
        warnings.filterwarnings("ignore", "The inner solver of NewtonCholeskySolver")
        yield


def fit_quietly(model: Any, codes: NDArray, labels: NDArray) -> Any:
    """Fits `model` in `quiet`; what it refuses is the user's to know."""
    with quiet():
        try:
            return model.fit(codes, labels)
        except ValueError as error:  # fewer rows than folds, numbers that overflow in a solver
            raise UserError(
                f"{type(model).__name__} cannot be fitted to {len(codes)} rows and {codes.shape[1]}"
                f" codes: {first_line(error)}"
            ) from error


def fit_and_score(
    model: Any,
    train_codes: NDArray,
    train_labels: NDArray,
    test_codes: NDArray,
    test_labels: NDArray,
) -> Fit:
    """Fits `model` and scores it; training rows of one class give the classifier that always says
    that class.
    """
    if (train_labels == train_labels[0]).all():
        return Fit(
            np.zeros(train_codes.shape[1]), 1.0, float(np.mean(test_labels == train_labels[0]))
        )
    fit_quietly(model, train_codes, train_labels)
    train_accuracy, test_accuracy = (
        float(np.mean(model.predict(codes) == labels))
        for codes, labels in ((train_codes, train_labels), (test_codes, test_labels))
    )
    if (found := getattr(model, "feature_importances_", None)) is None:
        return Fit(None, train_accuracy, test_accuracy)
    importances = np.abs(np.asarray(found, dtype=np.float64))
    return Fit(importances / (importances.sum() or 1.0), train_accuracy, test_accuracy)
