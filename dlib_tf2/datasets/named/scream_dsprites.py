"""scream_dsprites: the sprites of dSprites before pieces of Munch's "The Scream"."""

import pathlib

from dlib_tf2.datasets.families import dsprites, scream, sprite_variants
from dlib_tf2.datasets.ground_truth import GroundTruthDataset

RECIPES = (dsprites.RECIPE, scream.RECIPE)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    picture = scream.open_picture("scream_dsprites", data_dir)
    sprites = dsprites.open_dataset("scream_dsprites", config, data_dir)
    return sprite_variants.before_a_picture(sprites, picture)
