"""The record of the files that a dataset was prepared from, kept beside its table: it shows whether
files of the same names have changed.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterable

from dlib_tf2.datasets.download import RemoteFile, digest
from dlib_tf2.system.files import atomic_write

_RECORD = "sources.json"  # {name: {"size": bytes, "mtime_ns": ..., "sha256": ...}}


def keep(folder: pathlib.Path, files: Iterable[pathlib.Path]) -> None:
    """Writes the record into a table's folder."""
    content = {
        path.name: {
            "size": path.stat().st_size,
            "mtime_ns": path.stat().st_mtime_ns,
            "sha256": digest(path),
        }
        for path in files
    }
    with atomic_write(folder / _RECORD, "w") as file:
        json.dump(content, file, indent=1)


def forget(folder: pathlib.Path) -> None:
    """Removes the record."""
    (folder / _RECORD).unlink(missing_ok=True)


def changed(folder: pathlib.Path, files: Iterable[pathlib.Path]) -> list[pathlib.Path] | None:
    """The files that are not those on record; None if nothing is on record.

    A file with the recorded size and time counts as unchanged. A copied or touched file is read.
    """
    kept = _kept(folder)
    if kept is None:
        return None

    def same(path: pathlib.Path) -> bool:
        known, now = kept.get(path.name), path.stat()
        if known is None or known["size"] != now.st_size:
            return False
        return known["mtime_ns"] == now.st_mtime_ns or known["sha256"] == digest(path)

    return [path for path in files if not same(path)]


def bound(file: RemoteFile, folder: pathlib.Path) -> RemoteFile:
    """The file, with the size and SHA-256 on record if nobody published its SHA-256."""
    kept = (_kept(folder) or {}).get(file.name)
    if file.sha256 or not kept:
        return file
    return dataclasses.replace(
        file, size=kept["size"], sha256=kept["sha256"], record=folder / _RECORD
    )


def _kept(folder: pathlib.Path) -> dict[str, dict] | None:
    try:
        return json.loads((folder / _RECORD).read_text())
    except (OSError, ValueError):
        return None
