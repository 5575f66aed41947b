"""Chooses comparable rows of a tidy table: one study, one distribution of the training rows, scores
of the same rows of representations, one kind of trees, one run of each model, one configuration of
each metric.

If there are several, the one with most models is taken, but uniform training before others, and
scores of all rows before those of a part. Each function adds a sentence to `notes` about what it
leaves out or finds mixed.
"""

from collections.abc import Callable

import pandas as pd

from dlib_tf2.errors import UserError
from dlib_tf2.records.columns import MODEL, TRAIN_VERSIONS
from dlib_tf2.report import methods

_KEY = list(MODEL)
_VERSIONS = {
    "version": "dlib_tf2 (scores)",
    "train_version": "dlib_tf2 (training)",
    "tensorflow": "TensorFlow",
    "keras": "Keras",
    "scikit_learn": "scikit-learn",
    "lightgbm": "LightGBM",
    "numpy": "NumPy",
}


def choose(
    table: pd.DataFrame,
    study: str | None,
    backend: str | None,
    notes: list[str],
    name_settings: Callable[[str, pd.DataFrame], pd.DataFrame] = lambda study, table: table,
) -> tuple[pd.DataFrame, str]:
    """The comparable rows and the name of their study; `name_settings` may rename its settings.

    Raises:
        UserError: the table has no row of that study or backend.
    """
    table, study = _one_study(table, study, notes)
    table = name_settings(study, table)
    table = _one_distribution(table, notes)
    table = _one_kind_of_rows(table, notes)
    table = _one_backend(table, backend, notes)
    table = _one_run_per_model(table, notes)
    table = _one_configuration(table, notes)
    _say_what_is_mixed(table, notes)
    return table, study


def _one_study(
    table: pd.DataFrame, study: str | None, notes: list[str]
) -> tuple[pd.DataFrame, str]:
    sizes = table.drop_duplicates(["study", *_KEY])["study"].value_counts()
    chosen = sizes.index[0] if study is None else study
    if chosen not in sizes:
        raise UserError(
            f"the table has no scores of the study {study!r}, only of"
            f" {', '.join(map(repr, sizes.index))}"
        )
    for name, count in sizes.items():
        if name != chosen:
            name = f"the study {name}" if name else "runs outside of a study"
            notes.append(
                f"In the table but not in this report: {models(count)} of {name}; choose with"
                " --study."
            )
    return table[table["study"] == chosen], str(chosen)


def _one_distribution(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Models trained on one distribution over the grid: the uniform one, if there are any."""
    distributions, sizes = _kinds(table, "distribution", "uniform")
    if not len(sizes):
        return table
    chosen = "uniform" if "uniform" in sizes else sizes.index[0]
    if chosen != "uniform":
        notes.append(f"Every model here was trained on a part of the grid: {chosen}.")
    for name, count in sizes.items():
        if name != chosen:
            notes.append(
                f"{models(count)} trained on another distribution over the grid ({name}) are left"
                f" out: this report shows {chosen}, and the two are not comparable."
            )
    return table[(distributions == chosen).to_numpy(dtype=bool)]


def _kinds(table: pd.DataFrame, column: str, default: str) -> tuple[pd.Series, pd.Series]:
    """A column, `default` where tables of older versions do not say, and how many models have each
    of its values, the most frequent first.
    """
    kinds = table[column].fillna(default)
    counted = table.assign(**{column: kinds}).drop_duplicates([*_KEY, column])
    return kinds, counted[column].value_counts()


def _one_kind_of_rows(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Scores of all rows of the representations, if there are any, else of one part of them."""
    scored = table["metric"] != "train"
    rows, _ = _kinds(table, "rows", "all")
    _, sizes = _kinds(table[scored], "rows", "all")
    if not len(sizes):
        return table
    chosen = "all" if "all" in sizes else sizes.index[0]
    if chosen != "all":
        notes.append(f"Every score here is of the rows {chosen} of a representation, not of all.")
    for name, count in sizes.items():
        if name != chosen:
            notes.append(
                f"Scores of {models(count)} of the rows {name} of a representation are left out:"
                f" this report shows those of the rows {chosen}, and the two are not comparable."
            )
    return table[(~scored | (rows == chosen)).to_numpy(dtype=bool)]


def _one_backend(table: pd.DataFrame, backend: str | None, notes: list[str]) -> pd.DataFrame:
    """Scores that were computed with boosted trees: those of one implementation only."""
    trees = table["backend"].astype("string").str.extract(r"(\w+)_gradient_boosting", expand=False)
    sizes = (
        table.assign(trees=trees)
        .dropna(subset="trees")
        .drop_duplicates([*_KEY, "trees"])["trees"]
        .value_counts()
    )
    if backend is not None and backend not in sizes:
        raise UserError(
            f"the table has no scores from trees of {backend!r}, only of"
            f" {', '.join(map(repr, sizes.index)) or 'none'}"
        )
    chosen = backend or (sizes.index[0] if len(sizes) else None)
    for name, count in sizes.items():
        if name != chosen:
            notes.append(
                f"Scores of {models(count)} from boosted trees of {name} are left out, because"
                f" those of {chosen} are shown and the two are not comparable; choose with"
                " --backend."
            )
    return table[(trees.isna() | (trees == chosen)).to_numpy(dtype=bool)]


def _one_run_per_model(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Takes one of several training runs of a configuration: with the study's own settings before
    others, then the one with most scores, then the newest.
    """
    # `changes` tells runs apart too, where the table names no run.
    table = table.assign(run=table["run"].fillna(""), changed=table["changes"].fillna(""))
    run = [*_KEY, "run", "changed"]
    runs = table.groupby(run, as_index=False).agg(rows=("key", "size"), last=("finished", "max"))
    runs["last"] = runs["last"].fillna("").astype(str)
    runs["own"] = runs["changed"] == ""
    best = runs.sort_values(["own", "rows", "last", "run", "changed"]).drop_duplicates(
        _KEY, keep="last"
    )
    if doubled := len(runs) - len(best):
        changed = int((~runs["own"]).sum() - (~best["own"]).sum())
        kinds = (
            f", {changed:,} of them made with other settings than the study's own"
            if changed
            else ""
        )
        notes.append(
            "Further training runs of models that are already counted are left out:"
            f" {doubled:,}{kinds}."
        )
        keep = table[run].merge(best[run], how="left", indicator=True)
        table = table[(keep["_merge"] == "both").to_numpy()]
    return table.drop(columns="changed")


def _one_configuration(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Takes the classifier, configuration and seed of a metric that most models have; trees and
    linear models count as two metrics.
    """
    how = ["backend", "settings", "evaluation_seed"]
    variant = ["function", "representation", "kind"]
    filled = table[["function", "representation", *how]].astype("string").fillna("")
    filled["kind"] = filled["backend"].str.contains("gradient_boosting")
    parts = []
    for (function, _, _), rows in table.groupby([filled[name] for name in variant], sort=False):
        models_of = filled.loc[rows.index, how].join(rows[_KEY]).drop_duplicates()
        sizes = models_of.groupby(how).size().sort_values(ascending=False, kind="stable")
        best = sizes.index[0]
        keep = (filled.loc[rows.index, how] == list(best)).all(axis=1)
        if len(sizes) > 1:
            left = rows[~keep].drop_duplicates(_KEY)
            which = (
                f"{best[0] or 'no classifier'}, settings {best[1] or 'unknown'}, seed"
                f" {best[2] or 'unknown'}"
            )
            notes.append(
                f"{function} was computed with {len(sizes)} classifiers, configurations or"
                f" evaluation seeds; scores of {models(len(left))} with others than the most"
                f" frequent ({which}) are left out."
            )
        parts.append(rows[keep])
    return pd.concat(parts).sort_index()


def _say_what_is_mixed(table: pd.DataFrame, notes: list[str]) -> None:
    for column, title in _VERSIONS.items():
        rows = table if column in TRAIN_VERSIONS else table[table["metric"] != "train"]
        found = sorted(map(str, rows[column].dropna().unique()))
        if len(found) > 1:
            notes.append(f"Mixed versions of {title}: {', '.join(found)}.")
    changed = table[table["changes"].fillna("") != ""].drop_duplicates(_KEY)
    if len(changed):
        texts = sorted(map(str, changed["changes"].unique()))
        notes.append(
            f"Made with other settings than the study's own: {models(len(changed))}:"
            f" {' | '.join(texts)}."
        )
    # of each method: FactorVAE's published steps are half as many updates
    steps = table.groupby("method")["steps"]
    if mixed := [
        f"{methods.title(str(method))} ({_list(own)})" for method, own in steps if own.nunique() > 1
    ]:
        notes.append(
            f"Different numbers of training updates are mixed within a method: {', '.join(mixed)}."
        )
    if table["num_latent"].nunique() > 1:
        notes.append(
            "Models of different numbers of latent dimensions are mixed:"
            f" {_list(table['num_latent'])}."
        )


def _list(numbers: pd.Series) -> str:
    return ", ".join(f"{int(value):,}" for value in sorted(numbers.dropna().unique()))


def models(count: int) -> str:
    """A number of models in words: "1 model", "1,200 models"."""
    return f"{count:,} model{'' if count == 1 else 's'}"
