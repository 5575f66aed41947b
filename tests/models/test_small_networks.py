"""The small encoder and decoder: shapes, size, and what they refuse."""

import numpy as np
import pytest

from dlib_tf2.errors import UserError
from dlib_tf2.models.networks import conv_encoder, deconv_decoder
from dlib_tf2.models.small_networks import small_conv_encoder, small_deconv_decoder


@pytest.mark.parametrize("shape", [(16, 16, 1), (64, 64, 3), (32, 48, 2)])
def test_shapes(shape):
    encoder, decoder = small_conv_encoder(shape, 4), small_deconv_decoder(shape, 4)
    image = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    mean, log_variance = encoder(image)
    assert mean.shape == log_variance.shape == (2, 4)
    assert decoder(mean).shape == (2, *shape)


def multiplications(network):
    """Of the convolutions for one image."""
    total = 0
    for layer in network.layers:
        if hasattr(layer, "strides"):
            transposed = "Transpose" in type(layer).__name__
            height, width = (layer.input if transposed else layer.output).shape[1:3]
            total += height * width * int(np.prod(layer.kernel.shape))
    return total


def test_they_do_about_a_fifth_of_the_studys_multiplications():
    shape = (64, 64, 3)
    small = multiplications(small_conv_encoder(shape, 10)) + multiplications(
        small_deconv_decoder(shape, 10)
    )
    study = multiplications(conv_encoder(shape, 10)) + multiplications(deconv_decoder(shape, 10))
    assert 0.2 < small / study < 0.24


@pytest.mark.parametrize("make", [small_conv_encoder, small_deconv_decoder])
def test_a_height_that_does_not_fit_is_refused(make):
    with pytest.raises(UserError, match="divisible by 16"):
        make((60, 64, 1), 4)
