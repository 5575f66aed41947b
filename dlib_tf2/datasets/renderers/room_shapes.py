"""The solids that stand in the rendered rooms: where rays meet them, and which way their surface faces.

Coordinates: x to the right, y up, z away from the middle camera; every solid rests on the floor y = 0 above the origin and is
symmetric under x -> -x. Lengths are those of the largest scale and are multiplied by `size`: a cube of side 1.66, turned by 45
degrees like the walls; a cylinder of radius 0.9 and height 1.7; a sphere of radius 1; an upright capsule of radius 0.76 and
height 2.3. All four look about equally large.
"""

import numpy as np

SHAPES = ("cube", "cylinder", "sphere", "capsule")
CUBE_HALF = 0.83
CYLINDER_RADIUS, CYLINDER_HEIGHT = 0.9, 1.7
CAPSULE_RADIUS, CAPSULE_HEIGHT = 0.76, 2.3
_TOLERANCE = 1e-9

# Where each ray is inside a convex solid: from the first distance to the second, empty where the first is larger.
Interval = tuple[np.ndarray, np.ndarray]


def distances(shape: str, size: float, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How far along each ray the solid begins.

    Args:
        shape: one of SHAPES.
        size: relative to the largest solid.
        origins: [n, 3] or [3], outside the solid.
        directions: [n, 3] or [3], not exactly vertical.

    Returns:
        [n], in lengths of the direction; infinity where the ray passes by.
    """
    parts = _INTERVALS[shape](np.asarray(origins) / size, directions)
    entries = [np.where((near < far) & (far > _TOLERANCE), near, np.inf) for near, far in parts]
    return np.minimum.reduce(entries) * size


def normals(shape: str, size: float, points: np.ndarray) -> np.ndarray:
    """Unit normals [n, 3] of the surface at points [n, 3] that lie on it."""
    return _NORMALS[shape](points / size)


def _slab(origins: np.ndarray, directions: np.ndarray, low: float, high: float) -> Interval:
    """Between two parallel planes; `origins` and `directions` are the coordinates across them."""
    with np.errstate(divide="ignore"):  # a ray along the planes meets them at infinity, which is what the division says
        first, second = (low - origins) / directions, (high - origins) / directions
    return np.minimum(first, second), np.maximum(first, second)


def _both(one: Interval, other: Interval) -> Interval:
    return np.maximum(one[0], other[0]), np.minimum(one[1], other[1])


def _round(origins: np.ndarray, directions: np.ndarray, radius: float) -> Interval:
    """Within `radius` of the coordinate origin, in as many dimensions as there are columns."""
    square = np.sum(directions**2, axis=-1)
    middle = -np.sum(origins * directions, axis=-1) / square
    reach = middle**2 - (np.sum(origins**2, axis=-1) - radius**2) / square
    half = np.sqrt(np.maximum(reach, 0))
    return middle - half, middle + half


def _turn(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The horizontal coordinates across the right and the left walls."""
    return (points[..., 0] + points[..., 2]) / np.sqrt(2), (points[..., 2] - points[..., 0]) / np.sqrt(2)


def _ball(height: float, radius: float, origins: np.ndarray, directions: np.ndarray) -> Interval:
    return _round(origins - np.array([0, height, 0]), directions, radius)


def _pillar(low: float, high: float, radius: float, origins: np.ndarray, directions: np.ndarray) -> Interval:
    horizontal = [0, 2]
    side = _round(origins[..., horizontal], directions[..., horizontal], radius)
    return _both(side, _slab(origins[..., 1], directions[..., 1], low, high))


def _cube(origins: np.ndarray, directions: np.ndarray) -> list[Interval]:
    inside = _slab(origins[..., 1], directions[..., 1], 0, 2 * CUBE_HALF)
    for across, step in zip(_turn(origins), _turn(directions), strict=True):
        inside = _both(inside, _slab(across, step, -CUBE_HALF, CUBE_HALF))
    return [inside]


def _cylinder(origins: np.ndarray, directions: np.ndarray) -> list[Interval]:
    return [_pillar(0, CYLINDER_HEIGHT, CYLINDER_RADIUS, origins, directions)]


def _sphere(origins: np.ndarray, directions: np.ndarray) -> list[Interval]:
    return [_ball(1, 1, origins, directions)]


def _capsule(origins: np.ndarray, directions: np.ndarray) -> list[Interval]:
    low, high = CAPSULE_RADIUS, CAPSULE_HEIGHT - CAPSULE_RADIUS
    balls = [_ball(height, CAPSULE_RADIUS, origins, directions) for height in (low, high)]
    return [*balls, _pillar(low, high, CAPSULE_RADIUS, origins, directions)]


def _cube_normals(points: np.ndarray) -> np.ndarray:
    right, left = _turn(points)
    local = np.stack([right, points[:, 1] - CUBE_HALF, left], axis=1)
    axis, rows = np.argmax(np.abs(local), axis=1), np.arange(len(points))
    root = np.sqrt(0.5)
    axes = np.array([[root, 0, root], [0, 1, 0], [-root, 0, root]])
    return np.sign(local[rows, axis])[:, None] * axes[axis]


def _cylinder_normals(points: np.ndarray) -> np.ndarray:
    top = points[:, 1] > CYLINDER_HEIGHT - 1e-6
    return np.where(top[:, None], [0.0, 1.0, 0.0], points * [1, 0, 1] / CYLINDER_RADIUS)


def _sphere_normals(points: np.ndarray) -> np.ndarray:
    return points - [0, 1, 0]


def _capsule_normals(points: np.ndarray) -> np.ndarray:
    spine = np.clip(points[:, 1], CAPSULE_RADIUS, CAPSULE_HEIGHT - CAPSULE_RADIUS)
    return (points - spine[:, None] * [0, 1, 0]) / CAPSULE_RADIUS


_INTERVALS = {"cube": _cube, "cylinder": _cylinder, "sphere": _sphere, "capsule": _capsule}
_NORMALS = {"cube": _cube_normals, "cylinder": _cylinder_normals, "sphere": _sphere_normals, "capsule": _capsule_normals}
