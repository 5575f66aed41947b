"""What a sampler hands to the training stream: named draws for a block of steps at a time."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from dlib_tf2.errors import UserError
from dlib_tf2.seeds import derive_seed

# The grid points of this many steps are drawn at once. The number is part of what a seed means:
# another one, other batches.
STEPS = 32
Arrays = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Labelled examples: rows of the table and grid points int64 [n], labels int [n, observed], the
    number of values of each label, what the run's record says of them, and how many of the first
    rows train.
    """

    row: np.ndarray
    point: np.ndarray
    labels: np.ndarray
    sizes: tuple[int, ...]
    facts: Mapping[str, Any]
    num_train: int


@dataclasses.dataclass(frozen=True)
class Draws:
    """A sampler bound to a dataset.

    Attributes:
        images: the names of the image batches it gives.
        extras: name -> (shape of one example, dtype) of what it gives beside images.
        draw: (seed, block of `STEPS` steps, batch size) -> name -> [STEPS, batch, ...]: rows of the
            table under the names of `images`, int64, and the extras.
        facts: what the run's record says of it.
        probabilities: of each row of the table as "image", float64 [rows]; None if all are alike.
        sizes: the number of values of each column of an extra, by its name.
        labelled: the labelled examples, if there are any.
        fixed: image -> extra with its grid points, for images whose nuisance is drawn once.
        pairs: whether "image_2" belongs to "image".
        name: of the sampler.
    """

    images: tuple[str, ...]
    extras: Mapping[str, tuple[tuple[int, ...], tf.DType]]
    draw: Callable[[int, tf.Tensor, int], Arrays]
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    probabilities: np.ndarray | None = None
    sizes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    labelled: Labelled | None = None
    fixed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pairs: bool = False
    name: str = "UniformSampler"

    def spec(
        self, names: Sequence[str], rows: int, image_shape: Sequence[int]
    ) -> dict[str, tf.TensorSpec]:
        """The tensors of one batch of `rows` rows: the named ones, and "position"."""
        specs = {name: tf.TensorSpec([rows, *image_shape], tf.uint8) for name in self.images}
        specs |= {
            name: tf.TensorSpec([rows, *shape], dtype)
            for name, (shape, dtype) in self.extras.items()
        }
        return {name: specs[name] for name in names} | {"position": tf.TensorSpec([rows], tf.int32)}

    @property
    def held_out(self) -> np.ndarray | None:
        """Which rows of the table are never drawn, bool [rows]; None if there are none."""
        if self.probabilities is None or self.probabilities.all():
            return None
        return self.probabilities == 0


def uniform(rows: int, images: Sequence[str]) -> Draws:
    """Independent, uniform draws of `rows` rows with replacement, a stream for each of `images`."""

    def draw(seed: int, block: tf.Tensor, batch_size: int) -> Arrays:
        return {
            name: whole(seed_of(seed, name), block, [STEPS, batch_size], rows) for name in images
        }

    return Draws(tuple(images), {}, draw)


def single_images(draws: Draws, held_out: bool) -> Draws:
    """Single images in the place of pairs: an image and itself, of which no factor has changed.

    Args:
        draws: of training.
        held_out: draw, uniformly, the rows that `draws` never draws, instead of its own.
    """
    rows = None
    if held_out:
        if draws.held_out is None:
            raise UserError("no row is held out; hold some out by GridDistribution.parts")
        rows = tf.constant(np.flatnonzero(draws.held_out), tf.int64)

    def draw(seed: int, block: tf.Tensor, batch_size: int) -> Arrays:
        arrays = dict(draws.draw(seed, block, batch_size))
        row = arrays["image"]
        if rows is not None:
            row = tf.gather(rows, whole(seed, block, [STEPS, batch_size], rows.shape[0]))
        arrays |= {name: row for name in ("image", "image_2") if name in arrays}
        if "changed" in arrays:
            arrays["changed"] = tf.zeros_like(arrays["changed"])
        return arrays

    return dataclasses.replace(draws, draw=draw)


def seed_of(seed: int, name: str) -> int:
    """The seed of a named stream; that of "image" is the seed itself."""
    return seed if name == "image" else derive_seed(seed, name)


def whole(seed: int, block: tf.Tensor, shape: Sequence[int], below: int) -> tf.Tensor:
    """Uniform whole numbers 0 .. below - 1, int64: functions of (seed, block).

    Of 64 bits: the bias of drawing modulo the number of rows is below 1e-12.
    """
    return tf.random.stateless_uniform(shape, _key(seed, block), 0, below, tf.int64, alg="philox")


def unit(seed: int, block: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Uniform float64 in [0, 1)."""
    return tf.random.stateless_uniform(shape, _key(seed, block), dtype=tf.float64, alg="philox")


def _key(seed: int, block: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed, tf.int64), block])
