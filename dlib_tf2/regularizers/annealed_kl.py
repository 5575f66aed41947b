"""AnnealedVAE: the KL divergence is held at a capacity that grows during training."""

import gin
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from dlib_tf2.errors import check_number
from dlib_tf2.regularizers.beta_kl import kl_per_example
from dlib_tf2.replicas import gather_global


@gin.register
class AnnealedKL:
    """gamma * |KL - C(t)| in place of the KL term; the capacity C(t) rises from 0 to c_max.

    Burgess et al., "Understanding disentangling in beta-VAE", 2018, equation 8 (arXiv 1804.03599).
    """

    batch_of_one = "each example's KL is held at the capacity, not their mean"

    def __init__(
        self,
        gamma: float = gin.REQUIRED,
        c_max: float = gin.REQUIRED,
        iteration_threshold: int = gin.REQUIRED,
    ):
        """Checks and keeps the settings.

        Args:
            gamma: weight, >= 0; 1000 in the study.
            c_max: final capacity in nats, >= 0. The study's strengths: 5, 10, 25, 50, 75, 100.
            iteration_threshold: the step at which the capacity reaches c_max by a linear rise,
                >= 1; 100,000 in the study.
        """
        check_number(0, AnnealedKL__gamma=gamma, AnnealedKL__c_max=c_max)
        check_number(1, AnnealedKL__iteration_threshold=iteration_threshold)
        self.gamma = gamma
        self.c_max = c_max
        self.iteration_threshold = iteration_threshold
        self.schedule_steps = iteration_threshold  # the trainer warns if a run ends earlier

    def capacity(self, step: tf.Tensor) -> tf.Tensor:
        """C(t) in nats, where t is `step`, the number of updates made before this one."""
        return self.c_max * tf.minimum(tf.cast(step, tf.float32) / self.iteration_threshold, 1.0)

    def __call__(
        self, posterior: tfd.Distribution, z: tf.Tensor, step: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The weighted term to add to the loss: {"annealed_kl": scalar}."""
        # The absolute value is not linear, so it must come after the mean over the global batch.
        kl = tf.reduce_mean(gather_global(kl_per_example(posterior)))
        return {"annealed_kl": self.gamma * tf.abs(kl - self.capacity(step))}

    def monitors(self, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """What to plot beside the KL divergence: {"capacity": scalar, nats}."""
        return {"capacity": self.capacity(step)}
