"""The variational autoencoder behind every method: a reconstruction loss plus a regularizer."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import gin
import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from dlib_tf2.errors import UserError
from dlib_tf2.models.reconstruction import pixel_means
from dlib_tf2.regularizers.beta_kl import kl_to_prior
from dlib_tf2.replicas import global_normal

Scalars = dict[str, tf.Tensor]
Regularizer = Callable[[tfd.Distribution, tf.Tensor, tf.Tensor], Scalars]


class Part(NamedTuple):
    """Variables of one optimizer, and the names of the loss terms whose sum it minimises."""

    variables: list[keras.Variable]
    terms: tuple[str, ...]


@gin.register
class VAE:
    """Encoder, decoder, reconstruction loss and regularizer.

    Kingma & Welling 2014; Rezende et al. 2014. A plain object around two Keras models: Keras
    reserves the name `losses` on its own Model class, and the engine needs nothing else of it.

    Attributes:
        inputs: names of what `losses` reads of a batch, see `train.sampler`.
        pairs: whether "image_2" must belong to "image", as a sampler of pairs draws it.
        activation: how the decoder's output becomes pixel means, see `reconstruction.pixel_means`.
        schedule_steps: the step at which the loss stops changing with the step; 0 if it never
            changes.
        detach: the reconstruction does not train the encoder.
        batch_of_one: what happens, in a batch of one, to a term that couples the rows of a batch;
            empty if every term is a mean over rows.
    """

    inputs: tuple[str, ...] = ("image",)
    pairs = False
    batch_of_one = ""

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        reconstruction_loss: Callable[..., tf.Tensor] = gin.REQUIRED,
        regularizer: Regularizer = gin.REQUIRED,
        activation: str = "logits",
        detach: bool = False,
    ):
        """Takes the two networks and the terms of the loss.

        Args:
            encoder: images [b, h, w, c] -> (mean [b, d], log_variance [b, d]).
            decoder: codes [b, d] -> outputs [b, h, w, c].
            reconstruction_loss: (image, output) -> [b], nats; if `activation` is not "logits", it
                takes that too.
            regularizer: (posterior, z, step) -> named, weighted scalars to add to the loss. It may
                have `monitors(step)`, which returns named scalars to plot, `schedule_steps` and
                `batch_of_one`.
            activation: "logits" or "tanh".
            detach: the reconstruction trains the decoder only; the encoder gets no gradient from
                it. For methods whose encoder learns from labels alone.
        """
        if not isinstance(detach, bool):
            raise UserError(f"VAE.detach must be True or False, got {detach!r}")
        pixel_means(tf.zeros([]), activation)  # refuses an unknown activation
        self.encoder = encoder
        self.decoder = decoder
        self.activation = activation
        self.detach = detach
        keywords = {} if activation == "logits" else {"activation": activation}
        self.reconstruction_loss = functools.partial(reconstruction_loss, **keywords)
        self.regularizer = regularizer
        self.schedule_steps = getattr(regularizer, "schedule_steps", 0)
        self.batch_of_one = self.batch_of_one or getattr(regularizer, "batch_of_one", "")

    def encode(self, image: tf.Tensor) -> tfd.MultivariateNormalDiag:
        """The posterior q(z|x) of images [b, h, w, c] in 0..1: batch shape [b], event shape [d]."""
        mean, log_variance = self.encoder(image)
        return tfd.MultivariateNormalDiag(mean, tf.exp(log_variance / 2))

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Outputs [b, h, w, c] of codes [b, d]: logits, unless `activation` says otherwise."""
        return self.decoder(z)

    def parts(self, terms: tuple[str, ...]) -> dict[str, Part]:
        """Which variables minimise which of the loss `terms`; each part has its own optimizer.

        Methods with an adversary override this; all parts are updated at once, from gradients at
        the old weights.
        """
        variables = self.encoder.trainable_variables + self.decoder.trainable_variables
        return {"vae": Part(variables, terms)}

    def losses(
        self, batch: Mapping[str, tf.Tensor], step: tf.Tensor, seed: tf.Tensor
    ) -> tuple[Scalars, Scalars]:
        """The loss of a batch, term by term.

        Args:
            batch: "image" float32 [b, h, w, c] in 0..1; "position" int32 [b], rows in the global
                batch.
            step: int64 scalar, number of updates made so far; annealed weights read it.
            seed: int [2], the seed of this step's noise.

        Returns:
            terms: named, weighted scalars whose sum is the loss; the value of a term is its mean
                over the replicas.
            monitors: the unweighted reconstruction_loss, kl, and elbo = -(reconstruction_loss +
                kl), in nats, and those of the regularizer.
        """
        posterior = self.encode(batch["image"])
        z = sample(posterior, batch["position"], seed)
        return self._objective(batch["image"], posterior, z, step)

    def _objective(
        self, image: tf.Tensor, posterior: tfd.Distribution, z: tf.Tensor, step: tf.Tensor
    ) -> tuple[Scalars, Scalars]:
        output = self.decode(tf.stop_gradient(z) if self.detach else z)
        reconstruction = tf.reduce_mean(self.reconstruction_loss(image, output))
        terms = {"reconstruction_loss": reconstruction, **self.regularizer(posterior, z, step)}
        kl = kl_to_prior(posterior)
        monitors = {"reconstruction_loss": reconstruction, "kl": kl, "elbo": -(reconstruction + kl)}
        if hasattr(self.regularizer, "monitors"):
            monitors.update(self.regularizer.monitors(step))
        return terms, monitors


def sample(
    posterior: tfd.MultivariateNormalDiag, position: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Codes z [b, d] by the noise of their rows in the global batch; gradients pass through."""
    mean, scale = posterior.loc, posterior.scale.diag_part()
    return mean + scale * global_normal(seed, position, mean.shape[-1])  # [b, d]
