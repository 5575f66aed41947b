"""The grid of ground-truth factors: names, sizes, and the map between factor values and grid
indices.
"""

import dataclasses
import math
import operator

import numpy as np


@dataclasses.dataclass(frozen=True)
class FactorSpace:
    """A finite grid of factor values, numbered in mixed radix with the first factor slowest.

    Attributes:
        names: one name per factor, unique.
        sizes: the number of values of each factor; factor k takes the values 0 .. sizes[k] - 1.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "sizes", tuple(operator.index(size) for size in self.sizes))
        if len(self.names) != len(self.sizes) or not self.names:
            raise ValueError(
                f"expected one size per factor name, got {len(self.names)} names and"
                f" {len(self.sizes)} sizes"
            )
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"factor names must be unique, got {self.names}")
        if min(self.sizes) < 1:
            raise ValueError(f"every factor needs at least one value, got sizes {self.sizes}")

    @property
    def size(self) -> int:
        """The number of grid points."""
        return math.prod(self.sizes)

    @property
    def bases(self) -> tuple[int, ...]:
        """How far the index moves when a factor grows by one: the product of the sizes after it."""
        return tuple(math.prod(self.sizes[k + 1 :]) for k in range(len(self.sizes)))

    def to_index(self, factors: np.ndarray) -> np.ndarray:
        """Numbers grid points by their factor values.

        Args:
            factors: integers [n, num_factors]; column k within 0 .. sizes[k] - 1.

        Returns:
            int64 [n], each within 0 .. size - 1.

        Raises:
            ValueError: wrong shape or dtype, or a value outside its factor's range (the message
                names factor, value and range).
        """
        factors = np.asarray(factors)
        if (
            factors.ndim != 2
            or factors.shape[1] != len(self.sizes)
            or not np.issubdtype(factors.dtype, np.integer)
        ):
            raise ValueError(
                f"expected integer factors of shape [n, {len(self.sizes)}], got {factors.dtype}"
                f" {list(factors.shape)}"
            )
        bad = (factors < 0) | (factors >= np.asarray(self.sizes))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            value, last = factors[row, column], self.sizes[column] - 1
            raise ValueError(
                f"factor {self.names[column]!r} has the value {value} in row {row}; its range is"
                f" 0..{last}"
            )
        return factors.astype(np.int64) @ np.asarray(self.bases, np.int64)

    def to_factors(self, index: np.ndarray) -> np.ndarray:
        """The factor values of grid points: the inverse of `to_index`.

        Args:
            index: integers [n], each within 0 .. size - 1.

        Returns:
            int64 [n, num_factors].

        Raises:
            ValueError: wrong shape or dtype, or an index outside the grid.
        """
        index = self.check_index(index)
        return np.stack(np.unravel_index(index, self.sizes), axis=1).astype(np.int64, copy=False)

    def check_index(self, index: np.ndarray) -> np.ndarray:
        """Returns `index` as int64 [n], or raises a ValueError that says which entry lies outside
        the grid.
        """
        index = np.asarray(index)
        if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
            raise ValueError(
                f"expected integer indices of shape [n], got {index.dtype} {list(index.shape)}"
            )
        # Negative indices are refused because numpy would wrap them silently to other grid points.
        bad = (index < 0) | (index >= self.size)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"index {index[row]} in row {row} is outside the grid; its range is"
                f" 0..{self.size - 1}"
            )
        return index.astype(np.int64, copy=False)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draws `n` grid points, uniformly, independently and with replacement: int64 [n,
        num_factors].
        """
        return rng.integers(0, self.sizes, size=(n, len(self.sizes)))
