"""Distributions over the grid of factors: correlated factors, held-out combinations, subsets.

A distribution is a product of parts, each a non-negative weight for every grid point.
"""

import ast
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import gin
import numpy as np
from numpy.typing import NDArray

from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.errors import UserError, check_number, check_whole

Weights = NDArray[np.float64]
_LEAST = 1e-50  # a weight; that of six parts is still above 0
_LONGEST = 1000  # characters of a predicate
_MOST_POINTS = 2**25  # 256 MB of weights


@dataclasses.dataclass(frozen=True)
class Part:
    """One factor of a `GridDistribution`.

    Attributes:
        text: what it does, for the run's record.
        weigh: space -> non-negative weights that broadcast to `space.sizes`.
        pair: the two factors that it correlates, if it does.
    """

    text: str
    weigh: Callable[[FactorSpace], np.ndarray]
    pair: tuple[str, str] | None = None


@gin.register
class GridDistribution:
    """Weights of grid points, as the product of `parts`; without parts, the uniform distribution.

    Args:
        parts: made by `correlate`, `hold_out`, `random_hold_out`, `interpolate` or `first`.
    """

    def __init__(self, parts: Sequence[Part] = ()):
        if not isinstance(parts, list | tuple) or not all(isinstance(p, Part) for p in parts):
            raise UserError(
                "GridDistribution.parts must be a list of calls such as"
                f" @correlate() and @hold_out(), got {parts!r}"
            )
        self.parts = tuple(parts)

    def probabilities(self, space: FactorSpace, cells: np.ndarray | None = None) -> Weights:
        """The probability of each row of a table.

        Args:
            space: the grid.
            cells: the grid point of each row, int64 [rows]; by default every grid point has one.

        Returns:
            float64 [rows]; the sum is 1.

        Raises:
            UserError: a part names an unknown factor, no row has weight, or the grid is too large.
        """
        weights = self._weights(space).reshape(-1)
        weights = weights if cells is None else weights[cells]
        total = weights.sum()
        if not total > 0:
            raise UserError(f"no row is left by {self.text}; loosen a part")
        # tiny weights stay above 0: only a part that holds out makes a row never drawn
        return weights / total

    def held_out(self, space: FactorSpace, cells: np.ndarray | None = None) -> NDArray[np.bool_]:
        """Which rows of a table are never drawn: bool [rows]."""
        return self.probabilities(space, cells) == 0

    def facts(self, space: FactorSpace, cells: np.ndarray | None = None) -> dict[str, Any]:
        """What a run's record says of the distribution.

        Returns:
            `distribution` (the parts as text), `rows` (those with weight), `entropy` in nats, and
            for each correlated pair `correlation:a,b` (Pearson's r of the values) and
            `mutual_information:a,b` in nats.
        """
        probabilities = self.probabilities(space, cells)
        drawn = probabilities > 0
        kept = probabilities[drawn]
        facts: dict[str, Any] = {
            "distribution": self.text,
            "rows": int(drawn.sum()),
            "entropy": float(-(kept * np.log(kept)).sum()),
        }
        points = np.flatnonzero(drawn) if cells is None else cells[drawn]
        values = np.unravel_index(points, space.sizes)
        for a, b in dict.fromkeys(part.pair for part in self.parts if part.pair):
            i, j = space.names.index(a), space.names.index(b)
            joint = np.zeros((space.sizes[i], space.sizes[j]))
            np.add.at(joint, (values[i], values[j]), kept)
            facts[f"correlation:{a},{b}"] = _correlation(joint)
            facts[f"mutual_information:{a},{b}"] = _mutual_information(joint)
        return facts

    @property
    def text(self) -> str:
        """The parts, for messages and records."""
        return "; ".join(part.text for part in self.parts) or "uniform"

    def _weights(self, space: FactorSpace) -> Weights:
        if space.size > _MOST_POINTS:
            raise UserError(
                f"a grid of {space.size:,} points is too large to weigh point by point; at most"
                f" {_MOST_POINTS:,} can be"
            )
        weights = np.ones(space.sizes)
        for part in self.parts:
            weights *= part.weigh(space)
        return weights


@gin.register
def correlate(a: str, b: str, sigma: float, inverse: bool = False) -> Part:
    """Correlates two factors: weight exp(-(c_a - c_b)^2 / (2 sigma^2)), c = value / (size - 1).

    Träuble et al., ICML 2021 (arXiv 2006.07886). The marginals stop being uniform too. A smaller
    sigma is not always a larger mutual information: of factors of 3 and 6 values the coarse one's
    values fall between those of the fine one. The run's record holds both.

    Args:
        a: a factor.
        b: another one.
        sigma: width in units of the factors' ranges, above 0; published: 0.04 to 0.7.
        inverse: high values of one go with low values of the other.
    """
    check_number(1e-3, correlate__sigma=sigma)
    if not isinstance(inverse, bool):
        raise UserError(f"correlate.inverse must be True or False, got {inverse!r}")
    if a == b:
        raise UserError(f"correlate needs two factors, got {a!r} twice")

    def weigh(space: FactorSpace) -> np.ndarray:
        first, second = _scaled(space, a), _scaled(space, b)
        distance = first - (1 - second if inverse else second)
        # The least weight keeps a rare combination from counting as held out.
        return np.maximum(np.exp(-(distance**2) / (2 * sigma**2)), _LEAST)

    sign = "inversely " if inverse else ""
    return Part(f"{a} and {b} {sign}correlated, sigma {sigma:g}", weigh, (a, b))


@gin.register
def hold_out(predicate: str) -> Part:
    """Holds out the grid points for which a predicate is true.

    Args:
        predicate: comparisons of factors' value indices (0 .. size - 1) with whole numbers or each
            other, joined by `and`, `or`, `not`; + - * // % are allowed:
            "shape == 3 and object_hue >= 5".
    """
    tree = _parsed(predicate)

    def weigh(space: FactorSpace) -> np.ndarray:
        held_out = _truth(tree, predicate, space)
        if not held_out.any():
            raise UserError(
                f"the predicate {predicate!r} holds nothing out; value indices run from 0 to size"
                f" - 1, and the sizes are {_sizes(space)}"
            )
        return ~held_out

    return Part(f"held out: {predicate}", weigh)


@gin.register
def random_hold_out(fraction: float, seed: int = 0) -> Part:
    """Holds out a random part of the grid points, the same for the same seed.

    Args:
        fraction: of the grid points that are held out, 0 to below 1; rounded to whole points.
        seed: of the choice, 0 or more.
    """
    check_number(0, random_hold_out__fraction=fraction)
    check_whole(0, random_hold_out__seed=seed)
    if fraction >= 1:
        raise UserError(f"random_hold_out.fraction must be below 1, got {fraction:g}")

    def weigh(space: FactorSpace) -> np.ndarray:
        order = np.random.default_rng(seed).permutation(space.size)
        kept = np.ones(space.size)
        kept[order[: round(fraction * space.size)]] = 0
        return kept.reshape(space.sizes)

    return Part(f"held out at random: {fraction:g}, seed {seed}", weigh)


@gin.register
def interpolate(factor: str, keep: str = "even") -> Part:
    """Keeps every other value of a factor; the values between them are held out.

    Args:
        factor: its name.
        keep: "even" or "odd" value indices.
    """
    if keep not in ("even", "odd"):
        raise UserError(f'interpolate.keep must be "even" or "odd", got {keep!r}')

    def weigh(space: FactorSpace) -> np.ndarray:
        return _values(space, factor) % 2 == (keep == "odd")

    return Part(f"{keep} values of {factor}", weigh)


@gin.register
def first(n: int) -> Part:
    """Keeps the first `n` grid points, the first factor slowest."""
    check_whole(1, first__n=n)

    def weigh(space: FactorSpace) -> np.ndarray:
        return (np.arange(space.size) < n).reshape(space.sizes)

    return Part(f"the first {n:,} grid points", weigh)


def _values(space: FactorSpace, factor: str) -> np.ndarray:
    """A factor's value indices, shaped to broadcast over the grid."""
    if factor not in space.names:
        raise UserError(f"unknown factor {factor!r}; this grid has {', '.join(space.names)}")
    axis = space.names.index(factor)
    shape = [1] * len(space.sizes)
    shape[axis] = space.sizes[axis]
    return np.arange(space.sizes[axis]).reshape(shape)


def _scaled(space: FactorSpace, factor: str) -> np.ndarray:
    values = _values(space, factor)
    return values / max(values.size - 1, 1)


def _correlation(joint: Weights) -> float:
    rows, columns = np.arange(joint.shape[0]), np.arange(joint.shape[1])
    first, second = joint.sum(axis=1), joint.sum(axis=0)
    rows, columns = rows - rows @ first, columns - columns @ second
    spread = math.sqrt((rows**2 @ first) * (columns**2 @ second))
    return float(rows @ joint @ columns / spread) if spread else 0.0


def _mutual_information(joint: Weights) -> float:
    independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / independent[there])).sum())


_COMPARE: dict[type, Callable] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_ARITHMETIC: dict[type, Callable] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
}


def _parsed(predicate: str) -> ast.expr:
    try:
        if len(predicate) > _LONGEST:
            raise ValueError("too long")
        return ast.parse(predicate.strip(), mode="eval").body
    except (SyntaxError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"cannot read the predicate {predicate!r}; write comparisons of factors, such as"
            ' "shape == 3 and object_hue >= 5"'
        ) from error


def _truth(node: ast.expr, text: str, space: FactorSpace) -> NDArray[np.bool_]:
    """Where a predicate holds, as an array that broadcasts over the grid."""
    if isinstance(node, ast.BoolOp):
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        truth = _truth(node.values[0], text, space)
        for value in node.values[1:]:
            truth = join(truth, _truth(value, text, space))
        return truth
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_truth(node.operand, text, space)
    if isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
        parts = [node.left, *node.comparators]
        for pair in zip(parts, parts[1:], strict=False):
            _check_value(pair, text, space)
        sides = [_number(side, text, space) for side in parts]
        truth = np.array(True)
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            truth = truth & _COMPARE[type(op)](left, right)
        return truth
    raise UserError(
        f"{ast.unparse(node)!r} in the predicate {text!r} is no comparison; join comparisons of"
        " factors by and, or, not"
    )


def _check_value(pair: tuple[ast.expr, ast.expr], text: str, space: FactorSpace) -> None:
    """Refuses the comparison of a factor with a value that it does not have."""
    for factor, value in (pair, pair[::-1]):
        if not isinstance(factor, ast.Name) or factor.id not in space.names:
            continue
        if not isinstance(value, ast.Constant) or type(value.value) is not int:
            continue
        size = space.sizes[space.names.index(factor.id)]
        if not 0 <= value.value < size:
            raise UserError(
                f"{factor.id} has no value {value.value} in the predicate {text!r}; its value"
                f" indices are 0 .. {size - 1}"
            )


def _sizes(space: FactorSpace) -> str:
    return ", ".join(f"{name} {size}" for name, size in zip(space.names, space.sizes, strict=True))


def _number(node: ast.expr, text: str, space: FactorSpace) -> np.ndarray:
    if isinstance(node, ast.Name):
        return _values(space, node.id)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return np.array(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand, text, space)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _number(node.left, text, space), _number(node.right, text, space)
        if isinstance(node.op, ast.FloorDiv | ast.Mod) and not np.all(right):
            raise UserError(f"the predicate {text!r} divides by zero; correct it")
        return _ARITHMETIC[type(node.op)](left, right)
    raise UserError(
        f"{ast.unparse(node)!r} in the predicate {text!r} is neither a factor nor a whole number;"
        f" the factors are {', '.join(space.names)}"
    )
