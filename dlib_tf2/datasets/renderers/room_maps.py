"""Casts rays into a room and says how much of each pixel every hue colours: all that does not depend on the hues.

Two walls at right angles meet in a corner behind the object; sky stands above them, and one lamp far away to the upper left,
behind the camera, lights all. The camera turns about the object: it stands to the right for positive angles. Coordinates are
those of `room_shapes`.
"""

import dataclasses

import numpy as np

from dlib_tf2.datasets.renderers import room_shapes

IMAGE_SIZE = 64
UNIT = 4096  # what 1 is in a map: whole numbers make the pictures the same on every machine
LABELS = ("sky", "floor", "wall", "object")
SKY, FLOOR, WALL, OBJECT = range(len(LABELS))

SKY_LOW, SKY_HIGH = np.array([206.0, 234.0, 252.0]), np.array([120.0, 184.0, 240.0])  # colours deep down and at the level of the eye
_SKY_DEPTH = 0.18  # sine of the angle below the level of the eye where SKY_LOW is reached
LAMP = np.array([-0.75, 1.0, -0.3]) / np.linalg.norm([-0.75, 1.0, -0.3])  # the direction towards it
AMBIENT = 0.53  # light on what faces away from the lamp
_GLOSS, _SHARPNESS = 0.35, 12  # of the soft highlight: the share of white in its middle, and how narrow it is


def _lit(normals: np.ndarray) -> np.ndarray:
    """Diffuse light on surfaces that face `normals` [..., 3]."""
    return AMBIENT + (1 - AMBIENT) * np.maximum(normals @ LAMP, 0)


RIGHT_SHADE, LEFT_SHADE = (float(_lit(np.array([side, 0, -1]) / np.sqrt(2))) for side in (-1, 1))  # 0.80 and 0.53
# Of the floor in the lamp's light and out of it. Less than a level surface would have: the floor must differ from a wall and
# from the top of a cube that have its hue.
FLOOR_SHADE, SHADOW = 0.72, 0.33

WALL_HEIGHT, _CORNER = 2.55, 4.4  # both walls end at x = 0, z = _CORNER
_DISTANCE, _ELEVATION, _TARGET = 8.0, np.deg2rad(18), 1.2  # the camera's, and the height above the origin that it looks at
_HALF_WIDTH = 0.275  # tangent of half the angle of view
_SAMPLES = 4  # rays per pixel and direction


@dataclasses.dataclass(frozen=True)
class Traced:
    """What the rays of one picture meet, [rows, columns] each, several rays per pixel.

    Attributes:
        label: position in LABELS.
        shade: the brightness of its hue, 0 .. 1; 1 for the sky.
        white: [rows, columns, 3], 0 .. 255: what is added whatever the hue (the sky, the highlight).
    """

    label: np.ndarray
    shade: np.ndarray
    white: np.ndarray


def maps(shape: str, size: float, angle: float) -> np.ndarray:
    """The maps of one picture, with edges smoothed by averaging 16 rays a pixel.

    Args:
        shape: one of room_shapes.SHAPES.
        size: of the object relative to the largest.
        angle: of the camera in radians.

    Returns:
        int32 [6, 64, 64]: the weights of the floor's, the wall's and the object's hue times UNIT, then the red, green and blue
        that no hue changes, 0 .. 255 * UNIT.
    """
    traced = trace(shape, size, angle)
    weights = [np.where(traced.label == label, traced.shade, 0) for label in (FLOOR, WALL, OBJECT)]
    planes = np.stack([*weights, *np.moveaxis(traced.white, -1, 0)])
    pixels = planes.reshape(len(planes), IMAGE_SIZE, _SAMPLES, IMAGE_SIZE, _SAMPLES)  # [6, rows, columns] -> [6, h, sub, w, sub]
    return np.round(pixels.mean(axis=(2, 4)) * UNIT).astype(np.int32)


def trace(shape: str, size: float, angle: float) -> Traced:
    """Follows the rays of one picture; arguments as in `maps`."""
    origin, rays = _camera(angle)
    label, reach, shade = _empty_room(origin, rays)
    white = np.where((label == SKY)[:, None], _sky(rays), 0.0)
    floor = np.flatnonzero(label == FLOOR)
    spots = origin + reach[floor, None] * rays[floor]
    shade[floor[np.isfinite(room_shapes.distances(shape, size, spots, LAMP))]] = SHADOW
    entry = room_shapes.distances(shape, size, origin, rays)
    solid = np.flatnonzero(entry < reach)
    normals = room_shapes.normals(shape, size, origin + entry[solid, None] * rays[solid])
    gloss = _highlight(normals, rays[solid])
    label[solid], shade[solid], white[solid] = OBJECT, _lit(normals) * (1 - gloss), 255 * gloss[:, None]
    side = IMAGE_SIZE * _SAMPLES
    return Traced(label.reshape(side, side), shade.reshape(side, side), white.reshape(side, side, 3))  # [rays] -> [rows, columns]


def _camera(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """The camera's place [3] and the unit directions of its rays [rows * columns, 3], top left first."""
    sine, cosine, up, level = np.sin(angle), np.cos(angle), np.sin(_ELEVATION), np.cos(_ELEVATION)
    forward = np.array([-sine * level, -up, cosine * level])
    rightward, upward = np.array([cosine, 0, sine]), np.array([-sine * up, level, cosine * up])
    side = IMAGE_SIZE * _SAMPLES
    offsets = ((np.arange(side) + 0.5) * 2 / side - 1) * _HALF_WIDTH
    rays = forward + offsets[None, :, None] * rightward - offsets[:, None, None] * upward  # [row, column, 3]
    rays = (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(-1, 3)  # [row, column, 3] -> [row * column, 3]
    return np.array([0, _TARGET, 0]) - _DISTANCE * forward, rays


def _empty_room(origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each ray meets where there is no object: its label, its distance and its shade."""
    right, left = (_plane(origin, rays, np.array([side, 0, 1]), _CORNER) for side in (1, -1))
    floor, wall = _plane(origin, rays, np.array([0, -1, 0]), 0), np.minimum(right, left)
    reach = np.minimum(floor, wall)
    above = origin[1] + reach * rays[:, 1] > WALL_HEIGHT
    wall_shade = np.where(right < left, RIGHT_SHADE, LEFT_SHADE)
    label = np.where(floor < wall, FLOOR, np.where(above, SKY, WALL))
    return label, reach, np.choose(label, [1.0, FLOOR_SHADE, wall_shade])


def _plane(origin: np.ndarray, rays: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """Distances to the plane normal . x = offset for rays that run along `normal`; infinity for the others."""
    along = rays @ normal
    return np.where(along > 0, (offset - origin @ normal) / np.where(along > 0, along, 1), np.inf)


def _sky(rays: np.ndarray) -> np.ndarray:
    """Colours [n, 3] of the sky, a deeper blue the steeper a ray looks up."""
    height = np.clip(1 + rays[:, 1:2] / _SKY_DEPTH, 0, 1)
    return SKY_LOW + height * (SKY_HIGH - SKY_LOW)


def _highlight(normals: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """The share of white that the lamp's soft reflection mixes in (Blinn and Phong's: by the angle to the half-way direction)."""
    half = LAMP - rays
    half = half / np.linalg.norm(half, axis=1, keepdims=True)
    return _GLOSS * np.maximum(np.sum(normals * half, axis=1), 0) ** _SHARPNESS
