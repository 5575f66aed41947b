"""Pair models against the old library's numbers, an integral, and hand-worked masks."""

import numpy as np
import pytest
import tensorflow as tf
import tiny_networks
from tensorflow_probability import distributions as tfd

from dlib_tf2.errors import UserError
from dlib_tf2.models.pair_vae import (
    PairVAE,
    SlowTerm,
    aggregated,
    divergences,
    laplace_cross_entropy,
    own_dimensions,
)
from dlib_tf2.models.reconstruction import bernoulli_loss
from dlib_tf2.models.vae import VAE
from dlib_tf2.regularizers.beta_kl import BetaKL, kl_to_prior


def posterior(mean, log_variance):
    mean, log_variance = (np.atleast_2d(np.float32(values)) for values in (mean, log_variance))
    return tfd.MultivariateNormalDiag(tf.constant(mean), tf.exp(tf.constant(log_variance) / 2))


def both():
    """The posteriors of the reference's numbers."""
    return (
        posterior([0, 1, -1, 0.2], [0, -1, 0.5, -0.2]),
        posterior([0.1, -1, -0.9, 0.2], [0.2, -0.5, 0.5, -0.2]),
    )


def test_divergences_are_half_those_that_the_old_library_computes():
    old, reverse = [0.026918, 6.701416, 0.006065, 0], [0.031403, 11.021849, 0.006065, 0]
    np.testing.assert_allclose(2 * divergences(*both(), False)[0], old, atol=2e-6)
    np.testing.assert_allclose(2 * divergences(*reversed(both()), False)[0], reverse, atol=2e-6)
    symmetric = [0.014580, 4.430816, 0.003033, 0]
    np.testing.assert_allclose(divergences(*both())[0], symmetric, atol=2e-6)


@pytest.mark.parametrize(
    "divergence, own",
    [
        ([0, 1, 2, 4], "0011"),
        ([0, 0.1], "01"),
        ([0, 0, 0, 3], "0001"),
        ([0, 1.5, 3], "011"),
        ([2, 2, 2], "000"),
    ],
)
def test_own_dimensions(divergence, own):
    mask = own_dimensions(tf.constant([divergence], tf.float32))[0].numpy()
    assert "".join(map(str, mask.astype(int))) == own


def test_the_ratio_moves_the_threshold():
    mask = own_dimensions(tf.constant([[0.0, 1.0, 2.0, 4.0]]), 0.25)[0].numpy()
    assert mask.tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    "product, mean, log_variance, kl",
    [
        (False, [0.05, 0, -0.95, 0.2], [0.104992, -0.719070, 0.5, -0.2], (1.243021, 1.112346)),
        (
            True,
            [0.045017, 0.244919, -0.95, 0.2],
            [0.095008, -0.780930, 0.5, -0.2],
            (1.242259, 1.111584),
        ),
    ],
)
def test_aggregated_posteriors_are_those_of_the_old_library(product, mean, log_variance, kl):
    for posterior_ in aggregated(*both(), tf.zeros([1, 4], tf.bool), product):
        np.testing.assert_allclose(posterior_.loc[0], mean, atol=2e-6)
        np.testing.assert_allclose(
            2 * np.log(posterior_.scale.diag_part()[0]), log_variance, atol=2e-6
        )
    own = own_dimensions(divergences(*both(), False))
    found = [float(kl_to_prior(q)) for q in aggregated(*both(), own, product)]
    assert found == pytest.approx(kl, abs=3e-6)


def test_laplace_cross_entropy_is_the_integral():
    mean, scale, rate = 2.0, np.exp(-0.5), 6.0
    z = np.linspace(-8, 12, 400_001)
    density = np.exp(-(((z - mean) / scale) ** 2) / 2) / (scale * np.sqrt(2 * np.pi))
    integral = np.trapezoid(density * (rate * np.abs(z) - np.log(rate / 2)), z)
    found = float(laplace_cross_entropy(tf.constant(mean), tf.constant(scale, tf.float32), rate))
    assert found == pytest.approx(10.902323, abs=2e-5)
    assert found == pytest.approx(integral, rel=1e-5)


def test_slow_term_is_the_authors_with_one_entropy_and_the_sum_of_divergences_with_two():
    first, second = (
        posterior([0, 1, -0.5], [0, -1, 0.3]),
        posterior([0.2, -1, -0.5], [-0.5, 0, 0.3]),
    )
    assert float(SlowTerm(1.0, 6.0, True)(first, second)["slow"]) == pytest.approx(
        33.336813, abs=2e-5
    )
    assert float(SlowTerm(1.0, 6.0)(first, second)["slow"]) == pytest.approx(29.304998, abs=2e-5)
    ten = float(SlowTerm()(first, second)["slow"])
    assert ten == pytest.approx(293.04998, abs=2e-4)


@pytest.fixture(scope="module")
def networks():
    return tiny_networks.tiny_encoder((16, 16, 1), 4), tiny_networks.tiny_decoder((16, 16, 1), 4)


def pair_vae(networks, **settings):
    settings = {"aggregate": "average", **settings}
    return PairVAE(*networks, bernoulli_loss, BetaKL(2.0), **settings)


def batch(equal=False):
    images = np.random.default_rng(0).integers(0, 2, (2, 6, 16, 16, 1)).astype(np.float32)
    changed = np.zeros((6, 3), np.float32)
    changed[:, 1] = 1
    second = images[0] if equal else images[1]
    names = {"image": images[0], "image_2": second, "changed": changed}
    return {name: tf.constant(values) for name, values in names.items()} | {"position": tf.range(6)}


STEP, SEED = np.int64(0), np.array([1, 2])


def test_a_pair_of_equal_images_has_the_kl_of_one(networks):
    given = batch(equal=True)
    terms, monitors = pair_vae(networks).losses(given, STEP, SEED)
    plain, _ = VAE(*networks, bernoulli_loss, BetaKL(2.0)).losses(given, STEP, SEED)
    assert float(terms["kl"]) == pytest.approx(float(plain["kl"]), rel=1e-5)
    assert float(monitors["shared"]) == 4


@pytest.mark.parametrize("aggregate", ["average", "product"])
def test_told_which_factor_changed_it_shares_the_other_codes(networks, aggregate):
    model = pair_vae(networks, aggregate=aggregate, share="changed")
    given = batch()
    terms, monitors = model.losses(given, STEP, SEED)
    assert float(monitors["shared"]) == 3  # of four codes: code 3 belongs to no factor
    own = np.broadcast_to([False, True, False, False], (6, 4))
    first, second = (model.encode(given[name]) for name in ("image", "image_2"))
    pair = aggregated(first, second, tf.constant(own), aggregate == "product")
    expected = 2.0 * np.mean([float(kl_to_prior(q)) for q in pair])
    assert float(terms["kl"]) == pytest.approx(expected, rel=1e-5)
    assert float(monitors["elbo"]) == pytest.approx(
        -float(monitors["reconstruction_loss"]) - float(monitors["kl"]), rel=1e-6
    )


def test_the_mask_carries_no_gradient_and_both_images_do(networks):
    model, given = pair_vae(networks), batch()
    images = [given["image"], given["image_2"]]
    with tf.GradientTape() as tape:
        tape.watch(images)
        terms, _ = model.losses(given, STEP, SEED)
        loss = tf.add_n(list(terms.values()))
    for gradient in tape.gradient(loss, images):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


def test_without_aggregation_a_pair_term_is_added(networks):
    model = pair_vae(networks, aggregate="none", pair_term=SlowTerm())
    given = batch()
    terms, monitors = model.losses(given, STEP, SEED)
    assert set(terms) == {"reconstruction_loss", "kl", "slow"}
    assert "shared" not in monitors
    first, second = (model.encode(given[name]) for name in ("image", "image_2"))
    assert float(terms["slow"]) == pytest.approx(float(SlowTerm()(first, second)["slow"]), rel=1e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"aggregate": "mean"}, "PairVAE.aggregate must be one of average, product, none"),
        ({"share": "all"}, "PairVAE.share must be one of"),
        ({"divergence": "backward"}, "PairVAE.divergence must be one of"),
        ({"ratio": 1.5}, "PairVAE.ratio must be at most 1"),
    ],
)
def test_mistakes_are_one_line(networks, settings, message):
    with pytest.raises(UserError, match=message):
        pair_vae(networks, **settings)


def test_more_factors_than_codes_are_refused(networks):
    given = batch() | {"changed": tf.zeros([6, 5])}
    with pytest.raises(UserError, match="5 factors need as many codes, and there are 4"):
        pair_vae(networks, share="changed").losses(given, STEP, SEED)
