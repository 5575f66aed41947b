"""What a training batch is made of: grid points drawn for one or several images, and what is known
of them.

A sampler is bound to a dataset and then is a pure function of (seed, block of steps): resume, the
number of replicas and prefetching cannot change what it draws. Samplers wrap each other:
`LabelledSampler(sampler=PairSampler(sampler=WeightedSampler(distribution)))`. Those of pairs stand
in `pairs`, that of labels in `labellers`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import gin
import numpy as np
import tensorflow as tf

from dlib_tf2.datasets.distributions import GridDistribution
from dlib_tf2.datasets.draws import STEPS, Arrays, Draws, seed_of, uniform, unit
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.errors import UserError


class Sampler(Protocol):
    """Anything that binds to a dataset: the value of `train.sampler`.

    Attributes:
        gives: names of what it adds to a batch, for the message where a model misses one.
    """

    gives: tuple[str, ...]

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset; raises UserError where the two do not fit."""


@gin.register
class UniformSampler:
    """Independent, uniform draws with replacement, a stream of its own for each input of the model.

    Args:
        images: the names of the streams; "image" alone suits every method but those that read a
            second batch ("image_2").
    """

    gives: tuple[str, ...] = ("image",)

    def __init__(self, images: Sequence[str] = ("image", "image_2")):
        self._images = names_of(images, "UniformSampler.images")

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset."""
        return uniform(len(data.table), self._images)


@gin.register
class WeightedSampler:
    """Independent draws from a distribution over the grid, with replacement.

    Args:
        distribution: see `GridDistribution`; rows without weight are never drawn.
        images: as in `UniformSampler`.
    """

    gives: tuple[str, ...] = ("image",)

    def __init__(
        self,
        distribution: GridDistribution = gin.REQUIRED,
        images: Sequence[str] = ("image", "image_2"),
    ):
        if not isinstance(distribution, GridDistribution):
            raise UserError(
                "WeightedSampler.distribution must be @GridDistribution() with its brackets, got"
                f" {distribution!r}"
            )
        self.distribution = distribution
        self._images = names_of(images, "WeightedSampler.images")

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset."""
        probabilities = self.distribution.probabilities(data.space, data.cells)
        rows = _cumulative(probabilities)

        def draw(seed: int, block: tf.Tensor, batch_size: int) -> Arrays:
            shape = [STEPS, batch_size]
            return {
                name: _by_weight(rows, unit(seed_of(seed, name), block, shape))
                for name in self._images
            }

        facts = self.distribution.facts(data.space, data.cells)
        return Draws(self._images, {}, draw, facts, probabilities)


def inner(sampler: Sampler | None, name: str) -> Sampler:
    """The sampler inside of another one, uniform by default."""
    if sampler is None:
        return UniformSampler()
    if isinstance(sampler, type) or not callable(sampler):
        raise UserError(
            f"{name}.sampler must be a call of a sampler, such as @WeightedSampler() with its"
            f" brackets, got {sampler!r}"
        )
    return sampler


def names_of(names: Any, parameter: str) -> tuple[str, ...]:
    """A list of names, or a UserError that says so."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise UserError(f'{parameter} must be a list of names such as ["image"], got {names!r}')
    return tuple(names)


def _cumulative(probabilities: np.ndarray) -> tf.Tensor:
    total = np.cumsum(probabilities)
    return tf.constant(total / total[-1])


def _by_weight(cumulative: tf.Tensor, point: tf.Tensor) -> tf.Tensor:
    """The rows at points of the cumulative distribution; rows without weight are never met."""
    row = tf.searchsorted(cumulative, tf.reshape(point, [-1]), side="right", out_type=tf.int64)
    return tf.reshape(row, point.shape)
