"""Checksums of tables: made while a table is built, compared on demand, added where an older
version made none.
"""

import hashlib
import json
import shutil
import zlib

import numpy as np
import pytest

from dlib_tf2.datasets import checksums, image_table, table_check
from dlib_tf2.errors import DlibError, UserError
from tests.datasets.conftest import INFO, SPACE, synthetic_images


@pytest.fixture
def folder(tmp_path, synthetic_rows, monkeypatch):
    """A built table of 24 rows with a block of checksums for each four of them."""
    monkeypatch.setattr(checksums, "_BLOCK_BYTES", 4 * 90 + 3)
    folder = image_table.table_folder(tmp_path / "data", INFO.source)
    image_table.open_or_build(folder, INFO, synthetic_rows)
    return folder


def about(folder):
    return json.loads((folder / "table.json").read_text())


def opened(folder):
    """The table, opened and not built."""
    return image_table.open_or_build(folder, INFO, lambda: pytest.fail("it is built again"))


def flip(folder, *rows):
    """Changes one bit in the middle of each row; neither size nor header tell."""
    with open(folder / "images.npy", "r+b") as file:
        for row in rows:
            file.seek(128 + 90 * row + 45)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))


def make_older(folder):
    """What an older version wrote: a table without checksums."""
    (folder / "table.json").write_text(
        json.dumps({key: value for key, value in about(folder).items() if key != "checksums"})
    )


def test_blocks_are_hashes_of_their_rows_in_grid_order(folder):
    sums = [
        zlib.crc32(image.tobytes()).to_bytes(4, "little")
        for image in synthetic_images(np.arange(24))
    ]
    expected = [
        hashlib.sha256(b"".join(sums[first : first + 4])).hexdigest() for first in range(0, 24, 4)
    ]
    assert about(folder)["checksums"] == {"rows": 4, "sha256": expected}


def test_no_row_is_read_again_to_make_them(tmp_path, synthetic_rows, monkeypatch):
    counts, of_rows = [], checksums.of_rows
    monkeypatch.setattr(
        checksums, "of_rows", lambda images: counts.append(len(images)) or of_rows(images)
    )
    image_table.open_or_build(tmp_path, INFO, synthetic_rows)
    assert counts == [5, 1, 11, 7]


def test_a_sound_table_is_verified(folder):
    assert table_check.verify(folder)
    with pytest.raises(FileNotFoundError):
        table_check.verify(folder / "none")


@pytest.mark.parametrize(
    "rows, text",
    [
        ([10], "rows 8..11 have changed since it was built"),
        ([0, 3, 23], "rows 0..3; 20..23 have changed"),
        ([0, 4, 8, 12, 20], "rows 0..3; 4..7; 8..11; and 2 more have changed"),
    ],
)
def test_a_damaged_table_opens_and_is_found_on_demand(folder, rows, text):
    flip(folder, *rows)
    table = opened(folder)
    remedy = (
        f"; run: dlib_prepare_data --dataset=tiny --data_dir={folder.parents[3]}, which builds it"
        " again"
    )
    with pytest.raises(
        table_check.DamagedTable, match=f"^{folder}/images.npy is damaged: {text}"
    ) as caught:
        table_check.row_sums(table, "tiny")
    assert str(caught.value).endswith(remedy)
    with pytest.raises(table_check.DamagedTable, match=text):
        table_check.verify(folder)


def test_the_size_of_a_block_is_that_of_the_table(folder, monkeypatch):
    monkeypatch.setattr(checksums, "_BLOCK_BYTES", 90)
    assert table_check.verify(folder)
    flip(folder, 10)
    with pytest.raises(table_check.DamagedTable, match="rows 8..11 have changed"):
        table_check.verify(folder)


def test_a_damaged_table_is_built_again(folder, synthetic_rows, capsys):
    assert table_check.renew(opened(folder), "tiny")
    flip(folder, 10)
    assert not table_check.renew(opened(folder), "tiny")
    assert (
        f"{folder}/images.npy is damaged: rows 8..11 have changed since it was built; it"
        " is built again\n" in capsys.readouterr().err
    )
    table = image_table.open_or_build(folder, INFO, synthetic_rows)
    np.testing.assert_array_equal(table, synthetic_images(np.arange(24)))
    assert table_check.verify(folder)


def test_a_table_of_an_older_version_opens_and_gets_checksums(folder, capsys):
    expected = about(folder)
    make_older(folder)
    assert not table_check.verify(folder)
    assert table_check.renew(opened(folder), "tiny", complete=False)
    assert "checksums" not in about(folder)
    capsys.readouterr()
    assert table_check.renew(opened(folder), "tiny")
    line = (
        f"{folder}: an older version built this table, without checksums; those of its bytes as"
        " they are now were added\n"
    )
    assert capsys.readouterr().err == line
    assert about(folder) == expected
    assert table_check.renew(opened(folder), "tiny")
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_is_verified_and_said(folder, monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(folder))

    make_older(folder)
    for module in (image_table, table_check):
        monkeypatch.setattr(module, "own_turn", refuse)
    assert table_check.renew(opened(folder), "tiny")
    assert "without checksums, and they cannot be added (" in capsys.readouterr().err
    shutil.copy(folder / "images.npy", folder / "copy")
    table = opened(folder)
    (folder / "table.json").write_text(
        json.dumps({**about(folder), "checksums": {"rows": 4, "sha256": ["0"] * 6}})
    )
    with pytest.raises(
        UserError, match=f"cannot write {folder}: Permission denied; change its permissions"
    ):
        table_check.renew(table, "tiny")


def test_checksums_never_stand_beside_other_images(folder, synthetic_rows, monkeypatch):
    """A build that dies between its two files leaves no table, rather than new images with old
    checksums.
    """

    def dies(*_):
        raise DlibError("killed")

    monkeypatch.setattr(image_table, "atomic_write", dies)
    with pytest.raises(DlibError, match="killed"):
        image_table._build(folder, INFO, synthetic_rows())
    assert not (folder / "table.json").exists()
    monkeypatch.undo()
    image_table.open_or_build(folder, INFO, synthetic_rows)
    assert table_check.verify(folder)


def test_arrays_from_elsewhere_have_sums_and_nothing_to_compare(tmp_path):
    np.save(tmp_path / "images.npy", synthetic_images(np.arange(24)))
    for table in (
        np.load(tmp_path / "images.npy", mmap_mode="r"),
        np.load(tmp_path / "images.npy"),
    ):
        sums = table_check.row_sums(np.asarray(table), "mine")
        assert sums.tolist() == [
            zlib.crc32(image.tobytes()) for image in synthetic_images(np.arange(SPACE.size))
        ]
        assert table_check.renew(np.asarray(table), "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["images.npy"]
