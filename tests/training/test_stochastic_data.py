"""Datasets with nuisance or an incomplete grid, from training to the representation table."""

import dataclasses
import pathlib

import gin
import keras
import numpy as np
import pytest
import tensorflow as tf
from finished_run import load_encoder, write_run

from dlib_tf2 import datasets, postprocess, train
from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets import FactorSpace, GroundTruthDataset, load, nuisance
from dlib_tf2.models.vae import Part
from dlib_tf2.representations.representation import Posterior
from dlib_tf2.training.engine import Engine
from dlib_tf2.visualize import model_pictures
from tests.datasets import fakes
from tests.training.test_engine import Run, relative_distance


@pytest.fixture(scope="module")
def noisy(tiny_data):
    """The tiny dataset, 16 x 16 x 1, on noise: 16 x 16 x 3."""
    return dataclasses.replace(tiny_data, nuisance=nuisance.noise(16, 16))


@pytest.mark.slow
def test_the_noise_of_a_step_is_the_same_on_two_replicas_and_with_xla(noisy, two_replicas):
    def sgd():
        return keras.optimizers.SGD(1e-4)

    runs = [
        Run(noisy, make_optimizer=sgd),
        Run(noisy, two_replicas, make_optimizer=sgd),
        Run(noisy, make_optimizer=sgd, xla=True),
    ]
    values = [run.train(3)[0] for run in runs]
    for run, value in zip(runs[1:], values[1:], strict=True):
        assert value == pytest.approx(values[0], rel=1e-5)
        assert relative_distance(run, runs[0]) < 1e-5


def test_noise_is_fresh_in_every_step_and_in_the_evaluation_and_comes_back_when_resumed(noisy):
    run = Run(noisy, make_optimizer=lambda: keras.optimizers.SGD(0.0))
    same_images = next(run.stream())

    def loss(step):
        return run.engine.train(iter([same_images]), step, 1)[0]["reconstruction_loss"]

    losses = [loss(step) for step in (0, 1, 2, 0)]
    assert len(set(losses)) == 3
    assert losses[3] == losses[0]
    again = Run(noisy, make_optimizer=lambda: keras.optimizers.SGD(0.0))
    assert again.engine.train(iter([same_images]), 1, 1)[0]["reconstruction_loss"] == losses[1]
    assert run.engine.evaluate(iter([same_images]), 0, 1, 0)["reconstruction_loss"] not in losses


def test_a_models_second_input_has_noise_of_its_own(noisy):
    class TwoInputs:
        """Compares its inputs, which are the same images."""

        inputs = ("image", "image_2")

        def __init__(self):
            self.number = keras.Variable(1.0)

        def parts(self, terms):
            return {"vae": Part([self.number], terms)}

        def losses(self, batch, step, seed):
            difference = keras.ops.mean(keras.ops.abs(batch["image"] - batch["image_2"]))
            return {"term": self.number * 0.0}, {"difference": difference}

    model, optimizer = TwoInputs(), keras.optimizers.SGD(0.0)
    optimizer.build([model.number])
    images = np.zeros((8, 16, 16, 1), np.uint8)
    batch = {"image": images, "image_2": images, "position": np.arange(8, dtype=np.int32)}
    engine = Engine(
        tf.distribute.get_strategy(), model, {"vae": optimizer}, noisy, seed=0, batch_size=8
    )
    batches = iter(tf.data.Dataset.from_tensors(batch))
    # The mean distance of two independent U[0, 1) is 1/3; over 6,144 pairs its standard error is
    # 0.003.
    assert engine.train(batches, 0, 1)[0]["difference"] == pytest.approx(1 / 3, abs=0.015)


@pytest.fixture
def encode(tmp_path, monkeypatch):
    """Encodes with random tiny networks: (dataset, batch size) -> (posterior, encoder)."""

    def run(data, batch_size):
        monkeypatch.setattr(datasets, "load", lambda name, data_dir: data)
        folder = tmp_path / "model"
        if not folder.exists():
            write_run(folder, data)
        gin_utils.parse([], ["sampled_representation.min_rows = 10"])
        postprocess.postprocess(folder, tmp_path / f"out{batch_size}", batch_size=batch_size)
        return Posterior.load(tmp_path / f"out{batch_size}" / "posterior.npz"), load_encoder(folder)

    yield run
    gin.clear_config()


def test_the_table_holds_one_draw_of_the_nuisance_per_row_whatever_the_batch_size(noisy, encode):
    (first, encoder), (second, _) = encode(noisy, 5), encode(noisy, 24)
    images = noisy.images(np.arange(24))
    assert images.shape == (24, 16, 16, 3)
    np.testing.assert_allclose(first.mean, encoder(images)[0], atol=1e-6)
    np.testing.assert_allclose(first.mean, second.mean, atol=1e-6)
    np.testing.assert_array_equal(first.factors, noisy.space.to_factors(np.arange(24)))


def test_the_table_of_an_incomplete_grid_has_its_rows_only(tiny_data, encode):
    cells = np.array([1, 4, 9, 22])
    data = dataclasses.replace(
        tiny_data, table=np.ascontiguousarray(tiny_data.table[cells]), cells=cells
    )
    posterior, encoder = encode(data, 3)
    np.testing.assert_allclose(
        posterior.mean, encoder(tiny_data.table[cells].astype(np.float32))[0], atol=1e-6
    )
    np.testing.assert_array_equal(posterior.factors, [[0, 1], [0, 4], [1, 3], [3, 4]])
    assert posterior.factor_sizes == (4, 6)


def test_the_table_of_a_grid_with_a_factor_drawn_once_has_a_row_for_each_visible_point(
    tiny_data, encode
):
    data = dataclasses.replace(tiny_data, visible=("place",), drawn_once=("shape",))
    index = data.table_index()
    shapes, places = tiny_data.space.to_factors(index).T
    np.testing.assert_array_equal(places, np.arange(6))
    assert len(set(shapes)) > 1
    posterior, encoder = encode(data, 4)
    np.testing.assert_allclose(
        posterior.mean, encoder(tiny_data.table[index].astype(np.float32))[0], atol=1e-6
    )
    np.testing.assert_array_equal(posterior.factors[:, 0], places)


def test_many_draws_once_are_uniform():
    data = GroundTruthDataset(
        "d",
        FactorSpace(("a", "b"), (4000, 4)),
        ("a",),
        np.zeros((16_000, 1, 1, 1), np.uint8),
        1,
        None,
        drawn_once=("b",),
    )
    counts = np.bincount(data.space.to_factors(data.table_index())[:, 1])
    assert ((counts - 1000) ** 2 / 1000).sum() < 21  # chi-square, 3 degrees of freedom, 1e-4


@pytest.mark.parametrize(
    "name",
    [
        "abstract_dsprites",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("scream_dsprites", "smallnorb")),
    ],
)
def test_training_and_pictures(name, tmp_path):
    manual, data_dir = tmp_path / "manual", tmp_path / "data"
    manual.mkdir()
    fakes.prepare_all(manual, data_dir, [name])
    bindings = [f'DATASET = "{name}"', "STEPS = 2", "BATCH_SIZE = 8", "train.eval_steps = 1"]
    gin_utils.parse([str(pathlib.Path(__file__).parents[1] / "tiny.gin")], bindings)
    values = train.train(tmp_path / "model", data_dir=data_dir)
    assert np.isfinite(values["loss"])
    assert all(
        path.stat().st_size > 1000 for path in model_pictures.draw(tmp_path / "model", data_dir)
    )
    postprocess.postprocess(
        tmp_path / "model", tmp_path / "codes", data_dir, representations=("mean",)
    )
    data = load(name, data_dir)
    posterior = Posterior.load(tmp_path / "codes" / "posterior.npz")
    assert len(posterior.mean) == len(data.table_index())
    assert tuple(posterior.factor_names) == data.visible
    gin.clear_config()
