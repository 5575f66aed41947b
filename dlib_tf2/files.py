"""Files that are whole or absent: atomic writes, the marker of our own folders, and their safe removal."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import IO

from dlib_tf2.errors import DlibError, UserError

MARKER = ".dlib_tf2"


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO]:
    """Opens a temporary neighbour of `path` for writing and renames it to `path` once it is whole and on the disk.

    Args:
        path: the file to write; its folder is made if needed.
        mode: "wb" or "w" (UTF-8).

    Raises:
        DlibError: the disk is full or the folder cannot be written; an existing `path` is left as it was.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise DlibError(f"cannot write {path}: {error.strerror or error}; free space or choose another folder") from error
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


def claim_folder(folder: str | os.PathLike, overwrite: bool = False) -> pathlib.Path:
    """Makes `folder` ours: creates it with our marker, or accepts one that carries the marker or is empty.

    Args:
        folder: the output folder of a step.
        overwrite: delete what an earlier run of ours left there.

    Raises:
        UserError: the folder holds files and is not ours; nothing in it is touched, with or without `overwrite`.
    """
    folder = pathlib.Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder; choose another output folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARKER).is_file():
            raise UserError(f"{folder} holds files that dlib_tf2 did not write (no {MARKER} in it); choose another folder or empty it yourself")
        if overwrite:
            shutil.rmtree(folder)
    with atomic_write(folder / MARKER, "w") as file:
        file.write("This folder was made by dlib_tf2; --overwrite may delete it.\n")
    return folder
