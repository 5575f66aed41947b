"""Rows that share the value of one factor: what the metrics that hold a factor fixed draw from."""

import numpy as np

from dlib_tf2.errors import UserError
from dlib_tf2.metrics import common


class RowsByValue:
    """The rows of each value of each factor, laid out so that any mix of groups is drawn from with
    one indexing operation.

    On a full grid, drawing a value uniformly and then rows that have it is the generative process
    with that factor held fixed. In other tables the value is uniform over the factor's values too,
    and the rows are uniform over those that have it.

    Args:
        labels: [n, v] dense labels, each column with at least two values.

    Raises:
        UserError: a value that fewer than two rows have.
    """

    def __init__(self, labels: common.Labels):
        self.sizes = common.sizes(labels)
        counts = [np.bincount(column) for column in labels.T]
        for factor, count in enumerate(counts):
            if count.min() < 2:
                raise UserError(
                    f"only one row has value {int(count.argmin())} of varying factor {factor}"
                    " (counted from 0 in the order of its values); holding it fixed needs two:"
                    " drop those rows or merge rare values"
                )
        width = int(self.sizes.max())
        # [v, largest size]
        self.counts = np.stack([np.pad(count, (0, width - len(count))) for count in counts])
        self.starts = np.cumsum(self.counts, axis=1) - self.counts
        # numpy sorts 8 and 16 bit labels by radix, ten times faster
        smallest = np.min_scalar_type(width)
        # [v, n]
        self.rows = np.stack(
            [np.argsort(column.astype(smallest), kind="stable") for column in labels.T]
        )

    def draw_values(
        self, rng: np.random.Generator, votes: int, per_vote: tuple[int, ...] = ()
    ) -> tuple[common.Labels, common.Labels]:
        """Draws a factor for each vote, [votes], and values of it, [votes, *per_vote]."""
        factor = rng.integers(len(self.sizes), size=votes)
        largest = self.sizes[factor].reshape(votes, *(1 for _ in per_vote))
        return factor, rng.integers(largest, size=(votes, *per_vote))

    def draw_rows(
        self,
        rng: np.random.Generator,
        factor: common.Labels,
        value: common.Labels,
        shape: tuple[int, ...],
    ) -> common.Labels:
        """Draws rows of `shape` that have these values of these factors; `factor` and `value`
        broadcast to `shape`.
        """
        within = rng.integers(self.counts[factor, value], size=shape)
        return self.rows[factor, self.starts[factor, value] + within]
