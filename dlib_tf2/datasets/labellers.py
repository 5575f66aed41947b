"""A few labelled images: the sampler that adds them, and what an annotator knows of the factors:
all, noisy, coarse, permuted or partial labels.

Locatello et al., ICLR 2020 (arXiv 1905.01258). Each labeller takes integer factors [n, F], their
sizes and a generator, and returns labels, the number of values of each label, and what the run's
record says.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from dlib_tf2.datasets.draws import STEPS, Arrays, Draws, Labelled
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.samplers import Sampler, inner
from dlib_tf2.errors import UserError, check_number, check_whole
from dlib_tf2.seeds import derive_seed

Known = tuple[np.ndarray, tuple[int, ...], dict[str, Any]]


@gin.register
class LabelledSampler:
    """Adds labelled images to what another sampler gives: semi-supervision (Locatello et al., ICLR
    2020, arXiv 1905.01258).

    It adds "labelled_image", "labelled_point", its grid point, and "label" [observed factors]: row
    (t * batch + b) mod n of the labelled training rows, in order, as in the study. A labelled image
    has its nuisance, such as noise, drawn once; no two labelled images are of one row.

    Args:
        num_labelled: labelled examples, for training and validation together.
        train_fraction: of them, the first ceil(n * fraction), that training sees; the others are
            for validation.
        labeller: what is known of a factor, see `labellers`.
        seed: of the labelled examples and of the labeller, apart from the run's.
        sampler: of the unlabelled images; the labelled ones are drawn by its weights too.
    """

    gives: tuple[str, ...] = ("labelled_image", "labelled_point", "label")

    def __init__(
        self,
        num_labelled: int = gin.REQUIRED,
        train_fraction: float = 0.9,
        labeller: Callable[..., Any] = gin.REQUIRED,
        seed: int = 0,
        sampler: Sampler | None = None,
    ):
        check_whole(1, LabelledSampler__num_labelled=num_labelled)
        check_whole(0, LabelledSampler__seed=seed)
        check_number(0, LabelledSampler__train_fraction=train_fraction)
        if not 0 < train_fraction <= 1:
            raise UserError(
                f"LabelledSampler.train_fraction must be above 0 and at most 1, got"
                f" {train_fraction:g}"
            )
        self._num, self._fraction, self._seed = num_labelled, train_fraction, seed
        if not callable(labeller):
            raise UserError(
                "LabelledSampler.labeller must be a labeller such as @perfect_labeller, got"
                f" {labeller!r}"
            )
        self._labeller, self._sampler = labeller, inner(sampler, "LabelledSampler")

    def _labelled(self, data: GroundTruthDataset, probabilities: np.ndarray | None) -> Labelled:
        if not data.visible:
            raise UserError(
                f"{data.name} has no visible factors, so that nothing can be labelled; train it"
                " with another sampler"
            )
        rows = len(data.table) if probabilities is None else int((probabilities > 0).sum())
        if self._num > rows:
            raise UserError(
                f"LabelledSampler.num_labelled is {self._num:,}, but only {rows:,} rows of"
                f" {data.name} can be drawn"
            )
        rng = np.random.default_rng(derive_seed(self._seed, "labelled examples"))
        row = rng.choice(len(data.table), self._num, replace=False, p=probabilities)
        point = row if data.cells is None else data.cells[row]
        factors = data.visible_factors(point)
        sizes = tuple(data.space.sizes[data.space.names.index(name)] for name in data.visible)
        labels, label_sizes, facts = self._labeller(factors, sizes, rng)
        kept = facts.get("labelled_factors", range(len(sizes)))
        # rounding keeps 0.9 * 10 from becoming 10 rows
        num_train = int(np.ceil(round(self._num * self._fraction, 9)))
        about = {
            **facts,
            "labelled_factors": [data.visible[column] for column in kept],
            "labelled_train": num_train,
            "labelled_validation": self._num - num_train,
        }
        return Labelled(row, point, labels, label_sizes, about, num_train)

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset."""
        rest = self._sampler(data)
        known = self._labelled(data, rest.probabilities)
        rows = tf.constant(known.row[: known.num_train], tf.int64)
        points = tf.constant(known.point[: known.num_train], tf.int64)
        labels = tf.constant(known.labels[: known.num_train], tf.float32)

        def draw(seed: int, block: tf.Tensor, batch_size: int) -> Arrays:
            first = (block * STEPS * batch_size) % known.num_train
            place = (first + tf.range(STEPS * batch_size, dtype=tf.int64)) % known.num_train
            place = tf.reshape(place, [STEPS, batch_size])
            return {
                **rest.draw(seed, block, batch_size),
                "labelled_image": tf.gather(rows, place),
                "labelled_point": tf.gather(points, place),
                "label": tf.gather(labels, place),
            }

        return dataclasses.replace(
            rest,
            images=(*rest.images, "labelled_image"),
            extras={
                **rest.extras,
                "labelled_point": ((), tf.int64),
                "label": ((labels.shape[1],), tf.float32),
            },
            draw=draw,
            facts={**rest.facts, **known.facts},
            sizes={**rest.sizes, "label": known.sizes},
            labelled=known,
            fixed={**rest.fixed, "labelled_image": "labelled_point"},
        )


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
