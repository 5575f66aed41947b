"""DIP-VAE I and II against the study's check values, numpy's covariance, and two replicas."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from replica_check import assert_same_on_two_replicas

from dlib_tf2.regularizers.beta_kl import kl_to_prior
from dlib_tf2.regularizers.dip import (
    DIP,
    covariance_of_means,
    covariance_of_samples,
    distance_to_identity,
)

TYPES = {"i": (covariance_of_means, 10.0), "ii": (covariance_of_samples, 1.0)}


def posterior(mean, log_variance):
    mean, log_variance = np.broadcast_arrays(
        np.asarray(mean, np.float32), np.asarray(log_variance, np.float32)
    )
    return tfp.distributions.MultivariateNormalDiag(mean, np.exp(log_variance / 2))


def check_posterior():
    """B = 4, D = 3: mean (11 - 3b - d) / 12 - 0.4, log-variance (-1, 0, 0.5) for every example."""
    b, d = np.mgrid[:4, :3]
    return posterior((11 - 3 * b - d) / 12 - 0.4, [-1, 0, 0.5])


def random_arrays(batch=8, num_latent=5):
    rng = np.random.default_rng(0)
    return rng.normal(0, 1.5, (batch, num_latent)), rng.normal(-1, 1, (batch, num_latent))


@pytest.mark.parametrize(
    "matrix, expected",
    [(np.ones((10, 10)), 90), (np.zeros((10, 10)), 10), (np.eye(10), 0), (2 * np.eye(10), 10)],
)
def test_check_values_of_the_distance(matrix, expected):
    assert float(distance_to_identity(tf.constant(matrix, tf.float32), 1.0, 1.0)) == pytest.approx(
        expected
    )


def test_distance_weighs_both_kinds_of_entries():
    matrix = tf.constant([[3.0, 2.0], [2.0, 0.0]])
    assert float(distance_to_identity(matrix, 5.0, 7.0)) == pytest.approx(5 * (4 + 4) + 7 * (4 + 1))


def test_covariance_of_the_check_batch():
    assert covariance_of_means(check_posterior()).numpy() == pytest.approx(
        np.full((3, 3), 0.078125)
    )


@pytest.mark.parametrize("kind, expected", [("i", 25.53223), ("ii", 0.877941)])
def test_check_values_of_the_penalty(kind, expected):
    covariance, factor = TYPES[kind]
    terms = DIP(1.0, factor, covariance)(check_posterior(), None, None)
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(
        {"kl": 0.387536, "covariance": expected}, rel=1e-5
    )


def test_covariances_are_numpys():
    mean, log_variance = random_arrays()
    expected = np.cov(mean.T, bias=True)
    assert covariance_of_means(posterior(mean, log_variance)).numpy() == pytest.approx(
        expected, rel=1e-4
    )
    expected += np.diag(np.exp(log_variance).mean(axis=0))
    assert covariance_of_samples(posterior(mean, log_variance)).numpy() == pytest.approx(
        expected, rel=1e-4
    )


def test_type_ii_is_the_covariance_of_samples():
    q = posterior(*random_arrays())
    samples = q.sample(100_000, seed=1).numpy().reshape(-1, 5)  # [draws, b, d] -> [draws * b, d]
    assert covariance_of_samples(q).numpy() == pytest.approx(np.cov(samples.T), abs=0.03)


@pytest.mark.parametrize("kind", TYPES)
def test_no_strength_is_the_plain_vae(kind):
    covariance, factor = TYPES[kind]
    q = posterior(*random_arrays())
    terms = DIP(0.0, factor, covariance)(q, None, None)
    assert float(sum(terms.values())) == float(kl_to_prior(q))


@pytest.mark.parametrize("kind", TYPES)
def test_sees_the_global_batch(kind, two_replicas):
    covariance, factor = TYPES[kind]
    regularizer = DIP(2.0, factor, covariance)

    def penalty(mean, log_variance, position):
        q = tfp.distributions.MultivariateNormalDiag(mean, tf.exp(log_variance / 2))
        return regularizer(q, None, None)["covariance"]

    _, (by_mean, by_log_variance) = assert_same_on_two_replicas(
        penalty, random_arrays(), two_replicas
    )
    assert np.abs(by_mean).min() > 0
    assert np.any(by_log_variance) == (kind == "ii")


@pytest.mark.parametrize("kind, factor, expected", [("i", 10.0, 29.399414), ("ii", 1.0, 10.841856)])
def test_the_studys_check_values_beside_labels(kind, factor, expected):
    mean, log_variance = [[0.5, -1, 2], [1.5, 0.25, -0.5]], [[0, -1, 0.5], [0.2, 0, -0.3]]
    given = posterior(mean, log_variance)
    terms = DIP(2.0, factor, TYPES[kind][0])(given, given.loc, tf.constant(0, tf.int64))
    assert float(terms["kl"]) == pytest.approx(2.097830, abs=2e-6)
    assert float(terms["covariance"]) == pytest.approx(expected, rel=1e-6)
