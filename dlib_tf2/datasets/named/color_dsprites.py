"""color_dsprites: dSprites with the sprite in a random colour."""

import pathlib

from dlib_tf2.datasets import dsprites, nuisance
from dlib_tf2.datasets.ground_truth import GroundTruthDataset

RECIPES = (dsprites.RECIPE,)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    return dsprites.variant("color_dsprites", config, data_dir, nuisance=nuisance.colour())
