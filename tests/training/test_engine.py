"""The loop: the same weights on one or two replicas, in one call or many, with or without XLA."""

from functools import partial

import gin
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_networks

from dlib_tf2.datasets import FactorSpace, GroundTruthDataset
from dlib_tf2.errors import UserError
from dlib_tf2.models.networks import conv_encoder, deconv_decoder
from dlib_tf2.models.optimizers import adam
from dlib_tf2.models.reconstruction import bernoulli_loss
from dlib_tf2.models.vae import VAE, Part
from dlib_tf2.regularizers.beta_kl import BetaKL
from dlib_tf2.regularizers.beta_tc import BetaTC, minibatch_stratified, minibatch_weighted
from dlib_tf2.training.engine import Engine

TINY = tiny_networks.tiny_encoder, tiny_networks.tiny_decoder
REAL = conv_encoder, deconv_decoder


class Run:
    """An engine with the model and the stream that `train` would give it."""

    def __init__(
        self,
        data,
        strategy=None,
        networks=TINY,
        regularizer=None,
        make_optimizer=lambda: adam(1e-3),
        xla=False,
    ):
        self.strategy, self.data = strategy or tf.distribute.get_strategy(), data
        keras.utils.set_random_seed(0)
        with self.strategy.scope():
            encoder, decoder = (network(data.observation_shape, 3) for network in networks)
            self.vae = VAE(encoder, decoder, bernoulli_loss, regularizer or BetaKL(4.0))
            optimizer = make_optimizer()
            optimizer.build(self.vae.parts(())["vae"].variables)
        self.engine = Engine(
            self.strategy, self.vae, {"vae": optimizer}, data, seed=5, batch_size=8, xla=xla
        )

    def stream(self, start=0):
        """Batches of indices that depend on the step only, cut into one slice for each replica."""
        replicas = self.strategy.num_replicas_in_sync
        index = np.random.default_rng(3).integers(
            len(self.data.table), size=(24, replicas, 8 // replicas)
        )[start:]
        position = np.broadcast_to(np.arange(8, dtype=np.int32).reshape(replicas, -1), index.shape)
        # [steps, replicas, rows, ...]
        slices = {"image": self.data.table[index], "position": position}
        flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in slices.items()}
        return iter(
            self.strategy.distribute_datasets_from_function(
                lambda _: tf.data.Dataset.from_tensor_slices(flat)
            )
        )

    def train(self, count, start=0):
        return self.engine.train(self.stream(start), start, count)

    def weights(self):
        return [
            np.array(weight)
            for weight in self.vae.encoder.get_weights() + self.vae.decoder.get_weights()
        ]


def relative_distance(run, other):
    """The largest difference of any weight array, relative to its norm."""
    pairs = list(zip(run.weights(), other.weights(), strict=True))
    return max(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) for ours, theirs in pairs)


@pytest.fixture(scope="module")
def twenty(tiny_data):
    """20 steps of Adam on one replica, in one call: (run, values)."""
    run = Run(tiny_data)
    values, bad, _ = run.train(20)
    assert bad is None
    return run, values


@pytest.fixture(scope="module")
def large_data():
    """24 random images of the study's size, 64 x 64 x 1."""
    table = np.random.default_rng(0).integers(0, 2, (24, 64, 64, 1), dtype=np.uint8)
    return GroundTruthDataset(
        "large", FactorSpace(("shape", "place"), (4, 6)), ("shape", "place"), table, 1, records=None
    )


@pytest.mark.slow
def test_one_sgd_step_of_the_real_networks_on_one_and_on_two_replicas(large_data, two_replicas):
    # Biases start at 0, so that after one step they are the gradient itself.
    runs = [
        Run(large_data, strategy, REAL, make_optimizer=lambda: keras.optimizers.SGD(1e-3))
        for strategy in (None, two_replicas)
    ]
    before = runs[0].weights()
    values = [run.train(1)[0] for run in runs]
    # Untrained, the KL divergence is a difference of numbers near 1, known to float32's 1e-7 and no
    # better.
    assert values[1] == pytest.approx(values[0], rel=1e-6, abs=1e-7)
    # a bias's gradient is a float32 sum over 4,096 pixels, in another order on two replicas
    assert relative_distance(*runs) < 2e-6
    assert (
        min(np.abs(new - old).max() for new, old in zip(runs[0].weights(), before, strict=True))
        > 1e-6
    )


def test_twenty_adam_steps_on_two_replicas(tiny_data, two_replicas, twenty):
    run = Run(tiny_data, two_replicas)
    values, _, _ = run.train(20)
    assert values == pytest.approx(twenty[1], rel=1e-5)
    assert relative_distance(run, twenty[0]) < 1e-5


def test_calls_of_any_length_and_a_fresh_start_end_with_the_same_bits(tiny_data, twenty):
    whole, values = twenty
    run, resumed = Run(tiny_data), Run(tiny_data)
    stream = run.stream()
    calls = [
        (count, *run.engine.train(stream, start, count, pace=0.25))
        for start, count in ((0, 1), (1, 7))
    ]
    for mine, theirs in zip(resumed.engine.variables(), run.engine.variables(), strict=True):
        mine.assign(theirs)
    calls.append((12, *run.engine.train(stream, 8, 12, pace=0.25)))
    resumed.train(12, start=8)
    for other in (run, resumed):
        assert [ours.tobytes() for ours in other.weights()] == [
            theirs.tobytes() for theirs in whole.weights()
        ]
    means = {
        name: sum(count * means[name] for count, means, _, _ in calls) / 20
        for name in run.engine.names
    }
    assert means == pytest.approx(values, rel=1e-5)
    assert [pace for *_, pace in calls] == pytest.approx([0.25] * 3)


def test_terms_sum_to_the_loss_and_elbo_is_minus_both_parts(twenty):
    _, values = twenty
    assert tuple(values) == (
        "loss",
        "reconstruction_loss",
        "kl",
        "elbo",
        "term/reconstruction_loss",
        "term/kl",
    )
    assert values["loss"] == pytest.approx(
        values["term/reconstruction_loss"] + values["term/kl"], rel=1e-6
    )
    assert values["term/kl"] == pytest.approx(4 * values["kl"], rel=1e-6)
    assert values["elbo"] == pytest.approx(
        -(values["reconstruction_loss"] + values["kl"]), rel=1e-6
    )
    assert values["kl"] > 1e-4


def test_evaluation_changes_nothing_and_is_a_function_of_the_batches(twenty):
    run, _ = twenty
    before = run.weights()
    values = run.engine.evaluate(run.stream(), 0, 6, 20)
    assert run.engine.evaluate(run.stream(), 0, 6, 20) == values
    stream = run.stream()
    halves = [run.engine.evaluate(stream, start, 3, 20) for start in (0, 3)]
    assert {name: (halves[0][name] + halves[1][name]) / 2 for name in values} == pytest.approx(
        values, rel=1e-6
    )
    # Other batches and other noise give other values.
    assert (
        len(
            {
                run.engine.evaluate(run.stream(start), noise, 3, 20)["loss"]
                for start, noise in ((0, 0), (0, 1), (3, 0))
            }
        )
        == 3
    )
    assert all(
        np.array_equal(ours, theirs) for ours, theirs in zip(run.weights(), before, strict=True)
    )


def test_evaluation_is_the_mean_of_the_models_losses_on_images_within_0_and_1(tiny_data):
    grey = GroundTruthDataset(
        "grey", tiny_data.space, tiny_data.visible, tiny_data.table * 200, 255, records=None
    )
    run = Run(grey)
    batch = next(run.stream())
    image = np.asarray(batch["image"], np.float32) / 255
    assert image.max() == pytest.approx(200 / 255)
    seed = np.array([run.engine._eval_noise, 0])
    terms, _ = run.vae.losses({"image": image, "position": batch["position"]}, np.int64(20), seed)
    assert run.engine.evaluate(run.stream(), 0, 1, 20)["loss"] == pytest.approx(
        float(sum(terms.values())), rel=1e-6
    )


def test_first_step_that_is_not_finite_is_named(tiny_data):
    run = Run(tiny_data, regularizer=tiny_networks.NotFiniteAt(6))
    assert [
        run.train(count, start)[1] for start, count in ((0, 3), (3, 3), (0, 10), (5, 2), (7, 2))
    ] == [None, None, 6, 6, 7]


def test_xla_computes_the_same_steps(tiny_data):
    runs = [
        Run(tiny_data, make_optimizer=lambda: keras.optimizers.SGD(1e-4), xla=xla)
        for xla in (False, True)
    ]
    values = [run.train(3)[0] for run in runs]
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert relative_distance(*runs) < 1e-5
    evaluations = [run.engine.evaluate(run.stream(), 0, 1, 3) for run in runs]
    assert evaluations[1] == pytest.approx(evaluations[0], rel=1e-5)


@pytest.mark.slow
def test_xla_compiles_the_real_networks(large_data):
    runs = [
        Run(large_data, networks=REAL, make_optimizer=lambda: keras.optimizers.SGD(1e-5), xla=xla)
        for xla in (False, True)
    ]
    values = [run.train(1)[0] for run in runs]
    assert values[1] == pytest.approx(values[0], rel=1e-5, abs=1e-6)
    assert relative_distance(*runs) < 1e-5


class TwoNumbers:
    """A model of two parts that pull on the same product, each by its own number."""

    inputs = ("image",)

    def __init__(self):
        self.numbers = [keras.Variable(2.0), keras.Variable(3.0)]

    def parts(self, terms):
        return {
            "vae": Part([self.numbers[0]], terms[:1]),
            "adversary": Part([self.numbers[1]], terms[1:]),
        }

    def losses(self, batch, step, seed):
        product = self.numbers[0] * self.numbers[1]
        return {"mine": product, "other": -product}, {"product": product}


def make_adversaries(data, names=("vae", "adversary")):
    model = TwoNumbers()
    optimizers = {name: keras.optimizers.SGD(0.1) for name in names}
    for name, number in zip(names, model.numbers, strict=True):
        optimizers[name].build([number])
    return model, Engine(
        tf.distribute.get_strategy(), model, optimizers, data, seed=0, batch_size=8
    )


def test_parts_move_at_once_from_gradients_at_the_old_weights(tiny_data):
    model, engine = make_adversaries(tiny_data)
    values, _, _ = engine.train(Run(tiny_data).stream(), 0, 1)
    # d(ab)/da = b = 3 downhill; d(-ab)/db = -a = -2, at the old a.
    assert [float(number) for number in model.numbers] == pytest.approx([2 - 0.1 * 3, 3 + 0.1 * 2])
    assert values == pytest.approx({"loss": 6, "product": 6, "term/mine": 6, "term/other": -6})


def test_every_part_needs_an_optimizer(tiny_data):
    with pytest.raises(
        ValueError,
        match=r"parts \['adversary', 'vae'\], the optimizers are for \['critic', 'vae'\]",
    ):
        make_adversaries(tiny_data, ("vae", "critic"))


@pytest.mark.parametrize(
    "estimator, error, message",
    [
        (
            partial(minibatch_weighted, dataset_size=0),
            UserError,
            "minibatch_weighted.dataset_size must be a number of at least 1, got 0",
        ),
        (
            partial(minibatch_stratified, dataset_size=7),
            UserError,
            "2 <= batch size <= dataset_size, got 8 and 7",
        ),
        (
            gin.get_configurable("minibatch_weighted"),
            RuntimeError,
            "Required bindings for `minibatch_weighted` not provided in config: .'dataset_size'.",
        ),
    ],
)
def test_a_mistake_inside_a_regularizer_comes_out_as_it_was_raised(
    tiny_data, estimator, error, message
):
    with pytest.raises(error, match=message) as raised:
        Run(tiny_data, regularizer=BetaTC(4.0, estimator))
    assert type(raised.value) is error
