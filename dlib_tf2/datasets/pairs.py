"""Pairs of images of which some factors differ, and consecutive frames: weak supervision."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from dlib_tf2.datasets.draws import Arrays, Draws, seed_of, unit, whole
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.samplers import Sampler, inner, names_of
from dlib_tf2.errors import UserError, check_number, check_whole

_CANDIDATES = 16  # values tried for the second image of a pair under a distribution
_MOST_RATE = 100.0  # from there on the chance of a move leaves float64
Pair = tuple[tf.Tensor, tf.Tensor]  # new values int64 [S, B, n, F], which factors were redrawn bool


@gin.register
class PairSampler:
    """Pairs of images of which some factors differ (Locatello et al., ICML 2020, arXiv 2002.02886).

    It gives "image", "image_2" and "changed" [visible factors], 1.0 for the factors that were
    redrawn. Hidden factors of the second image are drawn anew, as the nuisance is.

    Args:
        k: how many factors change; -1: a number of 1 .. F - 1, drawn for each pair.
        rule: "exact": k values really differ, as the paper says. "uniform": k factors take a
            uniform value, which may be the old one. "locatello": as the old library did, one factor
            or k, each with probability 1/2, and values may be the old ones.
        sampler: of the first image, by default uniform. If it is weighted, the new values of the
            factors that change are chosen by its weights, of 16 proposals, so that no row without
            weight is drawn; where all 16 are such rows, the second image is the first. The run's
            record has the share of these pairs as `identical_pairs`.
    """

    gives: tuple[str, ...] = ("image", "image_2", "changed")

    def __init__(self, k: int = -1, rule: str = "exact", sampler: Sampler | None = None):
        if rule not in ("exact", "uniform", "locatello"):
            raise UserError(f"PairSampler.rule must be exact, uniform or locatello, got {rule!r}")
        if k != -1 or not isinstance(k, int):
            check_whole(1, PairSampler__k=k)
        self._k, self._rule, self._sampler = k, rule, inner(sampler, "PairSampler")

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset."""
        grid = _Grid(data, "pairs")
        if self._k > grid.free:
            raise UserError(
                f"PairSampler.k is {self._k}, but {data.name} has {grid.free} visible factors with"
                " more than one value"
            )

        def change(seed: int, block: tf.Tensor, old: tf.Tensor, many: int) -> Pair:
            shape = [*old.shape[:2], many]
            count = self._count(seed, block, old.shape[:2], grid.free)
            mark = grid.mark(count, seed, block)[:, :, None]
            if self._rule == "exact":
                step = 1 + _below(seed_of(seed, "change step"), block, shape, grid.sizes - 1)
                new = (old + step) % grid.sizes
            else:
                new = _below(seed_of(seed, "change value"), block, shape, grid.sizes)
            return tf.where(mark, new, old), tf.repeat(mark, many, axis=2)

        return _pairs(data, grid, change, self._sampler, {"k": self._k, "rule": self._rule})

    def _count(self, seed: int, block: tf.Tensor, shape: Sequence[int], free: int) -> tf.Tensor:
        """How many factors change in each pair: int64 [S, B]."""
        if self._k == -1:
            most = max(free - 1, 1)
            count = 1 + whole(seed_of(seed, "change count"), block, shape, most)
        else:
            count = tf.fill(shape, tf.constant(self._k, tf.int64))
        if self._rule == "locatello":
            one = whole(seed_of(seed, "change one"), block, shape, 2) == 0
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
        rate: of the density, above 0 and at most 100; -1: uniform on 1 .. 10, drawn for each pair.
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
        if rate > _MOST_RATE:
            raise UserError(f"TransitionSampler.rate must be at most {_MOST_RATE:g}, got {rate:g}")
        self._categorical = names_of(categorical, "TransitionSampler.categorical")
        self._rate, self._sampler = rate, inner(sampler, "TransitionSampler")

    def __call__(self, data: GroundTruthDataset) -> Draws:
        """Binds to a dataset."""
        grid = _Grid(data, "transitions")
        unknown = [name for name in self._categorical if name not in data.visible]
        if unknown:
            raise UserError(
                f"TransitionSampler.categorical names {', '.join(unknown)}; the factors of"
                f" {data.name} are {', '.join(data.visible)}"
            )
        moving = {
            number: int(size)
            for number, (name, size) in enumerate(zip(data.visible, grid.sizes, strict=True))
            if size > 1 and name not in self._categorical
        }
        if not moving:
            raise UserError(f"no factor of {data.name} can move; leave some out of categorical")

        def change(seed: int, block: tf.Tensor, old: tf.Tensor, many: int) -> Pair:
            rate = tf.constant(self._rate, tf.float64)
            if self._rate == -1:
                drawn = unit(seed_of(seed, "change rate"), block, old.shape[:2])
                rate = (1 + 9 * drawn)[:, :, None]
            chances = {
                number: _laplace(old[..., number], size, rate) for number, size in moving.items()
            }
            points = {
                number: unit(seed_of(seed, f"change move {number}"), block, [*old.shape[:2], many])
                for number in moving
            }
            new = _walk(tf.repeat(old, many, axis=2), chances, points)
            return new, new != old

        facts = {"rate": self._rate, "categorical": list(self._categorical)}
        return _pairs(data, grid, change, self._sampler, facts)


def _walk(old: tf.Tensor, chances: dict[int, tf.Tensor], points: dict[int, tf.Tensor]) -> tf.Tensor:
    """New values of factors that move independently, given that at least one moves.

    Until one has moved, a factor stays only as often as a later one moves.

    Args:
        old: int64 [S, B, n, F].
        chances: of each moving factor, the chances of its values [S, B, 1, size].
        points: of each, uniform in [0, 1), [S, B, n].
    """
    new, moved = tf.unstack(old, axis=-1), tf.zeros(old.shape[:-1], tf.bool)
    move = {}  # the chance that a factor leaves its value; 1 - P(stay) would lose its digits
    for number, chance in chances.items():
        here = tf.one_hot(old[:, :, :1, number], chance.shape[-1], dtype=tf.float64)
        move[number] = tf.reduce_sum(chance * (1 - here), axis=-1)  # [S, B, 1]
    later = tf.zeros_like(next(iter(move.values())))  # log P(all later ones stay)
    some_later = {}
    for number in reversed(list(move)):
        some_later[number], later = -tf.math.expm1(later), later + tf.math.log1p(-move[number])
    for number, chance in chances.items():
        size, m, rest = chance.shape[-1], move[number], some_later[number]
        # P(it moves | it or a later one does)
        forced = m / (m + (1 - m) * rest)
        leaves = tf.where(moved, m, forced)
        here = tf.one_hot(old[..., number], size, dtype=tf.float64)
        other = chance * (1 - here) * (leaves / m)[..., None]
        below = (
            tf.cumsum(other + (1 - leaves)[..., None] * here, axis=-1) <= points[number][..., None]
        )
        value = tf.minimum(tf.reduce_sum(tf.cast(below, tf.int64), axis=-1), size - 1)
        moved |= value != old[..., number]
        new[number] = value
    return tf.stack(new, axis=-1)


class _Grid:
    """The full grid of a dataset in TensorFlow's terms, for samplers that move on it."""

    def __init__(self, data: GroundTruthDataset, what: str):
        if data.cells is not None:
            raise UserError(
                f"{what} need an image for every grid point, and {data.name} has"
                f" {len(data.cells):,} of {data.space.size:,}; add the others, or use a method of"
                " single images"
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

    def mark(self, count: tf.Tensor, seed: int, block: tf.Tensor) -> tf.Tensor:
        """Chooses `count` [...] of the visible factors that have several values: bool [..., F]."""
        shape = [*count.shape, len(self.sizes)]
        order = unit(seed_of(seed, "change order"), block, shape)
        order = tf.where(self.sizes > 1, order, 2.0)  # factors of one value come last
        rank = tf.argsort(tf.argsort(order, axis=-1), axis=-1)
        return tf.cast(rank, tf.int64) < count[..., None]


def _pairs(
    data: GroundTruthDataset,
    grid: _Grid,
    change: Callable[[int, tf.Tensor, tf.Tensor, int], Pair],
    sampler: Sampler,
    facts: dict[str, Any],
) -> Draws:
    """Draws of pairs whose second image `change` makes of the first."""
    base = sampler(data)
    if "image" not in base.images:
        raise UserError(f'pairs need a sampler of "image"; it gives {", ".join(base.images)}')
    weights = None if base.probabilities is None else tf.constant(base.probabilities)

    def draw(seed: int, block: tf.Tensor, batch_size: int) -> Arrays:
        first = base.draw(seed, block, batch_size)["image"]
        old = grid.visible(grid.factors(first))[:, :, None]  # [S, B, 1, F]
        new, mark = change(seed, block, old, 1 if weights is None else _CANDIDATES)
        second = grid.index(grid.with_visible(new, seed, block))  # [S, B, n]
        if weights is None:
            second, mark = second[:, :, 0], mark[:, :, 0]
        else:
            weight = tf.cumsum(tf.gather(weights, second), axis=-1)
            point = unit(seed_of(seed, "proposal"), block, first.shape) * weight[..., -1]
            place = tf.reduce_sum(tf.cast(weight <= point[..., None], tf.int32), axis=-1)
            place = tf.minimum(place, _CANDIDATES - 1)
            some = weight[..., -1] > 0
            second = tf.where(some, tf.gather(second, place, axis=2, batch_dims=2), first)
            mark = tf.gather(mark, place, axis=2, batch_dims=2) & some[..., None]
        return {"image": first, "image_2": second, "changed": tf.cast(mark, tf.float32)}

    if weights is not None:
        sample = draw(0, tf.constant(0, tf.int64), 64)  # 2,048 pairs
        same = tf.cast(tf.reduce_all(sample["changed"] == 0, axis=-1), tf.float32)
        facts = {**facts, "identical_pairs": float(tf.reduce_mean(same))}
    return dataclasses.replace(
        base,
        images=("image", "image_2"),
        extras={"changed": ((len(grid.sizes),), tf.float32)},
        draw=draw,
        facts={**base.facts, **facts},
        pairs=True,
    )


def _laplace(old: tf.Tensor, size: int, rate: tf.Tensor) -> tf.Tensor:
    """Chances of each new value given the old one, [..., size]."""
    distance = tf.cast(tf.abs(tf.range(size, dtype=tf.int64) - old[..., None]), tf.float64)
    density = tf.exp(-distance * (rate / np.log(size))[..., None])
    return density / tf.reduce_sum(density, axis=-1, keepdims=True)


def _below(seed: int, block: tf.Tensor, shape: Sequence[int], below: np.ndarray) -> tf.Tensor:
    """Uniform whole numbers 0 .. max(below[f], 1) - 1 in column f: int64 [*shape, F]."""
    return whole(seed, block, [*shape, len(below)], 2**62) % np.maximum(below, 1)
