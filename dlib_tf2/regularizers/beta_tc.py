"""beta-TC-VAE: the total correlation of the aggregate posterior, estimated within the batch, gets a
weight of its own.
"""

import math
from collections.abc import Callable

import gin
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from dlib_tf2.errors import UserError, check_number
from dlib_tf2.regularizers.beta_kl import kl_to_prior
from dlib_tf2.replicas import gather_global, replica_index

# (log q(z_jl | x_i) [b, B, d] of this replica's codes j under the global batch's posteriors i; the
# column i of each row's own posterior [b]) -> the total correlation in nats, the mean over the
# rows.
Estimator = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@gin.register
def minibatch(log_density: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """The study's estimator: plain sums over the batch, without the dataset's size.

    It is `minibatch_weighted` less the constant (d - 1) ln(B N): an offset value with the same
    gradient. Identical posteriors give -(d - 1) ln B, posteriors disjoint in every dimension 0.

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
        dataset_size: N, examples of the dataset; at least 1.

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
    """Minibatch-stratified sampling (Chen et al. 2018, appendix C.2): a code's own posterior counts
    1 / N.

    Without meaning where nuisance makes the dataset unbounded. Public code of it fills a column
    instead of the diagonal.

    Args:
        log_density: [b, B, d], see `Estimator`.
        own: int [b], which column is a row's own posterior.
        dataset_size: N, examples of the dataset; at least B.

    Returns:
        Scalar, nats.
    """
    # [b, B, 1]
    log_weights = tf.math.log(stratified_weights(own, log_density.shape[1], dataset_size))[
        :, :, None
    ]
    # [b]
    joint = tf.reduce_logsumexp(log_weights[:, :, 0] + tf.reduce_sum(log_density, axis=2), axis=1)
    marginals = tf.reduce_sum(tf.reduce_logsumexp(log_weights + log_density, axis=1), axis=1)  # [b]
    return tf.reduce_mean(joint - marginals)


def stratified_weights(own: tf.Tensor, global_batch: int, dataset_size: int) -> tf.Tensor:
    """Weights [b, B] of the posteriors in a row: 1 / N on its own, (N - 1) / (N (B - 1)) elsewhere;
    each row sums to 1.
    """
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
    """KL + (beta - 1) * total correlation; beta = 1 is the plain VAE whatever the estimator.

    Chen et al., "Isolating sources of disentanglement in VAEs", NeurIPS 2018, equation 4 with alpha
    = gamma = 1 (arXiv 1802.04942).
    """

    batch_of_one = (
        "the estimate of the total correlation is a constant, so that beta weighs nothing"
    )

    def __init__(self, beta: float = gin.REQUIRED, estimator: Estimator = minibatch):
        """Args:
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
    """log N(z_jl; mean_il, variance_il) for this replica's codes j and the posteriors i of the
    global batch.

    Only the posteriors are exchanged: a replica computes its own b rows, and the mean over replicas
    of the means over their rows is the mean over all. The memory is b * B * d floats, 160 KB at the
    study's batch of 64.

    Returns:
        (log density [b, B, d], column of each row's own posterior, int32 [b]).
    """
    rows, num_latent = z.shape
    # [B, 2d], one exchange instead of two
    both = gather_global(tf.concat([posterior.loc, posterior.stddev()], axis=1))
    mean, scale = both[None, :, :num_latent], both[None, :, num_latent:]  # [1, B, d]
    return tfd.Normal(mean, scale).log_prob(z[:, None, :]), replica_index() * rows + tf.range(rows)
