"""Draws the rendered rooms: RGB 64x64 pictures of an object in a coloured room, on the grid of 3D
Shapes.

Geometry depends on scale, shape and orientation alone (`room_maps`: 480 sets of maps); the three
hues are a palette on top, so a picture is a weighted sum of three colours and of what no hue
changes.
"""

import colorsys
import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from dlib_tf2.datasets.renderers import drawing
from dlib_tf2.datasets.renderers.room_maps import IMAGE_SIZE, UNIT, maps
from dlib_tf2.datasets.renderers.room_shapes import SHAPES

HUES = np.arange(10) / 10  # round the colour wheel, from red
PALETTE = np.round(
    [[255 * channel for channel in colorsys.hsv_to_rgb(hue, 1, 1)] for hue in HUES]
).astype(np.int32)
SCALES = np.linspace(0.75, 1.25, 8)  # as in 3D Shapes: the largest is 5/3 of the smallest
ANGLES = np.linspace(-30.0, 30.0, 15)  # degrees


@dataclasses.dataclass(frozen=True)
class Grid(drawing.Grid):
    """A sub-grid of the 3D Shapes grid: which values of each factor it takes, all shapes always.

    Attributes:
        floor_hue, wall_hue, object_hue, scale, orientation: positions in HUES (thrice), SCALES and
            ANGLES.
    """

    floor_hue: tuple[int, ...] = tuple(range(10))
    wall_hue: tuple[int, ...] = tuple(range(10))
    object_hue: tuple[int, ...] = tuple(range(10))
    scale: tuple[int, ...] = tuple(range(8))
    orientation: tuple[int, ...] = tuple(range(15))

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Three hues in 0..0.9, scale, shape 0..3, angle in degrees."""
        return {
            "floor_hue": HUES[list(self.floor_hue)],
            "wall_hue": HUES[list(self.wall_hue)],
            "object_hue": HUES[list(self.object_hue)],
            "scale": SCALES[list(self.scale)],
            "shape": np.arange(float(len(SHAPES))),
            "orientation": ANGLES[list(self.orientation)],
        }

    def blocks(self) -> Iterator[np.ndarray]:
        """Draws all pictures in grid order, one block of one hue each for floor, wall and object at
        a time.

        Yields:
            uint8 [scale * shape * orientation, 64, 64, 3].
        """
        scenes = itertools.product(SCALES[list(self.scale)], SHAPES, ANGLES[list(self.orientation)])
        floor, wall, thing, plain = layers(
            np.stack([maps(shape, scale, np.deg2rad(angle)) for scale, shape, angle in scenes])
        )
        for floor_hue in self.floor_hue:
            with_floor = plain + floor * _row(floor_hue)
            for wall_hue in self.wall_hue:
                with_wall = with_floor + wall * _row(wall_hue)
                for object_hue in self.object_hue:
                    yield _picture(with_wall + thing * _row(object_hue))


GRIDS = {
    "full": Grid(),
    "small": Grid(
        floor_hue=tuple(range(0, 10, 2)),
        wall_hue=tuple(range(0, 10, 2)),
        object_hue=tuple(range(0, 10, 2)),
        scale=tuple(range(1, 8, 2)),
    ),
}
# another geometry is another version
DRAWING = drawing.Drawing(
    "rendered_shapes3d", "2.0.0", GRIDS, (IMAGE_SIZE, IMAGE_SIZE, 3), 255, 2100
)


def draw(
    floor_hue: int, wall_hue: int, object_hue: int, scale: int, shape: int, orientation: int
) -> np.ndarray:
    """Draws one picture of the full grid: uint8 [64, 64, 3]; arguments are factor values, positions
    in the lists above.
    """
    scene = maps(SHAPES[shape], SCALES[scale], np.deg2rad(ANGLES[orientation]))
    floor, wall, thing, plain = layers(scene[None])
    return _picture(
        plain + floor * _row(floor_hue) + wall * _row(wall_hue) + thing * _row(object_hue)
    )[0]


def layers(scenes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Spreads maps [n, 6, 64, 64] over the colour channels: floor, wall, object and plain, int32
    [n, 64 * 64 * 3] each.

    Rows this long, not pixels of three channels, are what numpy multiplies fast.
    """
    # [n, h, w] -> [n, h * w * 3]
    weights = [np.repeat(scenes[:, k].reshape(len(scenes), -1), 3, axis=1) for k in range(3)]
    # [n, 3, h, w] -> [n, h * w * 3]
    return *weights, np.moveaxis(scenes[:, 3:], 1, -1).reshape(len(scenes), -1)


def _row(hue: int) -> np.ndarray:
    return np.tile(PALETTE[hue], IMAGE_SIZE * IMAGE_SIZE)


def _picture(total: np.ndarray) -> np.ndarray:
    """Rounds sums of layers to uint8 pictures; overwrites `total`."""
    total += UNIT // 2
    total //= UNIT
    # [n, h * w * 3] -> [n, h, w, 3]
    return total.astype(np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3)
