"""The image table: one memory-mapped uint8 file per dataset, rows in grid order, shared by every
process that opens it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dlib_tf2.datasets import checksums, table_cache
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.versions import change_line
from dlib_tf2.errors import DlibError, UserError, first_line
from dlib_tf2.system.files import atomic_write, sync_folder
from dlib_tf2.system.locks import own_turn
from dlib_tf2.system.paths import AnyPath, RemotePath
from dlib_tf2.system.progress import Progress

if TYPE_CHECKING:
    import tensorflow as tf

TABLES = "dlib_tables"  # the folder of all tables in a data folder
FILE, ABOUT = "images.npy", "table.json"  # of one table
# (uint8 images [n, h, w, c], grid indices [n]), in any order, each grid point exactly once over the
# whole iteration.
Rows = Iterable[tuple[np.ndarray, np.ndarray]]


class ComputedTable(Protocol):
    """A table whose rows are computed from a smaller, stored table."""

    base: np.ndarray  # uint8 [n, h, w, c], memory-mapped
    rule: str  # names how rows are computed; part of the fingerprint of the images

    @property
    def shape(self) -> tuple[int, ...]:
        """[rows, h, w, c]."""

    def __len__(self) -> int:
        """The number of rows."""

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Integers [n] -> uint8 [n, h, w, c]."""

    def gatherer(self, base: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
        """The same in TensorFlow operations, from `base` as a tensor."""


class DamagedSource(DlibError):
    """Rows that cannot be those of the dataset: its files or records are damaged."""


@dataclasses.dataclass(frozen=True)
class TableInfo:
    """What a table holds; saved beside it as table.json, with checksums.

    Attributes:
        space: the full grid, hidden factors included; row i of the table is grid point i.
        visible: the names of the factors that are scored.
        shape: height, width, channels of an image.
        scale: the value that means white (1 for binary images, 255 otherwise).
        source: where the images come from, such as "rendered_sprites/small/1.0.0".
    """

    space: FactorSpace
    visible: tuple[str, ...]
    shape: tuple[int, int, int]
    scale: int
    source: str

    @property
    def table_shape(self) -> tuple[int, ...]:
        """The shape of the whole table, [grid points, h, w, c]."""
        return (self.space.size, *self.shape)

    def to_json(self) -> dict:
        """The content of table.json."""
        return {
            "names": list(self.space.names),
            "sizes": list(self.space.sizes),
            "visible": list(self.visible),
            "scale": self.scale,
            "shape": list(self.shape),
            "source": self.source,
        }

    @classmethod
    def from_json(cls, content: dict) -> TableInfo:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for other content."""
        space = FactorSpace(tuple(content["names"]), tuple(content["sizes"]))
        height, width, channels = content["shape"]
        return cls(
            space,
            tuple(content["visible"]),
            (height, width, channels),
            content["scale"],
            content["source"],
        )


def table_folder(data_dir: AnyPath, source: str) -> pathlib.Path:
    """The folder of the table of `source` (name/config/version). A table in a bucket is copied to a
    local folder first.

    Raises:
        DlibError: it cannot be copied.
    """
    folder = data_dir / TABLES / source
    if not isinstance(folder, RemotePath):
        return pathlib.Path(folder)
    local = table_cache.local_folder(folder)
    if folder.is_dir():
        try:
            local.mkdir(parents=True, exist_ok=True)
            with own_turn(local, source):
                table_cache.fetch(folder, local)
        except OSError as error:
            raise DlibError(
                f"cannot copy {folder} to {local}: {error.strerror or error}; free space or set"
                " XDG_CACHE_HOME"
            ) from error
    return local


def open_or_build(
    folder: pathlib.Path,
    info: TableInfo,
    rows: Callable[[], Rows],
    extra_bytes: int = 0,
    data_dir: pathlib.Path | None = None,
) -> np.ndarray:
    """Opens the table in `folder`; builds it first if it is missing, truncated or of another
    dataset.

    If several processes ask at the same time, one builds the table and the others wait for it.

    Args:
        folder: where images.npy and table.json live.
        info: what the table must hold.
        rows: called only to build the table; may prepare what it reads.
        extra_bytes: approximate disk space that `rows` needs beside the table.
        data_dir: searched for tables and records of older versions, which are listed when the table
            is built.

    Returns:
        uint8 [grid points, h, w, c], read-only, backed by the page cache.

    Raises:
        DlibError: the rows do not cover the grid exactly once, or the disk is full; an unfinished
            table is removed.
        UserError: the folder cannot be read or written.
    """
    if _fault(folder, info) is None:
        return open_images(folder)
    try:
        announce(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with own_turn(folder, info.source):
            # another process may have built the table while this one waited for the lock
            fault = _fault(folder, info)
            if fault is not None:
                if fault:
                    _say(f"{folder}: {fault}; building the table again")
                elif data_dir is not None and (line := _change(folder, info.source, data_dir)):
                    _say(line)
                _check_space(folder, info, extra_bytes)
                _build(folder, info, rows())
        return open_images(folder)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = (
            "free space or choose another data_dir"
            if full
            else "change its permissions or choose another data_dir"
        )
        what = (
            f"cannot prepare {info.source}: {error.strerror or error}: {error.filename or folder}"
        )
        raise (DlibError if full else UserError)(f"{what}; {remedy}") from error


def open_built(folder: pathlib.Path, source: str) -> tuple[np.ndarray, TableInfo] | str:
    """Opens a table if it exists.

    Args:
        folder: where images.npy and table.json live.
        source: what the table must have been made from.

    Returns:
        The table as `open_or_build` returns it, and its table.json; or what is wrong with it, "" if
        it does not exist.

    Raises:
        UserError: the folder cannot be read.
    """
    try:
        with permitted(folder, "read", PermissionError):
            info = TableInfo.from_json(json.loads((folder / ABOUT).read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"the table cannot be read ({first_line(error)})"
    if info.source != source:
        return "table.json describes another dataset"
    fault = _fault(folder, info)
    return (open_images(folder), info) if fault is None else fault


def _change(folder: pathlib.Path, source: str, data_dir: pathlib.Path) -> str:
    """The line about older versions: tables, local copies of a bucket's tables, records."""
    dataset = source.rpartition("/")[0]
    places = (folder.parent, data_dir / TABLES / dataset, data_dir / dataset)
    return change_line(source, places)


def open_images(folder: pathlib.Path) -> np.ndarray:
    """Maps the images of a table that is known to be sound: uint8 [grid points, h, w, c]."""
    # np.asarray drops the memmap subclass, whose indexing is several times slower; the pages stay
    # mapped through .base.
    return np.asarray(np.load(folder / FILE, mmap_mode="r", allow_pickle=False))


def _fault(folder: pathlib.Path, info: TableInfo) -> str | None:
    """None for a sound table, "" for a missing one, else what is wrong with it."""
    try:
        with permitted(folder, "read", PermissionError):
            if not (folder / FILE).exists() and not (folder / ABOUT).exists():
                return ""
            content = json.loads((folder / ABOUT).read_text())
            content.pop("checksums", None)  # compared on demand: reading 12.7 GB takes seconds
            if content != info.to_json():
                return "table.json describes another dataset"
            with open(folder / FILE, "rb") as file:
                version = np.lib.format.read_magic(file)
                shape, fortran, dtype = (
                    np.lib.format.read_array_header_1_0(file)
                    if version == (1, 0)
                    else ((), True, np.dtype(object))
                )
                expected = file.tell() + int(np.prod(info.table_shape))
        if (shape, fortran, dtype) != (info.table_shape, False, np.dtype(np.uint8)):
            return (
                f"images.npy holds {dtype} {list(shape)}, expected uint8 {list(info.table_shape)}"
            )
        size = (folder / FILE).stat().st_size
        return None if size == expected else f"images.npy has {size:,} bytes, expected {expected:,}"
    except (OSError, ValueError) as error:
        return f"the table cannot be read ({first_line(error)})"


def forget(folder: pathlib.Path, source: str) -> None:
    """Makes the next `open_or_build` build the table again.

    Raises:
        UserError: the folder cannot be written.
    """
    with permitted(folder, "write"), own_turn(folder, source):
        (folder / ABOUT).unlink(missing_ok=True)


@contextlib.contextmanager
def permitted(
    folder: pathlib.Path, what: str, error_class: type[OSError] = OSError
) -> Iterator[None]:
    """Turns an error of the file system into a UserError.

    Args:
        folder: of a table.
        what: is done to it, "read" or "write".
        error_class: the class of errors to catch.
    """
    try:
        yield
    except error_class as error:
        raise UserError(
            f"cannot {what} {folder}: {error.strerror}; change its permissions or choose another"
            " data_dir"
        ) from error


def announce(folder: pathlib.Path) -> None:
    """Prints a line before a new data folder is created, since its name may be mistyped."""
    data_dir = next((parent.parent for parent in folder.parents if parent.name == TABLES), folder)
    if not os.path.exists(data_dir):
        _say(f"the data folder {data_dir} does not exist and is created")


def _check_space(folder: pathlib.Path, info: TableInfo, extra_bytes: int) -> None:
    table, free = int(np.prod(info.table_shape)), shutil.disk_usage(folder).free
    needs = (
        f"{info.source}: needs {format_bytes(table + extra_bytes)} under {folder},"
        f" {format_bytes(free)} are free"
    )
    if free < table + extra_bytes:
        raise DlibError(f"{needs}; free some space or choose another data_dir")
    _say(needs)


def _build(folder: pathlib.Path, info: TableInfo, rows: Rows) -> None:
    """Writes all rows under a temporary name; renames the table once it is complete on the disk."""
    # a fixed name, since the lock is held: it replaces what a killed build left
    temporary = folder / ".images.npy.tmp"
    seen, sums = np.zeros(info.space.size, np.uint8), np.zeros(info.space.size, np.uint32)
    try:
        with open(temporary, "wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": info.table_shape}
            )
            header = file.tell()
            file.flush()
            # Reserving the space now turns a full disk into an error here; writes through a memory
            # map would die of SIGBUS.
            os.posix_fallocate(file.fileno(), 0, header + int(np.prod(info.table_shape)))
            progress: Progress | None = None
            for images, index in rows:
                progress = progress or Progress(
                    f"{info.source}: building the table", info.space.size
                )
                _check_rows(images, index, info)
                np.add.at(seen, index, np.minimum(1, 255 - seen[index]))
                sums[index] = checksums.of_rows(np.ascontiguousarray(images))
                _write_rows(file.fileno(), header, images, index)
                progress.advance(len(index))
            _check_cover(seen, info)
            file.flush()
            os.fsync(file.fileno())
        # table.json is removed before and written after the images: it never describes others.
        (folder / ABOUT).unlink(missing_ok=True)
        os.replace(temporary, folder / FILE)
        sync_folder(folder)
        with atomic_write(folder / ABOUT, "w") as file:
            json.dump(
                {
                    **info.to_json(),
                    "checksums": checksums.of_blocks(sums, int(np.prod(info.shape))),
                },
                file,
                indent=1,
            )
        if progress:
            progress.finish()
    finally:
        temporary.unlink(missing_ok=True)


def _check_rows(images: np.ndarray, index: np.ndarray, info: TableInfo) -> None:
    if images.dtype != np.uint8 or images.shape != (len(index), *info.shape):
        got = f"{images.dtype} {list(images.shape)}"
        raise DamagedSource(
            f"{info.source}: expected uint8 images {[len(index), *info.shape]}, got {got}; the"
            " source is damaged"
        )
    try:
        info.space.check_index(index)
    except ValueError as error:
        raise DamagedSource(f"{info.source}: {error}; the source is damaged") from error


def _write_rows(descriptor: int, header: int, images: np.ndarray, index: np.ndarray) -> None:
    """Writes each run of consecutive rows with one call; plain writes keep resident memory at one
    batch.
    """
    row_bytes = images[0].nbytes if len(images) else 0
    for run in np.split(np.arange(len(index)), np.flatnonzero(np.diff(index) != 1) + 1):
        if len(run):
            data = np.ascontiguousarray(images[run[0] : run[-1] + 1]).data.cast("B")
            offset = header + int(index[run[0]]) * row_bytes
            while data:
                written = os.pwrite(descriptor, data, offset)
                data, offset = data[written:], offset + written


def _check_cover(seen: np.ndarray, info: TableInfo) -> None:
    """Raises an error unless each grid cell came exactly once."""
    faults = []
    for cells, what in (
        (np.flatnonzero(seen > 1), "more than once"),
        (np.flatnonzero(seen == 0), "never"),
    ):
        if len(cells):
            values = zip(info.space.names, info.space.to_factors(cells[:1])[0], strict=True)
            faults.append(
                f"{len(cells):,} grid cells came {what} (such as"
                f" {', '.join(f'{name}={value}' for name, value in values)})"
            )
    if faults:
        raise DamagedSource(
            f"{info.source}: {' and '.join(faults)}; the source is damaged, remove it and prepare"
            " it again"
        )


def format_bytes(count: float) -> str:
    """A number of bytes as kB, MB or GB."""
    if count < 1e6:
        return f"{-(-count // 1000):.0f} kB"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
