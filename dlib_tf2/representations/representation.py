"""Representations: the encoder's output for every example, the codes derived from it, and codes of
any other origin.

Numpy only: the boundary between TensorFlow and the metrics.
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
from dlib_tf2.configuration import gin_utils
from dlib_tf2.errors import UserError, first_line
from dlib_tf2.representations import table
from dlib_tf2.representations.table import checked_integers, whole_columns
from dlib_tf2.system.paths import as_path, local_copy

Codes = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Representation:
    """Codes and factors of examples, which metrics score.

    Whether the rows are the full grid of the factors is not stored: metrics read it off the
    factors.

    Attributes:
        codes: float32 [n, d], finite.
        factors: int32 [n, v], each in [0, size).
        factor_names: v names.
        factor_sizes: v numbers of values.
        held_out: bool [n], True where the training of the model never drew the row; None if it held
            out none, or nothing is known of it.

    Raises:
        UserError: wrong shapes or lengths, NaN or infinite codes, factors out of range, or a
            `held_out` of another shape or dtype.
    """

    codes: Codes
    factors: NDArray[np.int32]
    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]
    held_out: NDArray[np.bool_] | None = None

    save = table.save

    def __post_init__(self) -> None:
        table.check(self)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads what `save` wrote, see `table.load`."""
        return table.load(cls, path)

    @classmethod
    def from_arrays(cls, codes: ArrayLike, factors: ArrayLike) -> Self:
        """Makes a table from arrays of any origin.

        Args:
            codes: real numbers [n, d], or [n] for one code.
            factors: whole numbers [n, v], or [n] for one factor; any values. Each factor's distinct
                values are numbered 0, 1, ... in order.

        Returns:
            The table, with names factor_0, factor_1, ...

        Raises:
            UserError: as for the class, or codes that float32 cannot tell apart, or factors that
                are not whole numbers.
        """
        code_array, factor_array = _as_columns(codes), whole_columns(factors)
        columns = [
            np.unique(column, return_inverse=True)
            for column in checked_integers("factors", factor_array).T
        ]
        labels = np.stack([inverse for _, inverse in columns], axis=1).astype(np.int32)
        names, sizes = (
            (f"factor_{index}" for index in range(len(columns))),
            (len(values) for values, _ in columns),
        )
        return cls(code_array, labels, tuple(names), tuple(sizes))


@dataclasses.dataclass(frozen=True, eq=False)
class Posterior:
    """The encoder's output for every grid point, from which representations are derived without
    encoding again.

    Attributes:
        mean: float32 [n, d], finite.
        log_variance: float32 [n, d], finite.
        factors: int32 [n, v], each in [0, size).
        factor_names: v names.
        factor_sizes: v numbers of values.
        held_out: bool [n], True where the training of the model never drew the row; None if it held
            out none, or nothing is known of it.

    Raises:
        UserError: as for Representation, or mean and log_variance of different shapes.
    """

    mean: Codes
    log_variance: Codes
    factors: NDArray[np.int32]
    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]
    held_out: NDArray[np.bool_] | None = None

    save = table.save

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads what `save` wrote, see `table.load`."""
        return table.load(cls, path)

    def __post_init__(self) -> None:
        table.check(self)
        if self.mean.shape != self.log_variance.shape:
            raise UserError(
                f"mean has shape {self.mean.shape} and log_variance {self.log_variance.shape}; both"
                " must be [n, d]"
            )


@gin.register
def mean_representation(mean: Codes, log_variance: Codes, rng: np.random.Generator) -> Codes:
    """The posterior's mean."""
    del log_variance, rng
    return mean


@gin.register
def sampled_representation(
    mean: Codes, log_variance: Codes, rng: np.random.Generator, min_rows: int = 500_000
) -> Codes:
    """Draws from the posterior: mean + exp(log_variance / 2) * eps, eps ~ N(0, I).

    Args:
        mean: [n, d].
        log_variance: [n, d].
        rng: source of eps.
        min_rows: every grid point is drawn ceil(min_rows / n) times, so that a metric that draws a
            point twice seldom meets the same noise: with one frozen draw on a small grid, boosted
            trees remember it (accuracy .351 where chance is .25).

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
        name: "mean" finds the gin-registered function `mean_representation`, and so on for any
            other; it maps (mean [n, d], log_variance [n, d], rng) to codes [k * n, d], which repeat
            the grid k times. The mask of held-out rows is repeated as the factors are.
        seed: the numbers drawn depend on it and on `name`.

    Raises:
        UserError: there is no such function, or it returned something else.
    """
    function = find(name)
    codes = np.asarray(
        function(posterior.mean, posterior.log_variance, seeds.generator(seed, name)),
        dtype=np.float32,
    )
    draws, rest = divmod(len(codes), len(posterior.mean))
    if rest or not draws:
        raise UserError(
            f"{name}_representation returned {len(codes)} rows for {len(posterior.mean)} grid"
            " points; expected a multiple"
        )
    factors = np.tile(posterior.factors, (draws, 1)) if draws > 1 else posterior.factors
    held_out = None if posterior.held_out is None else np.tile(posterior.held_out, draws)
    names, sizes = posterior.factor_names, posterior.factor_sizes
    return Representation(codes, factors, names, sizes, held_out)


def find(name: str) -> Callable[[Codes, Codes, np.random.Generator], Codes]:
    """The function that makes the representation `name`, with gin's bindings for its parameters.

    Raises:
        UserError: there is no such function.
    """
    try:
        return gin.get_configurable(f"{name}_representation")
    except ValueError as error:
        raise UserError(
            f"no representation {name!r}; the known ones are {', '.join(known())}; others need a"
            " gin file that imports them"
        ) from error


def known() -> list[str]:
    """The names of all representations that are registered."""
    ending = "_representation"
    return sorted(
        name.removesuffix(ending) for name in gin_utils.registered_names() if name.endswith(ending)
    )


def load(path: str | os.PathLike) -> Representation:
    """Reads the table in a folder that `dlib_postprocess` wrote, or a file that `save` wrote.

    Args:
        path: the folder of one representation, or its representation.npz.

    Raises:
        UserError: there is no such file, or it holds something else.
        DlibError: the file is damaged.

    Examples:
        The codes of `make quickstart`, one row per grid point:

        >>> import dlib_tf2
        >>> table = dlib_tf2.load_representation("output/quickstart/codes/mean")
        >>> table.factor_names
        ('shape', 'scale', 'orientation', 'x_position', 'y_position')
        >>> len(table.codes) == len(table.factors) == 36864
        True
    """
    path = as_path(path)
    return Representation.load(path if path.suffix == ".npz" else path / "representation.npz")


def load_arrays(
    codes: str | os.PathLike, factors: str | os.PathLike | None = None
) -> Representation:
    """Reads codes and factors from two .npy files, or .npz that hold one array, or one of the names
    "codes" and "factors".

    Without `factors` both are read from one .npz, `codes`.

    Raises:
        UserError: a file is missing or is not such an array, or the arrays do not fit together (see
            `Representation.from_arrays`).
    """
    if factors is None and as_path(codes).suffix != ".npz":
        raise UserError(
            f"missing required flag: {codes} holds codes alone, so --factors is needed too; see"
            " dlib_evaluate --help"
        )
    return Representation.from_arrays(
        _load_array(codes, "codes"), _load_array(codes if factors is None else factors, "factors")
    )


def _load_array(path: str | os.PathLike, name: str) -> NDArray[Any]:
    if not as_path(path).is_file():
        raise UserError(
            f"the {name} file {path} does not exist; save the array with numpy.save and name that"
            " file"
        )
    try:
        with local_copy(as_path(path)) as local:
            loaded = np.load(local, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded:
                if name not in loaded.files and len(loaded.files) != 1:
                    raise UserError(
                        f"{path} holds arrays {loaded.files} and none named {name}; save that array"
                        " alone with numpy.save"
                    )
                return loaded[name if name in loaded.files else loaded.files[0]]
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        zipfile.BadZipFile,
    ) as error:  # RuntimeError: encrypted
        raise UserError(
            f"{path} is damaged or holds no plain numpy array ({first_line(error)}); save it again"
            " with numpy.save"
        ) from error


def _as_columns(values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    return array[:, None] if array.ndim == 1 else array
