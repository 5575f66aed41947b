"""AnnealedVAE: the capacity's path, |global mean - capacity|, and the warning of a short run."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from replica_check import assert_same_on_two_replicas, value_and_gradients

from dlib_tf2.regularizers.annealed_kl import AnnealedKL
from dlib_tf2.regularizers.beta_kl import kl_to_prior


def posterior(mean):
    return tfp.distributions.MultivariateNormalDiag(mean, tf.ones_like(mean))


@pytest.mark.parametrize(
    "step, capacity", [(0, 0.0), (50_000, 12.5), (100_000, 25.0), (250_000, 25.0)]
)
def test_check_values_of_the_capacity(step, capacity):
    regularizer = AnnealedKL(gamma=1000.0, c_max=25.0, iteration_threshold=100_000)
    assert float(regularizer.capacity(tf.constant(step, tf.int64))) == pytest.approx(capacity)
    assert float(regularizer.monitors(tf.constant(step, tf.int64))["capacity"]) == pytest.approx(
        capacity
    )


@pytest.mark.parametrize(
    "step, expected",
    [(0, 1000 * 5.0), (40_000, 1000 * 5.0), (100_000, 1000 * 20.0), (900_000, 1000 * 20.0)],
)
def test_term_is_the_weighted_distance_to_the_capacity(step, expected):
    # KL is 5 nats (ten means of 1 at variance 1) and stands for the whole term: no further KL is
    # added.
    terms = AnnealedKL(1000.0, 25.0, 100_000)(
        posterior(tf.ones([4, 10])), None, tf.constant(step, tf.int64)
    )
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(
        {"annealed_kl": expected}, rel=1e-5
    )


def test_absolute_value_is_of_the_global_mean(two_replicas):
    # The first replica's KL is 0.5 nats, the second's 4.5; C(t) = 2 lies between, the global mean
    # is 2.5.
    mean = np.concatenate([np.full((3, 1), 1.0), np.full((3, 1), 3.0)])
    regularizer = AnnealedKL(10.0, 4.0, 100)

    def term(mean, position):
        return regularizer(posterior(mean), None, tf.constant(50, tf.int64))["annealed_kl"]

    value, (gradient,) = assert_same_on_two_replicas(term, [mean], two_replicas)
    assert value == pytest.approx(10 * 0.5)
    # Both replicas' examples are pulled down, though the first replica's KL alone lies below the
    # capacity.
    assert gradient == pytest.approx(10 * mean / 6)

    def local_term(mean, position):
        return 10 * tf.abs(kl_to_prior(posterior(mean)) - 2.0)

    assert value_and_gradients(local_term, [mean], two_replicas)[0] == pytest.approx(10 * 2.0)
