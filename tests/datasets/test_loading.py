"""`load`: names by file, and one clear line for what does not exist."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from dlib_tf2.datasets import image_table, load, loading
from dlib_tf2.errors import UserError
from tests.datasets.conftest import INFO

REPO = pathlib.Path(__file__).parents[2]


def test_names_are_files():
    assert "rendered_sprites" in loading.known_names()


@pytest.mark.parametrize(
    "name, text",
    [
        (
            "rendered_sprite/small",
            (
                r"unknown dataset 'rendered_sprite'; known: .*rendered_sprites.*; did you mean"
                r" rendered_sprites\?"
            ),
        ),
        ("__init__", "unknown dataset '__init__'; known: "),
        ("../loading", r"unknown dataset '\.\.'"),
        (
            "rendered_sprites/smal",
            (
                r"unknown config of rendered_sprites 'smal'; known: full, small; did you mean"
                r" small\?"
            ),
        ),
    ],
)
def test_unknown_names_are_one_line(name, text):
    with pytest.raises(UserError, match=text) as caught:
        load(name, "/nonexistent")
    assert "\n" not in str(caught.value)


def test_data_dir_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError,
        match="/file is a file, not a folder; choose another data_dir",
    ):
        load("rendered_sprites/small", tmp_path / "file")


def test_a_mistyped_data_dir_is_not_created_for_a_downloaded_set(tmp_path):
    with pytest.raises(
        UserError,
        match=(
            "dsprites_full is not prepared in .*/typo, which does not exist; run: dlib_prepare_data"
            " --data"
        ),
    ):
        load("dsprites_full", tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_a_data_dir_that_is_created_is_one_line(tmp_path, synthetic_rows, capsys):
    line = f"the data folder {tmp_path / 'new'} does not exist and is created\n"
    for expected in (1, 0):
        image_table.open_or_build(
            image_table.table_folder(tmp_path / "new", INFO.source), INFO, synthetic_rows
        )
        assert capsys.readouterr().err.count(line) == expected


def test_data_dir_comes_from_the_environment(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert load("rendered_sprites/small").space.size == 36_864


def test_rendered_sprites_small(data_dir):
    dataset = load("rendered_sprites/small", data_dir)
    assert dataset.name == "rendered_sprites/small"
    assert dataset.observation_shape == (64, 64, 1)
    assert dataset.scale == 1
    assert (
        dataset.visible
        == dataset.space.names
        == ("shape", "scale", "orientation", "x_position", "y_position")
    )
    index = np.array([0, 36_863, 20_000])
    np.testing.assert_array_equal(
        dataset.visible_factors(index), [[0, 0, 0, 0, 0], [2, 5, 7, 15, 15], [1, 3, 6, 2, 0]]
    )
    images = dataset.images(index)
    assert images.dtype == np.uint8
    assert images.shape == (3, 64, 64, 1)
    assert images[0].sum() == 100  # the smallest square
    with pytest.raises(ValueError, match="index 36864 in row 0 is outside the grid"):
        dataset.images(np.array([36_864]))


@pytest.mark.parametrize("name", ["own_images", "own_arrays"])
def test_own_data_is_first_met_after_the_configuration_is_locked(name, tmp_path):
    # As in dlib_postprocess: gin is finalised, and the dataset is known by its name alone. Only a
    # new process has not met it yet.
    code = (
        "import gin; from dlib_tf2.datasets import load; gin.parse_config([]); gin.finalize();"
        f" load('{name}/robot', '{tmp_path}')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "UserError" in result.stderr  # it is not there, and that is all
    assert "locked" not in result.stderr


def test_every_dataset_has_a_gin_file():
    assert {path.stem for path in (REPO / "gin_configs" / "datasets").glob("*.gin")} == set(
        loading.known_names()
    )


def test_a_config_that_does_not_exist_is_refused_before_the_work(tmp_path):
    with pytest.raises(UserError, match="cars3d has no configs, got cars3d/foo; write cars3d"):
        loading.prepare("cars3d/foo", tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())
