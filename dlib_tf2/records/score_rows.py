"""One record -> its rows of the tidy table: the columns that they share, and a number for each
score.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dlib_tf2.records import results
from dlib_tf2.records.columns import COLUMNS, LABELS, TRAIN_VERSIONS, VERSIONS


class Entry(NamedTuple):
    """One record: the columns that all of its rows share, and its scores."""

    identity: str  # equal for all copies of one training record; empty for scores
    own: bool  # read from the step's own file
    shared: dict[str, Any]
    values: dict[str, float]


def entries(record: Mapping[str, Any], path: str) -> Iterator[Entry]:
    """What a record says: its own scores if it is one of evaluation or training, and the training
    values that it keeps a copy of.
    """
    trained = next((step for step in results.history(record) if step["step"] == "train"), None)
    if record["step"] == "evaluate":
        yield Entry("", True, _shared(record, record, trained, path), _flat(record["values"]))
    if trained is not None:
        yield Entry(
            _run(trained),
            trained is record,
            _shared(trained, record, trained, path),
            _flat(trained["values"]),
        )


def _run(trained: Mapping[str, Any]) -> str:
    return _digest([trained.get(name) for name in ("folder", "host", "started", "finished")])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def _shared(
    step: Mapping[str, Any], record: Mapping[str, Any], trained: Mapping[str, Any] | None, path: str
) -> dict[str, Any]:
    """The columns that all scores of a step have in common."""
    hyperparameters = results.label(record, "hyperparameters", {})
    metric = "train" if step["step"] == "train" else results.label(step, "metric")
    values = list(hyperparameters.values())
    versions, train_versions = step.get("versions", {}), (trained or {}).get("versions", {})
    scored = (
        {}
        if metric == "train"
        else {
            "representation": _label(record, "representation"),
            "evaluation_seed": _label(record, "evaluation_seed"),
            "rows": _label(record, "rows") or "all",  # older releases scored all rows
        }
    )
    return {
        **{name: _label(record, name) for name in LABELS},
        "distribution": (results.label(record, "sampler") or {}).get("distribution"),
        "changes": "; ".join(map(str, results.label(record, "changes", []))) or None,
        **scored,
        "hyperparameter": "+".join(hyperparameters),
        "strength": float(values[0])
        if len(values) == 1 and isinstance(values[0], int | float)
        else np.nan,
        "hyperparameters": json.dumps(hyperparameters, sort_keys=True),
        "steps": int(trained["values"]["steps"])
        if trained is not None and "steps" in trained["values"]
        else None,
        "run": _run(trained) if trained is not None else None,
        "metric": metric,
        "function": next(
            (
                str(value).strip("@()")
                for key, value in step["config"].items()
                if key.endswith("/metric.function")
            ),
            metric,
        ),
        "backend": "+".join(_backends(step["config"])) if metric != "train" else None,
        "settings": _settings(step) if metric != "train" else None,
        "warnings": "+".join(warning["kind"] for warning in step.get("warnings", [])) or None,
        **{name: versions.get(package) for name, package in VERSIONS.items()},
        **{name: train_versions.get(package) for name, package in TRAIN_VERSIONS.items()},
        "finished": step["finished"],
        "seconds": step.get("seconds"),
        "path": path.replace(os.sep, "/"),
    }


def _settings(step: Mapping[str, Any]) -> str:
    """A digest of the metric's configuration and, where the table had fewer rows than that asks
    for, of how many it had: equal ones compare."""
    # the numbers alone: the words of a warning may change
    few = [
        re.findall(r"\d[\d,]*", told["text"])
        for told in step.get("warnings", [])
        if told["kind"] == "few_rows"
    ]
    return _digest([step["config"], *few] if few else step["config"])


def _label(record: Mapping[str, Any], name: str) -> str | int | None:
    """The value of a label, which must have the type of its column."""
    value = results.label(record, name)
    kind, what = (str, "a text") if COLUMNS[name] == "string" else (int, "a whole number")
    if value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
        raise ValueError(f"its label {name} is {value!r}, not {what}")
    return value


def _backends(config: Mapping[str, Any]) -> list[str]:
    """What a metric's configuration refers to: the classifiers that it fits."""
    found = {
        name.split("/")[-1].split(".")[-1]
        for key, value in config.items()
        if not key.endswith("metric.function")
        for name in re.findall(r"@([\w./]+)", json.dumps(value))
    }
    return sorted(found)


def _flat(values: Any, prefix: str = "") -> dict[str, float]:
    """Numbers by key; those in lists and dicts get the keys of both, joined by "."; text is left
    out and null is NaN.
    """
    if isinstance(values, Mapping):
        return {
            key: number
            for name, value in values.items()
            for key, number in _flat(value, f"{prefix}.{name}" if prefix else name).items()
        }
    if isinstance(values, list):
        return _flat({str(i): value for i, value in enumerate(values)}, prefix)
    return {} if isinstance(values, str) else {prefix: np.nan if values is None else float(values)}
