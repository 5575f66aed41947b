"""Value and gradient of a batch-coupled function on one replica or on several."""

import numpy as np
import tensorflow as tf


def value_and_gradients(function, arrays, strategy=None):
    """Cuts arrays into the replicas' consecutive slices, as the engine cuts a batch, and runs
    `function` on each.

    Args:
        function: (slices of `arrays`, then int32 positions in the global batch) -> scalar; what
            counts is its mean over replicas.
        arrays: float32 [B, ...].
        strategy: the default strategy (one replica) by default.

    Returns:
        (the mean over replicas, its gradients by each of `arrays`).
    """
    strategy = strategy or tf.distribute.get_strategy()
    replicas, batch = strategy.num_replicas_in_sync, len(arrays[0])

    def cut(array):
        slices = np.split(array, replicas)
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(slices[context.replica_id_in_sync_group])
        )

    def replica(*slices):
        with tf.GradientTape() as tape:
            tape.watch(slices[:-1])
            value = function(*slices)
            goal = value / replicas
        return value, tape.gradient(goal, slices[:-1], unconnected_gradients="zero")

    arrays = [np.asarray(array, np.float32) for array in arrays]
    cuts = [cut(array) for array in (*arrays, np.arange(batch, dtype=np.int32))]
    values, gradients = tf.function(lambda: strategy.run(replica, args=cuts))()
    local = strategy.experimental_local_results
    mean = np.mean([value.numpy() for value in local(values)])
    return mean, [
        np.concatenate([part.numpy() for part in local(gradient)]) for gradient in gradients
    ]


def assert_same_on_two_replicas(function, arrays, two_replicas):
    """The value to 1e-6 relative and the gradients to 1e-6 of their norm."""
    value, gradients = value_and_gradients(function, arrays)
    other_value, other_gradients = value_and_gradients(function, arrays, two_replicas)
    np.testing.assert_allclose(other_value, value, rtol=1e-6)
    for gradient, other in zip(gradients, other_gradients, strict=True):
        assert np.linalg.norm(other - gradient) <= 1e-6 * np.linalg.norm(gradient)
    return value, gradients
