"""Question 4: is there a strength or a method to recommend? Scores against the strength."""

import dataclasses

from dlib_tf2.report import style
from dlib_tf2.report.dependence import summary
from dlib_tf2.report.exhibit import Exhibit, having
from dlib_tf2.report.scores import PAPER_METRICS
from dlib_tf2.report.tidy import Scores


def score_against_strength(scores: Scores) -> Exhibit:
    """Lines per method: rows datasets, columns metrics."""
    reading = (
        "Median over seeds against the rank of the regularisation strength, a line per method, the"
        " band is the quartiles. The paper found no method that dominates and no strategy for the"
        " strength that holds across datasets and metrics."
    )
    numbers = summary(scores, list(scores.metrics))
    empty = Exhibit(
        "score_against_strength", "Scores against strength", reading, numbers, PAPER_METRICS
    )
    if not scores.metrics:
        return empty
    figure, axes = style.grid(scores.datasets, scores.metrics, 1.95, 1.55)
    for row, dataset in zip(axes, scores.datasets, strict=True):
        for axis, metric in zip(row, scores.metrics, strict=True):
            style.lines(axis, scores.on(dataset), metric, scores.methods)
    for axis in axes[-1]:
        axis.set_xlabel("rank of the strength")
    style.method_legend(figure, scores.methods)
    return dataclasses.replace(empty, figure=figure, behind=having(scores, scores.metrics))
