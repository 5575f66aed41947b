"""DIP-VAE I and II: a penalty draws the covariance of the aggregate posterior to the identity."""

from collections.abc import Callable

import gin
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from dlib_tf2.errors import check_number
from dlib_tf2.regularizers.beta_kl import kl_to_prior
from dlib_tf2.replicas import gather_global


@gin.register
class DIP:
    """KL + lambda_od * sum_(i != j) M_ij^2 + lambda_d * sum_i (M_ii - 1)^2, M a covariance.

    Kumar et al., "Variational inference of disentangled latent concepts from unlabeled
    observations", ICLR 2018, equations 6 and 7 (OpenReview H1kG7GZAW).
    """

    batch_of_one = "the covariance of the means is 0, so no correlation is penalised"

    def __init__(
        self,
        lambda_od: float = gin.REQUIRED,
        lambda_d_factor: float = gin.REQUIRED,
        covariance: Callable[[tfd.Distribution], tf.Tensor] = gin.REQUIRED,
    ):
        """Checks and keeps the settings.

        Args:
            lambda_od: weight of the off-diagonal entries, >= 0. The study's strengths: 1, 2, 5, 10,
                20, 50.
            lambda_d_factor: lambda_d = lambda_d_factor * lambda_od, >= 0; in the study 10 for type
                I and 1 for type II.
            covariance: `@covariance_of_means` (type I) or `@covariance_of_samples` (type II), both
                over the global batch.
        """
        check_number(0, DIP__lambda_od=lambda_od, DIP__lambda_d_factor=lambda_d_factor)
        self.lambda_od = lambda_od
        self.lambda_d = lambda_d_factor * lambda_od
        self.covariance = covariance

    def __call__(
        self, posterior: tfd.Distribution, z: tf.Tensor, step: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The weighted terms to add to the loss: {"kl", "covariance"}, scalars."""
        penalty = distance_to_identity(self.covariance(posterior), self.lambda_od, self.lambda_d)
        return {"kl": kl_to_prior(posterior), "covariance": penalty}


def distance_to_identity(covariance: tf.Tensor, lambda_od: float, lambda_d: float) -> tf.Tensor:
    """lambda_od * sum_(i != j) M_ij^2 + lambda_d * sum_i (M_ii - 1)^2 of a matrix M [d, d]."""
    diagonal = tf.linalg.diag_part(covariance)  # [d]
    # The sum leaves the diagonal out; to subtract it afterwards would cancel digits.
    off_diagonal = tf.reduce_sum(tf.square(tf.linalg.set_diag(covariance, tf.zeros_like(diagonal))))
    return lambda_od * off_diagonal + lambda_d * tf.reduce_sum(tf.square(diagonal - 1))


@gin.register
def covariance_of_means(posterior: tfd.Distribution) -> tf.Tensor:
    """Type I: Cov(mean(x)) over the global batch, biased (divisor B): [d, d]."""
    return _covariance(gather_global(posterior.loc))


@gin.register
def covariance_of_samples(posterior: tfd.Distribution) -> tf.Tensor:
    """Type II: Cov(z) = E[diag(variance(x))] + Cov(mean(x)) over the global batch: [d, d]."""
    num_latent = posterior.event_shape[0]
    # [B, 2d]: one exchange instead of two
    both = gather_global(tf.concat([posterior.loc, posterior.variance()], axis=1))
    variance = tf.reduce_mean(both[:, num_latent:], axis=0)  # [d]
    return _covariance(both[:, :num_latent]) + tf.linalg.diag(variance)


def _covariance(mean: tf.Tensor) -> tf.Tensor:
    centered = mean - tf.reduce_mean(mean, axis=0)
    return tf.matmul(centered, centered, transpose_a=True) / mean.shape[0]  # [d, d]
