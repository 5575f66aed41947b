"""Datasets of one's own: images with a CSV, and arrays, by gin alone; what does not fit is one
clear line.
"""

import csv
import json
import os

import gin
import numpy as np
import pytest
from PIL import Image

from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets import FactorSpace, load
from dlib_tf2.errors import DlibError, UserError

SIZES = {"colour": 2, "size": 3, "place": 4}


@pytest.fixture(autouse=True)
def no_gin_left():
    yield
    gin.clear_config()


def picture(index):
    """An RGB image 64 x 64 that names its grid point."""
    pixels = np.full((64, 64, 3), 10 * index, np.uint8)
    pixels[:8, :8] = 255
    return pixels


def define(kind, **bindings):
    lines = [f"{kind}.{name} = {value!r}" for name, value in bindings.items()]
    gin_utils.parse([f"datasets/{kind}.gin"], lines)


def write_images(folder, indices=range(24), name="own_images/robot", **bindings):
    """Images and CSV of some grid points, in reverse order, defined in gin."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "factors.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["place", "file", "colour", "size"])
        for index in reversed(indices):
            colour, size, place = np.unravel_index(index, tuple(SIZES.values()))
            Image.fromarray(picture(index)).save(folder / f"{index}.png")
            rows.writerow([place, f"{index}.png", colour, size])
    define("own_images", folder=str(folder), factors=SIZES, **bindings)
    return name


def write_arrays(folder, images=None, sizes=(2, 3, 4), name="own_arrays/robot", **bindings):
    folder.mkdir(parents=True, exist_ok=True)
    images = np.stack([picture(index) for index in range(24)]) if images is None else images
    np.save(folder / "images.npy", images)
    np.save(folder / "sizes.npy", np.array(sizes))
    define(
        "own_arrays",
        images=str(folder / "images.npy"),
        factor_sizes=str(folder / "sizes.npy"),
        **bindings,
    )
    return name


def test_images_are_in_grid_order_whatever_the_order_of_the_csv(tmp_path):
    dataset = load(write_images(tmp_path / "images", hidden=["size"]), tmp_path)
    assert dataset.space.names == ("colour", "size", "place")
    assert dataset.visible == ("colour", "place")
    np.testing.assert_array_equal(
        dataset.images(np.arange(24)), np.stack([picture(index) for index in range(24)])
    )


def test_later_commands_need_no_gin_file_and_not_even_the_folder(tmp_path):
    write_images(tmp_path / "images")
    load("own_images/robot", tmp_path)
    gin.clear_config()
    (tmp_path / "images").rename(tmp_path / "gone")
    dataset = load("own_images/robot", tmp_path)
    np.testing.assert_array_equal(dataset.images(np.array([17]))[0], picture(17))
    with pytest.raises(
        UserError,
        match=(
            "own_images/other is not defined yet under .*; give the gin file that sets own_images"
        ),
    ):
        load("own_images/other", tmp_path)
    with pytest.raises(
        UserError, match="own_arrays/default is not defined yet under .*own_arrays.gin"
    ):
        load("own_arrays", tmp_path)


def test_a_changed_csv_is_read_again(tmp_path):
    load(write_images(tmp_path / "images"), tmp_path)
    text = (tmp_path / "images" / "factors.csv").read_text()
    swapped = (
        text.replace(",0.png,", ",last.png,").replace(",23.png,", ",0.png,").replace("last", "23")
    )
    (tmp_path / "images" / "factors.csv").write_text(swapped)
    assert (
        load("own_images/robot", tmp_path).images(np.array([23])).tobytes() == picture(0).tobytes()
    )


def test_incomplete_grids_train_and_are_scored_on_rows(tmp_path):
    there = [3, 5, 8, 20]
    dataset = load(write_images(tmp_path / "images", there), tmp_path)
    np.testing.assert_array_equal(dataset.table_index(), there)
    ((images, index),) = dataset.table_batches(10).as_numpy_iterator()
    np.testing.assert_array_equal(index, there)
    np.testing.assert_array_equal(images, dataset.images(np.array(there)))
    np.testing.assert_array_equal(
        dataset.visible_factors(index), [[0, 0, 3], [0, 1, 1], [0, 2, 0], [1, 2, 0]]
    )
    drawn = {
        int(batch["image"][0, 20, 20, 0]) for batch in dataset.train_batches(1, seed=0).take(60)
    }
    assert drawn == {10 * index for index in there}
    assert set(dataset.sample_index(np.random.default_rng(0), 100)) == set(there)
    text = (
        r"own_images/robot is an incomplete grid: 4 of 24 grid points have an image, colour=0,"
        r" size=1, place=0 has none; use only"
    )
    with pytest.raises(UserError, match=text):
        dataset.images(np.array([3, 4]))


@pytest.mark.parametrize(
    "before, after, text",
    [
        (
            "place,file",
            "plaice,file",
            r"factors.csv lacks columns 'place'; expected file, colour, size, place",
        ),
        (
            "size\n",
            "size,weight\n",
            r"factors.csv has unknown columns 'weight'; expected file, colour, size, place",
        ),
        ("3,23.png,1,2\n", "3,23.png,1\n", r"factors.csv, line 2: 'size' is missing"),
        ("3,23.png,1,2\n", "3,,1,2\n", r"factors.csv, line 2: 'file' is missing"),
        (
            "3,23.png,1,2\n",
            "3,23.png,1,3\n",
            r"factors.csv, line 2: size is '3'; its range is 0..2",
        ),
        (
            "3,23.png,1,2\n",
            "-1,23.png,1,2\n",
            r"factors.csv, line 2: place is '-1'; its range is 0..3",
        ),
        ("3,23.png,1,2\n", "red,23.png,1,2\n", r"factors.csv, line 2: place is 'red'"),
        (
            "3,23.png,1,2\n",
            "2,23.png,1,2\n",
            r"lines 2 and 3 have the same factors \(colour=1, size=2, place=2\)",
        ),
        (
            "3,23.png,1,2\n",
            "3,23.png,1,2,7\n",
            r"factors.csv, line 2: 5 values for 4 columns; quote a value that holds a comma",
        ),
        (
            "file,colour,size\n",
            "file,colour,size,colour\n",
            r"factors.csv, line 1 has column 'colour' more than once; rename",
        ),
        (
            "3,23.png,1,2\n",
            '3,"' + 200_000 * "x" + "\n",
            r"factors.csv, line 2 is no CSV \(field larger than .*; look for a quote",
        ),
        (
            "3,23.png,1,2\n",
            "3,24.png,1,2\n",
            r"1 of 24 images of factors.csv do not exist, such as .*24.png",
        ),
    ],
)
def test_a_csv_that_does_not_fit(tmp_path, before, after, text):
    write_images(tmp_path / "images")
    path = tmp_path / "images" / "factors.csv"
    content = path.read_text().replace("\r\n", "\n")
    assert before in content
    path.write_text(content.replace(before, after, 1))
    with pytest.raises(UserError, match=text) as caught:
        load("own_images/robot", tmp_path)
    assert "\n" not in str(caught.value)


def test_an_empty_or_missing_csv(tmp_path):
    write_images(tmp_path / "images")
    path = tmp_path / "images" / "factors.csv"
    path.write_text("file,colour,size,place\n")
    with pytest.raises(UserError, match="factors.csv holds no image"):
        load("own_images/robot", tmp_path)
    path.write_text("")
    with pytest.raises(UserError, match="lacks columns 'colour', 'file', 'place', 'size'"):
        load("own_images/robot", tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is not UTF-8 text"):
        load("own_images/robot", tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"cannot read .*factors.csv \(No such file or directory\)"):
        load("own_images/robot", tmp_path)


def test_images_that_do_not_fit(tmp_path):
    write_images(tmp_path / "images")
    path = tmp_path / "images" / "7.png"
    Image.fromarray(picture(7)[:32]).save(path)
    with pytest.raises(
        UserError,
        match=(
            r"7.png is \[32, 64, 3\], .*0.png is \[64, 64, 3\] \(height, width, channels\); all"
            r" must be alike"
        ),
    ):
        load("own_images/robot", tmp_path)
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(path)
    with pytest.raises(
        UserError, match="7.png has the pixel format I;16; expected 8-bit grey or RGB"
    ):
        load("own_images/robot", tmp_path)
    path.write_bytes((tmp_path / "images" / "8.png").read_bytes()[:100])
    with pytest.raises(DlibError, match="7.png cannot be read as an image"):
        load("own_images/robot", tmp_path)
    assert not (tmp_path / "dlib_tables" / "own_images" / "robot" / "images.npy").exists()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_refused_and_opaque_ones_are_not(tmp_path, mode):
    write_images(tmp_path / "images")
    path = tmp_path / "images" / "7.png"
    opaque = (
        Image.fromarray(picture(7)).quantize(2)
        if mode == "P"
        else Image.fromarray(picture(7)).convert("RGBA")
    )
    if mode == "P":
        opaque.save(path)
    else:
        opaque.convert(mode).convert("RGBA").save(path)
    dataset = load("own_images/robot", tmp_path)
    np.testing.assert_array_equal(dataset.images(np.array([7]))[0], picture(7))
    if mode == "P":
        opaque.save(path, transparency=opaque.getpixel((30, 30)))
    else:
        opaque.putalpha(
            Image.fromarray(
                np.where(np.arange(64) < 9, 0, 255).astype(np.uint8)[None].repeat(64, 0)
            )
        )
        opaque.convert(mode).save(path)
    with open(tmp_path / "images" / "factors.csv", "a") as file:
        file.write("\n")  # another content: the images are read again
    with pytest.raises(
        UserError,
        match="7.png has transparent pixels, whose colour is not defined; put it on a background",
    ):
        load("own_images/robot", tmp_path)


def test_what_has_not_changed_is_not_written_again(tmp_path):
    load(write_images(tmp_path / "images"), tmp_path)
    folder = tmp_path / "dlib_tables" / "own_images" / "robot"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    load("own_images/robot", tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert "cells.npy" in before


@pytest.mark.parametrize(
    "name",
    [
        "../../../escape",
        "../../../escape/{kind}/x",
        "{kind}/x",
        "a/b",
        "a/",
        "..",
        ".hidden",
        "a b",
        "a\n",
    ],
)
@pytest.mark.parametrize("kind", ["own_images", "own_arrays"])
def test_a_name_stays_in_its_folder(tmp_path, kind, name):
    write = {"own_images": write_images, "own_arrays": write_arrays}[kind]
    write(tmp_path / "source")
    with pytest.raises(UserError, match=f"{kind}/NAME: NAME may hold letters"):
        load(f"{kind}/{name.format(kind=kind)}", tmp_path / "data" / "inner")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "bindings, text",
    [
        (
            {"factors": {"colour": 4.5}},
            (
                "own_images.factors: the number of values of 'colour' must be a whole number .*,"
                " got 4.5"
            ),
        ),
        (
            {"factors": {"colour": "4"}},
            "number of values of 'colour' must be a whole number of at least 1, got '4'",
        ),
        (
            {"factors": {"colour": True}},
            "number of values of 'colour' must be a whole number of at least 1, got True",
        ),
        (
            {"factors": {"size": 3, "colour": 0}},
            "number of values of 'colour' must be a whole number of at least 1, got 0",
        ),
        ({"factors": SIZES, "folder": 5}, "own_images.folder must be text in quotes, got 5"),
        ({"factors": SIZES, "table": 5}, "own_images.table must be text in quotes, got 5"),
        (
            {"factors": SIZES, "file_column": 5},
            "own_images.file_column must be text in quotes, got 5",
        ),
        (
            {"factors": [4, 3]},
            r"own_images.factors must be \{name: number of values\}, .* got \[4, 3\]",
        ),
        ({"factors": {1: 4}}, r"own_images.factors must be .* got \{1: 4\}"),
        (
            {"factors": SIZES, "hidden": "size"},
            r"own_images.hidden must be a list of names, such as \['size'\], got 'size'",
        ),
    ],
)
def test_kinds_in_gin_that_do_not_fit(tmp_path, bindings, text):
    define("own_images", **{"folder": str(tmp_path), **bindings})
    with pytest.raises(UserError, match=text):
        load("own_images/robot", tmp_path)


@pytest.mark.parametrize("size", [4.5, 4.0, "4"])
def test_a_grid_takes_whole_numbers_only(size):
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        FactorSpace(("colour",), (size,))


@pytest.mark.parametrize(
    "bindings, text",
    [
        ({"images": 5}, "own_arrays.images must be text in quotes, got 5"),
        (
            {"factor_sizes": [2, 3, 4]},
            r"own_arrays.factor_sizes must be text in quotes, got \[2, 3, 4\]",
        ),
        ({"factor_names": "abc"}, "own_arrays.factor_names must be a list of names, .*, got 'abc'"),
        ({"hidden": "factor_0"}, "own_arrays.hidden must be a list of names, .*, got 'factor_0'"),
    ],
)
def test_kinds_of_arrays_in_gin_that_do_not_fit(tmp_path, bindings, text):
    define("own_arrays", **{"images": "images.npy", "factor_sizes": "sizes.npy", **bindings})
    with pytest.raises(UserError, match=text):
        load("own_arrays/robot", tmp_path)


def test_binary_images_in_uint8_are_refused(tmp_path):
    write_arrays(tmp_path, np.random.default_rng(0).integers(0, 2, (24, 64, 64), dtype=np.uint8))
    with pytest.raises(
        UserError,
        match=r"holds only 0 and 1, but white is 255 in uint8; save images.astype\(bool\)",
    ):
        load("own_arrays/robot", tmp_path)


def test_arrays_that_became_binary_are_refused_without_the_gin_file_too(tmp_path):
    load(write_arrays(tmp_path), tmp_path)
    gin.clear_config()
    images = np.ones((24, 64, 64), np.uint8)
    np.save(tmp_path / "images.npy", images)
    with pytest.raises(UserError, match="holds only 0 and 1"):
        load("own_arrays/robot", tmp_path)
    images[-1, -1, -1] = 2  # grey by its last pixel
    np.save(tmp_path / "images.npy", images)
    assert load("own_arrays/robot", tmp_path).scale == 255


def test_factors_that_make_no_grid(tmp_path):
    write_images(tmp_path / "images", hidden=["colour", "weight"])
    with pytest.raises(
        UserError,
        match=(
            r"own_images.hidden = \['colour', 'weight'\] has no factor weight; the factors are"
            r" colour"
        ),
    ):
        load("own_images/robot", tmp_path)
    define("own_images", folder=str(tmp_path), factors=SIZES, hidden=list(SIZES))
    with pytest.raises(UserError, match="leaves no factor to score"):
        load("own_images/robot", tmp_path)
    define("own_images", folder=str(tmp_path), factors={})
    with pytest.raises(
        UserError,
        match=(
            "expected one size per factor name, got 0 names and 0 sizes; correct its gin bindings"
        ),
    ):
        load("own_images/robot", tmp_path)


def test_arrays_are_mapped_not_copied(tmp_path):
    dataset = load(write_arrays(tmp_path, factor_names=list(SIZES), hidden=["place"]), tmp_path)
    assert dataset.space.names == tuple(SIZES)
    assert dataset.visible == ("colour", "size")
    assert isinstance(dataset.table.base.base, np.memmap) or isinstance(
        dataset.table.base, np.memmap
    )
    gin.clear_config()
    np.testing.assert_array_equal(
        load("own_arrays/robot", tmp_path).images(np.array([5]))[0], picture(5)
    )
    definition = json.loads(
        (tmp_path / "dlib_tables" / "own_arrays" / "robot" / "definition.json").read_text()
    )
    assert os.path.isabs(definition["images"])


def test_binary_and_grey_arrays(tmp_path):
    masks = np.random.default_rng(0).random((24, 64, 64)) > 0.5
    dataset = load(write_arrays(tmp_path, masks), tmp_path)
    assert (dataset.scale, dataset.observation_shape) == (1, (64, 64, 1))
    assert dataset.space.names == ("factor_0", "factor_1", "factor_2")
    np.testing.assert_array_equal(dataset.images(np.arange(24))[..., 0], masks.astype(np.uint8))


@pytest.mark.parametrize(
    "images, sizes, text",
    [
        (
            np.zeros((23, 64, 64), np.uint8),
            (2, 3, 4),
            r"holds 23 images, the sizes \[2, 3, 4\] make 24 grid points; arrays must be whole",
        ),
        (
            np.zeros((24, 64, 64), np.float32),
            (2, 3, 4),
            r"expected uint8 or bool \[n, h, w\] .* got float32 \[24, 64, 64\]; convert it",
        ),
        (
            np.asfortranarray(np.zeros((24, 6, 6), np.uint8)),
            (2, 3, 4),
            "in Fortran order; convert it",
        ),
        (np.zeros((24, 64), np.uint8), (2, 3, 4), r"got uint8 \[24, 64\]"),
        (np.zeros((24, 0, 0), np.uint8), (2, 3, 4), r"got uint8 \[24, 0, 0\]"),
        (np.array([{}] * 24), (2, 3, 4), "images.npy cannot be read"),
        (
            np.zeros((24, 64, 64), np.uint8),
            (2.0, 3.0, 4.0),
            r"sizes.npy: expected integers .k. of at least 1",
        ),
        (
            np.zeros((24, 64, 64), np.uint8),
            (0, 24),
            r"sizes.npy: expected integers .k. of at least 1",
        ),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, images, sizes, text):
    write_arrays(tmp_path, images, sizes)
    with pytest.raises(UserError, match=text):
        load("own_arrays/robot", tmp_path)


def test_truncated_and_missing_arrays(tmp_path):
    write_arrays(tmp_path)
    content = (tmp_path / "images.npy").read_bytes()
    (tmp_path / "images.npy").write_bytes(content[:1000])
    with pytest.raises(UserError, match="own_arrays.images .*images.npy cannot be read"):
        load("own_arrays/robot", tmp_path)
    (tmp_path / "images.npy").unlink()
    with pytest.raises(
        UserError, match="own_arrays.images .*images.npy does not exist; correct the path"
    ):
        load("own_arrays/robot", tmp_path)
