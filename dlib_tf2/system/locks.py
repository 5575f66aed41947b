"""All file locks. A lock ends with the process that holds it, however that ends."""

import contextlib
import fcntl
import os
import pathlib
import platform
import sys
import time
from collections.abc import Iterator

from dlib_tf2.errors import UserError
from dlib_tf2.system.paths import AnyPath, RemotePath, as_path

LOCK = ".lock"  # never deleted: a second file of this name would be a second lock
_SECONDS = 2.0  # longer than `is_locked` takes, which holds the lock for a moment


@contextlib.contextmanager
def only_process(folder: AnyPath) -> Iterator[None]:
    """Holds the lock of a folder, and refuses a second process there.

    A bucket has no locks, nor have some file systems: there nobody is refused.

    Raises:
        UserError: another process holds it; the message names that process and its machine.
    """
    descriptor = None if isinstance(folder, RemotePath) else _open(folder / LOCK)
    if descriptor is None:
        yield
        return
    try:
        until = time.monotonic() + _SECONDS
        while not _take(descriptor):
            if time.monotonic() > until:
                raise _busy(folder, _holder(descriptor))
            time.sleep(0.1)
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def refuse_busy(folder: str | os.PathLike) -> None:
    """Refuses a folder in which another process is at work now, and takes nothing: only
    `only_process` keeps others out.

    Raises:
        UserError: as in `only_process`.
    """
    path = as_path(folder)
    if not isinstance(path, RemotePath) and is_locked(local := pathlib.Path(path)):
        raise _busy(local, (local / LOCK).read_text(errors="replace"))


@contextlib.contextmanager
def own_turn(folder: pathlib.Path, what: str, name: str = LOCK) -> Iterator[None]:
    """Holds a lock file; while another process holds it, prints a line and waits.

    Args:
        folder: the folder of the lock file.
        what: is prepared under the lock, for the message.
        name: of the lock file.
    """
    with open(folder / name, "a", encoding="utf-8") as file:
        if not _take(file.fileno()):
            busy = f"{what}: another process is preparing it; waiting for it to finish"
            print(busy, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(folder: pathlib.Path) -> bool:
    """Whether some process holds the lock of a folder."""
    try:
        with open(folder / LOCK, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _open(path: AnyPath) -> int | None:
    """A descriptor of the lock file; None where the folder cannot be written, so nobody works."""
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        with contextlib.suppress(OSError):
            return os.open(path, flags, 0o666)
    return None


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _sign(descriptor: int) -> None:
    """Writes who holds the lock; the file keeps its times, like all files of a finished folder."""
    with contextlib.suppress(OSError):
        before = os.fstat(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
        os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace")


def _busy(folder: AnyPath, holder: str) -> UserError:
    who = " ".join(holder.split()) or "it did not say which"
    return UserError(
        f"another process is at work in {folder} ({who}); wait for it to end, or choose another"
        " folder"
    )
