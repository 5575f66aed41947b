"""Terms beside a model's own: their variables, names and schedules join the model's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_networks

from dlib_tf2.errors import UserError
from dlib_tf2.models.reconstruction import bernoulli_loss
from dlib_tf2.models.supervised import CovLabels, L2Labels, XentLabels, anneal
from dlib_tf2.models.terms import WithTerms
from dlib_tf2.models.vae import VAE
from dlib_tf2.regularizers.beta_kl import BetaKL

SIZES = {"label": (3, 4)}


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    networks = (
        tiny_networks.tiny_encoder((16, 16, 1), 3),
        tiny_networks.tiny_decoder((16, 16, 1), 3),
    )
    return VAE(*networks, bernoulli_loss, BetaKL(4.0))


def batch():
    rng = np.random.default_rng(0)
    images = rng.random((2, 8, 16, 16, 1), dtype=np.float32)
    return {
        "image": tf.constant(images[0]),
        "labelled_image": tf.constant(images[1]),
        "label": tf.constant(rng.integers(0, 3, (8, 2)), tf.float32),
        "position": tf.range(8),
    }


STEP, SEED = 5, np.array([1, 2])


def test_a_term_adds_to_the_models_terms_and_its_variables_to_the_vaes(model):
    term = L2Labels(2.0)
    whole = WithTerms(model, [term], 3, SIZES)
    assert whole.inputs == ("image", "labelled_image", "labelled_point", "label")
    own, _ = model.losses(batch(), STEP, SEED)
    terms, _ = whole.losses(batch(), STEP, SEED)
    added = term(model, batch(), STEP)
    assert {name: float(value) for name, value in terms.items()} == {
        name: float(value) for name, value in {**own, **added}.items()
    }
    names = tuple(terms)
    before, after = model.parts(names)["vae"], whole.parts(names)["vae"]
    assert [one.path for one in after.variables[len(before.variables) :]] == ["label_scale"]
    with tf.GradientTape() as tape:
        loss = tf.add_n(list(whole.losses(batch(), STEP, SEED)[0].values()))
    assert float(tf.abs(tape.gradient(loss, after.variables[-1].value))) > 0


def test_the_longest_schedule_and_the_first_warning_of_a_batch_of_one_count(model):
    assert WithTerms(model, [XentLabels(1.0, anneal(70))], 3, SIZES).schedule_steps == 70
    assert WithTerms(model, [XentLabels(1.0)], 3, SIZES).schedule_steps == 0
    assert WithTerms(model, [XentLabels(1.0)], 3, SIZES).batch_of_one == ""
    assert "covary" in WithTerms(model, [CovLabels(1.0)], 3, SIZES).batch_of_one


def test_two_terms_of_one_name_are_refused(model):
    whole = WithTerms(model, [XentLabels(1.0), XentLabels(2.0)], 3, SIZES)
    with pytest.raises(UserError, match="the loss has two terms called xent"):
        whole.losses(batch(), STEP, SEED)


def test_a_detached_decoder_gives_the_encoder_no_gradient():
    networks = (
        tiny_networks.tiny_encoder((16, 16, 1), 3),
        tiny_networks.tiny_decoder((16, 16, 1), 3),
    )
    detached = VAE(*networks, bernoulli_loss, BetaKL(0.0), detach=True)
    with tf.GradientTape(persistent=True) as tape:
        loss = detached.losses(batch(), STEP, SEED)[0]["reconstruction_loss"]
    assert set(tape.gradient(loss, [one.value for one in networks[0].weights])) == {None}
    assert None not in tape.gradient(loss, [one.value for one in networks[1].weights])
    with pytest.raises(UserError, match="VAE.detach must be True or False"):
        VAE(*networks, bernoulli_loss, BetaKL(0.0), detach=1)
