"""Reconstruction losses: from images and the decoder's outputs to one number per example.

An `activation` says how an output r becomes a pixel's mean: "logits" is sigmoid(r), "tanh" is
tanh(r) / 2 + 1/2 = sigmoid(2 r). Code that shows decoded images must apply the same map,
`pixel_means`.
"""

import gin
import tensorflow as tf

from dlib_tf2.errors import UserError

_ACTIVATIONS = {"logits": tf.sigmoid, "tanh": lambda output: tf.tanh(output) / 2 + 0.5}
_CLIP = 1e-6  # closer to 0 or 1, float32 may give a logarithm that is not finite


def pixel_means(output: tf.Tensor, activation: str = "logits") -> tf.Tensor:
    """The pixel means in 0..1 that a decoder's `output` stands for.

    Raises:
        UserError: the activation is neither "logits" nor "tanh".
    """
    if activation not in _ACTIVATIONS:
        raise UserError(f"unknown activation {activation!r}; known: {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[activation](output)


@gin.register
def bernoulli_loss(
    image: tf.Tensor,
    output: tf.Tensor,
    activation: str = "logits",
    subtract_true_image_entropy: bool = False,
) -> tf.Tensor:
    """Negative log-likelihood under Bernoulli pixels: a sum over pixels and channels, no mean.

    Args:
        image: [b, h, w, c] in 0..1, binary or not.
        output: [b, h, w, c], the decoder's output.
        activation: "logits" or "tanh"; the model passes its own.
        subtract_true_image_entropy: subtract the entropy of Bernoulli pixels whose means are the
            image, so that a perfect reconstruction has loss 0 even if the image is not binary. It
            is a constant: values change, gradients do not.

    Returns:
        float32 [b], nats. At logits 0 it is h * w * c * ln 2 for any image.
    """
    if activation == "logits":
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=image, logits=output)
    else:
        losses = _cross_entropy(image, _clip(pixel_means(output, activation)))
    if subtract_true_image_entropy:
        losses -= _cross_entropy(_clip(image), _clip(image))
    return tf.reduce_sum(losses, axis=[1, 2, 3])  # [b]


@gin.register
def l2_loss(image: tf.Tensor, output: tf.Tensor, activation: str = "logits") -> tf.Tensor:
    """Squared distance between image and pixel means: a sum, without factor 1/2 or variance.

    Args:
        image: [b, h, w, c] in 0..1.
        output: [b, h, w, c], the decoder's output.
        activation: "logits" or "tanh"; the model passes its own.

    Returns:
        float32 [b].
    """
    return tf.reduce_sum(tf.square(image - pixel_means(output, activation)), axis=[1, 2, 3])  # [b]


def _clip(probability: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(probability, _CLIP, 1 - _CLIP)


def _cross_entropy(image: tf.Tensor, probability: tf.Tensor) -> tf.Tensor:
    return -image * tf.math.log(probability) - (1 - image) * tf.math.log(1 - probability)
