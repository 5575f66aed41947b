"""dSprites: TFDS's own builder, read block by block, and the table of all variants."""

import pathlib
from collections.abc import Iterator
from typing import Any

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.formats import hdf5
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.image_table import TableInfo

# The file has a sixth factor in front, colour, with the one value white. It is left out, since it
# cannot vary.
SPACE = FactorSpace(
    ("shape", "scale", "orientation", "x_position", "y_position"), (3, 6, 40, 32, 32)
)
SHAPE = (64, 64, 1)


def _adapt(builder: Any) -> None:
    """TFDS's own generator holds all 3 GB of pixels in memory; the records are the same."""
    builder._generate_examples = _examples


def _examples(filepath: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with hdf5.open_file(filepath) as file:
        classes, values = hdf5.whole(file, "latents/classes"), hdf5.whole(file, "latents/values")
        images = hdf5.blocks(
            file, "imgs", "dsprites: writing the records", trailing_shape=SHAPE[:2]
        )
        images = (image[:, :, None] for image in images)  # [h, w] -> [h, w, 1]
        yield from hdf5.examples(images, SPACE.names, classes[:, 1:], values[:, 1:])


RECIPE: downloaded.Recipe = downloaded.Recipe(
    "dsprites/2.0.0",
    lambda builder: TableInfo(SPACE, SPACE.names, SHAPE, 1, RECIPE.source),
    table_bytes=SPACE.size * 64 * 64,
    record_bytes=SPACE.size * 600,
    adapt=_adapt,
)


def open_dataset(name: str, config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens the dSprites table as a dataset.

    Args:
        name: of the dataset.
        config: must be empty.
        data_dir: where datasets are kept.
    """
    return downloaded.open_dataset(RECIPE, name, config, data_dir)
