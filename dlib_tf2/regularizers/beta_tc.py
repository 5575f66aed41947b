"""beta-TC-VAE: an extra weight on the total correlation, which the batch estimates."""

import math
from collections.abc import Callable

import gin
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from dlib_tf2.errors import UserError, check_number
from dlib_tf2.regularizers.beta_kl import kl_to_prior
from dlib_tf2.replicas import gather_global, replica_index

# (log q(z_jl | x_i) [b, B, d] of this replica's codes j under the global batch's posteriors i; for
# each row the column i of its own posterior [b]) -> total correlation in nats, a mean over rows.
Estimator = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@gin.register
def minibatch(log_density: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """The study's estimator: plain sums over the batch, without the dataset's size.

    It is `minibatch_weighted` minus the constant (d - 1) ln(B N): another value, the same gradient.
    Identical posteriors give -(d - 1) ln B, posteriors that are disjoint in every dimension 0.

    Args:
        log_density: [b, B, d], see `Estimator`.
        own: int [b]; not used here.

    Returns:
        Scalar, nats.
    """
    joint = tf.reduce_logsumexp(tf.reduce_sum(log_density, axis=2), axis=1)  # [b]
    marginals = tf.reduce_sum(tf.reduce_logsumexp(log_density, axis=1), axis=1)  # [b]
    return tf.reduce_mean(joint - marginals)


@gin.register
def minibatch_weighted(
    log_density: tf.Tensor, own: tf.Tensor, dataset_size: int = gin.REQUIRED
) -> tf.Tensor:
    """Minibatch-weighted sampling (Chen et al. 2018, equation 5): `minibatch` + (d - 1) ln(B N).

    Args:
        log_density: [b, B, d], see `Estimator`.
        own: int [b]; not used here.
        dataset_size: N, the number of examples in the dataset; at least 1.

    Returns:
        Scalar, nats.
    """
    check_number(1, minibatch_weighted__dataset_size=dataset_size)
    _, global_batch, num_latent = log_density.shape
    return minibatch(log_density, own) + (num_latent - 1) * math.log(global_batch * dataset_size)


@gin.register
def minibatch_stratified(
    log_density: tf.Tensor, own: tf.Tensor, dataset_size: int = gin.REQUIRED
) -> tf.Tensor:
    """Minibatch-stratified sampling (Chen et al. 2018, appendix C.2): own posteriors weigh 1 / N.

    It has no meaning if nuisance makes the dataset unbounded. Published code fills a column instead
    of the diagonal.

    Args:
        log_density: [b, B, d], see `Estimator`.
        own: int [b], for each row the column of its own posterior.
        dataset_size: N, the number of examples in the dataset; at least B.

    Returns:
        Scalar, nats.
    """
    weights = tf.math.log(stratified_weights(own, log_density.shape[1], dataset_size))  # [b, B]
    joint = tf.reduce_logsumexp(weights + tf.reduce_sum(log_density, axis=2), axis=1)  # [b]
    weighted = weights[:, :, None] + log_density  # [b, B, d]
    marginals = tf.reduce_sum(tf.reduce_logsumexp(weighted, axis=1), axis=1)  # [b]
    return tf.reduce_mean(joint - marginals)


def stratified_weights(own: tf.Tensor, global_batch: int, dataset_size: int) -> tf.Tensor:
    """Weights [b, B]: 1 / N for a row's own posterior, (N - 1) / (N (B - 1)) for the others."""
    check_number(1, minibatch_stratified__dataset_size=dataset_size)
    if not 2 <= global_batch <= dataset_size:
        raise UserError(
            f"minibatch_stratified needs 2 <= batch size <= dataset_size, got {global_batch} and"
            f" {dataset_size}"
        )
    others = (dataset_size - 1) / (dataset_size * (global_batch - 1))
    return tf.one_hot(own, global_batch, on_value=1 / dataset_size, off_value=others)


@gin.register
class BetaTC:
    """KL + (beta - 1) * total correlation; with any estimator beta = 1 is the plain VAE.

    Chen et al., "Isolating sources of disentanglement in VAEs", NeurIPS 2018, equation 4 with alpha
    = gamma = 1 (arXiv 1802.04942).
    """

    batch_of_one = "the estimate of the total correlation is constant, so beta has no effect"

    def __init__(self, beta: float = gin.REQUIRED, estimator: Estimator = minibatch):
        """Checks and keeps the settings.

        Args:
            beta: weight of the total correlation, >= 0. The study's strengths: 1, 2, 4, 6, 8, 10.
            estimator: `@minibatch` (the study's), `@minibatch_weighted` or `@minibatch_stratified`.
        """
        check_number(0, BetaTC__beta=beta)
        self.beta = beta
        self.estimator = estimator

    def __call__(
        self, posterior: tfd.Distribution, z: tf.Tensor, step: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The weighted terms to add to the loss: {"kl", "total_correlation"}, scalars."""
        log_density, own = pairwise_log_density(posterior, z)
        return {
            "kl": kl_to_prior(posterior),
            "total_correlation": (self.beta - 1) * self.estimator(log_density, own),
        }


def pairwise_log_density(posterior: tfd.Distribution, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """log q(z_jl | x_i) of this replica's codes j under the posteriors i of the global batch.

    Only posteriors are exchanged: a replica computes its own b rows, and the mean over all rows is
    the mean over replicas of their means. This takes b * B * d floats, 160 KB at the study's batch
    of 64.

    Returns:
        (log density [b, B, d], for each row the column of its own posterior, int32 [b]).
    """
    rows, num_latent = z.shape
    # [B, 2d]: one exchange instead of two
    both = gather_global(tf.concat([posterior.loc, posterior.stddev()], axis=1))
    mean, scale = both[None, :, :num_latent], both[None, :, num_latent:]  # [1, B, d]
    return tfd.Normal(mean, scale).log_prob(z[:, None, :]), replica_index() * rows + tf.range(rows)
