"""Unified scores: every way of relating codes to factors, under every way of summing such a
relation up.
"""

from collections.abc import Callable, Sequence

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.errors import UserError
from dlib_tf2.metrics import _limits, _parallel, _relation, _rows, common
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._linear import sklearn_linear_svc
from dlib_tf2.metrics._predictors import Classifier, fit_and_score
from dlib_tf2.metrics.dci import importance_matrix

HEADLINE = Headline(
    key="mutual_information_matrix.mig",
    higher_is_better=True,
    low=0,
    high=1,
    random=0.0,
    cost="minutes",
)

Matrix = NDArray[np.float64]


@gin.register
def importance_gbt_matrix(
    codes: NDArray[np.float32],
    labels: common.Labels,
    num_train: int,
    rng: np.random.Generator,
    classifier: Classifier = lightgbm_exact_gradient_boosting,
) -> Matrix:
    """Importance of each code for a classifier of each factor: the matrix of DCI.

    Args:
        codes: [n, d], training rows first.
        labels: [n, v] dense labels.
        num_train: how many of the rows are training rows.
        rng: source of the classifiers' random states.
        classifier: factory called with `random_state`, for models with `feature_importances_`.
    """
    _limits.check_classes(labels[:num_train])
    models = [common.make_model(classifier, int(rng.integers(2**31))) for _ in labels.T]
    train = codes[:num_train]
    tasks = [
        (model, train, factor[:num_train], train[:1], factor[:1])
        for model, factor in zip(models, labels.T, strict=True)
    ]
    return importance_matrix(
        _parallel.run(fit_and_score, tasks, common.sizes(labels).tolist()), classifier
    )


@gin.register
def mutual_information_matrix(
    codes: NDArray[np.float32],
    labels: common.Labels,
    num_train: int,
    rng: np.random.Generator,
    num_bins: int | None = 20,
) -> Matrix:
    """Mutual information in nats from histograms of the training rows: the matrix of MIG.

    Args:
        codes: [n, d], training rows first.
        labels: [n, v] dense labels.
        num_train: how many of the rows are training rows.
        rng: unused.
        num_bins: equal-width bins per code; None takes each distinct value as its own bin.
    """
    return common.mutual_information(
        common.discretize(codes[:num_train], num_bins), labels[:num_train]
    )


@gin.register
def accuracy_svm_matrix(
    codes: NDArray[np.float32],
    labels: common.Labels,
    num_train: int,
    rng: np.random.Generator,
    classifier: Classifier = sklearn_linear_svc,
) -> Matrix:
    """Test accuracy of a linear classifier of each factor on each single code: the matrix of
    discrete SAP.

    Args:
        codes: [n, d], training rows first, test rows after.
        labels: [n, v] dense labels.
        num_train: how many of the rows are training rows.
        rng: source of the classifiers' random states.
        classifier: factory called with `random_state`.
    """
    _limits.check_classes(labels[:num_train])
    shape = codes.shape[1], labels.shape[1]
    pairs = [(code, factor) for code in range(shape[0]) for factor in range(shape[1])]
    seed = int(rng.integers(2**31))
    train, test = slice(None, num_train), slice(num_train, None)
    tasks = [
        (
            common.make_model(classifier, seed),
            codes[train, i : i + 1],
            labels[train, j],
            codes[test, i : i + 1],
            labels[test, j],
        )
        for i, j in pairs
    ]
    fits = _parallel.run(fit_and_score, tasks, [float(common.sizes(labels)[j]) for _, j in pairs])
    return np.array([fit.test_accuracy for fit in fits]).reshape(shape)


@gin.register
def unified_scores(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_test: int | None = 5_000,
    disjoint: bool | None = None,
    matrices: Sequence[Callable[..., Matrix]] = (
        mutual_information_matrix,
        importance_gbt_matrix,
        accuracy_svm_matrix,
    ),
) -> dict[str, float]:
    """Computes the relation matrices and their aggregations of Locatello et al., JMLR 2020 (arXiv
    2010.14766).

    A metric is a matrix [codes, factors] and a way to sum it up; this applies every way to every
    matrix, with keys `<matrix>.<way>`: `dci_disentanglement` (per code `.code_i`),
    `dci_completeness` (per factor `.factor_j`), `mig` (gap / H(factor), `.factor_j`), `sap` (gap,
    `.factor_j`), `modularity` (`.code_i`). Beside them: at a threshold, keep the larger entries as
    edges between codes and factors, and count the connected components that have one.
    `max_precision` is the largest count over thresholds, `area_precision` the area under count
    against threshold; neither is normalised. `merge_a_b`: adding edges from the largest entry down,
    how many were added before the one that joins factors a and b; later is better separated; the
    number of all edges where none does. Entries of 0 are never edges.

    Chance levels and estimation bias enter where matrix and way do not belong together, as in the
    modularity of accuracies. One factor: disentanglement and modularity are 1; one code:
    completeness is 1 and runners-up count 0. A factor with one value among the training rows is
    left out, and keys keep the numbers of the columns.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows and of the classifiers' random states.
        num_train: training rows; None shuffles all rows and splits them 2:1.
        num_test: test rows, used by matrices of accuracies.
        disjoint: True: no row in both sets; False: both drawn with replacement; None: False on a
            full grid where at most 5 % of the test rows should be training rows too, else True.
        matrices: functions (codes, labels, num_train, rng) -> [codes, factors], not negative; keys
            start with their names.

    Returns:
        The keys above for each matrix, `test_overlap` and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, one row only, a factor of over 500 values, no
            factor that varies, or no matrix.
    """
    checked, labels = common.check_table(codes, factors)
    if not isinstance(matrices, Sequence) or not matrices or not all(map(callable, matrices)):
        raise UserError(
            f"matrices = {matrices!r}, expected functions such as [@mutual_information_matrix]"
        )
    train, test, overlap = _rows.split_rows(rng, labels, num_train, num_test, disjoint)
    kept = np.flatnonzero(np.ptp(labels[train], axis=0) > 0)
    common.varying_factors(labels[train])  # raises where none is left
    rows = np.concatenate([train, test])
    drawn, scored = np.ascontiguousarray(checked[rows]), labels[rows][:, kept]
    entropy = common.entropy(scored[: len(train)])
    result: dict[str, float] = {}
    for function in matrices:
        matrix = function(drawn, scored, len(train), rng)
        result |= {
            f"{function.__name__}.{key}": value
            for key, value in _relation.aggregate(matrix, entropy, kept.tolist()).items()
        }
    return {**result, "test_overlap": overlap, "num_factors_scored": float(len(kept))}
