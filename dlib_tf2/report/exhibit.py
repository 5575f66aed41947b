"""What every figure or table of the report returns, and how many models it was made from."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from dlib_tf2.report import methods
from dlib_tf2.report.tidy import Scores


@dataclass(frozen=True)
class Exhibit:
    """One figure or table.

    Attributes:
        name: of its files.
        title: heading on the page.
        reading: how to read it, and what the paper found.
        numbers: what is drawn, as a table; its file is all of it.
        needs: score columns that it is made from; the page names those that no model has.
        figure: None if there is nothing to draw.
        table: rows to show on the page as they are, texts and numbers; None shows none.
        notes: what could not be estimated, and why.
        dataset: the only one that it shows; None for all.
        behind: number of models that it was made from; 0 if nothing is drawn or estimated.
    """

    name: str
    title: str
    reading: str
    numbers: pd.DataFrame
    needs: tuple[str, ...]
    figure: Figure | None = None
    table: pd.DataFrame | None = None
    notes: list[str] = field(default_factory=list)
    dataset: str | None = None
    behind: int = 0


def having(scores: Scores, names: Sequence[str], dataset: str | None = None) -> int:
    """How many models have at least one of the scores."""
    return int(scores.on(dataset)[list(names)].notna().any(axis=1).sum())


def cells(scores: Scores, dataset: str | None = None) -> pd.DataFrame:
    """A row for every combination of the datasets, settings of a method and seeds in the table,
    whether or not the table has that model.
    """
    models = scores.models
    settings = models[["method", "setting", "rank"]].drop_duplicates()
    order = {method: place for place, method in enumerate(scores.methods)}
    settings = settings.sort_values(
        ["method", "rank"],
        key=lambda column: column.map(order) if column.name == "method" else column,
    )
    datasets = pd.DataFrame({"dataset": scores.datasets if dataset is None else [dataset]})
    seeds = pd.DataFrame({"seed": sorted(models["seed"].unique())})
    return datasets.merge(settings, how="cross").merge(seeds, how="cross")


def missing(scores: Scores, needs: tuple[str, ...], dataset: str | None = None) -> pd.DataFrame:
    """The models of `cells` that lack a score that some other model has, with the names of what
    they lack, or "model" for a model that is not in the table.
    """
    columns = scores.have(*needs)
    key = ["dataset", "method", "setting", "seed"]
    design = cells(scores, dataset).merge(
        scores.models[[*key, "model_num", *columns]].assign(_there=True), on=key, how="left"
    )
    lacking = design[columns].isna().to_numpy(dtype=bool)
    there = design["_there"].notna()
    what = pd.Series(
        [", ".join(itertools.compress(columns, row)) for row in lacking],
        index=design.index,
        dtype="string",
    )
    design["lacks"] = what.where(there, "model")
    return design[~there | lacking.any(axis=1)][[*key, "model_num", "lacks"]].reset_index(drop=True)


def standing(scores: Scores, item: Exhibit) -> str:
    """A sentence: how many models a figure was made from, and which are missing."""
    needs, dataset, behind = item.needs, item.dataset, item.behind
    if not behind:
        why = (
            f"no model has {_list(needs)}"
            if not scores.have(*needs)
            else "it cannot be estimated from what this table holds"
        )
        return f"none; {why}."
    gaps, spanned = missing(scores, needs, dataset), len(cells(scores, dataset))
    expected = scores.expected if dataset is None else scores.expected_on.get(dataset)
    where = "" if dataset is None else f" on {dataset}"
    if expected is not None:
        there = len(scores.on(dataset))
        parts = [f"{behind:,} of the {expected:,} models of {scores.study or 'the study'}{where}"]
        if there < expected:
            parts.append(f"{expected - there:,} are missing")
        if unused := there - behind:
            parts.append(
                f"{unused:,} more in the table {'has' if unused == 1 else 'have'} no part in it"
            )
    else:
        datasets = "datasets, " if dataset is None else ""
        parts = [
            f"{behind:,} of the {spanned:,} models{where} of the {datasets}settings and seeds that"
            " occur in this table"
        ]
    if absent := [name for name in needs if name not in scores.models]:
        parts.append(f"no model has {_list(absent)}")
    if not gaps.empty:
        groups = gaps.groupby(["dataset", "method", "setting"], sort=False)["seed"].size()
        shown = [
            f"{dataset} {methods.title(method)} {setting}: {count}"
            for (dataset, method, setting), count in groups.head(3).items()
        ]
        rest = f"; and {len(groups) - 3:,} more settings" if len(groups) > 3 else ""
        parts.append(
            f"within the table's own settings and seeds {len(gaps):,} lack a score or are not there"
            f" ({'; '.join(shown)}{rest}; all in numbers/missing.csv)"
        )
    return "; ".join(parts) + "."


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
