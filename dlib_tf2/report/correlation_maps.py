"""What the report's heat maps share: rank correlations for each dataset, with their numbers, and
what could not be estimated.
"""

from collections.abc import Sequence

import pandas as pd

from dlib_tf2.report import style
from dlib_tf2.report.exhibit import Exhibit
from dlib_tf2.report.statistics import MIN_INTERVAL, MIN_PAIRS, rank_correlations
from dlib_tf2.report.tidy import Scores

HOW = (
    "Spearman's rank correlation times 100. The numbers below have n and a 95 % bootstrap interval"
    " (over what n counts) for each."
)


def per_dataset(
    scores: Scores, left: Sequence[str], right: Sequence[str], bootstrap: int, seed: int
) -> pd.DataFrame:
    """Rank correlations of the scores `left` with the scores `right` on each dataset: dataset,
    left, right, rho, low, high, n.
    """
    parts = []
    for dataset in scores.datasets:
        models = scores.models[scores.models["dataset"] == dataset]
        table = rank_correlations(models[list(left)], models[list(right)], bootstrap, seed)
        parts.append(table.assign(dataset=dataset)[["dataset", *table.columns]])
    return pd.concat(parts, ignore_index=True)


def behind(scores: Scores, numbers: pd.DataFrame) -> int:
    """How many models have both scores of some correlation of `per_dataset` that could be
    estimated.
    """
    used = pd.Series(False, index=scores.models.index)
    for row in numbers.dropna(subset="rho").itertuples():
        used |= (scores.models["dataset"] == row.dataset) & scores.models[
            [row.left, row.right]
        ].notna().all(axis=1)
    return int(used.sum())


def maps(
    name: str,
    title: str,
    reading: str,
    numbers: pd.DataFrame,
    panel: str,
    left: Sequence[str],
    right: Sequence[str],
    needs: tuple[str, ...],
    behind: int,
) -> Exhibit:
    """One heat map per value of the column `panel` of `numbers`, with rows `left` and columns
    `right`.
    """
    if not len(left) or not len(right) or numbers.empty:
        return Exhibit(name, title, reading, numbers, needs)
    panels = {}
    for value, rows in numbers.groupby(panel, sort=False):
        rho, n = (
            rows.pivot(index="left", columns="right", values=name).reindex(
                index=list(left), columns=list(right)
            )
            for name in ("rho", "n")
        )
        panels[f"{value} (n = {_span(rows['n'])})"] = (rho, (n >= MIN_INTERVAL).to_numpy())
    return Exhibit(
        name,
        title,
        reading,
        numbers,
        needs,
        style.heat_maps(panels),
        notes=not_estimable(numbers),
        behind=behind,
    )


def not_estimable(numbers: pd.DataFrame) -> list[str]:
    """Says how many correlations or intervals could not be estimated, and why."""
    notes = []
    few, equal = numbers["n"] < MIN_PAIRS, numbers["rho"].isna() & (numbers["n"] >= MIN_PAIRS)
    if few.any():
        notes.append(
            f"Not estimable: {few.sum():,} of {len(numbers):,} correlations have fewer than"
            f" {MIN_PAIRS} pairs."
        )
    if equal.any():
        notes.append(
            f"Not estimable: {equal.sum():,} of {len(numbers):,} correlations, where one of the two"
            " scores is the same throughout."
        )
    short = numbers["rho"].notna() & (numbers["n"] < MIN_INTERVAL)
    if short.any():
        notes.append(
            f"No interval for {short.sum():,} of {len(numbers):,} correlations, which have fewer"
            f" than {MIN_INTERVAL} pairs; these are in brackets."
        )
    return notes


def _span(counts: pd.Series) -> str:
    low, high = counts.min(), counts.max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
