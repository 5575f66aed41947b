"""Question 5: do disentangled codes help a later task? Metrics against its accuracy and its need
for examples.
"""

import dataclasses

from dlib_tf2.report import correlation_maps, style
from dlib_tf2.report.exhibit import Exhibit
from dlib_tf2.report.methods import methods
from dlib_tf2.report.scores import DOWNSTREAM, EFFICIENCY, PAPER_METRICS
from dlib_tf2.report.tidy import Scores

_TASKS = (*(score.name for score in DOWNSTREAM), *EFFICIENCY)


def downstream(scores: Scores, bootstrap: int, seed: int) -> Exhibit:
    """Heat maps metric x (accuracy at each training size, efficiency), one per dataset."""
    return correlation_maps.per_dataset(
        scores,
        "downstream",
        "Metrics and downstream accuracy",
        "Columns: accuracy, averaged over factors, of logistic regression (LR) and gradient boosted"
        " trees (GBT) trained on 10 to 10,000 examples, and the statistical efficiency: accuracy"
        " with 100 examples over that with 10,000. The paper found the metrics correlated with the"
        " accuracy on the dSprites variants, and no reliable gain in efficiency.",
        scores.metrics,
        scores.have(*_TASKS),
        (*PAPER_METRICS, *_TASKS),
        bootstrap,
        seed,
    )


def efficiency(scores: Scores, classifier: str) -> Exhibit:
    """Scatters of the efficiency of one classifier ("LR" or "GBT") against each metric: rows
    datasets, columns metrics.
    """
    name = f"Efficiency ({classifier})"
    kind = "boosted trees" if classifier == "GBT" else "logistic regression"
    reading = (
        "Each point is a model: accuracy with 100 examples over accuracy with 10,000, against a"
        " metric. If disentanglement saved examples, the points would rise to the right."
    )
    columns = ["dataset", "method", "setting", "seed", *scores.metrics, *scores.have(name)]
    numbers = scores.models[columns]
    empty = Exhibit(
        f"efficiency_{classifier.lower()}",
        f"Metrics and statistical efficiency of {kind}",
        reading,
        numbers.iloc[:0],
        (*PAPER_METRICS, name),
    )
    if name not in scores.models or not scores.metrics:
        return empty
    figure, axes = style.grid(scores.datasets, scores.metrics, 1.95, 1.6, "row")
    for row, dataset in zip(axes, scores.datasets, strict=True):
        models = scores.on(dataset)
        for axis, metric in zip(row, scores.metrics, strict=True):
            for name_of_method, method in methods(scores.methods).items():
                of_method = models[models["method"] == name_of_method]
                # As a picture inside the drawing: thousands of points would make a page of many
                # megabytes.
                axis.scatter(
                    of_method[metric],
                    of_method[name],
                    s=9,
                    color=method.colour,
                    marker=method.marker,
                    alpha=0.55,
                    linewidths=0,
                    rasterized=True,
                )
        row[0].set_ylabel("efficiency")
    for axis, metric in zip(axes[-1], scores.metrics, strict=True):
        axis.set_xlabel(metric)
    style.method_legend(figure, scores.methods, marks=False)
    numbers = numbers.dropna(subset=name)
    behind = int(numbers[list(scores.metrics)].notna().any(axis=1).sum())
    return dataclasses.replace(empty, numbers=numbers, figure=figure, behind=behind)
