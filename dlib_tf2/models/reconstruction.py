"""Reconstruction losses: from images and the decoder's logits to one number per example."""

import gin
import tensorflow as tf


@gin.register
def bernoulli_loss(image: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Negative log-likelihood under independent Bernoulli pixels, summed over pixels and channels (never a mean).

    Args:
        image: [b, h, w, c] in 0..1, binary or not.
        logits: [b, h, w, c].

    Returns:
        float32 [b], nats. At logits 0 it is h * w * c * ln 2 for any image.
    """
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=image, logits=logits)
    return tf.reduce_sum(losses, axis=[1, 2, 3])  # [b]
