"""The study's encoder and decoder: parameter counts, kernels, shapes, and what they refuse."""

import keras
import numpy as np
import pytest

from dlib_tf2.errors import UserError
from dlib_tf2.models.networks import conv_encoder, deconv_decoder


@pytest.fixture
def mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "channels, encoder, decoder", [(1, 309_204, 381_313), (3, 310_228, 382_339)]
)
def test_parameter_counts_are_the_published_ones(channels, encoder, decoder):
    assert conv_encoder((64, 64, channels), 10).count_params() == encoder
    assert deconv_decoder((64, 64, channels), 10).count_params() == decoder


def test_encoder_layers():
    layers = [
        layer
        for layer in conv_encoder((64, 64, 1), 10).layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
    ]
    shapes = [tuple(layer.kernel.shape) for layer in layers]
    convolutions = [(4, 4, 1, 32), (4, 4, 32, 32), (2, 2, 32, 64), (2, 2, 64, 64)]
    assert shapes == [*convolutions, (1024, 256), (256, 10), (256, 10)]
    assert [layer.strides for layer in layers[:4]] == [(2, 2)] * 4
    assert [layer.activation.__name__ for layer in layers] == ["relu"] * 5 + ["linear"] * 2


def test_decoder_layers():
    layers = [layer for layer in deconv_decoder((64, 64, 3), 10).layers if hasattr(layer, "kernel")]
    # [height, width, out, in]
    transposed = [(4, 4, 64, 64), (4, 4, 32, 64), (4, 4, 32, 32), (4, 4, 3, 32)]
    assert [tuple(layer.kernel.shape) for layer in layers] == [(10, 256), (256, 1024), *transposed]
    assert [layer.activation.__name__ for layer in layers] == ["relu"] * 5 + ["linear"]


def test_weights_start_as_the_study_started_them():
    keras.utils.set_random_seed(0)
    kernel, bias = conv_encoder((64, 64, 1), 10).get_layer("e5").get_weights()
    limit = np.sqrt(6 / (1024 + 256))  # Glorot uniform
    assert np.abs(kernel).max() == pytest.approx(limit, rel=1e-3)
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=1e-2)
    assert not bias.any()


@pytest.mark.parametrize("shape", [(16, 16, 1), (32, 48, 2), (128, 64, 3)])
def test_other_sizes_divisible_by_16(shape):
    encoder, decoder = conv_encoder(shape, 4), deconv_decoder(shape, 4)
    image = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    mean, log_variance = encoder(image)
    assert mean.shape == log_variance.shape == (2, 4)
    assert not np.allclose(mean, log_variance)
    assert decoder(mean).shape == (2, *shape)
    # Only the layers next to the flattened image, and the channels, depend on the size.
    cells = shape[0] * shape[1] // 256
    assert (
        encoder.count_params()
        == 309_204 - 6 * 514 + (cells - 16) * 64 * 256 + (shape[2] - 1) * 16 * 32
    )
    assert decoder.count_params() == 381_313 - 6 * 256 + (cells - 16) * 64 * 257 + (
        shape[2] - 1
    ) * (16 * 32 + 1)


@pytest.mark.parametrize("shape", [(60, 64, 1), (64, 72, 1), (64, 64), (64, 0, 1), (64, 64, 0)])
@pytest.mark.parametrize("network", [conv_encoder, deconv_decoder])
def test_other_shapes_are_refused(network, shape):
    with pytest.raises(UserError, match=r"divisible by 16, got \(6"):
        network(shape, 10)


def test_heads_and_logits_stay_float32_under_mixed_bfloat16(mixed_bfloat16):
    encoder, decoder = conv_encoder((64, 64, 1), 10), deconv_decoder((64, 64, 1), 10)
    assert encoder.get_layer("e3").compute_dtype == "bfloat16"
    mean, log_variance = encoder(np.ones((1, 64, 64, 1), np.float32))
    assert [mean.dtype, log_variance.dtype, decoder(mean).dtype] == ["float32"] * 3
