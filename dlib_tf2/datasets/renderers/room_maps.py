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
SKY_LOW, SKY_HIGH = np.array([214.0, 238.0, 252.0]), np.array([140.0, 198.0, 242.0])  # colours at the walls and high above
LAMP = np.array([-0.62, 1.0, -0.72]) / np.linalg.norm([-0.62, 1.0, -0.72])
AMBIENT, SHADOW = 0.5, 0.38  # light on what faces away from the lamp, and on the floor behind the object
_CORNER, _WALL_HEIGHT = 4.6, 3.2
_DISTANCE, _ELEVATION, _TARGET, _HALF_WIDTH = 8.0, np.deg2rad(17), 1.35, 0.30
_GLOSS, _SHARPNESS = 0.35, 12  # of the soft highlight: the share of white in its middle, and how narrow it is
_SAMPLES = 4  # per pixel and direction


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
    label, reach = _room(origin, rays)
    shade = np.ones(len(rays))
    white = np.zeros((len(rays), 3))
    wall = label == WALL
    right = (rays @ [1, 0, 1] > 0) & np.isclose((origin + reach[:, None] * rays) @ [1, 0, 1], _CORNER)
    shade[wall] = np.where(right[wall], _lit(np.array([-1, 0, -1]) / np.sqrt(2)), _lit(np.array([1, 0, -1]) / np.sqrt(2)))
    floor = np.flatnonzero(label == FLOOR)
    spots = origin + reach[floor, None] * rays[floor]
    shadow = np.isfinite(room_shapes.distances(shape, size, spots, LAMP))
    shade[floor] = np.where(shadow, SHADOW, _lit(np.array([0, 1, 0])))
    height = np.clip((rays[:, 1] + 0.02) / 0.2, 0, 1)[:, None]
    white = np.where((label == SKY)[:, None], SKY_LOW + height * (SKY_HIGH - SKY_LOW), white)
    entry = room_shapes.distances(shape, size, origin, rays)
    solid = np.flatnonzero(entry < reach)
    normal = room_shapes.normals(shape, size, origin + entry[solid, None] * rays[solid])
    gloss = _highlight(normal, rays[solid])
    label[solid], shade[solid], white[solid] = OBJECT, _lit(normal) * (1 - gloss), 255 * gloss[:, None]
    side = IMAGE_SIZE * _SAMPLES
    return Traced(label.reshape(side, side), shade.reshape(side, side), white.reshape(side, side, 3))


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


def _room(origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each ray meets in the empty room: its label and its distance."""
    walls = [_plane(origin, rays, np.array([side, 0, 1]), _CORNER) for side in (1, -1)]
    floor, wall = _plane(origin, rays, np.array([0, -1, 0]), 0), np.minimum(*walls)
    reach = np.minimum(floor, wall)
    above = origin[1] + reach * rays[:, 1] > _WALL_HEIGHT
    label = np.where(floor < wall, FLOOR, np.where(above, SKY, WALL))
    return label, reach


def _plane(origin: np.ndarray, rays: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """Distances to the plane normal . x = offset for rays that run along `normal`; infinity for the others."""
    along = rays @ normal
    return np.where(along > 0, (offset - origin @ normal) / np.where(along > 0, along, 1), np.inf)


def _lit(normal: np.ndarray) -> np.ndarray:
    """Diffuse light on a surface that faces `normal` [..., 3]."""
    return AMBIENT + (1 - AMBIENT) * np.maximum(normal @ LAMP, 0)


def _highlight(normal: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """The share of white that the lamp's soft reflection mixes in."""
    half = LAMP - rays
    half = half / np.linalg.norm(half, axis=1, keepdims=True)
    return _GLOSS * np.maximum(np.sum(normal * half, axis=1), 0) ** _SHARPNESS
