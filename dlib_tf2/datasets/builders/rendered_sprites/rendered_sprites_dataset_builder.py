"""rendered_sprites: a TFDS builder that draws its images instead of downloading them."""

import tensorflow_datasets as tfds

from dlib_tf2.datasets.builders import drawn
from dlib_tf2.datasets.renderers import sprites


class Builder(drawn.DrawnBuilder):
    """Binary 64x64 sprites: square, ellipse, heart, at every scale, orientation and position of the
    grid.
    """

    DRAWING = sprites.DRAWING
    VERSION = tfds.core.Version(sprites.DRAWING.version)
    RELEASE_NOTES = {
        "2.0.0": "The outlines are those of dSprites.",
        "1.0.0": "Initial release, with rounder sizes and another heart.",
    }
    BUILDER_CONFIGS = drawn.configs(
        sprites.GRIDS,
        full="The whole dSprites grid: 737,280 images.",
        small="Every 5th orientation, every 2nd position: 36,864 images.",
    )
