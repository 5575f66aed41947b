#!/usr/bin/env python3
"""Draws docs/pictures/distributions_*.png on the grid of 3D Shapes. No dataset is opened.

python docs/make_distribution_pictures.py
"""

import pathlib

from dlib_tf2.datasets.distributions import (
    GridDistribution,
    correlate,
    first,
    hold_out,
    interpolate,
    random_hold_out,
)
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.named.shapes3d import SPACE
from dlib_tf2.visualize.distribution_pictures import Panel, caption, figure, panels_of

FOLDER = pathlib.Path(__file__).parent / "pictures"
# holes of single grid points show only where a map is the whole grid
HUES = FactorSpace(("floor_hue", "wall_hue"), (10, 10))


def panel(parts, a, b, title="", space=SPACE) -> Panel:
    """A map under its title and its numbers."""
    distribution = GridDistribution(parts)
    said = caption(distribution, space, a, b)
    return Panel(distribution, space, a, b, f"{title}\n{said}" if title else said)


def pair(sigma, inverse=False) -> Panel:
    title = f"sigma {sigma}" + (", inverse" if inverse else "")
    return panel(
        [correlate("floor_hue", "wall_hue", sigma, inverse)], "floor_hue", "wall_hue", title
    )


def confounder() -> GridDistribution:
    others = [name for name in SPACE.names if name != "shape"]
    return GridDistribution([correlate("shape", other, 0.2) for other in others])


PICTURES = {
    "correlated": lambda: (
        [
            panel([], "floor_hue", "wall_hue"),
            pair(0.7),
            pair(0.2),
            pair(0.04),
            pair(0.2, inverse=True),
            panel([correlate("shape", "scale", 0.1)], "shape", "scale", "sigma 0.1"),
        ],
        "Uniform, and pairs of correlated factors",
    ),
    "confounder": lambda: (
        panels_of(confounder(), SPACE),
        "shape is a confounder, sigma 0.2: correlated with every other factor",
    ),
    "held_out": lambda: (
        [
            panel(
                [hold_out("shape == 3 and object_hue >= 5")],
                "shape",
                "object_hue",
                "shape == 3 and object_hue >= 5",
            ),
            panel([hold_out("floor_hue >= 5")], "floor_hue", "wall_hue", "floor_hue >= 5"),
            panel(
                [hold_out("object_hue >= 8 and wall_hue <= 5")],
                "object_hue",
                "wall_hue",
                "object_hue >= 8 and wall_hue <= 5",
            ),
        ],
        "Held-out combinations",
    ),
    "subsets": lambda: (
        [
            panel(
                [random_hold_out(0.3)],
                "floor_hue",
                "wall_hue",
                "random_hold_out, 0.3\n(a grid of these two only)",
                HUES,
            ),
            panel(
                [interpolate("wall_hue"), interpolate("floor_hue")],
                "floor_hue",
                "wall_hue",
                "interpolate, wall_hue\nand floor_hue",
            ),
            panel([first(120_000)], "floor_hue", "wall_hue", "first, 120,000"),
        ],
        "Subsets of the grid",
    ),
    "combined": lambda: (
        [
            panel(
                [
                    correlate("floor_hue", "wall_hue", 0.2),
                    hold_out("floor_hue >= 7 and wall_hue >= 7"),
                ],
                "floor_hue",
                "wall_hue",
                "correlate, sigma 0.2, and\nhold_out, both hues >= 7",
            )
        ],
        "",
    ),
}


if __name__ == "__main__":
    for name, make in PICTURES.items():
        path = FOLDER / f"distributions_{name}.png"
        figure(*make()).savefig(path, dpi=100)
        print(path)
