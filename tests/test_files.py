"""Atomic writes under every failure, and folders that are claimed, overwritten or refused without touching what is not ours."""

import errno
import os
import pathlib
import resource

import pytest

from dlib_tf2 import files
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.files import MARKER, atomic_write, claim_folder, refuse_foreign


def tree(folder):
    """Every path below a folder with its content, to show that nothing was touched."""
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def claim(folder, **options):
    """Claims a folder for the step of these tests."""
    return claim_folder(folder, "train", ["results.json", "checkpoints", "to_*"], ["pictures"], **options)


@pytest.fixture
def ours(tmp_path):
    """A folder of ours that holds an earlier run."""
    folder = claim(tmp_path / "ours")
    (folder / "results.json").write_text("{}")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step-1.index").write_text("1")
    return folder


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
    assert str(caught.value) == f"cannot write {path}: No space left on device; free space or choose another folder"
    assert caught.value.exit_code == 1
    assert tree(tmp_path) == {"file": "old"}


def test_a_write_that_the_system_cuts_short_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(DlibError, match=r"cannot write .*file: File too large"), atomic_write(path) as file:
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_system_that_is_full(small_disk):
    path = small_disk / "file"
    path.write_bytes(b"old")
    with pytest.raises(DlibError, match="No space left on device; free space"), atomic_write(path) as file:
        file.write(bytes(5_000_000))
    assert path.read_bytes() == b"old"
    assert [path.name for path in small_disk.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DlibError, match=r"cannot write .*: (Not a directory|File exists)"), atomic_write(tmp_path / "file" / "new"):
        pytest.fail("the block must not run")


def test_the_folder_is_flushed_after_the_rename(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(files, "sync_folder", lambda folder: flushed.append((folder, (tmp_path / "file").read_text())))
    with atomic_write(tmp_path / "file", "w") as file:
        file.write("new")
    assert flushed == [(tmp_path, "new")]


def test_claiming_marks_a_new_folder_and_accepts_an_empty_one_and_ours(tmp_path, ours):
    assert (claim(tmp_path / "new" / "deep") / MARKER).is_file()
    (tmp_path / "empty").mkdir()
    assert (claim(str(tmp_path / "empty")) / MARKER).is_file()
    before = tree(ours)
    assert claim(ours) == ours
    assert tree(ours) == before


def test_a_finished_folder_is_not_written_to_again(ours, monkeypatch):
    monkeypatch.setattr(files, "atomic_write", lambda *arguments: pytest.fail("a folder that is read-only can still be opened"))
    claim(ours)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_refused_and_untouched(tmp_path, overwrite):
    folder = tmp_path / "thesis"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "text").write_text("years of work")
    before = tree(folder)
    for check in (lambda path: refuse_foreign(path, "train"), lambda path: claim(path, overwrite=overwrite)):
        with pytest.raises(UserError, match=r"holds files that dlib_tf2 did not write \(no \.dlib_tf2 in it\); choose another folder"):
            check(folder)
    assert tree(folder) == before


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below"])
def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="file is a file, not a folder; choose another output folder"):
        claim(tmp_path / name, overwrite=True)
    assert tree(tmp_path) == {"file": "x"}


def test_a_folder_of_a_run_that_was_killed_before_its_marker_was_there_is_ours(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *names: os._exit(9))  # the process ends here, without clean-up
        if (child := os.fork()) == 0:
            claim(tmp_path / "run")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len(list((tmp_path / "run").iterdir())) == 1
    assert (claim(tmp_path / "run") / MARKER).is_file()


def test_overwrite_empties_our_folder_but_keeps_its_marker_to_the_end(ours, monkeypatch):
    unlink, marked = pathlib.Path.unlink, []

    def watched(path, *arguments, **others):
        unlink(path, *arguments, **others)
        marked.append((ours / MARKER).is_file())

    monkeypatch.setattr(pathlib.Path, "unlink", watched)
    claim(ours, overwrite=True)
    assert list(tree(ours)) == [MARKER]
    assert marked
    assert all(marked)


def test_overwrite_deletes_links_not_what_they_point_to(tmp_path, ours):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("years of work")
    (ours / "to_folder").symlink_to(tmp_path / "thesis")
    (ours / "to_file").symlink_to(tmp_path / "thesis" / "text")
    claim(ours, overwrite=True)
    assert list(tree(ours)) == [MARKER]
    assert tree(tmp_path / "thesis") == {"text": "years of work"}


def test_a_link_to_a_folder_of_ours_stays_a_link(tmp_path, ours):
    (tmp_path / "link").symlink_to(ours)
    claim(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert list(tree(ours)) == [MARKER]


def test_a_link_to_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("years of work")
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    with pytest.raises(UserError, match="did not write"):
        claim(tmp_path / "link", overwrite=True)
    assert tree(tmp_path / "thesis") == {"text": "years of work"}


@pytest.mark.parametrize("here", ["", "checkpoints"])
def test_overwrite_refuses_the_current_folder_and_those_above_it(ours, monkeypatch, here):
    monkeypatch.chdir(ours / here)
    before = tree(ours)
    for name in (ours, os.path.relpath(ours)):
        with pytest.raises(UserError, match=r"--overwrite would delete .* which is in use"):
            claim(name, overwrite=True)
    assert tree(ours) == before
    claim(ours)  # without --overwrite it may be used


def test_overwrite_refuses_to_delete_the_input_of_the_step(ours):
    before = tree(ours)
    for kept in (ours, ours / "checkpoints"):
        with pytest.raises(UserError, match=f"--overwrite would delete {kept}"):
            claim(ours, overwrite=True, keep=[kept])
    assert tree(ours) == before
    claim(ours, overwrite=True, keep=[ours.parent, ours.with_name("ours_too")])
    assert list(tree(ours)) == [MARKER]


@pytest.mark.parametrize("place", ["notes.txt", "mythesis/chapter.tex", "drawn/notes.txt", "scores/scores.json"])
def test_overwrite_refuses_what_the_step_did_not_write(ours, place):
    claim_folder(ours / "drawn", "pictures", ["*.png"])
    (ours / "drawn" / "a.png").write_text("p")
    if place.startswith("scores"):
        claim_folder(ours / "scores", "evaluate", ["scores.json"])
    (ours / place).parent.mkdir(exist_ok=True)
    (ours / place).write_text("years of work")
    before = tree(ours)
    with pytest.raises(UserError, match=r"--overwrite would delete .*, which this step did not write; move it away"):
        claim(ours, overwrite=True)
    assert tree(ours) == before
    (ours / place).unlink()


def test_overwrite_takes_the_folders_that_belong_to_the_step(ours):
    claim_folder(ours / "drawn", "pictures", ["*.png"])
    (ours / "drawn" / "a.png").write_text("p")
    claim(ours, overwrite=True)
    assert list(tree(ours)) == [MARKER]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_another_step_is_refused_even_unfinished(ours, overwrite):
    (ours / "results.json").unlink()
    before = tree(ours)
    with pytest.raises(UserError, match="holds the results of the step 'train', not of 'posterior'; choose another"):
        claim_folder(ours, "posterior", ["*"], overwrite=overwrite)
    with pytest.raises(UserError, match="not of 'posterior'"):
        refuse_foreign(ours, "posterior")
    assert tree(ours) == before


def test_what_cannot_be_deleted_is_one_line(ours, monkeypatch):
    def busy(path):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))

    monkeypatch.setattr(files.shutil, "rmtree", busy)
    with pytest.raises(DlibError, match=r"cannot delete .*checkpoints: .*busy; delete .* yourself"):
        claim(ours, overwrite=True)
    assert (ours / MARKER).is_file()
