"""Which rows of a table a score is computed from: drawn with replacement from a large grid, all
different from any other table."""

import math
from collections.abc import Sequence

import numpy as np

from dlib_tf2.errors import UserError
from dlib_tf2.metrics import common
from dlib_tf2.metrics._limits import warn
from dlib_tf2.metrics.common import Labels

# Training rows among the test rows reward a classifier that remembers: on a grid of 1,296 points
# trees read noise with accuracy .99 where chance is .13. dSprites' 737,280 points give 1.4 %.
LARGEST_OVERLAP = 0.05


def is_full_grid(labels: Labels) -> bool:
    """Tells whether the rows are every combination of the factors' values, each equally often.

    Then a row drawn with replacement is a fresh draw of the generative process. Hidden factors and
    repeated draws per grid point repeat every combination equally often, which is still a grid;
    one label with balanced classes is not, it is an ordinary sample.
    """
    shape = common.sizes(labels)
    points = math.prod(shape.tolist())
    repeats, rest = divmod(len(labels), points)
    if rest or not repeats or (repeats > 1 and (shape > 1).sum() < 2):
        return False
    counts = np.bincount(np.ravel_multi_index(tuple(labels.T), tuple(shape)), minlength=points)
    return bool((counts == repeats).all())


def expected_overlap(num_rows: int, num_train: int) -> float:
    """Expected fraction of the test rows that are training rows too, where both are drawn with
    replacement from `num_rows` rows: 1 - (1 - 1 / num_rows) ** num_train."""
    return 1 - (1 - 1 / num_rows) ** num_train


def draw_rows(
    rng: np.random.Generator, labels: Labels, num_rows: int | None, name: str = "num_train"
) -> Labels:
    """Draws the rows that a score is computed from.

    Args:
        rng: source of randomness.
        labels: [n, v] dense labels of the table.
        num_rows: how many; None takes all rows as they are.
        name: the hyperparameter that `num_rows` came from, for messages.

    Returns:
        Row numbers: drawn with replacement from a full grid (the study's protocol), all different
        from any other table. A table with fewer rows gives all it has.

    Raises:
        UserError: `num_rows` is not a positive whole number.

    Warns:
        ScoreWarning: the table is not a full grid and has fewer rows than `num_rows`.
    """
    common.check_generator(rng)
    if num_rows is None:
        return np.arange(len(labels))
    if not common.is_count(num_rows):
        raise UserError(
            f"{name} = {num_rows!r}, expected a positive whole number, or None for all rows"
        )
    if is_full_grid(labels):
        return rng.integers(len(labels), size=num_rows)
    if num_rows > len(labels):
        asked = f"{name} asks for {num_rows:,} different rows"
        warn("few_rows", f"{asked}, the table has {len(labels):,}: all of them are used")
    return rng.permutation(len(labels))[:num_rows]


def split_rows(
    rng: np.random.Generator,
    labels: Labels,
    num_train: int | None,
    num_test: int | None,
    disjoint: bool | None = None,
) -> tuple[Labels, Labels, float]:
    """Draws training and test rows.

    Rows that are all different and too few for both numbers are shared out 2:1: at most two thirds
    of them train, and the others, at most `num_test`, test.

    Args:
        rng: source of randomness.
        labels: [n, v] dense labels of the table.
        num_train: training rows; None shuffles all rows and splits them 2:1, whatever `num_test`
            says.
        num_test: test rows; None only with `num_train` None.
        disjoint: True draws all rows different; False draws both with replacement, as the study
            did; None draws with replacement from a full grid on which `expected_overlap` is at
            most `LARGEST_OVERLAP`, and all different otherwise.

    Returns:
        Training rows, test rows, and the fraction of test rows that are training rows too.

    Raises:
        UserError: a table of fewer than two rows, or settings of another kind.

    Warns:
        ScoreWarning: fewer different rows than asked for, or a larger overlap than
            `LARGEST_OVERLAP`.
    """
    if disjoint not in (None, False, True):
        raise UserError(f"disjoint = {disjoint!r}, expected True, False or None")
    common.check_generator(rng)
    if num_train is None:
        if len(labels) < 2:
            raise UserError("a split into training and test rows needs two rows, the table has one")
        order = rng.permutation(len(labels))
        first = _two_thirds(labels)
        return order[:first], order[first:], 0.0
    if num_test is None or not common.is_count(num_train) or not common.is_count(num_test):
        raise UserError(
            f"num_train = {num_train!r} and num_test = {num_test!r}, expected positive whole "
            "numbers, or num_train = None for all rows split 2:1"
        )
    if _all_different(labels, num_train, disjoint):
        first, second = _shares(labels, num_train, num_test)
        order = rng.permutation(len(labels))
        return order[:first], order[first : first + second], 0.0
    if (expected := expected_overlap(len(labels), num_train)) > LARGEST_OVERLAP:
        warn(
            "overlap",
            f"about {expected:.0%} of the test rows are training rows too (test_overlap), since "
            f"{num_train:,} rows are drawn with replacement from {len(labels):,}",
            "disjoint = True",
        )
    train = rng.integers(len(labels), size=num_train)
    test = rng.integers(len(labels), size=num_test)
    return train, test, float(np.isin(test, train).mean())


def training_sizes(
    num_train: int | Sequence[int] | None,
    labels: Labels,
    num_test: int | None,
    disjoint: bool | None = None,
) -> list[int | None]:
    """What a metric with several training sizes splits the rows for, each once; [None] is a single
    split of all rows.

    Of sizes that the table is too small for, which `split_rows` makes equal, the last one is kept.

    Raises:
        UserError: no size, or anything but positive whole numbers.
    """
    if num_train is None:
        return [None]
    sizes = list(num_train) if isinstance(num_train, Sequence | np.ndarray) else [num_train]
    if not sizes or not all(map(common.is_count, sizes)):
        raise UserError(
            f"num_train = {num_train!r}, expected sizes such as (100, 1000), or None for all rows"
            " split 2:1"
        )
    used = {}
    for size in sizes:
        short = _all_different(labels, size, disjoint) and size + (num_test or 0) > len(labels)
        used[min(size, _two_thirds(labels)) if short else size] = size
    return list(used.values())


def _all_different(labels: Labels, num_train: int, disjoint: bool | None) -> bool:
    """Whether training and test rows are all different, by the rule of `split_rows`."""
    if disjoint is not None:
        return disjoint
    return expected_overlap(len(labels), num_train) > LARGEST_OVERLAP or not is_full_grid(labels)


def _two_thirds(labels: Labels) -> int:
    return max(1, 2 * len(labels) // 3)


def _shares(labels: Labels, num_train: int, num_test: int) -> tuple[int, int]:
    """How many different rows train and how many test."""
    num_rows = len(labels)
    if num_train + num_test <= num_rows:
        return num_train, num_test
    if num_rows < 2:
        raise UserError("a split into training and test rows needs two rows, the table has one")
    first = min(num_train, _two_thirds(labels))
    second = min(num_test, num_rows - first)
    warn(
        "few_rows",
        f"the protocol asks for {num_train:,} training and {num_test:,} test rows that all differ, "
        f"the table has {num_rows:,} rows: {first:,} train and {second:,} test",
    )
    return first, second
