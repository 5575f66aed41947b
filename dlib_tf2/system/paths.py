"""Paths of any file system: pathlib's for local ones, `RemotePath` for addresses such as
gs://bucket/run.

Both have the operations of `AnyPath`. Local paths load nothing. A remote path loads TensorFlow when
it is first used: its file systems reach buckets with the credentials of the machine.
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
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import IO, Any, Literal, NamedTuple, Protocol, Self

from dlib_tf2.errors import DlibError, UserError, first_line
from dlib_tf2.system.quiet import import_tensorflow

_ADDRESS = re.compile(r"([a-z][a-z0-9]+)://+(.*)")


class Stat(Protocol):
    """What `AnyPath.stat` returns."""

    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime(self) -> float: ...


class AnyPath(Protocol):
    """The operations that pathlib.Path and `RemotePath` share.

    A library that opens files by itself needs a `local_copy`.
    """

    @property
    def name(self) -> str: ...
    @property
    def stem(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    @property
    def parent(self) -> Self: ...
    @property
    def parents(self) -> Sequence[Self]: ...
    def __fspath__(self) -> str: ...
    def __lt__(self, other: Self, /) -> bool: ...
    def __truediv__(self, name: str, /) -> Self: ...
    def expanduser(self) -> Self: ...
    def resolve(self) -> Self: ...
    def exists(self) -> bool: ...
    def is_dir(self) -> bool: ...
    def is_file(self) -> bool: ...
    def is_symlink(self) -> bool: ...
    def stat(self) -> Stat: ...
    def iterdir(self) -> Iterator[Self]: ...
    def glob(self, pattern: str, /) -> Iterator[Self]: ...
    def open(self, mode: Literal["rb"], /) -> AbstractContextManager[IO[bytes]]: ...
    def read_bytes(self) -> bytes: ...
    def read_text(self, encoding: str) -> str: ...
    def mkdir(self, *, parents: bool, exist_ok: bool) -> None: ...
    def unlink(self, missing_ok: bool = False) -> None: ...
    def rmdir(self) -> None: ...


def as_path(path: str | os.PathLike) -> AnyPath:
    """The path object of a local path or of a remote address.

    Raises:
        UserError: an address that went through pathlib, which makes gs:/bucket of gs://bucket.
    """
    text = os.fspath(path)
    if _ADDRESS.fullmatch(text):
        return RemotePath(text)
    if text.startswith("gs:/"):
        raise UserError(
            f"{text} is no address; write gs://{text[4:]} (pathlib.Path drops a slash: pass text)"
        )
    return pathlib.Path(path)


class _Stat(NamedTuple):
    st_size: int
    st_mtime: float


class RemotePath(os.PathLike):
    """An address on a file system that TensorFlow knows.

    A file that does not exist raises FileNotFoundError, as in pathlib; any other failure is a
    DlibError that names the address. A folder is only a prefix that names share.
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
    def stem(self) -> str:
        """The last part without its ending."""
        return pathlib.PurePath(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending of the last part, with its dot."""
        return pathlib.PurePath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in; a bucket is its own."""
        return RemotePath(f"{self._scheme}://{'/'.join(self._parts[:-1] or self._parts)}")

    @property
    def parents(self) -> tuple[RemotePath, ...]:
        """The folders above, nearest first, without the bucket: few accounts may look at that."""
        return tuple(
            RemotePath(f"{self._scheme}://{'/'.join(self._parts[:length])}")
            for length in range(len(self._parts) - 1, 1, -1)
        )

    def expanduser(self) -> RemotePath:
        """Itself: `~` is an ordinary character."""
        return self

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

    def mkdir(self, parents: bool, exist_ok: bool) -> None:
        """Does nothing: a folder exists once it holds a file."""

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
                f"TensorFlow cannot use {self} ({first_line(error)}); use gs:// or a mounted folder"
            ) from error
        except tf.errors.OpError as error:
            remedy = "check the address, this machine's credentials and the network"
            raise DlibError(f"cannot use {self} ({first_line(error)}); {remedy}") from error


@contextlib.contextmanager
def local_copy(path: AnyPath) -> Iterator[pathlib.Path]:
    """A local file of the same content and name, for the block: a local path is returned as it is,
    a remote one is copied to a temporary folder.

    Raises:
        FileNotFoundError: a remote path does not exist.
    """
    if not isinstance(path, RemotePath):
        yield pathlib.Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / path.name
        with path.open() as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file, 16 << 20)
        yield target
