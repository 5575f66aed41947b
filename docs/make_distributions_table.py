#!/usr/bin/env python3
"""Makes the tables of docs/distributions.md: what a sigma means on factors of some sizes, and every
file of gin_configs/distributions with its source and what it does to the grid. No dataset is
opened.

python docs/make_distributions_table.py
"""

import pathlib
import re

import gin

from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets.distributions import GridDistribution, correlate
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.families import cars3d, dsprites, mpi3d
from dlib_tf2.datasets.named import shapes3d
from dlib_tf2.datasets.renderers import rooms, sprites

FOLDER = pathlib.Path(__file__).parents[1] / "gin_configs" / "distributions"
NAMES = sorted(path.stem for path in FOLDER.glob("*.gin") if path.stem != "shared")
MPI3D = mpi3d.SPACES[-1]  # six colours and shapes
SPACES = {
    "cars3d": cars3d.SPACE,
    "dsprites_full": dsprites.SPACE,
    "mpi3d_real": MPI3D,
    "mpi3d_realistic": MPI3D,
    "mpi3d_toy": MPI3D,
    "shapes3d": shapes3d.SPACE,
    **{f"rendered_shapes3d/{name}": grid.space for name, grid in rooms.DRAWING.grids.items()},
    **{f"rendered_sprites/{name}": grid.space for name, grid in sprites.DRAWING.grids.items()},
}
SIGMAS = (0.04, 0.1, 0.2, 0.4, 0.7)
SIZES = ((10, 10), (32, 32), (40, 40), (3, 6), (8, 4), (8, 15))
# files that leave the dataset to the model's file
DEFAULT = "rendered_sprites/small"


def load(name: str, *bindings: str) -> tuple[GridDistribution, FactorSpace]:
    """The distribution of a file, and the grid of the dataset that the file names."""
    with gin_utils.parsed([f"distributions/{name}.gin"], bindings):
        try:
            dataset = gin.query_parameter("%DATASET")
        except ValueError:
            dataset = DEFAULT
        return gin.get_configurable("GridDistribution")(), SPACES[dataset]


def header(name: str) -> dict[str, str]:
    """The labelled lines of a file's opening comment, joined; the first sentence is `Title`."""
    comment = (FOLDER / f"{name}.gin").read_text(encoding="utf-8").split("\n\n")[0]
    found, label = {}, "Title"
    for line in comment.splitlines():
        text = line.removeprefix("#").strip()
        if match := re.match(r"# (\w+):\s+(.+)", line):
            label, text = match[1], match[2]
        found[label] = f"{found.get(label, '')} {text}".strip()
    return found


def effect(distribution: GridDistribution, space: FactorSpace) -> str:
    """The held-out rows, and r and mutual information of each correlated pair."""
    facts = distribution.facts(space)
    cells = []
    if held_out := space.size - facts["rows"]:
        cells.append(f"{held_out:,} of {space.size:,} rows held out")
    for key, value in facts.items():
        kind, _, pair = key.partition(":")
        if kind == "correlation":
            information = facts[f"mutual_information:{pair}"]
            cells.append(f"{pair.replace(',', ', ')}: {value:.4f}, {information:.4f}")
    return "; ".join(cells)


def row(name: str) -> str:
    """The table's line of one file."""
    head = header(name)
    title = head["Title"].rstrip(".")
    # the page names the papers in full once
    source = re.sub(r" \((?:arXiv|OpenReview)[^)]*\)| of the published code", "", head["Source"])
    source = re.sub(r"\. The pair .* from memory.*", "; from memory", source).rstrip(".")
    return f"| `{name}` | {title} | {source} | {effect(*load(name))} |"


def sigmas() -> str:
    """r and mutual information of a pair of factors, by their sizes and sigma."""
    lines = [
        "| Values | " + " | ".join(f"sigma {sigma}" for sigma in SIGMAS) + " |",
        "|---|" + "---|" * len(SIGMAS),
    ]
    for sizes in SIZES:
        space, cells = FactorSpace(("a", "b"), sizes), []
        for sigma in SIGMAS:
            facts = GridDistribution([correlate("a", "b", sigma)]).facts(space)
            cells.append(f"{facts['correlation:a,b']:.4f}, {facts['mutual_information:a,b']:.4f}")
        lines.append(f"| {sizes[0]} and {sizes[1]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table() -> str:
    """A line for every file."""
    lines = [
        "| File | What | Source | Held-out rows; r and nats of each pair |",
        "|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(row, NAMES)])


if __name__ == "__main__":
    print(sigmas(), table(), sep="\n\n")
