"""Question 3, the numbers: how much of a score's variance method, and method with strength,
explain, and what is left to the seed.
"""

import numpy as np
import pandas as pd

from dlib_tf2.report import style
from dlib_tf2.report.exhibit import Exhibit
from dlib_tf2.report.scores import PAPER_METRICS
from dlib_tf2.report.statistics import MIN_SEEDS, explained_variance
from dlib_tf2.report.tidy import Scores

_PARTS = {"method": "#0072B2", "strength": "#56B4E9", "seed": "#d9d9d9"}
_COLUMNS = [
    "dataset",
    "metric",
    "models",
    "settings",
    "method_r2",
    "method_adjusted",
    "method_null",
    "setting_r2",
    "setting_adjusted",
]


def variance(scores: Scores) -> Exhibit:
    """R2 of the method, and of method x strength, per dataset and metric, with adjusted values and
    null expectations, and their means.
    """
    names = [*scores.metrics, *scores.others]
    numbers = explained(scores, names)
    reading = (
        "Share of a score's variance explained by the method alone (least squares on one indicator"
        " per method), and by method and strength together; the rest is due to the seed. Adjusted"
        " R² corrects for the number of groups k; the null expectation (k − 1)/(n − 1) is the R²"
        " that a grouping without any meaning gets with n models. Averaged over datasets and"
        " metrics the paper found 37 % for the method and 59 % for method and strength together,"
        " which leaves 41 % to the seed."
    )
    notes = _what_is_left_out(scores, numbers)
    estimated = numbers.dropna(subset="setting_r2")
    figure = _bars(scores, estimated) if len(estimated) else None
    return Exhibit(
        "variance",
        "What explains the scores",
        reading,
        numbers,
        PAPER_METRICS,
        figure,
        _readable(numbers, scores),
        notes,
        behind=_behind(scores, estimated),
    )


def explained(scores: Scores, names: list[str]) -> pd.DataFrame:
    """A row per dataset and metric; settings with fewer than three seeds are not used; NaN where
    nothing can be estimated.
    """
    rows = []
    for dataset in scores.datasets:
        for name in names:
            models = _used(scores, dataset, name)
            cell = models["method"] + " " + models["setting"]
            method, setting = (
                explained_variance(models[name], groups) for groups in (models["method"], cell)
            )
            values = {"models": len(models), "settings": cell.nunique()}
            for kind, share in (("method", method), ("setting", setting)):
                values |= {
                    f"{kind}_{part}": np.nan if share is None else getattr(share, part)
                    for part in ("r2", "adjusted", "null")
                }
            rows.append(
                {
                    "dataset": dataset,
                    "metric": name,
                    **values,
                    "seed_share": 1 - values["setting_r2"],
                }
            )
    return pd.DataFrame(rows, columns=[*_COLUMNS, "setting_null", "seed_share"])


def _used(scores: Scores, dataset: str, name: str) -> pd.DataFrame:
    """The models of a dataset with a setting that has this score for enough seeds."""
    models = scores.on(dataset).dropna(subset=name)
    cell = models["method"] + " " + models["setting"]
    return models[cell.map(cell.value_counts()) >= MIN_SEEDS]


def _behind(scores: Scores, estimated: pd.DataFrame) -> int:
    used = [_used(scores, row.dataset, row.metric).index for row in estimated.itertuples()]
    return len(set().union(*used))


def _what_is_left_out(scores: Scores, numbers: pd.DataFrame) -> list[str]:
    notes: list[str] = []
    if numbers.empty:
        return notes
    counts = scores.models.groupby(["dataset", "method", "setting"])[
        [*scores.metrics, *scores.others]
    ].count()
    lacking = (counts < MIN_SEEDS).sum()
    if few := int((counts < MIN_SEEDS).all(axis=1).sum()):
        notes.append(
            f"{few:,} of {len(counts):,} settings have fewer than {MIN_SEEDS} seeds and are not"
            " used."
        )
    if len(more := lacking[lacking > few]):
        which = ", ".join(f"{name} {number:,}" for name, number in more.items())
        notes.append(
            f"For single metrics more settings have fewer than {MIN_SEEDS} seeds and are not used:"
            f" {which} of {len(counts):,}."
        )
    if missing := int(numbers["setting_r2"].isna().sum()):
        notes.append(
            f"Not estimable for {missing:,} of {len(numbers):,} pairs of dataset and metric: too"
            f" few settings with {MIN_SEEDS} seeds."
        )
    return notes


def _bars(scores: Scores, numbers: pd.DataFrame):
    datasets = [name for name in scores.datasets if (numbers["dataset"] == name).any()]
    metrics = list(dict.fromkeys(numbers["metric"]))
    figure, axes = style.grid([""], datasets, 2.3, 0.24 * len(metrics) + 0.5, "all")
    for axis, dataset in zip(axes[0], datasets, strict=True):
        rows = numbers[numbers["dataset"] == dataset].set_index("metric").reindex(metrics)
        # a single method explains nothing: there is no choice
        method = rows["method_r2"].fillna(0)
        widths = {
            "method": method,
            "strength": rows["setting_r2"] - method,
            "seed": rows["seed_share"],
        }
        left = np.zeros(len(metrics))
        for part, width in widths.items():
            axis.barh(metrics, width, left=left, color=_PARTS[part], height=0.72)
            for place, (start, size) in enumerate(zip(left, width, strict=True)):
                if size > 0.12:
                    axis.text(
                        start + size / 2,
                        place,
                        f"{100 * size:.0f}",
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white" if part == "method" else "#222222",
                    )
            left = left + width.to_numpy()
        axis.set_xlim(0, 1)
        axis.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
    axes[0, 0].invert_yaxis()
    handles = [axes[0, 0].barh([0], [0], color=shade) for shade in _PARTS.values()]
    labels = ["method", "strength, given the method", "seed"]
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


def _readable(numbers: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """Percentages; the last row is the mean over datasets and the paper's metrics."""
    paper = numbers[numbers["metric"].isin(scores.metrics)].dropna(subset="setting_r2")
    mean = paper.drop(columns=["dataset", "metric"]).mean().to_dict() if len(paper) else {}
    last = {
        **mean,
        "dataset": "mean",
        "metric": f"{len(paper)} rows of the paper's metrics",
        "models": np.nan,
    }
    table = (
        pd.concat([numbers, pd.DataFrame([last])], ignore_index=True) if len(paper) > 1 else numbers
    )
    shown = pd.DataFrame(
        {
            "Dataset": table["dataset"],
            "Metric": table["metric"],
            "Models": (
                table["models"].map(lambda count: f"{count:,.0f}" if np.isfinite(count) else "–")
            ),
        }
    )
    for kind, title in (("method", "Method"), ("setting", "Method × strength")):
        for part, heading in (("r2", "R²"), ("adjusted", "adjusted"), ("null", "null")):
            shown[f"{title}: {heading}"] = table[f"{kind}_{part}"].map(_percent)
    shown["Seed (rest)"] = table["seed_share"].map(_percent)
    return shown


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if np.isfinite(value) else "not estimable"
