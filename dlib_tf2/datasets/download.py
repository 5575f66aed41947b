"""Downloads that resume: a file is fetched to <name>.part, verified, and renamed when it is whole."""

import dataclasses
import hashlib
import http.client
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from dlib_tf2 import __version__
from dlib_tf2.datasets.image_table import format_bytes
from dlib_tf2.datasets.progress import Progress
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.files import atomic_write, sync_folder

RECORD = "sha256.tsv"  # hashes of files whose hash was not known beforehand, as of their first download: name, bytes, SHA-256
_BLOCK = 1 << 20
_TRIES, _TIMEOUT, _PAUSE = 5, 60.0, 1.0  # tries without progress; seconds without a byte; seconds between tries


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset.

    Attributes:
        name: its original name, under which the builder reads it.
        url: where it comes from.
        size: in bytes, where known.
        sha256: where known; otherwise that of the first download is recorded and must stay.
        at_most: bytes that it cannot exceed, to plan space by where the size is not known.
        other_names: names of other editions that serve as well where a person put them there.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None
    at_most: int = 0
    other_names: tuple[str, ...] = ()

    def found_in(self, folder: pathlib.Path) -> pathlib.Path | None:
        """The file, or another edition of it, in `folder`."""
        return next((folder / name for name in (self.name, *self.other_names) if (folder / name).is_file()), None)

    def describe(self) -> str:
        """Name, address and size, for a person who has to get it."""
        size = format_bytes(self.size) if self.size else f"at most {format_bytes(self.at_most)}" if self.at_most else "size not known here"
        return f"{self.name} ({size}) from {self.url}"


def fetch(file: RemoteFile, folder: pathlib.Path) -> pathlib.Path:
    """Downloads a file into `folder`, or goes on downloading it; one that is there already is only verified.

    Returns:
        Its path.

    Raises:
        DlibError: the server does not answer or refuses, the connection breaks for good, the content is wrong, or the disk is full.
    """
    path = file.found_in(folder)
    if path is None:
        folder.mkdir(parents=True, exist_ok=True)
        path, part = folder / file.name, folder / f"{file.name}.part"
        try:
            _receive(file, part)
        except OSError as error:
            raise DlibError(f"cannot write {part}: {error.strerror or error}; free space or choose another data_dir") from error
        verify(file, part, record=folder)
        os.replace(part, path)
        _validator(part).unlink(missing_ok=True)
        sync_folder(folder)
        return path
    verify(file, path, record=folder)
    return path


def find_all(files: Sequence[RemoteFile], folder: pathlib.Path) -> None:
    """Verifies files that a person put into `folder`.

    Raises:
        UserError: some are missing; the message lists name, size and address of each.
        DlibError: one is not what it should be.
    """
    missing = [file.describe() for file in files if file.found_in(folder) is None]
    if missing:
        raise UserError(f"{folder} lacks {len(missing)} of {len(files)} files; put there under these names: {'; '.join(missing)}")
    for file in files:
        path = file.found_in(folder)
        assert path is not None
        verify(file, path, record=None)


def verify(file: RemoteFile, path: pathlib.Path, record: pathlib.Path | None) -> None:
    """Compares size and SHA-256 with what is known of a file; another edition of it is taken as it is.

    Args:
        file: what is known.
        path: the content; a `.part` that is wrong is removed, since going on with it is useless.
        record: folder where the hash of a file whose hash is not known is recorded at its first download; None: not recorded.

    Raises:
        DlibError: it is another content.
    """
    if path.name in file.other_names:
        return
    size, known = path.stat().st_size, _recorded(record).get(file.name) if record else None
    expected_size, expected = (file.size, file.sha256) if file.sha256 or not known else known
    fault = f"has {size:,} bytes, expected {expected_size:,}" if expected_size and size != expected_size else ""
    if not fault and (expected or record):
        digest = _digest(path)
        fault = f"has the SHA-256 {digest}, expected {expected}" if expected and digest != expected else ""
        if not expected and record:
            _add_to_record(record, file, size, digest)
    if not fault:
        return
    if path.suffix == ".part":
        path.unlink()
        _validator(path).unlink(missing_ok=True)
        remedy = f"it was removed; run again, or get it by hand and use --manual_dir ({file.url})"
    else:
        remedy = f"remove {path} and get it again from {file.url}"
    if expected and not file.sha256:
        remedy += f"; if the first download was the wrong one, remove its line from {path.parent / RECORD}"
    raise DlibError(f"{path} {fault}; it is damaged or another edition; {remedy}")


def _receive(file: RemoteFile, part: pathlib.Path) -> None:
    """Appends to `part` until it is whole; a connection that breaks is opened again where it broke off."""
    tries = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            total = _request(file, part, before)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                what = f"{file.url}: the server answered {error.code} {error.reason}"
                raise DlibError(f"{what}; get {file.name} by hand, put it into a folder and use --manual_dir=FOLDER") from error
            reason, total = f"{error.code} {error.reason}", None
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason, total = str(getattr(error, "reason", error)) or type(error).__name__, None
        else:
            reason = "the connection was closed"
        now = part.stat().st_size if part.exists() else 0
        if total is not None and now >= total:
            return
        tries = 0 if now > before else tries + 1
        if tries >= _TRIES:
            kept = f" at byte {now:,}" + (f" of {total:,}" if total else "") + ", which are kept" if now else ""
            remedy = "run the same command again to resume, or get the file by hand and use --manual_dir=FOLDER"
            raise DlibError(f"cannot download {file.url} ({reason}{kept}); {remedy}")
        time.sleep(_PAUSE)


def _request(file: RemoteFile, part: pathlib.Path, start: int) -> int | None:
    """One request for what is missing from byte `start` on; returns the size of the whole file, if the server says it."""
    headers = {"User-Agent": f"dlib_tf2/{__version__} (dataset download)", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if _validator(part).exists():
            headers["If-Range"] = _validator(part).read_text()  # or two editions of the file would be mixed
    try:
        response = urllib.request.urlopen(urllib.request.Request(file.url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # "range not satisfiable": nothing is missing, or what is there is no part of the file
            raise
        total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if total.isdigit() and int(total) == start:
            return start
        part.unlink()
        return None
    with response:
        if response.status != 206:
            start = 0
            validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            _validator(part).unlink(missing_ok=True)
            if validator and not validator.startswith("W/"):
                _validator(part).write_text(validator)
        length = response.headers.get("Content-Length")
        total_bytes = start + int(length) if length else file.size
        _append(response, part, start, f"{file.name}: downloading, MB", total_bytes)
    return total_bytes if total_bytes is not None else part.stat().st_size  # without a length, the end of the stream is the end


def _append(response: http.client.HTTPResponse, part: pathlib.Path, start: int, label: str, total: int | None) -> None:
    progress = Progress(label, round((total or 0) / 1e6), round(start / 1e6))
    shown = done = start
    with open(part, "r+b" if start else "wb") as out:
        out.seek(start)
        while block := response.read(_BLOCK):
            out.write(block)
            done += len(block)
            megabytes = round(done / 1e6) - round(shown / 1e6)
            progress.advance(megabytes)
            shown = done
        out.flush()
        os.fsync(out.fileno())
    progress.finish()


def _validator(part: pathlib.Path) -> pathlib.Path:
    """Where the server's mark of the file's edition is kept while it is incomplete."""
    return part.with_name(f"{part.name}.etag")


def _digest(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recorded(folder: pathlib.Path) -> dict[str, tuple[int, str]]:
    if not (folder / RECORD).exists():
        return {}
    rows = (line.split("\t") for line in (folder / RECORD).read_text().splitlines())
    return {name: (int(size), digest) for name, size, digest in rows}


def _add_to_record(folder: pathlib.Path, file: RemoteFile, size: int, digest: str) -> None:
    rows = {**_recorded(folder), file.name: (size, digest)}
    with atomic_write(folder / RECORD, "w") as out:
        out.writelines(f"{name}\t{count}\t{value}\n" for name, (count, value) in sorted(rows.items()))
    line = f"{file.name}: no checksum is known for it; recorded that of this download: {size:,} bytes, SHA-256 {digest}"
    print(line, file=sys.stderr, flush=True)
