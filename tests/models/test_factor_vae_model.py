"""FactorVAE: permutation, density-ratio estimate, both losses and their gradients, second batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_networks
from replica_check import value_and_gradients

from dlib_tf2.models.factor_vae import FactorVAE, discriminator_loss, total_correlation
from dlib_tf2.models.fully_connected import fc_discriminator
from dlib_tf2.models.reconstruction import bernoulli_loss
from dlib_tf2.models.vae import VAE
from dlib_tf2.regularizers.beta_kl import BetaKL
from dlib_tf2.replicas import global_normal, shuffle_columns
from dlib_tf2.training.engine import Engine

SHAPE, BATCH_SIZE, NUM_LATENT = (16, 16, 1), 8, 3
STEP, SEED = np.int64(0), np.array([3, 5])


class ScaledDescent:
    """Gradient descent by a rate that a test sets between two calls of one traced function."""

    def __init__(self, rate):
        self.rate = rate

    def apply(self, gradients, variables):
        for gradient, variable in zip(gradients, variables, strict=True):
            variable.assign_sub(self.rate * gradient)


def small_discriminator(num_latent):
    return fc_discriminator(num_latent, num_layers=2, num_units=16)


def make_model(**options):
    keras.utils.set_random_seed(0)
    networks = (
        tiny_networks.tiny_encoder(SHAPE, NUM_LATENT),
        tiny_networks.tiny_decoder(SHAPE, NUM_LATENT),
    )
    return FactorVAE(*networks, bernoulli_loss, small_discriminator, **{"gamma": 7.0, **options})


def make_batch(*names):
    rng = np.random.default_rng(1)
    images = {
        name: tf.constant(rng.random((BATCH_SIZE, *SHAPE), dtype=np.float32)) for name in names
    }
    return {**images, "position": tf.range(BATCH_SIZE)}


def correlated_codes(rng, correlation, count):
    return (rng.normal(size=(count, len(correlation))) @ np.linalg.cholesky(correlation).T).astype(
        np.float32
    )


def test_permutation_keeps_every_column_and_breaks_the_joint():
    correlation = np.full((4, 4), 0.9) + 0.1 * np.eye(4)
    z = correlated_codes(np.random.default_rng(0), correlation, 2048)
    shuffled = shuffle_columns(tf.constant(z), SEED, tf.range(2048)).numpy()
    assert np.array_equal(np.sort(shuffled, axis=0), np.sort(z, axis=0))
    assert np.corrcoef(z.T)[~np.eye(4, dtype=bool)].min() > 0.88
    # 4.5 standard deviations of 1 / sqrt(2048)
    assert np.abs(np.corrcoef(shuffled.T) - np.eye(4)).max() < 0.1
    assert (shuffled == z).mean() < 0.01


def test_permutation_is_another_at_every_step_and_uniform():
    z = tf.constant(np.arange(4, dtype=np.float32)[:, None])  # [b, 1]
    shuffle = tf.function(lambda step: shuffle_columns(z, tf.stack([3, step]), tf.range(4))[:, 0])
    orders = [tuple(shuffle(tf.constant(step)).numpy().astype(int)) for step in range(2400)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 100) ** 2 / 100).sum() < 50  # chi-square of 23 degrees of freedom: p = 0.001


def test_permutation_is_over_the_global_batch(two_replicas):
    z = np.random.default_rng(0).normal(size=(BATCH_SIZE, NUM_LATENT)).astype(np.float32)
    weights = tf.constant(np.random.default_rng(1).normal(size=z.shape), tf.float32)

    def weighted_sum(z, position):
        return tf.reduce_sum(tf.gather(weights, position) * shuffle_columns(z, SEED, position))

    value, (gradient,) = value_and_gradients(weighted_sum, [z])
    expected = shuffle_columns(tf.constant(z), SEED, tf.range(BATCH_SIZE)).numpy()
    assert value == pytest.approx((weights.numpy() * expected).sum(), rel=1e-5)
    # The mean over two replicas is half the sum over all rows.
    other, (other_gradient,) = value_and_gradients(weighted_sum, [z], two_replicas)
    assert 2 * other == pytest.approx(value, rel=1e-6)
    assert 2 * other_gradient == pytest.approx(gradient, rel=1e-6)


def test_losses_by_hand():
    joint, shuffled = tf.constant([[2.0, 0.0], [-1.0, 0.5]]), tf.constant([[0.0, 1.0], [60.0, 0.0]])
    assert float(total_correlation(joint)) == pytest.approx((2.0 - 1.5) / 2)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    # The last probability, e^-60, is clipped to 1e-6.
    expected = -0.5 * (
        np.log([sigmoid(2.0), sigmoid(-1.5)]).mean() + np.log([sigmoid(1.0), 1e-6]).mean()
    )
    assert float(discriminator_loss(joint, shuffled)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_density_ratio_estimates_the_total_correlation_of_gaussians(correlation):
    correlation = np.full((3, 3), correlation) + (1 - correlation) * np.eye(3)
    keras.utils.set_random_seed(0)
    network = fc_discriminator(3, num_layers=3, num_units=64)
    optimizer = keras.optimizers.Adam(1e-3, 0.5, 0.9)
    optimizer.build(network.trainable_variables)
    rng = np.random.default_rng(0)
    codes = tf.constant(correlated_codes(rng, correlation, 512 * 800).reshape(800, 512, 3))

    @tf.function
    def train():
        for step in tf.range(800):
            z = codes[step]
            with tf.GradientTape() as tape:
                shuffled = shuffle_columns(z, tf.stack([0, step]), tf.range(512))
                loss = discriminator_loss(network(z), network(shuffled))
            variables = network.trainable_variables
            optimizer.apply(
                tape.gradient(loss, [variable.value for variable in variables]), variables
            )

    train()
    truth = -0.5 * np.log(np.linalg.det(correlation))  # 0 and 0.347 nats
    estimate = float(total_correlation(network(correlated_codes(rng, correlation, 20_000))))
    assert estimate == pytest.approx(truth, abs=0.05)


def test_terms_and_monitors():
    model = make_model()
    terms, monitors = model.losses(make_batch("image"), STEP, SEED)
    assert sorted(terms) == ["discriminator_loss", "kl", "reconstruction_loss", "total_correlation"]
    assert float(terms["total_correlation"]) == pytest.approx(
        7 * float(monitors["discriminator_tc"])
    )
    assert float(monitors["elbo"]) == pytest.approx(
        -float(terms["reconstruction_loss"] + terms["kl"])
    )
    # What is not of the discriminator is the plain VAE's, noise included.
    vae = VAE(model.encoder, model.decoder, bernoulli_loss, BetaKL(1.0))
    plain, _ = vae.losses(make_batch("image"), STEP, SEED)
    assert {name: float(terms[name]) for name in plain} == {
        name: float(value) for name, value in plain.items()
    }


def test_discriminator_term_is_of_codes_and_their_permutation():
    model = make_model()
    batch = make_batch("image")
    terms, _ = model.losses(batch, STEP, SEED)
    q = model.encode(batch["image"])
    z = q.loc + q.stddev() * global_normal(SEED, tf.range(BATCH_SIZE), q.loc.shape[-1])
    joint = model.discriminator(z)
    assert float(terms["total_correlation"]) == pytest.approx(
        7 * float(tf.reduce_mean(joint[:, 0] - joint[:, 1])), rel=1e-4
    )
    shuffled = shuffle_columns(z, tf.random.fold_in(SEED, 2, alg="philox"), tf.range(BATCH_SIZE))
    logits = tf.concat([joint, model.discriminator(shuffled)], axis=0)
    labels = [0] * BATCH_SIZE + [1] * BATCH_SIZE
    expected = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )
    assert float(terms["discriminator_loss"]) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("second_batch", [False, True])
def test_gradients_stay_with_their_network(second_batch, tiny_data):
    # Each part alone gets a learning rate: what the other part owns must not move at all.
    model = make_model(second_batch=second_batch)
    rates = {name: tf.Variable(0.0) for name in ("vae", "discriminator")}
    parts = model.parts(("reconstruction_loss", "kl", "total_correlation", "discriminator_loss"))
    optimizers = {name: ScaledDescent(rate) for name, rate in rates.items()}
    engine = Engine(tf.distribute.get_strategy(), model, optimizers, tiny_data, 0, BATCH_SIZE)
    image = tf.data.Dataset.from_tensors(np.asarray(tiny_data.images(np.arange(BATCH_SIZE))))
    batch = {
        **dict.fromkeys(model.inputs, image),
        "position": tf.data.Dataset.from_tensors(tf.range(BATCH_SIZE)),
    }
    iterator = iter(tf.data.Dataset.zip(batch).repeat())
    for moving in rates:
        for name, rate in rates.items():
            rate.assign(1e-3 if name == moving else 0.0)
        before = {
            name: [variable.numpy() for variable in part.variables] for name, part in parts.items()
        }
        engine.train(iterator, 0, 1)
        for name, part in parts.items():
            moved = [
                not np.array_equal(old, new.numpy())
                for old, new in zip(before[name], part.variables, strict=True)
            ]
            assert any(moved) == all(moved) == (name == moving), (name, moving)


def test_parts_descend_their_own_terms():
    parts = make_model().parts(
        ("reconstruction_loss", "kl", "total_correlation", "discriminator_loss")
    )
    assert {name: part.terms for name, part in parts.items()} == {
        "vae": ("reconstruction_loss", "kl", "total_correlation"),
        "discriminator": ("discriminator_loss",),
    }
    owners = [id(variable) for part in parts.values() for variable in part.variables]
    assert len(owners) == len(set(owners)) == 10 + 6


@pytest.mark.slow
def test_losses_are_the_same_on_two_replicas(two_replicas):
    with two_replicas.scope():
        model = make_model(second_batch=True)
    images = [
        make_batch(name)["image" if name == "image" else name].numpy()
        for name in ("image", "image_2")
    ]
    for term in ("total_correlation", "discriminator_loss"):

        def loss(image, image_2, position, term=term):
            return model.losses(
                {"image": image, "image_2": image_2, "position": position}, STEP, tf.constant(SEED)
            )[0][term]

        with_two = value_and_gradients(loss, images, two_replicas)
        with two_replicas.scope():  # the weights are mirrored; one replica computes
            alone = value_and_gradients(loss, images)
        np.testing.assert_allclose(with_two[0], alone[0], rtol=1e-6)
        for image, ours, theirs in zip(("image", "image_2"), with_two[1], alone[1], strict=True):
            assert np.linalg.norm(ours - theirs) <= 1e-6 * np.linalg.norm(theirs)
            # What is shuffled never moves an encoder; its own codes move it through both terms.
            assert np.any(theirs) == (image == "image")


def test_second_batch_is_what_is_shuffled():
    model = make_model(second_batch=True)
    batch = make_batch("image", "image_2")
    terms, _ = model.losses(batch, STEP, SEED)
    changed, _ = model.losses({**batch, "image_2": 1 - batch["image_2"]}, STEP, SEED)
    assert [name for name in terms if float(terms[name]) != float(changed[name])] == [
        "discriminator_loss"
    ]
    # The same images again draw codes of their own.
    repeated, _ = model.losses({**batch, "image_2": batch["image"]}, STEP, SEED)
    single, _ = make_model().losses(batch, STEP, SEED)
    assert float(repeated["discriminator_loss"]) != float(single["discriminator_loss"])
