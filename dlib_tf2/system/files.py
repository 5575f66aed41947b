"""Files that are whole or absent, local and remote."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import IO

from dlib_tf2.errors import DlibError
from dlib_tf2.system.paths import RemotePath, as_path


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO]:
    """Opens a temporary file for writing, which takes the place of `path` once it is whole and, for
    a local path, on the disk.

    Args:
        path: the file to write; its folder is made if needed.
        mode: "wb" or "w" (UTF-8).

    Raises:
        DlibError: the disk is full or the folder cannot be written; an existing `path` is left as
            it was.
    """
    target = as_path(path)
    try:
        with (
            target.replacing(mode)
            if isinstance(target, RemotePath)
            else _replacing(pathlib.Path(target), mode)
        ) as file:
            yield file
    except OSError as error:
        raise DlibError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error


@contextlib.contextmanager
def _replacing(path: pathlib.Path, mode: str) -> Iterator[IO]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync_folder(folder: str | os.PathLike) -> None:
    """Flushes a folder's entries to the disk, so that a rename outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_names(pattern: str) -> str:
    """Regular expression of the temporary names of files whose names match `pattern`.

    They hold the number of the process, or eight random digits where the file is remote.
    """
    return rf"\.(?:{pattern})\.(?:\d+|[0-9a-f]{{8}})\.tmp"
