"""The folder of one model of a study: what it belongs to, whether a process works in it, and
whether the model is done or why it failed.

    <output_dir>/study.json       the study, its suite and the changes, the same for all models
    <output_dir>/<model_num>/
        model/  codes/<representation>/  scores/<representation>/<metric>/
        done.json     the fingerprint of what made the results, and their sizes; written last
        failed.json   why the last attempt failed
        scored.json   the model that the scores belong to, if it came from elsewhere
        .lock         held by the process that works here, for as long as it lives
"""

import datetime
import json
import os
import pathlib
import platform
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dlib_tf2.errors import UserError
from dlib_tf2.records import results
from dlib_tf2.studies.plan import Plan, make_plan
from dlib_tf2.system.folders import Written, claim_folder, exactly
from dlib_tf2.system.locks import is_locked

_STUDY_FILE = "study.json"
_SCORED_FILE = "scored.json"
MODEL_STEP = "reproduce"
MODEL = Written(exactly("done.json", "failed.json", _SCORED_FILE))


class State(NamedTuple):
    """What a folder says about a model: "done", "running", "failed", "stopped" (begun, but no
    process works on it), "outdated" or "missing".
    """

    kind: str
    reason: str = ""


def claim_study(output_dir: str | os.PathLike, plan: Plan) -> pathlib.Path:
    """Makes `output_dir` the folder of a study, or accepts one that already is, or one of another
    study that has no model yet.

    Raises:
        UserError: it has models of another study, another suite or other changes, or holds
            something else, or its study.json is damaged.
    """
    folder = pathlib.Path(claim_folder(output_dir, "study"))
    there, identity = _read_study(folder), _identity(plan)
    if there is not None and (other := _difference(there, identity)) and _is_begun(folder):
        raise UserError(f"{folder} holds models of {other}; choose another --output_dir")
    if there != identity:
        results.write_json(folder / _STUDY_FILE, identity)
    return folder


def claim_scores(
    output_dir: str | os.PathLike, plan: Plan, model_dir: str | os.PathLike
) -> pathlib.Path:
    """Makes `output_dir` the folder of the scores of a model from elsewhere, or accepts one that
    already is.

    Raises:
        UserError: it holds something else, or scores of another model, study or suite, or with
            other changes.
    """
    folder = claim_model(output_dir)
    there = read_json(folder / _SCORED_FILE)
    identity = _identity(plan) | {"model_dir": str(pathlib.Path(model_dir).resolve())}
    if there is not None and (other := _difference(there, identity)):
        raise UserError(f"{folder} holds scores of {other}; choose another --output_dir")
    if there is None:
        results.write_json(folder / _SCORED_FILE, identity)
    return folder


def _identity(plan: Plan) -> dict[str, object]:
    """What all results of a plan have in common."""
    return {"study": plan.study, "suite": plan.suite, "gin_bindings": list(plan.changes)}


def _difference(there: dict, identity: dict[str, object]) -> str:
    """The first entry in which a folder differs, as text; empty if none does."""
    keys = (key for key, value in identity.items() if there.get(key) != value)
    return next((f"{key} {there.get(key)!r}, not of {identity[key]!r}" for key in keys), "")


def _is_begun(folder: pathlib.Path) -> bool:
    """Whether any model of a study's folder has begun to train, or is about to."""
    models = [path for path in folder.iterdir() if path.name.isdecimal()]
    return any((path / "model").exists() or is_locked(path) for path in models)


def plans_of(output_dir: str | os.PathLike) -> tuple[str, Callable[[int], Plan]]:
    """The name of the study that a folder belongs to, and the plan of each model by its number.

    Raises:
        UserError: it belongs to no study.
    """
    there = _read_study(pathlib.Path(output_dir))
    if there is None:
        raise UserError(
            f"{output_dir} is not the folder of a study (no {_STUDY_FILE}); name the --output_dir"
            " of dlib_sweep or dlib_reproduce"
        )
    study, suite, changes = there["study"], there.get("suite"), there.get("gin_bindings") or ()
    return study, lambda number: make_plan(study, number, suite, changes)


def _read_study(folder: pathlib.Path) -> dict | None:
    """What study.json says; None if it does not exist.

    Raises:
        UserError: it is damaged.
    """
    path = folder / _STUDY_FILE
    there = read_json(path)
    if there is not None and isinstance(there.get("study"), str):
        return there
    if path.exists():
        raise UserError(
            f"{path} is damaged, so the study of these models is not known; restore it, or choose"
            " another --output_dir"
        )
    return None


def claim_model(folder: str | os.PathLike) -> pathlib.Path:
    """Makes the folder of one model, or accepts one that already is.

    Raises:
        UserError: it holds something else.
    """
    return pathlib.Path(claim_folder(folder, MODEL_STEP))


def is_done(folder: pathlib.Path, fingerprint: str, thorough: bool = True) -> bool:
    """Whether all results have this fingerprint and are still there.

    Args:
        folder: the model's folder.
        fingerprint: of the plan.
        thorough: read every record; otherwise, for thousands of models, only look whether it
            exists.
    """
    done = read_json(folder / "done.json")
    return (
        done is not None
        and done.get("fingerprint") == fingerprint
        and _holds_parts(folder, done, thorough)
    )


def _holds_parts(folder: pathlib.Path, done: dict, thorough: bool) -> bool:
    """Whether all parts that done.json lists are there; a done.json without a list does not
    count.
    """
    parts = done.get("parts")
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        return False
    whole = results.is_complete if thorough else (lambda part: (part / "results.json").is_file())
    return all(whole(folder / part) for part in parts) and all(
        _size(folder / name) == size for name, size in (done.get("sizes") or {}).items()
    )


def _size(path: pathlib.Path) -> int | None:
    """Size of a file, which shows whether it was damaged; None if it does not exist."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def write_done(
    folder: pathlib.Path, fingerprint: str, parts: Sequence[str], seconds: dict[str, float]
) -> None:
    """Records that everything is done.

    Args:
        folder: the model's folder.
        fingerprint: of the plan.
        parts: folders of finished steps, relative to it or absolute.
        seconds: of each step that this run made.
    """
    files = [f"{part}/{name}" for part in parts for name in ("results.json", "representation.npz")]
    sizes = {name: size for name in files if (size := _size(folder / name)) is not None}
    done = {
        "fingerprint": fingerprint,
        "parts": list(parts),
        "sizes": sizes,
        "seconds": seconds,
        **_where(),
    }
    results.write_json(folder / "done.json", done)
    (folder / "failed.json").unlink(missing_ok=True)


def write_failure(folder: pathlib.Path, reason: str, exit_code: int) -> None:
    """Records why an attempt failed."""
    results.write_json(
        folder / "failed.json", {"reason": reason, "exit_code": exit_code, **_where()}
    )


def state(folder: pathlib.Path, fingerprint: str | None = None) -> State:
    """What the folder says.

    Args:
        folder: the model's folder.
        fingerprint: of the plan; complete results of another one are "outdated". By default any
            will do.
    """
    if not folder.is_dir():
        return State("missing")
    done = read_json(folder / "done.json")
    whole = done is not None and _holds_parts(folder, done, thorough=False)
    current = done is not None and fingerprint in (None, done.get("fingerprint"))
    if whole and current:
        return State("done")
    if is_locked(folder):
        return State("running")
    if (failure := read_json(folder / "failed.json")) is not None:
        return State("failed", str(failure.get("reason", "no reason given")))
    return State("outdated" if whole else "stopped")


def read_json(path: pathlib.Path) -> dict | None:
    """The object in a file; None if the file does not exist or is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _where() -> dict[str, str]:
    return {
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
    }
