"""Downloads that resume: a file is fetched to <name>.part, verified, and renamed when it is
whole.
"""

import contextlib
import dataclasses
import datetime
import email.utils
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
from dlib_tf2.datasets.hash_record import RECORD, digest, recorded
from dlib_tf2.datasets.image_table import format_bytes
from dlib_tf2.errors import FEW, DlibError, UserError, few
from dlib_tf2.system.files import sync_folder
from dlib_tf2.system.progress import Progress

_BLOCK = 1 << 20
# tries without progress; seconds without a byte; seconds between tries
_TRIES, _TIMEOUT, _PAUSE = 5, 60.0, 1.0
_MOST_PAUSE = 30.0  # seconds; a server that asks for a longer one is left alone
_BUSY = (408, 429)  # request timeout, too many requests: the only refusals that pass by themselves


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset.

    Attributes:
        name: its original name, under which the builder reads it.
        url: where it comes from.
        size: in bytes, where known.
        sha256: where known; otherwise see `hash_record`.
        at_most: bytes that it cannot exceed, to plan space by where the size is not known.
        other_names: names of other editions that serve as well where a person put them there.
        md5: as third parties report it; another one is worth a warning, not a refusal.
        corrupted_md5: of an edition that its authors have replaced; worth a warning too.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None
    at_most: int = 0
    other_names: tuple[str, ...] = ()
    md5: str | None = None
    corrupted_md5: str | None = None

    def found_in(self, folder: pathlib.Path) -> pathlib.Path | None:
        """The file, or another edition of it, in `folder`."""
        return next(
            (folder / name for name in (self.name, *self.other_names) if (folder / name).is_file()),
            None,
        )

    def describe(self) -> str:
        """Name, address and size, for a person who has to get it."""
        size = (
            format_bytes(self.size)
            if self.size
            else f"at most {format_bytes(self.at_most)}"
            if self.at_most
            else "size not known here"
        )
        return f"{self.name} ({size}) from {self.url}"


def fetch(file: RemoteFile, folder: pathlib.Path) -> pathlib.Path:
    """Downloads a file into `folder`, or goes on downloading it; one that is there already is only
    verified.

    Returns:
        Its path.

    Raises:
        DlibError: the server does not answer or refuses, the connection breaks for good, the
            content is wrong, or the disk is full.
    """
    path = file.found_in(folder)
    if path is None:
        folder.mkdir(parents=True, exist_ok=True)
        path, part = folder / file.name, folder / f"{file.name}.part"
        try:
            _receive(file, part)
        except OSError as error:
            raise DlibError(
                f"cannot write {part}: {error.strerror or error}; free space or choose another"
                " data_dir"
            ) from error
        verify(file, part, folder)
        os.replace(part, path)
        _edition(part).unlink(missing_ok=True)
        sync_folder(folder)
        return path
    verify(file, path, folder)
    return path


def check_all(files: Sequence[RemoteFile], folder: pathlib.Path) -> None:
    """Refuses a folder in which a person has not put all files.

    Raises:
        UserError: some are missing; the message lists name, size and address of the first, and
            where they are more, a line for each of them was printed.
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
    """Verifies files that a person put into `folder`.

    Raises:
        UserError: some are missing, as in `check_all`.
        DlibError: one is not what it should be.
    """
    check_all(files, folder)
    for file in files:
        path = file.found_in(folder)
        assert path is not None
        verify(file, path)


def to_come(file: RemoteFile, folder: pathlib.Path) -> int | None:
    """Bytes that `fetch` has still to download, at most; None where the size is not known."""
    if file.found_in(folder) is not None:
        return 0
    size, part = file.size or file.at_most, folder / f"{file.name}.part"
    return max(0, size - (part.stat().st_size if part.exists() else 0)) if size else None


def verify(file: RemoteFile, path: pathlib.Path, record: pathlib.Path | None = None) -> None:
    """Compares size and SHA-256 with what is known of a file; another edition of it is taken as it
    is.

    Args:
        file: what is known.
        path: the content; a `.part` that is not what was published is removed, since going on with
            it is useless.
        record: folder of the hashes of earlier downloads, by which a file is judged whose hash
            nobody published.

    Raises:
        DlibError: it is another content.
    """
    if path.name in file.other_names:
        return
    known = recorded(record).get(file.name) if record and not file.sha256 else None
    expected_size, expected = known or (file.size, file.sha256)
    size = path.stat().st_size
    fault = (
        f"has {size:,} bytes, expected {expected_size:,}"
        if expected_size and size != expected_size
        else ""
    )
    if not fault and expected and (found := digest(path)) != expected:
        fault = f"has the SHA-256 {found}, expected {expected}"
    if not fault:
        _warn_of_md5(file, path)
        return
    remedy = f"remove {path} and get it again from {file.url}"
    if known and record:  # gigabytes are not deleted for a hash of our own
        remedy = f"{remedy}, or remove its line from {record / RECORD} if this is the right one"
    elif path.suffix == ".part":
        _drop(path)
        remedy = f"it was removed; run again, or get it by hand and use --manual_dir ({file.url})"
    raise DlibError(f"{path} {fault}; it is damaged or another edition; {remedy}")


def _warn_of_md5(file: RemoteFile, path: pathlib.Path) -> None:
    """Compares the MD5 that third parties report."""
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
        # as it is about to be called
        path = path.with_name(file.name) if path.suffix == ".part" else path
        print(f"warning: {path} has the MD5 {found}, {what}", file=sys.stderr, flush=True)


def _receive(file: RemoteFile, part: pathlib.Path) -> None:
    """Appends to `part` until it is whole; a connection that breaks is opened again where it broke
    off.
    """
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
                f" at byte {now:,}" + (f" of {total:,}" if total else "") + ", which are kept"
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
        # urllib reports a circle, and too many redirections, in several lines of its own.
        return f"the server redirects in a circle, or to no address ({error.code})"
    asked = _asked_pause(error)
    wait = f", and asks to wait {asked:,.0f} s" if asked > 0 else ""
    return f"the server answered {error.code} {error.reason}{wait}"


def _asked_pause(error: urllib.error.HTTPError) -> float:
    """Seconds until the next try that the server asks for: a number, or a date; 0 if it does
    not.
    """
    asked = error.headers.get("Retry-After") or ""
    if asked.isdecimal():
        return float(asked)
    with contextlib.suppress(ValueError, TypeError):  # TypeError: a date without a time zone
        until = email.utils.parsedate_to_datetime(asked)
        return max(0.0, (until - datetime.datetime.now(datetime.UTC)).total_seconds())
    return 0.0


def _request(file: RemoteFile, part: pathlib.Path, start: int) -> int | None:
    """One request for what is missing from byte `start` on; returns the size of the whole file, if
    the server says it.
    """
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
        # "range not satisfiable": nothing is missing, or what is there is no part of the file
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
                # other bytes than were asked for, or of a file that has changed: begin anew
                _drop(part)
                return None
        else:
            start = 0
            mark = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            _edition(part).write_text(f"{'' if mark.startswith('W/') else mark}\n{length or ''}")
        total_bytes = start + int(length) if length else file.size
        _append(response, part, start, f"{file.name}: downloading, MB", total_bytes)
    # without a length, the end of the stream is the end
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
    """Where the server's mark of the file's edition, and its size, are kept while it is
    incomplete.
    """
    return part.with_name(f"{part.name}.etag")


def _read_edition(part: pathlib.Path) -> tuple[str, str]:
    """(mark, size of the whole file), each "" where it is not known."""
    mark, _, size = (_edition(part).read_text() if _edition(part).exists() else "").partition("\n")
    return mark, size


def _drop(part: pathlib.Path) -> None:
    part.unlink(missing_ok=True)
    _edition(part).unlink(missing_ok=True)
