"""Every method in mixed bfloat16 against float32: the study's networks, 200 updates."""

import gin
import pytest
import tensorflow as tf

from dlib_tf2 import train
from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets import load
from dlib_tf2.training.engine import Engine

STEPS, BATCH_SIZE = 200, 64
METHODS = sorted(
    path.stem for path in (gin_utils.config_dir() / "models").glob("*.gin") if path.stem != "shared"
)


def make_engine(method, precision, data):
    gin_utils.parse([f"models/{method}.gin"])
    names = ("model", "encoder", "decoder", "optimizer")
    model, encoder, decoder, optimizer = (
        gin.get_configurable(gin.query_parameter(f"train.{name}").selector) for name in names
    )
    strategy = tf.distribute.get_strategy()
    vae, optimizers = train._build(
        strategy, data, model, encoder, decoder, 10, optimizer, precision, seed=0
    )
    return Engine(strategy, vae, optimizers, data, 0, BATCH_SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_terms_are_those_of_float32(method, data_dir):
    data = load("rendered_sprites/small", data_dir)
    engines = [make_engine(method, precision, data) for precision in ("float32", "mixed_bfloat16")]

    def evaluate(engine):
        # At the end of its schedule AnnealedVAE's term is no difference of nearly equal numbers.
        return engine.evaluate(iter(data.train_batches(BATCH_SIZE, 2)), 0, 20, 100_000)

    for engine in engines:
        assert engine.train(iter(data.train_batches(BATCH_SIZE, 1)), 0, STEPS)[1] is None
    expected, trained = map(evaluate, engines)
    # Two trainings part ways in what they have hardly begun to learn (the KL), not in how well they
    # do.
    assert trained["reconstruction_loss"] == pytest.approx(
        expected["reconstruction_loss"], rel=0.01
    )
    # At the same weights every named term is the same.
    for theirs, ours in zip(engines[1].variables(), engines[0].variables(), strict=True):
        theirs.assign(ours)
    assert evaluate(engines[1]) == pytest.approx(expected, rel=0.01)
    assert all(variable.dtype != tf.bfloat16 for variable in engines[1].variables())
