"""How the report's figures look: one colour and marker per method everywhere, grids of small
panels, heat maps, violins and lines.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from dlib_tf2.report.methods import methods

RC: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "text.parse_math": False,  # a name may hold a dollar
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's fonts
    "svg.hashsalt": "dlib_tf2",  # the same table gives the same file
}
_FEW = 6  # below, a density is an invention: the points are shown alone


def grid(
    rows: Sequence[str],
    columns: Sequence[str],
    width: float,
    height: float,
    share: Literal["row", "col", "all"] = "col",
) -> tuple[Figure, NDArray]:
    """A figure of panels [rows, columns] of a size in inches, with column titles on top and row
    titles at the right.
    """
    figure = Figure(
        figsize=(max(width * len(columns) + 0.9, 4.2), height * len(rows) + 0.9),
        layout="constrained",
    )
    axes = figure.subplots(len(rows), len(columns), squeeze=False, sharey=share)
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(_broken(title, width), fontweight="bold")
    if len(rows) > 1 or rows[0]:
        for axis, title in zip(axes[:, -1], rows, strict=True):
            axis.annotate(
                _broken(title, height),
                (1.03, 0.5),
                xycoords="axes fraction",
                rotation=-90,
                va="center",
                ha="left",
                fontsize=9.5,
                fontweight="bold",
            )
    return figure, axes


def _broken(title: str, inches: float) -> str:
    """A name over as many lines as it needs to be no longer than a panel: long names of datasets
    break after "_" and "/".
    """
    lines = [""]
    for part in re.findall(r"[^_/ ]*[_/ ]*", title):
        if lines[-1] and len(lines[-1] + part) > 11 * inches:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def method_legend(figure: Figure, names: Sequence[str], marks: bool = True) -> None:
    """One legend above all panels."""
    shown = methods(names).values()
    handles = [
        Line2D(
            [],
            [],
            color=method.colour,
            marker=method.marker,
            linestyle="-" if marks else "",
            markersize=5,
        )
        for method in shown
    ]
    columns = max(1, min(len(shown), int(figure.get_figwidth() // 1.25)))
    titles = [method.title for method in shown]
    figure.legend(handles, titles, loc="outside upper center", ncols=columns, frameon=False)


def lines(axis: Axes, models: pd.DataFrame, score: str, names: Sequence[str]) -> None:
    """Median and quartiles over seeds against the rank of the strength, a line per method."""
    for name, method in methods(names).items():
        of_method = models[models["method"] == name].dropna(subset=score)
        if of_method.empty:
            continue
        summary = of_method.groupby("rank")[score].quantile([0.25, 0.5, 0.75]).unstack()
        axis.plot(
            summary.index,
            summary[0.5],
            color=method.colour,
            marker=method.marker,
            markersize=4,
            linewidth=1.4,
        )
        axis.fill_between(
            summary.index,
            summary[0.25],
            summary[0.75],
            color=method.colour,
            alpha=0.13,
            linewidth=0,
        )
    ranks = sorted(models["rank"].unique())
    axis.set_xticks(ranks, [str(rank + 1) for rank in ranks])
    axis.set_xlim(-0.4, max(ranks) + 0.4)


def violins(axis: Axes, groups: Sequence[tuple[str, NDArray[np.float64], str]]) -> None:
    """A violin per (tick label, values, colour) with median and quartiles; few values, or equal
    ones, are points.
    """
    for place, (_, values, shade) in enumerate(groups):
        values = values[np.isfinite(values)]
        if len(values) == 0:
            axis.text(
                place,
                0.5,
                "none",
                rotation=90,
                ha="center",
                va="center",
                transform=axis.get_xaxis_transform(),
                color="#999999",
            )
            continue
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        if len(values) >= _FEW and np.ptp(values) > 1e-9 * max(1.0, float(np.abs(values).max())):
            at = np.linspace(values.min(), values.max(), 40)
            density = gaussian_kde(values)(at)
            half = 0.42 * density / density.max()
            axis.fill_betweenx(at, place - half, place + half, color=shade, alpha=0.45, linewidth=0)
            axis.plot([place, place], [low, high], color=shade, linewidth=3, solid_capstyle="butt")
            axis.plot(place, middle, marker="o", color="white", markeredgecolor=shade, markersize=4)
        else:
            axis.plot(
                np.full(len(values), place),
                values,
                linestyle="",
                marker="o",
                color=shade,
                markersize=3.5,
                alpha=0.8,
            )
            axis.plot([place - 0.28, place + 0.28], [middle, middle], color=shade, linewidth=1.5)
    axis.set_xticks(range(len(groups)), [label for label, _, _ in groups])
    axis.set_xlim(-0.6, len(groups) - 0.4)
    axis.grid(axis="x", visible=False)


def heat_map(axis: Axes, values: pd.DataFrame, sure: NDArray[np.bool_]) -> None:
    """A map of correlations in -1..1, each printed times 100.

    What is not estimable is grey with a dash; what rests on too few models (not `sure`) is printed
    in brackets without a colour.
    """
    table = values.to_numpy(dtype=np.float64)
    shown = colormaps["RdBu_r"].with_extremes(bad="#e3e3e3")
    axis.imshow(
        np.ma.masked_invalid(np.where(sure, table, np.nan)),
        cmap=shown,
        vmin=-1,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
    )
    for (row, column), value in np.ndenumerate(table):
        strong = np.isfinite(value) and abs(value) > 0.6 and sure[row, column]
        label = (
            "–"
            if not np.isfinite(value)
            else f"{round(100 * value)}"
            if sure[row, column]
            else f"({round(100 * value)})"
        )
        axis.text(
            column,
            row,
            label,
            ha="center",
            va="center",
            fontsize=8,
            color="white" if strong else "#222222",
        )
    tilted = max(map(len, map(str, values.columns)), default=0) > 4
    axis.set_xticks(
        range(table.shape[1]),
        values.columns,
        rotation=40 if tilted else 0,
        ha="right" if tilted else "center",
    )
    if tilted:
        for tick in axis.get_xticklabels():
            tick.set_rotation_mode("anchor")
    axis.set_yticks(range(table.shape[0]), values.index)
    axis.grid(visible=False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def heat_maps(
    panels: dict[str, tuple[pd.DataFrame, NDArray[np.bool_]]],
    cell: tuple[float, float] = (0.46, 0.32),
    across: int = 3,
) -> Figure:
    """A heat map per title (values, which of them are sure), `across` in a row."""
    first = next(iter(panels.values()))[0]
    rows, columns = first.shape
    at_rows, at_columns = (max(map(len, map(str, names))) for names in (first.index, first.columns))
    wide = columns * cell[0] + max(1.4, 0.07 * at_rows)
    high = rows * cell[1] + max(1.3, 0.05 * at_columns)
    across = max(1, min(across, len(panels), int(13 // wide)))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(max(4.2, across * wide), down * high), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    for axis, (title, (values, sure)) in zip(axes.flat, panels.items(), strict=False):
        heat_map(axis, values, sure)
        axis.set_title(title, fontweight="bold")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    return figure
