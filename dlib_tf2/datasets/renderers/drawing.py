"""What every renderer declares: the grids it draws, and what its pictures are."""

import abc
import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from dlib_tf2.datasets.factor_space import FactorSpace


class Grid(abc.ABC):
    """Which values each factor takes under one config."""

    @property
    @abc.abstractmethod
    def columns(self) -> dict[str, np.ndarray]:
        """The physical values of each factor, the slowest factor first."""

    @property
    def space(self) -> FactorSpace:
        """The grid's own factor space; a factor's values count the grid's values."""
        columns = self.columns
        return FactorSpace(tuple(columns), tuple(map(len, columns.values())))

    def values(self, factors: np.ndarray) -> np.ndarray:
        """The physical values of integer factors [n, k]: float64 [n, k]."""
        columns = self.columns.values()
        return np.stack([column[factors[:, k]] for k, column in enumerate(columns)], axis=1)

    @abc.abstractmethod
    def blocks(self) -> Iterator[np.ndarray]:
        """Draws all pictures in grid order, some at a time: uint8 [n, h, w, c]."""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A dataset that this package draws.

    Attributes:
        name: of the dataset and of its TFDS builder.
        version: of the pictures.
        grids: the grid of each config; the first is the default.
        shape: height, width, channels of an image.
        scale: the pixel value that means white.
        record_bytes: of one record on the disk, about.
    """

    name: str
    version: str
    grids: Mapping[str, Grid]
    shape: tuple[int, int, int]
    scale: int
    record_bytes: int

    def source(self, config: str) -> str:
        """What the table of a config is kept under: name/config/version."""
        return f"{self.name}/{config}/{self.version}"
