"""The Scream: the picture from which backgrounds of sprites are cut, as a dataset of one image."""

import pathlib
from typing import Any

import numpy as np

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.download import RemoteFile
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.image_table import TableInfo

FILE = RemoteFile(
    "The_Scream.jpg",
    "https://upload.wikimedia.org/wikipedia/commons/f/f4/The_Scream.jpg",
    at_most=20_000_000,
    other_names=("scream.jpg",),  # under which the study's code keeps it
)
SPACE = FactorSpace(("picture",), (1,))
BOX = (350, 274)  # pixels, width and height, into which the picture is shrunk


def _info(builder: Any) -> TableInfo:
    """The size depends on the aspect of the file's picture, so the record is read."""
    (record,) = builder.as_dataset(split="train").as_numpy_iterator()
    return TableInfo(SPACE, SPACE.names, record["image"].shape, 255, RECIPE.source)


RECIPE = downloaded.Recipe(
    "scream/1.0.0",
    _info,
    table_bytes=BOX[0] * BOX[1] * 3,
    record_bytes=BOX[0] * BOX[1] * 3,
    remote=(FILE,),
)


def open_picture(name: str, data_dir: pathlib.Path) -> np.ndarray:
    """Opens the picture for the dataset `name`: uint8 [h, w, 3].

    Raises:
        UserError: it is not prepared in `data_dir`.
    """
    table, _ = downloaded.open_table(RECIPE, data_dir, name)
    return table[0]
