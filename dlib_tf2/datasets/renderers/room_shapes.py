"""The solids that stand in the rendered rooms: where rays meet them, and which way their surface
faces.

Coordinates: x to the right, y up, z away from the middle camera. Every solid rests on the floor y =
0 above the origin and is symmetric under x -> -x. Lengths are those of scale 1 and are multiplied
by `size`: a cube of side 1 that faces the wall behind it, a cylinder of diameter 0.9 and height
1.1, a sphere of diameter 1.1, and an upright capsule of width 0.7 that looks twice as high, seen
slightly from above.
"""

import numpy as np

SHAPES = ("cube", "cylinder", "sphere", "capsule")
CUBE_HALF = 0.5
CYLINDER_RADIUS, CYLINDER_HEIGHT = 0.45, 1.1
SPHERE_RADIUS = 0.55
CAPSULE_RADIUS, CAPSULE_HEIGHT = 0.35, 1.44
_TOLERANCE = 1e-9

# Where each ray is inside a convex solid: from the first distance to the second, empty where the
# first is larger.
Interval = tuple[np.ndarray, np.ndarray]


def distances(shape: str, size: float, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How far along each ray the solid begins.

    Args:
        shape: one of SHAPES.
        size: of the solid; 1 gives the lengths above.
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
    # a ray along the planes meets them at infinity, which is what the division says
    with np.errstate(divide="ignore"):
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


def _ball(height: float, radius: float, origins: np.ndarray, directions: np.ndarray) -> Interval:
    return _round(origins - np.array([0, height, 0]), directions, radius)


def _pillar(
    low: float, high: float, radius: float, origins: np.ndarray, directions: np.ndarray
) -> Interval:
    horizontal = [0, 2]
    side = _round(origins[..., horizontal], directions[..., horizontal], radius)
    return _both(side, _slab(origins[..., 1], directions[..., 1], low, high))


def _cube(origins: np.ndarray, directions: np.ndarray) -> list[Interval]:
    inside = _slab(origins[..., 1], directions[..., 1], 0, 2 * CUBE_HALF)
    for across in (0, 2):
        side = _slab(origins[..., across], directions[..., across], -CUBE_HALF, CUBE_HALF)
        inside = _both(inside, side)
    return [inside]


def _cylinder(origins: np.ndarray, directions: np.ndarray) -> list[Interval]:
    return [_pillar(0, CYLINDER_HEIGHT, CYLINDER_RADIUS, origins, directions)]


def _sphere(origins: np.ndarray, directions: np.ndarray) -> list[Interval]:
    return [_ball(SPHERE_RADIUS, SPHERE_RADIUS, origins, directions)]


def _capsule(origins: np.ndarray, directions: np.ndarray) -> list[Interval]:
    low, high = CAPSULE_RADIUS, CAPSULE_HEIGHT - CAPSULE_RADIUS
    balls = [_ball(height, CAPSULE_RADIUS, origins, directions) for height in (low, high)]
    return [*balls, _pillar(low, high, CAPSULE_RADIUS, origins, directions)]


def _cube_normals(points: np.ndarray) -> np.ndarray:
    local = points - [0, CUBE_HALF, 0]
    axis, rows = np.argmax(np.abs(local), axis=1), np.arange(len(points))
    return np.sign(local[rows, axis])[:, None] * np.eye(3)[axis]


def _cylinder_normals(points: np.ndarray) -> np.ndarray:
    top = points[:, 1] > CYLINDER_HEIGHT - 1e-6
    return np.where(top[:, None], [0.0, 1.0, 0.0], points * [1, 0, 1] / CYLINDER_RADIUS)


def _sphere_normals(points: np.ndarray) -> np.ndarray:
    return (points - [0, SPHERE_RADIUS, 0]) / SPHERE_RADIUS


def _capsule_normals(points: np.ndarray) -> np.ndarray:
    spine = np.clip(points[:, 1], CAPSULE_RADIUS, CAPSULE_HEIGHT - CAPSULE_RADIUS)
    return (points - spine[:, None] * [0, 1, 0]) / CAPSULE_RADIUS


_INTERVALS = {"cube": _cube, "cylinder": _cylinder, "sphere": _sphere, "capsule": _capsule}
_NORMALS = {
    "cube": _cube_normals,
    "cylinder": _cylinder_normals,
    "sphere": _sphere_normals,
    "capsule": _capsule_normals,
}
