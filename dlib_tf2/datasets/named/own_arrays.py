"""own_arrays/<name>: the user's dataset, two .npy files, defined by a gin file."""

import pathlib

from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.own import arrays


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens the dataset called `config`, by default "default"; the first use needs the gin file."""
    return arrays.open_dataset(config or "default", data_dir)
