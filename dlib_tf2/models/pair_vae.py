"""VAEs of image pairs that share some factors: GVAE, ML-VAE, Ada-GVAE, Ada-ML-VAE and SlowVAE."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import gin
import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from dlib_tf2.errors import UserError, check_number
from dlib_tf2.models.vae import VAE, Scalars, sample

_AGGREGATES, _SHARES = ("average", "product", "none"), ("adaptive", "changed")
_DIVERGENCES = ("symmetric", "forward")


@gin.register
class PairVAE(VAE):
    """A VAE of two images whose posteriors agree in the dimensions that the images share.

    Locatello et al., "Weakly-supervised disentanglement without compromises", ICML 2020 (arXiv
    2002.02886), section 4. The loss is the mean of both images' losses, codes and divergences those
    of the aggregated posteriors. What is exported is the plain encoder of one image. Every
    regularizer works: it sees each image's aggregated posterior, and its terms are averaged.
    """

    inputs: tuple[str, ...] = ("image", "image_2")
    pairs = True

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        reconstruction_loss: Callable[..., tf.Tensor] = gin.REQUIRED,
        regularizer: Callable[..., Scalars] = gin.REQUIRED,
        activation: str = "logits",
        aggregate: str = gin.REQUIRED,
        share: str = "adaptive",
        divergence: str = "symmetric",
        ratio: float = 0.5,
        pair_term: Callable[..., Scalars] | None = None,
    ):
        """Names what is shared, and how.

        Args:
            encoder: images [b, h, w, c] -> (mean [b, d], log_variance [b, d]).
            decoder: codes [b, d] -> outputs [b, h, w, c].
            reconstruction_loss: as in `VAE`.
            regularizer: as in `VAE`.
            activation: as in `VAE`.
            aggregate: of shared dimensions: "average" (GVAE, Hosoya 2019, arXiv 1809.02383),
                "product" (ML-VAE, Bouchacourt et al. 2018, arXiv 1705.08841) or "none".
            share: "adaptive" finds the shared dimensions by the divergence of the two posteriors;
                "changed" is told which factors changed, and code k belongs to factor k.
            divergence: "symmetric", or "forward", KL(q1 || q2) alone, as in the old library.
            ratio: a dimension is shared where its divergence lies below this part of the way from
                the smallest to the largest, 0 .. 1; 0.5 is published.
            pair_term: (posterior, posterior_2) -> named, weighted scalars, such as `SlowTerm`.
        """
        for name, value, known in (
            ("aggregate", aggregate, _AGGREGATES),
            ("share", share, _SHARES),
            ("divergence", divergence, _DIVERGENCES),
        ):
            if value not in known:
                raise UserError(f"PairVAE.{name} must be one of {', '.join(known)}, got {value!r}")
        check_number(0, PairVAE__ratio=ratio)
        if ratio > 1:
            raise UserError(f"PairVAE.ratio must be at most 1, got {ratio:g}")
        super().__init__(encoder, decoder, reconstruction_loss, regularizer, activation)
        if pair_term is not None:
            _check_pair_term(pair_term)
        self._aggregate, self._share = aggregate, share
        if share == "changed" and aggregate != "none":
            self.inputs = ("image", "image_2", "changed")
        self._symmetric, self._ratio, self._pair_term = divergence == "symmetric", ratio, pair_term

    def losses(
        self, batch: Mapping[str, tf.Tensor], step: tf.Tensor, seed: tf.Tensor
    ) -> tuple[Scalars, Scalars]:
        """The loss of a batch of pairs, see `VAE.losses`.

        Args:
            batch: "image", "image_2" float32 [b, h, w, c]; "changed" float32 [b, factors], 1 where
                a factor changed, if `share` is "changed"; "position" int32 [b].
            step: updates made so far.
            seed: int [2], of this step's noise.

        Returns:
            terms and monitors of `VAE.losses`, each the mean over both images, and the terms of
            `pair_term`; the monitor `shared` is the mean number of shared dimensions.
        """
        first, second = self.encode(batch["image"]), self.encode(batch["image_2"])
        monitors: Scalars = {}
        pair = self._pair_term(first, second) if self._pair_term else {}
        if self._aggregate != "none":
            own = self._own(batch, first, second)
            monitors["shared"] = tf.reduce_mean(tf.reduce_sum(1 - tf.cast(own, tf.float32), -1))
            first, second = aggregated(first, second, own, self._aggregate == "product")
        other = tf.random.fold_in(seed, 1, alg="philox")
        sides = [
            self._objective(image, posterior, sample(posterior, batch["position"], noise), step)
            for image, posterior, noise in (
                (batch["image"], first, seed),
                (batch["image_2"], second, other),
            )
        ]
        terms, both = (
            {name: (one[name] + two[name]) / 2 for name in one}
            for one, two in zip(*sides, strict=True)
        )
        return {**terms, **pair}, {**both, **monitors}

    def _own(self, batch: Mapping[str, tf.Tensor], first: Any, second: Any) -> tf.Tensor:
        """Which dimensions keep their own posterior: bool [b, d]."""
        if self._share == "changed":
            changed, num_latent = batch["changed"], first.loc.shape[-1]
            if changed.shape[-1] > num_latent:
                raise UserError(
                    f"PairVAE.share is changed: {changed.shape[-1]} factors need as many codes, and"
                    f" there are {num_latent}; raise NUM_LATENT"
                )
            rest = num_latent - changed.shape[-1]
            return tf.pad(changed, [[0, 0], [0, rest]]) > 0.5
        return own_dimensions(divergences(first, second, self._symmetric), self._ratio)


def _check_pair_term(term: Any) -> None:
    known = "such as @SlowTerm() with its brackets"
    if isinstance(term, type) or not callable(term):
        raise UserError(f"PairVAE.pair_term must be a call of a term, {known}, got {term!r}")
    if len(inspect.signature(term).parameters) != 2:
        raise UserError(
            f"PairVAE.pair_term must take two posteriors, {known}, got {type(term).__name__}"
        )


def divergences(first: Any, second: Any, symmetric: bool = True) -> tf.Tensor:
    """KL of two posteriors by dimension, [b, d]: KL(q1 || q2), or the mean of both directions."""
    forward = _kl(first, second)
    return (forward + _kl(second, first)) / 2 if symmetric else forward


def own_dimensions(divergence: tf.Tensor, ratio: float = 0.5) -> tf.Tensor:
    """The dimensions [b, d] that an adaptive model does not share, bool.

    The threshold is min + ratio * (max - min) over the dimensions of an example (equation 4 of the
    paper for 0.5). Where all are equal, all are shared.
    """
    divergence = tf.stop_gradient(divergence)
    least = tf.reduce_min(divergence, axis=-1, keepdims=True)
    most = tf.reduce_max(divergence, axis=-1, keepdims=True)
    return (divergence >= least + ratio * (most - least)) & (most > least)


def aggregated(first: Any, second: Any, own: tf.Tensor, product: bool) -> tuple[Any, Any]:
    """Both posteriors, made equal in the dimensions that are not `own`.

    Args:
        first: posterior of batch shape [b], event shape [d].
        second: the other image's.
        own: bool [b, d].
        product: precision-weighted mean and harmonic mean variance (ML-VAE; twice the variance of
            the product of both densities); otherwise the means of means and of variances (GVAE).
    """
    means, variances = zip(*map(_moments, (first, second)), strict=True)
    if product:
        weights = [1 / variance for variance in variances]
        variance = 2 / (weights[0] + weights[1])
        mean = (means[0] * weights[0] + means[1] * weights[1]) * variance / 2
    else:
        mean, variance = (means[0] + means[1]) / 2, (variances[0] + variances[1]) / 2
    return tuple(
        tfd.MultivariateNormalDiag(
            tf.where(own, its_mean, mean), tf.sqrt(tf.where(own, its_variance, variance))
        )
        for its_mean, its_variance in zip(means, variances, strict=True)
    )


@gin.register
class SlowTerm:
    """gamma * KL of each frame's posterior to a Laplace density around the other frame's mean.

    SlowVAE: Klindt et al., ICLR 2021 (arXiv 2007.10930), equation 6, summed over both directions.

    Args:
        gamma: weight, >= 0; published: 10.
        rate: of the Laplace density, above 0; published: 6.
        one_entropy: subtract the entropy of one frame only, as the authors' code does; the sum of
            the two divergences takes both.
    """

    def __init__(self, gamma: float = 10.0, rate: float = 6.0, one_entropy: bool = False):
        check_number(0, SlowTerm__gamma=gamma)
        check_number(1e-6, SlowTerm__rate=rate)
        self._gamma, self._rate, self._entropies = gamma, rate, 1 if one_entropy else 2

    def __call__(self, first: Any, second: Any) -> Scalars:
        """The term of posteriors of batch shape [b], event shape [d]."""
        crossed = sum(
            laplace_cross_entropy(one.loc - other.loc, one.scale.diag_part(), self._rate)
            for one, other in ((first, second), (second, first))
        )
        entropy = (first.entropy() + second.entropy()) / 2  # [b]
        total = tf.reduce_sum(crossed, axis=-1) - self._entropies * entropy
        return {"slow": self._gamma * tf.reduce_mean(total)}


def laplace_cross_entropy(offset: tf.Tensor, scale: tf.Tensor, rate: float) -> tf.Tensor:
    """-E[log Laplace(z; 0, 1 / rate)], z ~ N(offset, scale^2), in nats, elementwise."""
    ratio = offset / scale
    spread = scale * tf.sqrt(2 / tf.constant(3.141592653589793)) * tf.exp(-(ratio**2) / 2)
    cdf = 0.5 * (1 + tf.math.erf(ratio / tf.sqrt(2.0)))
    return -tf.math.log(rate / 2) + rate * (spread + offset * (2 * cdf - 1))


def _moments(posterior: Any) -> tuple[tf.Tensor, tf.Tensor]:
    return posterior.loc, posterior.scale.diag_part() ** 2


def _kl(first: Any, second: Any) -> tf.Tensor:
    (mean, variance), (other_mean, other_variance) = _moments(first), _moments(second)
    ratio = variance / other_variance
    return (ratio + (mean - other_mean) ** 2 / other_variance - 1 - tf.math.log(ratio)) / 2
