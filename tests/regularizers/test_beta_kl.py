"""The KL divergence against the study's check values and a Monte Carlo estimate; its weight."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from dlib_tf2.regularizers.beta_kl import BetaKL, kl_to_prior


def posterior(mean, log_variance):
    mean, log_variance = np.broadcast_arrays(
        np.asarray(mean, np.float32), np.asarray(log_variance, np.float32)
    )
    return tfp.distributions.MultivariateNormalDiag(mean, np.exp(log_variance / 2))


def check_posterior():
    """B = 4, D = 3: mean (11 - 3b - d) / 12 - 0.4, log-variance (-1, 0, 0.5) for every example."""
    b, d = np.mgrid[:4, :3]
    return posterior((11 - 3 * b - d) / 12 - 0.4, [-1, 0, 0.5])


@pytest.mark.parametrize(
    "mean, log_variance, expected",
    [(np.zeros((4, 10)), 0, 0.0), (np.ones((4, 10)), 0, 5.0), (np.ones((4, 10)), 1, 8.5914)],
)
def test_check_values(mean, log_variance, expected):
    assert float(kl_to_prior(posterior(mean, log_variance))) == pytest.approx(
        expected, rel=1e-5, abs=1e-6
    )


def test_check_value_of_a_batch_of_four():
    assert float(kl_to_prior(check_posterior())) == pytest.approx(0.387536, abs=1e-6)


def test_is_the_expected_log_ratio():
    q = check_posterior()
    z = q.sample(200_000, seed=1)
    prior = tfp.distributions.MultivariateNormalDiag(tf.zeros([3]), tf.ones([3]))
    ratio = (q.log_prob(z) - prior.log_prob(z)).numpy()
    assert float(kl_to_prior(q)) == pytest.approx(
        ratio.mean(), abs=4 * ratio.std() / np.sqrt(ratio.size)
    )


@pytest.mark.parametrize("beta", [0.0, 1.0, 16.0])
def test_beta_is_the_weight(beta):
    terms = BetaKL(beta)(check_posterior(), None, None)
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {"kl": beta * 0.387536}, rel=1e-5
    )


def test_gradient_pulls_towards_the_prior():
    mean, log_variance = tf.Variable([[2.0, 0.0]]), tf.Variable([[0.0, 1.0]])
    with tf.GradientTape() as tape:
        q = tfp.distributions.MultivariateNormalDiag(mean, tf.exp(log_variance / 2))
        loss = BetaKL(3.0)(q, None, None)["kl"]
    by_mean, by_log_variance = tape.gradient(loss, [mean, log_variance])
    assert by_mean.numpy() == pytest.approx(np.array([[6.0, 0.0]]))  # beta * mean
    # beta / 2 * (variance - 1)
    assert by_log_variance.numpy() == pytest.approx(np.array([[0.0, 1.5 * (np.e - 1)]]), rel=1e-5)
