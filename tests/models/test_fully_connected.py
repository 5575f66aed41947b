"""Fully connected networks: published parameter counts, activations and slope."""

import keras
import numpy as np
import pytest

from dlib_tf2.models.fully_connected import fc_decoder, fc_discriminator, fc_encoder


@pytest.mark.parametrize(
    "channels, encoder, decoder", [(1, 6_381_620, 7_814_896), (3, 16_212_020, 17_653_488)]
)
def test_parameter_counts_are_the_published_ones(channels, encoder, decoder):
    assert fc_encoder((64, 64, channels), 10).count_params() == encoder
    assert fc_decoder((64, 64, channels), 10).count_params() == decoder


def test_discriminator_has_the_published_parameters():
    assert fc_discriminator(10).count_params() == 5_018_002


def test_activations():
    def of(network):
        return [
            layer.activation.__name__
            for layer in network.layers
            if isinstance(layer, keras.layers.Dense)
        ]

    assert of(fc_encoder((8, 4, 1), 3)) == ["relu", "relu", "linear", "linear"]
    assert of(fc_decoder((8, 4, 1), 3)) == ["tanh", "tanh", "tanh", "linear"]
    assert of(fc_discriminator(3)) == ["linear"] * 7


def test_discriminators_slope_is_that_of_the_paper():
    network = fc_discriminator(1, num_layers=1, num_units=1)
    network.set_weights([np.ones((1, 1)), np.zeros(1), np.array([[1.0, -2.0]]), np.zeros(2)])
    assert network(np.array([[3.0], [-1.0]])).numpy() == pytest.approx(
        np.array([[3, -6], [-0.2, 0.4]])
    )


def test_shapes_and_types_under_mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        encoder, decoder, discriminator = (
            fc_encoder((8, 5, 3), 4),
            fc_decoder((8, 5, 3), 4),
            fc_discriminator(4, num_units=8),
        )
    finally:
        keras.config.set_dtype_policy("float32")
    mean, log_variance = encoder(np.ones((2, 8, 5, 3), np.float32))
    outputs = [mean, log_variance, decoder(mean), discriminator(mean)]
    assert [tuple(output.shape) for output in outputs] == [(2, 4), (2, 4), (2, 8, 5, 3), (2, 2)]
    assert [output.dtype for output in outputs] == ["float32"] * 4
    assert not np.allclose(mean, log_variance)
