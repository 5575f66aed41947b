"""smallnorb: small NORB (LeCun, Huang and Bottou 2004), both splits, left camera; the toy is
hidden.

TFDS's own builder, read block by block.
"""

import functools
import pathlib
import types
from collections.abc import Iterator
from typing import Any

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.formats import norb, png, resize
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.image_table import TableInfo
from dlib_tf2.system.progress import Progress

# The training split holds five of the ten toys of each category, the test split the others: the
# grid needs both.
SPACE = FactorSpace(("category", "instance", "elevation", "azimuth", "lighting"), (5, 10, 9, 18, 6))
VISIBLE = ("category", "elevation", "azimuth", "lighting")
SHAPE = (64, 64, 1)


def _adapt(builder: Any) -> None:
    """TFDS extracts a file, and then holds a split, as a whole in memory, 2.5 GB in all; the
    records are the same.
    """
    split_generators = builder._split_generators
    builder._split_generators = lambda files: split_generators(
        types.SimpleNamespace(download_and_extract=files.download)
    )
    builder._generate_examples = functools.partial(_examples, named=builder.version > "2.0.0")


def _examples(
    split_prefix: str, dat_path: str, cat_path: str, info_path: str, named: bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    categories = norb.whole(cat_path, ())
    labels = norb.whole(info_path, (4,)) // [1, 1, 2, 1]  # azimuths are numbered 0, 2, ..., 34
    progress = Progress("smallnorb: writing the records of a split", len(categories))
    # of the left and the right camera
    pairs = (pair for block in norb.blocks(dat_path, (2, 96, 96)) for pair in block)
    for row, ((left, right), category, (instance, elevation, azimuth, lighting)) in enumerate(
        zip(pairs, categories, labels, strict=True)
    ):
        example = {
            "image": png.encode(left[..., None]),
            "image2": png.encode(right[..., None]),
            "label_category": category,
            "instance": instance,
            "label_elevation": elevation,
            "label_azimuth": azimuth,
            "label_lighting": lighting,
        }
        yield row, example | ({"id": f"{split_prefix}{row:05d}"} if named else {})
        progress.advance(1)
    progress.finish()


RECIPE: downloaded.Recipe = downloaded.Recipe(
    "smallnorb/2.0.0",
    lambda builder: TableInfo(SPACE, VISIBLE, SHAPE, 255, RECIPE.source),
    table_bytes=SPACE.size * 64 * 64,
    record_bytes=SPACE.size * 15_000,
    adapt=_adapt,
    labels={"instance": "instance"},
    transform=functools.partial(resize.lanczos, size=SHAPE[0]),
    transform_one=functools.partial(resize.lanczos_tensor, size=SHAPE[0]),
)
RECIPES = (RECIPE,)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    return downloaded.open_dataset(RECIPE, "smallnorb", config, data_dir)
