"""Files that are whole or absent: atomic writes, the marker of our own folders, and their safe removal; local and remote."""

import contextlib
import fnmatch
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.paths import RemotePath, as_path

MARKER = ".dlib_tf2"


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO]:
    """Opens a temporary file for writing, which takes the place of `path` once it is whole and, for a local path, on the disk.

    Args:
        path: the file to write; its folder is made if needed.
        mode: "wb" or "w" (UTF-8).

    Raises:
        DlibError: the disk is full or the folder cannot be written; an existing `path` is left as it was.
    """
    path = as_path(path)
    try:
        with path.replacing(mode) if isinstance(path, RemotePath) else _replacing(path, mode) as file:
            yield file
    except OSError as error:
        raise DlibError(f"cannot write {path}: {error.strerror or error}; free space or choose another folder") from error


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


def refuse_foreign(folder: str | os.PathLike, step: str) -> pathlib.Path:
    """Refuses an output folder that `step` may not write to; touches nothing.

    Raises:
        UserError: it is a file or below one, holds files without our marker, or the work of another step.
    """
    folder = as_path(folder)
    for part in (folder, *folder.parents):
        if part.exists() and not part.is_dir():
            raise UserError(f"{part} is a file, not a folder; choose another output folder")
    if not folder.is_dir():
        return folder
    if (marker := _read_marker(folder)) is not None:
        if marker.step != step:
            raise UserError(f"{folder} holds the results of the step {marker.step!r}, not of {step!r}; choose another output folder")
    # A temporary file of ours is what a process left that was killed before the marker was there.
    elif not all(map(_is_temporary_marker, folder.iterdir())):
        raise UserError(f"{folder} holds files that dlib_tf2 did not write (no {MARKER} in it); choose another folder or empty it yourself")
    return folder


def claim_folder(
    folder: str | os.PathLike,
    step: str,
    writes: Sequence[str] = (),
    holds: Sequence[str] = (),
    overwrite: bool = False,
    keep: Sequence[str | os.PathLike] = (),
) -> pathlib.Path:
    """Makes `folder` that of a step: creates it with our marker, or accepts one that carries the step's marker or is empty.

    Args:
        folder: the output folder.
        step: the step's name; a folder of another step is refused.
        writes: names or patterns of what the step writes there, all that `overwrite` may delete.
        holds: steps whose marked folders inside belong to it, and go with it.
        overwrite: delete what an earlier run of the step left there.
        keep: folders that `overwrite` must not delete, such as the step's input; the current folder is always one.

    Raises:
        UserError: the folder holds files and is not ours, or another step's, or one of `keep`; or `overwrite` meets something in it that
            the step does not write. Nothing in it is touched then.
        DlibError: it cannot be written.
    """
    folder = refuse_foreign(folder, step)
    if overwrite and folder.is_dir():
        _refuse_inside(folder, [pathlib.Path.cwd(), *keep])
        _empty(folder)
    if not (folder / MARKER).is_file():
        with atomic_write(folder / MARKER, "w") as file:
            about = "This folder was made by dlib_tf2; --overwrite may delete what is listed here."
            json.dump({"about": about, "step": step, "writes": list(writes), "holds": list(holds)}, file)
    return folder


class _Marker(NamedTuple):
    """What a marker says: the step, the names it writes, and the steps whose folders inside are its own."""

    step: str
    writes: tuple[str, ...]
    holds: tuple[str, ...]


def _read_marker(folder: pathlib.Path) -> _Marker | None:
    try:
        content = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        return _Marker(content["step"], tuple(content["writes"]), tuple(content["holds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_temporary_marker(path: pathlib.Path) -> bool:
    return path.name.startswith(f".{MARKER}.") and path.name.endswith(".tmp")


def _refuse_inside(folder: pathlib.Path, keep: Sequence[str | os.PathLike]) -> None:
    target = folder.resolve()
    for other in map(as_path, keep):
        if target == other.resolve() or target in other.resolve().parents:
            raise UserError(f"--overwrite would delete {other}, which is in use, with {folder}; choose another output folder")


def _empty(folder: pathlib.Path) -> None:
    """Deletes what is in a folder but its marker: a deletion that is killed half way leaves a folder that is still ours.

    The folder itself stays, so that it may be a link or a mount point; links in it are deleted, not followed.
    """
    if (foreign := next(_foreign(folder), None)) is not None:
        raise UserError(f"--overwrite would delete {foreign}, which this step did not write; move it away, or choose another folder")
    try:
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                path.rmtree() if isinstance(path, RemotePath) else shutil.rmtree(path)
            elif path.name != MARKER:
                path.unlink()
    except OSError as error:
        raise DlibError(f"cannot delete {error.filename}: {error.strerror}; delete {folder} yourself or choose another folder") from error


def _foreign(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """What lies in a folder of ours, and in our folders inside, that no step of theirs wrote."""
    marker = _read_marker(folder)
    for path in sorted(folder.iterdir()):
        inside = _read_marker(path) if path.is_dir() and not path.is_symlink() else None
        if marker is not None and inside is not None and inside.step in marker.holds:
            yield from _foreign(path)
        elif not any(fnmatch.fnmatchcase(path.name, pattern) for pattern in (MARKER, ".*.tmp", *(marker.writes if marker else ()))):
            yield path
