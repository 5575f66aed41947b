"""shapes3d: 3D Shapes (Burgess and Kim 2018), by TFDS's own builder, read block by block."""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.formats import hdf5
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.image_table import TableInfo

SPACE = FactorSpace(
    ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"), (10, 10, 10, 8, 4, 15)
)
SHAPE = (64, 64, 3)


def _adapt(builder: Any) -> None:
    """TFDS's own generator holds all 6 GB of pixels in memory; the records are the same."""
    builder._generate_examples = _examples


def _examples(filepath: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with hdf5.open_file(filepath) as file:
        values = hdf5.whole(file, "labels")
        # The file has values only; the number of a value is its rank.
        labels = np.stack(
            [np.unique(column, return_inverse=True)[1] for column in values.T], axis=1
        )
        images = hdf5.blocks(file, "images", "shapes3d: writing the records", SHAPE)
        yield from hdf5.examples(images, SPACE.names, labels, values)


RECIPE: downloaded.Recipe = downloaded.Recipe(
    "shapes3d/2.0.0",
    lambda builder: TableInfo(SPACE, SPACE.names, SHAPE, 255, RECIPE.source),
    table_bytes=SPACE.size * 64 * 64 * 3,
    record_bytes=SPACE.size * 5000,
    adapt=_adapt,
)
RECIPES = (RECIPE,)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    return downloaded.open_dataset(RECIPE, "shapes3d", config, data_dir)
