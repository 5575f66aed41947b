"""beta-VAE: the weighted KL divergence from the prior."""

import gin
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from dlib_tf2.errors import check_number


@gin.register
class BetaKL:
    """beta * KL(q(z|x) || N(0, I)), averaged over the batch; beta = 1 is the plain VAE.

    Higgins et al., "beta-VAE", ICLR 2017, equation 4 (OpenReview Sy2fzU9gl).
    """

    def __init__(self, beta: float = 1.0):
        """Checks and keeps the settings.

        Args:
            beta: weight of the KL divergence, >= 0. The study's strengths: 1, 2, 4, 6, 8, 16.
        """
        check_number(0, BetaKL__beta=beta)
        self.beta = beta

    def __call__(
        self, posterior: tfd.Distribution, z: tf.Tensor, step: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The weighted terms to add to the loss: {"kl": scalar, nats}."""
        return {"kl": self.beta * kl_to_prior(posterior)}


def kl_to_prior(posterior: tfd.Distribution) -> tf.Tensor:
    """KL(posterior || N(0, I)) in nats, the sum over latents averaged over the batch: scalar."""
    return tf.reduce_mean(kl_per_example(posterior))


def kl_per_example(posterior: tfd.Distribution) -> tf.Tensor:
    """KL(posterior || N(0, I)) in nats, the sum over latents: [b]."""
    num_latent = posterior.event_shape[0]
    prior = tfd.MultivariateNormalDiag(tf.zeros([num_latent]), tf.ones([num_latent]))
    return tfd.kl_divergence(posterior, prior)
