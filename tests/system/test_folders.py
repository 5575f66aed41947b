"""Output folders: claimed, held and overwritten without touching what is not ours."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.system import folders, locks
from dlib_tf2.system.folders import (
    MARKER,
    Written,
    claim_folder,
    exactly,
    hold_folder,
    refuse_foreign,
)
from dlib_tf2.system.locks import LOCK

DRAWN = Written(exactly("a.png"), step="pictures")
WRITTEN = Written(
    {
        **exactly("results.json"),
        "drawn": DRAWN,
        "checkpoints": Written({r"step-\d+\.index": None}),
        **exactly("identity.json"),
    },
    leftovers=(r"\.net\.\d+\.keras",),
)
KEPT = [MARKER, LOCK]


def tree(folder):
    """Every path below a folder with its content, to show that nothing was touched."""
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def hold(folder, **options):
    """Holds a folder for a moment, as the step of these tests."""
    with hold_folder(folder, "train", WRITTEN, **options) as held:
        return held


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def ours(tmp_path):
    """A folder of ours that holds an earlier run."""
    folder = hold(tmp_path / "ours")
    write(folder / "results.json", "{}")
    write(folder / "identity.json", "{}")
    write(folder / "checkpoints" / "step-1.index", "1")
    write(claim_folder(folder / "drawn", "pictures") / "a.png", "p")
    return folder


def test_a_new_folder_is_marked_and_an_empty_one_and_ours_are_accepted(tmp_path, ours):
    assert (hold(tmp_path / "new" / "deep") / MARKER).is_file()
    (tmp_path / "empty").mkdir()
    assert (hold(str(tmp_path / "empty")) / MARKER).is_file()
    before = tree(ours)
    assert hold(ours) == ours
    assert before.pop(LOCK) == f"process {os.getpid()} on {os.uname().nodename}\n"
    assert {name: text for name, text in tree(ours).items() if name != LOCK} == before


def test_a_finished_folder_is_not_written_to_again(ours, monkeypatch):
    monkeypatch.setattr(
        folders,
        "atomic_write",
        lambda *arguments: pytest.fail("a folder that is read-only can still be opened"),
    )
    times = {path: path.stat().st_mtime_ns for path in ours.rglob("*")}
    hold(ours)
    assert {path: path.stat().st_mtime_ns for path in ours.rglob("*")} == times


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_refused_and_untouched(tmp_path, overwrite):
    folder = tmp_path / "thesis"
    write(folder / "sub" / "text", "years of work")
    before = tree(folder)
    for check in (
        lambda path: refuse_foreign(path, "train"),
        lambda path: hold(path, overwrite=overwrite),
    ):
        with pytest.raises(
            UserError,
            match=(
                r"holds files that dlib_tf2 did not write \(no \.dlib_tf2 in it\); choose another"
                r" folder"
            ),
        ):
            check(folder)
    assert tree(folder) == before


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below"])
def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        UserError, match="file is a file, not a folder; choose another output folder"
    ):
        hold(tmp_path / name, overwrite=True)
    assert tree(tmp_path) == {"file": "x"}


def test_a_folder_of_a_run_that_was_killed_before_its_marker_was_there_is_ours(
    tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        # the process ends here, without clean-up
        patched.setattr(os, "replace", lambda *names: os._exit(9))
        if (child := os.fork()) == 0:
            hold(tmp_path / "run")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert sorted(tree(tmp_path / "run")) == [f".{MARKER}.{child}.tmp", LOCK]
    hold(tmp_path / "run")
    assert sorted(tree(tmp_path / "run")) == KEPT


def test_overwrite_deletes_what_the_step_wrote_and_leaves_marker_and_lock(ours):
    lock = (ours / LOCK).stat().st_ino
    hold(ours, overwrite=True)
    assert sorted(tree(ours)) == KEPT
    assert (ours / LOCK).stat().st_ino == lock


USERS = (
    *(
        "my.keras",
        "notes.txt",
        "pictures/mine/a.png",
        "results.json.bak",
        "identity.json.old",
        "drawn/notes.txt",
    ),
    *("checkpoints/notes.txt", "checkpoints/step-1.index.bak", "checkpoints/mine/step-1.index"),
    *("results/results.json", ".results.json.mine.tmp", ".notes.12.tmp", ".net.mine.keras"),
)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_the_step_did_not_write_stays_whatever_the_marker_says(ours, overwrite):
    marker = {"about": "", "step": "train", "writes": ["*", *USERS], "holds": ["train", "evaluate"]}
    (ours / MARKER).write_text(json.dumps(marker))
    write(claim_folder(ours / "scores", "evaluate") / "results.json")
    for name in USERS:
        write(ours / name, "years of work")
    hold(ours, overwrite=overwrite)
    now = tree(ours)
    assert {name for name, text in now.items() if text == "years of work"} == set(USERS)
    assert now["scores/results.json"] == "x"
    assert ("checkpoints/step-1.index" in now, "drawn/a.png" in now, "results.json" in now) == (
        not overwrite,
    ) * 3
    assert f"drawn/{MARKER}" in now, "a folder with a user's file in it stays ours"


def test_a_folder_inside_without_the_steps_marker_is_not_ours(ours):
    (ours / "drawn" / MARKER).write_text(json.dumps({"step": "evaluate"}))
    hold(ours, overwrite=True)
    assert (ours / "drawn" / "a.png").read_text() == "p"


def test_a_deletion_goes_from_what_says_that_all_is_there_to_what_says_whose_it_is(
    ours, monkeypatch
):
    unlink, gone = pathlib.Path.unlink, []

    def watched(path, *arguments, **others):
        gone.append(path.name)
        unlink(path, *arguments, **others)

    monkeypatch.setattr(pathlib.Path, "unlink", watched)
    hold(ours, overwrite=True)
    assert gone == ["results.json", "a.png", MARKER, "step-1.index", "identity.json"]


@pytest.mark.parametrize("moment", range(5))
def test_a_deletion_that_is_killed_is_finished_by_the_same_command(ours, monkeypatch, moment):
    write(ours / "checkpoints" / "notes.txt", "years of work")
    unlink, left = pathlib.Path.unlink, [moment]

    def deadly(path, *arguments, **others):
        if not left[0]:
            os._exit(9)
        left[0] -= 1
        unlink(path, *arguments, **others)

    with monkeypatch.context() as patched:
        patched.setattr(pathlib.Path, "unlink", deadly)
        if (child := os.fork()) == 0:
            hold(ours, overwrite=True)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (ours / "identity.json").exists(), "until the checkpoints are gone"
    hold(ours, overwrite=True)
    assert sorted(tree(ours)) == [*KEPT, "checkpoints", "checkpoints/notes.txt"]


def test_overwrite_deletes_links_not_what_they_point_to(tmp_path, ours):
    write(tmp_path / "thesis" / "step-1.index", "years of work")
    (ours / "checkpoints" / "step-1.index").unlink()
    (ours / "checkpoints").rmdir()
    (ours / "checkpoints").symlink_to(tmp_path / "thesis")
    (ours / "results.json").unlink()
    (ours / "results.json").symlink_to(tmp_path / "thesis" / "step-1.index")
    hold(ours, overwrite=True)
    assert sorted(tree(ours)) == KEPT
    assert tree(tmp_path / "thesis") == {"step-1.index": "years of work"}


def test_a_link_to_a_folder_of_ours_stays_a_link(tmp_path, ours):
    (tmp_path / "link").symlink_to(ours)
    hold(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert sorted(tree(ours)) == KEPT


def test_a_link_to_a_foreign_folder_is_refused(tmp_path):
    write(tmp_path / "thesis" / "text", "years of work")
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    with pytest.raises(UserError, match="did not write"):
        hold(tmp_path / "link", overwrite=True)
    assert tree(tmp_path / "thesis") == {"text": "years of work"}


@pytest.mark.parametrize("here", ["", "checkpoints"])
def test_overwrite_refuses_the_current_folder_and_those_above_it(ours, monkeypatch, here):
    monkeypatch.chdir(ours / here)
    before = tree(ours)
    for name in (ours, os.path.relpath(ours)):
        with pytest.raises(UserError, match=r"--overwrite would delete .* which is in use"):
            hold(name, overwrite=True)
    assert tree(ours) == before
    hold(ours)  # without --overwrite it may be used


def test_overwrite_refuses_to_delete_the_input_of_the_step(ours):
    before = tree(ours)
    for kept in (ours, ours / "checkpoints"):
        with pytest.raises(UserError, match=f"--overwrite would delete {kept}"):
            hold(ours, overwrite=True, keep=[kept])
    assert tree(ours) == before
    hold(ours, overwrite=True, keep=[ours.parent, ours.with_name("ours_too")])
    assert sorted(tree(ours)) == KEPT


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_another_step_is_refused_even_unfinished(ours, overwrite):
    (ours / "results.json").unlink()
    before = tree(ours)
    for claim in (
        refuse_foreign,
        claim_folder,
        lambda *names: hold_folder(*names, WRITTEN, overwrite).__enter__(),
    ):
        with pytest.raises(
            UserError,
            match="holds the results of the step 'train', not of 'posterior'; choose another",
        ):
            claim(ours, "posterior")
    assert tree(ours) == before


def test_what_cannot_be_deleted_is_one_line(ours, monkeypatch):
    def busy(path, *arguments, **others):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))

    monkeypatch.setattr(pathlib.Path, "unlink", busy)
    with pytest.raises(
        DlibError,
        match=r"cannot delete .*results.json: .*busy; delete it yourself or choose another folder",
    ):
        hold(ours, overwrite=True)
    assert (ours / MARKER).is_file()


LEFTOVERS = (
    ".results.json.4194304.tmp",
    f".{MARKER}.12.tmp",
    "checkpoints/.step-3.index.9.tmp",
    "drawn/.a.png.7.tmp",
    ".net.12.keras",
)


@pytest.mark.parametrize("overwrite", [False, True])
def test_temporary_files_of_a_process_that_was_killed_go_with_the_next_start(ours, overwrite):
    for name in LEFTOVERS:
        write(ours / name)
    hold(ours, overwrite=overwrite)
    assert not [name for name in tree(ours) if name.endswith(".tmp") or name.startswith(".net")]
    assert ("results.json" in tree(ours)) != overwrite


HOLDER = """
import sys, time
from dlib_tf2.system.folders import Written, hold_folder
with hold_folder(sys.argv[1], "train", Written({})):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_where_another_process_works_is_refused_untouched_until_it_is_killed(
    ours, overwrite, monkeypatch
):
    monkeypatch.setattr(locks, "_SECONDS", 0.1)
    write(ours / LEFTOVERS[0])
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, ours], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        before = tree(ours)
        assert locks.is_locked(ours)
        message = (
            rf"another process is at work in .*ours \(process {other.pid} on \S+\); wait for it to"
            r" end, or choose another folder"
        )
        with pytest.raises(UserError, match=message):
            hold(ours, overwrite=overwrite)
        assert tree(ours) == before
        other.send_signal(signal.SIGKILL)
    assert not locks.is_locked(ours)
    hold(ours, overwrite=overwrite)


def test_a_file_system_without_locks_is_used_without_them(ours, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with hold_folder(ours, "train", WRITTEN, overwrite=True):
        assert not locks.is_locked(ours)
    assert sorted(tree(ours)) == KEPT
