"""Noise and gathered codes on two replicas are those on one, values and gradients."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from dlib_tf2 import replicas

SEED = np.array([11, 4])


def on_each(strategy, function, *per_replica):
    """Runs `function` on each replica with its own arguments; a list of what each returned."""

    def arguments(values):
        return strategy.experimental_distribute_values_from_function(
            lambda context: values[context.replica_id_in_sync_group]
        )

    run = tf.function(lambda *inputs: strategy.run(function, args=inputs))
    results = run(*(arguments(values) for values in per_replica))
    return [np.asarray(value) for value in strategy.experimental_local_results(results)]


def test_number_of_replicas(two_replicas):
    assert replicas.num_replicas() == 1
    assert on_each(two_replicas, lambda: tf.constant(replicas.num_replicas())) == [2, 2]


def test_noise_of_an_example_does_not_depend_on_the_number_of_replicas(two_replicas):
    alone = replicas.global_normal(SEED, tf.range(6), 3).numpy()
    positions = [tf.constant([0, 1, 2]), tf.constant([3, 4, 5])]
    halves = on_each(
        two_replicas, lambda position: replicas.global_normal(SEED, position, 3), positions
    )
    np.testing.assert_array_equal(np.concatenate(halves), alone)
    assert len(np.unique(alone)) == 18


def test_noise_follows_the_position_not_the_row():
    alone = replicas.global_normal(SEED, tf.range(6), 3).numpy()
    order = [4, 0, 5, 1, 3, 2]
    np.testing.assert_array_equal(replicas.global_normal(SEED, tf.constant(order), 3), alone[order])


@pytest.mark.parametrize("batch, width", [(8, 3), (64, 10), (7, 3), (1, 1)])
def test_noise_under_xla_is_the_same(batch, width):
    # The seed is an argument: a constant one would be folded away before XLA sees it.
    noise = tf.function(
        lambda seed: replicas.global_normal(seed, tf.range(batch), width), jit_compile=True
    )(tf.constant(SEED))
    np.testing.assert_allclose(
        noise, replicas.global_normal(SEED, tf.range(batch), width), rtol=1e-5, atol=1e-6
    )


def test_noise_is_standard_normal():
    draws = np.concatenate(
        [
            replicas.global_normal(np.array([seed, 3]), tf.range(2000), 10).numpy().ravel()
            for seed in range(10)
        ]
    )
    assert scipy.stats.kstest(draws, "norm").pvalue > 0.01
    assert np.corrcoef(draws.reshape(-1, 10).T) == pytest.approx(np.eye(10), abs=0.03)
    assert 4 < np.abs(draws).max() < 6.8


def test_permutation_under_xla_is_the_same():
    values = tf.reshape(tf.range(160.0), [16, 10])

    def shuffle(seed):
        return replicas.shuffle_columns(values, seed, tf.range(16))

    shuffled = shuffle(tf.constant(SEED)).numpy()
    np.testing.assert_array_equal(
        tf.function(shuffle, jit_compile=True)(tf.constant(SEED)), shuffled
    )
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), values)
    assert len({tuple(column - column.min()) for column in shuffled.T}) == 10


def test_gathered_rows_are_the_global_batch_in_order(two_replicas):
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(replicas.gather_global(tf.constant(rows)), rows)
    for gathered in on_each(
        two_replicas, replicas.gather_global, [tf.constant(rows[:2]), tf.constant(rows[2:])]
    ):
        np.testing.assert_array_equal(gathered, rows)


def covariance_penalty(codes):
    """A penalty over the batch that is not a mean over examples."""
    centred = codes - tf.reduce_mean(codes, axis=0)
    return tf.reduce_sum(tf.square(tf.matmul(centred, centred, transpose_a=True) / len(codes)))


def test_penalty_over_the_batch_keeps_its_value_and_gradient(two_replicas):
    codes = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)

    def gradient(own):
        with tf.GradientTape() as tape:
            tape.watch(own)
            # What the engine does: each replica's goal is divided by the number of replicas,
            # gradients are summed.
            penalty = covariance_penalty(replicas.gather_global(own))
            goal = penalty / replicas.num_replicas()
        return tf.concat([tf.reshape(tape.gradient(goal, own), [-1]), [penalty]], axis=0)

    alone = gradient(tf.constant(codes)).numpy()
    halves = on_each(two_replicas, gradient, [tf.constant(codes[:4]), tf.constant(codes[4:])])
    assert [half[-1] for half in halves] == pytest.approx([alone[-1]] * 2, rel=1e-6)
    # On one replica a row's gradient arrives once; on two, once through each replica's penalty.
    np.testing.assert_allclose(
        np.concatenate([half[:-1] for half in halves]), alone[:-1], rtol=1e-5, atol=1e-6
    )
    # Without gathering the value would be another one.
    assert (
        abs(
            np.mean([covariance_penalty(tf.constant(half)) for half in (codes[:4], codes[4:])])
            - alone[-1]
        )
        > 0.1 * alone[-1]
    )
