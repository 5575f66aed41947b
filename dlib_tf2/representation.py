"""Representations: what the encoder says about every example, the codes derived from it, and codes of any other origin.

Numpy only: the seam between TensorFlow and the metrics.
"""

import dataclasses
import os
import zipfile
from collections.abc import Callable
from typing import Any, Self

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2 import seeds
from dlib_tf2.errors import UserError
from dlib_tf2.paths import as_path, local_copy
from dlib_tf2.table import Table, checked_integers

Codes = NDArray[np.float32]

LOST = 1e-4  # of a code's range: rounding to float32 may move it by this much, of which 20 bins see nothing
ROUNDING = 1e-12  # of a code's size: a float code with less range is a constant and its rounding


@dataclasses.dataclass(frozen=True, eq=False)
class Representation(Table):
    """Codes and factors of examples, which metrics score.

    Whether the rows are the full grid of the factors is not stored: metrics read it off the factors.

    Attributes:
        codes: float32 [n, d], finite.
        factors: int32 [n, v], each in [0, size).
        factor_names: v names.
        factor_sizes: v numbers of values.

    Raises:
        UserError: wrong shapes or lengths, NaN or infinite codes, factors out of range.
    """

    codes: Codes
    factors: NDArray[np.int32]
    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]

    @classmethod
    def from_arrays(cls, codes: ArrayLike, factors: ArrayLike) -> Self:
        """Makes a table from arrays of any origin.

        Args:
            codes: real numbers [n, d], or [n] for one code.
            factors: whole numbers [n, v], or [n] for one factor; any values. Each factor's distinct values are numbered 0, 1, ... in order.

        Returns:
            The table, with names factor_0, factor_1, ...

        Raises:
            UserError: as for the class, or codes that float32 cannot tell apart, or factors that are not whole numbers.
        """
        code_array, factor_array = _as_columns(codes), _whole_columns(factors)
        _check_precision(code_array)
        columns = [np.unique(column, return_inverse=True) for column in checked_integers("factors", factor_array).T]
        labels = np.stack([inverse for _, inverse in columns], axis=1).astype(np.int32)
        names, sizes = (f"factor_{index}" for index in range(len(columns))), (len(values) for values, _ in columns)
        return cls(code_array, labels, tuple(names), tuple(sizes))


@dataclasses.dataclass(frozen=True, eq=False)
class Posterior(Table):
    """What the encoder says about every grid point; representations are derived from it without encoding again.

    Attributes:
        mean: float32 [n, d], finite.
        log_variance: float32 [n, d], finite.
        factors: int32 [n, v], each in [0, size).
        factor_names: v names.
        factor_sizes: v numbers of values.

    Raises:
        UserError: as for Representation, or mean and log_variance of different shapes.
    """

    mean: Codes
    log_variance: Codes
    factors: NDArray[np.int32]
    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean.shape != self.log_variance.shape:
            raise UserError(f"mean has shape {self.mean.shape} and log_variance {self.log_variance.shape}; both must be [n, d]")


@gin.register
def mean_representation(mean: Codes, log_variance: Codes, rng: np.random.Generator) -> Codes:
    """The posterior's mean."""
    del log_variance, rng
    return mean


@gin.register
def sampled_representation(mean: Codes, log_variance: Codes, rng: np.random.Generator, min_rows: int = 500_000) -> Codes:
    """Draws from the posterior: mean + exp(log_variance / 2) * eps, eps ~ N(0, I).

    Args:
        mean: [n, d].
        log_variance: [n, d].
        rng: source of eps.
        min_rows: every grid point is drawn ceil(min_rows / n) times, so that a metric that draws a point twice seldom meets the same noise:
            with one frozen draw on a small grid, boosted trees remember it (accuracy .351 where chance is .25).

    Returns:
        [draws * n, d]: all points once, then all again.
    """
    draws = -(-min_rows // len(mean))
    eps = rng.standard_normal((draws, *mean.shape), dtype=np.float32)
    codes = mean + np.exp(np.float32(0.5) * log_variance) * eps
    return codes.reshape(-1, mean.shape[1])  # [draws, n, d] -> [draws * n, d]


def derive(posterior: Posterior, name: str, seed: int) -> Representation:
    """Makes the representation `name` of a posterior.

    Args:
        posterior: of every grid point.
        name: "mean" finds the gin-registered function `mean_representation`, and so on for any other; it maps
            (mean [n, d], log_variance [n, d], rng) to codes [k * n, d], which repeat the grid k times.
        seed: the numbers drawn depend on it and on `name`.

    Raises:
        UserError: there is no such function, or it returned something else.
    """
    function = find(name)
    codes = np.asarray(function(posterior.mean, posterior.log_variance, seeds.generator(seed, name)), dtype=np.float32)
    draws, rest = divmod(len(codes), len(posterior.mean))
    if rest or not draws:
        raise UserError(f"{name}_representation returned {len(codes)} rows for {len(posterior.mean)} grid points; expected a multiple")
    factors = np.tile(posterior.factors, (draws, 1)) if draws > 1 else posterior.factors
    return Representation(codes, factors, posterior.factor_names, posterior.factor_sizes)


def find(name: str) -> Callable[[Codes, Codes, np.random.Generator], Codes]:
    """The function that makes the representation `name`, with gin's bindings for its parameters.

    Raises:
        UserError: there is no such function.
    """
    try:
        return gin.get_configurable(f"{name}_representation")
    except ValueError as error:
        known = ", ".join(sorted(key.removesuffix("_representation") for key in globals() if key.endswith("_representation")))
        raise UserError(f"no representation {name!r}; the known ones are {known}; others need a gin file that imports them") from error


def load_arrays(codes: str | os.PathLike, factors: str | os.PathLike) -> Representation:
    """Reads codes and factors from two .npy files (or .npz that hold one array, or one of the names "codes" and "factors").

    Raises:
        UserError: a file is missing or is not such an array, or the arrays do not fit together (see `Representation.from_arrays`).
    """
    return Representation.from_arrays(_load_array(codes, "codes"), _load_array(factors, "factors"))


def _load_array(path: str | os.PathLike, name: str) -> NDArray[Any]:
    if not as_path(path).is_file():
        raise UserError(f"the {name} file {path} does not exist; save the array with numpy.save and name that file")
    try:
        with local_copy(as_path(path)) as local:
            loaded = np.load(local, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded:
                if name not in loaded.files and len(loaded.files) != 1:
                    raise UserError(f"{path} holds arrays {loaded.files} and none named {name}; save that array alone with numpy.save")
                return loaded[name if name in loaded.files else loaded.files[0]]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is damaged or holds no plain numpy array ({reason}); save it again with numpy.save") from error


def _as_columns(values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    return array[:, None] if array.ndim == 1 else array


# The next two stand in dlib_tf2.metrics.common too: neither module may import the other, and arrays come in through both.
def _whole_columns(factors: ArrayLike) -> NDArray[Any]:
    """Factors as columns, float ones that are all whole numbered in their order; what else they hold is checked elsewhere."""
    array = _as_columns(factors)
    if array.ndim == 2 and array.size and array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.rint(array)).all():
        return np.stack([np.unique(column, return_inverse=True)[1] for column in array.T], axis=1)
    return array


def _check_precision(codes: ArrayLike) -> None:
    """Refuses codes [n, d] that are finite but beyond float32, or that it moves by more than `LOST` of their range."""
    array = np.asarray(codes)
    real = array.ndim == 2 and array.size and array.dtype.kind in "fiu"
    if not real or np.can_cast(array.dtype, np.float32) or not np.isfinite(array).all():
        return  # exact, or refused elsewhere
    low, high = array.min(axis=0), array.max(axis=0)
    size = np.maximum(np.abs(low.astype(np.float64)), np.abs(high.astype(np.float64)))
    if (size > np.finfo(np.float32).max).any():
        bad = np.argwhere(np.abs(array) > np.finfo(np.float32).max)
        where = f"{len(bad)} places (first: row {bad[0][0]}, column {bad[0][1]})"
        raise UserError(f"codes hold numbers beyond float32, where they would be NaN or infinity in {where}; divide them by a constant")
    largest_error = size * 2.0**-24 + 2.0**-150
    for number in np.flatnonzero(largest_error > LOST * (high.astype(np.float64) - low.astype(np.float64))):
        above = (array[:, number] - low[number]).astype(np.float64)
        with np.errstate(under="ignore"):
            single = array[:, number].astype(np.float32).astype(np.float64)
        moved, spread = np.abs(single - single.min() - above).max(), above.max()
        if moved > LOST * spread and (array.dtype.kind != "f" or spread > ROUNDING * size[number]):
            raise UserError(
                f"codes in column {number} vary by {spread:.3g} around {float(low[number]):.6g}, which float32 cannot tell apart; "
                "subtract each column's mean and scale it to about 1 first"
            )
