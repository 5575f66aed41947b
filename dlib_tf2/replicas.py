"""What a loss needs to mean the same on one replica and on many: the global batch's noise, and its
codes.
"""

import math
from collections.abc import Sequence

import tensorflow as tf


def num_replicas() -> int:
    """Replicas that share the global batch; 1 outside of tf.distribute."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context is not None else 1


def replica_index() -> tf.Tensor:
    """Which replica this is, int32 scalar: it holds the rows from `replica_index() * b` on of the
    global batch.
    """
    context = tf.distribute.get_replica_context()
    return tf.cast(context.replica_id_in_sync_group if context is not None else 0, tf.int32)


def global_normal(seed: tf.Tensor, position: tf.Tensor, width: int) -> tf.Tensor:
    """Standard normal noise of each example, a function of the seed and of its row in the global
    batch only.

    Every replica draws the noise of the whole global batch and gathers its own rows: per-example
    seeds would fall back to a loop.

    Args:
        seed: int [2], e.g. (seed of the run, step).
        position: int [b], rows of this replica's examples in the global batch.
        width: numbers per example.

    Returns:
        float32 [b, width].
    """
    global_batch = position.shape[0] * num_replicas()
    half = -(-global_batch * width // 2)
    uniform = portable_uniform([2, half], seed)
    # Box and Muller 1958
    radius, angle = tf.sqrt(-2 * tf.math.log(uniform[0])), math.tau * uniform[1]
    normal = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=0)[
        : global_batch * width
    ]
    return tf.gather(tf.reshape(normal, [global_batch, width]), position)  # [b, width]


def gather_global(values: tf.Tensor) -> tf.Tensor:
    """The global batch's rows, in global order, on every replica; gradients flow back to the
    replica that owns a row.

    Penalties over the batch (covariances, total correlation) change their value with the number of
    replicas unless they are computed on this.

    Args:
        values: [b, ...] with the same static shape on every replica.

    Returns:
        [b * replicas, ...].
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    everyone = context.all_gather(values, axis=0)
    # all_gather forgets the static shape, which every reader needs: batch sizes are Python numbers
    # here.
    return tf.ensure_shape(
        everyone, [values.shape[0] * context.num_replicas_in_sync, *values.shape[1:]]
    )


def shuffle_columns(values: tf.Tensor, seed: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """This replica's rows of the global batch after each column was permuted by itself.

    Args:
        values: [b, d] with the same static shape on every replica.
        seed: int [2].
        position: int [b], rows of this replica's examples in the global batch.

    Returns:
        [b, d]: over all replicas together, every column holds the values it held, in an order of
        its own.
    """
    everyone = tf.transpose(gather_global(values))  # [d, B]
    # stateless_shuffle has no XLA kernel; the order of uniform numbers is a uniform permutation.
    # [d, b]
    order = tf.gather(tf.argsort(portable_uniform(everyone.shape, seed), axis=1), position, axis=1)
    return tf.transpose(tf.gather(everyone, order, axis=1, batch_dims=1))  # [b, d]


def portable_uniform(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Uniform numbers in (0, 1] from a seed [2], the same on every device and under XLA.

    Only TensorFlow's integers are: from the same Philox bits XLA makes other uniform and normal
    floats, by the shape too.
    """
    bits = tf.random.stateless_uniform(
        shape, seed=seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    return (tf.cast(bits, tf.float32) + 0.5) * 2.0**-32
