"""The room renderer: what each factor does to the pixels, measured on pictures and on traced rays."""

import functools
import hashlib

import numpy as np
import pytest

from dlib_tf2.datasets.renderers import room_maps, room_shapes, rooms

BASE = (5, 8, 2, 7, 2, 7)  # cyan floor, violet wall, yellow-green object; the largest sphere; the corner in the middle


@functools.cache
def trace(shape, scale, orientation):
    return room_maps.trace(rooms.SHAPES[shape], rooms.SCALES[scale], np.deg2rad(rooms.ANGLES[orientation]))


@functools.cache
def maps(shape, scale, orientation):
    return room_maps.maps(rooms.SHAPES[shape], rooms.SCALES[scale], np.deg2rad(rooms.ANGLES[orientation]))


def share_of(label):
    """How much of each pixel of the base picture shows `label`."""
    return (trace(2, 7, 7).label == label).reshape(64, 4, 64, 4).mean(axis=(1, 3))


def change(factor, value):
    return rooms.draw(*BASE[:factor], value, *BASE[factor + 1 :]).astype(int)


def test_grids_and_values():
    assert rooms.GRIDS["full"].space.sizes == (10, 10, 10, 8, 4, 15)
    assert rooms.GRIDS["full"].space.size == 480_000
    assert rooms.GRIDS["small"].space.sizes == (5, 5, 5, 4, 4, 15)
    assert rooms.GRIDS["small"].space.size == 30_000
    values = rooms.GRIDS["small"].values(np.array([[4, 0, 2, 3, 1, 14], [0, 0, 0, 0, 0, 7]]))
    np.testing.assert_allclose(values, [[0.8, 0, 0.4, 1, 1, 30], [0, 0, 0, 0.5 + 0.5 / 7, 0, 0]], atol=1e-12)


def test_ten_saturated_hues_evenly_round_the_wheel():
    assert rooms.PALETTE[[0, 5]].tolist() == [[255, 0, 0], [0, 255, 255]]
    np.testing.assert_array_equal(rooms.PALETTE.max(axis=1), 255)
    np.testing.assert_array_equal(rooms.PALETTE.min(axis=1), 0)
    np.testing.assert_allclose(rooms.PALETTE[:5] + rooms.PALETTE[5:], 255, atol=1)  # opposite hues add up to white


def test_a_sub_grid_is_drawn_in_grid_order():
    grid = rooms.Grid(floor_hue=(9,), wall_hue=(0, 4), object_hue=(1, 6), scale=(3,), orientation=(2, 14))
    images = np.concatenate(list(grid.blocks()))
    assert images.dtype == np.uint8
    assert images.shape == (grid.space.size, 64, 64, 3) == (32, 64, 64, 3)
    for index in (0, 7, 13, 31):
        _, wall, thing, _, shape, orientation = grid.space.to_factors(np.array([index]))[0]
        expected = rooms.draw(9, (0, 4)[wall], (1, 6)[thing], 3, shape, (2, 14)[orientation])
        np.testing.assert_array_equal(images[index], expected)


def test_colours_are_hue_times_shade():
    image = change(0, 5)
    cyan, violet, green = rooms.PALETTE[[5, 8, 2]]
    np.testing.assert_allclose(image[62, 5], 0.72 * cyan, atol=1)
    np.testing.assert_allclose(image[15, 58], 0.80 * violet, atol=2)  # the right wall
    np.testing.assert_allclose(image[15, 5], 0.53 * violet, atol=2)  # the left wall, darker
    sky = image[0]
    assert (np.diff(sky, axis=1) > 20).all(), "light blue: red < green < blue"
    assert sky.min() > 100
    body = image[share_of(room_maps.OBJECT) == 1]
    assert len(body) > 300
    assert (body[:, 2] < 0.6 * body[:, 0]).all(), "the object keeps its hue under the highlight"
    dull = body[body[:, 2] < 2]
    assert len(dull) > 100
    np.testing.assert_allclose(dull / dull[:, 1:2], np.broadcast_to(green / 255, dull.shape), atol=0.02)


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
    shadow = floor & (traced.shade < 0.5)
    assert set(np.unique(traced.shade[floor])) == {0.33, 0.72}
    assert 0.01 < shadow.mean() < 0.08
    assert np.nonzero(shadow)[1].mean() > np.nonzero(traced.label == room_maps.OBJECT)[1].mean() + 10  # of 256 ray columns
    assert not shadow[:, :60].any()


def test_walls_meet_in_a_corner_that_moves_with_the_view():
    left = [np.mean((traced := trace(1, 0, k)).shade[(traced.label == room_maps.WALL)] < 0.6) for k in range(15)]
    assert (np.diff(left) > 0.01).all(), "the left wall takes more of the picture as the camera moves to the right"
    assert left[7] == pytest.approx(0.5, abs=0.01)
    assert left[0] < 0.2 < 0.8 < left[14]


@pytest.mark.parametrize("shape", range(4))
@pytest.mark.parametrize("orientation", [0, 3, 7])
def test_opposite_views_see_mirrored_shapes(shape, orientation):
    one, other = trace(shape, 4, orientation).label, trace(shape, 4, 14 - orientation).label
    assert np.mean(one != other[:, ::-1]) < 1e-3
    if orientation < 7:
        assert np.mean(one != other) > 0.02


@pytest.mark.parametrize("shape", range(4))
def test_the_object_grows_twofold_and_stays_whole_on_the_floor(shape):
    inside = [trace(shape, scale, 7).label == room_maps.OBJECT for scale in range(8)]
    length = np.sqrt([mask.mean() for mask in inside])
    np.testing.assert_allclose(length / length[-1], rooms.SCALES, rtol=0.06)  # closer parts look larger
    assert (np.diff(length) > 0).all()
    for mask in inside:
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()
        rows, columns = np.nonzero(mask)
        assert 140 < rows.max() < 235  # of 256 ray rows: in the lower half
        assert columns.mean() == pytest.approx(127.5, abs=1)


def test_the_four_shapes_differ():
    areas = [np.mean(trace(shape, 7, 7).label == room_maps.OBJECT) for shape in range(4)]
    assert max(areas) < 1.7 * min(areas), "none stands out by its size alone"
    for one in range(4):
        for other in range(one):
            for scale in (0, 7):
                different = trace(one, scale, 7).label != trace(other, scale, 7).label
                assert different.sum() > 0.1 * (trace(one, scale, 7).label == room_maps.OBJECT).sum()


@pytest.mark.parametrize("factor, label", [(0, room_maps.FLOOR), (1, room_maps.WALL), (2, room_maps.OBJECT)])
def test_a_hue_changes_the_pixels_of_its_label_and_no_others(factor, label):
    before, after = change(factor, BASE[factor]), change(factor, (BASE[factor] + 5) % 10)
    share = share_of(label)
    changed = (before != after).any(axis=2)
    np.testing.assert_array_equal(changed[share == 0], False)
    np.testing.assert_array_equal(changed[share > 0.1], True)
    assert (share > 0.1).sum() > 300


def test_geometry_is_one_for_all_hues():
    """Three channels at three hues tell the maps apart: whatever the palette, the same weights come out."""
    floor, wall, thing, *plain = maps(2, 7, 7) / room_maps.UNIT
    for hues in ((0, 3, 6), (9, 9, 9), (2, 7, 5)):
        expected = sum(weight[..., None] * rooms.PALETTE[hue] for weight, hue in zip((floor, wall, thing), hues, strict=True)) + np.stack(
            plain, axis=-1
        )
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
        ("cube", 0.5, room_shapes.CUBE_HALF * np.sqrt(2), 2 * room_shapes.CUBE_HALF),
        ("cylinder", 0.5, room_shapes.CYLINDER_RADIUS, room_shapes.CYLINDER_HEIGHT),
        ("sphere", 1.0, 1.0, 2.0),
        ("capsule", 1.0, room_shapes.CAPSULE_RADIUS, room_shapes.CAPSULE_HEIGHT),
    ):
        assert room_shapes.distances(shape, 0.5, np.array([0, height / 2, -5]), ahead) == pytest.approx(5 - front / 2, abs=1e-6)
        assert room_shapes.distances(shape, 2.0, np.array([0.0, 9, 0]), down) == pytest.approx(9 - 2 * top, abs=1e-6)
        assert np.isinf(room_shapes.distances(shape, 1.0, np.array([0.0, 9, 0]), -down)), "behind the ray"


@pytest.mark.parametrize(
    "factors, digest",
    [
        ((0, 0, 0, 0, 0, 0), "148830c53dfea22a"),
        ((5, 8, 2, 7, 0, 14), "a32420deb3eb8457"),
        ((9, 3, 6, 4, 1, 7), "9ce02cd849f2e3f7"),
        ((2, 5, 8, 3, 2, 3), "8515e744ec3f1db0"),
        ((7, 1, 4, 6, 3, 11), "d737b822f9ac7180"),
    ],
)
def test_pictures_are_those_of_this_version(factors, digest):
    """Whoever changes a picture must change rooms.VERSION: prepared tables are opened by it."""
    assert rooms.VERSION == "1.0.0"
    assert hashlib.sha256(rooms.draw(*factors).tobytes()).hexdigest()[:16] == digest
