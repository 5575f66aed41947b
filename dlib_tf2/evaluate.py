"""The evaluate stage: representation table -> scores, one folder per metric. Never imports
TensorFlow.
"""

import dataclasses
import hashlib
import inspect
import logging
import numbers
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import gin
import joblib
import numpy as np
from numpy.typing import ArrayLike

from dlib_tf2 import seeds
from dlib_tf2.configuration import gin_utils, metric_config, sources
from dlib_tf2.configuration.metric_config import MetricCall
from dlib_tf2.errors import (
    DlibError,
    Interrupted,
    ScoreWarning,
    UserError,
    check_whole,
    few,
    first_line,
)
from dlib_tf2.metrics import collecting, repeats
from dlib_tf2.records import results
from dlib_tf2.representations.representation import Representation
from dlib_tf2.system.folders import Written, claim_folder, exactly, hold_folder
from dlib_tf2.system.paths import AnyPath, as_path

Scores = dict[str, dict[str, float]]

METRIC = Written(results.WRITTEN, step="metric")
DEFAULT_METRICS = ("mig", "factor_vae", "dci")
ROWS = ("all", "train", "held_out")
_log = logging.getLogger(__name__)


@gin.configurable
def evaluate(
    source: str | os.PathLike | Representation,
    output_dir: str | os.PathLike,
    metrics: Sequence[str] = DEFAULT_METRICS,
    seed: int = 0,
    eval_seeds: int = 1,
    num_workers: int | None = None,
    overwrite: bool = False,
    rows: str = "all",
) -> Scores:
    """Scores one representation by a list of metrics, and keeps each score as soon as it is there.

    `<output_dir>/<metric>/results.json` holds one metric, `<output_dir>/scores.json` all in the
    folder. A metric whose result is already there, made from the same codes, seed and parameters,
    is not computed again: the same command after a kill goes on where it stopped. All scores in a
    folder are of one representation and, where they come from boosted trees, of one implementation
    of these. What makes a score mean less than it seems to (see `errors.ScoreWarning`) is printed,
    one line each, and kept as `warnings` of its record.

    Args:
        source: a folder that holds representation.npz, or a table.
        output_dir: a folder of ours, or one that is empty or does not exist.
        metrics: names, see `metric_config`, or ["all"]. A metric's generator depends on `seed` and
            its name only: adding one changes no other score.
        seed: of the rows that metrics draw.
        eval_seeds: how often each metric draws them; with more than one, values are means and
            `<key>:std` their standard deviations.
        num_workers: processes that a metric may fit in parallel; all cores by default. Scores do
            not depend on it.
        overwrite: compute the named metrics again, whatever the folder holds of them. An earlier
            score stays until the new one is there, except one of another representation, which goes
            at once, or of other trees, which goes with the first new one by trees.
        rows: of the table, which are scored: "all", or, where training held out some, "train"
            (those it drew) or "held_out". Scores of different rows never share a folder.

    Returns:
        The scores of `metrics`: {metric: {key: value}}.

    Raises:
        UserError: no such table, rows or metric; the folder holds scores of another representation,
            configuration, trees or other rows, or another process works in it; a metric refuses the
            table.
        DlibError: a metric failed. The other metrics are computed and kept before this is raised.
        Interrupted: Ctrl-C, with `overwrite`; without it KeyboardInterrupt passes, and the same
            call goes on.
    """
    workers = joblib.cpu_count() if num_workers is None else num_workers
    check_whole(1, evaluate__num_workers=workers, evaluate__eval_seeds=eval_seeds)
    check_whole(0, evaluate__seed=seed)
    if not isinstance(overwrite, bool):
        raise UserError(f"evaluate.overwrite must be True or False, got {overwrite!r}")
    if rows not in ROWS:
        raise UserError(f"evaluate.rows must be one of {', '.join(ROWS)}, got {rows!r}")
    names = metric_config.names(metrics)
    files = metric_config.files(names)
    whole, previous = _load(source)
    table = _selected(whole, rows)
    gin_utils.parse_more(files)
    calls = [metric_config.resolve(name) for name in names]
    trees = metric_config.one_kind_of_trees(calls)
    labels = {"evaluation_seed": seed, "eval_seeds": eval_seeds, "rows": rows}
    labels["codes_sha256"] = fingerprint(table)

    parts = {re.escape(name): METRIC for name in names}
    with hold_folder(
        output_dir, "evaluate", Written({**exactly("scores.json"), **parts})
    ) as folder:
        _refuse_strangers(folder, names, overwrite, labels, trees)
        scores = {} if overwrite else _earlier_scores(folder, calls, labels)
        # before hours of work: the folders must be ours; nothing in them is touched
        for call in calls:
            claim_folder(folder / call.name, "metric")
        if others := _strangers(folder, labels):
            _remove(folder, others)
            results.write_json(folder / "scores.json", _all_scores(folder))
        failures: dict[str, Exception] = {}
        constant = _of_constant_codes(table)
        # one thread per fit: no oversubscription
        with joblib.parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
            for number, call in enumerate(calls, 1):
                line = f"[{number}/{len(calls)}] {call.name}"
                if call.name in scores:
                    print(f"{line}: already there", flush=True)
                    continue
                print(f"{line} ...", flush=True)
                started = time.time()
                try:
                    with collecting() as found:
                        values = _checked(repeats.score(call, table, seed, eval_seeds, line))
                    values = repeats.named(values, table.factor_names)
                except KeyboardInterrupt as stop:
                    if not overwrite:
                        raise
                    left = ",".join(other.name for other in calls[number - 1 :])
                    raise Interrupted(
                        f"interrupted; {left} keep the scores they had, if any: run again for all,"
                        " or for these only"
                    ) from stop
                except (
                    Exception
                ) as error:  # a metric may fail in its own way; the others must still be scored
                    failures[call.name] = error
                    kept = (
                        "; its earlier score is kept"
                        if results.is_complete(folder / call.name)
                        else ""
                    )
                    print(f"{line}: failed: {_reason(error, table)}{kept}", flush=True)
                    _log.debug("metric %s failed", call.name, exc_info=True)
                    continue
                told = [
                    *constant,
                    *(
                        _told(warning, call, table)
                        for warning in found
                        if not constant or warning.kind != "no_active_code"
                    ),
                ]
                _keep(
                    folder, call, values, {"metric": call.name, **labels}, started, previous, told
                )
                scores[call.name] = values
                print(f"{line}: done in {time.time() - started:.1f} s", flush=True)
        results.write_json(folder / "scores.json", _all_scores(folder))
    scores = {name: scores[name] for name in names if name in scores}
    _print_warnings(folder, list(scores))
    print(
        results.format_table(
            {
                f"{name}.{key}": value
                for name, values in scores.items()
                for key, value in values.items()
            }
        )
    )
    if failures:
        _raise_failures(failures, len(calls), folder, table)
    return scores


def score_arrays(
    codes: ArrayLike,
    factors: ArrayLike,
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    seed: int = 0,
    gin_config: Sequence[str] = (),
    gin_bindings: Sequence[str] = (),
) -> Scores:
    """Scores codes of any origin and writes nothing; numbers are those of `dlib_evaluate --codes`.

    The gin configuration of the caller is left as it was.

    Args:
        codes: real numbers [n, d], finite.
        factors: whole numbers [n, v]; row i belongs to row i of `codes`.
        metrics: names, as `dlib_list` prints them.
        seed: of the rows that metrics draw.
        gin_config: gin files such as "suites/small.gin". They set parameters; `metrics` says which
            metrics run.
        gin_bindings: gin text such as "mig.num_train = None", which wins over the files.

    Returns:
        {metric: {key: value}}.

    Raises:
        UserError: arrays that cannot be scored, an unknown metric or parameter.

    Warns:
        ScoreWarning: a score means less than it seems to.

    Examples:
        Two factors of four and five values, and codes that copy them:

        >>> import numpy as np
        >>> import dlib_tf2
        >>> factors = np.stack(np.unravel_index(np.arange(20), (4, 5)), axis=1)
        >>> scores = dlib_tf2.score_arrays(factors, factors, metrics=["mig", "mcc"])
        >>> round(scores["mig"]["mig"], 3), round(scores["mcc"]["mcc_pearson"], 3)
        (1.0, 1.0)
    """
    table, names = Representation.from_arrays(codes, factors), metric_config.names(metrics)
    with gin_utils.parsed([*metric_config.files(names), *gin_config], gin_bindings):
        return {
            name: metric_config.resolve(name)(
                table.codes, table.factors, seeds.generator(seed, name)
            )
            for name in names
        }


def fingerprint(table: Representation) -> str:
    """SHA-256 of codes, factors and the mask of held-out rows, if any, by which a later run knows
    that it scores the same table (0.1 s for all of dSprites).
    """
    digest = hashlib.sha256()
    for array in (table.codes, table.factors, table.held_out):
        if array is None:
            continue
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _load(
    source: str | os.PathLike | Representation,
) -> tuple[Representation, dict[str, Any] | None]:
    """Reads the table, and the record of the step that made it, if any."""
    if isinstance(source, Representation):
        return source, None
    folder = as_path(source)
    if not (folder / "representation.npz").is_file():
        inside = sorted(path.parent.name for path in folder.glob("*/representation.npz"))
        hint = (
            f"it holds {', '.join(inside)}: name {folder / inside[0]}"
            if inside
            else "name a folder that dlib_postprocess wrote"
        )
        raise UserError(f"{folder} holds no representation.npz; {hint}")
    # A table without a record is one from elsewhere; a record that is damaged must not be lost in
    # silence.
    record = results.read_step(folder) if (folder / "results.json").exists() else None
    table = Representation.load(folder / "representation.npz")
    if record is not None:
        results.refuse_changed_codes(folder, record)
    return table, record


def _selected(table: Representation, rows: str) -> Representation:
    """The rows of a table that are scored.

    Raises:
        UserError: there are none, for training held out no row of it, or all.
    """
    if rows == "all":
        return table
    if table.held_out is None or not table.held_out.any():
        raise UserError(
            f"evaluate.rows is {rows!r}, but no row of this table was held out of training; train"
            " on a distribution with hold_out (gin_configs/distributions), or score all rows"
        )
    kept = table.held_out == (rows == "held_out")
    if not kept.any():
        raise UserError(
            f"evaluate.rows is {rows!r}, but every row of this table was held out of training;"
            " score all rows"
        )
    codes, factors, held_out = table.codes[kept], table.factors[kept], table.held_out[kept]
    return dataclasses.replace(table, codes=codes, factors=factors, held_out=held_out)


def _rows_of(record: Mapping[str, Any]) -> str:
    """Which rows of the table a score is of; records of older releases, which scored all, do not
    say.
    """
    return record["labels"].get("rows", "all")


def _earlier_scores(
    folder: AnyPath, calls: Sequence[MetricCall], labels: Mapping[str, Any]
) -> Scores:
    """The scores of the metrics that an earlier run finished on the same table with the same
    parameters.

    Raises:
        UserError: a metric is finished there with another seed or other parameters.
    """
    records, scores = _records(folder), {}
    for call in calls:
        if (record := records.get(call.name)) is None:
            continue
        old = {**record["config"], **{name: record["labels"].get(name) for name in labels}}
        old["rows"] = _rows_of(record)
        new = {**gin_utils.typed_bindings(call.config_text), **labels}
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                difference = f"{key} was {old.get(key)}, now {new.get(key)}"
                raise UserError(
                    f"{folder / call.name} holds a score of another configuration ({difference});"
                    " use --overwrite or another output folder"
                )
        if changed := sources.change(
            record.get("sources"), sources.of_text(call.config_text, imports=True)
        ):
            raise UserError(
                f"{folder / call.name} holds a score of another configuration ({changed}); use"
                " --overwrite or another output folder"
            )
        scores[call.name] = record["values"]
    return scores


def _keep(
    folder: AnyPath,
    call: MetricCall,
    values: dict[str, float],
    labels: Mapping[str, Any],
    started: float,
    previous: Mapping[str, Any] | None,
    warnings: Sequence[Mapping[str, str]],
) -> None:
    """Writes one metric's result in the place of an earlier one and of those it cannot stand
    beside, then the scores of all there are.
    """
    target = folder / call.name
    # a kill between the two files that are written must not leave it beside the new configuration
    _remove(folder, [call.name])
    kept: dict[str, Any] = {
        "previous": previous,
        "labels": labels,
        "config_text": call.config_text,
        "warnings": warnings,
    }
    results.write_step(target, "evaluate", values, started=started, **kept)
    _remove(folder, _strangers(folder, labels, metric_config.trees(call.config_text)))
    results.write_json(folder / "scores.json", _all_scores(folder))


def _checked(values: Any) -> dict[str, float]:
    """What a metric returned, if it is what one returns."""
    if not isinstance(values, dict) or not values:
        raise UserError(
            f"the metric returned {type(values).__name__}, expected a dictionary of names and"
            " numbers"
        )
    for name, value in values.items():
        if (
            not isinstance(name, str)
            or isinstance(value, bool)
            or not isinstance(value, numbers.Real)
        ):
            raise UserError(
                f"the metric returned {{{name!r}: {value!r}}}, expected names and numbers"
            )
    return values


def _of_constant_codes(table: Representation) -> list[dict[str, str]]:
    """The warning that every metric's score of codes that never change bears."""
    if np.ptp(table.codes, axis=0).any():
        return []
    return [
        {
            "kind": "no_active_code",
            "text": "every code is constant: the representation says nothing, whatever the score",
        }
    ]


def _named(text: str, table: Representation) -> str:
    """A metric's text, which knows columns by number, in the names of the table's factors."""
    return re.sub(r"\bfactor_(\d+)", lambda number: table.factor_names[int(number[1])], text)


def _told(warning: ScoreWarning, call: MetricCall, table: Representation) -> dict[str, str]:
    """A warning as the record keeps it, in the names of the table's factors and of gin."""
    text = _named(warning.text, table)
    if warning.binding:
        text += f"; bind {inspect.unwrap(call.function).__name__}.{warning.binding}"
    return {"kind": warning.kind, "text": text}


def _print_warnings(folder: AnyPath, names: Sequence[str]) -> None:
    """Prints what the records of metrics warn of, each text once for all that share it."""
    records, told = _records(folder), dict[str, list[str]]()
    for name in names:
        for warning in records[name].get("warnings", []):  # records of older releases have none
            told.setdefault(warning["text"], []).append(name)
    for text, those in told.items():
        print(f"warning: {', '.join(those)}: {text}", file=sys.stderr)


def _records(folder: AnyPath) -> dict[str, dict[str, Any]]:
    """The finished metrics in an output folder, by name."""
    folders = sorted(path.parent for path in folder.glob("*/results.json"))
    return {path.name: results.read_step(path) for path in folders if results.is_complete(path)}


def _all_scores(folder: AnyPath) -> Scores:
    return {name: record["values"] for name, record in _records(folder).items()}


def _strangers(
    folder: AnyPath, labels: Mapping[str, Any], trees: Set[str] = frozenset()
) -> dict[str, str]:
    """The finished metrics that cannot stand beside scores of these codes, rows and trees in one
    scores.json, each with what it is of.
    """
    found = {}
    for name, record in _records(folder).items():
        old = metric_config.trees(str(record["config"]))
        if (rows := _rows_of(record)) != labels["rows"]:
            found[name] = f"other rows of a table ({rows}, now {labels['rows']})"
        elif record["labels"].get("codes_sha256") != labels["codes_sha256"]:
            found[name] = f"another representation (made {record['finished']})"
        elif trees and old and old != trees:
            found[name] = (
                f"other boosted trees ({' and '.join(sorted(old))}, now"
                f" {' and '.join(sorted(trees))})"
            )
    return found


def _refuse_strangers(
    folder: AnyPath,
    wanted: Sequence[str],
    overwrite: bool,
    labels: Mapping[str, Any],
    trees: Set[str],
) -> None:
    """Refuses a folder that holds what cannot stand beside the scores to come, unless all of that
    is to be overwritten.
    """
    found = _strangers(folder, labels, trees)
    if left := [name for name in found if not overwrite or name not in wanted]:
        raise UserError(
            f"{folder / left[0]} holds a score of {found[left[0]]}; choose another output folder,"
            " or replace all of them: --overwrite"
            f" --metrics={','.join(dict.fromkeys([*wanted, *left]))}"
        )


def _remove(folder: AnyPath, names: Iterable[str]) -> None:
    """Takes finished metrics back."""
    for name in names:
        (folder / name / "results.json").unlink(missing_ok=True)


def _raise_failures(
    failures: Mapping[str, Exception], total: int, folder: AnyPath, table: Representation
) -> None:
    reasons = few([f"{name}: {_reason(error, table)}" for name, error in failures.items()])
    kind = (
        UserError if all(isinstance(error, UserError) for error in failures.values()) else DlibError
    )
    kept = f"; the others are kept in {folder}" if len(failures) < total else ""
    raise kind(f"{len(failures)} of {total} metrics failed ({reasons}){kept}") from next(
        iter(failures.values())
    )


def _reason(error: Exception, table: Representation) -> str:
    first = first_line(error)
    return (
        _named(first, table) if isinstance(error, DlibError) else f"{type(error).__name__}: {first}"
    )
