"""dsprites_noshape: dSprites whose shape varies but is not scored."""

import dataclasses
import pathlib

from dlib_tf2.datasets.families import dsprites
from dlib_tf2.datasets.ground_truth import GroundTruthDataset

RECIPES = (dsprites.RECIPE,)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    sprites = dsprites.open_dataset("dsprites_noshape", config, data_dir)
    return dataclasses.replace(sprites, visible=dsprites.SPACE.names[1:])
