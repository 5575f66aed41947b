"""The compressed matrices of small NORB, read block by block: magic, rank, at least three sizes,
data; little-endian.
"""

import gzip
import math
import os
from collections.abc import Iterator

import numpy as np

from dlib_tf2.errors import DlibError

# by magic number
_DTYPES: dict[int, np.dtype] = {0x1E3D4C55: np.dtype(np.uint8), 0x1E3D4C54: np.dtype("<i4")}
_BLOCK_ROWS = 512


def blocks(path: str | os.PathLike, trailing_shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The rows of a matrix, in blocks.

    Args:
        path: a matrix, gzip-compressed as it is published.
        trailing_shape: the shape that a row must have.

    Yields:
        uint8 or int32 [n, *trailing_shape].

    Raises:
        DlibError: it is not such a matrix, or it is truncated.
    """
    with gzip.open(path, "rb") as file:
        magic, rank = _integers(file.read(8), 2) or (0, 0)
        shape = _integers(file.read(4 * max(3, rank)), rank)
        dtype = _DTYPES.get(magic)
        if dtype is None or len(shape) != rank or tuple(shape[1:]) != trailing_shape:
            what = f"{dtype} {shape}" if dtype is not None else f"the magic number {magic:#x}"
            raise DlibError(
                f"{path} is another file: expected a NORB matrix of rows {list(trailing_shape)},"
                f" got {what}; get it again"
            )
        row_bytes = math.prod(trailing_shape) * dtype.itemsize
        for first in range(0, shape[0], _BLOCK_ROWS):
            rows = min(_BLOCK_ROWS, shape[0] - first)
            content = file.read(rows * row_bytes)
            if len(content) < rows * row_bytes:
                raise DlibError(
                    f"{path} is truncated after about {first:,} of {shape[0]:,} rows: remove it and"
                    " get it again"
                )
            yield np.frombuffer(content, dtype).reshape(rows, *trailing_shape)


def whole(path: str | os.PathLike, trailing_shape: tuple[int, ...]) -> np.ndarray:
    """A small matrix at once; see `blocks`."""
    return np.concatenate(list(blocks(path, trailing_shape)))


def _integers(content: bytes, count: int) -> list[int]:
    """The first `count` integers of a header; empty if it is too short."""
    return np.frombuffer(content, "<i4", count).tolist() if len(content) >= 4 * count else []
