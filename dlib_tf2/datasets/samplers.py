"""What a training batch is made of: grid points drawn for one or several images, and what is known
of them.

A sampler is bound to a dataset and then is a pure function of (seed, block of steps): resume, the
number of replicas and prefetching cannot change what it draws. Samplers wrap each other:
`labelled(pairs(weighted(distribution)))`.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gin
import numpy as np
import tensorflow as tf

from dlib_tf2.datasets.distributions import GridDistribution
from dlib_tf2.datasets.draws import STEPS, Arrays, Draws, Labelled, seed_of, uniform, unit, whole
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.errors import UserError, check_number, check_whole
from dlib_tf2.seeds import derive_seed

_CANDIDATES = 64  # changes tried for the second image of a pair under a distribution
Pair = tuple[tf.Tensor, tf.Tensor]  # new values int64 [..., F], which factors were redrawn bool


class Sampler(Protocol):
    """Anything that binds to a dataset: the value of `train.sampler`.

    Attributes:
        gives: names of what it adds to a batch, for the message where a model misses one.
    """

    gives: tuple[str, ...]

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset; raises UserError where the two do not fit."""


@gin.register
class UniformSampler:
    """Independent, uniform draws with replacement, a stream of its own for each input of the model.

    Args:
        images: the names of the streams; "image" alone suits every method but those that read a
            second batch ("image_2").
    """

    gives: tuple[str, ...] = ("image",)

    def __init__(self, images: Sequence[str] = ("image", "image_2")):
        self._images = tuple(images)

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset."""
        return uniform(len(data.table), self._images)


@gin.register
class WeightedSampler:
    """Independent draws from a distribution over the grid, with replacement.

    Args:
        distribution: see `GridDistribution`; rows without weight are never drawn.
        images: as in `UniformSampler`.
    """

    gives: tuple[str, ...] = ("image",)

    def __init__(
        self,
        distribution: GridDistribution = gin.REQUIRED,
        images: Sequence[str] = ("image", "image_2"),
    ):
        if not isinstance(distribution, GridDistribution):
            raise UserError(
                "WeightedSampler.distribution must be @GridDistribution() with its brackets, got"
                f" {distribution!r}"
            )
        self.distribution, self._images = distribution, tuple(images)

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset."""
        probabilities = self.distribution.probabilities(data.space, data.cells)
        rows = _cumulative(probabilities)

        def draw(seed: int, block: tf.Tensor, batch_size: int) -> Arrays:
            shape = [STEPS, batch_size]
            return {
                name: _by_weight(rows, unit(seed_of(seed, name), block, shape))
                for name in self._images
            }

        facts = self.distribution.facts(data.space, data.cells)
        return Draws(self._images, {}, draw, facts, probabilities)


@gin.register
class PairSampler:
    """Pairs of images of which some factors differ: weak supervision (Locatello et al., ICML 2020,
    arXiv 2002.02886).

    It gives "image", "image_2" and "changed" [visible factors], 1.0 for the factors that were
    redrawn. Hidden factors of the second image are drawn anew, as the nuisance is.

    Args:
        k: how many factors change; -1: a number of 1 .. F - 1, drawn for each pair.
        rule: "exact": k values really differ, as the paper says. "uniform": k factors take a
            uniform value, which may be the old one. "locatello": as the old library did, one factor
            or k, each with probability 1/2, and values may be the old ones.
        sampler: of the first image; if it is weighted, the second one's changes are chosen by its
            weights too, of 64 proposals, so that no row without weight is drawn. By default
            uniform.
    """

    gives: tuple[str, ...] = ("image", "image_2", "changed")

    def __init__(self, k: int = -1, rule: str = "exact", sampler: Sampler | None = None):
        if rule not in ("exact", "uniform", "locatello"):
            raise UserError(f"PairSampler.rule must be exact, uniform or locatello, got {rule!r}")
        if k != -1:
            check_whole(1, PairSampler__k=k)
        self._k, self._rule, self._sampler = k, rule, _inner(sampler, "PairSampler")

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset."""
        grid = _Grid(data, "pairs")
        if self._k > grid.free:
            raise UserError(
                f"PairSampler.k is {self._k}, but {data.name} has {grid.free} visible factors with"
                " more than one value"
            )

        def change(seed: int, block: tf.Tensor, old: tf.Tensor, tag: str) -> Pair:
            shape = old.shape[:-1]
            count = self._count(seed, block, shape, grid.free, tag)
            mark = grid.mark(count, seed, block, tag)
            if self._rule == "exact":
                step = 1 + _below(seed_of(seed, f"{tag} step"), block, shape, grid.sizes - 1)
                new = (old + step) % grid.sizes
            else:
                new = _below(seed_of(seed, f"{tag} value"), block, shape, grid.sizes)
            return tf.where(mark, new, old), mark

        return _pairs(data, grid, change, self._sampler)

    def _count(
        self, seed: int, block: tf.Tensor, shape: Sequence[int], free: int, tag: str
    ) -> tf.Tensor:
        """How many factors change in each pair: int64 [...]."""
        if self._k == -1:
            most = max(free - 1, 1)
            count = 1 + whole(seed_of(seed, f"{tag} count"), block, shape, most)
        else:
            count = tf.fill(shape, tf.constant(self._k, tf.int64))
        if self._rule == "locatello":
            one = whole(seed_of(seed, f"{tag} one"), block, shape, 2) == 0
            count = tf.where(one, tf.ones_like(count), count)
        return count


@gin.register
class TransitionSampler:
    """Pairs of consecutive frames: ordered factors move a little (LAP of Klindt et al., ICLR 2021,
    arXiv 2007.10930).

    Every visible factor that is not categorical takes a new value by a Laplace density over its
    values, centred at the old one and cut at the ends, with scale ln(size) / rate; at least one
    factor changes. It gives what `PairSampler` gives. UNI of the same paper is
    `PairSampler(rule="exact", k=-1)`.

    Args:
        categorical: names of the factors that keep their value, such as ("shape",).
        rate: of the density, above 0; -1: uniform on 1 .. 10, drawn for each pair.
        sampler: as in `PairSampler`.
    """

    gives: tuple[str, ...] = PairSampler.gives

    def __init__(
        self,
        categorical: Sequence[str] = (),
        rate: float = 1.0,
        sampler: Sampler | None = None,
    ):
        if rate != -1:
            check_number(1e-3, TransitionSampler__rate=rate)
        self._categorical, self._rate = tuple(categorical), rate
        self._sampler = _inner(sampler, "TransitionSampler")

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset."""
        grid = _Grid(data, "transitions")
        unknown = [name for name in self._categorical if name not in data.visible]
        if unknown:
            raise UserError(
                f"TransitionSampler.categorical names {', '.join(unknown)}; the factors of"
                f" {data.name} are {', '.join(data.visible)}"
            )
        sizes = [
            1 if name in self._categorical else size
            for name, size in zip(data.visible, grid.sizes, strict=True)
        ]
        moving = [number for number, size in enumerate(sizes) if size > 1]
        if not moving:
            raise UserError(f"no factor of {data.name} can move; leave some out of categorical")

        def change(seed: int, block: tf.Tensor, old: tf.Tensor, tag: str) -> Pair:
            shape = old.shape[:-1]
            rate = tf.constant(self._rate, tf.float64)
            if self._rate == -1:
                rate = 1 + 9 * unit(seed_of(seed, f"{tag} rate"), block, shape)
            chances = {number: _laplace(old[..., number], sizes[number], rate) for number in moving}
            stay = {
                number: tf.gather(chances[number], old[..., number], batch_dims=len(shape))
                for number in moving
            }
            new, moved = tf.unstack(old, axis=-1), tf.zeros(shape, tf.bool)
            later = tf.ones(shape, tf.float64)  # the chance that all factors after this one stay
            laters = {}
            for number in reversed(moving):
                laters[number], later = later, later * stay[number]
            for number in moving:
                # Given that some factor changes: once one has, the others are free to stay; until
                # then this one stays only as often as a later one changes.
                free = stay[number]
                must = free * (1 - laters[number]) / (1 - free * laters[number])
                kept = tf.where(moved, free, must)
                here = tf.one_hot(old[..., number], sizes[number], dtype=tf.float64)
                leave = chances[number] * (1 - here) * ((1 - kept) / (1 - free))[..., None]
                point = unit(seed_of(seed, f"{tag} move {number}"), block, shape)
                below = tf.cumsum(leave + kept[..., None] * here, axis=-1) <= point[..., None]
                value = tf.reduce_sum(tf.cast(below, tf.int64), axis=-1)
                new[number] = tf.minimum(value, sizes[number] - 1)
                moved |= new[number] != old[..., number]
            new = tf.stack(new, axis=-1)
            return new, new != old

        return _pairs(data, grid, change, self._sampler)


@gin.register
class LabelledSampler:
    """Adds labelled images to what another sampler gives: semi-supervision (Locatello et al., ICLR
    2020, arXiv 1905.01258).

    It adds "labelled_image" and "label" [observed factors]: row (t * batch + b) mod n of the
    labelled training rows, in order, as in the study.

    Args:
        num_labelled: labelled examples, for training and validation together.
        train_fraction: of them, the first ceil(n * fraction), that training sees; the others are
            for validation.
        labeller: what is known of a factor, see `labellers`.
        seed: of the labelled examples and of the labeller, apart from the run's.
        sampler: of the unlabelled images; the labelled ones are drawn by its weights too.
    """

    gives: tuple[str, ...] = ("labelled_image", "label")

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
        self._labeller, self._sampler = labeller, _inner(sampler, "LabelledSampler")

    def labelled(self, data: GroundTruthDataset) -> Labelled:
        """The labelled examples, those of training first."""
        return self._labelled(data, self._sampler(data).probabilities)

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
        row = rng.choice(len(data.table), self._num, p=probabilities)
        factors = data.visible_factors(row if data.cells is None else data.cells[row])
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
        return Labelled(row, labels, label_sizes, about, num_train)

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset."""
        rest = self._sampler(data)
        known = self._labelled(data, rest.probabilities)
        rows = tf.constant(known.row[: known.num_train], tf.int64)
        labels = tf.constant(known.labels[: known.num_train], tf.float32)

        def draw(seed: int, block: tf.Tensor, batch_size: int) -> Arrays:
            first = (block * STEPS * batch_size) % known.num_train
            place = (first + tf.range(STEPS * batch_size, dtype=tf.int64)) % known.num_train
            place = tf.reshape(place, [STEPS, batch_size])
            return {
                **rest.draw(seed, block, batch_size),
                "labelled_image": tf.gather(rows, place),
                "label": tf.gather(labels, place),
            }

        return Draws(
            (*rest.images, "labelled_image"),
            {**rest.extras, "label": ((labels.shape[1],), tf.float32)},
            draw,
            {**rest.facts, **known.facts},
            rest.probabilities,
            {**rest.sizes, "label": known.sizes},
            known,
        )


def refuse_missing(draws: Draws, reader: str, inputs: Sequence[str]) -> None:
    """Refuses a sampler that does not give what a model or a term reads.

    Args:
        draws: of the sampler.
        reader: name of the model or the term.
        inputs: what it reads.

    Raises:
        UserError: something is missing, or a second image is not independent of the first.
    """
    if missing := [one for one in inputs if one not in (*draws.images, *draws.extras)]:
        kinds = [kind for kind in vars(sys.modules[__name__]).values() if hasattr(kind, "gives")]
        givers = [kind.__name__ for kind in kinds if set(missing) <= set(kind.gives)]
        remedy = f"; bind train.sampler = @{givers[0]}()" if givers else ""
        others = f" or @{givers[1]}()" if givers[1:] else ""
        raise UserError(
            f"{reader} reads {', '.join(missing)}, which {draws.name} does not give{remedy}{others}"
        )
    if "image_2" in inputs and "changed" in draws.extras and "changed" not in inputs:
        raise UserError(
            f"{reader} reads a second, independent image, and {draws.name} gives pairs; use another"
            " sampler, or leave the second image out"
        )


def _inner(sampler: Sampler | None, name: str) -> Sampler:
    """The sampler inside of another one, uniform by default."""
    if sampler is None:
        return UniformSampler()
    if isinstance(sampler, type) or not callable(sampler):
        raise UserError(
            f"{name}.sampler must be a call of a sampler, such as @WeightedSampler() with its"
            f" brackets, got {sampler!r}"
        )
    return sampler


class _Grid:
    """The full grid of a dataset in TensorFlow's terms, for samplers that move on it."""

    def __init__(self, data: GroundTruthDataset, what: str):
        if data.cells is not None:
            raise UserError(
                f"{what} need an image for every grid point, and {data.name} has"
                f" {len(data.cells):,} of {data.space.size:,}"
            )
        self.space: FactorSpace = data.space
        self.columns = [data.space.names.index(name) for name in data.visible]
        self.sizes = np.array([data.space.sizes[column] for column in self.columns], np.int64)
        self.free = int((self.sizes > 1).sum())
        if not self.free:
            raise UserError(f"{what} need a factor with more than one value")

    def factors(self, index: tf.Tensor) -> tf.Tensor:
        """All factors of grid points [...]: int64 [..., all]."""
        bases, sizes = np.array(self.space.bases), np.array(self.space.sizes)
        return index[..., None] // bases % sizes

    def index(self, factors: tf.Tensor) -> tf.Tensor:
        """The grid points of factors int64 [..., all]."""
        return tf.reduce_sum(factors * np.array(self.space.bases), axis=-1)

    def visible(self, factors: tf.Tensor) -> tf.Tensor:
        """The visible columns."""
        return tf.gather(factors, self.columns, axis=-1)

    def with_visible(self, visible: tf.Tensor, seed: int, block: tf.Tensor) -> tf.Tensor:
        """All factors from the visible ones; hidden ones are drawn anew."""
        shape = visible.shape[:-1]
        columns = [
            visible[..., self.columns.index(column)]
            if column in self.columns
            else whole(seed_of(seed, f"hidden {column}"), block, shape, size)
            for column, size in enumerate(self.space.sizes)
        ]
        return tf.stack(columns, axis=-1)

    def mark(self, count: tf.Tensor, seed: int, block: tf.Tensor, tag: str) -> tf.Tensor:
        """Chooses `count` [...] of the visible factors that have several values: bool [..., F]."""
        shape = [*count.shape, len(self.sizes)]
        order = unit(seed_of(seed, f"{tag} order"), block, shape)
        order = tf.where(self.sizes > 1, order, 2.0)  # factors of one value come last
        rank = tf.argsort(tf.argsort(order, axis=-1), axis=-1)
        return tf.cast(rank, tf.int64) < count[..., None]


def _pairs(
    data: GroundTruthDataset,
    grid: _Grid,
    change: Callable[[int, tf.Tensor, tf.Tensor, str], Pair],
    sampler: Sampler,
) -> Draws:
    """Draws of pairs whose second image `change` makes of the first."""
    base = sampler(data)
    probabilities = base.probabilities

    def draw(seed: int, block: tf.Tensor, batch_size: int) -> Arrays:
        first = base.draw(seed, block, batch_size)["image"]
        old = grid.visible(grid.factors(first))
        if probabilities is None:
            new, mark = change(seed, block, old, "change")
            second = grid.index(grid.with_visible(new, seed, block))
        else:
            new, mark, second = _chosen(seed, block, first, old)
        return {"image": first, "image_2": second, "changed": tf.cast(mark, tf.float32)}

    def _chosen(seed: int, block: tf.Tensor, first: tf.Tensor, old: tf.Tensor) -> Any:
        """One of many proposals, by weight; where none has weight the pair does not differ."""
        many = tf.repeat(old[:, :, None], _CANDIDATES, axis=2)
        new, mark = change(seed, block, many, "change")
        second = grid.index(grid.with_visible(new, seed, block))  # [S, B, candidates]
        weight = tf.cumsum(tf.gather(tf.constant(probabilities), second), axis=-1)
        point = unit(seed_of(seed, "proposal"), block, first.shape) * weight[..., -1]
        place = tf.reduce_sum(tf.cast(weight <= point[..., None], tf.int32), axis=-1)
        some = weight[..., -1] > 0
        place = tf.minimum(place, _CANDIDATES - 1)
        new, mark, second = (
            tf.gather(values, place, axis=2, batch_dims=2) for values in (new, mark, second)
        )
        return (
            tf.where(some[..., None], new, old),
            mark & some[..., None],
            tf.where(some, second, first),
        )

    extras = {"changed": ((len(grid.sizes),), tf.float32)}
    return Draws(("image", "image_2"), extras, draw, base.facts, probabilities)


def _laplace(old: tf.Tensor, size: int, rate: tf.Tensor) -> tf.Tensor:
    """Chances of each new value given the old one, [..., size]."""
    distance = tf.cast(tf.abs(tf.range(size, dtype=tf.int64) - old[..., None]), tf.float64)
    density = tf.exp(-distance * (rate / np.log(size))[..., None])
    return density / tf.reduce_sum(density, axis=-1, keepdims=True)


def _below(seed: int, block: tf.Tensor, shape: Sequence[int], below: np.ndarray) -> tf.Tensor:
    """Uniform whole numbers 0 .. max(below[f], 1) - 1 in column f: int64 [*shape, F]."""
    return whole(seed, block, [*shape, len(below)], 2**62) % np.maximum(below, 1)


def _cumulative(probabilities: np.ndarray) -> tf.Tensor:
    total = np.cumsum(probabilities)
    return tf.constant(total / total[-1])


def _by_weight(cumulative: tf.Tensor, point: tf.Tensor) -> tf.Tensor:
    """The rows at points of the cumulative distribution; rows without weight are never met."""
    row = tf.searchsorted(cumulative, tf.reshape(point, [-1]), side="right", out_type=tf.int64)
    return tf.reshape(row, point.shape)
