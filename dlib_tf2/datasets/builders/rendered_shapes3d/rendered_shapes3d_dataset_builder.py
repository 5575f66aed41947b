"""rendered_shapes3d: a TFDS builder that draws its images instead of downloading them."""

import tensorflow_datasets as tfds

from dlib_tf2.datasets.builders import drawn
from dlib_tf2.datasets.renderers import rooms


class Builder(drawn.DrawnBuilder):
    """RGB 64x64 rooms: a cube, cylinder, sphere or capsule at every hue, scale and orientation of
    the grid.
    """

    DRAWING = rooms.DRAWING
    VERSION = tfds.core.Version(rooms.DRAWING.version)
    RELEASE_NOTES = {
        "2.0.0": "Room, sizes and brightness are those of published pictures of 3D Shapes.",
        "1.0.0": "Initial release: a corner in the middle, darker colours, sizes 0.5 to 1.",
    }
    BUILDER_CONFIGS = drawn.configs(
        rooms.GRIDS,
        full="The whole 3D Shapes grid: 480,000 images.",
        small="Every 2nd hue, every 2nd scale: 30,000 images.",
    )
