"""A ground-truth dataset: a grid of factors and an image for each grid point."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlib_tf2.datasets import checksums, table_check
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.image_table import ComputedTable
from dlib_tf2.datasets.nuisance import TABLE_SEED, Nuisance
from dlib_tf2.errors import UserError

if TYPE_CHECKING:
    # TensorFlow, and `stream` which needs it, are otherwise imported inside the methods on purpose:
    # opening a dataset and looking at its images takes milliseconds, importing them many seconds.
    import tensorflow as tf

    from dlib_tf2.datasets.draws import Draws


@dataclasses.dataclass(frozen=True)
class GroundTruthDataset:
    """Images of known factors. Only the training streams are random, as functions of their seed.

    Attributes:
        name: what `load` was asked for, such as "rendered_sprites/small".
        space: the full grid, hidden factors included.
        visible: the names of the factors that are scored, in the order of `space`.
        table: uint8 [rows, h, w, c], memory-mapped or computed from such; row i is grid point i, or
            `cells[i]`.
        scale: the pixel value that means white; images divided by it lie within 0 .. 1.
        records: opens the prepared TFDS records for `record_batches`: (data_dir or None for where
            they were prepared, num_hosts, host) -> tf.data of one host's share of the images, not
            decoded, and their decoder. None if the dataset has no records.
        nuisance: a random change of each image of the table; None if the factors determine the
            image.
        cells: int64 [rows], ascending: the grid point of each row of an incomplete grid; None for a
            complete one.
        drawn_once: hidden factors whose values the table stream does not enumerate but draws once,
            by a fixed seed, for each combination of the others; for grids too large to encode
            whole.
    """

    name: str
    space: FactorSpace
    visible: tuple[str, ...]
    table: np.ndarray | ComputedTable = dataclasses.field(repr=False)
    scale: int
    records: Callable[[str | None, int, int], tuple[tf.data.Dataset, Callable]] | None = (
        dataclasses.field(repr=False)
    )
    nuisance: Nuisance | None = dataclasses.field(default=None, repr=False)
    cells: np.ndarray | None = dataclasses.field(default=None, repr=False)
    drawn_once: tuple[str, ...] = ()

    @property
    def base(self) -> np.ndarray:
        """The stored table: the table itself, or the one that its rows are computed from; uint8 [n,
        h, w, c].
        """
        return self.table if isinstance(self.table, np.ndarray) else self.table.base

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image in the table and in training batches, before the
        nuisance.
        """
        height, width, channels = self.table.shape[1:]
        return height, width, channels

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image as a model sees it."""
        height, width, channels = self.stored_shape
        return height, width, channels if self.nuisance is None else self.nuisance.channels

    def fingerprint(self) -> str:
        """Identifies these images: a hash of their bytes, grid, shape and scale, and of the rules
        that compute and change them. It does not depend on which factors are hidden.

        Reads every image once, and compares a table with its checksums on the way.

        Returns:
            64 hexadecimal digits.

        Raises:
            DlibError: the table is damaged; the message names the rows and the remedy.
        """
        sums = table_check.row_sums(self.base, self.name)
        cells = (
            None
            if self.cells is None
            else hashlib.sha256(self.cells.astype("<i8").tobytes()).hexdigest()
        )
        rules = [
            "" if isinstance(self.table, np.ndarray) else self.table.rule,
            self.nuisance.rule if self.nuisance else "",
        ]
        return checksums.fingerprint(
            sums, self.space.sizes, self.stored_shape, self.scale, cells, rules
        )

    def augment(self, image: tf.Tensor, seed: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        """Adds the nuisance, drawn afresh, to a batch of `train_batches` on the device; see
        `Nuisance.augment`.
        """
        return image if self.nuisance is None else self.nuisance.augment(image, seed, position)

    def augment_once(self, image: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """Adds the nuisance that `images` gives these grid points, on the device; see
        `Nuisance.of_rows`.
        """
        return image if self.nuisance is None else self.nuisance.of_rows(image, index)

    def images(self, index: np.ndarray) -> np.ndarray:
        """The images of grid points; a nuisance is drawn by a fixed seed, always the same for a
        point.

        Args:
            index: integers [n], each within 0 .. space.size - 1.

        Returns:
            [n, h, w, c], values 0 .. `scale`; uint8, or float32 with a nuisance.

        Raises:
            ValueError: an index outside the grid.
            UserError: a grid point of an incomplete grid that has no image.
        """
        index = self.space.check_index(index)
        return self._finished(self.table[self._rows(index)], index)

    def visible_factors(self, index: np.ndarray) -> np.ndarray:
        """The scored factors of grid points [n]: int64 [n, len(visible)]."""
        return self.space.to_factors(index)[
            :, [self.space.names.index(name) for name in self.visible]
        ]

    def table_index(self) -> np.ndarray:
        """The grid point of each row of `table_batches`, in order: int64 [rows]."""
        if self.cells is not None:
            return self.cells
        if not self.drawn_once:
            return np.arange(self.space.size)
        drawn = np.array([name in self.drawn_once for name in self.space.names])
        kept = FactorSpace(
            tuple(np.array(self.space.names)[~drawn]), tuple(np.array(self.space.sizes)[~drawn])
        )
        factors = np.empty((kept.size, len(drawn)), np.int64)
        factors[:, ~drawn] = kept.to_factors(np.arange(kept.size))
        sizes = np.array(self.space.sizes)[drawn]
        factors[:, drawn] = np.random.default_rng(TABLE_SEED).integers(
            0, sizes, (kept.size, len(sizes))
        )
        return self.space.to_index(factors)

    def sample_index(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draws `n` grid points that have an image, uniformly and with replacement: int64 [n]."""
        index = rng.integers(0, len(self.table), n)
        return index if self.cells is None else self.cells[index]

    def train_batches(
        self,
        batch_size: int,
        seed: int,
        start: int = 0,
        num_replicas: int = 1,
        replicas: Sequence[int] | None = None,
        draws: Draws | None = None,
        names: Sequence[str] = ("image",),
    ) -> tf.data.Dataset:
        """An endless stream of training batches, as in the table; `augment` adds the nuisance. See
        `stream.train_batches`.
        """
        from dlib_tf2.datasets import stream

        return stream.train_batches(
            self.table, batch_size, seed, start, num_replicas, replicas, draws, names
        )

    def record_batches(
        self,
        batch_size: int,
        seed: int,
        num_hosts: int = 1,
        host: int = 0,
        replicas_per_host: int = 1,
        data_dir: str | None = None,
    ) -> tf.data.Dataset:
        """The stream for hosts without Python; see `stream.record_batches`. `data_dir` may be a
        bucket, gs://...

        Raises:
            UserError: the dataset has no records.
        """
        from dlib_tf2.datasets import stream

        if self.records is None:
            raise UserError(
                f"{self.name} has no TFDS records, which hosts without Python read; train it on one"
                " host or another dataset"
            )
        records, decode = self.records(data_dir, num_hosts, host)
        return stream.record_batches(
            records, decode, self.stored_shape, batch_size, seed, num_hosts, host, replicas_per_host
        )

    def table_batches(self, batch_size: int) -> tf.data.Dataset:
        """The images of the grid points of `table_index`, in order: tf.data of (images as in
        `images`, int64 index).
        """
        from dlib_tf2.datasets import stream

        whole = self.cells is None and not self.drawn_once
        index = None if whole else self.table_index()
        rows = None if self.cells is not None else index
        finish = None if self.nuisance is None else self._nuisance_of_rows
        return stream.table_batches(self.table, batch_size, rows, index, finish)

    def _rows(self, index: np.ndarray) -> np.ndarray:
        if self.cells is None:
            return index
        rows = np.minimum(np.searchsorted(self.cells, index), len(self.cells) - 1)
        missing = index[self.cells[rows] != index]
        if len(missing):
            point = zip(self.space.names, self.space.to_factors(missing[:1])[0], strict=True)
            raise UserError(
                f"{self.name} is an incomplete grid: {len(self.cells):,} of {self.space.size:,}"
                " grid points have an image,"
                f" {', '.join(f'{name}={value}' for name, value in point)} has none; use only"
                " points that are there, or add the images"
            )
        return rows

    def _finished(self, images: np.ndarray, index: np.ndarray) -> np.ndarray:
        if self.nuisance is None:
            return images
        import tensorflow as tf

        with tf.device("CPU"):
            return self._nuisance_of_rows(tf.constant(images), tf.constant(index)).numpy()

    def _nuisance_of_rows(self, images: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        assert self.nuisance is not None
        return self.nuisance.of_rows(tf.cast(images, tf.float32) / self.scale, index) * self.scale
