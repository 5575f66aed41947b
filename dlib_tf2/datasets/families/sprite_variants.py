"""The variants of binary sprites that the studies use, of dSprites or of the rendered sprites.

Each function takes an opened dataset of sprites and returns its variant, under the same name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dlib_tf2.datasets import nuisance
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.ground_truth import GroundTruthDataset

if TYPE_CHECKING:
    import tensorflow as tf

# Five greys from black to white; six colours of equal lightness and saturation round the HUSL
# wheel. As 8 bits a channel.
_GREYS = np.repeat(np.linspace(0, 1, 5)[:, None], 3, axis=1)
_COLOURS = np.array(
    [
        (0.9096231780824386, 0.5883403686424795, 0.3657680693481871),
        (0.6350181801577739, 0.6927729880940552, 0.3626904230371999),
        (0.3764832455369271, 0.7283900430001952, 0.5963114605342514),
        (0.39548987063404156, 0.7073922557810771, 0.7874577552076919),
        (0.6963644829189117, 0.6220697032672371, 0.899716387820763),
        (0.90815966835861, 0.5511103319168646, 0.7494337214212151),
    ]
)
BACKGROUNDS, OBJECTS = (np.round(255 * colours).astype(np.uint8) for colours in (_GREYS, _COLOURS))


def color(sprites: GroundTruthDataset) -> GroundTruthDataset:
    """Each sprite in a random colour (Locatello et al. 2019)."""
    return dataclasses.replace(sprites, nuisance=nuisance.colour())


def noisy(sprites: GroundTruthDataset) -> GroundTruthDataset:
    """The sprites on uniform noise (Locatello et al. 2019)."""
    return dataclasses.replace(sprites, nuisance=nuisance.noise(*sprites.stored_shape[:2]))


def before_a_picture(sprites: GroundTruthDataset, picture: np.ndarray) -> GroundTruthDataset:
    """The sprites before tinted pieces of a picture uint8 [h, w, 3] (Locatello et al. 2019)."""
    background = nuisance.picture_background(picture, *sprites.stored_shape[:2])
    return dataclasses.replace(sprites, nuisance=background)


def abstract(sprites: GroundTruthDataset) -> GroundTruthDataset:
    """The sprites in six colours on five greys, orientation hidden (van Steenkiste et al. 2019).

    The grid has 30 images of every sprite, 22,118,400 for dSprites. Training draws from all of it;
    the table stream has every combination of the visible factors, 552,960 for dSprites, each with
    an orientation drawn once.
    """
    names = ("background_color", "object_color", *sprites.space.names)
    space = FactorSpace(names, (len(BACKGROUNDS), len(OBJECTS), *sprites.space.sizes))
    return GroundTruthDataset(
        sprites.name,
        space,
        tuple(name for name in names if name != "orientation"),
        ColouredSprites(np.asarray(sprites.table)),
        255,
        None,
        drawn_once=("orientation",),
    )


class ColouredSprites:
    """The table of every coloured sprite, computed from the table of sprites.

    The background varies slowest, then the object's colour, then the sprite.
    """

    rule = f"coloured sprites 1 {BACKGROUNDS.tolist()} {OBJECTS.tolist()}"

    def __init__(self, base: np.ndarray):
        """Args: base: uint8 [sprites, h, w, 1], values 0 and 1."""
        self.base = base

    @property
    def shape(self) -> tuple[int, ...]:
        """[rows, h, w, 3]."""
        return (len(self), *self.base.shape[1:3], 3)

    def __len__(self) -> int:
        return len(BACKGROUNDS) * len(OBJECTS) * len(self.base)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Integers [n] -> uint8 [n, h, w, 3]."""
        colours, sprite = np.divmod(np.asarray(rows), len(self.base))
        background, colour = (table[part][:, None, None] for table, part in self._colours(colours))
        return np.where(self.base[sprite] > 0, colour, background)

    def gatherer(self, base: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
        """The same in TensorFlow operations, from `base` as a tensor."""
        import tensorflow as tf

        def gather(rows: tf.Tensor) -> tf.Tensor:
            mask = tf.gather(base, rows % len(self.base)) > 0
            parts = self._colours(rows // len(self.base))
            background, colour = (tf.gather(table, part)[:, None, None] for table, part in parts)
            return tf.where(mask, colour, background)

        return gather

    @staticmethod
    def _colours(number: Any) -> tuple[tuple[np.ndarray, Any], tuple[np.ndarray, Any]]:
        return (BACKGROUNDS, number // len(OBJECTS)), (OBJECTS, number % len(OBJECTS))
