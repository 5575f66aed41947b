"""Files that are whole or absent: atomic writes, the marker of our own folders, and their safe removal."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
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


def refuse_foreign(folder: str | os.PathLike) -> pathlib.Path:
    """Refuses an output folder that is not ours to write to; touches nothing.

    Raises:
        UserError: it is a file or below one, or holds files without our marker.
    """
    folder = pathlib.Path(folder)
    for part in (folder, *folder.parents):
        if part.exists() and not part.is_dir():
            raise UserError(f"{part} is a file, not a folder; choose another output folder")
    # A temporary file of ours is what a process left that was killed before the marker was there.
    if folder.is_dir() and not (folder / MARKER).is_file() and not all(map(_is_temporary_marker, folder.iterdir())):
        raise UserError(f"{folder} holds files that dlib_tf2 did not write (no {MARKER} in it); choose another folder or empty it yourself")
    return folder


def claim_folder(folder: str | os.PathLike, overwrite: bool = False, keep: Sequence[str | os.PathLike] = ()) -> pathlib.Path:
    """Makes `folder` ours: creates it with our marker, or accepts one that carries the marker or is empty.

    Args:
        folder: the output folder of a step.
        overwrite: delete what an earlier run of ours left there.
        keep: folders that `overwrite` must not delete, such as the step's input; the current folder is always one.

    Raises:
        UserError: the folder holds files and is not ours, or one of `keep`; nothing in it is touched, with or without `overwrite`.
        DlibError: it cannot be written.
    """
    folder = refuse_foreign(folder)
    if overwrite and folder.is_dir():
        _refuse_inside(folder, [pathlib.Path.cwd(), *keep])
        _empty(folder)
    if not (folder / MARKER).is_file():
        with atomic_write(folder / MARKER, "w") as file:
            file.write("This folder was made by dlib_tf2; --overwrite may delete what is in it.\n")
    return folder


def _is_temporary_marker(path: pathlib.Path) -> bool:
    return path.name.startswith(f".{MARKER}.") and path.name.endswith(".tmp")


def _refuse_inside(folder: pathlib.Path, keep: Sequence[str | os.PathLike]) -> None:
    target = folder.resolve()
    for other in map(pathlib.Path, keep):
        if target == other.resolve() or target in other.resolve().parents:
            raise UserError(f"--overwrite would delete {other}, which is in use, with {folder}; choose another output folder")


def _empty(folder: pathlib.Path) -> None:
    """Deletes what is in a folder but its marker: a deletion that is killed half way leaves a folder that is still ours.

    The folder itself stays, so that it may be a link or a mount point; links in it are deleted, not followed.
    """
    try:
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != MARKER:
                path.unlink()
    except OSError as error:
        raise DlibError(f"cannot delete {error.filename}: {error.strerror}; delete {folder} yourself or choose another folder") from error
