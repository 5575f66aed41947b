"""scream_dsprites: dSprites before random, tinted pieces of Munch's "The Scream", their colours inverted on the sprite."""

import pathlib
from typing import Any

from dlib_tf2.datasets import downloaded, dsprites, nuisance
from dlib_tf2.datasets.download import RemoteFile
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.image_table import TableInfo

FILES = ("The_Scream.jpg", "scream.jpg")  # the original name, and that under which the study's code keeps it
URL = "https://upload.wikimedia.org/wikipedia/commons/f/f4/The_Scream.jpg"


def _builder(data_dir: pathlib.Path | str) -> Any:
    from dlib_tf2.datasets.builders.scream.scream_dataset_builder import Builder

    return Builder(data_dir=data_dir)


def _info(builder: Any) -> TableInfo:
    """A table of one picture; its size depends on the file's aspect, so the picture is read."""
    (record,) = builder.as_dataset(split="train").as_numpy_iterator()
    return TableInfo(FactorSpace(("picture",), (1,)), ("picture",), record["image"].shape, 255, PICTURE.source)


PICTURE = downloaded.Recipe(
    source="scream/1.0.0",
    files=lambda: (RemoteFile(FILES[0], URL, at_most=20_000_000, other_names=FILES[1:]),),
    builder=_builder,
    info=_info,
    table_bytes=350 * 274 * 3,
    record_bytes=350 * 274 * 3,
)
RECIPES = (dsprites.RECIPE, PICTURE)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    picture, _ = downloaded.open_table(PICTURE, data_dir, "scream_dsprites")
    background = nuisance.picture_background(picture[0], *dsprites.SHAPE[:2])
    return dsprites.variant("scream_dsprites", config, data_dir, nuisance=background)
