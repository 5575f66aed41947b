"""What two or more metrics share: checks of tables and settings, bins of codes, information."""

import inspect
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.errors import UserError
from dlib_tf2.metrics._limits import check_bins, warn_of_many_values
from dlib_tf2.representations.table import (
    check_same_rows,
    checked_integers,
    checked_reals,
    whole_columns,
)

Labels = NDArray[np.int64]

CELLS_AT_ONCE = 1 << 20  # about five arrays of 8 bytes each
LARGEST_TABLE = 1 << 25  # cells for one pair of columns, 1.5 GB with what is computed from them


def check_table(codes: ArrayLike, factors: ArrayLike) -> tuple[NDArray[np.float32], Labels]:
    """Checks a table at a metric's public edge and brings it into the form that the metrics compute
    with.

    Args:
        codes: [n, d] finite real numbers of any dtype and memory order; read only.
        factors: [n, v], or [n] for one factor: whole numbers of any real dtype; only which are
            equal matters.

    Returns:
        The codes as float32 [n, d], and the factors as labels [n, v]: each column numbered 0, 1,
        ... in the order of its values.

    Raises:
        UserError: wrong number of axes, different lengths, no rows or columns, NaN or infinite
            codes, codes that float32 cannot tell apart, factors that are not whole numbers.

    Warns:
        ScoreWarning: a factor with nearly as many values as rows.
    """
    reals, integers = (
        checked_reals("codes", codes),
        checked_integers("factors", whole_columns(factors)),
    )
    check_same_rows("codes", reals, integers)
    labels = dense_columns(integers)
    warn_of_many_values(sizes(labels), len(labels))
    return reals, labels


def dense_labels(values: NDArray[Any]) -> Labels:
    """Numbers the distinct values of an integer array [n] from 0 on, in their order."""
    low, high = int(values.min()), int(values.max())
    # wide-spread values: a table of them would not fit, sort instead
    if high - low > 4 * len(values) + 1000:
        return np.unique(values, return_inverse=True)[1].astype(np.int64)
    # modulo 2^64, so right for every integer dtype
    shifted = (values.astype(np.uint64) - np.uint64(low % 2**64)).astype(np.int64)
    seen = np.bincount(shifted) > 0
    return (np.cumsum(seen) - 1)[shifted]


def dense_columns(values: NDArray[Any]) -> Labels:
    """Numbers the distinct values of each column of integers [n, v] from 0 on, in their order."""
    return np.stack([dense_labels(column) for column in values.T], axis=1)


def sizes(labels: Labels) -> NDArray[np.int64]:
    """Number of values of each column of dense labels [n, v], as int64 [v]."""
    return labels.max(axis=0) + 1


def varying_factors(labels: Labels) -> Labels:
    """Leaves out the columns that hold one value: no code can be about a factor that never changes.

    Raises:
        UserError: no factor has two values, so that there is nothing to score.
    """
    scored = labels[:, sizes(labels) > 1]
    if not scored.shape[1]:
        raise UserError(
            f"each of the {labels.shape[1]} factors has a single value in {len(labels)} rows; a"
            " score needs one that varies"
        )
    return scored


def check_generator(rng: object) -> None:
    """Raises UserError unless `rng` is numpy's Generator; a RandomState, its elder, has other
    methods.
    """
    if not isinstance(rng, np.random.Generator):
        raise UserError(
            f"rng is {type(rng).__name__}, expected numpy's Generator; pass"
            " numpy.random.default_rng(0)"
        )


def check_counts(least: int = 1, **counts: object) -> None:
    """Raises UserError unless every count is a whole number of at least `least`; names are for the
    message.
    """
    for name, count in counts.items():
        if not is_count(count, least):
            raise UserError(f"{name} = {count!r}, expected a whole number of at least {least}")


def is_count(value: object, least: int = 1) -> bool:
    return (
        isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least
    )


def make_model(
    classifier: Callable[..., Any],
    random_state: int,
    name: str = "classifier",
    method: str = "predict",
) -> Any:
    """Makes an unfitted model.

    Args:
        classifier: factory called with `random_state`.
        random_state: of the model.
        name: the hyperparameter that `classifier` came from, for the error.
        method: what the metric needs of the model beside `fit`.

    Raises:
        UserError: `classifier` is no such factory.
    """
    try:
        # partial: gin may supply the others
        inspect.signature(classifier).bind_partial(random_state=random_state)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name} = {classifier!r}, expected a function of random_state, such as"
            " @lightgbm_exact_gradient_boosting"
        ) from error
    model = classifier(random_state=random_state)
    if not hasattr(model, "fit") or not hasattr(model, method):
        raise UserError(
            f"{name} makes a {type(model).__name__}, expected a model with fit and {method}"
        )
    return model


def discretize(codes: NDArray[np.float32], num_bins: int | None = 20) -> Labels:
    """Sorts each code into equal-width bins between its own minimum and maximum over the rows.

    Bins are closed on the left, the maximum falls in the last one, a constant code in one bin. A
    nearly dead code is spread over all bins just like an active one: the result does not depend on
    a code's scale.

    Args:
        codes: [n, d].
        num_bins: bins per code; None takes each distinct value as a bin of its own (for codes that
            are discrete already).

    Returns:
        Bin numbers from 0, int64 [n, d].
    """
    check_bins(num_bins)
    if num_bins is None:
        return np.stack(
            [np.unique(column, return_inverse=True)[1].astype(np.int64) for column in codes.T],
            axis=1,
        )
    bins = np.zeros(codes.shape, np.int64)
    for column, code in enumerate(codes.T.astype(np.float64)):
        edges = np.linspace(code.min(), code.max(), num_bins + 1)
        bins[:, column] = np.searchsorted(edges[1:-1], code, side="right")
    return bins


def mutual_information(
    first: Labels, second: Labels, cells_at_once: int = CELLS_AT_ONCE
) -> NDArray[np.float64]:
    """Plug-in mutual information in nats between every column of two label tables, from their joint
    histograms.

    The estimate has a positive bias of about (a - 1)(b - 1) / (2 n) for independent variables with
    a and b values.

    Args:
        first: [n, d] dense labels.
        second: [n, v] dense labels.
        cells_at_once: bounds the memory, at about 40 bytes each, or at what one pair of columns
            needs: columns are paired in blocks, and rows counted in blocks, of as many as fit.

    Returns:
        float64 [d, v]; exactly 0 where one of the two has a single value.

    Raises:
        UserError: too many values for the histogram of one pair.
    """
    d, v = first.shape[1], second.shape[1]
    a, b = int(first.max()) + 1, int(second.max()) + 1
    if a * b > LARGEST_TABLE:
        raise UserError(
            f"a joint histogram of {a} by {b} values does not fit in memory; set num_bins (the"
            " study's is 20), or merge values"
        )
    of_second = min(v, max(1, cells_at_once // (a * b)))
    of_first = min(d, max(1, cells_at_once // (of_second * a * b)))
    information = np.empty((d, v))
    for i in range(0, d, of_first):
        for j in range(0, v, of_second):
            block = slice(i, i + of_first), slice(j, j + of_second)
            information[block] = _information_of_block(
                first[:, block[0]], second[:, block[1]], a, b, cells_at_once
            )
    return information


def _information_of_block(
    first: Labels, second: Labels, a: int, b: int, cells_at_once: int
) -> NDArray[np.float64]:
    """The same for labels below a and b, whose joint histograms fit in memory together."""
    (n, d), v = first.shape, second.shape[1]
    pair = np.arange(d * v).reshape(d, v) * (a * b)
    counts = np.zeros(d * v * a * b, np.int64)
    # rows; at least as many cells as counters, else adding would cost more
    chunk = max(1, max(cells_at_once, len(counts)) // (d * v))
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        cells = pair + first[rows, :, None] * b + second[rows, None, :]  # [rows, d, v]
        counts += np.bincount(cells.ravel(), minlength=len(counts))
    joint = counts.reshape(d, v, a, b).astype(np.float64)
    outer = joint.sum(axis=3, keepdims=True) * joint.sum(axis=2, keepdims=True)  # [d, v, a, b]
    terms = np.zeros_like(joint)
    # Counts, not fractions: with a single value the ratio is then exactly 1, and scores that ask
    # for "no information" see 0.
    np.log(np.divide(joint * n, outer, out=terms, where=joint > 0), out=terms, where=joint > 0)
    return np.maximum((joint / n * terms).sum(axis=(2, 3)), 0.0)


def entropy(labels: Labels) -> NDArray[np.float64]:
    """Plug-in entropy in nats of each column of dense labels [n, v], float64 [v]."""
    entropies = []
    for column in labels.T:
        probability = np.bincount(column) / len(column)
        entropies.append(-(probability * np.log(np.where(probability > 0, probability, 1.0))).sum())
    return np.array(entropies)
