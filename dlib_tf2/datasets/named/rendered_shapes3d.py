"""rendered_shapes3d: an object in a coloured room on the 3D Shapes grid, drawn by this package.

It stands in for 3D Shapes where that cannot be downloaded; it is not 3D Shapes.
"""

import pathlib

from dlib_tf2.datasets.families import drawn
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.renderers.rooms import DRAWING


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens config "full" (480,000 images, the default) or "small" (30,000, the same factors)."""
    return drawn.open_dataset(DRAWING, config, data_dir, "rendered_shapes3d")
