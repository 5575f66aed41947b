"""What the folder of a study says, read from it alone: which models are done, running, failed and why, stopped, missing."""

import os
import pathlib
from collections.abc import Sequence

from dlib_tf2.studies import run_folder
from dlib_tf2.studies.finding import find
from dlib_tf2.studies.numbers import format_numbers, parse_numbers
from dlib_tf2.studies.run_folder import State

KINDS = ("done", "running", "failed", "stopped", "missing")


def states(output_dir: str | os.PathLike, models: str = "") -> dict[int, State]:
    """The state of each model of a study's folder.

    Args:
        output_dir: the folder.
        models: which ones, see `parse_numbers`; all by default.

    Raises:
        UserError: it is no study's folder, or the study is not known here.
    """
    folder = pathlib.Path(output_dir)
    numbers = parse_numbers(models, len(find(run_folder.study_of(folder))))
    return {number: run_folder.state(folder / str(number)) for number in numbers}


def describe(output_dir: str | os.PathLike, models: str = "") -> str:
    """The states as text: a count of each kind, the reason of each failure, and the numbers of what is not done."""
    found = states(output_dir, models)
    by_kind: dict[str, Sequence[int]] = {kind: [n for n, state in found.items() if state.kind == kind] for kind in KINDS}
    counts = ", ".join(f"{len(by_kind[kind]):,} {kind}" for kind in KINDS)
    lines = [f"{run_folder.study_of(output_dir)} in {output_dir}: {len(found):,} models: {counts}"]
    lines += [f"failed {number}: {found[number].reason}" for number in by_kind["failed"]]
    lines += [f"{kind} {format_numbers(by_kind[kind])}" for kind in ("running", "stopped", "missing") if by_kind[kind]]
    return "\n".join(lines)
