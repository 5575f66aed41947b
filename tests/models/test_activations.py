"""Sigmoid or the study's tanh map: the same in both losses, in the model and in the pictures."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import tensorflow_probability as tfp
import tiny_networks

from dlib_tf2.errors import UserError
from dlib_tf2.models.reconstruction import bernoulli_loss, l2_loss, pixel_means
from dlib_tf2.models.vae import VAE
from dlib_tf2.regularizers.beta_kl import BetaKL
from dlib_tf2.training.saved_model import SavedModel
from dlib_tf2.visualize import model_pictures

RNG = np.random.default_rng(0)
OUTPUT = RNG.normal(0, 2, (3, 8, 6, 2)).astype(np.float32)
IMAGE = RNG.random(OUTPUT.shape, dtype=np.float32)


def test_tanh_map_is_the_sigmoid_of_twice_the_output():
    assert pixel_means(OUTPUT).numpy() == pytest.approx(scipy.special.expit(OUTPUT), abs=1e-6)
    assert pixel_means(OUTPUT, "tanh").numpy() == pytest.approx(
        scipy.special.expit(2 * OUTPUT.astype(np.float64)), abs=1e-6
    )


def test_bernoulli_under_tanh_is_tfps():
    expected = -tfp.distributions.Bernoulli(probs=scipy.special.expit(2 * OUTPUT)).log_prob(
        tf.round(IMAGE)
    )
    loss = bernoulli_loss(tf.round(IMAGE), OUTPUT, activation="tanh")
    assert loss.numpy() == pytest.approx(expected.numpy().sum(axis=(1, 2, 3)), rel=1e-4)


def test_bernoulli_under_tanh_is_clipped():
    image, output = (
        np.array([1, 0], np.float32).reshape(2, 1, 1, 1),
        np.full((2, 1, 1, 1), 100, np.float32),
    )
    assert bernoulli_loss(image, output, activation="tanh").numpy() == pytest.approx(
        [1e-6, -np.log(1e-6)], rel=0.1
    )


@pytest.mark.parametrize("activation, scale", [("logits", 1), ("tanh", 2)])
def test_l2_is_a_plain_sum_of_squares(activation, scale):
    expected = ((IMAGE - scipy.special.expit(scale * OUTPUT)) ** 2).sum(axis=(1, 2, 3))
    assert l2_loss(IMAGE, OUTPUT, activation).numpy() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("activation", ["logits", "tanh"])
def test_subtracted_entropy_makes_a_perfect_reconstruction_count_zero(activation):
    image = 0.05 + 0.9 * IMAGE
    output = scipy.special.logit(image) / (2 if activation == "tanh" else 1)
    assert bernoulli_loss(
        image, output, activation, subtract_true_image_entropy=True
    ).numpy() == pytest.approx(np.zeros(3), abs=1e-3)
    entropy = (scipy.special.entr(image) + scipy.special.entr(1 - image)).sum(axis=(1, 2, 3))
    assert bernoulli_loss(image, output, activation).numpy() == pytest.approx(entropy, rel=1e-4)


def test_subtracted_entropy_is_a_constant():
    output = tf.constant(OUTPUT)
    gradients = []
    for subtract in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(output)
            loss = bernoulli_loss(IMAGE, output, subtract_true_image_entropy=subtract)
        gradients.append(tape.gradient(loss, output).numpy())
    assert np.array_equal(*gradients)


def test_unknown_activation_is_refused():
    for call in (
        lambda: l2_loss(IMAGE, OUTPUT, "relu"),
        lambda: VAE(None, None, l2_loss, BetaKL(), activation="relu"),
    ):
        with pytest.raises(UserError, match="unknown activation 'relu'; known: logits, tanh"):
            call()


@pytest.mark.parametrize("activation, scale", [("logits", 1), ("tanh", 2)])
def test_pictures_and_loss_apply_the_same_map(activation, scale):
    keras.utils.set_random_seed(0)
    encoder, decoder = (
        tiny_networks.tiny_encoder((16, 16, 1), 2),
        tiny_networks.tiny_decoder((16, 16, 1), 2),
    )
    image = RNG.random((4, 16, 16, 1), dtype=np.float32)
    model = SavedModel(encoder, decoder, {"labels": {"activation": activation}, "made_from": None})
    pixels = model_pictures.reconstruct(model, image)
    assert pixels == pytest.approx(
        scipy.special.expit(scale * decoder(encoder(image)[0]).numpy()), abs=1e-6
    )
    vae = VAE(encoder, decoder, l2_loss, BetaKL(), activation)
    loss = vae.reconstruction_loss(image, vae.decode(encoder(image)[0]))
    assert loss.numpy() == pytest.approx(((image - pixels) ** 2).sum(axis=(1, 2, 3)), rel=1e-5)
