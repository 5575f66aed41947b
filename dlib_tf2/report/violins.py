"""Question 3, the pictures: how scores spread over methods, and over the strengths of one
method.
"""

import dataclasses

import numpy as np
import pandas as pd

from dlib_tf2.report import methods, style
from dlib_tf2.report.dependence import summary
from dlib_tf2.report.exhibit import Exhibit, having
from dlib_tf2.report.scores import PAPER_METRICS
from dlib_tf2.report.tidy import Scores

_SHAPE = (
    "White dot: median; thick line: quartiles; fewer than six models are shown as points with their"
    " median."
)


def violins_by_method(scores: Scores) -> Exhibit:
    """Violins per method over all its strengths and seeds: rows datasets, columns metrics."""
    numbers = summary_by_method(scores)
    shown = methods.methods(scores.methods)
    names = "; ".join(f"{method.short}: {method.title}" for method in shown.values())
    reading = (
        f"Each violin holds all strengths and seeds of a method ({names}). {_SHAPE} The paper found"
        " that the ranges of the methods overlap heavily: which method is used matters less than"
        " its strength and the seed."
    )
    empty = Exhibit("violins_by_method", "Scores by method", reading, numbers, PAPER_METRICS)
    if not scores.metrics:
        return empty
    figure, axes = style.grid(scores.datasets, scores.metrics, 1.95, 1.55)
    for row, dataset in zip(axes, scores.datasets, strict=True):
        models = scores.on(dataset)
        for axis, metric in zip(row, scores.metrics, strict=True):
            style.violins(
                axis,
                [
                    (
                        method.short,
                        models.loc[models["method"] == name, metric].to_numpy(),
                        method.colour,
                    )
                    for name, method in shown.items()
                ],
            )
    return dataclasses.replace(empty, figure=figure, behind=having(scores, scores.metrics))


def violins_by_strength(scores: Scores, dataset: str) -> Exhibit:
    """Violins per strength on one dataset: rows methods, columns metrics."""
    models = scores.on(dataset)
    name, title = f"violins_by_strength_{_slug(dataset)}", f"Scores by strength on {dataset}"
    reading = (
        f"Each violin holds the seeds of one strength of a method. {_SHAPE} Scales are shared"
        " within a column."
    )
    numbers = summary(scores, list(scores.metrics))
    numbers = numbers[numbers["dataset"] == dataset]
    # a method has one colour in all figures, so it is chosen among all methods of the report
    shown = {
        method: how
        for method, how in methods.methods(scores.methods).items()
        if (models["method"] == method).any()
    }
    empty = Exhibit(name, title, reading, numbers, PAPER_METRICS, dataset=dataset)
    if not scores.metrics or not shown:
        return empty
    figure, axes = style.grid([how.title for how in shown.values()], scores.metrics, 1.95, 1.5)
    for row, (method, how) in zip(axes, shown.items(), strict=True):
        settings = (
            scores.models[scores.models["method"] == method]
            .drop_duplicates("setting")
            .sort_values("rank")
        )
        of_method = models[models["method"] == method]
        labels, of_axis = _ticks(settings)
        for axis, metric in zip(row, scores.metrics, strict=True):
            groups = [
                (
                    label,
                    of_method.loc[of_method["setting"] == setting, metric].to_numpy(
                        dtype=np.float64
                    ),
                    how.colour,
                )
                for label, setting in zip(labels, settings["setting"], strict=True)
            ]
            style.violins(axis, groups)
            axis.set_xlabel(of_axis, labelpad=1)
    behind = having(scores, scores.metrics, dataset)
    return dataclasses.replace(empty, figure=figure, behind=behind)


def _ticks(settings: pd.DataFrame) -> tuple[list[str], str]:
    """Labels of a method's settings and the name of their axis: the strengths, or ranks if a
    setting is more than its strength.
    """
    if settings["strength"].notna().all():
        names, values = zip(*(setting.split(" = ") for setting in settings["setting"]), strict=True)
        return list(values), names[0]
    return [str(rank + 1) for rank in settings["rank"]], "rank of the setting"


def summary_by_method(scores: Scores) -> pd.DataFrame:
    """The numbers behind the violins of whole methods."""
    whole = scores.models.assign(setting="all", rank=0)
    return summary(dataclasses.replace(scores, models=whole), list(scores.metrics))


def _slug(text: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in text)
