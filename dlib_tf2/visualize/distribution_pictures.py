"""Pictures of a distribution over the grid: how two factors vary together, and each by itself."""

import dataclasses
import itertools
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from dlib_tf2.datasets.distributions import GridDistribution
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.errors import UserError

_STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.edgecolor": "#777777",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "text.parse_math": False,  # a name may hold a dollar
}
_PANEL = (2.9, 2.9)  # inches
_MARGINAL = 0.16  # height of the bars, as a part of the map
_GREY, _BLUE = "#dddddd", "#3b6ea5"  # cells that are never drawn; bars


@dataclasses.dataclass(frozen=True)
class Panel:
    """One heat map: `a` downwards, `b` to the right, with the bars of each at its edge."""

    distribution: GridDistribution
    space: FactorSpace
    a: str
    b: str
    title: str = ""


def joint(
    distribution: GridDistribution, space: FactorSpace, a: str, b: str
) -> NDArray[np.float64]:
    """The probabilities of the values of two factors: [values of a, values of b], sum 1.

    Raises:
        UserError: a factor is unknown, or both are the same.
    """
    for name in (a, b):
        if name not in space.names:
            raise UserError(f"unknown factor {name!r}; this grid has {', '.join(space.names)}")
    if a == b:
        raise UserError(f"a map needs two factors, got {a!r} twice")
    i, j = space.names.index(a), space.names.index(b)
    others = tuple(axis for axis in range(len(space.names)) if axis not in (i, j))
    together = distribution.probabilities(space).reshape(space.sizes).sum(axis=others)
    return together if i < j else together.T


def panels_of(
    distribution: GridDistribution, space: FactorSpace, factors: Sequence[str] | None = None
) -> list[Panel]:
    """What is worth a look: the correlated pairs, and those of factors that are held out together.

    Args:
        distribution: with its parts.
        space: the grid.
        factors: all pairs of these instead.
    """
    pairs = [part.pair for part in distribution.parts if part.pair]
    if factors is None:
        text = "; ".join(part.text for part in distribution.parts if not part.pair)
        factors = [name for name in space.names if re.search(rf"\b{re.escape(name)}\b", text)]
        if len(factors) < 2 and not pairs:
            # beside its neighbour; without a factor, the first two
            factors = [*factors, *(name for name in space.names if name not in factors)][:2]
    else:
        pairs = []
    chosen = dict.fromkeys([*pairs, *itertools.combinations(factors, 2)])
    return [Panel(distribution, space, a, b, caption(distribution, space, a, b)) for a, b in chosen]


def caption(distribution: GridDistribution, space: FactorSpace, a: str, b: str) -> str:
    """r and mutual information if the pair is correlated, and how many rows are held out."""
    facts, lines = distribution.facts(space), []
    for first, second in ((a, b), (b, a)):
        if (r := facts.get(f"correlation:{first},{second}")) is not None:
            information = facts[f"mutual_information:{first},{second}"]
            lines.append(f"r {r:.3f}, {information:.3f} nats")
            break
    if share := 1 - facts["rows"] / space.size:
        lines.append(f"{100 * share:.3g} % held out")
    return "\n".join(lines) or ("" if distribution.parts else "uniform")


def figure(panels: Sequence[Panel], title: str = "", across: int = 3) -> Figure:
    """Draws the panels, `across` in a row.

    Blue is the probability of a pair of values, from 0 to the number below the map; grey is never
    drawn. Bars are each factor by itself; the dotted line is the uniform distribution.
    """
    if not panels:
        raise UserError("no panel to draw; name two factors or more")
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    with mpl.rc_context(_STYLE):
        width, height = _PANEL[0] * across, _PANEL[1] * down
        made = Figure(
            figsize=(width + 0.3, height + (0.5 if title else 0.2)),
            layout=ConstrainedLayoutEngine(wspace=0.05, hspace=0.05),
        )
        axes = made.subplots(down, across, squeeze=False)
        for axis, panel in zip(axes.flat, panels, strict=False):
            _draw(axis, panel)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        if title:
            made.suptitle(textwrap.fill(title, int(13 * width)), fontsize=10)
    return made


def _draw(axis: Axes, panel: Panel) -> None:
    values = joint(panel.distribution, panel.space, panel.a, panel.b)
    axis.imshow(
        np.ma.masked_equal(values, 0),
        cmap=colormaps["Blues"].with_extremes(bad=_GREY),
        vmin=0,
        vmax=values.max(),
        aspect="auto",
        interpolation="nearest",
    )
    axis.set_xlabel(f"{panel.b}\ndarkest: {values.max():.2g}")
    axis.set_ylabel(panel.a)
    axis.set_xticks(_ticks(values.shape[1]))
    axis.set_yticks(_ticks(values.shape[0]))
    # the bars' axes have no ticks, so that no number stands in two places
    above = axis.inset_axes((0, 1.03, 1, _MARGINAL), sharex=axis)
    beside = axis.inset_axes((1.03, 0, _MARGINAL, 1), sharey=axis)
    columns, rows = values.sum(axis=0), values.sum(axis=1)
    above.bar(np.arange(len(columns)), columns, width=1, color=_BLUE, linewidth=0)
    beside.barh(np.arange(len(rows)), rows, height=1, color=_BLUE, linewidth=0)
    above.axhline(1 / len(columns), color="black", linestyle=":", linewidth=0.8)
    beside.axvline(1 / len(rows), color="black", linestyle=":", linewidth=0.8)
    for bars in (above, beside):
        bars.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
        for spine in bars.spines.values():
            spine.set_visible(False)
    above.set_title(panel.title)


def _ticks(size: int) -> NDArray[np.int64]:
    """Value indices to print: all of a few, else at round distances."""
    steps = (digit * 10**zeros for zeros in itertools.count() for digit in (1, 2, 5))
    return np.arange(0, size, next(step for step in steps if size <= 10 * step))
