"""rendered_sprites: binary sprites on the dSprites grid, drawn by this package.

It stands in for dSprites where that cannot be downloaded. It equals dSprites in nearly every
published picture that was compared; it was not compared with the file itself.
"""

import pathlib

from dlib_tf2.datasets.families import drawn
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.renderers.sprites import DRAWING


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens config "full" (737,280 images, the default) or "small" (36,864, the same factors)."""
    return drawn.open_dataset(DRAWING, config, data_dir, "rendered_sprites")
