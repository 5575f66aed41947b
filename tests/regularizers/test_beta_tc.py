"""beta-TC-VAE's estimators against check values, loops, limits, one another and two replicas."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from replica_check import assert_same_on_two_replicas

from dlib_tf2.errors import UserError
from dlib_tf2.regularizers.beta_kl import kl_to_prior
from dlib_tf2.regularizers.beta_tc import (
    BetaTC,
    minibatch,
    minibatch_stratified,
    minibatch_weighted,
    pairwise_log_density,
    stratified_weights,
)

ESTIMATORS = {
    "minibatch": minibatch,
    "weighted": lambda density, own: minibatch_weighted(density, own, dataset_size=1000),
    "stratified": lambda density, own: minibatch_stratified(density, own, dataset_size=1000),
}


def posterior(mean, log_variance):
    return tfp.distributions.MultivariateNormalDiag(
        mean, tf.exp(tf.convert_to_tensor(log_variance) / 2)
    )


def random_arrays(batch=6, num_latent=4):
    """Codes, means and log-variances whose posteriors overlap in part."""
    rng = np.random.default_rng(0)
    mean, log_variance = (
        rng.normal(0, 1, (batch, num_latent)),
        rng.normal(-2, 1, (batch, num_latent)),
    )
    z = mean + np.exp(log_variance / 2) * rng.normal(size=mean.shape)
    return [array.astype(np.float32) for array in (z, mean, log_variance)]


def estimate(estimator, z, mean, log_variance):
    return estimator(*pairwise_log_density(posterior(mean, log_variance), tf.convert_to_tensor(z)))


def brute_force(z, mean, log_variance, weight):
    """The estimators in double precision, one code, posterior and dimension at a time."""
    total = 0.0
    for j in range(len(z)):
        joint, marginals = 0.0, np.zeros(z.shape[1])
        for i in range(len(z)):
            densities = [
                scipy.stats.norm.pdf(z[j, d], mean[i, d], np.exp(float(log_variance[i, d]) / 2))
                for d in range(z.shape[1])
            ]
            joint += weight(j, i) * np.prod(densities)
            marginals += weight(j, i) * np.array(densities)
        total += np.log(joint) - np.log(marginals).sum()
    return total / len(z)


@pytest.mark.parametrize("value, mean, expected", [(1.0, 0.0, -1.41894), (1.0, 1.0, -0.91894)])
def test_check_values_of_the_log_density(value, mean, expected):
    density, own = pairwise_log_density(
        posterior(tf.fill([1, 1], mean), tf.zeros([1, 1])), tf.fill([1, 1], value)
    )
    assert density.numpy() == pytest.approx(np.full((1, 1, 1), expected), abs=1e-5)
    assert own.numpy().tolist() == [0]


def test_log_density_pairs_every_code_with_every_posterior():
    z, mean, log_variance = random_arrays()
    density, own = pairwise_log_density(posterior(mean, log_variance), z)
    expected = scipy.stats.norm.logpdf(z[:, None], mean[None], np.exp(log_variance / 2)[None])
    assert density.numpy() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert own.numpy().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("num_latent, expected", [(1, 0.0), (10, -82.893)])
def test_check_values_of_10000_equal_posteriors(num_latent, expected):
    # Every row alone has the value of the whole: 50 of the 10,000 rows need 1/200 of the memory.
    z = np.random.default_rng(0).normal(size=(50, num_latent)).astype(np.float32)
    density = tfp.distributions.Normal(tf.zeros([1, 10_000, num_latent]), 1.0).log_prob(z[:, None])
    assert float(minibatch(density, tf.range(50))) == pytest.approx(expected, abs=1e-3)


def test_check_value_of_a_batch_of_four():
    b, d = np.mgrid[:4, :3]
    z, mean = (3 * b + d) / 10 - 0.5, (11 - 3 * b - d) / 12 - 0.4
    arrays = [
        np.asarray(array, np.float32) for array in (z, mean, np.broadcast_to([-1, 0, 0.5], (4, 3)))
    ]
    assert float(estimate(minibatch, *arrays)) == pytest.approx(-2.73612, abs=1e-5)


def test_disjoint_posteriors_give_zero():
    _, mean, _ = random_arrays()
    mean = mean + 100 * np.arange(6, dtype=np.float32)[:, None]
    assert float(estimate(minibatch, mean, mean, np.zeros_like(mean))) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    "name, weight",
    [
        ("minibatch", lambda j, i: 1.0),
        ("weighted", lambda j, i: 1 / (6 * 1000)),
        ("stratified", lambda j, i: 1 / 1000 if i == j else 999 / (1000 * 5)),
    ],
)
def test_estimators_against_a_brute_force_loop(name, weight):
    arrays = random_arrays()
    assert float(estimate(ESTIMATORS[name], *arrays)) == pytest.approx(
        brute_force(*arrays, weight), rel=1e-4
    )


def test_weighted_is_plain_plus_a_constant_with_equal_gradients():
    arrays = [tf.constant(array) for array in random_arrays()]
    values, gradients = [], []
    for name in ("minibatch", "weighted"):
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            value = estimate(ESTIMATORS[name], *arrays)
        values.append(float(value))
        gradients.append(
            np.concatenate([gradient.numpy() for gradient in tape.gradient(value, arrays)])
        )
    assert values[1] - values[0] == pytest.approx(3 * np.log(6 * 1000), rel=1e-5)
    assert gradients[1] == pytest.approx(gradients[0])


def test_stratified_weights():
    weights = stratified_weights(tf.range(5), 5, 40).numpy()
    assert weights.sum(axis=1) == pytest.approx(np.ones(5))
    assert np.diag(weights) == pytest.approx(np.full(5, 1 / 40))
    assert weights[~np.eye(5, dtype=bool)] == pytest.approx(np.full(20, 39 / (40 * 4)))
    # The second replica of two holds the rows 3..5 of six.
    second = stratified_weights(tf.range(3, 6), 6, 40).numpy()
    assert np.argmin(second, axis=1).tolist() == [3, 4, 5]


def test_stratified_estimates_the_true_total_correlation():
    # The whole data set in one batch: the aggregate posterior is known exactly, and its total
    # correlation by Monte Carlo.
    rng = np.random.default_rng(0)
    first = rng.normal(size=(300, 1))
    mean = np.concatenate([first, 0.8 * first + 0.6 * rng.normal(size=(300, 1))], axis=1).astype(
        np.float32
    )
    log_variance = np.full_like(mean, np.log(0.25))
    q = posterior(mean, log_variance)
    draws = np.concatenate([q.sample(seed=seed).numpy() for seed in range(20)])
    joint = scipy.special.logsumexp(
        scipy.stats.norm.logpdf(draws[:, None], mean[None], 0.5).sum(2), axis=1
    ) - np.log(300)
    marginals = (
        scipy.special.logsumexp(scipy.stats.norm.logpdf(draws[:, None], mean[None], 0.5), axis=1)
        - np.log(300)
    ).sum(1)
    truth = np.mean(joint - marginals)
    estimates = [
        float(minibatch_stratified(*pairwise_log_density(q, q.sample(seed=seed)), dataset_size=300))
        for seed in range(20)
    ]
    assert truth > 0.2
    assert np.mean(estimates) == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_beta_1_is_the_plain_vae(name):
    z, mean, log_variance = random_arrays()
    q = posterior(mean, log_variance)
    terms = BetaTC(1.0, ESTIMATORS[name])(q, z, None)
    assert float(sum(terms.values())) == float(kl_to_prior(q))


def test_terms_are_kl_and_the_rest_of_beta():
    z, mean, log_variance = random_arrays()
    q = posterior(mean, log_variance)
    terms = BetaTC(6.0)(q, z, None)
    expected = {
        "kl": float(kl_to_prior(q)),
        "total_correlation": 5 * float(estimate(minibatch, z, mean, log_variance)),
    }
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_sees_the_global_batch(name, two_replicas):
    regularizer = BetaTC(3.0, ESTIMATORS[name])

    def term(z, mean, log_variance, position):
        return regularizer(posterior(mean, log_variance), z, None)["total_correlation"]

    value, gradients = assert_same_on_two_replicas(term, random_arrays(), two_replicas)
    assert value == pytest.approx(2 * float(estimate(ESTIMATORS[name], *random_arrays())), rel=1e-6)
    assert all(np.abs(gradient).min() > 0 for gradient in gradients)


def test_settings_without_meaning_are_refused():
    with pytest.raises(UserError, match="2 <= batch size <= dataset_size, got 6 and 5"):
        stratified_weights(tf.range(6), 6, 5)
