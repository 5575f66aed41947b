#!/usr/bin/env python3
"""Makes the table of docs/distributions.md: every file of gin_configs/distributions, where it comes
from, and what it does to the grid. No dataset is opened.

python docs/make_distributions_table.py
"""

import pathlib
import re

import gin

from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets.distributions import GridDistribution
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


def table() -> str:
    """The whole table."""
    lines = [
        "| File | What | Source | Held-out rows; r and nats of each pair |",
        "|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(row, NAMES)])


if __name__ == "__main__":
    print(table())
