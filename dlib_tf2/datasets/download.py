"""Downloads that resume: a file is fetched to <name>.part, verified, and renamed when it is
complete.
"""

import contextlib
import dataclasses
import datetime
import email.utils
import hashlib
import http.client
import os
import pathlib
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from dlib_tf2 import __version__
from dlib_tf2.datasets.image_table import format_bytes
from dlib_tf2.errors import FEW, DlibError, UserError, few
from dlib_tf2.system.files import sync_folder
from dlib_tf2.system.progress import Progress

_BLOCK = 1 << 20
# tries without progress; seconds without a byte; seconds between tries
_TRIES, _TIMEOUT, _PAUSE = 5, 60.0, 1.0
_MOST_PAUSE = 30.0  # seconds; if a server asks for a longer one, we give up
_BUSY = (408, 429)  # request timeout, too many requests: the only 4xx answers worth a retry


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset.

    Attributes:
        name: its original name, under which the builder reads it.
        url: where it comes from.
        size: in bytes, where known.
        sha256: where known.
        at_most: an upper bound in bytes, by which space is planned if the size is not known.
        other_names: file names of other editions, which are accepted if the user put them there.
        md5: as third parties report it; a different one causes a warning, not an error.
        corrupted_md5: of an edition that its authors have replaced; causes a warning too.
        record: the file that `size` and `sha256` were read from, if nobody published them.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None
    at_most: int = 0
    other_names: tuple[str, ...] = ()
    md5: str | None = None
    corrupted_md5: str | None = None
    record: pathlib.Path | None = None

    def found_in(self, folder: pathlib.Path) -> pathlib.Path | None:
        """The file, or another edition of it, in `folder`."""
        return next(
            (folder / name for name in (self.name, *self.other_names) if (folder / name).is_file()),
            None,
        )

    def describe(self) -> str:
        """Name, address and size, for a user who has to get it."""
        size = (
            format_bytes(self.size)
            if self.size
            else f"at most {format_bytes(self.at_most)}"
            if self.at_most
            else "size not known here"
        )
        return f"{self.name} ({size}) from {self.url}"


def fetch(file: RemoteFile, folder: pathlib.Path) -> pathlib.Path:
    """Downloads a file into `folder`, or resumes its download; a file that is already there is only
    verified.

    Returns:
        Its path.

    Raises:
        DlibError: the server does not answer or refuses, the connection breaks for good, the
            content is wrong, or the disk is full.
    """
    if there := file.found_in(folder):
        verify(file, there)
        return there
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / file.name, folder / f"{file.name}.part"
    try:
        _receive(file, part)
    except OSError as error:
        raise DlibError(
            f"cannot write {part}: {error.strerror or error}; free space or choose another data_dir"
        ) from error
    verify(file, part)
    os.replace(part, path)
    _edition(part).unlink(missing_ok=True)
    sync_folder(folder)
    return path


def check_all(files: Sequence[RemoteFile], folder: pathlib.Path) -> None:
    """Refuses a folder into which the user has not put all files.

    Raises:
        UserError: some are missing; the message lists the first few with size and address, and if
            there are more, all of them were printed, one a line.
    """
    missing = [file.describe() for file in files if file.found_in(folder) is None]
    if len(missing) > FEW:
        print(*missing, sep="\n", file=sys.stderr, flush=True)
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} of {len(files)} files; put there under these names:"
            f" {few(missing)}"
        )


def find_all(files: Sequence[RemoteFile], folder: pathlib.Path) -> None:
    """Verifies files that the user put into `folder`.

    Raises:
        UserError: some are missing, as in `check_all`.
        DlibError: one has the wrong content.
    """
    check_all(files, folder)
    for file in files:
        path = file.found_in(folder)
        assert path is not None
        verify(file, path)


def to_come(file: RemoteFile, folder: pathlib.Path) -> int | None:
    """The most bytes that `fetch` still has to download; None if the size is not known."""
    if file.found_in(folder) is not None:
        return 0
    size, part = file.size or file.at_most, folder / f"{file.name}.part"
    return max(0, size - (part.stat().st_size if part.exists() else 0)) if size else None


def verify(file: RemoteFile, path: pathlib.Path) -> None:
    """Compares a file with its known size and SHA-256; other editions are accepted as they are.

    A `.part` with the wrong content is removed, since resuming it is useless.

    Raises:
        DlibError: the content is wrong.
    """
    if path.name in file.other_names:
        return
    size, fault = path.stat().st_size, ""
    if file.size and size != file.size:
        fault = f"has {size:,} bytes, expected {file.size:,}"
    elif file.sha256 and (found := digest(path)) != file.sha256:
        fault = f"has the SHA-256 {found}, expected {file.sha256}"
    if not fault:
        _warn_of_md5(file, path)
        return
    remedy = f"remove {path} and get it again from {file.url}"
    if file.record:  # gigabytes are not deleted for a hash of our own
        remedy = f"{remedy}, or remove {file.record} if this is the right one"
    elif path.suffix == ".part":
        _drop(path)
        remedy = f"it was removed; run again, or get it by hand and use --manual_dir ({file.url})"
    raise DlibError(f"{path} {fault}; it is damaged or another edition; {remedy}")


def digest(path: pathlib.Path, kind: str = "sha256") -> str:
    """The SHA-256, or another hash, of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _warn_of_md5(file: RemoteFile, path: pathlib.Path) -> None:
    """Warns if the MD5 is not the one that third parties report."""
    if not file.md5 and not file.corrupted_md5:
        return
    found, what = digest(path, "md5"), ""
    if found == file.corrupted_md5:
        what = (
            "the one of a corrupted edition that its authors have replaced: get it again from"
            f" {file.url}"
        )
    elif file.md5 and found != file.md5:
        what = f"others report {file.md5}: it may be damaged or another edition"
    if what:
        # the name that it is about to get
        path = path.with_name(file.name) if path.suffix == ".part" else path
        print(f"warning: {path} has the MD5 {found}, {what}", file=sys.stderr, flush=True)


def _receive(file: RemoteFile, part: pathlib.Path) -> None:
    """Appends to `part` until it is complete; after a broken connection, resumes where it broke."""
    tries = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        pause = _PAUSE
        try:
            total = _request(file, part, before)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in _BUSY:
                by_hand = (
                    f"get {file.name} by hand, put it into a folder and use --manual_dir=FOLDER"
                )
                raise DlibError(f"{file.url}: {_refusal(error)}; {by_hand}") from error
            pause = max(_PAUSE, _asked_pause(error))
            reason, total = _refusal(error), None
        except (
            urllib.error.URLError,
            http.client.HTTPException,
            ConnectionError,
            TimeoutError,
        ) as error:
            reason, total = (
                " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__,
                None,
            )
        else:
            reason = "the connection was closed"
        now = part.stat().st_size if part.exists() else 0
        if total is not None and now >= total:
            return
        tries = 0 if now > before else tries + 1
        if tries >= _TRIES or pause > _MOST_PAUSE:
            kept = (
                f"; {now:,} bytes" + (f" of {total:,}" if total else "") + " are kept"
                if now
                else ""
            )
            remedy = (
                "run the same command again to resume, or get the file by hand and use"
                " --manual_dir=FOLDER"
            )
            raise DlibError(f"cannot download {file.url} ({reason}{kept}); {remedy}")
        time.sleep(pause)


def _refusal(error: urllib.error.HTTPError) -> str:
    """What the server answered, in one line."""
    if error.code < 400:
        # urllib describes a loop of redirections in several lines.
        return f"the server redirects in a loop, or to no address ({error.code})"
    asked = _asked_pause(error)
    wait = f", and asks to wait {asked:,.0f} s" if asked > 0 else ""
    return f"the server answered {error.code} {error.reason}{wait}"


def _asked_pause(error: urllib.error.HTTPError) -> float:
    """Seconds that the server asks to wait, by number or by date; 0 if it asks for none."""
    asked = error.headers.get("Retry-After") or ""
    if asked.isdecimal():
        return float(asked)
    with contextlib.suppress(ValueError, TypeError):  # TypeError: a date without a time zone
        until = email.utils.parsedate_to_datetime(asked)
        return max(0.0, (until - datetime.datetime.now(datetime.UTC)).total_seconds())
    return 0.0


def _request(file: RemoteFile, part: pathlib.Path, start: int) -> int | None:
    """Requests the bytes from `start` on; returns the full size if the server sends it."""
    headers = {
        "User-Agent": f"dlib_tf2/{__version__} (dataset download)",
        "Accept-Encoding": "identity",
    }
    edition, whole = _read_edition(part)
    if start:
        headers["Range"] = f"bytes={start}-"
        if edition:
            headers["If-Range"] = edition  # or two editions of the file would be mixed
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(file.url, headers=headers), timeout=_TIMEOUT
        )
    except urllib.error.HTTPError as error:
        # "range not satisfiable": the part is complete, or it is not part of this file
        if error.code != 416:
            raise
        total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if total.isdigit() and int(total) == start:
            return start
        _drop(part)
        return None
    with response:
        length = response.headers.get("Content-Length")
        if response.status == 206:
            given = re.fullmatch(
                r"bytes (\d+)-\d*/(\d+|\*)", response.headers.get("Content-Range") or ""
            )
            if given and (int(given[1]) != start or (whole and given[2] not in ("*", whole))):
                # not the bytes that were asked for, or the file has changed: start again
                _drop(part)
                return None
        else:
            start = 0
            mark = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            _edition(part).write_text(f"{'' if mark.startswith('W/') else mark}\n{length or ''}")
        total_bytes = start + int(length) if length else file.size
        _append(response, part, start, f"{file.name}: downloading, MB", total_bytes)
    # without a length, the file ends where the stream does
    return total_bytes if total_bytes is not None else part.stat().st_size


def _append(
    response: http.client.HTTPResponse,
    part: pathlib.Path,
    start: int,
    label: str,
    total: int | None,
) -> None:
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


def _edition(part: pathlib.Path) -> pathlib.Path:
    """The file that keeps the server's ETag and the full size during a download."""
    return part.with_name(f"{part.name}.etag")


def _read_edition(part: pathlib.Path) -> tuple[str, str]:
    """(ETag, size of the whole file), each "" if not known."""
    mark, _, size = (_edition(part).read_text() if _edition(part).exists() else "").partition("\n")
    return mark, size


def _drop(part: pathlib.Path) -> None:
    part.unlink(missing_ok=True)
    _edition(part).unlink(missing_ok=True)
