"""What two or more metrics share: checks of tables and settings, drawing and splitting rows, discretising codes, mutual information."""

import inspect
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.errors import UserError
from dlib_tf2.table import check_same_rows, checked_integers, checked_reals, whole_columns

Labels = NDArray[np.int64]

CELLS_AT_ONCE = 1 << 20  # about five arrays of 8 bytes each
LARGEST_TABLE = 1 << 25  # cells for one pair of columns, 1.5 GB with what is computed from them


def check_table(codes: ArrayLike, factors: ArrayLike) -> tuple[NDArray[np.float32], Labels]:
    """Checks a table at a metric's public edge and brings it into the form that the metrics compute with.

    Args:
        codes: [n, d] finite real numbers of any dtype and memory order; read only.
        factors: [n, v], or [n] for one factor: whole numbers of any real dtype; only which are equal matters.

    Returns:
        The codes as float32 [n, d], and the factors as labels [n, v]: each column numbered 0, 1, ... in the order of its values.

    Raises:
        UserError: wrong number of axes, different lengths, no rows or columns, NaN or infinite codes, codes that float32 cannot tell
            apart, factors that are not whole numbers.
    """
    reals, integers = checked_reals("codes", codes), checked_integers("factors", whole_columns(factors))
    check_same_rows("codes", reals, integers)
    return reals, dense_columns(integers)


def dense_labels(values: NDArray[Any]) -> Labels:
    """Numbers the distinct values of an integer array [n] from 0 on, in their order."""
    low, high = int(values.min()), int(values.max())
    if high - low > 4 * len(values) + 1000:  # wide-spread values: a table of them would not fit, sort instead
        return np.unique(values, return_inverse=True)[1].astype(np.int64)
    shifted = (values.astype(np.uint64) - np.uint64(low % 2**64)).astype(np.int64)  # modulo 2^64, so right for every integer dtype
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
        raise UserError(f"each of the {labels.shape[1]} factors has a single value in {len(labels)} rows; a score needs one that varies")
    return scored


def is_full_grid(labels: Labels) -> bool:
    """Tells whether the rows are every combination of the factors' values, each equally often.

    Then a row drawn with replacement is a fresh draw of the generative process. Hidden factors and repeated draws per grid point
    repeat every combination equally often, which is still a grid; one label with balanced classes is not, it is an ordinary sample.
    """
    shape = sizes(labels)
    points = math.prod(shape.tolist())
    repeats, rest = divmod(len(labels), points)
    if rest or not repeats or (repeats > 1 and (shape > 1).sum() < 2):
        return False
    counts = np.bincount(np.ravel_multi_index(tuple(labels.T), tuple(shape)), minlength=points)
    return bool((counts == repeats).all())


def draw_rows(rng: np.random.Generator, labels: Labels, num_rows: int | None, name: str = "num_train") -> Labels:
    """Draws the rows that a score is computed from.

    Args:
        rng: source of randomness.
        labels: [n, v] dense labels of the table.
        num_rows: how many; None takes all rows as they are.
        name: the hyperparameter that `num_rows` came from, for the error.

    Returns:
        Row numbers: drawn with replacement from a full grid (the study's protocol), all different from any other table.

    Raises:
        UserError: `num_rows` is not positive, or more than the rows of a table that is not a full grid.
    """
    check_generator(rng)
    if num_rows is None:
        return np.arange(len(labels))
    if not _is_count(num_rows):
        raise UserError(f"{name} = {num_rows!r}, expected a positive whole number, or None for all rows")
    if is_full_grid(labels):
        return rng.integers(len(labels), size=num_rows)
    _require_rows(labels, num_rows, name)
    return rng.permutation(len(labels))[:num_rows]


def split_rows(
    rng: np.random.Generator, labels: Labels, num_train: int | None, num_test: int | None, disjoint: bool | None = None
) -> tuple[Labels, Labels, float]:
    """Draws training and test rows.

    Args:
        rng: source of randomness.
        labels: [n, v] dense labels of the table.
        num_train: training rows; None shuffles all rows and splits them 2:1, whatever `num_test` says.
        num_test: test rows; None only with `num_train` None.
        disjoint: True draws all rows different; False draws both with replacement, as the study did; None is False on a full grid
            and True on any other table.

    Returns:
        Training rows, test rows, and the fraction of test rows that are training rows too.

    Raises:
        UserError: fewer rows than asked for, or fewer than two, or settings of another kind.
    """
    if disjoint not in (None, False, True):
        raise UserError(f"disjoint = {disjoint!r}, expected True, False or None")
    check_generator(rng)
    if num_train is None:
        _require_rows(labels, 2, "a split")
        order = rng.permutation(len(labels))
        first = max(1, 2 * len(labels) // 3)
        return order[:first], order[first:], 0.0
    if num_test is None or not _is_count(num_train) or not _is_count(num_test):
        raise UserError(
            f"num_train = {num_train!r} and num_test = {num_test!r}, expected positive whole numbers, "
            "or num_train = None for all rows split 2:1"
        )
    if disjoint or (disjoint is None and not is_full_grid(labels)):
        _require_rows(labels, num_train + num_test, "num_train + num_test")
        order = rng.permutation(len(labels))
        return order[:num_train], order[num_train : num_train + num_test], 0.0
    train, test = rng.integers(len(labels), size=num_train), rng.integers(len(labels), size=num_test)
    return train, test, float(np.isin(test, train).mean())


def _require_rows(labels: Labels, needed: int, name: str) -> None:
    if needed > len(labels):
        raise UserError(
            f"{name} asks for {needed} different rows, the table has {len(labels)}: lower it, set it to None (all rows), or give more rows"
        )


def check_generator(rng: object) -> None:
    """Raises UserError unless `rng` is numpy's Generator; a RandomState, its elder, has other methods."""
    if not isinstance(rng, np.random.Generator):
        raise UserError(f"rng is {type(rng).__name__}, expected numpy's Generator; pass numpy.random.default_rng(0)")


def check_counts(least: int = 1, **counts: object) -> None:
    """Raises UserError unless every count is a whole number of at least `least`; names are for the message."""
    for name, count in counts.items():
        if not _is_count(count, least):
            raise UserError(f"{name} = {count!r}, expected a whole number of at least {least}")


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least


def training_sizes(num_train: int | Sequence[int] | None) -> list[int | None]:
    """What a metric with several training sizes is asked for, each once; [None] is a single split of all rows.

    Raises:
        UserError: no size, or anything but positive whole numbers.
    """
    if num_train is None:
        return [None]
    sizes = list(num_train) if isinstance(num_train, Sequence | np.ndarray) else [num_train]
    if not sizes or not all(map(_is_count, sizes)):
        raise UserError(f"num_train = {num_train!r}, expected sizes such as (100, 1000), or None for all rows split 2:1")
    return list(dict.fromkeys(sizes))


def make_model(classifier: Callable[..., Any], random_state: int, name: str = "classifier", method: str = "predict") -> Any:
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
        inspect.signature(classifier).bind_partial(random_state=random_state)  # partial: gin may supply the others
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name} = {classifier!r}, expected a function of random_state, such as @lightgbm_exact_gradient_boosting"
        ) from error
    model = classifier(random_state=random_state)
    if not hasattr(model, "fit") or not hasattr(model, method):
        raise UserError(f"{name} makes a {type(model).__name__}, expected a model with fit and {method}")
    return model


def discretize(codes: NDArray[np.float32], num_bins: int | None = 20) -> Labels:
    """Sorts each code into equal-width bins between its own minimum and maximum over the rows.

    Bins are closed on the left, the maximum falls in the last one, a constant code in one bin. A nearly dead code is spread over all bins
    just like an active one: the result does not depend on a code's scale.

    Args:
        codes: [n, d].
        num_bins: bins per code; None takes each distinct value as a bin of its own (for codes that are discrete already).

    Returns:
        Bin numbers from 0, int64 [n, d].
    """
    if num_bins is None:
        return np.stack([np.unique(column, return_inverse=True)[1].astype(np.int64) for column in codes.T], axis=1)
    if not _is_count(num_bins):
        raise UserError(f"num_bins = {num_bins!r}, expected a whole number of at least 1, or None for one bin per distinct value")
    bins = np.zeros(codes.shape, np.int64)
    for column, code in enumerate(codes.T.astype(np.float64)):
        edges = np.linspace(code.min(), code.max(), num_bins + 1)
        bins[:, column] = np.searchsorted(edges[1:-1], code, side="right")
    return bins


def mutual_information(first: Labels, second: Labels, cells_at_once: int = CELLS_AT_ONCE) -> NDArray[np.float64]:
    """Plug-in mutual information in nats between every column of two label tables, from their joint histograms.

    The estimate has a positive bias of about (a - 1)(b - 1) / (2 n) for independent variables with a and b values.

    Args:
        first: [n, d] dense labels.
        second: [n, v] dense labels.
        cells_at_once: bounds the memory, at about 40 bytes each, or at what one pair of columns needs: columns are paired in blocks, and
            rows counted in blocks, of as many as fit.

    Returns:
        float64 [d, v]; exactly 0 where one of the two has a single value.

    Raises:
        UserError: too many values for the histogram of one pair.
    """
    d, v = first.shape[1], second.shape[1]
    a, b = int(first.max()) + 1, int(second.max()) + 1
    if a * b > LARGEST_TABLE:
        raise UserError(f"a joint histogram of {a} by {b} values does not fit in memory; set num_bins (the study's is 20), or merge values")
    of_second = min(v, max(1, cells_at_once // (a * b)))
    of_first = min(d, max(1, cells_at_once // (of_second * a * b)))
    information = np.empty((d, v))
    for i in range(0, d, of_first):
        for j in range(0, v, of_second):
            block = slice(i, i + of_first), slice(j, j + of_second)
            information[block] = _information_of_block(first[:, block[0]], second[:, block[1]], a, b, cells_at_once)
    return information


def _information_of_block(first: Labels, second: Labels, a: int, b: int, cells_at_once: int) -> NDArray[np.float64]:
    """The same for labels below a and b, whose joint histograms fit in memory together."""
    (n, d), v = first.shape, second.shape[1]
    pair = np.arange(d * v).reshape(d, v) * (a * b)
    counts = np.zeros(d * v * a * b, np.int64)
    chunk = max(1, max(cells_at_once, len(counts)) // (d * v))  # rows; at least as many cells as counters, else adding would cost more
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        cells = pair + first[rows, :, None] * b + second[rows, None, :]  # [rows, d, v]
        counts += np.bincount(cells.ravel(), minlength=len(counts))
    joint = counts.reshape(d, v, a, b).astype(np.float64)
    outer = joint.sum(axis=3, keepdims=True) * joint.sum(axis=2, keepdims=True)  # [d, v, a, b]
    terms = np.zeros_like(joint)
    # Counts, not fractions: with a single value the ratio is then exactly 1, and scores that ask for "no information" see 0.
    np.log(np.divide(joint * n, outer, out=terms, where=joint > 0), out=terms, where=joint > 0)
    return np.maximum((joint / n * terms).sum(axis=(2, 3)), 0.0)


def entropy(labels: Labels) -> NDArray[np.float64]:
    """Plug-in entropy in nats of each column of dense labels [n, v], float64 [v]."""
    entropies = []
    for column in labels.T:
        probability = np.bincount(column) / len(column)
        entropies.append(-(probability * np.log(np.where(probability > 0, probability, 1.0))).sum())
    return np.array(entropies)
