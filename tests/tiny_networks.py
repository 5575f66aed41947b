"""Networks of a few thousand weights and misbehaving regularizers, for gin files of the tests."""

import gin
import keras
import tensorflow as tf
from keras import layers

from dlib_tf2.regularizers.beta_kl import kl_to_prior


@gin.register
def tiny_encoder(observation_shape, num_latent):
    """One convolution and two float32 heads; height and width must be divisible by 4."""
    image = keras.Input(tuple(observation_shape), name="image")
    x = layers.Flatten()(layers.Conv2D(4, 4, 4, "same", activation="relu")(image))
    heads = [
        layers.Dense(num_latent, dtype="float32", name=name)(x) for name in ("mean", "log_variance")
    ]
    return keras.Model(image, tuple(heads), name="encoder")


@gin.register
def uneven_encoder(observation_shape, num_latent):
    """An encoder that is not one: its second head has a latent too many."""
    network = tiny_encoder(observation_shape, num_latent)
    return keras.Model(
        network.inputs, (network.outputs[0], layers.Dense(num_latent + 1)(network.outputs[1]))
    )


@gin.register
def no_encoder(observation_shape, num_latent):
    """A function that forgets to return its network."""


@gin.register
def tiny_decoder(observation_shape, num_latent):
    """A dense layer and a transposed convolution; height and width must be divisible by 8."""
    height, width, channels = observation_shape
    code = keras.Input((num_latent,), name="code")
    x = layers.Dense(height // 8 * (width // 8) * 2, activation="relu")(code)
    x = layers.Reshape((height // 8, width // 8, 2))(x)
    logits = layers.Conv2DTranspose(channels, 8, 8, "same", dtype="float32", name="logits")(x)
    return keras.Model(code, logits, name="decoder")


@gin.register
class NotFiniteAt:
    """The KL divergence until update `at`, whose loss is not a number."""

    def __init__(self, at):
        self.at = at

    def __call__(self, posterior, z, step):
        return {"kl": kl_to_prior(posterior), "broken": tf.where(step < self.at, 0.0, float("nan"))}


@gin.register
class InfiniteGradientAt:
    """The KL divergence, plus a term that is finite at update `at` but whose gradient is not."""

    def __init__(self, at):
        self.at = at

    def __call__(self, posterior, z, step):
        # d sqrt(x) / dx is infinite at 0, where the value is 0.
        zero = tf.where(step < self.at, 1.0, 0.0) * tf.reduce_sum(tf.square(posterior.mean()))
        return {"kl": kl_to_prior(posterior), "broken": tf.sqrt(zero)}
