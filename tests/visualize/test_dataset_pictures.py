"""Pictures of datasets: the right images, pixel by pixel; only the named factor varies."""

import pathlib

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dlib_tf2 import datasets
from dlib_tf2.datasets import FactorSpace, GroundTruthDataset, nuisance
from dlib_tf2.errors import UserError
from dlib_tf2.visualize import dataset_pictures

SPACE = FactorSpace(("kind", "object_number", "only", "angle"), (3, 183, 1, 4))


def make(channels=3, scale=255, space=SPACE, dtype=np.uint8, size=(32, 24), cells=None):
    rows = space.size if cells is None else len(cells)
    table = np.random.default_rng(0).integers(0, scale + 1, (rows, *size, channels)).astype(dtype)
    return GroundTruthDataset(
        "synthetic/set", space, space.names[:-1], table, scale, lambda *_: None, cells=cells
    )


@pytest.fixture
def synthetic(monkeypatch):
    dataset = make()
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: dataset)
    return dataset


def places(page, image, zoom=3):
    """Where on the page an image stands, enlarged: (row, column) of each top left pixel."""
    wanted = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    height, width, _ = wanted.shape
    found, first = [], wanted[0].tobytes()
    for y in range(len(page) - height + 1):
        line = page[y].tobytes()
        at = line.find(first)
        while at >= 0:
            x = at // 3
            if np.array_equal(page[y : y + height, x : x + width], wanted):
                found.append((y, x))
            at = line.find(first, at + 1)
    return found


def test_base_lies_in_the_grid_and_keeps_neighbours_apart():
    base = dataset_pictures.base_factors(FactorSpace(tuple("abcdef"), (10, 10, 10, 1, 2, 183)))
    assert base.tolist() == [5, 7, 2, 0, 1, 45]


@pytest.mark.parametrize("factor", range(4))
def test_only_the_named_factor_varies(factor):
    points = dataset_pictures.vary(make(), factor)
    base = dataset_pictures.base_factors(SPACE)
    others = np.delete(np.arange(4), factor)
    np.testing.assert_array_equal(
        points[:, others], np.broadcast_to(base[others], (len(points), 3))
    )
    assert len(points) == min(SPACE.sizes[factor], 10)
    assert points[[0, -1], factor].tolist() == [0, SPACE.sizes[factor] - 1]
    steps = np.diff(points[:, factor])
    assert len(steps) == 0 or (steps.min() >= 1 and np.ptp(steps) <= 1)


def test_files_hold_the_images(synthetic, tmp_path, capsys):
    paths = dataset_pictures.draw("synthetic/set", tmp_path / "pictures")
    assert [path.name for path in paths] == ["factors.png", "samples.png", "factors.gif"]
    assert capsys.readouterr().out.split() == [str(path) for path in paths]
    page = np.asarray(Image.open(paths[0]).convert("RGB"))
    rows = [
        [
            places(page, image)
            for image in synthetic.images(SPACE.to_index(dataset_pictures.vary(synthetic, k)))
        ]
        for k in range(4)
    ]
    tops = sorted({y for row in rows for found in row for y, _ in found})
    assert len(tops) == 4, "one row per factor"
    for top, row in zip(tops, rows, strict=True):
        lefts = [[x for y, x in found if y == top] for found in row]
        assert [len(xs) for xs in lefts] == [1] * len(row), "every value once in the factor's row"
        assert lefts == sorted(lefts), "values go from left to right"
    sheet = np.asarray(Image.open(paths[1]).convert("RGB"))
    assert sum(len(places(sheet, image)) for image in synthetic.table) == 96


@pytest.mark.parametrize("name", ["background_color", "hue_of_the_wall_behind_the_object", "x"])
def test_labels_and_title_are_whole(name, monkeypatch, tmp_path):
    dataset = make(space=FactorSpace((name, "y"), (2, 2)))
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: dataset)
    for path in dataset_pictures.draw("synthetic/set", tmp_path)[:2]:
        page = np.asarray(Image.open(path).convert("L"))
        assert (page[:, :3] == 255).all(), "no letter touches the left edge"
        assert (page[:40, -3:] == 255).all(), "nor, in the title, the right one"


def test_animation_turns_every_factor_once(synthetic, tmp_path):
    frames = dataset_pictures.animation(synthetic)
    assert len(frames) == 3 + 20 + 1 + 4
    assert {frame.shape for frame in frames} == {frames[0].shape}
    base = synthetic.images(SPACE.to_index(dataset_pictures.base_factors(SPACE)[None]))[0]
    zoom = (frames[0].shape[0] - 20) // 32
    assert zoom == 8
    first = frames[0][20::zoom, : 24 * zoom : zoom]
    np.testing.assert_array_equal(first, base)
    # "only" has one value
    np.testing.assert_array_equal(frames[23][20::zoom, : 24 * zoom : zoom], base)
    path = dataset_pictures.draw("synthetic/set", tmp_path)[2]
    with Image.open(path) as animation:
        assert animation.n_frames == 28
        assert animation.size == frames[0].shape[1::-1]
        assert animation.info["loop"] == 0


@pytest.mark.parametrize("cells", [[0, 3, 13, 14, 15, 18, 33, 70], [41]], ids=["some", "one"])
def test_an_incomplete_grid_is_drawn_with_gaps(cells, monkeypatch, tmp_path):
    space = FactorSpace(("a", "b", "c"), (2, 3, 12))
    dataset = make(space=space, cells=np.array(cells))
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: dataset)
    base = dataset_pictures.base_point(dataset)
    paths = dataset_pictures.draw("synthetic/set", tmp_path)
    page, sheet = (np.asarray(Image.open(path).convert("RGB")) for path in paths[:2])
    assert [len(places(sheet, image)) for image in dataset.table] == [1] * len(cells), (
        "every image once"
    )
    expected = np.zeros(len(cells), int)
    gaps = 0
    for factor, size in enumerate(space.sizes):
        points = np.tile(base, (size, 1))
        points[:, factor] = np.arange(size)
        there = np.isin(space.to_index(points), cells)
        expected += np.isin(cells, space.to_index(points))
        gaps += 0 if size > 10 else int((~there).sum())
    assert [len(places(page, image)) for image in dataset.table] == expected.tolist()
    assert len(places(page, np.full((32, 24, 3), 176, np.uint8))) == gaps > 0
    assert len(dataset_pictures.animation(dataset)) == expected.sum()


def test_the_base_of_an_incomplete_grid_has_neighbours():
    space = FactorSpace(("a", "b"), (4, 4))  # wanted is (2, 3), which is not there
    assert dataset_pictures.base_factors(space).tolist() == [2, 3]
    cells = [[0, 0], [0, 1], [0, 2], [2, 2]]
    assert dataset_pictures.base_point(
        make(space=space, cells=space.to_index(np.array(cells)))
    ).tolist() == [0, 2]


@pytest.mark.parametrize(
    "rule", [nuisance.colour(), nuisance.noise(32, 24)], ids=["colour", "noise"]
)
def test_a_nuisance_is_drawn_once_where_one_factor_varies(rule, monkeypatch, tmp_path):
    table = np.zeros((12, 32, 24, 1), np.uint8)
    for row in range(12):
        table[row, 8:20, 8:12] = 1  # what all images share
        table[row, 2 * row : 2 * row + 2, 0] = 1  # and what tells them apart
    space = FactorSpace(("a", "b"), (3, 4))
    dataset = GroundTruthDataset("synthetic/set", space, space.names, table, 1, None, nuisance=rule)
    base = np.round(
        255 * dataset.images(space.to_index(dataset_pictures.base_factors(space)[None]))[0]
    ).astype(np.uint8)
    frames = dataset_pictures.animation(dataset)
    assert len(frames) == 7
    for frame in frames:
        np.testing.assert_array_equal(frame[20 : 20 + 256 : 8, 8 : 24 * 8 : 8], base[:, 1:])
    assert len({frame[20:, :8].tobytes() for frame in frames}) == 6, (
        "the factor still shows; the base point stands twice"
    )
    figures = []
    monkeypatch.setattr(
        dataset_pictures,
        "_figure",
        lambda rows, title, *_: figures.append((rows, title)) or Figure(),
    )
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: dataset)
    dataset_pictures.draw("synthetic/set", tmp_path)
    (rows, title), (sheet, _) = figures
    assert "the nuisance, drawn once" in title
    for image in np.concatenate(rows)[:, ::3, 3::3]:
        np.testing.assert_array_equal(image, base[:, 1:])
    assert len({image[:, 3:].tobytes() for image in np.concatenate(sheet)}) == 12, (
        "in the contact sheet each has its own"
    )


@pytest.mark.parametrize(
    "channels, scale, dtype", [(1, 1, np.uint8), (1, 255, np.uint8), (3, 1, np.float32)]
)
def test_grey_binary_and_float_images(channels, scale, dtype, monkeypatch, tmp_path):
    dataset = make(channels, scale, FactorSpace(("a", "b"), (2, 5)), dtype)
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: dataset)
    paths = dataset_pictures.draw("synthetic/set", tmp_path)
    page = np.asarray(Image.open(paths[1]).convert("RGB"))
    expected = np.broadcast_to(np.round(dataset.table * (255.0 / scale)), (10, 32, 24, 3)).astype(
        np.uint8
    )
    for image in expected:
        assert len(places(page, image)) == 1, "every image of a small grid once"


def test_running_again_replaces_the_pictures(synthetic, tmp_path):
    first = [path.read_bytes() for path in dataset_pictures.draw("synthetic/set", tmp_path)]
    assert [path.read_bytes() for path in dataset_pictures.draw("synthetic/set", tmp_path)] == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".dlib_tf2",
        ".lock",
        "factors.gif",
        "factors.png",
        "samples.png",
    ]


def test_refusals_are_one_line_and_write_nothing(monkeypatch, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    monkeypatch.setattr(datasets, "load", None)  # refused before anything is prepared
    with pytest.raises(UserError, match="holds files that dlib_tf2 did not write"):
        dataset_pictures.draw("synthetic/set", tmp_path)
    two = make(channels=2, space=FactorSpace(("a",), (2,)))
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: two)
    with pytest.raises(
        UserError, match=r"images of two have 2 channels; only 1 \(grey\) or 3 \(RGB\) can be drawn"
    ):
        dataset_pictures.draw("two", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_command_names_the_flags_it_needs(run_command):
    code, out, err = run_command("dlib_visualize_dataset")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "missing required flag --dataset, --output_dir" in err


def test_command_draws_a_prepared_dataset(data_dir, tmp_path, run_command):
    flags = [
        "--dataset=rendered_sprites/small",
        f"--data_dir={data_dir}",
        f"--output_dir={tmp_path / 'pictures'}",
    ]
    code, out, err = run_command("dlib_visualize_dataset", *flags)
    assert (code, err) == (0, "")
    assert [pathlib.Path(line).name for line in out.splitlines()] == [
        "factors.png",
        "samples.png",
        "factors.gif",
    ]
    with Image.open(tmp_path / "pictures" / "factors.gif") as animation:
        assert animation.n_frames == 3 + 6 + 8 + 16 + 16


@pytest.mark.slow
def test_command_takes_the_gin_file_of_a_dataset_of_ones_own(tmp_path, run_command):
    for index in range(4):
        Image.fromarray(np.full((32, 32, 3), 40 + 50 * index, np.uint8)).save(
            tmp_path / f"{index}.png"
        )
    (tmp_path / "factors.csv").write_text(
        "file,colour,size\n" + "".join(f"{i}.png,{i // 2},{i % 2}\n" for i in range(4))
    )
    (tmp_path / "robot.gin").write_text(
        f"import dlib_tf2.datasets.own.images\nown_images.folder = '{tmp_path}'\nown_images.factors"
        " = {'colour': 2, 'size': 3}\n"
    )
    flags = [
        "--dataset=own_images/robot",
        f"--data_dir={tmp_path / 'data'}",
        f"--output_dir={tmp_path / 'pictures'}",
    ]
    gin = [
        f"--gin_config={tmp_path / 'robot.gin'}",
        "--gin_bindings=own_images.factors = {'colour': 2, 'size': 2}",
    ]
    code, out, err = run_command("dlib_visualize_dataset", *flags)
    assert (code, out) == (2, "")
    assert "give the gin file that sets own_images.* with --gin_config" in err
    code, out, _ = run_command("dlib_visualize_dataset", *flags, *gin, "--dry_run")
    assert code == 0
    assert "own_images.factors = {'colour': 2, 'size': 2}" in out
    assert not (tmp_path / "pictures").exists()
    code, out, err = run_command("dlib_visualize_dataset", *flags, *gin)
    assert (code, len(out.splitlines())) == (0, 3), err
    with Image.open(tmp_path / "pictures" / "factors.gif") as animation:
        assert animation.n_frames == 4
