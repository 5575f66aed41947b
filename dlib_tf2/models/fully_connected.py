"""Fully connected networks: those of Higgins et al. 2017 (table 1, row 1), and a discriminator."""

import math
from collections.abc import Sequence

import gin
import keras
from keras import layers


@gin.register
def fc_encoder(observation_shape: Sequence[int], num_latent: int) -> keras.Model:
    """Makes a network from images to a diagonal Gaussian posterior: two layers of 1200.

    Args:
        observation_shape: (height, width, channels).
        num_latent: number of latent dimensions d.

    Returns:
        A model from images [b, h, w, c] in 0..1 to (mean [b, d], log_variance [b, d]), both
        float32.
    """
    image = keras.Input(tuple(observation_shape), name="image")
    x = layers.Flatten(name="flatten")(image)  # [b, h * w * c]
    x = layers.Dense(1200, activation="relu", name="e1")(x)
    x = layers.Dense(1200, activation="relu", name="e2")(x)
    # float32 under a mixed policy too: numpy cannot store bfloat16.
    mean = layers.Dense(num_latent, dtype="float32", name="mean")(x)
    log_variance = layers.Dense(num_latent, dtype="float32", name="log_variance")(x)
    return keras.Model(image, (mean, log_variance), name="encoder")


@gin.register
def fc_decoder(observation_shape: Sequence[int], num_latent: int) -> keras.Model:
    """Makes a network from codes to the logits of images: three tanh layers of 1200.

    Args:
        observation_shape: (height, width, channels).
        num_latent: number of latent dimensions d.

    Returns:
        A model from codes [b, d] to logits [b, h, w, c], float32.
    """
    code = keras.Input((num_latent,), name="code")
    x = code
    for number in range(1, 4):
        x = layers.Dense(1200, activation="tanh", name=f"d{number}")(x)
    x = layers.Dense(math.prod(observation_shape), dtype="float32", name="logits")(x)
    # [b, h, w, c]
    logits = layers.Reshape(tuple(observation_shape), dtype="float32", name="reshape")(x)
    return keras.Model(code, logits, name="decoder")


@gin.register
def fc_discriminator(num_latent: int, num_layers: int = 6, num_units: int = 1000) -> keras.Model:
    """Makes FactorVAE's network from codes to two logits: 0 for as encoded, 1 for shuffled.

    Kim and Mnih, "Disentangling by factorising", ICML 2018, appendix A (arXiv 1802.05983).

    Args:
        num_latent: number of latent dimensions d.
        num_layers: number of hidden layers.
        num_units: units per hidden layer.

    Returns:
        A model from codes [b, d] to logits [b, 2], float32.
    """
    code = keras.Input((num_latent,), name="code")
    x = code
    for number in range(1, num_layers + 1):
        x = layers.Dense(num_units, name=f"d{number}")(x)
        # 0.2 is the paper's slope; Keras' own default is 0.3.
        x = layers.LeakyReLU(negative_slope=0.2, name=f"leaky{number}")(x)
    logits = layers.Dense(2, dtype="float32", name="logits")(x)  # [b, 2]
    return keras.Model(code, logits, name="discriminator")
