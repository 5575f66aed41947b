"""own_images: a dataset from a folder of images and a CSV file with the factors of each image.
Grids may be incomplete.
"""

import csv
import hashlib
import json
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin
import numpy as np

from dlib_tf2.datasets import image_table
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.own import data
from dlib_tf2.errors import DlibError, UserError, first_line
from dlib_tf2.system.files import atomic_write

_READ_ROWS = 256
# Pixel format of a file -> format in which it is read. Transparent pixels are refused, since their
# colour is undefined.
_MODES = {"1": "L", "L": "L", "LA": "L", "RGB": "RGB", "RGBA": "RGB", "P": "RGB"}


@gin.register
def own_images(
    folder: str = gin.REQUIRED,
    factors: Mapping[str, int] = gin.REQUIRED,
    table: str = "factors.csv",
    file_column: str = "file",
    hidden: Sequence[str] = (),
) -> dict[str, Any]:
    """Defines a dataset by a folder of images.

    Args:
        folder: where images and CSV lie.
        factors: {name: number of values} in the order of the grid, the first slowest; values are 0
            .. number - 1.
        table: the CSV file in `folder`: a header line, then one line per image; a column for each
            factor and `file_column`.
        file_column: the column with the image's path below `folder`.
        hidden: names of factors that are not scored.

    Returns:
        The definition, as JSON holds it, paths absolute.
    """
    data.check_texts("own_images", folder=folder, table=table, file_column=file_column)
    data.check_sizes("own_images.factors", factors)
    data.check_names("own_images.hidden", hidden)
    path = str(pathlib.Path(folder).expanduser().resolve())
    return {
        "folder": path,
        "factors": dict(factors),
        "table": table,
        "file_column": file_column,
        "hidden": list(hidden),
    }


def open_dataset(name: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens "own_images/<name>"; builds its table first if gin gives a new definition, or if CSV or
    images have changed.

    Raises:
        UserError: there is no definition, or the files do not fit it.
        DlibError: an image is damaged, or the disk is full.
    """
    folder = data.folder_of("own_images", name, data_dir)
    definition, given = data.definition("own_images", folder)
    factors = definition["factors"]
    space, visible = data.space_and_visible(
        list(factors), list(factors.values()), definition["hidden"], "own_images"
    )
    if given:
        definition = _build(definition, space, folder, name)
    opened = image_table.open_built(folder, definition.get("source", ""))
    if isinstance(opened, str):
        raise UserError(
            f"own_images/{name} is damaged or half made ({opened or 'no table'}); give its gin file"
            " with --gin_config again"
        )
    cells = data.load_array(folder / "cells.npy", "the grid points of own_images in")
    complete = len(cells) == space.size
    return GroundTruthDataset(
        f"own_images/{name}",
        space,
        visible,
        opened[0],
        255,
        None,
        cells=None if complete else np.array(cells),
    )


def _build(
    definition: dict[str, Any], space: FactorSpace, folder: pathlib.Path, name: str
) -> dict[str, Any]:
    """Builds the table if it is missing, rows in grid order; returns the definition with the source
    of the table.
    """
    source_folder = pathlib.Path(definition["folder"])
    content = _read_text(source_folder / definition["table"])
    digest = hashlib.sha256(
        (json.dumps(definition, sort_keys=True) + content).encode()
    ).hexdigest()[:16]
    definition = {**definition, "source": f"own_images/{name}/{digest}"}
    files, cells = _parse(content, space, definition)
    paths = [source_folder / file for file in files]
    kept, stamp = data.kept(folder), _stamp(paths)
    if stamp and kept.get("source") == definition["source"] and kept.get("images", stamp) != stamp:
        print(
            f"the images of own_images/{name} have changed; they are read again",
            file=sys.stderr,
            flush=True,
        )
        image_table.forget(folder, f"own_images/{name}")
    if isinstance(image_table.open_built(folder, definition["source"]), str):
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(paths)} images of {definition['table']} do not exist, such"
                f" as {missing[0]}; add them"
            )
        rows = FactorSpace(("row",), (len(paths),))
        shape = _read_image(paths[0]).shape
        info = image_table.TableInfo(
            rows, ("row",), (shape[0], shape[1], shape[2]), 255, definition["source"]
        )
        image_table.open_or_build(folder, info, lambda: _read_images(paths, info.shape))
    # nothing is written unless it changes: data_dir may be read-only
    if not _holds(folder / "cells.npy", cells):
        with atomic_write(folder / "cells.npy") as file:
            np.save(file, cells)
    # a definition of an older version, without "images", stays as it is
    if kept.get("source") != definition["source"] or "images" in kept:
        definition["images"] = stamp or kept.get("images", "")
    data.keep(folder, definition)
    return definition


def _stamp(paths: Sequence[pathlib.Path]) -> str:
    """A hash of the sizes and times of all files, which shows whether they changed; "" if one is
    missing.
    """
    try:
        stats = [path.stat() for path in paths]
    except OSError:
        return ""
    return hashlib.sha256(
        repr([(stat.st_size, stat.st_mtime_ns) for stat in stats]).encode()
    ).hexdigest()[:16]


def _holds(path: pathlib.Path, cells: np.ndarray) -> bool:
    try:
        return np.array_equal(np.load(path, allow_pickle=False), cells)
    except (OSError, ValueError, EOFError):
        return False


def _read_text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(
            f"cannot read {path} ({reason}); own_images.folder and own_images.table must name a CSV"
            " file"
        ) from error


def _parse(
    content: str, space: FactorSpace, definition: Mapping[str, Any]
) -> tuple[list[str], np.ndarray]:
    """File names and grid points of all lines, in the order of the grid.

    Raises:
        UserError: a column or a value is missing, unknown or out of range, or two lines have the
            same factors.
    """
    table, file_column = definition["table"], definition["file_column"]
    lines = _lines(content, table)
    header = [name.strip() for name in next(lines, (0, []))[1]]
    expected = [file_column, *space.names]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise UserError(
            f"{table}, line 1 has column {', '.join(map(repr, twice))} more than once; rename or"
            " remove one"
        )
    for fault, columns in (
        ("lacks", set(expected) - set(header)),
        ("has unknown", set(header) - set(expected)),
    ):
        if columns:
            listed = ", ".join(map(repr, sorted(columns)))
            raise UserError(
                f"{table} {fault} columns {listed}; expected {', '.join(expected)}, as"
                " own_images.factors says"
            )
    order = [header.index(name) for name in expected]
    files: list[str] = []
    factors: list[list[int]] = []
    numbers: list[int] = []
    for number, line in lines:
        if any(field.strip() for field in line):
            where = f"{table}, line {number}"
            if len(line) > len(header):
                raise UserError(
                    f"{where}: {len(line)} values for {len(header)} columns; quote a value that"
                    " holds a comma"
                )
            file, *values = _fields(line, order, expected, where)
            files.append(file)
            factors.append(
                [
                    _value(*pair, where)
                    for pair in zip(values, space.names, space.sizes, strict=True)
                ]
            )
            numbers.append(number)
    if not files:
        raise UserError(f"{table} holds no image; expected a header line and one line per image")
    cells = space.to_index(np.array(factors))
    rows = np.argsort(cells, kind="stable")
    same = np.flatnonzero(np.diff(cells[rows]) == 0)
    if len(same):
        first, second = rows[same[0]], rows[same[0] + 1]
        point = ", ".join(
            f"{name}={value}" for name, value in zip(space.names, factors[first], strict=True)
        )
        raise UserError(
            f"{table}: lines {numbers[first]} and {numbers[second]} have the same factors"
            f" ({point}); remove one, or add a factor that tells them apart (it may be hidden)"
        )
    return [files[row] for row in rows], cells[rows]


def _lines(content: str, table: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of each line.

    Raises:
        UserError: a field is longer than the csv module reads.
    """
    lines = csv.reader(content.splitlines())
    try:
        for line in lines:
            yield lines.line_num, line
    except csv.Error as error:
        raise UserError(
            f"{table}, line {lines.line_num} is no CSV ({error}); look for a quote that is not"
            " closed"
        ) from error


def _fields(
    line: Sequence[str], order: Sequence[int], expected: Sequence[str], where: str
) -> list[str]:
    fields = [line[column].strip() if column < len(line) else "" for column in order]
    for field, name in zip(fields, expected, strict=True):
        if not field:
            raise UserError(f"{where}: {name!r} is missing; every line needs {', '.join(expected)}")
    return fields


def _value(text: str, name: str, size: int, where: str) -> int:
    if not text.isdecimal() or int(text) >= size:
        raise UserError(
            f"{where}: {name} is {text!r}; its range is 0..{size - 1}, whole numbers, as"
            " own_images.factors says"
        )
    return int(text)


def _read_images(
    paths: Sequence[pathlib.Path], shape: tuple[int, int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first in range(0, len(paths), _READ_ROWS):
        part = paths[first : first + _READ_ROWS]
        images = [_read_image(path) for path in part]
        for image, path in zip(images, part, strict=True):
            if image.shape != shape:
                raise UserError(
                    f"{path} is {list(image.shape)}, {paths[0]} is {list(shape)} (height, width,"
                    " channels); all must be alike"
                )
        yield np.stack(images), np.arange(first, first + len(part))


def _read_image(path: pathlib.Path) -> np.ndarray:
    """One image as uint8 [h, w, c], grey or RGB."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode = _MODES.get(image.mode)
            alpha = "A" in image.mode or "transparency" in image.info
            see_through = (
                mode is not None and alpha and np.asarray(image.convert("RGBA"))[..., 3].min() < 255
            )
            pixels = np.asarray(image.convert(mode)) if mode else np.empty(0)
    except (OSError, ValueError, SyntaxError) as error:
        raise DlibError(
            f"{path} cannot be read as an image ({first_line(error)}); replace it"
        ) from error
    if not mode:
        raise UserError(
            f"{path} has the pixel format {image.mode}; expected 8-bit grey or RGB: convert it"
        )
    if see_through:
        raise UserError(
            f"{path} has transparent pixels, whose colour is not defined; put it on a background"
            " and save it as RGB"
        )
    return pixels if pixels.ndim == 3 else pixels[..., None]  # [h, w, c]
