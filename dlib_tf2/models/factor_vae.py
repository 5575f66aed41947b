"""FactorVAE: a discriminator estimates the total correlation of the codes; the VAE lowers it."""

from collections.abc import Callable, Mapping

import gin
import keras
import tensorflow as tf

from dlib_tf2.errors import UserError, check_number
from dlib_tf2.models.vae import VAE, Part, Scalars, sample
from dlib_tf2.regularizers.beta_kl import BetaKL
from dlib_tf2.replicas import shuffle_columns

_CLIP = 1e-6


@gin.register
class FactorVAE(VAE):
    """reconstruction + KL + gamma * TC, TC = E[logit_0(z) - logit_1(z)] by a discriminator.

    The discriminator tells codes from codes whose dimensions were shuffled. Kim and Mnih,
    "Disentangling by factorising", ICML 2018, equation 2 and algorithm 2 (arXiv 1802.05983). As in
    the study, both networks are updated at once, from gradients at the old weights. The
    discriminator's optimizer is made in the gin scope `discriminator`, the VAE's in `vae`.
    """

    batch_of_one = "permuting its columns changes nothing, so the discriminator learns nothing"

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        reconstruction_loss: Callable[..., tf.Tensor] = gin.REQUIRED,
        discriminator: Callable[[int], keras.Model] = gin.REQUIRED,
        gamma: float = gin.REQUIRED,
        second_batch: bool = False,
        activation: str = "logits",
    ):
        """Takes what `VAE` takes, except a regularizer.

        Args:
            encoder: see `VAE`.
            decoder: see `VAE`.
            reconstruction_loss: see `VAE`.
            discriminator: called with num_latent; makes a network from codes [b, d] to logits
                [b, 2].
            gamma: weight of the total correlation, >= 0. The study's strengths: 10, 20, 30, 40, 50,
                100.
            second_batch: shuffle the codes of a second, independent batch, as the paper does; the
                study shuffles those of the same batch. It costs one more pass of the encoder.
            activation: see `VAE`.
        """
        check_number(0, FactorVAE__gamma=gamma)
        if not isinstance(second_batch, bool):
            raise UserError(f"FactorVAE.second_batch must be True or False, got {second_batch!r}")
        super().__init__(encoder, decoder, reconstruction_loss, BetaKL(1.0), activation)
        self.discriminator = discriminator(encoder.output_shape[0][-1])
        self.gamma = gamma
        if second_batch:
            self.inputs = ("image", "image_2")

    def parts(self, terms: tuple[str, ...]) -> dict[str, Part]:
        """The discriminator descends its own loss, the VAE all other terms."""
        vae = tuple(name for name in terms if name != "discriminator_loss")
        return {
            **super().parts(vae),
            "discriminator": Part(self.discriminator.trainable_variables, ("discriminator_loss",)),
        }

    def losses(
        self, batch: Mapping[str, tf.Tensor], step: tf.Tensor, seed: tf.Tensor
    ) -> tuple[Scalars, Scalars]:
        """The terms of both networks; arguments as in `VAE.losses`.

        With `second_batch` the batch also holds "image_2", float32 [b, h, w, c].

        Returns:
            terms: reconstruction_loss, kl and total_correlation, whose sum is the loss, and
                discriminator_loss.
            monitors: those of `VAE`, and the unweighted discriminator_tc in nats.
        """
        position = batch["position"]
        posterior = self.encode(batch["image"])
        z = sample(posterior, position, seed)
        terms, monitors = self._objective(batch["image"], posterior, z, step)
        # The second batch and the permutation have noise of their own; philox draws the same under
        # every compiler.
        second, order = (tf.random.fold_in(seed, use, alg="philox") for use in (1, 2))
        other = z
        if "image_2" in self.inputs:
            other = sample(self.encode(batch["image_2"]), position, second)
        joint = self.discriminator(z)
        shuffled = self.discriminator(shuffle_columns(tf.stop_gradient(other), order, position))
        tc = total_correlation(joint)
        terms |= {
            "total_correlation": self.gamma * tc,
            "discriminator_loss": discriminator_loss(joint, shuffled),
        }
        return terms, {**monitors, "discriminator_tc": tc}


def total_correlation(joint: tf.Tensor) -> tf.Tensor:
    """E[log q(z) / prod_j q(z_j)] in nats, from the discriminator's logits [b, 2] of codes."""
    return tf.reduce_mean(joint[:, 0] - joint[:, 1])


def discriminator_loss(joint: tf.Tensor, shuffled: tf.Tensor) -> tf.Tensor:
    """-(mean log p_0(z) + mean log p_1(shuffled z)) / 2 from logits [b, 2], clipped: scalar."""
    p_joint = tf.clip_by_value(tf.nn.softmax(joint)[:, 0], _CLIP, 1 - _CLIP)
    p_shuffled = tf.clip_by_value(tf.nn.softmax(shuffled)[:, 1], _CLIP, 1 - _CLIP)
    return -0.5 * (tf.reduce_mean(tf.math.log(p_joint)) + tf.reduce_mean(tf.math.log(p_shuffled)))
