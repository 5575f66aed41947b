"""Copies tables from a bucket to a local folder: only a local file can be mapped into memory."""

import os
import pathlib
import shutil
import sys

from dlib_tf2.errors import DlibError
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.paths import RemotePath
from dlib_tf2.system.progress import Progress

_PIECE = 64 << 20  # bytes
_SMALL = 1 << 20  # bytes; files below it are compared, not only measured


def local_folder(remote: RemotePath) -> pathlib.Path:
    """The local folder of a copy: below $XDG_CACHE_HOME/dlib_tf2, by default ~/.cache/dlib_tf2."""
    scheme, _, rest = str(remote).partition("://")
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "dlib_tf2" / scheme / rest


def fetch(remote: RemotePath, folder: pathlib.Path) -> None:
    """Copies the files that the local folder lacks or has with another size; hold its lock.

    All are copied if one of the small files, which describe the large ones, differs.

    Raises:
        DlibError: the bucket cannot be read, a copy has another size than its source, or the disk
            is full.
    """
    sources = {
        path: path.stat().st_size
        for path in remote.iterdir()
        if not path.name.startswith(".") and not path.is_dir()
    }
    small = {path: path.read_bytes() for path, size in sources.items() if size < _SMALL}
    if any(_content(folder / path.name) != content for path, content in small.items()):
        missing = list(sources)
    else:
        missing = [
            path for path, size in sources.items() if not _has_size(folder / path.name, size)
        ]
    if not missing:
        return
    total, free = sum(sources[path] for path in missing), shutil.disk_usage(folder).free
    line = f"{remote}: copying {total / 1e6:,.0f} MB to {folder}, once"
    if total > free:
        raise DlibError(
            f"{line}: only {free / 1e6:,.0f} MB are free; free space, or let XDG_CACHE_HOME name a"
            " folder on a larger disk"
        )
    print(line, file=sys.stderr, flush=True)
    progress = Progress(f"{remote}: copying, MB", max(1, round(total / 1e6)))
    # The small ones last: without them, an interrupted copy is not taken for a table.
    for path in sorted(missing, key=lambda path: path in small):
        _copy(path, folder / path.name, sources[path], progress)
    progress.finish()


def _copy(source: RemotePath, target: pathlib.Path, size: int, progress: Progress) -> None:
    written = 0
    with source.open() as content, atomic_write(target) as file:
        while piece := content.read(_PIECE):
            file.write(piece)
            written += len(piece)
            progress.advance(round(written / 1e6) - round((written - len(piece)) / 1e6))
        if written != size:
            raise DlibError(
                f"{source} has {size:,} bytes, only {written:,} were copied; run the same command"
                " again"
            )


def _content(path: pathlib.Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _has_size(path: pathlib.Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
