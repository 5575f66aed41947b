"""What an annotator knows of the factors: all, noisy, coarse, permuted or partial labels.

Locatello et al., ICLR 2020 (arXiv 1905.01258). Each takes integer factors [n, F], the factors'
sizes and a generator, and returns labels, the number of values of each label, and what the run's
record says.
"""

from typing import Any

import gin
import numpy as np

from dlib_tf2.errors import UserError, check_number, check_whole

Known = tuple[np.ndarray, tuple[int, ...], dict[str, Any]]


@gin.register
def perfect_labeller(
    factors: np.ndarray, sizes: tuple[int, ...], rng: np.random.Generator
) -> Known:
    """The true values."""
    return factors.copy(), sizes, {}


@gin.register
def bin_labeller(
    factors: np.ndarray, sizes: tuple[int, ...], rng: np.random.Generator, num_bins: int = 5
) -> Known:
    """Factors of more than `num_bins` values in that many bins of equal width."""
    check_whole(1, bin_labeller__num_bins=num_bins)
    width = np.maximum(np.array(sizes) / num_bins, 1)
    labels = np.minimum(factors // width, np.minimum(sizes, num_bins) - 1).astype(np.int64)
    return labels, tuple(min(size, num_bins) for size in sizes), {}


@gin.register
def noisy_labeller(
    factors: np.ndarray, sizes: tuple[int, ...], rng: np.random.Generator, prob_random: float = 0.1
) -> Known:
    """Each label is replaced with probability `prob_random` by a uniform value."""
    check_number(0, noisy_labeller__prob_random=prob_random)
    if prob_random > 1:
        raise UserError(f"noisy_labeller.prob_random must be at most 1, got {prob_random:g}")
    replaced = rng.random(factors.shape) < prob_random
    labels = np.where(replaced, rng.integers(0, sizes, factors.shape), factors)
    return labels, sizes, {"labels_changed": float((labels != factors).mean())}


@gin.register
def permuted_labeller(
    factors: np.ndarray, sizes: tuple[int, ...], rng: np.random.Generator
) -> Known:
    """The values of each factor under one random permutation: order means nothing."""
    orders = [rng.permutation(size) for size in sizes]
    labels = np.stack([order[column] for order, column in zip(orders, factors.T, strict=True)], 1)
    return labels, sizes, {"label_permutations": [order.tolist() for order in orders]}


@gin.register
def partial_labeller(
    factors: np.ndarray,
    sizes: tuple[int, ...],
    rng: np.random.Generator,
    num_observed_factors: int = 2,
) -> Known:
    """Only some factors, chosen at random and in the order drawn: label k belongs to code k.

    Raises:
        UserError: more factors than there are.
    """
    check_whole(1, partial_labeller__num_observed_factors=num_observed_factors)
    if num_observed_factors > len(sizes):
        raise UserError(
            f"partial_labeller.num_observed_factors is {num_observed_factors}, but there are"
            f" {len(sizes)} factors"
        )
    kept = rng.permutation(len(sizes))[:num_observed_factors]
    facts = {"labelled_factors": kept.tolist()}
    return factors[:, kept], tuple(sizes[column] for column in kept), facts
