"""Question 4, the paper's table 1: the probability that a choice made elsewhere beats a random
one.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlib_tf2.report.exhibit import Exhibit
from dlib_tf2.report.scores import PAPER_METRICS
from dlib_tf2.report.statistics import Win, win_probability
from dlib_tf2.report.tidy import Scores

# (same metric, same dataset) -> the paper's percentage; the third is the least certain.
_PAPER = {
    (True, True): "80.7 %",
    (True, False): "59.3 %",
    (False, True): "about 62.6 %",
    (False, False): "54.9 %",
}
_AXES = ("metric", "dataset", "setting", "seed")


def selection(scores: Scores, draws: int, seed: int) -> Exhibit:
    """The 2 x 2 table: same or different metric x same or different dataset, always another
    seed.
    """
    cube = score_cube(scores)
    rows = []
    for number, (metric, dataset) in enumerate(_PAPER):
        win = win_probability(cube, metric, dataset, draws, np.random.default_rng([seed, number]))
        values = win if win is not None else Win(np.nan, np.nan, 0)
        rows.append(
            {
                "same_metric": metric,
                "same_dataset": dataset,
                **values._asdict(),
                "paper": _PAPER[metric, dataset],
            }
        )
    numbers = pd.DataFrame(rows)
    names = {True: "same", False: "different, random"}
    shown = pd.DataFrame(
        {
            "Tested on": [
                f"{names[row.same_metric]} metric, {names[row.same_dataset]} dataset, another seed"
                for row in numbers.itertuples()
            ],
            "Wins over a random choice": [
                (
                    f"{100 * row.probability:.1f} ± {100 * row.standard_error:.1f} %"
                    if row.draws
                    else "not estimable"
                )
                for row in numbers.itertuples()
            ],
            "Draws": [f"{row.draws:,}" for row in numbers.itertuples()],
            "Paper": numbers["paper"],
        }
    )
    reading = (
        "A setting is chosen as the best one on a random metric, dataset and seed, and then"
        " compared with a random setting on another seed, on the same or a different metric and"
        " dataset; ties count as half, so a choice that means nothing wins 50 %. ± is the standard"
        f" error of the draws alone. Drawn from {_sizes(cube)}."
    )
    notes = _why_not(numbers, cube, draws)
    return Exhibit(
        "selection",
        "Does a choice transfer? Odds against random selection",
        reading,
        numbers,
        PAPER_METRICS,
        None,
        shown,
        notes,
        behind=_behind(cube) if numbers["draws"].any() else 0,
    )


def score_cube(scores: Scores) -> NDArray[np.float64]:
    """The paper's metrics as an array [metrics, datasets, settings, seeds], higher is better, NaN
    for a missing score.
    """
    models, values = scores.models, scores.directed(scores.metrics)
    axes = [pd.factorize(models[name], sort=True) for name in ("dataset", "seed")]
    setting, settings = pd.factorize(models["method"] + " " + models["setting"], sort=True)
    cube = np.full((len(scores.metrics), len(axes[0][1]), len(settings), len(axes[1][1])), np.nan)
    for number, metric in enumerate(scores.metrics):
        cube[number, axes[0][0], setting, axes[1][0]] = values[metric]
    return cube


def _behind(cube: NDArray[np.float64]) -> int:
    """How many models can be drawn: those with a score on a metric, dataset and seed that have it
    for at least two settings.
    """
    there = np.isfinite(cube)
    drawn = there & (there.sum(axis=2, keepdims=True) >= 2)
    return int(drawn.any(axis=0).sum())


def _sizes(cube: NDArray[np.float64]) -> str:
    return ", ".join(
        f"{size} {name}{'' if size == 1 else 's'}"
        for size, name in zip(cube.shape, _AXES, strict=True)
    )


def _why_not(numbers: pd.DataFrame, cube: NDArray[np.float64], draws: int) -> list[str]:
    notes = []
    if (numbers["draws"] == 0).any():
        notes.append(
            "Not estimable cells need at least two settings and two seeds, and two metrics or two"
            f" datasets where these must differ; here: {_sizes(cube)}."
        )
    if ((numbers["draws"] > 0) & (numbers["draws"] < draws)).any():
        notes.append("Models are missing: some draws could not be made, see the number of draws.")
    return notes
