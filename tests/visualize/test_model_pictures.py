"""Pictures of a model show what its networks compute, with labels; a new model gets new ones."""

import dataclasses
import os
import shutil
import struct

import numpy as np
import pytest
from finished_run import write_run

from dlib_tf2 import datasets
from dlib_tf2.training import saved_model
from dlib_tf2.visualize import model_pictures as pictures


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_data):
    folder = tmp_path_factory.mktemp("run") / "model"
    write_run(folder, tiny_data)
    return folder


@pytest.fixture(scope="module")
def model(run):
    return saved_model.load(run)


@pytest.fixture(scope="module")
def images(tiny_data):
    return tiny_data.images(np.arange(24)).astype(np.float32)


@pytest.fixture
def known(tiny_data, monkeypatch):
    """The dataset "tiny" can be loaded."""
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: {"tiny": tiny_data}[name])


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def size(path):
    """Width and height that the header of a PNG file names."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", content[16:24])


def shown(axis):
    """The pixels that an axis of a figure shows."""
    return np.asarray(axis.images[0].get_array())


def test_reconstructions_are_the_sigmoid_of_the_logits_of_the_posterior_mean(model, images):
    mean, _ = model.encoder.predict(images, verbose=0)
    decoded = pictures.reconstruct(model, images)
    np.testing.assert_allclose(decoded, sigmoid(model.decoder.predict(mean, verbose=0)), atol=1e-6)
    assert decoded.shape == images.shape
    assert 0 <= decoded.min() < 0.4
    assert 0.6 < decoded.max() <= 1


def test_a_decoder_of_another_activation_is_shown_by_its_own_map(model, images):
    labels = {**model.record["labels"], "activation": "tanh"}
    decoded = pictures.reconstruct(
        model._replace(record={**model.record, "labels": labels}), images
    )
    mean, _ = model.encoder.predict(images, verbose=0)
    np.testing.assert_allclose(
        decoded, (1 + np.tanh(model.decoder.predict(mean, verbose=0))) / 2, atol=1e-6
    )


def test_a_traversal_moves_one_latent_and_leaves_the_others(model, images):
    grid = pictures.traverse(model, images[3])
    values = pictures.TRAVERSAL
    assert grid.shape == (3, len(values), 16, 16, 1)
    assert (values[0], values[-1], values[len(values) // 2]) == (-2.5, 2.5, 0)
    mean, _ = model.encoder.predict(images[3:4], verbose=0)
    for latent in range(3):
        for column, value in enumerate(values):
            code = mean.copy()
            code[0, latent] = value
            expected = sigmoid(model.decoder.predict_on_batch(code))[0]
            np.testing.assert_allclose(grid[latent, column], expected, atol=1e-5)
    assert len(np.unique(grid.reshape(-1, 256).round(4), axis=0)) == 3 * len(values)


def test_latent_kl_is_the_mean_over_images(model, images):
    mean, log_variance = (
        output.astype(np.float64) for output in model.encoder.predict(images, verbose=0)
    )
    expected = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).mean(axis=0)
    np.testing.assert_allclose(pictures.latent_kl(model, images), expected, rtol=1e-5)


def test_traversals_are_labelled_and_sorted_by_kl(model, images):
    figure = pictures._draw_traversals(model, images)
    rows = np.reshape(figure.axes, (3, 1 + len(pictures.TRAVERSAL)))
    kl, grid = pictures.latent_kl(model, images), pictures.traverse(model, images[0])
    order = np.argsort(kl)[::-1]
    assert sorted(order) != list(order)  # so that an unsorted picture is seen
    assert [row[0].get_ylabel() for row in rows] == [
        f"z{latent}\nKL {kl[latent]:.2f}" for latent in order
    ]
    assert [axis.get_title() for axis in rows[0]] == [
        "original",
        *(f"{value:+.1f}" for value in pictures.TRAVERSAL),
    ]
    for row, latent in zip(rows, order, strict=True):
        np.testing.assert_array_equal(shown(row[0]), images[0, ..., 0])
        for axis, expected in zip(row[1:], grid[latent], strict=True):
            np.testing.assert_array_equal(shown(axis), expected[..., 0])
            assert axis.images[0].get_clim() == (0, 1)
    assert figure.get_suptitle().startswith(
        "beta_vae (beta 4), 7 steps, tiny: one latent moved at a time"
    )


def test_each_original_stands_above_its_reconstruction(model, images):
    images = np.resize(images, (32, 16, 16, 1))
    figure = pictures._draw_reconstructions(model, images)
    axes, decoded = np.reshape(figure.axes, (8, 8)), pictures.reconstruct(model, images)
    for number in range(32):
        row, column = divmod(number, 8)
        np.testing.assert_array_equal(shown(axes[2 * row, column]), images[number, ..., 0])
        np.testing.assert_array_equal(shown(axes[2 * row + 1, column]), decoded[number, ..., 0])
    assert [row[0].get_ylabel() for row in axes] == ["original", "decoded"] * 4


def test_colour_images_are_drawn_in_colour(tmp_path, tiny_data):
    colour = dataclasses.replace(
        tiny_data,
        table=np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8),
        scale=255,
    )
    write_run(tmp_path, colour)
    images = colour.images(np.arange(24)).astype(np.float32) / 255
    figure = pictures._draw_traversals(saved_model.load(tmp_path), images)
    np.testing.assert_array_equal(shown(figure.axes[0]), images[0])


def test_a_title_takes_what_a_method_calls_its_parameters(tmp_path, tiny_data):
    write_run(tmp_path, tiny_data, method="other", hyperparameters={"gamma": 0.5, "kind": "linear"})
    assert (
        pictures._title(saved_model.load(tmp_path))
        == "other (gamma 0.5, kind linear), 7 steps, tiny"
    )
    write_run(tmp_path, tiny_data, method="", hyperparameters={}, dataset="cars3d", steps=300000)
    assert pictures._title(saved_model.load(tmp_path)) == "model, 300,000 steps, cars3d"


def test_pictures_are_whole_files_whose_paths_are_printed(run, known, tmp_path, capsys):
    folder = shutil.copytree(run, tmp_path / "model")
    paths = [folder / "pictures" / name for name in ("reconstructions.png", "traversals.png")]
    assert pictures.draw(folder) == paths
    assert capsys.readouterr().out == f"{paths[0]}\n{paths[1]}\n"
    assert [size(path) for path in paths] == [(880, 940), (1180, 360)]
    assert sorted(paths[0].parent.iterdir()) == paths


def test_pictures_are_drawn_again_only_when_one_is_missing_or_the_model_is_newer(
    run, known, tmp_path, tiny_data, monkeypatch
):
    # A figure costs a second: what would be drawn is kept instead, the pixels that a reader would
    # see.
    monkeypatch.setattr(
        pictures,
        "_draw_reconstructions",
        lambda model, images: pictures.reconstruct(model, images).tobytes(),
    )
    monkeypatch.setattr(
        pictures,
        "_draw_traversals",
        lambda model, images: pictures.traverse(model, images[0]).tobytes(),
    )
    monkeypatch.setattr(
        pictures,
        "_save",
        lambda pixels, path: (path.parent.mkdir(exist_ok=True), path.write_bytes(pixels)),
    )
    folder = shutil.copytree(run, tmp_path / "model")
    paths = pictures.draw(folder)
    before = [path.read_bytes() for path in paths]

    paths[1].write_bytes(b"mine")
    pictures.draw(folder)
    assert paths[1].read_bytes() == b"mine"
    paths[1].unlink()
    pictures.draw(folder)
    assert [path.read_bytes() for path in paths] == before

    write_run(folder, tiny_data, seed=1, steps=14)  # trained further
    newer = paths[1].stat().st_mtime_ns + 1_000_000
    os.utime(folder / "results.json", ns=(newer, newer))
    pictures.draw(folder)
    assert all(path.read_bytes() != old for path, old in zip(paths, before, strict=True))
