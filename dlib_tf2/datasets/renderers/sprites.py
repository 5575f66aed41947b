"""Draws the rendered sprites: binary 64x64 pictures of a square, an ellipse or a heart on the dSprites grid.

Geometry in pixels at scale 1, pixel centres at whole numbers, columns to the right, rows downwards: a square of side 20; an
ellipse with axes 26 (horizontal at angle 0) and 14; a heart 20 wide and 17 high with its point down at angle 0. Each turns
about its factor position: the middle of the square and of the ellipse, and 1.9 pixels below the centroid of the heart. As the
orientation grows the sprite turns counter-clockwise as seen on the picture. A pixel is 1 where its centre lies inside.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from dlib_tf2.datasets.factor_space import FactorSpace

VERSION = "1.0.0"  # of the pictures: another geometry is another version
FACTORS = ("shape", "scale", "orientation", "x_position", "y_position")
SHAPES = ("square", "ellipse", "heart")
SCALES = np.linspace(0.5, 1.0, 6)
ANGLES = np.linspace(0.0, 2 * np.pi, 40)  # both ends included: the first and the last angle draw the same picture
CENTRES = np.linspace(15.5, 47.5, 32)
IMAGE_SIZE = 64
_REACH = 15  # no sprite extends further than 14.15 pixels (half the square's diagonal) from its centre


@dataclasses.dataclass(frozen=True)
class Grid:
    """A sub-grid of the dSprites grid: which values of each factor it takes, all shapes always.

    Attributes:
        scale, orientation, x_position, y_position: positions in SCALES, ANGLES, CENTRES and CENTRES.
    """

    scale: tuple[int, ...] = tuple(range(6))
    orientation: tuple[int, ...] = tuple(range(40))
    x_position: tuple[int, ...] = tuple(range(32))
    y_position: tuple[int, ...] = tuple(range(32))

    @property
    def space(self) -> FactorSpace:
        """The grid's own factor space; a factor's values count the sub-grid's values."""
        return FactorSpace(FACTORS, (len(SHAPES), len(self.scale), len(self.orientation), len(self.x_position), len(self.y_position)))

    def values(self, factors: np.ndarray) -> np.ndarray:
        """The factors' physical values, float64 [n, 5]: shape 1..3, scale, angle in radians, x and y within 0..1."""
        unit = np.linspace(0.0, 1.0, len(CENTRES))
        columns = (
            np.arange(1.0, len(SHAPES) + 1),
            SCALES[list(self.scale)],
            ANGLES[list(self.orientation)],
            unit[list(self.x_position)],
            unit[list(self.y_position)],
        )
        return np.stack([values[factors[:, k]] for k, values in enumerate(columns)], axis=1)

    def blocks(self) -> Iterator[np.ndarray]:
        """Draws all pictures in grid order, one block of all positions at a time: uint8 [x * y, 64, 64, 1] of 0 and 1."""
        centres_x, centres_y = CENTRES[list(self.x_position)], CENTRES[list(self.y_position)]
        for shape in SHAPES:
            for scale in SCALES[list(self.scale)]:
                for angle in ANGLES[list(self.orientation)]:
                    images = draw(shape, scale, angle, centres_x, centres_y)
                    yield images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)  # [x, y, h, w] -> [x * y, h, w, 1]


GRIDS = {
    "full": Grid(),
    "small": Grid(orientation=tuple(range(0, 40, 5)), x_position=tuple(range(0, 32, 2)), y_position=tuple(range(0, 32, 2))),
}


def draw(shape: str, scale: float, angle: float, centres_x: np.ndarray, centres_y: np.ndarray) -> np.ndarray:
    """Draws one sprite at every pair of centres.

    Args:
        shape: one of SHAPES.
        scale: size relative to the largest sprite, above 0, at most 1.
        angle: radians, counter-clockwise as seen on the picture.
        centres_x: columns of the centres [x], each within 15 .. 48.
        centres_y: rows of the centres [y], each within 15 .. 48.

    Returns:
        uint8 [x, y, 64, 64] of 0 and 1.
    """
    # Rounding makes the angles 0 and 2 pi one angle, and keeps quarter turns exact.
    cosine, sine = np.round(np.cos(angle), 12), np.round(np.sin(angle), 12)
    first_x, first_y = np.round(centres_x).astype(int) - _REACH, np.round(centres_y).astype(int) - _REACH
    window = np.arange(2 * _REACH + 1)
    right = ((first_x - centres_x)[:, None] + window)[:, None, None, :] / scale  # [x, 1, 1, column]
    up = -((first_y - centres_y)[:, None] + window)[None, :, :, None] / scale  # [1, y, row, 1]
    # The picture turns by the angle, so a pixel is looked up in the upright sprite after turning it back.
    inside = _INSIDE[shape](cosine * right + sine * up, cosine * up - sine * right)  # [x, y, row, column]
    images = np.zeros((len(centres_x), len(centres_y), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(images, (len(window), len(window)), axis=(2, 3), writeable=True)
    x, y = np.arange(len(centres_x))[:, None], np.arange(len(centres_y))[None, :]
    windows[x, y, first_y[None, :], first_x[:, None]] = inside
    return images


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.abs(x) <= 10) & (np.abs(y) <= 10)


def _ellipse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x / 13) ** 2 + (y / 7) ** 2 <= 1


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Two half discs above the widest line and a point 12 below it; the line lies 3.95 above the centre of rotation."""
    side = np.abs(x) / 10  # 0 in the middle, 1 at the widest point
    height = y - 3.95
    upper = height**2 <= 25 * (1 - (2 * side - 1) ** 2)
    lower = -height <= 12 * np.maximum(1 - side, 0) ** 0.65
    return (side <= 1) & np.where(height >= 0, upper, lower)


_INSIDE = {"square": _square, "ellipse": _ellipse, "heart": _heart}
