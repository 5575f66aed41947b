"""Question 4: do good settings transfer between datasets? Rank correlations of one metric between
datasets.
"""

import dataclasses
import itertools

import pandas as pd

from dlib_tf2.report import correlation_maps
from dlib_tf2.report.exhibit import Exhibit
from dlib_tf2.report.scores import PAPER_METRICS
from dlib_tf2.report.statistics import rank_correlations
from dlib_tf2.report.tidy import Scores

_UNITS = {"settings": ["method", "setting"], "models": ["method", "setting", "seed"]}


def transfer(scores: Scores, bootstrap: int, seed: int) -> Exhibit:
    """Heat maps dataset x dataset, one per metric, over settings (means over seeds); the numbers
    also hold matched models.
    """
    title = "Transfer between datasets"
    reading = (
        f"{correlation_maps.HOW} Each pair is a setting (method and strength) with its mean over"
        " seeds on two datasets; the numbers also have the correlation over models matched by"
        " setting and seed. The paper found that good settings transfer between dSprites and"
        " Color-dSprites only."
    )
    columns = ["unit", "metric", "left", "right", "rho", "low", "high", "n"]
    parts = []
    for (unit, key), metric in itertools.product(_UNITS.items(), scores.metrics):
        table = scores.models.pivot_table(
            index=key, columns="dataset", values=metric, aggfunc="mean"
        ).reindex(columns=scores.datasets)
        parts.append(
            rank_correlations(table, table, bootstrap, seed).assign(unit=unit, metric=metric)[
                columns
            ]
        )
    numbers = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    if len(scores.datasets) < 2:
        why = ["Not estimable: the table holds a single dataset."]
        return Exhibit("transfer", title, reading, numbers.iloc[:0], PAPER_METRICS, notes=why)
    settings = numbers[numbers["unit"] == "settings"]
    shown = correlation_maps.maps(
        "transfer",
        title,
        reading,
        settings,
        "metric",
        scores.datasets,
        scores.datasets,
        PAPER_METRICS,
        _behind(scores, settings),
    )
    return dataclasses.replace(shown, numbers=numbers)


def _behind(scores: Scores, numbers: pd.DataFrame) -> int:
    """How many models are of a setting that stands in an estimated correlation between two
    different datasets.
    """
    models = scores.models
    used = pd.Series(False, index=models.index)
    setting = models["method"] + " " + models["setting"]
    for row in numbers[numbers["left"] != numbers["right"]].dropna(subset="rho").itertuples():
        there = models[row.metric].notna()
        on = [there & (models["dataset"] == dataset) for dataset in (row.left, row.right)]
        shared = set(setting[on[0]]) & set(setting[on[1]])
        used |= (on[0] | on[1]) & setting.isin(shared)
    return int(used.sum())
