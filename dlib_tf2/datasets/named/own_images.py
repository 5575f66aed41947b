"""own_images/<name>: the user's dataset, images and a CSV file, defined by a gin file."""

import pathlib

from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.own import images


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens the dataset called `config`, by default "default"; the first use needs the gin file."""
    return images.open_dataset(config or "default", data_dir)
