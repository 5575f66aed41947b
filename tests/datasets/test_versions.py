"""A new version of a dataset is made anew, and says which data of older ones may be deleted."""

import dataclasses

import numpy as np
import pytest

from dlib_tf2.datasets import downloaded, image_table, load, loading
from dlib_tf2.datasets.versions import change_line
from tests.datasets import fakes
from tests.datasets.conftest import INFO
from tests.datasets.test_rendered_sprites import use_tiny_grid

NAME = "rendered_sprites/small"


def folder_of(*parts):
    folder = parts[0].joinpath(*parts[1:])
    folder.mkdir(parents=True)
    (folder / "kept").write_text("old")
    return folder


def lines(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if "pictures changed" in line]


def test_older_tables_and_records_are_named_once_and_kept(tmp_path, monkeypatch, capsys):
    use_tiny_grid(monkeypatch)
    older = [folder_of(tmp_path, "dlib_tables", NAME, "1.0.0"), folder_of(tmp_path, NAME, "1.0.0")]
    load(NAME, tmp_path)
    assert lines(capsys) == [
        f"{NAME}: its pictures changed (version 1.0.0 -> 2.0.0) and are made again; "
        f"the older data is no longer used and may be deleted: {older[0]}, {older[1]}"
    ]
    assert all((folder / "kept").read_text() == "old" for folder in older)
    load(NAME, tmp_path)
    load("color_rendered_sprites/small", tmp_path)
    assert lines(capsys) == []


def test_a_new_table_of_the_same_or_an_older_version_says_nothing(tmp_path, synthetic_rows, capsys):
    for name in ("1.0.0", "1.0.1", "3.0.0", "incomplete.X_0.9.0", "lost"):
        folder_of(tmp_path, "synthetic", "tiny", name)
    folder = image_table.table_folder(tmp_path, INFO.source)
    image_table.open_or_build(folder, INFO, synthetic_rows, data_dir=tmp_path)
    assert lines(capsys) == []


def test_versions_are_compared_as_numbers_and_listed_oldest_first(tmp_path):
    older = [folder_of(tmp_path, name) for name in ("0.9.0", "2.9.1", "10.0.0")]
    line = change_line("set/full/10.0.1", [tmp_path, tmp_path, tmp_path / "nowhere"])
    assert "(version 0.9.0, 2.9.1, 10.0.0 -> 10.0.1)" in line
    assert line.endswith(": " + ", ".join(map(str, older)))
    assert change_line("set/full/0.9.0", [tmp_path]) == ""


def test_a_downloaded_dataset_names_its_older_versions_too(tmp_path, capsys):
    fakes.write_mpi3d(tmp_path, "toy")
    with fakes.small_grids():
        loading.prepare("mpi3d_toy", tmp_path / "data", tmp_path)
        assert lines(capsys) == []
        recipe = loading._recipes("mpi3d_toy")[0]
        with pytest.MonkeyPatch.context() as patch:
            from dlib_tf2.datasets.builders.mpi3d import mpi3d_dataset_builder as builders

            patch.setattr(builders.Builder, "VERSION", type(builders.Builder.VERSION)("1.1.0"))

            def info(builder):
                return dataclasses.replace(recipe.info(builder), source="mpi3d/toy/1.1.0")

            newer = dataclasses.replace(recipe, source="mpi3d/toy/1.1.0", info=info)
            downloaded.prepare(newer, tmp_path / "data", tmp_path)
    (line,) = lines(capsys)
    assert "mpi3d/toy: its pictures changed (version 1.0.0 -> 1.1.0)" in line
    table = load("mpi3d_toy", tmp_path / "data").table
    np.testing.assert_array_equal(table, fakes.mpi3d_images("toy"))
