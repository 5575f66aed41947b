"""Draws the rendered sprites: binary 64x64 pictures of a square, an ellipse or a heart on the
dSprites grid.

Geometry in pixels at scale 1. Pixel centres are whole numbers, columns run to the right and rows
downwards; a pixel is 1 where its centre lies inside the outline. The outlines, x to the right and
y upwards from the factor position, at angle 0:

- square: |x|, |y| <= 9.598, so a side of 19.196;
- ellipse: (x / 12.766)^2 + (y / 7.2135)^2 <= 1, so axes of 25.53 (horizontal) and 14.43;
- heart: the polygon with a vertex every 2 degrees of t in 0 .. 180,
  x = 9.599 sin(t)^3, y = 0.6623 (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t) + 1.4385,
  and its mirror image in x: 19.2 wide, from y = -9.82 (the point) to y = 9.34 (the lobes).

Each sprite turns about its factor position: the middle of the square and of the ellipse, and 1.99
pixels below the centroid of the heart. As the orientation grows, the sprite turns counter-clockwise
as seen on the picture.

The outlines were fitted to published pictures of dSprites (Matthey et al., 2017): all 320 pictures
of the fit are equal, and 39 of 43 others; the remaining 4 differ by no more than a pixel. They were
not compared with the file of dSprites.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from dlib_tf2.datasets.renderers import drawing

SHAPES = ("square", "ellipse", "heart")
SCALES = np.linspace(0.5, 1.0, 6)
# both ends included: the first and the last angle draw the same picture
ANGLES = np.linspace(0.0, 2 * np.pi, 40)
CENTRES = np.linspace(15.5, 47.5, 32)
IMAGE_SIZE = 64

_SQUARE = 9.598  # half the side
_ELLIPSE = (12.766, 7.2135)  # half the axes
_HEART_ANGLES = np.radians(np.arange(0, 181, 2))  # the 46th, 90 degrees, is the widest vertex
_HEART_X = 9.599 * np.sin(_HEART_ANGLES) ** 3
_HEART_Y = 0.6623 * np.cos(np.outer(_HEART_ANGLES, (1, 2, 3, 4))) @ (13, -5, -2, -1) + 1.4385
# The outermost point of all, a corner of the square, is 13.57 pixels from the centre of its sprite,
# and a centre is at most half a pixel from the pixel that it is rounded to.
_RADIUS = max(np.hypot(_SQUARE, _SQUARE), *_ELLIPSE, np.hypot(_HEART_X, _HEART_Y).max())
_REACH = int(_RADIUS + 0.5)


@dataclasses.dataclass(frozen=True)
class Grid(drawing.Grid):
    """A sub-grid of the dSprites grid: which values of each factor it takes, all shapes always.

    Attributes:
        scale, orientation, x_position, y_position: positions in SCALES, ANGLES, CENTRES and
            CENTRES.
    """

    scale: tuple[int, ...] = tuple(range(6))
    orientation: tuple[int, ...] = tuple(range(40))
    x_position: tuple[int, ...] = tuple(range(32))
    y_position: tuple[int, ...] = tuple(range(32))

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Shape 1..3, scale, angle in radians, x and y within 0..1."""
        unit = np.linspace(0.0, 1.0, len(CENTRES))
        return {
            "shape": np.arange(1.0, len(SHAPES) + 1),
            "scale": SCALES[list(self.scale)],
            "orientation": ANGLES[list(self.orientation)],
            "x_position": unit[list(self.x_position)],
            "y_position": unit[list(self.y_position)],
        }

    def blocks(self) -> Iterator[np.ndarray]:
        """Draws all pictures in grid order, one block of all positions at a time: uint8 [x * y, 64,
        64, 1] of 0 and 1.
        """
        centres_x, centres_y = CENTRES[list(self.x_position)], CENTRES[list(self.y_position)]
        for shape in SHAPES:
            for scale in SCALES[list(self.scale)]:
                for angle in ANGLES[list(self.orientation)]:
                    images = draw(shape, scale, angle, centres_x, centres_y)
                    # [x, y, h, w] -> [x * y, h, w, 1]
                    yield images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)


GRIDS = {
    "full": Grid(),
    "small": Grid(
        orientation=tuple(range(0, 40, 5)),
        x_position=tuple(range(0, 32, 2)),
        y_position=tuple(range(0, 32, 2)),
    ),
}
# another geometry is another version
DRAWING = drawing.Drawing("rendered_sprites", "2.0.0", GRIDS, (IMAGE_SIZE, IMAGE_SIZE, 1), 1, 600)


def draw(
    shape: str, scale: float, angle: float, centres_x: np.ndarray, centres_y: np.ndarray
) -> np.ndarray:
    """Draws one sprite at every pair of centres.

    Args:
        shape: one of SHAPES.
        scale: size relative to the largest sprite, above 0, at most 1.
        angle: radians, counter-clockwise as seen on the picture.
        centres_x: columns of the centres [x], each within 14 .. 49.
        centres_y: rows of the centres [y], each within 14 .. 49.

    Returns:
        uint8 [x, y, 64, 64] of 0 and 1.
    """
    # Rounding makes the angles 0 and 2 pi one angle, and keeps quarter turns exact.
    cosine, sine = np.round(np.cos(angle), 12), np.round(np.sin(angle), 12)
    first_x, first_y = (
        np.round(centres_x).astype(int) - _REACH,
        np.round(centres_y).astype(int) - _REACH,
    )
    window = np.arange(2 * _REACH + 1)
    right = ((first_x - centres_x)[:, None] + window)[:, None, None, :] / scale  # [x, 1, 1, column]
    up = -((first_y - centres_y)[:, None] + window)[None, :, :, None] / scale  # [1, y, row, 1]
    # The picture turns by the angle, so a pixel is looked up in the upright sprite after turning it
    # back.
    # [x, y, row, column]
    inside = _INSIDE[shape](cosine * right + sine * up, cosine * up - sine * right)
    images = np.zeros((len(centres_x), len(centres_y), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(
        images, (len(window), len(window)), axis=(2, 3), writeable=True
    )
    x, y = np.arange(len(centres_x))[:, None], np.arange(len(centres_y))[None, :]
    windows[x, y, first_y[None, :], first_x[:, None]] = inside
    return images


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.abs(x) <= _SQUARE) & (np.abs(y) <= _SQUARE)


def _ellipse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x / _ELLIPSE[0]) ** 2 + (y / _ELLIPSE[1]) ** 2 <= 1


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Between the branch from the notch to the widest vertex and the one from there downwards."""
    side, widest = np.abs(x), np.argmax(_HEART_X)
    upper = np.interp(side, _HEART_X[: widest + 1], _HEART_Y[: widest + 1])
    lower = np.interp(side, _HEART_X[widest:][::-1], _HEART_Y[widest:][::-1])
    return (side <= _HEART_X[widest]) & (lower <= y) & (y <= upper)


_INSIDE = {"square": _square, "ellipse": _ellipse, "heart": _heart}
