"""One step's folder: `config.gin` (operative, parses again) and `results.json` (typed, with its
whole provenance).

    {"step": "train", "format": 1, "values": {...}, "warnings": [],
     "config": {"train.batch_size": 64, ...}, "labels": {"dataset": ...},
     "sources": {<module outside of the package>: SHA-256}, "sha256": {<file>: SHA-256},
     "versions": {...}, "device": "cpu", "host": ..., "folder": ...,
     "started": ..., "finished": ..., "seconds": ...,
     "made_from": <the record of the step before, or null>}
"""

import datetime
import hashlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlib_tf2 import __version__
from dlib_tf2.configuration import gin_utils, sources
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.folders import exactly
from dlib_tf2.system.paths import AnyPath, as_path

FORMAT = 1
WRITTEN = exactly("results.json", "config.gin")  # what `write_step` writes
# what later steps look up
_KEYS = {"step", "values", "config", "labels", "finished", "folder", "made_from"}
_PACKAGES = (
    "tensorflow",
    "keras",
    "tensorflow-probability",
    "tensorflow-datasets",
    "numpy",
    "scikit-learn",
    "lightgbm",
    "gin-config",
)


def write_step(
    folder: str | os.PathLike,
    step: str,
    values: Mapping[str, Any],
    *,
    started: float,
    previous: Mapping[str, Any] | None = None,
    labels: Mapping[str, Any] | None = None,
    device: str = "cpu",
    config_text: str | None = None,
    warnings: Sequence[Mapping[str, str]] = (),
    files: Sequence[str] = (),
    named: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes `config.gin`, then `results.json`, which marks the step as complete.

    Args:
        folder: the step's folder.
        step: "train", "postprocess" or "evaluate".
        values: what the step measured: numbers, strings, lists and dicts of them; NaN is kept.
        started: time.time() at the start of the step.
        previous: the record of the step that this one was made from; the new record holds it whole.
        labels: what later steps look up by name: dataset, method, hyperparameters, metric, ...
        device: what the step ran on.
        config_text: gin text to keep; the operative configuration by default.
        warnings: reasons why the values mean less than they seem to, each a `kind` and a `text`.
        files: names of files of the folder that the record keeps the SHA-256 of.
        named: registered functions that the step called and its configuration does not name; their
            sources count too.

    Returns:
        The record that was written.
    """
    folder = as_path(folder)
    text = gin_utils.operative_text() if config_text is None else config_text
    finished = datetime.datetime.now(datetime.UTC)
    record = {
        "step": step,
        "format": FORMAT,
        "values": _plain(values),
        "warnings": _plain(list(warnings)),
        "config": _plain(gin_utils.typed_bindings(text)),
        "labels": _plain(labels or {}),
        "sources": sources.of_text(text, imports=config_text is not None) | sources.of_names(named),
        "sha256": {name: file_hash(folder / name) for name in files},
        "versions": package_versions(),
        "device": device,
        "host": platform.node(),
        "started": (
            datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds")
        ),
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": round(finished.timestamp() - started, 3),
        "folder": str(folder.resolve()),
        "made_from": _plain(previous) if previous is not None else None,
    }
    with atomic_write(folder / "config.gin", "w") as file:
        file.write(text)
    write_json(folder / "results.json", record)
    return record


def read_step(folder: str | os.PathLike) -> dict[str, Any]:
    """Reads the record of a finished step.

    Raises:
        DlibError: the folder has no readable `results.json`.
    """
    path = as_path(folder) / "results.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DlibError(
            f"{folder} holds no results.json: the step that writes it has not finished"
        ) from error
    except (OSError, ValueError) as error:
        raise DlibError(f"{path} is damaged ({error}); delete it and run the step again") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or not set(record) >= _KEYS:
        raise DlibError(
            f"{path} is not a results file of this version; delete it and run the step again"
        )
    return record


def read_training(model_dir: str | os.PathLike) -> dict[str, Any]:
    """Reads the record of a finished training run.

    Raises:
        UserError: the folder holds none.
        DlibError: the record is damaged.
    """
    if not (as_path(model_dir) / "results.json").is_file():
        raise UserError(
            f"{model_dir} holds no finished training run; finish it with dlib_train"
            f" --model_dir={model_dir}"
        )
    record = read_step(model_dir)
    if record["step"] != "train":
        raise UserError(
            f"{model_dir} was written by the step {record['step']!r}, not by dlib_train; name the"
            " folder of a training run"
        )
    return record


def is_complete(folder: str | os.PathLike) -> bool:
    """Whether a step has finished in `folder`; a damaged record counts as not finished."""
    try:
        read_step(folder)
    except DlibError:
        return False
    return True


def history(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The record and those it was made from, newest first."""
    current: Mapping[str, Any] | None = record
    while current is not None:
        yield current
        current = current.get("made_from")


def label(record: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The newest value of a label along the history of a record, e.g. label(record, "dataset")."""
    return next(
        (step["labels"][name] for step in history(record) if name in step["labels"]), default
    )


def file_hash(path: AnyPath) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def changed_files(folder: AnyPath, record: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Those of `names` that changed since a step wrote them, by the hashes in its record.

    A file that does not exist does not count, nor does one that the record has no hash of.
    """
    known = record.get("sha256") or {}
    return [
        name
        for name in names
        if name in known and (folder / name).is_file() and file_hash(folder / name) != known[name]
    ]


def refuse_changed_codes(folder: AnyPath, record: Mapping[str, Any]) -> None:
    """Refuses codes that are not those of the record.

    Raises:
        DlibError: `representation.npz` is not the file that dlib_postprocess wrote.
    """
    for name in changed_files(folder, record, ["representation.npz"]):
        raise DlibError(
            f"{folder / name} is not the file that dlib_postprocess wrote: run that again, or score"
            " codes of another origin from a folder without results.json"
        )


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes JSON atomically; NaN and infinities stay as Python's json writes and reads them."""
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def package_versions() -> dict[str, str]:
    """Versions of what a result depends on; a package that is not installed is left out."""
    # ours also where it runs uninstalled, from a clone
    versions = {"dlib_tf2": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def format_table(rows: Mapping[str, float]) -> str:
    """A small aligned table of names and numbers for the terminal; a row "<name>:std" stands beside
    its name's number.
    """
    names = [
        name
        for name in rows
        if name.removesuffix(":std") == name or name.removesuffix(":std") not in rows
    ]
    width = max(map(len, names), default=0)
    beside = {
        name: f"  +- {rows[f'{name}:std']:.4f}" if f"{name}:std" in rows else "" for name in names
    }
    return "\n".join(
        (
            f"  {name:<{width}}  {rows[name]:.4f}{beside[name]}"
            if math.isfinite(rows[name])
            else f"  {name:<{width}}  {rows[name]}"
        )
        for name in names
    )


def _plain(value: Any) -> Any:
    """JSON types: numpy numbers and arrays become Python's, what JSON does not know becomes
    text.
    """
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return os.fspath(value) if isinstance(value, os.PathLike) else repr(value)
