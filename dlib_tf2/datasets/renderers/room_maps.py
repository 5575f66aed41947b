"""Casts rays into a room and computes the share of each hue in each pixel: all that does not depend
on the hues.

A wall stands behind the object, frontal to the middle camera, and a side wall to its right and
left. A flat sky is above them. One lamp far away to the upper left, behind the camera, lights the
object, which throws a shadow on the floor. The camera turns about the object: it stands to the
right for positive angles. Coordinates are those of `room_shapes`.
"""

import dataclasses

import numpy as np

from dlib_tf2.datasets.renderers import room_shapes

IMAGE_SIZE = 64
UNIT = 4096  # what 1 is in a map: whole numbers make the pictures the same on every machine
LABELS = ("sky", "floor", "wall", "object")
SKY, FLOOR, WALL, OBJECT = range(len(LABELS))

SKY_COLOUR = np.array([135.0, 206.0, 235.0])
LAMP = np.array([-0.6, 1.1, -0.35]) / np.linalg.norm([-0.6, 1.1, -0.35])  # the direction towards it
AMBIENT = 0.6  # light on what faces away from the lamp
_GLOSS, _SHARPNESS = 0.3, 12  # of the soft highlight: its share of white, and how narrow it is
SIDE_SHADE, SHADOW = 0.75, 0.5  # of the side walls, and of the floor out of the lamp's light

WALL_HEIGHT = 1.35
_BACK, _RIGHT, _LEFT = 2.4, 1.52, 2.3  # the walls' distances from the origin
# The camera's distance and elevation, and the height above the origin that it looks at.
_DISTANCE, _ELEVATION, _TARGET = 9.6, np.deg2rad(14), 0.98
_HALF_WIDTH = 0.154  # tangent of half the angle of view
_SAMPLES = 4  # rays per pixel and direction


def _lit(normals: np.ndarray) -> np.ndarray:
    """Diffuse light on surfaces that face `normals` [..., 3]."""
    return AMBIENT + (1 - AMBIENT) * np.maximum(normals @ LAMP, 0)


@dataclasses.dataclass(frozen=True)
class Traced:
    """What the rays of one picture meet, [rows, columns] each, several rays per pixel.

    Attributes:
        label: position in LABELS.
        shade: the brightness of its hue, 0 .. 1; 1 for the sky.
        white: [rows, columns, 3], 0 .. 255: what is added whatever the hue (the sky, the
            highlight).
    """

    label: np.ndarray
    shade: np.ndarray
    white: np.ndarray


def maps(shape: str, size: float, angle: float) -> np.ndarray:
    """The maps of one picture, with edges smoothed by averaging 16 rays a pixel.

    Args:
        shape: one of room_shapes.SHAPES.
        size: of the object, 0.75 .. 1.25.
        angle: of the camera in radians.

    Returns:
        int32 [6, 64, 64]: the weights of the floor's, the wall's and the object's hue times UNIT,
        then the red, green and blue
        that no hue changes, 0 .. 255 * UNIT.
    """
    traced = trace(shape, size, angle)
    weights = [np.where(traced.label == label, traced.shade, 0) for label in (FLOOR, WALL, OBJECT)]
    planes = np.stack([*weights, *np.moveaxis(traced.white, -1, 0)])
    # [6, rows, columns] -> [6, h, sub, w, sub]
    pixels = planes.reshape(len(planes), IMAGE_SIZE, _SAMPLES, IMAGE_SIZE, _SAMPLES)
    return np.round(pixels.mean(axis=(2, 4)) * UNIT).astype(np.int32)


def trace(shape: str, size: float, angle: float) -> Traced:
    """Follows the rays of one picture; arguments as in `maps`."""
    origin, rays = _camera(angle)
    label, reach, shade = _empty_room(origin, rays)
    white = np.where((label == SKY)[:, None], SKY_COLOUR, 0.0)
    floor = np.flatnonzero(label == FLOOR)
    spots = origin + reach[floor, None] * rays[floor]
    shade[floor[np.isfinite(room_shapes.distances(shape, size, spots, LAMP))]] = SHADOW
    entry = room_shapes.distances(shape, size, origin, rays)
    solid = np.flatnonzero(entry < reach)
    normals = room_shapes.normals(shape, size, origin + entry[solid, None] * rays[solid])
    gloss = _highlight(normals, rays[solid])
    label[solid], shade[solid], white[solid] = (
        OBJECT,
        _lit(normals) * (1 - gloss),
        255 * gloss[:, None],
    )
    side = IMAGE_SIZE * _SAMPLES
    # [rays] -> [rows, columns]
    return Traced(
        label.reshape(side, side), shade.reshape(side, side), white.reshape(side, side, 3)
    )


def _camera(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """The camera's place [3] and the unit directions of its rays [rows * columns, 3], top left
    first.
    """
    sine, cosine, up, level = np.sin(angle), np.cos(angle), np.sin(_ELEVATION), np.cos(_ELEVATION)
    forward = np.array([-sine * level, -up, cosine * level])
    rightward, upward = np.array([cosine, 0, sine]), np.array([-sine * up, level, cosine * up])
    side = IMAGE_SIZE * _SAMPLES
    offsets = ((np.arange(side) + 0.5) * 2 / side - 1) * _HALF_WIDTH
    # [row, column, 3]
    rays = forward + offsets[None, :, None] * rightward - offsets[:, None, None] * upward
    # [row, column, 3] -> [row * column, 3]
    rays = (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(-1, 3)
    return np.array([0, _TARGET, 0]) - _DISTANCE * forward, rays


def _empty_room(origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each ray meets in the empty room: its label, its distance and its shade."""
    walls = (([0, 0, 1], _BACK), ([1, 0, 0], _RIGHT), ([-1, 0, 0], _LEFT))
    back, right, left = (_plane(origin, rays, np.array(normal), far) for normal, far in walls)
    floor, side = _plane(origin, rays, np.array([0, -1, 0]), 0), np.minimum(right, left)
    wall = np.minimum(back, side)
    reach = np.minimum(floor, wall)
    above = origin[1] + reach * rays[:, 1] > WALL_HEIGHT
    label = np.where(floor < wall, FLOOR, np.where(above, SKY, WALL))
    return label, reach, np.where((label == WALL) & (side < back), SIDE_SHADE, 1.0)


def _plane(origin: np.ndarray, rays: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """Distances to the plane normal . x = offset for rays that run along `normal`; infinity for the
    others.
    """
    along = rays @ normal
    return np.where(along > 0, (offset - origin @ normal) / np.where(along > 0, along, 1), np.inf)


def _highlight(normals: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """The share of white that the lamp's soft reflection mixes in (Blinn and Phong's: by the angle
    to the half-way direction).
    """
    half = LAMP - rays
    half = half / np.linalg.norm(half, axis=1, keepdims=True)
    return _GLOSS * np.maximum(np.sum(normals * half, axis=1), 0) ** _SHARPNESS
