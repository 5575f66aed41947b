"""scream_rendered_sprites: the rendered sprites before pieces of Munch's "The Scream"."""

import pathlib

from dlib_tf2.datasets.families import drawn, scream, sprite_variants
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.renderers.sprites import DRAWING

RECIPES = (scream.RECIPE,)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens config "full" (the default) or "small" of rendered_sprites."""
    name = "scream_rendered_sprites"
    # First, since it may be missing, and drawing the sprites takes minutes.
    picture = scream.open_picture(f"{name}/{config}".rstrip("/"), data_dir)
    sprites = drawn.open_dataset(DRAWING, config, data_dir, name)
    return sprite_variants.before_a_picture(sprites, picture)
