"""The small PNG encoder, read back by TensorFlow's decoder."""

import numpy as np
import pytest
import tensorflow as tf

from dlib_tf2.datasets.formats import png


@pytest.mark.parametrize("shape", [(64, 64, 3), (64, 64, 1), (5, 7, 3), (7, 5, 1)])
def test_round_trip(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(tf.io.decode_png(png.encode(image), channels=shape[2]), image)


def test_flat_pictures_become_small():
    assert len(png.encode(np.full((64, 64, 3), 77, np.uint8))) < 300  # of 12,288 bytes


def test_other_channel_counts_are_refused():
    with pytest.raises(KeyError):
        png.encode(np.zeros((4, 4, 2), np.uint8))
