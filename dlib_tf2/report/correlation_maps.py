"""What the report's heat maps share: rank correlations for each dataset, with their numbers, and
what could not be estimated.
"""

import dataclasses
from collections.abc import Sequence

import pandas as pd

from dlib_tf2.report import style
from dlib_tf2.report.exhibit import Exhibit
from dlib_tf2.report.statistics import MIN_INTERVAL, MIN_PAIRS, rank_correlations
from dlib_tf2.report.tidy import Scores

HOW = (
    "Spearman's rank correlation times 100. The numbers below give n and a 95 % bootstrap interval"
    " (over what n counts) for each."
)
_TURNED = (
    " A score that is marked “lower is better” enters with its sign turned: a positive correlation"
    " means that both scores prefer the same models."
)


def per_dataset(
    scores: Scores,
    name: str,
    title: str,
    reading: str,
    left: Sequence[str],
    right: Sequence[str],
    needs: tuple[str, ...],
    bootstrap: int,
    seed: int,
) -> Exhibit:
    """A heat map per dataset of the scores `left` against the scores `right`, over all models that
    have both; higher counts as better for all of them.
    """
    models, values = scores.models, scores.directed([*left, *right])
    parts, used = [], pd.Series(False, index=models.index)
    for dataset in scores.datasets:
        here = models["dataset"] == dataset
        table = rank_correlations(
            values.loc[here, list(left)], values.loc[here, list(right)], bootstrap, seed
        )
        parts.append(table.assign(dataset=dataset)[["dataset", *table.columns]])
        for row in table.dropna(subset="rho").itertuples():
            used |= here & models[[row.left, row.right]].notna().all(axis=1)
    labels = scores.labels
    numbers = pd.concat(parts, ignore_index=True)
    for side in ("left", "right"):
        numbers[side] = numbers[side].map(lambda one: labels.get(one, one))
    rows, columns = ([labels.get(one, one) for one in names] for names in (left, right))
    how = HOW + (_TURNED if {*rows, *columns} - {*left, *right} else "")
    return maps(
        name, title, f"{how} {reading}", numbers, "dataset", rows, columns, needs, int(used.sum())
    )


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
    empty = Exhibit(name, title, reading, numbers, needs)
    if not len(left) or not len(right) or numbers.empty:
        return empty
    panels = {}
    for value, rows in numbers.groupby(panel, sort=False):
        rho, n = (
            rows.pivot(index="left", columns="right", values=name).reindex(
                index=list(left), columns=list(right)
            )
            for name in ("rho", "n")
        )
        panels[f"{value} (n = {_span(rows['n'])})"] = (rho, (n >= MIN_INTERVAL).to_numpy())
    figure, notes = style.heat_maps(panels), not_estimable(numbers)
    return dataclasses.replace(empty, figure=figure, notes=notes, behind=behind)


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
            " scores is the same for all models."
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
