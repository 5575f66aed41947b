"""Paths of any file system: pathlib's for local ones, `RemotePath` for addresses such as
gs://bucket/run.

Local paths load nothing. A remote one loads TensorFlow when it is first used, whose file systems
reach buckets with the credentials of the machine.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import io
import os
import pathlib
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any, NamedTuple, cast

from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.system.quiet import import_tensorflow

_ADDRESS = re.compile(r"([a-z][a-z0-9]+)://+(.*)")


def as_path(path: str | os.PathLike) -> pathlib.Path:
    """The path object of a local path or of a remote address; annotated as the former, whose
    operations the latter has.

    Raises:
        UserError: an address that went through pathlib, which makes gs:/bucket of gs://bucket.
    """
    text = os.fspath(path)
    if _ADDRESS.fullmatch(text):
        return cast(pathlib.Path, RemotePath(text))
    if text.startswith("gs:/"):
        raise UserError(
            f"{text} is no address; write gs://{text[4:]} (pathlib.Path drops a slash: pass text)"
        )
    return pathlib.Path(path)


class _Stat(NamedTuple):
    st_size: int
    st_mtime: float


class RemotePath(os.PathLike):
    """An address on a file system that TensorFlow knows, with the operations of pathlib.Path that
    this package uses.

    What does not exist raises FileNotFoundError, as in pathlib; any other trouble is a DlibError
    that names the address. Folders are but common beginnings of names, so that none needs to be
    made.
    """

    def __init__(self, address: str):
        match = _ADDRESS.fullmatch(address)
        assert match is not None, address
        self._scheme, self._parts = match[1], tuple(part for part in match[2].split("/") if part)

    def __fspath__(self) -> str:
        return f"{self._scheme}://{'/'.join(self._parts)}"

    __str__ = __fspath__

    def __repr__(self) -> str:
        return f"RemotePath({self.__fspath__()!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __lt__(self, other: RemotePath) -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str | os.PathLike) -> RemotePath:
        return RemotePath(f"{self}/{os.fspath(name)}")

    @property
    def name(self) -> str:
        """The last part."""
        return self._parts[-1]

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in; a bucket is its own."""
        return RemotePath(f"{self._scheme}://{'/'.join(self._parts[:-1] or self._parts)}")

    @property
    def parents(self) -> tuple[RemotePath, ...]:
        """The folders above, nearest first, without the bucket: to look at that one takes a right
        that few accounts have.
        """
        return tuple(
            RemotePath(f"{self._scheme}://{'/'.join(self._parts[:length])}")
            for length in range(len(self._parts) - 1, 1, -1)
        )

    def resolve(self) -> RemotePath:
        """Itself: there are no links and no current folder."""
        return self

    def exists(self) -> bool:
        """Whether there is a file or folder."""
        with self._gfile() as gfile:
            return gfile.exists(str(self))

    def is_dir(self) -> bool:
        """Whether there are files below it."""
        with self._gfile() as gfile:
            return gfile.isdir(str(self))

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.exists() and not self.is_dir()

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def stat(self) -> _Stat:
        """Size in bytes and time of the last change."""
        with self._gfile() as gfile:
            found = gfile.stat(str(self))
            return _Stat(found.length, found.mtime_nsec / 1e9)

    def iterdir(self) -> Iterator[RemotePath]:
        """What is in the folder."""
        with self._gfile() as gfile:
            names = {name.strip("/") for name in gfile.listdir(str(self))} - {""}
        yield from (self / name for name in sorted(names))

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """What matches, such as "*/results.json"; nothing where the folder does not exist."""
        first, _, rest = pattern.partition("/")
        if not self.is_dir():
            return
        for path in self.iterdir():
            if fnmatch.fnmatchcase(path.name, first):
                yield from path.glob(rest) if rest else (path,)

    @contextlib.contextmanager
    def open(self, mode: str = "rb") -> Iterator[IO[bytes]]:
        """Opens the file for reading, in pieces."""
        assert mode == "rb", "remote files are written through replacing()"
        with self._gfile() as gfile:
            if not gfile.exists(str(self)):  # or it would say so at the first read only
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
            with gfile.GFile(str(self), "rb") as file:
                yield file

    def read_bytes(self) -> bytes:
        """The whole content."""
        with self.open() as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """The whole content as text."""
        return self.read_bytes().decode(encoding)

    @contextlib.contextmanager
    def replacing(self, mode: str = "wb") -> Iterator[IO]:
        """A local temporary file ("wb", or "w" for UTF-8) that becomes this file at the end of the
        block, whole or not at all.

        It is sent under another name and renamed there: right on every file system, also where
        writing is not one act as in a bucket.
        """
        with tempfile.TemporaryFile() as local:
            file: Any = local if "b" in mode else io.TextIOWrapper(local, encoding="utf-8")
            yield file
            file.flush()
            local.seek(0)
            self._upload(local)

    def _upload(self, content: IO[bytes]) -> None:
        temporary = str(self.parent / f".{self.name}.{secrets.token_hex(4)}.tmp")
        with self._gfile() as gfile:
            try:
                if len(self._parts) > 2 and not gfile.isdir(str(self.parent)):
                    gfile.makedirs(str(self.parent))
                with gfile.GFile(temporary, "wb") as file:
                    file.write(b"")  # makes the file, also where there is nothing to copy
                    shutil.copyfileobj(content, file, 16 << 20)
                gfile.rename(temporary, str(self), overwrite=True)
            except BaseException:
                with contextlib.suppress(Exception):
                    gfile.remove(temporary)
                raise

    def unlink(self, missing_ok: bool = False) -> None:
        """Deletes the file."""
        try:
            with self._gfile() as gfile:
                gfile.remove(str(self))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rmdir(self) -> None:
        """Deletes the folder, which must be empty; one without an object of its own is gone
        already.
        """
        with contextlib.suppress(FileNotFoundError), self._gfile() as gfile:
            gfile.rmtree(str(self))

    @contextlib.contextmanager
    def _gfile(self) -> Iterator[Any]:
        """TensorFlow's file operations, with errors that our callers know."""
        if "tensorflow" not in sys.modules:
            import_tensorflow()
        tf: Any = sys.modules["tensorflow"]
        try:
            yield tf.io.gfile
        except tf.errors.NotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self)) from error
        except tf.errors.UnimplementedError as error:
            raise UserError(
                f"TensorFlow cannot use {self} ({_reason(error)}); use gs:// or a mounted folder"
            ) from error
        except tf.errors.OpError as error:
            remedy = "check the address, this machine's credentials and the network"
            raise DlibError(f"cannot use {self} ({_reason(error)}); {remedy}") from error


@contextlib.contextmanager
def local_copy(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A local file of the same content and name for the block: a local path itself, of a remote one
    a temporary copy.

    Raises:
        FileNotFoundError: a remote path does not exist.
    """
    if not isinstance(path, RemotePath):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / path.name
        with path.open() as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file, 16 << 20)
        yield target


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
