"""cars3d: 183 car models from 24 azimuths and 4 elevations (Reed et al. 2015)."""

import pathlib

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.families import cars3d
from dlib_tf2.datasets.ground_truth import GroundTruthDataset

RECIPES = (cars3d.RECIPE,)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    return downloaded.open_dataset(RECIPES[0], "cars3d", config, data_dir)
