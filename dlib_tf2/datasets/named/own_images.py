"""own_images/<name>: a dataset of one's own, a folder of images and a CSV file, defined by a gin
file.
"""

import pathlib

from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.own import images


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens the dataset that is called `config`, "default" where no name is given; its first use
    needs the gin file.
    """
    return images.open_dataset(config or "default", data_dir)
