"""The convolutional encoder and decoder of the study (Higgins et al. 2017, table 1, row 3)."""

from collections.abc import Sequence

import gin
import keras
from keras import layers

from dlib_tf2.errors import UserError


@gin.register
def conv_encoder(observation_shape: Sequence[int], num_latent: int) -> keras.Model:
    """Makes a network from images to a diagonal Gaussian posterior.

    The third and fourth convolutions have 2x2 kernels, as in the study; many ports use 4x4
    throughout.

    Args:
        observation_shape: (height, width, channels); height and width divisible by 16.
        num_latent: number of latent dimensions d.

    Returns:
        A model from images [b, h, w, c] in 0..1 to (mean [b, d], log_variance [b, d]), both
        float32.

    Raises:
        UserError: height or width is not divisible by 16.
    """
    check_divisible(observation_shape)
    image = keras.Input(tuple(observation_shape), name="image")
    x = layers.Conv2D(32, 4, 2, "same", activation="relu", name="e1")(image)  # [b, h/2, w/2, 32]
    x = layers.Conv2D(32, 4, 2, "same", activation="relu", name="e2")(x)
    x = layers.Conv2D(64, 2, 2, "same", activation="relu", name="e3")(x)
    x = layers.Conv2D(64, 2, 2, "same", activation="relu", name="e4")(x)  # [b, h/16, w/16, 64]
    x = layers.Dense(256, activation="relu", name="e5")(layers.Flatten(name="flatten")(x))
    # float32 under a mixed policy too: numpy cannot store bfloat16.
    mean = layers.Dense(num_latent, dtype="float32", name="mean")(x)
    log_variance = layers.Dense(num_latent, dtype="float32", name="log_variance")(x)
    return keras.Model(image, (mean, log_variance), name="encoder")


@gin.register
def deconv_decoder(observation_shape: Sequence[int], num_latent: int) -> keras.Model:
    """Makes a network from codes to the logits of images.

    Args:
        observation_shape: (height, width, channels); height and width divisible by 16.
        num_latent: number of latent dimensions d.

    Returns:
        A model from codes [b, d] to logits [b, h, w, c], float32; the loss or the viewer applies
        the sigmoid.

    Raises:
        UserError: height or width is not divisible by 16.
    """
    check_divisible(observation_shape)
    height, width, channels = observation_shape
    rows, columns = height // 16, width // 16
    code = keras.Input((num_latent,), name="code")
    x = layers.Dense(256, activation="relu", name="d1")(code)
    x = layers.Dense(rows * columns * 64, activation="relu", name="d2")(x)
    x = layers.Reshape((rows, columns, 64), name="reshape")(x)  # [b, h/16, w/16, 64]
    x = layers.Conv2DTranspose(64, 4, 2, "same", activation="relu", name="d3")(x)
    x = layers.Conv2DTranspose(32, 4, 2, "same", activation="relu", name="d4")(x)
    x = layers.Conv2DTranspose(32, 4, 2, "same", activation="relu", name="d5")(x)
    # [b, h, w, c]
    logits = layers.Conv2DTranspose(channels, 4, 2, "same", dtype="float32", name="logits")(x)
    return keras.Model(code, logits, name="decoder")


def check_divisible(observation_shape: Sequence[int]) -> None:
    """Refuses an observation shape whose height or width is not divisible by 16."""
    shape = tuple(observation_shape)
    if len(shape) != 3 or min(shape) < 1 or shape[0] % 16 or shape[1] % 16:
        raise UserError(
            f"expected an observation shape (h, w, c) with h and w divisible by 16, got {shape}"
        )
