"""dsprites_full: all five factors of dSprites."""

import pathlib

from dlib_tf2.datasets.families import dsprites
from dlib_tf2.datasets.ground_truth import GroundTruthDataset

RECIPES = (dsprites.RECIPE,)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    return dsprites.open_dataset("dsprites_full", config, data_dir)
