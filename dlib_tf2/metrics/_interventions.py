"""Interventions on a table: the rows where one factor is set to a value and all others stay as they
were.
"""

import numpy as np
from numpy.typing import NDArray

from dlib_tf2.metrics import _rows, common


class Interventions:
    """Finds rows by their factors.

    Attributes:
        exact: the table is a full grid, so that the intervened row exists. Otherwise any row with
            the new value stands for it, drawn uniformly: that is conditioning, and carries over
            whatever dependence the table's factors have.
    """

    def __init__(self, labels: common.Labels):
        """Indexes a table of dense labels [n, v], in which every factor has two values or more."""
        self.exact = _rows.is_full_grid(labels)
        self._labels, self._shape = labels, tuple(common.sizes(labels).tolist())
        if self.exact:
            self._order = np.argsort(
                np.ravel_multi_index(tuple(labels.T), self._shape), kind="stable"
            )
            self.repeats = len(labels) // int(np.prod(self._shape))
        else:
            self._by_value = [np.argsort(column, kind="stable") for column in labels.T]
            self._counts = [np.bincount(column) for column in labels.T]

    def set(
        self,
        rng: np.random.Generator,
        rows: NDArray[np.int64],
        factor: int,
        values: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Rows like `rows` [n] but with `values` [n] of `factor`; on a grid that repeats its
        points, which repeat is drawn anew.
        """
        if self.exact:
            factors = self._labels[rows]
            factors[:, factor] = values
            point = np.ravel_multi_index(tuple(factors.T), self._shape)
            return self._order[point * self.repeats + rng.integers(self.repeats, size=len(rows))]
        counts = self._counts[factor]
        starts = np.cumsum(counts) - counts
        return self._by_value[factor][starts[values] + rng.integers(counts[values])]
