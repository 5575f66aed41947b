"""One array of an .npz file, block by block: the array is never in memory as a whole."""

import os
import zipfile
from collections.abc import Iterator
from typing import IO

import numpy as np
from etils import epath

from dlib_tf2.errors import DlibError


def member_shape(path: str | os.PathLike, member: str) -> tuple[int, ...]:
    """The shape of array `member`, from its header.

    Raises:
        DlibError: the file is truncated or damaged, or holds no such uint8 array in C order.
    """
    with (
        epath.Path(path).open("rb") as file,
        _archive(file, path) as archive,
        _member(archive, path, member) as stream,
    ):
        return _header(stream, path, member)


def blocks(path: str | os.PathLike, member: str, rows: int) -> Iterator[np.ndarray]:
    """The array in blocks of up to `rows` rows, in order; each is a fresh array.

    Raises:
        DlibError: as in `member_shape`, or the content does not match the archive's checksum.
    """
    with (
        epath.Path(path).open("rb") as file,
        _archive(file, path) as archive,
        _member(archive, path, member) as stream,
    ):
        shape = _header(stream, path, member)
        row_bytes = int(np.prod(shape[1:]))
        for first in range(0, shape[0], rows):
            count = min(rows, shape[0] - first)
            block = _read(stream, count * row_bytes, path)
            yield block.reshape(count, *shape[1:])  # [bytes] -> [rows, ...]
        _read(stream, 0, path)  # reading to the end compares the checksum


def _archive(file: IO[bytes], path: str | os.PathLike) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise _damaged(path, error) from error


def _member(archive: zipfile.ZipFile, path: str | os.PathLike, member: str) -> IO[bytes]:
    names = archive.namelist()
    if f"{member}.npy" not in names:
        raise DlibError(
            f"{path} holds {', '.join(names) or 'nothing'}, expected an array {member!r}; it is"
            " another file: get it again"
        )
    try:
        return archive.open(f"{member}.npy")
    except RuntimeError as error:  # encrypted
        raise _damaged(path, error) from error


def _header(stream: IO[bytes], path: str | os.PathLike, member: str) -> tuple[int, ...]:
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(stream)
    except ValueError as error:
        raise _damaged(path, error) from error
    if dtype != np.uint8 or fortran or not shape:
        order = "Fortran" if fortran else "C"
        raise DlibError(
            f"{path}: {member!r} is {dtype} {list(shape)} in {order} order, expected uint8 in C"
            " order; it is another file"
        )
    return shape


def _read(stream: IO[bytes], size: int, path: str | os.PathLike) -> np.ndarray:
    """Reads exactly `size` bytes; with size 0, checks that the stream has ended."""
    block = np.empty(size, np.uint8)
    done = 0
    try:
        while done < size:
            part = stream.read(size - done)
            if not part:
                raise EOFError(f"{size - done:,} bytes are missing")
            block[done : done + len(part)] = np.frombuffer(part, np.uint8)
            done += len(part)
        if not size and stream.read(1):
            raise EOFError("there are more bytes than the header says")
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise _damaged(path, error) from error
    return block


def _damaged(path: str | os.PathLike, error: Exception) -> DlibError:
    return DlibError(
        f"{path} cannot be read ({error}); it is truncated or damaged: remove it and get it again"
    )
