"""Which models of a study are done, running, failed and why, stopped, outdated or missing, read
from its folder alone.
"""

import os
import pathlib
from collections.abc import Sequence

from dlib_tf2.errors import UserError
from dlib_tf2.studies import run_folder
from dlib_tf2.studies.finding import find
from dlib_tf2.studies.numbers import format_numbers, parse_numbers
from dlib_tf2.studies.run_folder import State

KINDS = ("done", "running", "failed", "stopped", "outdated", "missing")


def states(
    output_dir: str | os.PathLike, models: str = "", study: str | None = None
) -> tuple[str, dict[int, State]]:
    """The study that a folder belongs to, and the state of each of its models.

    Args:
        output_dir: the folder.
        models: which ones, see `parse_numbers`; all by default.
        study: its name, where the caller expects one.

    Raises:
        UserError: it belongs to no study or to another, or the study is not known here.
    """
    folder = pathlib.Path(output_dir)
    name, plan = run_folder.plans_of(folder)
    if study and study != name:
        raise UserError(
            f"{folder} holds models of study {name!r}, not of {study!r}; leave out --study, or name"
            " that study's --output_dir"
        )
    found = {}
    for number in parse_numbers(models, len(find(name))):
        model = folder / str(number)
        made_by = plan(number).fingerprint() if (model / "done.json").exists() else None
        found[number] = run_folder.state(model, made_by)
    return name, found


def describe(output_dir: str | os.PathLike, models: str = "", study: str | None = None) -> str:
    """The states as text: a count of each kind, the reason of each failure, and the numbers of the
    models that are not done.
    """
    name, found = states(output_dir, models, study)
    by_kind: dict[str, Sequence[int]] = {
        kind: [n for n, state in found.items() if state.kind == kind] for kind in KINDS
    }
    counts = ", ".join(f"{len(by_kind[kind]):,} {kind}" for kind in KINDS)
    lines = [
        f"{name} in {output_dir}: {len(found):,} {'model' if len(found) == 1 else 'models'}:"
        f" {counts}"
    ]
    lines += [f"failed {number}: {found[number].reason}" for number in by_kind["failed"]]
    lines += [
        f"{kind} {format_numbers(by_kind[kind])}"
        for kind in ("running", "stopped", "outdated", "missing")
        if by_kind[kind]
    ]
    return "\n".join(lines)
