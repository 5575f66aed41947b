"""Theorem 1 made visible: representations, and maps of the uniform cube, that keep the distribution
and mix every coordinate.

Locatello et al., ICML 2019 (arXiv 1811.12359), Theorem 1: for every factorised prior there are
bijections that keep its distribution while each output depends on every input. What sees the
distribution of the codes alone cannot prefer either side.
"""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.representations.representation import Codes
from dlib_tf2.representations.table import checked_reals


@gin.register
def whitened_representation(mean: Codes, log_variance: Codes, rng: np.random.Generator) -> Codes:
    """The posterior's mean, moved and scaled to mean 0 and covariance 1, and as close to the mean's
    own axes as that allows.
    """
    del log_variance, rng
    return whiten(mean)


@gin.register
def rotated_representation(mean: Codes, log_variance: Codes, rng: np.random.Generator) -> Codes:
    """The whitened mean times a random rotation without a zero entry: the same information, mixed
    over all codes.
    """
    del log_variance
    return whitened_rotation(mean, rng)


def whitened_rotation(codes: ArrayLike, rng: np.random.Generator) -> Codes:
    """Whitens codes [n, d] of any origin, then turns them by a random rotation without a zero
    entry; its twin is `whiten(codes)`.

    Raises:
        UserError: `codes` is no array [n, d] of finite real numbers.
    """
    white = whiten(checked_reals("codes", codes))
    return (white.astype(np.float64) @ random_rotation(white.shape[1], rng)).astype(np.float32)


def whiten(codes: Codes) -> Codes:
    """Moves and scales codes [n, d] to mean 0 and covariance 1, by the symmetric root of the
    inverse covariance.

    A direction without variance (a constant code, a copied one) stays at 0. A nearly dead one is
    blown up to variance 1 like any other: the map must be a bijection.
    """
    centered = codes - codes.mean(axis=0, dtype=np.float64)
    variance, axes = np.linalg.eigh(centered.T @ centered / len(codes))
    # float32 codes carry no more digits
    alive = variance > 1e-10 * max(variance[-1], np.finfo(float).tiny)
    root = np.where(alive, 1 / np.sqrt(np.where(alive, variance, 1.0)), 0.0)
    return (centered @ (axes * root) @ axes.T).astype(np.float32)


def random_rotation(num_codes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draws a rotation [d, d] (orthogonal, determinant 1) uniformly among those without an entry
    close to 0.

    Close to 0 means below a tenth of d^-2.5, which leaves out less than a tenth of all rotations.
    """
    while True:
        rotation, upper = np.linalg.qr(rng.normal(size=(num_codes, num_codes)))
        # signs that make the draw uniform
        rotation = rotation * np.where(np.diag(upper) < 0, -1.0, 1.0)
        if np.linalg.det(rotation) < 0:
            rotation[:, 0] = -rotation[:, 0]
        if np.abs(rotation).min() >= 0.1 * num_codes**-2.5:
            return rotation


def mix_uniforms(
    uniforms: NDArray[np.float64], rotation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The theorem's bijection f = Phi o rotation o Phi^-1 of the open unit cube, Phi the normal
    distribution function.

    It maps independent uniforms to independent uniforms, and every partial derivative is non-zero
    everywhere: the derivative of output j by input i is rotation[i, j] times a ratio of normal
    densities. (The paper's proof starts from any factorised prior, whose own distribution functions
    make uniforms of it.)

    Args:
        uniforms: [n, d] in (0, 1).
        rotation: [d, d] orthogonal, without a zero entry.
    """
    from scipy.special import ndtr, ndtri

    return ndtr(ndtri(uniforms) @ rotation)
