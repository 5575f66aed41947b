"""A ground-truth dataset: a grid of factors and an image for each grid point."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlib_tf2.datasets.factor_space import FactorSpace

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class GroundTruthDataset:
    """Images of known factors. Nothing here is random but the training streams, which are functions of their seed.

    Attributes:
        name: what `load` was asked for, such as "rendered_sprites/small".
        space: the full grid, hidden factors included.
        visible: the names of the factors that are scored, in the order of `space`.
        table: uint8 [grid points, h, w, c], memory-mapped; row i is grid point i.
        scale: the pixel value that means white; images divided by it lie within 0 .. 1.
        records: opens the prepared TFDS records for `record_batches`: (data_dir or None for where they were prepared,
            num_hosts, host) -> tf.data of one host's share of the images, not decoded, and their decoder.
    """

    name: str
    space: FactorSpace
    visible: tuple[str, ...]
    table: np.ndarray = dataclasses.field(repr=False)
    scale: int
    records: Callable[[str | None, int, int], tuple[tf.data.Dataset, Callable]] = dataclasses.field(repr=False)

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.table.shape[1:]
        return height, width, channels

    def images(self, index: np.ndarray) -> np.ndarray:
        """The images of grid points.

        Args:
            index: integers [n], each within 0 .. space.size - 1.

        Returns:
            uint8 [n, h, w, c], values 0 .. `scale`.

        Raises:
            ValueError: an index outside the grid.
        """
        return self.table[self.space.check_index(index)]

    def visible_factors(self, index: np.ndarray) -> np.ndarray:
        """The scored factors of grid points [n]: int64 [n, len(visible)]."""
        return self.space.to_factors(index)[:, [self.space.names.index(name) for name in self.visible]]

    def train_batches(
        self, batch_size: int, seed: int, start: int = 0, num_replicas: int = 1, replicas: Sequence[int] | None = None
    ) -> tf.data.Dataset:
        """An endless stream of training batches; see `stream.train_batches`."""
        from dlib_tf2.datasets import stream

        return stream.train_batches(self.table, batch_size, seed, start, num_replicas, replicas)

    def record_batches(
        self, batch_size: int, seed: int, num_hosts: int = 1, host: int = 0, replicas_per_host: int = 1, data_dir: str | None = None
    ) -> tf.data.Dataset:
        """The stream for hosts on which no Python runs; see `stream.record_batches`. `data_dir` may be a bucket, gs://..."""
        from dlib_tf2.datasets import stream

        records, decode = self.records(data_dir, num_hosts, host)
        return stream.record_batches(records, decode, self.observation_shape, batch_size, seed, num_hosts, host, replicas_per_host)

    def table_batches(self, batch_size: int) -> tf.data.Dataset:
        """Every grid point exactly once, in grid order; see `stream.table_batches`."""
        from dlib_tf2.datasets import stream

        return stream.table_batches(self.table, batch_size)
