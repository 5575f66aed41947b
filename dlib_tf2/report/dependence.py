"""Question 1: are the codes of regularised models less dependent? Total correlation and mutual
information against the strength.
"""

import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter

from dlib_tf2.report import style
from dlib_tf2.report.exhibit import Exhibit, having
from dlib_tf2.report.tidy import Scores

_READINGS = {
    "TC": (
        "total correlation",
        (
            "Total correlation of a Gaussian with the codes' covariance, against the rank of the"
            " regularisation strength (1 is the weakest): median over seeds, the band is the"
            " quartiles. Left column: codes sampled from the posterior; right: its means. The paper"
            " found that it falls with the strength for sampled codes, and does not fall, mostly"
            " rises, for their means; DIP-VAE-I, which penalises the covariance of the means"
            " itself, is the exception."
        ),
    ),
    "MI": (
        "mutual information",
        (
            "Mean mutual information of pairs of codes (20 bins each), against the rank of the"
            " regularisation strength: median and quartiles over seeds. It sees dependence that is"
            " not linear; about 0.015 nats are the bias of the estimate on 10,000 rows."
        ),
    ),
}


def dependence(scores: Scores, which: str) -> Exhibit:
    """Lines per method, a row of panels per dataset, for "TC" or "MI".

    AnnealedVAE is drawn too, which the paper leaves out: its strength is a capacity, and a larger
    one regularises less.
    """
    title, reading = _READINGS[which]
    if "annealed_vae" in scores.methods:
        reading += (
            " AnnealedVAE, which the paper leaves out here, regularises less the larger its C is."
        )
    names = (f"{which} (sampled)", f"{which} (mean)")
    present = scores.have(*names)
    numbers = summary(scores, present)
    name, heading = f"dependence_{which.lower()}", f"{title.capitalize()} against strength"
    if not present:
        return Exhibit(name, heading, reading, numbers, names)
    # methods differ by orders of magnitude
    positive = bool((scores.models[present].min() > 0).all())
    reading += " The scale is logarithmic." if positive else ""
    figure, axes = style.grid(
        scores.datasets,
        [f"{title}, {score.split()[1].strip('()')} codes" for score in present],
        3.4,
        1.9,
        "row",
    )
    for row, dataset in zip(axes, scores.datasets, strict=True):
        for axis, score in zip(row, present, strict=True):
            style.lines(axis, scores.on(dataset), score, scores.methods)
            if positive:
                axis.set_yscale("log")
                axis.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
                axis.yaxis.set_major_formatter("{x:g}")
                axis.yaxis.set_minor_formatter(NullFormatter())
        row[0].set_ylabel("nats")
    for axis in axes[-1]:
        axis.set_xlabel("rank of the strength")
    style.method_legend(figure, scores.methods)
    behind = having(scores, present)
    return Exhibit(name, heading, reading, numbers, names, figure, behind=behind)


def summary(scores: Scores, names: list[str]) -> pd.DataFrame:
    """Number of models, quartiles, least and largest of scores for each dataset, method and
    strength.
    """
    key = ["dataset", "method", "setting", "rank"]
    of_score = ["models", "min", "quartile_1", "median", "quartile_3", "max"]
    parts = []
    for name in names:
        groups = scores.models.dropna(subset=name).groupby(key)[name]
        table = (
            groups.agg(["count", "min"])
            .join(groups.quantile([0.25, 0.5, 0.75]).unstack())
            .join(groups.max().rename("max"))
        )
        table.columns = of_score
        parts.append(table.reset_index().assign(score=name))
    columns = [*key, "score", *of_score]
    return (
        pd.concat(parts)[columns].reset_index(drop=True) if parts else pd.DataFrame(columns=columns)
    )
