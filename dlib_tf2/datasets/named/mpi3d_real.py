"""mpi3d_real: a robot arm with an object, photographs (Gondal et al. 2019)."""

import pathlib

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.families import mpi3d
from dlib_tf2.datasets.ground_truth import GroundTruthDataset

RECIPES = (mpi3d.recipe("real"),)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs. The edition of 460,800 images has four colours and shapes,
    that of 1,036,800 has six.
    """
    return downloaded.open_dataset(RECIPES[0], "mpi3d_real", config, data_dir)
