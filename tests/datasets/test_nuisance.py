"""Colour, noise and picture backgrounds against closed forms; the same numbers on any number of
replicas, with XLA, in any batch.
"""

import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from dlib_tf2.datasets import FactorSpace, GroundTruthDataset, nuisance

REPO = pathlib.Path(__file__).parents[2]
PICTURE = np.random.default_rng(0).integers(0, 256, (12, 15, 3), dtype=np.uint8)
KINDS = {
    "colour": nuisance.colour(),
    "noise": nuisance.noise(8, 8),
    "picture": nuisance.picture_background(PICTURE, 8, 8),
}
SPRITE = np.zeros((8, 8, 1), np.float32)
SPRITE[2:5, 1:6] = 1
INSIDE = SPRITE[..., 0] == 1


def draw(kind, count, step=0):
    """`count` images of one sprite."""
    images = np.tile(SPRITE, (count, 1, 1, 1))
    return KINDS[kind].augment(images, tf.constant([3, step], tf.int64), tf.range(count)).numpy()


def assert_uniform(values, low, high):
    """Kolmogorov-Smirnov against U[low, high), at a level of about 1e-5, and the range exactly."""
    values = np.sort(np.ravel(values)).astype(np.float64)
    assert values[0] >= low
    assert values[-1] < high
    expected = (values - low) / (high - low)
    ranks = np.arange(1, len(values) + 1) / len(values)
    assert np.abs(ranks - expected).max() < 2.5 / np.sqrt(len(values))


def test_colour_is_uniform_on_the_sprite_and_the_background_black():
    images = draw("colour", 4000)
    assert images.shape == (4000, 8, 8, 3)
    assert (images[:, ~INSIDE] == 0).all()
    colours = images[:, 3, 3]
    assert (images[:, INSIDE] == colours[:, None]).all(), "one colour per image"
    for channel in range(3):
        assert_uniform(colours[:, channel], 0.5, 1)
    # channels are independent: 5 standard errors
    assert np.abs(np.corrcoef(colours.T) - np.eye(3)).max() < 0.08
    # and so are images
    assert np.corrcoef(colours[1:, 0], colours[:-1, 0])[0, 1] == pytest.approx(0, abs=0.08)


def test_noise_is_uniform_on_the_background_and_the_sprite_white():
    images = draw("noise", 500)
    assert (images[:, INSIDE] == 1).all()
    background = images[:, ~INSIDE]  # [n, pixels, 3]
    assert_uniform(background, 0, 1)
    assert len(np.unique(background)) > 0.99 * background.size  # every pixel and channel its own
    columns = background.reshape(500, -1)
    assert np.abs(np.corrcoef(columns[:, :30].T) - np.eye(30)).max() < 0.25


def test_the_background_is_the_mean_of_a_crop_and_a_tint_and_inverted_on_the_sprite():
    images = draw("picture", 3000)
    background = np.where(INSIDE[..., None], 1 - images, images)
    crops = {
        (row, column): PICTURE[row : row + 8, column : column + 8] / 255
        for row in range(4)
        for column in range(7)
    }
    counts, tints = dict.fromkeys(crops, 0), []
    for image in background:
        spreads = {
            place: np.ptp(2 * image - crop, axis=(0, 1)).max() for place, crop in crops.items()
        }
        place = min(spreads, key=spreads.get)
        assert spreads[place] < 1e-6, "2 b - crop is one tint for the whole image"
        counts[place] += 1
        tints.append((2 * image - crops[place])[0, 0])
    for channel in range(3):
        assert_uniform(np.clip(np.array(tints)[:, channel], 0, 1 - 1e-9), 0, 1)
    expected = 3000 / 28  # 4 x 7 places: the last row and column of places are left out
    # chi-square, 27 degrees of freedom, 1e-4
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 65


@pytest.mark.parametrize("kind", KINDS)
def test_one_replica_and_two_with_xla_and_without_draw_the_same(kind, two_replicas):
    images, seed = np.tile(SPRITE, (8, 1, 1, 1)), tf.constant([7, 5], tf.int64)
    whole = KINDS[kind].augment(images, seed, tf.range(8)).numpy()
    compiled = tf.function(KINDS[kind].augment, jit_compile=True)(
        tf.constant(images), seed, tf.range(8)
    ).numpy()
    # Compiled code may fuse a multiplication and an addition, which rounds once instead of twice.
    np.testing.assert_allclose(compiled, whole, atol=1e-7)

    @tf.function
    def halves():
        def replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            return KINDS[kind].augment(tf.constant(images[:4]), seed, number * 4 + tf.range(4))

        return two_replicas.experimental_local_results(two_replicas.run(replica))

    np.testing.assert_array_equal(np.concatenate([part.numpy() for part in halves()]), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_and_images_differ(kind):
    first = draw(kind, 8)
    assert not np.array_equal(first, draw(kind, 8, step=1))
    assert len(np.unique(first.reshape(8, -1), axis=0)) == 8
    np.testing.assert_array_equal(first, draw(kind, 8))


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_the_table_has_one_draw_whatever_it_is_read_with(kind):
    table = np.tile(SPRITE, (50, 1, 1, 1)).astype(np.uint8)
    dataset = GroundTruthDataset(
        "sprites", FactorSpace(("a",), (50,)), ("a",), table, 1, None, nuisance=KINDS[kind]
    )
    whole = dataset.images(np.arange(50))
    assert whole.dtype == np.float32
    assert len(np.unique(whole.reshape(50, -1), axis=0)) == 50
    np.testing.assert_array_equal(dataset.images(np.array([40, 3])), whole[[40, 3]])
    for batch_size in (7, 50):
        np.testing.assert_array_equal(
            np.concatenate(
                [part for part, _ in dataset.table_batches(batch_size).as_numpy_iterator()]
            ),
            whole,
        )


def test_white_stays_white_on_other_scales():
    table = np.tile(SPRITE, (5, 1, 1, 1)).astype(np.uint8) * 255
    dataset = GroundTruthDataset(
        "grey", FactorSpace(("a",), (5,)), ("a",), table, 255, None, nuisance=KINDS["noise"]
    )
    images = dataset.images(np.arange(5))
    assert (images[:, INSIDE] == 255).all()
    assert 100 < images[:, ~INSIDE].mean() < 155


@pytest.mark.slow
def test_another_process_draws_the_same_training_images(fake_data_dir):
    code = (
        "import hashlib, sys, numpy as np, tensorflow as tf; from dlib_tf2.datasets import"
        " load\ndata = load('scream_dsprites', sys.argv[1])\nbatch ="
        " next(iter(data.train_batches(16, seed=11, start=1234)))\nseen ="
        " data.augment(tf.cast(batch['image'], tf.float32), tf.constant([5, 1234]),"
        " batch['position']).numpy()\nprint(hashlib.sha256(seen.tobytes()).hexdigest(),"
        " hashlib.sha256(data.images(np.arange(9)).tobytes()).hexdigest())"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code, fake_data_dir]
    other = subprocess.run(
        command, cwd=REPO, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    from dlib_tf2.datasets import load

    data = load("scream_dsprites", fake_data_dir)
    batch = next(iter(data.train_batches(16, seed=11, start=1234)))
    seen = data.augment(
        tf.cast(batch["image"], tf.float32), tf.constant([5, 1234]), batch["position"]
    ).numpy()
    mine = [
        hashlib.sha256(images.tobytes()).hexdigest() for images in (seen, data.images(np.arange(9)))
    ]
    assert other == mine
