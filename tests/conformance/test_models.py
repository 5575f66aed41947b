"""Every method under gin_configs/models, found by itself, through the same trials with tiny
networks.
"""

import gin
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_networks

from dlib_tf2.configuration import gin_utils
from dlib_tf2.models.terms import with_terms
from dlib_tf2.training.checkpoints import Checkpoints
from dlib_tf2.training.engine import Engine

BATCH_SIZE, NUM_LATENT, NUM_STEPS, SEED = 8, 3, 4, 1
TINY = (
    "import dlib_tf2.models.fully_connected",
    "fc_discriminator.num_units = 8",
    "fc_discriminator.num_layers = 2",
)
# The capacity must move within the few steps of a trial, and there are 24 images to label.
SMALLER = ("ITERATION_THRESHOLD = 4", "NUM_LABELLED = 10")
# Weights that a method leaves as they are: labels say nothing of the codes' noise.
UNTRAINED = {"supervised": "log_variance"}
NOTHING = "no weight"
METHODS = sorted(
    path.stem
    for path in (gin_utils.config_dir() / "models").glob("*.gin")
    if "no runnable file" not in path.read_text()
)


# A method with other terms of labels, which have variables of their own.
TERMS = {
    f"s2_beta_vae, {term}": (f"LABEL_TERM = @{term}()", *bindings)
    for term, bindings in {
        "L2Labels": (),
        "CovLabels": (),
        "EmbedLabels": ("EmbedLabels.sigma = 'learn'", "EmbedLabels.use_order = True"),
    }.items()
}


class Run:
    """A method's engine on a tiny dataset, its weights always the same at first."""

    def __init__(self, method, data, strategy=None, xla=False):
        file = f"models/{method.partition(',')[0]}.gin"
        text = (gin_utils.config_dir() / file).read_text()
        gin_utils.parse(
            [file],
            [
                *TINY,
                *TERMS.get(method, ()),
                *TERMS.get(method, ()),
                *(line for line in SMALLER if f"{line.split()[0]} = " in text),
            ],
        )
        self.untrained = UNTRAINED.get(method, NOTHING)
        self.strategy, self.data = strategy or tf.distribute.get_strategy(), data
        bound = gin.get_bindings("train")
        model, terms = bound["model"], bound.get("terms", ())
        self.draws = bound["sampler"](data)
        keras.utils.set_random_seed(0)
        with self.strategy.scope():
            shape = data.observation_shape
            self.model = model(
                tiny_networks.tiny_encoder(shape, NUM_LATENT),
                tiny_networks.tiny_decoder(shape, NUM_LATENT),
            )
            self.whole = with_terms(self.model, terms, NUM_LATENT, self.draws.sizes)
            # The first step is one of plain gradient descent; from the second on the momentum is a
            # state to be kept.
            parts = self.whole.parts(())
            self.optimizers = {name: keras.optimizers.SGD(1e-6, momentum=0.9) for name in parts}
            for name, part in parts.items():
                self.optimizers[name].build(part.variables)
        self.engine = Engine(
            self.strategy, self.whole, self.optimizers, data, SEED, BATCH_SIZE, xla, self.draws
        )
        self.start = self.variables()

    def train(self, start, count):
        replicas = self.strategy.num_replicas_in_sync
        batches = self.strategy.distribute_datasets_from_function(
            lambda _: self.data.train_batches(
                BATCH_SIZE, SEED, start, replicas, draws=self.draws, names=self.whole.inputs
            ).repeat()
        )
        values, bad, _ = self.engine.train(iter(batches), start, count)
        assert bad is None
        return values

    def variables(self):
        return [variable.numpy() for variable in self.engine.variables()]

    def set_variables(self, values):
        for variable, value in zip(self.engine.variables(), values, strict=True):
            variable.assign(value)

    def update(self):
        """The change of each weight of each part by one step from the start, and the values that
        the step measured.
        """
        self.set_variables(self.start)
        for optimizer in self.optimizers.values():
            # a step so long that the weights' own digits do not round it
            optimizer.learning_rate.assign(1.0)
        values = self.train(2, 1)
        after, changes = iter(zip(self.start, self.variables(), strict=True)), {}
        for name, part in self.engine.parts.items():
            changes[name] = [new - old for old, new in (next(after) for _ in part.variables)]
        return changes, values


@pytest.fixture(scope="module", params=[*METHODS, *TERMS])
def method(request):
    return request.param


@pytest.fixture(scope="module")
def run(method, tiny_data):
    return Run(method, tiny_data)


def assert_same_step(other, run, tolerance):
    assert all(
        np.array_equal(ours, theirs) for ours, theirs in zip(other.start, run.start, strict=True)
    )
    (changes, values), (other_changes, other_values) = run.update(), other.update()
    assert other_values == pytest.approx(values, rel=tolerance, abs=tolerance)
    for name, change in changes.items():
        paths = [variable.path for variable in run.engine.parts[name].variables]
        for path, ours, theirs in zip(paths, other_changes[name], change, strict=True):
            if run.untrained in path:
                assert not theirs.any()
                assert not ours.any()
                continue
            assert np.linalg.norm(theirs) > 0
            # A bias's gradient is a sum over the batch, and over pixels, of which much cancels.
            allowed = tolerance * (4 if theirs.ndim == 1 else 1)
            assert np.linalg.norm(ours - theirs) <= allowed * np.linalg.norm(theirs), (
                name,
                theirs.shape,
            )


def test_there_are_the_studys_methods():
    assert set(METHODS) >= {
        "annealed_vae",
        "beta_tc_vae",
        "beta_vae",
        "dip_vae_i",
        "dip_vae_ii",
        "factor_vae",
        "vae",
    }


def test_two_steps_move_every_weight_by_named_terms(run):
    run.set_variables(run.start)
    values = run.train(0, 2)
    assert np.isfinite(list(values.values())).all()
    assert {"loss", "reconstruction_loss", "kl", "elbo", "term/reconstruction_loss"} < set(values)
    parts = run.engine.parts
    assert values["loss"] == pytest.approx(
        sum(values[f"term/{name}"] for name in parts["vae"].terms), rel=1e-5
    )
    assert sorted(term for part in parts.values() for term in part.terms) == sorted(
        name.removeprefix("term/") for name in values if name.startswith("term/")
    )
    networks = [network for network in vars(run.model).values() if isinstance(network, keras.Model)]
    weights = {weight.path for network in networks for weight in network.weights}
    own = {variable.path for variable in getattr(run.whole, "_variables", ())}
    trained = [variable for part in parts.values() for variable in part.variables]
    assert {variable.path for variable in trained} == weights | own
    still = [
        new.path
        for old, new in zip(run.start, trained, strict=False)
        if np.array_equal(old, new.numpy())
    ]
    assert all(run.untrained in path for path in still), still
    assert bool(still) == (run.untrained != NOTHING)


def test_checkpoint_brings_everything_back_and_training_goes_on_bit_identically(run, tmp_path):
    run.set_variables(run.start)
    run.train(0, 2)
    saved = run.variables()
    checkpoints = Checkpoints(str(tmp_path), run.engine.variables())
    checkpoints.save(2)
    run.train(2, 2)
    finished = run.variables()
    run.set_variables([np.zeros_like(value) for value in saved])
    assert checkpoints.restore() == 2
    assert all(
        np.array_equal(ours, theirs) for ours, theirs in zip(run.variables(), saved, strict=True)
    )
    run.train(2, 2)
    assert all(
        np.array_equal(ours, theirs) for ours, theirs in zip(run.variables(), finished, strict=True)
    )


def test_two_replicas_make_the_same_step(method, run, tiny_data, two_replicas):
    assert_same_step(Run(method, tiny_data, two_replicas), run, 1e-6)


@pytest.mark.slow
def test_xla_makes_the_same_step(method, run, tiny_data):
    assert_same_step(Run(method, tiny_data, xla=True), run, 1e-5)
