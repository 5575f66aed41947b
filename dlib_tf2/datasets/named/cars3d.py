"""cars3d: 183 car models from 24 azimuths and 4 elevations (Reed et al. 2015)."""

import pathlib
from typing import Any

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.download import RemoteFile
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.image_table import TableInfo

URL = "http://www.scottreed.info/files/nips2015-analogy-data.tar.gz"
MD5 = "4e866a7919c1beedf53964e6f7a23686"  # as others report it; the authors publish none
SPACE = FactorSpace(("elevation", "azimuth", "object"), (4, 24, 183))
SHAPE = (64, 64, 3)


def _builder(data_dir: pathlib.Path | str) -> Any:
    from dlib_tf2.datasets.builders.cars3d.cars3d_dataset_builder import Builder

    return Builder(data_dir=data_dir)


def _info(builder: Any) -> TableInfo:
    del builder  # the grid is known beforehand
    return TableInfo(SPACE, SPACE.names, SHAPE, 255, RECIPE.source)


RECIPE = downloaded.Recipe(
    source="cars3d/1.0.0",
    files=lambda: (
        RemoteFile("nips2015-analogy-data.tar.gz", URL, at_most=1_200_000_000, md5=MD5),
    ),
    builder=_builder,
    info=_info,
    table_bytes=SPACE.size * 64 * 64 * 3,
    record_bytes=SPACE.size * 6000,
)
RECIPES = (RECIPE,)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    downloaded.no_config("cars3d", config)
    table, info = downloaded.open_table(RECIPE, data_dir, "cars3d")
    return GroundTruthDataset(
        "cars3d", info.space, info.visible, table, info.scale, RECIPE.records(data_dir)
    )
