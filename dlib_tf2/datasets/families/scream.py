"""The Scream: the picture from which backgrounds of sprites are cut, as a dataset of one image."""

import pathlib
from typing import Any

import numpy as np

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.download import RemoteFile
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.image_table import TableInfo

# the original name, and that under which the study's code keeps it
FILES = ("The_Scream.jpg", "scream.jpg")
URL = "https://upload.wikimedia.org/wikipedia/commons/f/f4/The_Scream.jpg"


def _builder(data_dir: pathlib.Path | str) -> Any:
    from dlib_tf2.datasets.builders.scream.scream_dataset_builder import Builder

    return Builder(data_dir=data_dir)


def _info(builder: Any) -> TableInfo:
    """A table of one picture; its size depends on the file's aspect, so the picture is read."""
    (record,) = builder.as_dataset(split="train").as_numpy_iterator()
    return TableInfo(
        FactorSpace(("picture",), (1,)), ("picture",), record["image"].shape, 255, RECIPE.source
    )


RECIPE = downloaded.Recipe(
    source="scream/1.0.0",
    files=lambda: (RemoteFile(FILES[0], URL, at_most=20_000_000, other_names=FILES[1:]),),
    builder=_builder,
    info=_info,
    table_bytes=350 * 274 * 3,
    record_bytes=350 * 274 * 3,
)


def open_picture(name: str, data_dir: pathlib.Path) -> np.ndarray:
    """Opens the picture for the dataset `name`: uint8 [h, w, 3].

    Raises:
        UserError: it is not prepared in `data_dir`.
    """
    table, _ = downloaded.open_table(RECIPE, data_dir, name)
    return table[0]
