"""An encoder and a decoder for studies that a laptop finishes: a fifth of the study's
multiplications.

They see an image as squares of 4 x 4 pixels: the first convolution and the last transposed one have
stride 4, where a network's work on large images lies.
"""

from collections.abc import Sequence

import gin
import keras
from keras import layers

from dlib_tf2.models.networks import check_divisible


@gin.register
def small_conv_encoder(observation_shape: Sequence[int], num_latent: int) -> keras.Model:
    """Makes a network from images to a diagonal Gaussian posterior.

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
    x = layers.Conv2D(32, 4, 4, "same", activation="relu", name="e1")(image)  # [b, h/4, w/4, 32]
    x = layers.Conv2D(32, 4, 2, "same", activation="relu", name="e2")(x)
    x = layers.Conv2D(32, 4, 2, "same", activation="relu", name="e3")(x)  # [b, h/16, w/16, 32]
    x = layers.Dense(128, activation="relu", name="e4")(layers.Flatten(name="flatten")(x))
    # float32 under a mixed policy too: numpy cannot store bfloat16.
    mean = layers.Dense(num_latent, dtype="float32", name="mean")(x)
    log_variance = layers.Dense(num_latent, dtype="float32", name="log_variance")(x)
    return keras.Model(image, (mean, log_variance), name="encoder")


@gin.register
def small_deconv_decoder(observation_shape: Sequence[int], num_latent: int) -> keras.Model:
    """Makes a network from codes to the logits of images, the mirror of `small_conv_encoder`.

    Args:
        observation_shape: (height, width, channels); height and width divisible by 16.
        num_latent: number of latent dimensions d.

    Returns:
        A model from codes [b, d] to logits [b, h, w, c], float32.

    Raises:
        UserError: height or width is not divisible by 16.
    """
    check_divisible(observation_shape)
    height, width, channels = observation_shape
    rows, columns = height // 16, width // 16
    code = keras.Input((num_latent,), name="code")
    x = layers.Dense(128, activation="relu", name="d1")(code)
    x = layers.Dense(rows * columns * 32, activation="relu", name="d2")(x)
    x = layers.Reshape((rows, columns, 32), name="reshape")(x)
    x = layers.Conv2DTranspose(32, 4, 2, "same", activation="relu", name="d3")(x)
    x = layers.Conv2DTranspose(32, 4, 2, "same", activation="relu", name="d4")(x)
    # [b, h, w, c]
    logits = layers.Conv2DTranspose(channels, 4, 4, "same", dtype="float32", name="logits")(x)
    return keras.Model(code, logits, name="decoder")
