"""What a score can be computed from, and what it then means: limits that are checked before the
work, and warnings beside a score."""

import contextlib
import numbers
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dlib_tf2.errors import ScoreWarning, UserError

# A classifier grows or fits one model per value: at 500 values and 10,000 rows a matrix of
# probabilities takes 40 MB, and boosting grows 50,000 trees, where dSprites' factors take 11,300.
MOST_CLASSES = 500
MOST_BINS = 1000


def warn(kind: str, text: str, binding: str = "") -> None:
    """Warns of a score that does not mean what it seems to; see `ScoreWarning`."""
    warnings.warn(ScoreWarning(kind, text, binding), stacklevel=3)  # the metric's line


@contextlib.contextmanager
def collecting() -> Iterator[list[ScoreWarning]]:
    """Within the block, score warnings go into the list, one of each kind: the last, which is that
    of the largest training size. All other warnings go where they went."""
    found: dict[str, ScoreWarning] = {}
    collected: list[ScoreWarning] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", ScoreWarning)
        show = warnings.showwarning

        def keep(message, category, *where, **more) -> None:
            if isinstance(message, ScoreWarning):
                found[message.kind] = message
            else:
                show(message, category, *where, **more)

        warnings.showwarning = keep
        try:
            yield collected
        finally:
            collected += found.values()


def check_bins(num_bins: object, optional: bool = True) -> None:
    """Raises UserError unless `num_bins` is a whole number from 2 to `MOST_BINS`, or None where
    that is an option."""
    if optional and num_bins is None:
        return
    whole = isinstance(num_bins, numbers.Integral) and not isinstance(num_bins, bool)
    if whole and num_bins in range(2, MOST_BINS + 1):
        return
    otherwise = ", or None for one bin per distinct value" if optional else ""
    raise UserError(
        f"num_bins = {num_bins!r}, expected a whole number from 2 to {MOST_BINS:,}{otherwise}"
    )


def check_classes(labels: NDArray[np.int64]) -> None:
    """Raises UserError for a factor with more values than classifiers are fitted for.

    Args:
        labels: [n, v] dense labels of the table.
    """
    for number, column in enumerate(labels.T):
        if (values := len(np.unique(column))) > MOST_CLASSES:
            raise UserError(
                f"factor_{number} has {values:,} values in {len(labels):,} rows; a model per value"
                f" is fitted, at most {MOST_CLASSES:,}: leave the factor out, or merge its values"
                " (numpy.digitize)"
            )


def warn_of_many_values(sizes: NDArray[np.int64], num_rows: int) -> None:
    """Warns of factors that have more than half as many values as there are rows."""
    many = np.flatnonzero(2 * sizes > num_rows).tolist()
    if many:
        which = ", ".join(f"factor_{number} ({sizes[number]:,} values)" for number in many)
        warn(
            "many_values",
            f"nearly as many values as rows ({num_rows:,}): {which}; such a factor is little more"
            " than a row number: leave it out, or merge its values (numpy.digitize)",
        )


def warn_of_no_active_code(
    deviation: float = 0.0, threshold: float = 0.0, reason: str = "every code is constant"
) -> None:
    """Warns that a score is 0 because no code is active.

    Args:
        deviation: the largest standard deviation of a code; 0 leaves it to `reason`.
        threshold: that of an active code.
        reason: why none is active.
    """
    if deviation > 0:
        reason = (
            f"the largest standard deviation of a code is {deviation:.3g}, below the threshold of "
            f"{threshold:.3g}: scale the codes to about 1"
        )
    warn("no_active_code", f"no code is active and the score is 0, since {reason}")
