"""The hashes of files whose hash nobody published: kept once a file was read without fault, and
binding from then on.
"""

import hashlib
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.locks import own_turn

if TYPE_CHECKING:
    from dlib_tf2.datasets.download import RemoteFile

RECORD = "sha256.tsv"  # name, bytes, SHA-256


def recorded(folder: pathlib.Path) -> dict[str, tuple[int, str]]:
    """(bytes, SHA-256) of each file that is on record in `folder`."""
    if not (folder / RECORD).exists():
        return {}
    rows = (line.split("\t") for line in (folder / RECORD).read_text().splitlines())
    return {name: (int(size), digest) for name, size, digest in rows}


def record(files: "Sequence[RemoteFile]", folder: pathlib.Path) -> None:
    """Puts files on record that were downloaded to `folder` and read; those whose hash is known
    already are left out.

    Only content that proved to be the dataset may bind: a login page that came in its place must
    not.
    """
    if all(file.sha256 or file.name in recorded(folder) for file in files):
        return
    with own_turn(folder, RECORD, f".{RECORD}.lock"):
        rows = recorded(folder)
        for file in files:
            path = folder / file.name
            if file.sha256 or file.name in rows or not path.is_file():
                continue
            rows[file.name] = path.stat().st_size, digest(path)
            size, value = rows[file.name]
            line = (
                f"{file.name}: no checksum is known for it; recorded that of this download:"
                f" {size:,} bytes, SHA-256 {value}"
            )
            print(line, file=sys.stderr, flush=True)
        with atomic_write(folder / RECORD, "w") as out:
            out.writelines(
                f"{name}\t{size}\t{value}\n" for name, (size, value) in sorted(rows.items())
            )


def digest(path: pathlib.Path, kind: str = "sha256") -> str:
    """The SHA-256, or another hash, of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
