"""Atomic writes under every failure."""

import errno
import os
import resource

import pytest

from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.system import files
from dlib_tf2.system.files import atomic_write


def tree(folder):
    """Every path below a folder with its content, to show that nothing was touched."""
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def test_atomic_write_makes_folders_and_leaves_only_the_file(tmp_path):
    with atomic_write(tmp_path / "a" / "b" / "text", "w") as file:
        file.write("grün")
    with atomic_write(tmp_path / "a" / "b" / "bytes") as file:
        file.write(b"\x00\xff")
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["bytes", "text"]
    assert (tmp_path / "a" / "b" / "text").read_bytes() == "grün".encode()
    assert (tmp_path / "a" / "b" / "bytes").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), UserError("mine")])
def test_an_exception_in_the_block_passes_and_the_old_file_stays(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def write():
        with atomic_write(path, "w") as file:
            file.write("half")
            raise error

    with pytest.raises(type(error)) as caught:
        write()
    assert caught.value is error
    assert tree(tmp_path) == {"file": "old"}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_the_old_file_stays(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_text("old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(DlibError) as caught, atomic_write(path, "w") as file:
        file.write("new")
    assert (
        str(caught.value)
        == f"cannot write {path}: No space left on device; free space or choose another folder"
    )
    assert caught.value.exit_code == 1
    assert tree(tmp_path) == {"file": "old"}


def test_a_write_that_the_system_cuts_short_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with (
            pytest.raises(DlibError, match=r"cannot write .*file: File too large"),
            atomic_write(path) as file,
        ):
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_system_that_is_full(small_disk):
    path = small_disk / "file"
    path.write_bytes(b"old")
    with (
        pytest.raises(DlibError, match="No space left on device; free space"),
        atomic_write(path) as file,
    ):
        file.write(bytes(5_000_000))
    assert path.read_bytes() == b"old"
    assert [path.name for path in small_disk.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(DlibError, match=r"cannot write .*: (Not a directory|File exists)"),
        atomic_write(tmp_path / "file" / "new"),
    ):
        pytest.fail("the block must not run")


def test_the_folder_is_flushed_after_the_rename(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(
        files,
        "sync_folder",
        lambda folder: flushed.append((folder, (tmp_path / "file").read_text())),
    )
    with atomic_write(tmp_path / "file", "w") as file:
        file.write("new")
    assert flushed == [(tmp_path, "new")]
