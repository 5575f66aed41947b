"""abstract_rendered_sprites: rendered sprites in six colours on five greys."""

import pathlib

from dlib_tf2.datasets.families import drawn, sprite_variants
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.renderers.sprites import DRAWING


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens config "full" (the default) or "small" of rendered_sprites."""
    sprites = drawn.open_dataset(DRAWING, config, data_dir, "abstract_rendered_sprites")
    return sprite_variants.abstract(sprites)
