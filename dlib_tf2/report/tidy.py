"""From the tidy table of dlib_aggregate_results to a row per model and a column per score, with
notes on what was left out and what is mixed.
"""

import functools
import json
import os
import pathlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from dlib_tf2.errors import UserError
from dlib_tf2.records.columns import COLUMNS, MODEL, NUMBERS, SCORE, TEXTS, WHOLE
from dlib_tf2.report import scores as known
from dlib_tf2.report.choose import choose
from dlib_tf2.report.methods import methods, symbol
from dlib_tf2.report.scores import Score

# a whole study: its models (model_num, dataset, ...), only their number, or not known
Whole = int | Sequence[Mapping[str, Any]] | None

_KEY = list(MODEL)
_NEEDED = (*MODEL, "strength", *SCORE)


@dataclass(frozen=True)
class Scores:
    """What the report is made from.

    Attributes:
        models: a row per model: dataset, method, setting, strength, rank (of the strength in its
            method, from 0), seed, model_num, and a column per score that any model has; NaN where a
            model has none.
        study: its name; empty for runs outside of a study.
        metrics: the paper's disentanglement metrics that the table holds.
        others: metrics that the paper does not have.
        found: the scores that the table holds, by name.
        measured: a row per metric and representation: what computed it, on how many models.
        notes: what is mixed, doubled or left out, a sentence each.
        expected: number of models in the whole study, where it is known.
        expected_on: the same for each dataset.
        steps: the different numbers of training updates.
        absent: the models of the study that the table has no row of, where they are known.
    """

    models: pd.DataFrame
    study: str
    metrics: tuple[str, ...]
    others: tuple[str, ...]
    found: Mapping[str, Score]
    measured: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    expected: int | None = None
    steps: tuple[int, ...] = ()
    expected_on: Mapping[str, int] = field(default_factory=dict)
    absent: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def datasets(self) -> list[str]:
        """Names of datasets, sorted."""
        return sorted(self.models["dataset"].unique())

    @property
    def methods(self) -> list[str]:
        """Names of methods, in the paper's order."""
        return list(methods(self.models["method"]))

    @property
    def labels(self) -> dict[str, str]:
        """Name on axes -> the name with its direction, of the scores where lower is better."""
        return {
            name: score.label for name, score in self.found.items() if not score.higher_is_better
        }

    def directed(self, names: Sequence[str]) -> pd.DataFrame:
        """The columns of these scores, in which higher is better: with their sign turned where
        lower is.
        """
        signs = {name: -1.0 if name in self.labels else 1.0 for name in names}
        return self.models[list(signs)] * pd.Series(signs)

    def on(self, dataset: str | None) -> pd.DataFrame:
        """The models of a dataset; of all datasets for None."""
        return self.models if dataset is None else self.models[self.models["dataset"] == dataset]

    def have(self, *names: str) -> list[str]:
        """Those of the named scores that some model has."""
        return [name for name in names if name in self.models]


def read(path: str | os.PathLike) -> pd.DataFrame:
    """Reads a table that dlib_aggregate_results wrote.

    Raises:
        UserError: the file does not exist, is not such a table, or is empty.
    """
    path = pathlib.Path(path)
    readers = {".parquet": pd.read_parquet, ".csv": _read_csv, ".json": _read_json}
    if path.suffix not in readers:
        raise UserError(
            f"{path} must end in {', '.join(readers)}; make it with dlib_aggregate_results"
        )
    if not path.is_file():
        raise UserError(
            f"{path} does not exist; make it with dlib_aggregate_results --output={path}"
        )
    try:
        table = readers[path.suffix](path)
    except (
        ValueError,
        OSError,
        KeyError,
    ) as error:  # what pandas and pyarrow raise for damaged files derives from these
        raise UserError(
            f"{path} cannot be read ({' '.join(str(error).split())[:200]}); make it again with"
            " dlib_aggregate_results"
        ) from error
    if missing := [name for name in _NEEDED if name not in table]:
        raise UserError(
            f"{path} has no column {', '.join(missing)}; make it with dlib_aggregate_results"
        )
    if table.empty:
        raise UserError(f"{path} holds no scores; aggregate finished runs first")
    for name in {*WHOLE, *NUMBERS} & set(table):
        try:
            table[name] = pd.to_numeric(table[name])
            whole = name in NUMBERS or (table[name].dropna() % 1 == 0).all()
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{path} has a column {name} that holds other things than numbers ({error}); make"
                " it again with dlib_aggregate_results"
            ) from error
        if not whole:
            raise UserError(
                f"{path} has a column {name} with fractions; it must hold whole numbers: make it"
                " again with dlib_aggregate_results"
            )
    return _typed(table)


def prepare(
    table: pd.DataFrame,
    study: str | None = None,
    backend: str | None = None,
    expected: Callable[[str], Whole] = lambda study: None,
    size: int | None = None,
) -> Scores:
    """Chooses one study, one kind of trees, one configuration of each metric and one run of each
    model, and notes what was left out.

    Args:
        table: rows of `read`.
        study: which one; by default the one with most models.
        backend: whose boosted trees the scores may come from, such as "lightgbm_exact"; by default
            those of most models.
        expected: name of a study -> its models, or their number, where that is known.
        size: number of models in the whole study; by default what `expected` says.

    Raises:
        UserError: the table holds no trained model, nothing of that study or backend, or several
            strengths for one `hyperparameters`.
    """
    notes: list[str] = []
    expected = functools.cache(expected)
    table = table.reset_index(drop=True).assign(
        **{name: pd.NA for name in COLUMNS if name not in table}
    )
    table = _typed(table)
    table = table.assign(
        function=table["function"].fillna(table["metric"]), study=table["study"].fillna("")
    )
    trained = table["method"].notna() & table["dataset"].notna() & table["seed"].notna()
    if not trained.any():
        raise UserError(
            "the table holds no scores of a trained model (a method, a dataset and a seed);"
            " aggregate runs of dlib_train"
        )
    if not trained.all():
        notes.append(
            f"{(~trained).sum():,} rows name no method, dataset or seed (scores of arrays from"
            " elsewhere) and are left out."
        )
    table = _with_hyperparameters(table[trained])
    table, study = choose(
        table, study, backend, notes, lambda name, rows: _by_bindings(rows, expected(name))
    )
    models = _models(table)
    others = known.other_metrics(table)
    scores = (*known.METRICS, *others, *known.DEPENDENCE, *known.TRAINING, *known.DOWNSTREAM)
    for score in scores:
        _add(models, score, table)
    found = {score.name: score for score in scores if score.name in models}
    for name, (few, many) in known.EFFICIENCY.items():
        if few in models and many in models:
            models[name] = (models[few] / models[many]).where(models[many] > 0)
    whole = expected(study)
    design = [] if isinstance(whole, int) or whole is None else list(whole)
    size = size or len(design) or (whole if isinstance(whole, int) else None)
    if size is not None and size < len(models):
        notes.append(
            f"The study should have {size:,} models, and the table holds {len(models):,}: what is"
            " missing cannot be counted."
        )
        size, design = None, []
    absent = []
    if models["model_num"].notna().all():
        there = set(models["model_num"])
        absent = [one for one in design if one["model_num"] not in there]
    elif design:
        notes.append(
            "Not every model has a model_num: the report cannot list the models of the study that"
            " are absent."
        )
    if not (table["representation"] == "mean").any() and table["representation"].notna().any():
        codes = ", ".join(sorted(table["representation"].dropna().unique()))
        notes.append(
            "The table has no scores of mean codes, and the report shows metrics of no other codes;"
            f" its representations: {codes}."
        )
    return Scores(
        models.reset_index(drop=True),
        study,
        tuple(score.name for score in known.METRICS if score.name in found),
        tuple(score.name for score in others if score.name in found),
        found,
        _measured(table),
        notes,
        size,
        tuple(sorted(int(steps) for steps in table["steps"].dropna().unique())),
        Counter(one["dataset"] for one in design),
        pd.DataFrame(absent),
    )


def _by_bindings(table: pd.DataFrame, whole: Whole) -> pd.DataFrame:
    """Names the settings of a method by everything that the study binds, if its models differ in
    more than strength and seed.

    Raises:
        UserError: that is so, and no file defines the study.
    """
    numbers = pd.to_numeric(table["model_num"])
    own = numbers.notna() & (table["changes"].fillna("") == "")
    several = numbers[own].groupby([table.loc[own, name] for name in _KEY]).nunique().reset_index()
    mixed = own & table["method"].isin(several.loc[several["model_num"] > 1, "method"])
    if not mixed.any():
        return table
    if isinstance(whole, int) or whole is None:
        raise UserError(
            "models of one method, strength and seed differ in other settings, and only the"
            " study's file says which; run in the folder of that file"
        )
    bindings = {one["model_num"]: one["bindings"] for one in whole}
    named = numbers[mixed].map(bindings).fillna(table["hyperparameters"])
    return table.assign(
        hyperparameters=table["hyperparameters"].mask(mixed, named),
        strength=table["strength"].mask(mixed),
    )


def _with_hyperparameters(table: pd.DataFrame) -> pd.DataFrame:
    """One text for equal hyperparameters, be they 4 or 4.0; made from the strength if the table, of
    another program, gives nothing else.
    """
    strength = table["strength"].astype(float)
    given = table["hyperparameters"].fillna("{}")
    given = given.map({text: _canonical(text) for text in given.unique()})
    names = table["hyperparameter"].astype("string").fillna("").replace("", "strength")
    pairs = list(zip(names, strength, strict=True))
    alone = {
        pair: _canonical(json.dumps(dict([pair]))) for pair in set(pairs) if np.isfinite(pair[1])
    }
    only_strength = pd.Series([alone.get(pair, "{}") for pair in pairs], index=table.index)
    text = given.mask((given == "{}").to_numpy(), only_strength).astype("string")
    several = strength.groupby([table["method"], text]).nunique()
    if (several > 1).any():
        method, which = several.index[several > 1][0]
        raise UserError(
            f"the table has several strengths of {method} with the hyperparameters {which}; correct"
            " one of these columns"
        )
    return table.assign(
        hyperparameters=text, hyperparameter=names.where(strength.notna(), table["hyperparameter"])
    )


def _canonical(text: str) -> str:
    """JSON with sorted names, and whole numbers without a fraction; other text as it is."""
    try:
        values = json.loads(text)
    except ValueError:
        return text
    if not isinstance(values, dict):
        return text
    plain = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in values.items()
    }
    return json.dumps(plain, sort_keys=True)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Text columns as text: a file may give an empty one any type."""
    return table.astype({name: "string" for name in TEXTS if name in table})


def _read_csv(path: pathlib.Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=dict.fromkeys(TEXTS, "string"))  # type: ignore[arg-type]


def _read_json(path: pathlib.Path) -> pd.DataFrame:
    return pd.read_json(path, orient="records", dtype=False, precise_float=True)


def _models(table: pd.DataFrame) -> pd.DataFrame:
    columns = [*_KEY, "hyperparameter", "strength", "model_num"]
    models = (
        table.sort_values("model_num", kind="stable")
        .drop_duplicates(_KEY)[columns]
        .sort_index()
        .set_index(_KEY, drop=False)
    )
    models = models.assign(
        strength=models["strength"].astype(float),
        model_num=pd.to_numeric(models["model_num"]).astype("Int64"),
    )
    names = models["hyperparameter"].astype("string").fillna("")
    settings = [
        (
            f"{symbol(name)} = {strength:.12g}"
            if np.isfinite(strength)
            else text
            if text != "{}"
            else "–"
        )
        for name, strength, text in zip(
            names, models["strength"], models["hyperparameters"], strict=True
        )
    ]
    texts = (
        models["hyperparameters"]
        .groupby([models["method"].to_numpy(), settings])
        .transform("nunique")
    )
    if (texts > 1).any():  # more than the strength tells them apart
        return _models(
            table.assign(
                strength=table["strength"].mask(
                    table["method"].isin(set(models["method"][texts > 1]))
                )
            )
        )
    models = models.assign(setting=settings, seed=models["seed"].astype(int))
    order = [
        (strength if np.isfinite(strength) else np.inf, _natural(text))
        for strength, text in zip(models["strength"], settings, strict=True)
    ]
    places = pd.Series(order, index=models.index).groupby(models["method"].to_numpy())
    return models.assign(
        rank=places.transform(
            lambda own: own.map({key: place for place, key in enumerate(sorted(set(own)))})
        ).astype(int)
    )


def _natural(text: str) -> tuple[tuple[float, ...], str]:
    """A key that sorts texts by the numbers in them."""
    return tuple(float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)), text


def _add(models: pd.DataFrame, score: Score, table: pd.DataFrame) -> None:
    """Adds a score's column where any model has it; of several records of one model the newest
    counts.
    """
    rows = (
        score.of(table)
        .sort_values("finished", kind="stable", na_position="first")
        .drop_duplicates(_KEY, keep="last")
    )
    values = rows.set_index(_KEY)["value"].astype(float)
    if np.isfinite(values).any():
        models[score.name] = values.where(np.isfinite(values)).reindex(models.index)


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """What computed each metric."""
    columns = ["metric", "representation", "backend", "settings", "evaluation_seed"]
    filled = table.assign(**{name: table[name].astype("string").fillna("") for name in columns})
    count = (
        filled.drop_duplicates([*columns, *_KEY])
        .groupby(columns)
        .size()
        .rename("models")
        .reset_index()
    )
    return count.sort_values(columns).reset_index(drop=True)
