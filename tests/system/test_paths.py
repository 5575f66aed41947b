"""Remote paths on TensorFlow's file system in memory, ram://, which tf.io.gfile reaches as it
reaches gs://: no bucket was used.
"""

import pathlib
import subprocess
import sys

import no_tensorflow
import pytest
import tensorflow as tf

from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.folders import (
    MARKER,
    Written,
    claim_folder,
    exactly,
    hold_folder,
    refuse_foreign,
)
from dlib_tf2.system.paths import RemotePath, as_path, local_copy


@pytest.fixture
def bucket(tmp_path):
    """An address that no other test uses."""
    return as_path(f"ram://{tmp_path.name}/folder")


def write(path, text):
    with atomic_write(path, "w") as file:
        file.write(text)


def tree(folder):
    """Every file below a remote folder."""
    return sorted(
        f"{where}/{name}".removeprefix(f"{folder}/")
        for where, _, names in tf.io.gfile.walk(str(folder))
        for name in names
    )


def test_an_address_stays_one_and_what_is_local_stays_pathlib():
    path = as_path("gs://bucket/runs/") / "one"
    for name in ("a.npz", "a.b.npy", "a", ".a"):
        remote, local = as_path(f"gs://bucket/{name}"), pathlib.Path(name)
        assert (remote.stem, remote.suffix) == (local.stem, local.suffix)
    assert (str(path), path.name, str(path.parent)) == (
        "gs://bucket/runs/one",
        "one",
        "gs://bucket/runs",
    )
    assert [str(parent) for parent in (path / "a").parents] == [
        "gs://bucket/runs/one",
        "gs://bucket/runs",
    ]
    assert as_path(path) == path == as_path("gs://bucket//runs/one")
    assert str(as_path("gs://bucket").parent) == "gs://bucket"
    assert {as_path("gs://bucket/a"), as_path("gs://bucket/a"), as_path("a")} == {
        as_path("gs://bucket/a"),
        pathlib.Path("a"),
    }
    assert type(as_path("a:/b")) is type(as_path("a/b")) is type(pathlib.Path("a"))


@pytest.mark.parametrize("path", ["gs:/bucket/run", pathlib.Path("gs://bucket/run")])
def test_an_address_that_lost_a_slash_is_refused(path):
    with pytest.raises(UserError, match=r"write gs://bucket/run"):
        as_path(path)


def test_naming_an_address_loads_no_tensorflow(tmp_path):
    code = "from dlib_tf2.system.paths import as_path; print(as_path('gs://bucket/x') / 'y')"
    environment = {"PATH": "", **no_tensorflow.environment(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "gs://bucket/x/y\n"


def test_a_remote_file_is_written_replaced_read_and_deleted(bucket):
    path = bucket / "a" / "file"
    write(path, "grün, and long")
    write(path, "short")
    assert path.read_text() == "short"
    assert (path.is_file(), path.is_dir(), bucket.is_dir(), (bucket / "a" / "b").exists()) == (
        True,
        False,
        True,
        False,
    )
    assert path.stat().st_size == 5
    with atomic_write(path) as file:
        file.write(b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    with local_copy(path) as local:
        assert (local.name, local.read_bytes()) == ("file", b"\x00\xff")
    assert not local.exists()
    assert tree(bucket) == ["a/file"]
    path.unlink()
    path.unlink(missing_ok=True)
    assert not path.exists()
    for use in (path.read_bytes, path.unlink, path.stat, lambda: list((bucket / "none").iterdir())):
        with pytest.raises(FileNotFoundError):
            use()


def test_folders_are_listed_and_searched(bucket):
    for name in ("one/results.json", "two/results.json", "two/other", "three/deeper/results.json"):
        write(bucket / name, name)
    assert [path.name for path in bucket.iterdir()] == ["one", "three", "two"]
    assert [str(path) for path in bucket.glob("*/results.json")] == [
        f"{bucket}/one/results.json",
        f"{bucket}/two/results.json",
    ]
    assert [path.name for path in bucket.glob("t*")] == ["three", "two"]
    assert list((bucket / "none").glob("*")) == []


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing(bucket, error):
    def fail():
        with atomic_write(bucket / "file", "w") as file:
            file.write("half")
            raise error

    write(bucket / "file", "old")
    with pytest.raises(type(error)):
        fail()
    assert (tree(bucket), (bucket / "file").read_text()) == (["file"], "old")


def test_an_upload_that_fails_keeps_the_old_file_and_says_what_to_check(bucket, monkeypatch):
    def refused(*arguments, **options):
        raise tf.errors.PermissionDeniedError(None, None, "no storage.objects.create\nmore")

    write(bucket / "file", "old")
    monkeypatch.setattr(tf.io.gfile, "rename", refused)
    with pytest.raises(
        DlibError,
        match=(
            r"cannot use ram://.*/file \(no storage.objects.create\); check the address, .*"
            r" credentials"
        ),
    ):
        write(bucket / "file", "new")
    assert (tree(bucket), (bucket / "file").read_text()) == (["file"], "old")


def test_a_file_system_that_tensorflow_does_not_know_is_a_mistake_of_one_line():
    with pytest.raises(
        UserError,
        match=r"TensorFlow cannot use xyz://bucket/run \(.*\); use gs:// or a mounted folder",
    ):
        refuse_foreign("xyz://bucket/run", "train")


def test_a_remote_folder_is_claimed_and_refused_like_a_local_one(bucket):
    assert isinstance(refuse_foreign(bucket, "train"), RemotePath)
    assert claim_folder(bucket, "train") == bucket
    assert claim_folder(str(bucket), "train") == bucket
    assert tree(bucket) == [MARKER]
    with pytest.raises(UserError, match="results of the step 'train'"):
        refuse_foreign(bucket, "evaluate")
    write(bucket / "results.json", "{}")
    with pytest.raises(UserError, match="is a file, not a folder"):
        refuse_foreign(bucket / "results.json" / "run", "train")
    write(bucket.parent / "foreign" / "thesis", "")
    with pytest.raises(UserError, match="did not write"):
        claim_folder(bucket.parent / "foreign", "train")


def test_overwrite_deletes_what_is_ours_in_a_remote_folder_and_nothing_else(bucket):
    checkpoints = Written({r"step-\d+\.index": None})
    written = Written(
        {**exactly("results.json"), "checkpoints": checkpoints, "summaries": checkpoints}
    )

    def hold(overwrite=True, **options):
        with hold_folder(bucket, "train", written, overwrite, **options) as folder:
            assert folder == bucket

    hold()
    write(bucket / "results.json", "{}")
    write(bucket / "checkpoints" / "step-1.index", "1")
    write(bucket / "summaries" / "step-1.index", "1")
    write(bucket / "checkpoints" / "notes", "mine")
    write(bucket / ".results.json.0123abcd.tmp", "half")
    for keep in (str(bucket), bucket / "checkpoints"):
        with pytest.raises(UserError, match="in use"):
            hold(keep=[keep])
    hold(overwrite=False)  # without locks nobody knows whether whoever writes it is alive
    assert len(tree(bucket)) == 6
    hold(keep=["/tmp", bucket.parent / "other"])
    assert tree(bucket) == [MARKER, "checkpoints/notes"]
    assert not (bucket / "summaries").exists()
