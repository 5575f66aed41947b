"""smallnorb: small NORB (LeCun, Huang and Bottou 2004), both splits, left camera, which toy it is hidden; by TFDS's own builder."""

import functools
import pathlib
from collections.abc import Iterator
from typing import Any

from dlib_tf2.datasets import downloaded, resize
from dlib_tf2.datasets.download import RemoteFile
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.image_table import TableInfo
from dlib_tf2.datasets.progress import Progress

# The training split holds five of the ten toys of each category, the test split the others: only together are they the grid.
SPACE = FactorSpace(("category", "instance", "elevation", "azimuth", "lighting"), (5, 10, 9, 18, 6))
VISIBLE = ("category", "elevation", "azimuth", "lighting")
SHAPE = (64, 64, 1)


def _builder_class() -> Any:
    from tensorflow_datasets.datasets.smallnorb import smallnorb_dataset_builder

    return smallnorb_dataset_builder.Builder


def _files() -> tuple[RemoteFile, ...]:
    return downloaded.tfds_files(_builder_class())


def _builder(data_dir: pathlib.Path | str) -> Any:
    builder = _builder_class()(data_dir=data_dir)
    builder._generate_examples = functools.partial(_with_progress, builder._generate_examples)
    return builder


def _with_progress(generate: Any, **arguments: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    progress = Progress("smallnorb: writing the records of a split", SPACE.size // 2)
    for example in generate(**arguments):
        yield example
        progress.advance(1)
    progress.finish()


def _info(builder: Any) -> TableInfo:
    del builder  # the grid is known beforehand
    return TableInfo(SPACE, VISIBLE, SHAPE, 255, RECIPE.source)


RECIPE = downloaded.Recipe(
    source="smallnorb/2.0.0",
    files=_files,
    builder=_builder,
    info=_info,
    table_bytes=SPACE.size * 64 * 64,
    record_bytes=SPACE.size * 30_000,  # with the extracted files, 18 KB an example
    labels={"instance": "instance"},
    transform=functools.partial(resize.lanczos, size=SHAPE[0]),
    transform_one=functools.partial(resize.lanczos_tensor, size=SHAPE[0]),
)
RECIPES = (RECIPE,)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    downloaded.no_config("smallnorb", config)
    table, info = downloaded.open_table(RECIPE, data_dir, "smallnorb")
    return GroundTruthDataset("smallnorb", info.space, info.visible, table, info.scale, RECIPE.records(data_dir))
