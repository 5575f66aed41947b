"""The room renderer: what each factor does to the pixels, measured on pictures and on traced
rays.
"""

import functools
import hashlib
import itertools

import numpy as np
import pytest

from dlib_tf2.datasets.renderers import room_maps, room_shapes, rooms

BASE = (5, 8, 2, 7, 2, 7)  # cyan floor, violet wall, yellow-green sphere, the largest; wall frontal


@functools.cache
def trace(shape, scale, orientation):
    return room_maps.trace(
        rooms.SHAPES[shape], rooms.SCALES[scale], np.deg2rad(rooms.ANGLES[orientation])
    )


@functools.cache
def maps(shape, scale, orientation):
    return room_maps.maps(
        rooms.SHAPES[shape], rooms.SCALES[scale], np.deg2rad(rooms.ANGLES[orientation])
    )


def share_of(label):
    """How much of each pixel of the base picture shows `label`."""
    return (trace(2, 7, 7).label == label).reshape(64, 4, 64, 4).mean(axis=(1, 3))


def object_of(shape, scale, orientation=7):
    """Which rays, 4 x 4 per pixel, meet the object."""
    return trace(shape, scale, orientation).label == room_maps.OBJECT


def extent(mask):
    """Width of the widest row and height of the highest column of a mask of rays, in pixels."""
    return mask.sum(axis=1).max() / 4, mask.sum(axis=0).max() / 4


def walls(shape, scale, orientation):
    """Which rays meet the wall behind, and which a side wall."""
    traced = trace(shape, scale, orientation)
    wall, bright = traced.label == room_maps.WALL, traced.shade == 1
    return wall & bright, wall & ~bright


def change(factor, value):
    return rooms.draw(*BASE[:factor], value, *BASE[factor + 1 :]).astype(int)


def test_grids_and_values():
    assert rooms.GRIDS["full"].space.sizes == (10, 10, 10, 8, 4, 15)
    assert rooms.GRIDS["full"].space.size == 480_000
    assert rooms.GRIDS["small"].space.sizes == (5, 5, 5, 4, 4, 15)
    assert rooms.GRIDS["small"].space.size == 30_000
    values = rooms.GRIDS["small"].values(np.array([[4, 0, 2, 3, 1, 14], [0, 0, 0, 0, 0, 7]]))
    np.testing.assert_allclose(
        values, [[0.8, 0, 0.4, 1.25, 1, 30], [0, 0, 0, 0.75 + 0.5 / 7, 0, 0]], atol=1e-12
    )


def test_ten_saturated_hues_evenly_round_the_wheel():
    assert rooms.PALETTE[[0, 5]].tolist() == [[255, 0, 0], [0, 255, 255]]
    np.testing.assert_array_equal(rooms.PALETTE.max(axis=1), 255)
    np.testing.assert_array_equal(rooms.PALETTE.min(axis=1), 0)
    # opposite hues add up to white
    np.testing.assert_allclose(rooms.PALETTE[:5] + rooms.PALETTE[5:], 255, atol=1)


def test_a_sub_grid_is_drawn_in_grid_order():
    grid = rooms.Grid(
        floor_hue=(9,), wall_hue=(0, 4), object_hue=(1, 6), scale=(3,), orientation=(2, 14)
    )
    images = np.concatenate(list(grid.blocks()))
    assert images.dtype == np.uint8
    assert images.shape == (grid.space.size, 64, 64, 3) == (32, 64, 64, 3)
    for index in (0, 7, 13, 31):
        _, wall, thing, _, shape, orientation = grid.space.to_factors(np.array([index]))[0]
        expected = rooms.draw(9, (0, 4)[wall], (1, 6)[thing], 3, shape, (2, 14)[orientation])
        np.testing.assert_array_equal(images[index], expected)


def test_floor_and_wall_behind_have_the_hue_itself():
    for floor, wall in ((5, 8), (0, 3), (9, 9)):
        image = rooms.draw(floor, wall, 2, 0, 2, 7)
        behind, side = (rays.reshape(64, 4, 64, 4).mean(axis=(1, 3)) for rays in walls(2, 0, 7))
        traced = trace(2, 0, 7)
        lit = (traced.label == room_maps.FLOOR) & (traced.shade == 1)
        for share, hue, shade in (
            (lit.reshape(64, 4, 64, 4).mean(axis=(1, 3)), floor, 1),
            (behind, wall, 1),
            (side, wall, 0.75),
        ):
            whole = image[share == 1]
            assert len(whole) > (50 if shade < 1 else 1000)
            expected = np.broadcast_to(np.floor(shade * rooms.PALETTE[hue] + 0.5), whole.shape)
            np.testing.assert_array_equal(whole, expected)


def test_the_object_keeps_its_hue_under_the_highlight():
    body = change(0, 5)[share_of(room_maps.OBJECT) == 1]
    assert len(body) > 300
    assert (body[:, 2] < 0.6 * body[:, 0]).all()
    dull = body[body[:, 2] < 2]
    assert len(dull) > 100
    green = rooms.PALETTE[2] / 255
    np.testing.assert_allclose(dull / dull[:, 1:2], np.broadcast_to(green, dull.shape), atol=0.02)


@pytest.mark.parametrize("shape, scale", [(2, 0), (0, 4), (3, 7)])
@pytest.mark.parametrize("orientation", range(15))
def test_a_quarter_of_the_picture_is_sky_of_one_light_blue(shape, scale, orientation):
    sky = trace(shape, scale, orientation).label == room_maps.SKY
    assert 0.22 < sky.mean() < 0.28
    image = rooms.draw(5, 8, 2, scale, shape, orientation)
    whole = image[sky.reshape(64, 4, 64, 4).all(axis=(1, 3))]
    assert len(whole) > 800
    np.testing.assert_array_equal(whole, np.broadcast_to([135, 206, 235], whole.shape))


def test_the_highlight_is_on_the_side_of_the_lamp():
    image = change(0, 5).sum(axis=2)
    rows, columns = np.nonzero(share_of(room_maps.OBJECT) == 1)
    brightest = np.argmax(image[rows, columns])
    assert rows[brightest] < rows.mean() - 4
    assert columns[brightest] < columns.mean() - 4
    assert image[rows, columns].max() > 1.8 * image[rows, columns].min()


@pytest.mark.parametrize("shape", range(4))
@pytest.mark.parametrize("orientation", [0, 7, 14])
def test_the_shadow_lies_on_the_floor_to_the_right_and_is_dark(shape, orientation):
    traced = trace(shape, 5, orientation)
    floor = traced.label == room_maps.FLOOR
    shadow = floor & (traced.shade < 1)
    assert set(np.unique(traced.shade[floor])) == {0.5, 1.0}
    assert 20 < shadow.sum() / 16 < 330  # pixels
    # of 256 ray columns
    assert (
        np.nonzero(shadow)[1].mean() > np.nonzero(traced.label == room_maps.OBJECT)[1].mean() + 10
    )
    assert not shadow[:, :60].any()


def test_in_the_middle_one_wall_is_frontal_and_a_side_wall_enters_on_the_right():
    behind, side = walls(2, 0, 7)
    assert np.flatnonzero(behind.any(axis=0)).tolist() == list(range(4 * 59 - 1))  # of 256
    assert np.flatnonzero(side.any(axis=0)).min() / 4 == pytest.approx(58, abs=1)
    assert side.any(axis=0)[-1]
    columns = [*range(60), *range(180, 4 * 58)]  # without the object
    feet, tops = (rows(behind, columns) for rows in (lowest, highest))
    np.testing.assert_array_equal(feet, 4 * 38)  # level foot: the last row of rays on the wall
    np.testing.assert_array_equal(tops, 4 * 15 + 2)
    assert behind.sum() > 6 * side.sum()


def lowest(mask, columns):
    return mask.shape[0] - 1 - np.argmax(mask[::-1, columns], axis=0)


def highest(mask, columns):
    return np.argmax(mask[:, columns], axis=0)


def test_the_side_wall_is_on_the_right_first_and_on_the_left_last():
    columns = [np.flatnonzero(walls(2, 0, k)[1].any(axis=0)) / 4 for k in range(15)]
    starts = [place.min() for place in columns[:9]]
    # the edge moves to the right
    np.testing.assert_allclose(starts, np.linspace(34, 61, 9), atol=1)
    assert all(place.max() == 63.75 for place in columns[:9])
    assert len(columns[9]) == 0, "between the two side walls the wall behind fills the width"
    ends = [place.max() for place in columns[10:]]
    np.testing.assert_allclose(ends, np.linspace(3.5, 19, 5), atol=1)
    assert all(place.min() == 0 for place in columns[10:])


@pytest.mark.parametrize("shape", range(4))
@pytest.mark.parametrize("orientation", [0, 3, 7])
def test_opposite_views_see_mirrored_shapes(shape, orientation):
    one, other = object_of(shape, 4, orientation), object_of(shape, 4, 14 - orientation)
    assert np.mean(one != other[:, ::-1]) < 1e-3
    assert shape or orientation == 7 or np.mean(one != other) > 0.01, "the cube turns"


@pytest.mark.parametrize("shape", range(4))
def test_the_object_grows_by_five_thirds_and_stays_whole_on_the_floor(shape):
    inside = [object_of(shape, scale) for scale in range(8)]
    length = np.sqrt([mask.mean() for mask in inside])
    np.testing.assert_allclose(length / length[-1], rooms.SCALES / 1.25, rtol=0.02)
    assert rooms.SCALES[-1] / rooms.SCALES[0] == pytest.approx(5 / 3)
    small, large = (np.array(extent(inside[scale])) for scale in (0, 7))
    # The larger one comes nearer to the camera: half a pixel and more in width.
    np.testing.assert_allclose(large[0], small[0] * 5 / 3, atol=1)
    for mask in inside:
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()
        rows, columns = np.nonzero(mask)
        assert 200 < rows.max() < 235  # of 256 ray rows: low, and with floor in front
        assert columns.mean() == pytest.approx(127.5, abs=1)


def test_sizes_in_pixels_are_nearly_those_of_3d_shapes():
    # 3D Shapes has 16 and about 30.
    assert extent(object_of(0, 0))[0] == pytest.approx(17, abs=0.3)
    assert extent(object_of(0, 7))[0] == pytest.approx(29, abs=0.3)
    for scale in range(8):
        width, height = extent(object_of(3, scale))
        assert height == pytest.approx(2 * width, abs=0.5), "the capsule is twice as high as wide"


@pytest.mark.parametrize("orientation", [0, 7, 14])
def test_the_four_shapes_are_told_apart_at_the_smallest_size(orientation):
    masks = [object_of(shape, 0, orientation) for shape in range(4)]
    areas = np.array([mask.sum() / 16 for mask in masks])
    assert areas.min() > 200
    assert areas.max() < 2 * areas.min(), "none stands out by its size alone"
    for one in range(4):
        for other in range(one):
            assert (masks[one] != masks[other]).sum() / 16 > 60  # pixels of the outlines
            pictures = [rooms.draw(4, 4, 4, 0, shape, orientation) for shape in (one, other)]
            pixels = np.abs(pictures[0].astype(int) - pictures[1]).max(axis=2) > 10
            assert pixels.sum() > 180, "one hue everywhere: only shading tells them apart"


def change_by_a_step(factor, scale, shape, orientation):
    """How many pixels each step of a factor changes where floor, wall and object share one hue."""
    scene, pictures = [scale, shape, orientation], []
    for value in range(rooms.GRIDS["full"].space.sizes[factor]):
        scene[factor - 3] = value
        size, solid, angle = scene
        weights = maps(solid, size, angle) / room_maps.UNIT
        pictures.append(255 * weights[:3].sum(axis=0) + weights[3])  # a channel at its highest
    return (np.abs(np.diff(pictures, axis=0)) > 10).sum(axis=(1, 2))


@pytest.mark.parametrize(
    "scale, shape, orientation", list(itertools.product((0, 7), range(4), (0, 7)))
)
def test_every_step_changes_the_picture_where_all_hues_are_equal(scale, shape, orientation):
    for factor in (3, 4, 5):
        assert change_by_a_step(factor, scale, shape, orientation).min() > 60


def all_distinct(grid):
    pictures = itertools.chain.from_iterable(grid.blocks())
    return len({hashlib.sha256(image).digest() for image in pictures}) == grid.space.size


def test_no_two_pictures_are_equal_even_where_hues_are():
    two = (0, 1)
    assert all_distinct(
        rooms.Grid(two, two, two, scale=(0, 7), orientation=(0, 1, 7, 8, 9, 13, 14))
    )


@pytest.mark.slow
def test_no_two_pictures_of_the_whole_grid_are_equal():
    assert all_distinct(rooms.GRIDS["full"])


@pytest.mark.parametrize(
    "factor, label", [(0, room_maps.FLOOR), (1, room_maps.WALL), (2, room_maps.OBJECT)]
)
def test_a_hue_changes_the_pixels_of_its_label_and_no_others(factor, label):
    before, after = change(factor, BASE[factor]), change(factor, (BASE[factor] + 5) % 10)
    share = share_of(label)
    changed = (before != after).any(axis=2)
    np.testing.assert_array_equal(changed[share == 0], False)
    np.testing.assert_array_equal(changed[share > 0.1], True)
    assert (share > 0.1).sum() > 300


def test_geometry_is_one_for_all_hues():
    """Three channels at three hues tell the maps apart: whatever the palette, the same weights come
    out.
    """
    floor, wall, thing, *plain = maps(2, 7, 7) / room_maps.UNIT
    for hues in ((0, 3, 6), (9, 9, 9), (2, 7, 5)):
        expected = sum(
            weight[..., None] * rooms.PALETTE[hue]
            for weight, hue in zip((floor, wall, thing), hues, strict=True)
        ) + np.stack(plain, axis=-1)
        np.testing.assert_allclose(rooms.draw(*hues, 7, 2, 7), expected, atol=0.51)


@pytest.mark.parametrize("shape, scale, orientation", [(0, 0, 0), (1, 3, 5), (3, 7, 14)])
def test_weights_are_shares_of_a_pixel(shape, scale, orientation):
    weights, plain = maps(shape, scale, orientation)[:3], maps(shape, scale, orientation)[3:]
    assert weights.min() == 0
    assert plain.min() == 0
    # Even where all three hues are white nothing exceeds white.
    assert (255 * weights.sum(axis=0) + plain.max(axis=0)).max() <= 255 * room_maps.UNIT + 255


@pytest.mark.parametrize("shape", room_shapes.SHAPES)
def test_normals_have_length_one_and_face_the_camera(shape):
    rng = np.random.default_rng(0)
    origin = np.array([1.0, 3.0, -8.0])
    rays = np.array([0, 0.8, 0]) + rng.normal(0, 0.5, (500, 3)) - origin
    reach = room_shapes.distances(shape, 0.9, origin, rays)
    hit = np.isfinite(reach)
    assert 100 < hit.sum() < 500
    points = origin + reach[hit, None] * rays[hit]
    normals = room_shapes.normals(shape, 0.9, points)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-9)
    assert np.sum(normals * rays[hit], axis=1).max() < 1e-9
    assert points[:, 1].min() > -1e-9


def test_distances_of_known_rays():
    ahead, down = np.array([0, 0, 1.0]), np.array([0, -1.0, 1e-9])
    for shape, height, front, top in (
        ("cube", 0.5, room_shapes.CUBE_HALF, 2 * room_shapes.CUBE_HALF),
        ("cylinder", 0.5, room_shapes.CYLINDER_RADIUS, room_shapes.CYLINDER_HEIGHT),
        (
            "sphere",
            room_shapes.SPHERE_RADIUS,
            room_shapes.SPHERE_RADIUS,
            2 * room_shapes.SPHERE_RADIUS,
        ),
        ("capsule", 1.0, room_shapes.CAPSULE_RADIUS, room_shapes.CAPSULE_HEIGHT),
    ):
        assert room_shapes.distances(
            shape, 0.5, np.array([0, height / 2, -5]), ahead
        ) == pytest.approx(5 - front / 2, abs=1e-6)
        assert room_shapes.distances(shape, 2.0, np.array([0.0, 9, 0]), down) == pytest.approx(
            9 - 2 * top, abs=1e-6
        )
        assert np.isinf(room_shapes.distances(shape, 1.0, np.array([0.0, 9, 0]), -down)), (
            "behind the ray"
        )


@pytest.mark.parametrize(
    "factors, digest",
    [
        ((0, 0, 0, 0, 0, 0), "7113c2ea66ff8c33"),
        ((5, 8, 2, 7, 0, 14), "9706fce29ea0db0a"),
        ((9, 3, 6, 4, 1, 7), "4eecc933199d5606"),
        ((2, 5, 8, 3, 2, 3), "b47e2dc15c5bb604"),
        ((7, 1, 4, 6, 3, 11), "6ce91e1c46245381"),
    ],
)
def test_pictures_are_those_of_this_version(factors, digest):
    """Whoever changes a picture must change the version: prepared tables are opened by it."""
    assert rooms.DRAWING.version == "2.0.0"
    assert hashlib.sha256(rooms.draw(*factors).tobytes()).hexdigest()[:16] == digest
