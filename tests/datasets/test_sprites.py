"""The sprite renderer: the outlines that were fitted to published dSprites pictures."""

import math

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


HEART = []  # the vertices of its right half, from the notch to the point, y upwards
for degrees in range(0, 181, 2):
    t = math.radians(degrees)
    wave = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
    HEART.append((9.599 * math.sin(t) ** 3, 0.6623 * wave + 1.4385))
POLYGONS = {
    "square": [(9.598, 9.598), (-9.598, 9.598), (-9.598, -9.598), (9.598, -9.598)],
    "heart": HEART + [(-x, y) for x, y in reversed(HEART)],
}


def picture(shape, scale, angle, x, y):
    """A sprite by another way: the outline is moved, and a ray is cast from each pixel."""
    rows, columns = np.mgrid[0.0:64, 0.0:64]
    cosine, sine = math.cos(angle), math.sin(angle)
    if shape == "ellipse":  # v' C^-1 v <= 1, C the turned diagonal matrix of the squared half axes
        turn = np.array([[cosine, -sine], [sine, cosine]])
        matrix = np.linalg.inv(turn @ np.diag([12.766**2, 7.2135**2]) @ turn.T) / scale**2
        offsets = np.stack([columns - x, y - rows], axis=-1)
        return (np.einsum("hwi,ij,hwj->hw", offsets, matrix, offsets) <= 1).astype(np.uint8)
    turned = [(cosine * u - sine * v, sine * u + cosine * v) for u, v in POLYGONS[shape]]
    corners = [(x + scale * u, y - scale * v) for u, v in turned]
    crossings = np.zeros((64, 64), int)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y0 != y1:
            at = x0 + (rows - y0) / (y1 - y0) * (x1 - x0)
            crossings += ((y0 > rows) != (y1 > rows)) & (columns < at)
    return (crossings % 2).astype(np.uint8)


@pytest.mark.parametrize("shape", sprites.SHAPES)
def test_pictures_are_those_of_the_outlines_pixel_by_pixel(shape):
    rng = np.random.default_rng(0)
    for _ in range(80):
        scale, angle = rng.choice(sprites.SCALES), rng.choice(sprites.ANGLES)
        x, y = rng.choice(sprites.CENTRES, 2)
        drawn = sprites.draw(shape, scale, angle, np.array([x]), np.array([y]))[0, 0]
        expected = picture(shape, scale, angle, x, y)
        np.testing.assert_array_equal(drawn, expected, f"{scale}, {angle}, {x}, {y}")


@pytest.mark.parametrize(
    "shape, number, widths",
    [
        # Between pixels, at 15.5, offsets are 0.5, 1.5 ...: 20 of them lie within 9.598.
        ("square", 0, [20] * 20),
        # At 15.5 + 15 * 32 / 31 = 30.984 columns 22 to 40 do: 21.386 to 40.582.
        ("square", 15, [19] * 19),
        # Half widths at 0.5, 1.5 ... from the middle: 12.74, 12.49, 11.98, 11.16, 9.98, 8.26, 5.54.
        ("ellipse", 0, [12, 16, 20, 22, 24, 24, 26, 26, 24, 24, 22, 20, 16, 12]),
        ("heart", 0, [10, 14, 16, 18, 20, 20, 18, 18, 16, 16, 14, 12, 10, 8, 6, 4, 2]),
    ],
)
def test_rows_of_the_largest_upright_sprites(shape, number, widths):
    centre = sprites.CENTRES[[number]]
    rows = sprites.draw(shape, 1.0, 0.0, centre, centre)[0, 0].sum(axis=1)
    assert rows[rows > 0].tolist() == widths


@pytest.mark.parametrize("shape", sprites.SHAPES)
@pytest.mark.parametrize("scale", sprites.SCALES)
def test_areas(shape, scale):
    x, y = np.array(POLYGONS["heart"]).T
    heart = abs(x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2  # shoelace formula
    area = {"square": 4 * 9.598**2, "ellipse": np.pi * 12.766 * 7.2135, "heart": heart}[shape]
    # Off the axes the mean over 32 x 32 centres, all between other pixels, is the area to 0.1 %.
    pixels = at_all_centres(shape, scale, sprites.ANGLES[2]).sum(axis=(2, 3))
    assert pixels.mean() == pytest.approx(area * scale**2, rel=0.0015)


def test_symmetries_of_upright_sprites_between_pixels():
    centre = sprites.CENTRES[[0]]
    drawn = (sprites.draw(shape, 0.9, 0.0, centre, centre)[0, 0] for shape in sprites.SHAPES)
    square, ellipse, heart = drawn
    np.testing.assert_array_equal(square, square.T)
    for image in (square, ellipse):
        np.testing.assert_array_equal(image[:32, :32], image[:32, :32][::-1, ::-1])
    np.testing.assert_array_equal(heart[:, :32], heart[:, :32][:, ::-1])
    assert (heart[:32] != heart[:32][::-1]).any()


@pytest.mark.parametrize("shape", sprites.SHAPES)
def test_centres_a_whole_number_of_pixels_apart_move_the_same_picture(shape):
    centres = sprites.CENTRES[[0, 31]]  # 32 pixels
    images = sprites.draw(shape, 1.0, 1.0, centres, centres)
    for x, y in ((1, 0), (0, 1), (1, 1)):
        moved = np.roll(images[0, 0], (32 * y, 32 * x), axis=(0, 1))
        np.testing.assert_array_equal(images[x, y], moved)


def test_the_drawn_window_holds_every_sprite():
    corner = np.hypot(9.598, 9.598)
    assert corner > 12.766 > max(math.hypot(x, y) for x, y in POLYGONS["heart"])
    # A centre is at most half a pixel from the pixel that it is rounded to.
    assert int(corner + 0.5) == sprites._REACH == 14


def test_grids_and_values():
    assert sprites.GRIDS["full"].space.sizes == (3, 6, 40, 32, 32)
    assert sprites.GRIDS["small"].space.sizes == (3, 6, 8, 16, 16)
    assert sprites.GRIDS["small"].space.size == 36_864
    np.testing.assert_allclose(sprites.CENTRES[[0, 1, 31]], [15.5, 15.5 + 32 / 31, 47.5])
    np.testing.assert_allclose(
        sprites.GRIDS["small"].values(np.array([[2, 5, 7, 15, 0]])),
        [[3, 1, 35 * 2 * np.pi / 39, 30 / 31, 0]],
    )


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
    # a sprite reaches at most 13.57 from 15.5
    assert images[:, :, [0, -1]].sum() + images[:, :, :, [0, -1]].sum() == 0
    areas = images.sum(axis=(2, 3))
    if shape == "square" and angle == 0:  # 19.196 pixels hold 19 or 20 pixel centres
        assert set(np.unique(areas)) == {19 * 19, 19 * 20, 20 * 20}
    else:
        np.testing.assert_allclose(areas, areas.mean(), rtol=0.05)


@pytest.mark.parametrize("scale", sprites.SCALES)
def test_square(scale):
    images = at_all_centres("square", scale)
    assert images.sum(axis=(2, 3)).mean() == pytest.approx((19.196 * scale) ** 2, rel=0.01)
    np.testing.assert_allclose(extent(images), [19.196 * scale] * 2, atol=0.1)
    np.testing.assert_allclose(centroid(images), [0, 0], atol=0.01)


def test_ellipse():
    images = at_all_centres("ellipse")
    assert images.sum(axis=(2, 3)).mean() == pytest.approx(np.pi * 12.766 * 7.2135, rel=0.01)
    np.testing.assert_allclose(extent(images), [25.53, 14.43], atol=0.1)
    np.testing.assert_allclose(
        extent(at_all_centres("ellipse", angle=np.pi / 2)), [14.43, 25.53], atol=0.1
    )


def test_heart():
    images = at_all_centres("heart")
    assert images.sum(axis=(2, 3)).mean() == pytest.approx(224.6, rel=0.02)
    # 19.16 pixels from the lobes to the point, whose narrow last rows often hold no pixel.
    np.testing.assert_allclose(extent(images), [19.2, 18.27], atol=0.05)
    # above the centre that it turns about
    np.testing.assert_allclose(centroid(images), [0, -1.99], atol=0.02)
    rows = sprites.draw("heart", 1.0, 0.0, np.array([31.0]), np.array([31.0]))[0, 0].sum(axis=1)
    first, last = np.flatnonzero(rows)[[0, -1]]
    assert rows[last] == 1, "the point is down"
    assert rows[first] > 4, "the two lobes are up"
    assert rows[last - 3] < rows[last - 6] < rows[last - 9]


def test_a_quarter_turn_counter_clockwise_moves_the_heart_to_the_left():
    np.testing.assert_allclose(
        centroid(at_all_centres("heart", angle=np.pi / 2)), [-1.99, 0], atol=0.02
    )
    np.testing.assert_allclose(centroid(at_all_centres("heart", angle=np.pi)), [0, 1.99], atol=0.02)


@pytest.mark.parametrize("shape", sprites.SHAPES)
def test_first_and_last_orientation_are_one_picture(shape):
    first, other, last = (at_all_centres(shape, 0.7, angle) for angle in sprites.ANGLES[[0, 7, 39]])
    np.testing.assert_array_equal(first, last)
    assert (first != other).any()


def test_positions_move_right_and_down():
    image = sprites.draw("square", 0.5, 0.0, np.array([15.5, 47.5]), np.array([20.5]))
    columns, rows = np.nonzero(image[1, 0].any(axis=0))[0], np.nonzero(image[1, 0].any(axis=1))[0]
    assert (columns[0], columns[-1], rows[0], rows[-1]) == (43, 52, 16, 25)
