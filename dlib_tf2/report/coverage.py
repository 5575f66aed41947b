"""Which models there are: seeds per dataset, method and strength."""

import numpy as np

from dlib_tf2.report import methods, style
from dlib_tf2.report.exhibit import Exhibit, cells
from dlib_tf2.report.tidy import Scores


def coverage(scores: Scores) -> Exhibit:
    """A map of the number of seeds of every setting: method x rank of the strength, for each
    dataset.
    """
    key = ["dataset", "method", "setting", "rank"]
    design = (
        cells(scores).groupby(key, sort=False)["seed"].size().rename("seeds_in_table").reset_index()
    )
    present = scores.models.groupby(key)["seed"].nunique().rename("models").reset_index()
    numbers = (
        design.merge(present, on=key, how="left").fillna({"models": 0}).astype({"models": int})
    )
    most = int(numbers["seeds_in_table"].max())
    ranks = range(int(numbers["rank"].max()) + 1)
    figure, axes = style.grid(
        [""],
        scores.datasets,
        max(1.9, 0.34 * len(ranks)),
        0.28 * len(scores.methods) + 0.35,
        share="all",
    )
    for axis, dataset in zip(axes[0], scores.datasets, strict=True):
        counts = numbers[numbers["dataset"] == dataset].pivot(
            index="method", columns="rank", values="models"
        )
        table = counts.reindex(index=scores.methods, columns=ranks).to_numpy(dtype=float)
        axis.imshow(
            np.ma.masked_invalid(table), cmap="Blues", vmin=0, vmax=max(most, 1) * 3, aspect="auto"
        )
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                shade = "#b00020" if value < most else "#222222"
                axis.text(
                    column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=shade
                )
        axis.set_xticks(ranks, [str(rank + 1) for rank in ranks])
        axis.set_yticks(range(len(scores.methods)), list(map(methods.title, scores.methods)))
        axis.set_xlabel("rank of the strength")
        axis.grid(visible=False)
        axis.tick_params(length=0)
    return Exhibit(
        "coverage",
        "Models in this report",
        f"Number of seeds of each setting; {most} is what the table's own seeds allow, fewer is"
        " red, and a white cell is a strength that the method does not have. Only settings that"
        " occur somewhere in the table are shown.",
        numbers,
        (),
        figure,
    )
