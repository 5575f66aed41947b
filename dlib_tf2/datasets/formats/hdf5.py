"""HDF5 files of pictures, read block by block along the chunks they are stored in."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dlib_tf2.datasets.formats import png
from dlib_tf2.errors import DlibError, first_line
from dlib_tf2.system.progress import Progress

if TYPE_CHECKING:
    import h5py

_MOST_BYTES, _LEAST_ROWS = 256 << 20, 1024  # of a block


def open_file(path: str | os.PathLike) -> h5py.File:
    """Opens a file for reading.

    Raises:
        DlibError: it is not an HDF5 file, or it is truncated.
    """
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DlibError(
            f"{path} cannot be read ({first_line(error)}); it is truncated or damaged: remove it"
            " and get it again"
        ) from error


def whole(file: h5py.File, key: str) -> np.ndarray:
    """Reads a small array.

    Raises:
        DlibError: there is no such array.
    """
    return _array(file, key)[()]


def blocks(
    file: h5py.File, key: str, label: str, trailing_shape: tuple[int, ...]
) -> Iterator[np.ndarray]:
    """The pictures of an array one by one, read in blocks.

    A chunk that lies across two blocks would be decompressed twice, and chunks of these files span
    thousands of pictures: a block is one chunk or several, unless that is too large.

    Args:
        file: an open file.
        key: of the array.
        label: for the progress line.
        trailing_shape: the shape that a picture must have.

    Yields:
        uint8 arrays of `trailing_shape`.

    Raises:
        DlibError: there is no such array, or it has another shape or dtype.
    """
    array = _array(file, key)
    if array.dtype != np.uint8 or array.shape[1:] != trailing_shape:
        raise DlibError(
            f"{file.filename}: expected {key!r} as uint8 [n,"
            f" {', '.join(map(str, trailing_shape))}], got {array.dtype} {list(array.shape)}"
        )
    chunk = array.chunks[0] if array.chunks else 1
    most = max(1, _MOST_BYTES // max(1, int(np.prod(trailing_shape))))
    rows = min(most, max(1, -(-_LEAST_ROWS // chunk)) * chunk)
    progress = Progress(label, len(array))
    for first in range(0, len(array), rows):
        block = array[first : first + rows]
        for start in range(0, len(block), _LEAST_ROWS):
            part = block[start : start + _LEAST_ROWS]
            yield from part
            progress.advance(len(part))
    progress.finish()


def examples(
    images: Iterable[np.ndarray], names: tuple[str, ...], labels: np.ndarray, values: np.ndarray
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of TFDS's own builders, encoded several times faster than by TFDS.

    Args:
        images: uint8 [h, w, c] each.
        names: of the factors.
        labels: of each image, integers [n, factors].
        values: of each image, floats [n, factors].
    """
    keys = ["image", *(f"label_{name}" for name in names), *(f"value_{name}" for name in names)]
    for row, (image, *numbers) in enumerate(zip(images, labels, values, strict=True)):
        content = png.encode(image), *itertools.chain(*numbers)
        yield row, dict(zip(keys, content, strict=True))


def _array(file: h5py.File, key: str) -> h5py.Dataset:
    if key not in file:
        raise DlibError(f"{file.filename} holds no array {key!r}; it is another file: get it again")
    return file[key]
