"""abstract_dsprites: dSprites in six colours on five greys."""

import pathlib

from dlib_tf2.datasets.families import dsprites, sprite_variants
from dlib_tf2.datasets.ground_truth import GroundTruthDataset

RECIPES = (dsprites.RECIPE,)


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens it; there are no configs."""
    sprites = dsprites.open_dataset("abstract_dsprites", config, data_dir)
    return sprite_variants.abstract(sprites)
