"""rendered_shapes3d: an object in a coloured room on the 3D Shapes grid, drawn by this package.

It stands in for 3D Shapes where that cannot be downloaded; it is not 3D Shapes.
"""

import pathlib

from dlib_tf2.datasets.families import drawn
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.renderers import rooms

CONFIGS = rooms.GRIDS


def _builder():
    from dlib_tf2.datasets.builders.rendered_shapes3d import rendered_shapes3d_dataset_builder

    return rendered_shapes3d_dataset_builder.Builder


_SHAPE = (rooms.IMAGE_SIZE, rooms.IMAGE_SIZE, 3)
DRAWING = drawn.Drawing("rendered_shapes3d", rooms.VERSION, CONFIGS, _SHAPE, 255, 2100, _builder)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens config "full" (480,000 images, the default) or "small" (30,000, the same factors)."""
    return drawn.open_dataset(DRAWING, config, data_dir)
