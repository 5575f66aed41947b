"""The image table: built once, whole or absent, opened only when it is what it should be."""

import dataclasses
import errno
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from dlib_tf2.datasets import FactorSpace, image_table
from dlib_tf2.errors import DlibError, UserError
from tests.datasets.conftest import INFO, synthetic_images

REPO = pathlib.Path(__file__).parents[2]


def refuse():
    raise AssertionError("a sound table was built again")


def test_rows_in_any_order_end_in_grid_order(tmp_path, synthetic_rows, capsys):
    table = image_table.open_or_build(tmp_path / "t", INFO, synthetic_rows)
    np.testing.assert_array_equal(table, synthetic_images(np.arange(24)))
    assert not table.flags.writeable
    text = capsys.readouterr().err
    assert re.search(r"needs \d+ kB under", text)
    assert "building the table 24/24" in text
    assert sorted(os.listdir(tmp_path / "t")) == [".lock", "images.npy", "table.json"]


def test_opening_again_builds_nothing_and_needs_no_write_access(
    tmp_path, synthetic_rows, monkeypatch
):
    built = image_table.open_or_build(tmp_path, INFO, synthetic_rows)
    monkeypatch.setattr(image_table, "own_turn", refuse)
    opened = image_table.open_or_build(tmp_path, INFO, refuse)
    np.testing.assert_array_equal(opened, built)
    assert isinstance(opened.base, np.memmap)


def test_what_a_killed_build_left_is_replaced(tmp_path, synthetic_rows):
    (tmp_path / ".images.npy.tmp").write_bytes(b"x" * 5000)
    np.testing.assert_array_equal(
        image_table.open_or_build(tmp_path, INFO, synthetic_rows), synthetic_images(np.arange(24))
    )
    assert sorted(os.listdir(tmp_path)) == [".lock", "images.npy", "table.json"]


def truncate(folder):
    with open(folder / "images.npy", "r+b") as file:
        file.truncate(1000)


def lengthen(folder):
    with open(folder / "images.npy", "ab") as file:
        file.write(b"x")


def foreign_array(folder):
    np.save(folder / "images.npy", np.zeros((24, 5, 6, 3), np.int8))


def foreign_metadata(folder):
    (folder / "table.json").write_text(json.dumps({**INFO.to_json(), "source": "other/tiny/1.0.0"}))


def no_metadata(folder):
    (folder / "table.json").unlink()


def not_an_array(folder):
    (folder / "images.npy").write_bytes(b"hello")


@pytest.mark.parametrize(
    "damage, text",
    [
        (truncate, r"images.npy has 1,000 bytes, expected 2,288; building the table again"),
        (lengthen, r"images.npy has 2,289 bytes, expected 2,288; building the table again"),
        (
            foreign_array,
            r"images.npy holds int8 \[24, 5, 6, 3\], expected uint8 \[24, 5, 6, 3\]; building",
        ),
        (foreign_metadata, r"table.json describes another dataset; building"),
        (no_metadata, r"cannot be read \(.*table.json.*\); building"),
        (not_an_array, r"cannot be read \(.*magic.*\); building"),
    ],
)
def test_a_damaged_or_foreign_table_is_said_and_built_again(
    tmp_path, synthetic_rows, capsys, damage, text
):
    image_table.open_or_build(tmp_path, INFO, synthetic_rows)
    capsys.readouterr()
    damage(tmp_path)
    table = image_table.open_or_build(tmp_path, INFO, synthetic_rows)
    np.testing.assert_array_equal(table, synthetic_images(np.arange(24)))
    lines = [line for line in capsys.readouterr().err.splitlines() if "again" in line]
    assert len(lines) == 1
    assert re.search(text, lines[0])


@pytest.mark.parametrize(
    "batches, text",
    [
        (
            [range(24), [7, 7, 9]],
            r"2 grid cells came more than once \(such as colour=0, size=1, place=3\)",
        ),
        ([range(20)], r"4 grid cells came never \(such as colour=1, size=2, place=0\)"),
        (
            [[*range(23), 0]],
            (
                r"1 grid cells came more than once .* and 1 grid cells came never \(such as"
                r" colour=1, size=2, place=3\)"
            ),
        ),
        ([range(25)], r"index 24 in row 24 is outside the grid; its range is 0..23"),
        ([[-1]], r"index -1 in row 0"),
    ],
)
def test_duplicate_and_uncovered_cells_are_counted_and_leave_nothing(tmp_path, batches, text):
    rows = [(synthetic_images(list(index)), np.array(index)) for index in batches]
    with pytest.raises(DlibError, match=text):
        image_table.open_or_build(tmp_path, INFO, lambda: rows)
    assert os.listdir(tmp_path) == [".lock"]


@pytest.mark.parametrize(
    "images", [np.zeros((24, 5, 6, 1), np.uint8), np.zeros((24, 5, 6, 3), np.float32)]
)
def test_wrong_shape_and_dtype_are_refused(tmp_path, images):
    with pytest.raises(DlibError, match=r"expected uint8 images \[24, 5, 6, 3\], got"):
        image_table.open_or_build(tmp_path, INFO, lambda: [(images, np.arange(24))])


def test_too_little_space_is_said_before_anything_is_written(tmp_path):
    space = FactorSpace(("a", "b"), (10**6, 10**6))
    info = dataclasses.replace(INFO, space=space, shape=(64, 64, 1))
    with pytest.raises(
        DlibError,
        match=r"needs 4096000.0 GB under .* are free; free some space or choose another data_dir",
    ):
        image_table.open_or_build(tmp_path, info, refuse)


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, synthetic_rows, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    image_table.open_or_build(tmp_path, INFO, synthetic_rows)
    before = (tmp_path / "images.npy").read_bytes()
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        DlibError, match="No space left on device: .*; free space or choose another data_dir"
    ) as caught:
        image_table.open_or_build(
            tmp_path, dataclasses.replace(INFO, source="other/tiny/1.0.0"), synthetic_rows
        )
    assert caught.value.exit_code == 1
    assert (tmp_path / "images.npy").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == [".lock", "images.npy", "table.json"]


def test_a_data_dir_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError,
        match=(
            "cannot prepare synthetic/tiny/1.0.0: Not a directory: .*/file/t; change its"
            " permissions or choose another data_dir"
        ),
    ):
        image_table.open_or_build(tmp_path / "file" / "t", INFO, refuse)


PREPARE = """
import pathlib, sys, time
import numpy as np
from dlib_tf2.datasets import image_table
from tests.datasets.conftest import INFO, synthetic_images

folder = pathlib.Path(sys.argv[1])

def rows():
    (folder / f"started{sys.argv[2]}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    yield synthetic_images(np.arange(24)), np.arange(24)

table = image_table.open_or_build(folder / "t", INFO, rows)
assert (table == synthetic_images(np.arange(24))).all()
"""


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the other process did not get there"
        time.sleep(0.01)


def test_two_processes_prepare_at_once_and_one_waits(tmp_path):
    def start(number):
        with open(tmp_path / f"err{number}", "w") as log:
            return subprocess.Popen(
                [sys.executable, "-c", PREPARE, str(tmp_path), number], stderr=log, cwd=REPO
            )

    first = start("1")
    wait_for((tmp_path / "started1").exists)
    second = start("2")
    wait_for(lambda: "another process is preparing it; waiting" in (tmp_path / "err2").read_text())
    (tmp_path / "go").touch()
    assert first.wait(60) == 0
    assert second.wait(60) == 0
    assert not (tmp_path / "started2").exists(), "the one that waited built the table again"


def test_the_room_opens_tables_without_tensorflow():
    code = (
        "import sys, dlib_tf2.datasets, dlib_tf2.datasets.named.rendered_sprites;"
        " sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPO, check=False).returncode == 0
