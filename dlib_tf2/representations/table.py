"""Tables of rows beside the factors they belong to: their checks, and their file, one .npz without
pickles. Numpy only.
"""

import dataclasses
import os
import zipfile
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.errors import DlibError, UserError, first_line
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.paths import as_path, local_copy

T = TypeVar("T")

FORMAT = 1
# Rounding to float32 may move a code by this part of its range, too little to matter in 20 bins.
LOST = 1e-4
ROUNDING = 1e-12  # of a code's size: a float code with a smaller range is a rounded constant


def check(table: Any) -> None:
    """Checks the fields of a frozen dataclass that is a table, and gives them their types: real
    arrays [n, d] of any names, then `factors`, `factor_names`, `factor_sizes` and `held_out`, which
    is bool [n] or None.

    Raises:
        UserError: wrong shapes or lengths, NaN or infinity, factors out of range, or a `held_out`
            that is no mask of the rows.
    """
    rows = [name for name in _content(table) if not name.startswith(("factor", "held_out"))]
    checked: dict[str, Any] = {name: checked_reals(name, getattr(table, name)) for name in rows}
    checked["factors"] = checked_integers("factors", table.factors)
    checked["factor_names"] = tuple(map(str, table.factor_names))
    checked["factor_sizes"] = tuple(map(int, table.factor_sizes))
    _check_factors(checked["factors"], checked["factor_names"], checked["factor_sizes"])
    checked["factors"] = checked["factors"].astype(np.int32, copy=False)
    for name in rows:
        check_same_rows(name, checked[name], checked["factors"])
    if table.held_out is not None:
        checked["held_out"] = checked_mask("held_out", table.held_out, len(checked["factors"]))
    for name, value in checked.items():
        # the dataclass is frozen; this is still its construction
        object.__setattr__(table, name, value)


def save(table: Any, path: str | os.PathLike) -> None:
    """Writes the table to `path`, whole or not at all; a field that is None is left out."""
    content: dict[str, Any] = {name: np.asarray(value) for name, value in _content(table).items()}
    content |= {"kind": np.asarray(type(table).__name__), "format": np.asarray(FORMAT)}
    with atomic_write(path) as file:
        np.savez(file, **content)


def load(kind: type[T], path: str | os.PathLike) -> T:
    """Reads a table that `save` wrote.

    Raises:
        UserError: there is no such file, or it holds something else.
        DlibError: the file is damaged.
    """
    remedy = "make it again with dlib_postprocess"
    if not as_path(path).is_file():
        raise UserError(f"{path} does not exist; {remedy} or name another folder")
    try:
        # Opened here, because np.load leaves a damaged file open.
        with (
            local_copy(as_path(path)) as local,
            open(local, "rb") as raw,
            np.load(raw, allow_pickle=False) as file,
        ):
            content = {name: file[name] for name in file.files}
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        zipfile.BadZipFile,
    ) as error:
        raise DlibError(
            f"{path} is damaged or not an .npz table ({first_line(error)}); {remedy}"
        ) from error
    name, version = str(content.pop("kind", "")), content.pop("format", None)
    optional = {"held_out"}  # also missing in files of older versions
    fields = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    known = fields - optional <= set(content) <= fields
    if name != kind.__name__ or version != FORMAT or not known:
        raise UserError(
            f"{path} is not a {kind.__name__.lower()} table of this version; {remedy}, or score"
            " arrays with --codes, --factors"
        )
    try:
        return kind(**content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _content(table: Any) -> dict[str, Any]:
    content = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    return {name: value for name, value in content.items() if value is not None}


def checked_reals(name: str, values: ArrayLike) -> NDArray[np.float32]:
    """Checks an array of real numbers [n, d], with n and d at least 1, and returns it as float32
    (without copying float32).

    Raises:
        UserError: another shape or dtype, NaN, or numbers that float32 cannot hold or tell apart.
    """
    array = _checked_shape(name, values)
    if array.dtype.kind not in "fiub":
        raise UserError(
            f"{name} have dtype {array.dtype}, expected real numbers; convert them to float32"
        )
    if not np.can_cast(array.dtype, np.float32) and np.isfinite(array).all():
        _check_precision(name, array)
    # beside an infinity, precision was not checked: what overflows here is refused below
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        where = f"{len(bad)} places (first: row {bad[0][0]}, column {bad[0][1]})"
        raise UserError(
            f"{name} hold NaN or infinity in {where}; the model diverged, or the array is something"
            " else: scores would mean nothing"
        )
    return array


def _check_precision(name: str, array: NDArray[Any]) -> None:
    """Refuses finite numbers [n, d] that are beyond float32, or that it moves by more than `LOST`
    of their column's range.
    """
    low, high = array.min(axis=0), array.max(axis=0)
    size = np.maximum(np.abs(low.astype(np.float64)), np.abs(high.astype(np.float64)))
    if (size > np.finfo(np.float32).max).any():
        bad = np.argwhere(np.abs(array) > np.finfo(np.float32).max)
        where = f"{len(bad)} places (first: row {bad[0][0]}, column {bad[0][1]})"
        raise UserError(
            f"{name} hold numbers beyond float32, where they would be NaN or infinity in {where};"
            " divide them by a constant"
        )
    largest_error = size * 2.0**-24 + 2.0**-150
    for number in np.flatnonzero(
        largest_error > LOST * (high.astype(np.float64) - low.astype(np.float64))
    ):
        above = (array[:, number] - low[number]).astype(np.float64)
        with np.errstate(under="ignore"):
            single = array[:, number].astype(np.float32).astype(np.float64)
        moved, spread = np.abs(single - single.min() - above).max(), above.max()
        if moved > LOST * spread and (array.dtype.kind != "f" or spread > ROUNDING * size[number]):
            raise UserError(
                f"{name} in column {number} vary by {spread:.3g} around {float(low[number]):.6g},"
                " which float32 cannot tell apart; subtract each column's mean and scale it to"
                " about 1 first"
            )


def whole_columns(factors: ArrayLike) -> NDArray[Any]:
    """Factors as columns [n, v]. Float factors that hold only whole numbers are numbered in their
    order; anything else is left for `checked_integers` to refuse.
    """
    array = np.asarray(factors)
    array = array[:, None] if array.ndim == 1 else array
    if (
        array.ndim == 2
        and array.size
        and array.dtype.kind == "f"
        and np.isfinite(array).all()
        and (array == np.rint(array)).all()
    ):
        return np.stack([np.unique(column, return_inverse=True)[1] for column in array.T], axis=1)
    return array


def checked_integers(name: str, values: ArrayLike) -> NDArray[Any]:
    """Checks an array of integers [n, v], with n and v at least 1.

    Raises:
        UserError: another shape or dtype.
    """
    array = _checked_shape(name, values)
    if array.dtype.kind not in "iub":
        raise UserError(
            f"{name} have dtype {array.dtype}, expected integers; number each factor's values 0, 1,"
            " ... first"
        )
    return array


def checked_mask(name: str, values: ArrayLike, num_rows: int) -> NDArray[np.bool_]:
    """Checks a mask of rows, bool [num_rows], and returns it.

    Raises:
        UserError: another shape or dtype.
    """
    mask = np.asarray(values)
    if mask.dtype != np.bool_ or mask.shape != (num_rows,):
        raise UserError(
            f"{name} has dtype {mask.dtype} and shape {mask.shape}, expected bool ({num_rows},):"
            " True or False for each row"
        )
    return mask


def check_same_rows(name: str, array: NDArray[Any], factors: NDArray[Any]) -> None:
    """Raises a UserError where an array and its factors have different lengths."""
    if len(array) != len(factors):
        raise UserError(
            f"{name} have {len(array)} rows and factors {len(factors)}; row i of both must describe"
            " the same example"
        )


def _checked_shape(name: str, values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise UserError(
            f"{name} have shape {array.shape}, expected [rows, columns] with at least one of each"
        )
    return array


def _check_factors(factors: NDArray[Any], names: tuple[str, ...], sizes: tuple[int, ...]) -> None:
    if not factors.shape[1] == len(names) == len(sizes):
        raise UserError(
            f"factors have {factors.shape[1]} columns for {len(names)} names and {len(sizes)}"
            " sizes; expected as many of each"
        )
    for name, size, low, high in zip(
        names, sizes, factors.min(axis=0), factors.max(axis=0), strict=True
    ):
        if low < 0 or high >= size:
            raise UserError(
                f"factor {name} runs from {low} to {high}, expected 0 to {size - 1}; correct its"
                " size or number its values from 0"
            )
