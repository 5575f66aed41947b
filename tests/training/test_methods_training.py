"""What methods need of training: second batches, double counting, scopes, labels, a warning."""

import gin
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tiny_networks

from dlib_tf2 import train
from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets.draws import uniform
from dlib_tf2.records import results
from dlib_tf2.regularizers.beta_tc import BetaTC
from dlib_tf2.regularizers.dip import covariance_of_means

TINY = (
    "import tiny_networks",
    "train.encoder = @tiny_encoder",
    "train.decoder = @tiny_decoder",
    "NUM_LATENT = 2",
    "BATCH_SIZE = 8",
    "train.eval_steps = 2",
    "adam.learning_rate = 1e-3",
)
TINY_DISCRIMINATOR = ("fc_discriminator.num_units = 8", "fc_discriminator.num_layers = 2")


@pytest.fixture
def trained(data_dir):
    def run(folder, method, *bindings):
        gin_utils.parse([f"models/{method}.gin"], [*TINY, *bindings])
        return train.train(folder, data_dir=data_dir)

    return run


def checkpoint(folder, step):
    reader = tf.train.load_checkpoint(str(folder / "checkpoints" / f"step-{step}"))
    return {
        name: np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()
    }


@pytest.mark.slow
def test_counted_steps_are_twice_the_updates(trained, tmp_path):
    values = trained(
        tmp_path / "run",
        "factor_vae",
        *TINY_DISCRIMINATOR,
        "STEPS = 11",
        "train.counts_per_update = 2",
    )
    assert values["steps"] == 6
    iterations = [
        value.item()
        for value in checkpoint(tmp_path / "run", 6).values()
        if value.dtype.kind in "iu" and value.ndim == 0
    ]
    assert iterations.count(6) == 2  # one optimizer for each network
    record = results.read_step(tmp_path / "run")
    assert record["config"]["train.steps"] == 11
    assert record["config"]["discriminator/adam.beta_1"] == 0.5
    assert record["config"]["discriminator/adam.beta_2"] == 0.9
    assert record["config"]["vae/adam.beta_1"] == 0.9
    # How long a run goes on is not its identity: counted once, the same folder goes on from update
    # 6 to 8.
    assert trained(tmp_path / "run", "factor_vae", *TINY_DISCRIMINATOR, "STEPS = 8")["steps"] == 8


def test_inputs_of_a_model_are_independent_streams(tiny_data):
    strategy = tf.distribute.get_strategy()
    inputs = "image", "image_2"
    draws = uniform(len(tiny_data.table), inputs)
    whole = iter(train._batches(strategy, tiny_data, inputs, 8, draws, 3))
    steps = [next(whole) for _ in range(5)]
    assert sorted(steps[0]) == ["image", "image_2", "position"]
    assert not any(np.array_equal(step["image"], step["image_2"]) for step in steps)
    # A resumed run draws the batches that the whole one would have drawn.
    resumed = next(iter(train._batches(strategy, tiny_data, inputs, 8, draws, 3, start=4)))
    for name in ("image", "image_2"):
        assert [np.array_equal(step[name], resumed[name]) for step in steps] == [
            False,
            False,
            False,
            False,
            True,
        ]


def test_schedule_reads_the_step_before_the_update_and_a_run_that_ends_before_is_warned(
    trained, tmp_path, capsys
):
    settings = (
        "annealed_vae",
        "ITERATION_THRESHOLD = 4",
        "C_MAX = 20.0",
        "train.summary_steps = 1",
    )
    trained(tmp_path / "run", *settings, "STEPS = 2")
    assert capsys.readouterr().err.count("the run ends at update 2, the loss's schedule at 4") == 1
    values = trained(tmp_path / "run", *settings, "STEPS = 6")
    assert "schedule" not in capsys.readouterr().err
    assert values["capacity"] == 20.0  # evaluation sees the final step
    events = sorted((tmp_path / "run" / "summaries").glob("events*"))
    capacities = {
        event.step: float(tf.make_ndarray(value.tensor))
        for path in events
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "capacity"
    }
    assert capacities == pytest.approx({1: 0.0, 2: 5.0, 3: 10.0, 4: 15.0, 5: 20.0, 6: 20.0})


def test_activation_is_a_label_and_part_of_the_identity(trained, tmp_path):
    trained(
        tmp_path / "run",
        "vae",
        "STEPS = 1",
        'ACTIVATION = "tanh"',
        "RECONSTRUCTION_LOSS = @l2_loss",
    )
    assert results.read_step(tmp_path / "run")["labels"]["activation"] == "tanh"
    with pytest.raises(train.UserError, match="VAE.activation is tanh there and logits here"):
        trained(tmp_path / "run", "vae", "STEPS = 1", "RECONSTRUCTION_LOSS = @l2_loss")


COUPLED = {
    "dip_vae_i": "the covariance of the means is 0",
    "dip_vae_ii": "the covariance of the means is 0",
    "beta_tc_vae": "the estimate of the total correlation is constant",
    "annealed_vae": "each example's KL is held at the capacity",
    "factor_vae": "permuting its columns changes nothing",
    "beta_vae": "",
    "vae": "",
}


@pytest.mark.parametrize("method", COUPLED)
def test_what_becomes_of_coupled_terms_in_a_batch_of_one_is_declared_beside_them(method, data_dir):
    gin_utils.parse([f"models/{method}.gin"], TINY)
    model = gin.query_parameter("train.model").scoped_configurable_fn  # as training makes it
    encoder, decoder = (
        tiny_networks.tiny_encoder((64, 64, 1), 2),
        tiny_networks.tiny_decoder((64, 64, 1), 2),
    )
    assert model(encoder, decoder).batch_of_one.startswith(COUPLED[method])
    assert bool(COUPLED[method]) == bool(model(encoder, decoder).batch_of_one)


def test_the_declared_values_of_one_row_are_what_the_terms_compute():
    mean, scale = tf.constant([[0.3, -2.0]]), tf.constant([[0.5, 1.5]])
    posterior = tfp.distributions.MultivariateNormalDiag(mean, scale)
    assert not covariance_of_means(posterior).numpy().any()
    for z in ([[0.1, 0.2]], [[3.0, -1.0]]):
        z = tf.constant(z)
        terms = BetaTC(beta=6.0)(posterior, z, tf.constant(0))
        assert terms["total_correlation"].numpy() == pytest.approx(0, abs=1e-5)


def test_a_batch_of_one_is_warned_of_where_a_term_couples_its_rows(trained, tmp_path, capsys):
    few = ("STEPS = 1", "BATCH_SIZE = 1", "train.eval_steps = 1")
    trained(tmp_path / "dip", "dip_vae_i", *few)
    warned = capsys.readouterr().err
    assert warned.count("warning: a batch of one: the covariance of the means is 0") == 1
    assert "raise BATCH_SIZE" in warned
    trained(tmp_path / "plain", "beta_vae", *few)
    assert "batch of one" not in capsys.readouterr().err
