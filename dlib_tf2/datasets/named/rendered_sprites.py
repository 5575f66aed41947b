"""rendered_sprites: binary sprites on the dSprites grid, drawn by this package.

It stands in for dSprites where that cannot be downloaded. It equals dSprites in nearly every
published picture that was compared; it was not compared with the file itself.
"""

import pathlib

from dlib_tf2.datasets.families import drawn
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.renderers import sprites

CONFIGS = sprites.GRIDS


def _builder():
    from dlib_tf2.datasets.builders.rendered_sprites import rendered_sprites_dataset_builder

    return rendered_sprites_dataset_builder.Builder


_SHAPE = (sprites.IMAGE_SIZE, sprites.IMAGE_SIZE, 1)
DRAWING = drawn.Drawing("rendered_sprites", sprites.VERSION, CONFIGS, _SHAPE, 1, 600, _builder)


def dataset(config: str, data_dir: pathlib.Path, name: str = "") -> GroundTruthDataset:
    """Opens config "full" (737,280 images, the default) or "small" (36,864, the same factors).

    A variant gives its own `name`.
    """
    return drawn.open_dataset(DRAWING, config, data_dir, name)
