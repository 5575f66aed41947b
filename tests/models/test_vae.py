"""The VAE's loss: its terms, its monitors, its noise, and the variables that it trains."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_networks

from dlib_tf2.models.reconstruction import bernoulli_loss
from dlib_tf2.models.vae import VAE
from dlib_tf2.regularizers.beta_kl import BetaKL
from dlib_tf2.replicas import global_normal

SHAPE = (16, 16, 1)
IMAGE = np.random.default_rng(0).random((6, *SHAPE), dtype=np.float32)
BATCH = {"image": IMAGE, "position": np.arange(6, dtype=np.int32)}
SEED = np.array([3, 5])
STEP = np.int64(0)


@pytest.fixture(scope="module")
def networks():
    keras.utils.set_random_seed(0)
    return tiny_networks.tiny_encoder(SHAPE, 3), tiny_networks.tiny_decoder(SHAPE, 3)


def make_vae(networks, regularizer):
    return VAE(*networks, reconstruction_loss=bernoulli_loss, regularizer=regularizer)


def test_posterior_is_what_the_heads_say(networks):
    mean, log_variance = (head.numpy() for head in networks[0](IMAGE))
    posterior = make_vae(networks, BetaKL()).encode(IMAGE)
    assert posterior.batch_shape == (6,)
    assert posterior.event_shape == (3,)
    assert posterior.mean().numpy() == pytest.approx(mean)
    assert posterior.variance().numpy() == pytest.approx(np.exp(log_variance), rel=1e-5)


def test_loss_by_hand(networks):
    terms, monitors = make_vae(networks, BetaKL(beta=4.0)).losses(BATCH, STEP, SEED)
    mean, log_variance = (head.numpy() for head in networks[0](IMAGE))
    noise = global_normal(SEED, tf.range(6), 3).numpy()
    logits = networks[1](mean + np.exp(log_variance / 2) * noise).numpy().astype(np.float64)
    reconstruction = np.mean(np.sum(np.logaddexp(0, logits) - IMAGE * logits, axis=(1, 2, 3)))
    kl = np.mean(0.5 * np.sum(mean**2 + np.exp(log_variance) - log_variance - 1, axis=1))
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {"reconstruction_loss": reconstruction, "kl": 4 * kl}, rel=1e-5
    )
    measured = {"reconstruction_loss": reconstruction, "kl": kl, "elbo": -(reconstruction + kl)}
    assert {name: float(value) for name, value in monitors.items()} == pytest.approx(
        measured, rel=1e-5
    )


def test_monitors_do_not_see_the_strength(networks):
    weak, strong = (
        make_vae(networks, BetaKL(beta)).losses(BATCH, STEP, SEED)[1] for beta in (1.0, 16.0)
    )
    assert all(
        float(weak[name]) == float(strong[name]) for name in ("reconstruction_loss", "kl", "elbo")
    )


def test_noise_belongs_to_the_example_and_the_step(networks):
    vae = make_vae(networks, BetaKL())

    def reconstruction(rows, seed=SEED):
        # Rows of a larger global batch, so that every position exists.
        batch = {"image": IMAGE[rows], "position": np.array(rows)}
        return float(vae.losses(batch, STEP, seed)[0]["reconstruction_loss"])

    whole = reconstruction([0, 1, 2, 3, 4, 5])
    assert reconstruction([5, 3, 1, 0, 2, 4]) == pytest.approx(whole, rel=1e-6)
    assert abs(reconstruction([0, 1, 2, 3, 4, 5], np.array([3, 6])) - whole) > 1e-4


def test_one_part_trains_every_weight_by_every_term(networks):
    parts = make_vae(networks, BetaKL()).parts(("reconstruction_loss", "kl"))
    assert list(parts) == ["vae"]
    assert parts["vae"].terms == ("reconstruction_loss", "kl")
    every = [variable.path for network in networks for variable in network.variables]
    assert sorted(variable.path for variable in parts["vae"].variables) == sorted(every)
