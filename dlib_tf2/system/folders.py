"""Output folders: which step owns a folder, which process works in it, and what may be deleted.

The code of each step lists what may be deleted, as exact names or as patterns that match only its
own names. No file in a folder can extend that list, and everything else in the folder stays.
"""

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.system.files import atomic_write, temporary_names
from dlib_tf2.system.locks import LOCK, only_process
from dlib_tf2.system.paths import AnyPath, RemotePath, as_path

MARKER = ".dlib_tf2"


@dataclass(frozen=True)
class Written:
    """What a step writes in a folder.

    Attributes:
        names: regular expression of a whole name -> None for files, or the content of folders of
            that name. They are deleted in this order: first the file that marks the step as
            complete, last the file that names the run. If the deletion is killed, the folder never
            looks complete, and its files never look like those of another run.
        leftovers: regular expressions of temporary files other than those of `atomic_write`.
        step: the step whose marker such a folder must hold; empty for a folder without one.
    """

    names: Mapping[str, "Written | None"]
    leftovers: tuple[str, ...] = ()
    step: str = ""


def exactly(*names: str) -> dict[str, None]:
    """The entries of files with these very names."""
    return {re.escape(name): None for name in names}


def refuse_foreign(folder: str | os.PathLike, step: str) -> AnyPath:
    """Refuses an output folder that `step` may not write to; touches nothing.

    Raises:
        UserError: it is a file or below one, holds files without our marker, or another step's
            work.
    """
    folder = as_path(folder)
    for part in (folder, *folder.parents):
        if part.exists() and not part.is_dir():
            raise UserError(f"{part} is a file, not a folder; choose another output folder")
    if not folder.is_dir():
        return folder
    if (owner := _owner(folder)) is not None:
        if owner != step:
            raise UserError(
                f"{folder} holds the results of the step {owner!r}, not of {step!r}; choose another"
                " output folder"
            )
    # A process that was killed before its marker was there leaves a lock and a temporary file.
    elif not all(path.name == LOCK or _is_temporary_marker(path) for path in folder.iterdir()):
        raise UserError(
            f"{folder} holds files that dlib_tf2 did not write (no {MARKER} in it); choose another"
            " folder or empty it yourself"
        )
    return folder


def claim_folder(folder: str | os.PathLike, step: str) -> AnyPath:
    """Gives a folder to a step: creates it with our marker, or accepts one that the step may write
    to.

    Raises:
        UserError: what `refuse_foreign` refuses; nothing is touched then.
        DlibError: it cannot be written.
    """
    folder = refuse_foreign(folder, step)
    if not (folder / MARKER).is_file():
        with atomic_write(folder / MARKER, "w") as file:
            json.dump({"about": "This folder was made by dlib_tf2.", "step": step}, file)
    return folder


@contextlib.contextmanager
def hold_folder(
    folder: str | os.PathLike,
    step: str,
    written: Written,
    overwrite: bool = False,
    keep: Sequence[str | os.PathLike] = (),
) -> Iterator[AnyPath]:
    """Claims a folder and keeps other processes out of it for the block.

    Temporary files of a process that was killed there are deleted. A bucket has no locks: it keeps
    nobody out, and its temporary files are deleted with `overwrite` only.

    Args:
        folder: the output folder.
        step: the step's name.
        written: what the step writes there.
        overwrite: delete that first. Everything else stays, the lock and the marker too.
        keep: folders that `overwrite` must not empty, such as the step's input; the current folder
            is always one.

    Raises:
        UserError: what `claim_folder` refuses, another process is at work in the folder, or
            `overwrite` would empty one of `keep`. Nothing in it is touched then.
        DlibError: a file cannot be written or deleted.
    """
    folder = refuse_foreign(folder, step)
    if overwrite and folder.is_dir():
        _refuse_inside(folder, [pathlib.Path.cwd(), *keep])
    _make(folder)
    with only_process(folder):
        claim_folder(folder, step)
        if overwrite:
            delete_written(folder, written)
        elif not isinstance(folder, RemotePath):
            _delete_leftovers(folder, written)
        yield folder


def delete_written(folder: AnyPath, written: Written) -> None:
    """Deletes what a step wrote in a folder, and the folders inside that this empties.

    The caller holds the folder's lock. Links are deleted, not followed.

    Raises:
        DlibError: something cannot be deleted.
    """
    _delete_leftovers(folder, written)
    for pattern, inside in written.names.items():
        for path in _matching(folder, pattern):
            with _deleting(path):
                if path.is_symlink() or (inside is None and not path.is_dir()):
                    path.unlink(missing_ok=True)
                elif inside is not None and _is_of(path, inside):
                    delete_written(path, inside)
                    _delete_empty(path)


def _delete_leftovers(folder: AnyPath, written: Written) -> None:
    """Deletes temporary files. No living process owns one: the caller holds the folder's lock."""
    files = [pattern for pattern, inside in written.names.items() if inside is None]
    temporary = [temporary_names(pattern) for pattern in (*files, re.escape(MARKER))]
    for pattern in (*temporary, *written.leftovers):
        for path in _matching(folder, pattern):
            with _deleting(path):
                path.unlink(missing_ok=True)
    for pattern, inside in written.names.items():
        for path in _matching(folder, pattern) if inside is not None else ():
            if inside is not None and not path.is_symlink() and _is_of(path, inside):
                _delete_leftovers(path, inside)


def _matching(folder: AnyPath, pattern: str) -> list[AnyPath]:
    return sorted(path for path in folder.iterdir() if re.fullmatch(pattern, path.name))


def _is_of(folder: AnyPath, written: Written) -> bool:
    """Whether this is a folder, and the one that a step writes."""
    return folder.is_dir() and (not written.step or _owner(folder) == written.step)


def _delete_empty(folder: AnyPath) -> None:
    """Deletes a folder that holds nothing, or only our marker; a locked one keeps both."""
    left = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if left == [MARKER]:
        (folder / MARKER).unlink()
    if folder.is_dir() and left in ([], [MARKER]):
        folder.rmdir()


@contextlib.contextmanager
def _deleting(path: AnyPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DlibError(
            f"cannot delete {error.filename or path}: {error.strerror}; delete it yourself or"
            " choose another folder"
        ) from error


def _make(folder: AnyPath) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DlibError(f"cannot make {folder}: {error.strerror}; choose another folder") from error


def _owner(folder: AnyPath) -> str | None:
    """The step that a folder's marker names; the names that older ones list do not count."""
    try:
        step = json.loads((folder / MARKER).read_text(encoding="utf-8"))["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, str) else None


def _is_temporary_marker(path: AnyPath) -> bool:
    return re.fullmatch(temporary_names(re.escape(MARKER)), path.name) is not None


def _refuse_inside(folder: AnyPath, keep: Sequence[str | os.PathLike]) -> None:
    target = folder.resolve()
    for other in map(as_path, keep):
        if target == other.resolve() or target in other.resolve().parents:
            raise UserError(
                f"--overwrite would delete {other}, which is in use, with {folder}; choose another"
                " output folder"
            )
