"""A tree of runs -> one tidy table: a row per model x representation x metric x score. Never
imports TensorFlow.

Scores come from the records of the evaluate step; a model's final training values are rows of the
metric "train". They are taken from the train step's own record, or, where that was deleted or lies
elsewhere, from the copy that every later record keeps.
"""

import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
import pyarrow.parquet

from dlib_tf2 import __version__
from dlib_tf2.errors import DlibError, UserError, few
from dlib_tf2.records import results, score_rows
from dlib_tf2.records.columns import COLUMNS
from dlib_tf2.records.score_rows import Entry
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.workers import spread

FORMATS = (".parquet", ".csv", ".json")
_MARK = b"dlib_aggregate_results"  # in the schema of a .parquet: the version that wrote it
_CHUNK = 200


class Damaged(NamedTuple):
    """A file that could not be read."""

    path: str
    reason: str


def aggregate(
    input_dir: str | os.PathLike, output: str | os.PathLike, num_workers: int | None = None
) -> pd.DataFrame:
    """Reads every record below a folder and writes the table; damaged files are named and skipped.

    Args:
        input_dir: any folder above finished steps; links to folders are followed.
        output: .parquet, .csv or .json to write. `<output>.damaged.txt` beside it names what could
            not be read, one path and reason a line; it is there only when there is something to
            name.
        num_workers: processes that read; all cores by default.

    Returns:
        The table, sorted by path; see `records.columns`.

    Raises:
        UserError: the folder does not exist or has no record in it, the format is unknown, or a
            file that this command did not write is where it would write one.
        DlibError: nothing could be read, or the table cannot be written.
    """
    output = check_output(output)
    table, damaged = read_tree(input_dir, num_workers)
    write(table, output)
    side = _side(output)
    if damaged:
        _replace(output, side, "".join(f"{path}\t{reason}\n" for path, reason in damaged).encode())
        print(
            f"warning: {_count(len(damaged), 'damaged file')} left out ({_first(damaged)}); all are"
            f" named in {side}",
            file=sys.stderr,
        )
    else:
        side.unlink(missing_ok=True)
    return table


def check_output(output: str | os.PathLike) -> pathlib.Path:
    """Refuses, before anything is read, a file that cannot be written or that this command did not
    write.

    A .parquet is known by a mark in its schema, other files by the SHA-256 that
    `.<output>.dlib_tf2` has of them.

    Raises:
        UserError: its ending is unknown, it is a folder, or it or the list of damaged files beside
            it exists and was not written by this command.
    """
    output = pathlib.Path(output)
    if output.suffix not in FORMATS:
        raise UserError(f"{output} must end in {', '.join(FORMATS)}")
    if output.is_dir():
        raise UserError(f"{output} is a folder; name a file to write")
    for path in (output, _side(output)):
        if path.exists() and not _is_ours(output, path):
            raise UserError(
                f"{path} exists and dlib_aggregate_results did not write it as it is; choose"
                " another --output, or delete it yourself"
            )
    return output


def _side(output: pathlib.Path) -> pathlib.Path:
    """The file beside a table that names what could not be read."""
    return output.with_name(f"{output.name}.damaged.txt")


def _is_ours(output: pathlib.Path, path: pathlib.Path) -> bool:
    """Whether this command wrote a file: by its mark, or in formats without one by its hash."""
    try:
        if path.suffix == ".parquet":
            return _MARK in (pyarrow.parquet.read_schema(path).metadata or {})
        return results.file_hash(path) in _hashes(output)
    except (OSError, ValueError):  # pyarrow's errors are among these
        return False


def _hash_file(output: pathlib.Path) -> pathlib.Path:
    return output.with_name(f".{output.name}.dlib_tf2")


def _hashes(output: pathlib.Path) -> list[str]:
    """The SHA-256 of what this command wrote last under a name, and of what it was about to
    write.
    """
    file = _hash_file(output)
    return file.read_text(encoding="utf-8").split() if file.is_file() else []


def _replace(output: pathlib.Path, path: pathlib.Path, content: bytes) -> None:
    """Writes `output` or the list beside it; its hash comes first, so that a kill between the two
    leaves a file that is ours.
    """
    old = [results.file_hash(file) for file in (output, _side(output)) if file.is_file()]
    with atomic_write(_hash_file(output), "w") as file:
        file.write("\n".join(dict.fromkeys([*old, hashlib.sha256(content).hexdigest()])) + "\n")
    with atomic_write(path) as file:
        file.write(content)


def read_tree(
    input_dir: str | os.PathLike, num_workers: int | None = None
) -> tuple[pd.DataFrame, list[Damaged]]:
    """Reads every record below a folder: (table, damaged files).

    Raises:
        UserError: no such folder, or no `results.json` with scores or training values in it.
        DlibError: there were some, and every one is damaged.
    """
    root = pathlib.Path(input_dir)
    damaged: list[Damaged] = []
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; name one that holds finished runs")
    paths = sorted(find(root, damaged))
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    workers = 1 if len(chunks) < 3 else num_workers or joblib.cpu_count()
    entries: list[Entry] = []
    for read, broken in spread(
        (joblib.delayed(_read_chunk)(root, chunk) for chunk in chunks),
        n_jobs=workers,
        batch_size="auto",
    ):
        entries += read
        damaged += broken
    if damaged and not entries:
        raise DlibError(
            f"all {_count(len(damaged), 'record')} below {root} are damaged ({_first(damaged)});"
            " run their steps again"
        )
    if not any(entry.values for entry in entries):
        raise UserError(
            f"{root} holds no results.json of dlib_train or dlib_evaluate; name the folder of"
            " finished runs"
        )
    return _table(_without_copies(entries)), damaged


def find(root: pathlib.Path, damaged: list[Damaged] | None = None) -> Iterator[str]:
    """The `results.json` files below a folder, relative to it; folders that cannot be listed are
    added to `damaged`.

    Writers rename a whole file to this name, so one that is being written is not seen. No folder is
    visited twice, whatever the links.
    """

    def say(error: OSError) -> None:
        if damaged is not None:
            damaged.append(
                Damaged(os.path.relpath(error.filename, root), error.strerror or str(error))
            )

    seen = set()
    for folder, below, files in os.walk(root, onerror=say, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below.sort()  # or the same tree would give other paths on another disk
        if "results.json" in files:
            yield os.path.relpath(os.path.join(folder, "results.json"), root)


def write(table: pd.DataFrame, output: str | os.PathLike) -> None:
    """Writes the table, whole or not at all; NaN and infinities come back from every format."""
    output = check_output(output)
    if output.suffix == ".parquet":
        content = pyarrow.Table.from_pandas(table, preserve_index=False)
        mark = {**(content.schema.metadata or {}), _MARK: __version__.encode()}
        with atomic_write(output) as file:
            pyarrow.parquet.write_table(content.replace_schema_metadata(mark), file)
    elif output.suffix == ".csv":
        _replace(output, output, table.to_csv(index=False, lineterminator="\n").encode())
    else:
        rows = (
            table.astype(object)
            .where(table.notna() | (table.dtypes == "float64"), None)
            .to_dict("records")
        )
        _replace(
            output,
            output,
            (
                "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"
            ).encode(),
        )


def _read_chunk(root: pathlib.Path, paths: Iterable[str]) -> tuple[list[Entry], list[Damaged]]:
    """The entries of some files, without the copies of a training record that they share."""
    entries, damaged, trained = [], [], set()
    for path in paths:
        try:
            for entry in list(score_rows.entries(results.read_step((root / path).parent), path)):
                if entry.own or entry.identity not in trained:
                    entries.append(entry)
                trained.add(entry.identity)
        except (
            DlibError,
            ArithmeticError,
            AttributeError,
            LookupError,
            OSError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            reason = (
                " ".join(str(error).replace(str(root / path), "it").split()) or type(error).__name__
            )
            damaged.append(Damaged(path, reason))
    return entries, damaged


def _without_copies(entries: list[Entry]) -> list[Entry]:
    """One entry for each training record: its own file's where that was read, else the first
    copy.
    """
    best: dict[str, Entry] = {}
    for entry in entries:
        if entry.identity and (
            entry.identity not in best or (entry.own and not best[entry.identity].own)
        ):
            best[entry.identity] = entry
    return [entry for entry in entries if not entry.identity or best[entry.identity] is entry]


def _table(entries: list[Entry]) -> pd.DataFrame:
    """One row per score."""
    lengths = [len(entry.values) for entry in entries]
    shared = pd.DataFrame([entry.shared for entry in entries], columns=list(COLUMNS)).drop(
        columns=["key", "value"]
    )
    shared = shared.astype({name: kind for name, kind in COLUMNS.items() if name in shared})
    table = shared.iloc[np.repeat(np.arange(len(entries)), lengths)].reset_index(drop=True)
    table["key"] = pd.array([key for entry in entries for key in entry.values], dtype="string")
    table["value"] = np.array(
        [value for entry in entries for value in entry.values.values()], dtype=np.float64
    )
    return table[list(COLUMNS)]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _first(damaged: list[Damaged]) -> str:
    return few([f"{path}: {reason}" for path, reason in damaged])
