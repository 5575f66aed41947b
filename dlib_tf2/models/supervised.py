"""Supervised terms of a loss: a few labelled images tie codes to factors.

Locatello et al., "Disentangling factors of variation using few labels", ICLR 2020 (arXiv
1905.01258). Every term reads the encoder's mean of labelled images and is a mean over them; the old
library summed l2 and xent over the batch, so that its strength times the batch size is ours.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gin
import keras
import tensorflow as tf

from dlib_tf2.errors import UserError, check_number, check_whole
from dlib_tf2.models.vae import VAE, Scalars
from dlib_tf2.replicas import gather_global


class Annealer(NamedTuple):
    """How a term's strength changes.

    Attributes:
        weight: step -> part of the full strength, 0 .. 1.
        steps: the step from which on it does not change.
    """

    weight: Callable[[tf.Tensor], tf.Tensor]
    steps: int


@gin.register
def fixed() -> Annealer:
    """The full strength from the first step."""
    return Annealer(lambda step: tf.ones([]), 0)


@gin.register
def anneal(iteration_threshold: int = gin.REQUIRED) -> Annealer:
    """Rises linearly from 0 to the full strength at step `iteration_threshold`."""
    check_whole(1, anneal__iteration_threshold=iteration_threshold)
    return Annealer(
        lambda step: tf.minimum(1.0, tf.cast(step, tf.float32) / iteration_threshold),
        iteration_threshold,
    )


@gin.register
def fine_tune(iteration_threshold: int = gin.REQUIRED) -> Annealer:
    """Nothing up to step `iteration_threshold`, the full strength after it."""
    check_whole(0, fine_tune__iteration_threshold=iteration_threshold)
    return Annealer(
        lambda step: tf.cast(step > iteration_threshold, tf.float32), iteration_threshold + 1
    )


class SupervisedTerm:
    """strength * annealer(step) * loss(encoder's mean of labelled images, labels).

    A `terms.Term`. Attributes: see there; `name` is that of the term.
    """

    inputs = ("labelled_image", "labelled_point", "label")
    name = "supervised"
    needs_a_code_per_label = True

    def __init__(self, strength: float = gin.REQUIRED, annealer: Annealer | None = None):
        check_number(0, **{f"{type(self).__name__}__strength": strength})
        if not isinstance(annealer, Annealer | None):
            raise UserError(
                f"{type(self).__name__}.annealer must be a call such as @anneal() with its"
                f" brackets, got {annealer!r}"
            )
        self._strength, self._annealer = strength, annealer or fixed()
        self.schedule_steps = self._annealer.steps

    def build(self, num_latent: int, sizes: Mapping[str, tuple[int, ...]]) -> list[keras.Variable]:
        """Makes the term's own variables, see `Term.build`.

        Raises:
            UserError: there are fewer codes than labels.
        """
        label_sizes = sizes["label"]
        if self.needs_a_code_per_label and num_latent < len(label_sizes):
            raise UserError(
                f"{len(label_sizes)} labels need as many codes, and there are {num_latent}; raise"
                " NUM_LATENT"
            )
        self._sizes = label_sizes
        return self._variables()

    def __call__(self, model: VAE, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> Scalars:
        """The term of a batch of "labelled_image" [b, h, w, c] and "label" float32 [b, labels]."""
        mean = model.encode(batch["labelled_image"]).loc
        weight = self._strength * self._annealer.weight(step)
        return {self.name: weight * self.loss(mean, batch["label"])}

    def loss(self, mean: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """The unweighted loss of means [b, d] and labels [b, labels]: scalar."""
        raise NotImplementedError

    def _variables(self) -> list[keras.Variable]:
        return []

    def _scaled(self, label: tf.Tensor) -> tf.Tensor:
        """Labels / sizes, within 0 .. (n - 1) / n, as the study has them."""
        return label / tf.constant(self._sizes, tf.float32)


@gin.register
class L2Labels(SupervisedTerm):
    """Squared error of codes to labels, summed over labels.

    Args:
        strength: weight, >= 0.
        annealer: `fixed` by default.
        learn_scale: (b * code - label)^2 with a trained scalar b, initially 1; otherwise
            (sigmoid(code) - label / size)^2. The old library's fixed form pulled every code towards
            every label of the batch, by a broadcast; this one does not.
    """

    name = "l2"

    def __init__(
        self,
        strength: float = gin.REQUIRED,
        annealer: Annealer | None = None,
        learn_scale: bool = True,
    ):
        super().__init__(strength, annealer)
        self._learn_scale = learn_scale

    def _variables(self) -> list[keras.Variable]:
        if not self._learn_scale:
            return []
        self._scale = keras.Variable(1.0, name="label_scale")
        return [self._scale]

    def loss(self, mean: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """See the class."""
        codes = mean[:, : len(self._sizes)]
        if self._learn_scale:
            error = self._scale * codes - label
        else:
            error = tf.sigmoid(codes) - self._scaled(label)
        return tf.reduce_mean(tf.reduce_sum(error**2, axis=-1))


@gin.register
class XentLabels(SupervisedTerm):
    """Sigmoid cross-entropy of codes, as logits, with label / size, summed over labels."""

    name = "xent"

    def loss(self, mean: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """See the class."""
        codes = mean[:, : len(self._sizes)]
        each = tf.nn.sigmoid_cross_entropy_with_logits(self._scaled(label), codes)
        return tf.reduce_mean(tf.reduce_sum(each, axis=-1))


@gin.register
class CovLabels(SupervisedTerm):
    """Squared covariances of codes with the labels that are not theirs, over the global batch."""

    name = "cov"
    needs_a_code_per_label = False
    batch_of_one = "no code and label of one row covary, so that the term is 0"

    def loss(self, mean: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """See the class."""
        mean, label = gather_global(mean), gather_global(label)
        mean, label = (values - tf.reduce_mean(values, axis=0) for values in (mean, label))
        covariance = tf.matmul(mean, label, transpose_a=True) / tf.cast(len(mean), tf.float32)
        own = tf.eye(covariance.shape[0], covariance.shape[1])
        return tf.reduce_sum((covariance * (1 - own)) ** 2)


@gin.register
class EmbedLabels(SupervisedTerm):
    """Cross-entropy of a label with the softmax over its values of -(sigma * (code - e_v))^2.

    Args:
        strength: weight, >= 0.
        annealer: `fixed` by default.
        sigma: sharpness, above 0, or "learn": one trained number per label.
        use_order: e_v = slope * v + bias with two trained numbers per label; otherwise one for each
            value.
        seed: of the initial embeddings (Glorot uniform).
    """

    name = "embed"

    def __init__(
        self,
        strength: float = gin.REQUIRED,
        annealer: Annealer | None = None,
        sigma: float | str = 1.0,
        use_order: bool = False,
        seed: int = 0,
    ):
        super().__init__(strength, annealer)
        if sigma != "learn":
            check_number(1e-9, EmbedLabels__sigma=sigma)
        check_whole(0, EmbedLabels__seed=seed)
        self._sigma, self._use_order, self._seed = sigma, use_order, seed

    def _variables(self) -> list[keras.Variable]:
        draws = keras.random.SeedGenerator(self._seed)

        def variable(length: int, name: str) -> keras.Variable:
            most = (3 / length) ** 0.5  # Glorot's bound for a vector
            return keras.Variable(
                keras.random.uniform([length], -most, most, seed=draws), name=name
            )

        lengths = [1 if self._use_order else size for size in self._sizes]
        count = range(len(self._sizes))
        self._values = [variable(lengths[k], f"embedding_{k}") for k in count]
        self._slopes = [variable(1, f"slope_{k}") for k in count] if self._use_order else []
        learn = self._sigma == "learn"
        self._sigmas = [variable(1, f"sigma_{k}") for k in count] if learn else []
        return [*self._values, *self._slopes, *self._sigmas]

    def loss(self, mean: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """See the class."""
        total = tf.zeros([])
        for k, size in enumerate(self._sizes):
            embedding: Any = self._values[k]
            if self._use_order:
                embedding = self._slopes[k] * tf.range(size, dtype=tf.float32) + embedding
            sigma: Any = self._sigmas[k] if self._sigmas else self._sigma
            logits = -(((mean[:, k : k + 1] - embedding) * sigma) ** 2)
            truth = tf.cast(label[:, k], tf.int32)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
            total += tf.reduce_mean(each)
        return total
