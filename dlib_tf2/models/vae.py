"""The variational autoencoder that every method of the study is: a reconstruction loss plus a regularizer."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import gin
import keras
import tensorflow as tf
import tensorflow_probability as tfp

from dlib_tf2.regularizers.beta_kl import kl_to_prior
from dlib_tf2.replicas import global_normal

tfd = tfp.distributions

Scalars = dict[str, tf.Tensor]
Regularizer = Callable[[tfd.Distribution, tf.Tensor, tf.Tensor], Scalars]


class Part(NamedTuple):
    """Variables that one optimizer moves, and the names of the loss terms whose sum they descend."""

    variables: list[keras.Variable]
    terms: tuple[str, ...]


@gin.register
class VAE:
    """Encoder, decoder, reconstruction loss and regularizer (Kingma & Welling 2014; Rezende et al. 2014).

    It is a plain object around two Keras models: Keras reserves the name `losses` on its own Model class, and the
    training engine needs nothing else of it.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        reconstruction_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = gin.REQUIRED,
        regularizer: Regularizer = gin.REQUIRED,
    ):
        """Args:
        encoder: images [b, h, w, c] -> (mean [b, d], log_variance [b, d]).
        decoder: codes [b, d] -> logits [b, h, w, c].
        reconstruction_loss: (image, logits) -> [b], nats.
        regularizer: (posterior, z, step) -> named, weighted scalars that are added to the loss.
        """
        self.encoder = encoder
        self.decoder = decoder
        self.reconstruction_loss = reconstruction_loss
        self.regularizer = regularizer

    def encode(self, image: tf.Tensor) -> tfd.MultivariateNormalDiag:
        """The posterior q(z|x) of images [b, h, w, c] in 0..1: batch shape [b], event shape [d]."""
        mean, log_variance = self.encoder(image)
        return tfd.MultivariateNormalDiag(mean, tf.exp(log_variance / 2))

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Logits [b, h, w, c] of codes [b, d]."""
        return self.decoder(z)

    def parts(self, terms: tuple[str, ...]) -> dict[str, Part]:
        """Which variables descend which of the loss `terms`; each part has an optimizer of its own.

        Methods with an adversary override this; all parts are updated at once, from gradients at the old weights.
        """
        return {"vae": Part(self.encoder.trainable_variables + self.decoder.trainable_variables, terms)}

    def losses(self, batch: Mapping[str, tf.Tensor], step: tf.Tensor, seed: tf.Tensor) -> tuple[Scalars, Scalars]:
        """The loss of a batch, term by term.

        Args:
            batch: "image" float32 [b, h, w, c] in 0..1; "position" int32 [b], rows in the global batch.
            step: int64 scalar, updates made so far; annealed weights read it.
            seed: int [2], the seed of this step's noise.

        Returns:
            terms: named, weighted scalars whose sum is the loss (each the mean over this replica's examples).
            monitors: the unweighted reconstruction_loss, kl, and elbo = -(reconstruction_loss + kl), nats.
        """
        posterior = self.encode(batch["image"])
        mean, scale = posterior.loc, posterior.scale.diag_part()
        z = mean + scale * global_normal(seed, batch["position"], mean.shape[-1])  # [b, d]
        reconstruction = tf.reduce_mean(self.reconstruction_loss(batch["image"], self.decode(z)))
        terms = {"reconstruction_loss": reconstruction, **self.regularizer(posterior, z, step)}
        kl = kl_to_prior(posterior)
        return terms, {"reconstruction_loss": reconstruction, "kl": kl, "elbo": -(reconstruction + kl)}
