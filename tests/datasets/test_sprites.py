"""The sprite renderer: the geometry that was measured on dSprites pictures."""

import numpy as np
import pytest

from dlib_tf2.datasets.renderers import sprites


def at_all_centres(shape, scale=1.0, angle=0.0):
    return sprites.draw(shape, scale, angle, sprites.CENTRES, sprites.CENTRES).astype(float)


def extent(images):
    """Mean width and height over all centres, in pixels."""
    return images.any(axis=2).sum(axis=2).mean(), images.any(axis=3).sum(axis=2).mean()


def centroid(images):
    """Mean offset of the centroid from the centre, (right, down), in pixels."""
    mass, pixels = images.sum(axis=(2, 3)), np.arange(sprites.IMAGE_SIZE)
    right = (images * pixels).sum(axis=(2, 3)) / mass - sprites.CENTRES[:, None]
    down = (images * pixels[:, None]).sum(axis=(2, 3)) / mass - sprites.CENTRES[None, :]
    return right.mean(), down.mean()


def test_grids_and_values():
    assert sprites.GRIDS["full"].space.sizes == (3, 6, 40, 32, 32)
    assert sprites.GRIDS["small"].space.sizes == (3, 6, 8, 16, 16)
    assert sprites.GRIDS["small"].space.size == 36_864
    np.testing.assert_allclose(sprites.CENTRES[[0, 1, 31]], [15.5, 15.5 + 32 / 31, 47.5])
    np.testing.assert_allclose(sprites.GRIDS["small"].values(np.array([[2, 5, 7, 15, 0]])), [[3, 1, 35 * 2 * np.pi / 39, 30 / 31, 0]])


def test_a_sub_grid_holds_the_pictures_of_the_full_grid():
    sub = sprites.Grid(scale=(5,), orientation=(3,), x_position=(0, 30), y_position=(7,))
    full = sprites.Grid(scale=(5,), orientation=(3,))
    for small, large in zip(sub.blocks(), full.blocks(), strict=True):
        np.testing.assert_array_equal(small, large[[0 * 32 + 7, 30 * 32 + 7]])


@pytest.mark.parametrize("shape", sprites.SHAPES)
@pytest.mark.parametrize("angle", [0.0, 1.0])
def test_pixels_are_0_and_1_and_never_cut_off(shape, angle):
    images = sprites.draw(shape, 1.0, angle, sprites.CENTRES, sprites.CENTRES)
    assert images.dtype == np.uint8
    assert set(np.unique(images)) == {0, 1}
    assert images[:, :, [0, -1]].sum() + images[:, :, :, [0, -1]].sum() == 0  # a sprite reaches at most 14.15 from 15.5
    np.testing.assert_allclose(images.sum(axis=(2, 3)), images.sum(axis=(2, 3)).mean(), rtol=0.05)


@pytest.mark.parametrize("scale", sprites.SCALES)
def test_square(scale):
    images = at_all_centres("square", scale)
    assert images.sum(axis=(2, 3)).mean() == pytest.approx((20 * scale) ** 2, rel=0.01)
    np.testing.assert_allclose(extent(images), [20 * scale] * 2, atol=0.1)
    np.testing.assert_allclose(centroid(images), [0, 0], atol=0.01)


def test_ellipse():
    images = at_all_centres("ellipse")
    assert images.sum(axis=(2, 3)).mean() == pytest.approx(np.pi * 13 * 7, rel=0.01)
    np.testing.assert_allclose(extent(images), [26, 14], atol=0.1)
    np.testing.assert_allclose(extent(at_all_centres("ellipse", angle=np.pi / 2)), [14, 26], atol=0.1)


def test_heart():
    images = at_all_centres("heart")
    assert images.sum(axis=(2, 3)).mean() == pytest.approx(224, rel=0.02)
    np.testing.assert_allclose(extent(images), [20, 17], atol=0.25)
    np.testing.assert_allclose(centroid(images), [0, -1.9], atol=0.02)  # above the centre that it turns about
    rows = sprites.draw("heart", 1.0, 0.0, np.array([31.0]), np.array([31.0]))[0, 0].sum(axis=1)
    first, last = np.flatnonzero(rows)[[0, -1]]
    assert rows[last] == 1, "the point is down"
    assert rows[first] > 4, "the two lobes are up"
    assert rows[last - 3] < rows[last - 6] < rows[last - 9]


def test_a_quarter_turn_counter_clockwise_moves_the_heart_to_the_left():
    np.testing.assert_allclose(centroid(at_all_centres("heart", angle=np.pi / 2)), [-1.9, 0], atol=0.02)
    np.testing.assert_allclose(centroid(at_all_centres("heart", angle=np.pi)), [0, 1.9], atol=0.02)


@pytest.mark.parametrize("shape", sprites.SHAPES)
def test_first_and_last_orientation_are_one_picture(shape):
    first, other, last = (at_all_centres(shape, 0.7, angle) for angle in sprites.ANGLES[[0, 7, 39]])
    np.testing.assert_array_equal(first, last)
    assert (first != other).any()


@pytest.mark.parametrize("shape", sprites.SHAPES)
def test_area_grows_with_scale(shape):
    areas = np.array([at_all_centres(shape, scale, 0.5).sum(axis=(2, 3)).mean() for scale in sprites.SCALES])
    np.testing.assert_allclose(areas / areas[-1], sprites.SCALES**2, rtol=0.02)


def test_positions_move_right_and_down():
    image = sprites.draw("square", 0.5, 0.0, np.array([15.5, 47.5]), np.array([20.5]))
    columns, rows = np.nonzero(image[1, 0].any(axis=0))[0], np.nonzero(image[1, 0].any(axis=1))[0]
    assert (columns[0], columns[-1], rows[0], rows[-1]) == (43, 52, 16, 25)
