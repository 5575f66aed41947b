"""Compares the images of a table with its checksums; `dlib_prepare_data` repairs a damaged one."""

import json
import pathlib
import sys
from typing import Any

import numpy as np

from dlib_tf2.datasets import checksums, image_table
from dlib_tf2.errors import DlibError
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.locks import own_turn
from dlib_tf2.system.progress import Progress

_SHOWN_BYTES = 1e9  # larger tables get a progress line


class DamagedTable(DlibError):
    """A table's images have changed since it was built."""


def row_sums(table: np.ndarray, name: str) -> np.ndarray:
    """The CRC-32 of each image. If the array is a table of ours, compares them with its checksums.

    Reads every image once (about 2 GB/s from the page cache).

    Args:
        table: uint8 [n, ...].
        name: of the dataset, for messages.

    Raises:
        DamagedTable: some have changed; the message names the rows.
    """
    progress = (
        Progress(f"{name}: reading the images for their checksums", len(table))
        if table.nbytes > _SHOWN_BYTES
        else None
    )
    sums = checksums.of_rows(table, progress.advance if progress else lambda count: None)
    if progress:
        progress.finish()
    folder = folder_of(table)
    kept = _read(folder).get("checksums") if folder else None
    if folder and kept and (damage := checksums.damage(sums, kept)):
        raise DamagedTable(
            f"{folder / image_table.FILE} is damaged: {damage}; {_remedy(folder, name)}"
        )
    return sums


def verify(folder: pathlib.Path) -> bool:
    """Compares a table's images with its checksums.

    Args:
        folder: of images.npy and table.json.

    Returns:
        Whether the table has checksums; older versions wrote none.

    Raises:
        DamagedTable: some have changed; the message names the rows.
        FileNotFoundError: there is no table.
    """
    content = _read(folder)
    row_sums(image_table.open_images(folder), content["source"])
    return "checksums" in content


def renew(table: np.ndarray, name: str, complete: bool = True) -> bool:
    """Compares a table's images with its checksums, and adds them if they are missing.

    A damaged table is marked, so that the next opening builds it again. A table of an older version
    gets the checksums of its present bytes.

    Args:
        table: as opened; any other array is left alone.
        name: of the dataset, for messages.
        complete: whether missing checksums are added.

    Returns:
        False for a damaged table.

    Raises:
        UserError: the table is damaged, and its folder cannot be written.
    """
    folder = folder_of(table)
    if folder is None:
        return True
    before = _read(folder)
    try:
        sums = row_sums(table, name)
    except DamagedTable as damage:
        _say(str(damage).partition(";")[0] + "; it is built again")
        image_table.forget(folder, name)
        return False
    if complete and "checksums" not in before:
        _add(folder, name, before, checksums.of_blocks(sums, table[:1].nbytes))
    return True


def _add(folder: pathlib.Path, name: str, before: dict[str, Any], sums: dict[str, Any]) -> None:
    try:
        with own_turn(folder, name):
            if _read(folder) == before:  # another process may have built another table meanwhile
                with atomic_write(folder / image_table.ABOUT, "w") as file:
                    json.dump({**before, "checksums": sums}, file, indent=1)
    except (OSError, DlibError) as error:
        _say(
            f"{folder}: an older version built this table, without checksums, and they cannot be"
            f" added ({error})"
        )
    else:
        _say(
            f"{folder}: an older version built this table, without checksums; those of its bytes as"
            " they are now were added"
        )


def folder_of(table: np.ndarray) -> pathlib.Path | None:
    """The folder of a mapped table; None for an array that is not a table of ours."""
    if not isinstance(table.base, np.memmap) or not table.base.filename:
        return None
    path = pathlib.Path(table.base.filename)
    return (
        path.parent.resolve()
        if path.name == image_table.FILE and (path.parent / image_table.ABOUT).is_file()
        else None
    )


def _read(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / image_table.ABOUT).read_text())


def _remedy(folder: pathlib.Path, name: str) -> str:
    data_dir = next(
        (parent.parent for parent in folder.parents if parent.name == image_table.TABLES), None
    )
    return (
        f"run: dlib_prepare_data --dataset={name}"
        + (f" --data_dir={data_dir}" if data_dir else "")
        + ", which builds it again"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
