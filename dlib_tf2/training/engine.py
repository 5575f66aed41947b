"""One loop for every method and every device: a tf.function that runs many steps per call.

Batch t and noise t are functions of (seed, t), gradients are summed over replicas, and a call
returns the mean over its steps of every number that a step measures.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from dlib_tf2.datasets import GroundTruthDataset
from dlib_tf2.datasets.draws import Draws, uniform
from dlib_tf2.models.terms import WithTerms
from dlib_tf2.models.vae import VAE
from dlib_tf2.seeds import derive_seed


class Engine:
    """Runs training and evaluation steps of a model under a strategy."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: VAE | WithTerms,
        optimizers: Mapping[str, keras.optimizers.Optimizer],
        data: GroundTruthDataset,
        seed: int,
        batch_size: int,
        xla: bool = False,
        draws: Draws | None = None,
    ):
        """Traces one step, to learn what the model measures.

        Args:
            strategy: where the replicas run; model and optimizers were made in its scope.
            model: has `losses` and `parts`.
            optimizers: one for each part of the model, built.
            data: has the shape of the images and the value that means white.
            seed: the run's seed.
            batch_size: the global batch.
            xla: compile a replica's step with jit_compile.
            draws: what a batch is made of; uniform draws of the model's inputs by default.
        """
        self._strategy, self._data = strategy, data
        self._model, self._optimizers = model, optimizers
        self._train_noise = derive_seed(seed, "training noise")
        self._eval_noise = derive_seed(seed, "evaluation noise")
        # Mixed into the seed of the noise: each input's nuisance is independent of the model's
        # noise and of the other images' nuisance.
        drawn = draws or uniform(len(data.table), model.inputs)
        self._fixed = drawn.fixed
        self._nuisance = {
            name: derive_seed(seed, f"nuisance of {name}")
            for name in model.inputs
            if name in drawn.images
        }
        # A loop in a graph must know its totals before the first step, so one step is traced first.
        scalar, rows = tf.TensorSpec([], tf.int64), batch_size // strategy.num_replicas_in_sync
        batch = drawn.spec(model.inputs, rows, data.stored_shape)
        try:
            trace = tf.function(self._measure).get_concrete_function(batch, scalar, scalar)
        except Exception as error:
            raise _before_autograph(error) from None
        terms, monitors = trace.structured_outputs
        self._terms, self._monitors = tuple(terms), tuple(monitors)
        self.names = ("loss", *self._monitors, *(f"term/{name}" for name in self._terms))
        self.parts = model.parts(self._terms)
        if set(self.parts) != set(optimizers):
            parts, others = sorted(self.parts), sorted(optimizers)
            raise ValueError(f"the model has the parts {parts}, the optimizers are for {others}")
        self._train_replica, self._eval_replica = (
            tf.function(step, jit_compile=True) if xla else step
            for step in (self._train_step, self._eval_step)
        )

    def train(
        self, iterator: Iterator, start: int, count: int, pace: float = 0.0
    ) -> tuple[dict[str, float], int | None, float]:
        """Makes `count` updates, the first with step number `start`.

        Args:
            iterator: distributed batches, from step `start` on.
            start: number of updates made so far.
            count: number of updates to make.
            pace: this worker's seconds per step; every worker gets the mean over the workers, so
                that all choose the same `count` next.

        Returns:
            (means over the steps, the first step whose loss was not finite or None, mean pace).
        """
        means, bad, pace = self._train_loop(
            iterator, tf.constant(start, tf.int64), tf.constant(count, tf.int64), tf.constant(pace)
        )
        return self._named(means), (int(bad) if bad >= 0 else None), float(pace)

    def variables(self) -> list[tf.Variable]:
        """Everything that training changes, in an order that is the same at every start."""
        moved = [variable for part in self.parts.values() for variable in part.variables]
        state = [variable for name in self.parts for variable in self._optimizers[name].variables]
        return _tensors(moved + state)

    def evaluate(self, iterator: Iterator, start: int, count: int, step: int) -> dict[str, float]:
        """Means of every term and monitor over `count` batches, without an update.

        Args:
            iterator: distributed batches, from `start` on.
            start: number of the first batch; the noise depends on it.
            count: number of batches.
            step: number of updates made; annealed weights read it.
        """
        means = self._eval_loop(
            iterator, *(tf.constant(number, tf.int64) for number in (start, count, step))
        )
        return self._named(means)

    def _named(self, means: tf.Tensor) -> dict[str, float]:
        return {name: float(value) for name, value in zip(self.names, means.numpy(), strict=True)}

    @tf.function(reduce_retracing=True)
    def _train_loop(
        self, iterator: Iterator, start: tf.Tensor, count: tf.Tensor, pace: tf.Tensor
    ) -> tuple[Any, ...]:
        totals = tf.zeros([len(self.names) + 1])
        bad = tf.constant(-1, tf.int64)
        for offset in tf.range(count):
            step = start + offset
            per_replica = self._strategy.run(self._train_replica, args=(next(iterator), step, pace))
            values = self._strategy.reduce(tf.distribute.ReduceOp.MEAN, per_replica, axis=None)
            totals += values
            if bad < 0 and not tf.math.is_finite(values[0]):
                bad = step
        means = totals / tf.cast(count, tf.float32)
        return means[:-1], bad, means[-1]

    @tf.function(reduce_retracing=True)
    def _eval_loop(
        self, iterator: Iterator, start: tf.Tensor, count: tf.Tensor, step: tf.Tensor
    ) -> tf.Tensor:
        totals = tf.zeros([len(self.names)])
        for index in tf.range(count):
            per_replica = self._strategy.run(
                self._eval_replica, args=(next(iterator), start + index, step)
            )
            totals += self._strategy.reduce(tf.distribute.ReduceOp.MEAN, per_replica, axis=None)
        return totals / tf.cast(count, tf.float32)

    def _train_step(
        self, batch: Mapping[str, tf.Tensor], step: tf.Tensor, pace: tf.Tensor
    ) -> tf.Tensor:
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        with tf.GradientTape(persistent=len(self.parts) > 1) as tape:
            terms, monitors = self._measure(batch, step, tf.constant(self._train_noise, tf.int64))
            # A replica's loss is the mean over its examples; gradients are summed over replicas.
            goals = {
                name: tf.add_n([terms[term] for term in part.terms]) / replicas
                for name, part in self.parts.items()
            }
        # All gradients are taken at the old weights before any part moves.
        gradients = {
            name: tape.gradient(goals[name], _tensors(part.variables))
            for name, part in self.parts.items()
        }
        for name, part in self.parts.items():
            self._optimizers[name].apply(gradients[name], part.variables)
        return tf.concat([self._stack(terms, monitors), [pace]], axis=0)

    def _eval_step(
        self, batch: Mapping[str, tf.Tensor], index: tf.Tensor, step: tf.Tensor
    ) -> tf.Tensor:
        noise = tf.constant(self._eval_noise, tf.int64)
        return self._stack(*self._measure(batch, step, noise, index))

    def _measure(
        self,
        batch: Mapping[str, tf.Tensor],
        step: tf.Tensor,
        noise: tf.Tensor,
        index: tf.Tensor | None = None,
    ) -> Any:
        step_or_index = step if index is None else index
        images = {}
        for name in self._nuisance:
            image = tf.cast(batch[name], tf.float32) / self._data.scale
            mixed = tf.bitwise.bitwise_xor(noise, self._nuisance[name])
            seed = tf.stack([mixed, step_or_index])
            if name in self._fixed:
                images[name] = self._data.augment_once(image, batch[self._fixed[name]])
            else:
                images[name] = self._data.augment(image, seed, batch["position"])
        seed = tf.stack([noise, step_or_index])
        return self._model.losses({**batch, **images}, step, seed)

    def _stack(
        self, terms: Mapping[str, tf.Tensor], monitors: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        loss = tf.add_n([terms[name] for name in self.parts["vae"].terms])
        named = [monitors[name] for name in self._monitors] + [terms[name] for name in self._terms]
        return tf.stack([loss, *named])  # [names]


def _tensors(variables: list[keras.Variable]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


def _before_autograph(error: BaseException) -> BaseException:
    """The error that tracing raised, which autograph replaces by one of another type."""
    while error.__context__ is not None and hasattr(error.__context__, "ag_error_metadata"):
        error = error.__context__
    return error
