"""A data_dir in a bucket, tried on TensorFlow's file system in memory: the table is copied once,
and again when it is another one.
"""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from dlib_tf2.datasets import image_table, table_cache
from dlib_tf2.datasets.loading import load, prepare
from dlib_tf2.datasets.renderers import sprites
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.system.paths import as_path
from tests.datasets.conftest import INFO

SOURCE = f"rendered_sprites/small/{sprites.DRAWING.version}"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of all copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dlib_tf2" / "ram"


def put(address, content):
    tf.io.gfile.makedirs(os.path.dirname(address))
    if tf.io.gfile.exists(address):
        tf.io.gfile.remove(address)
    with tf.io.gfile.GFile(address, "wb") as file:
        file.write(content)


@pytest.fixture
def remote(tmp_path):
    """A folder in a bucket with a large and a small file."""
    address = f"ram://{tmp_path.name}/table"
    put(f"{address}/images.npy", bytes(2_000_000))
    put(f"{address}/table.json", b"{}")
    put(f"{address}/.lock", b"")
    return as_path(address)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "copy").mkdir()
    return tmp_path / "copy"


def test_a_folder_is_copied_once_and_again_where_its_source_changed(remote, folder, capsys):
    table_cache.fetch(remote, folder)
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == {
        "images.npy": 2_000_000,
        "table.json": 2,
    }
    assert f"{remote}: copying 2 MB to {folder}, once\n" in capsys.readouterr().err
    table_cache.fetch(remote, folder)
    assert capsys.readouterr().err == ""
    put(f"{remote}/images.npy", b"\1" * 2_000_000)  # of the same size: only the small file can tell
    put(f"{remote}/table.json", b"[]")
    table_cache.fetch(remote, folder)
    assert (folder / "images.npy").read_bytes() == b"\1" * 2_000_000
    assert (folder / "table.json").read_bytes() == b"[]"


def test_a_truncated_copy_is_made_again(remote, folder):
    table_cache.fetch(remote, folder)
    (folder / "images.npy").write_bytes(bytes(1_000_000))
    table_cache.fetch(remote, folder)
    assert (folder / "images.npy").stat().st_size == 2_000_000


def test_a_copy_that_comes_short_is_refused_and_leaves_nothing(remote, folder, monkeypatch):
    size = type(remote).stat(remote / "images.npy")
    monkeypatch.setattr(type(remote), "stat", lambda path: size._replace(st_size=3_000_000))
    monkeypatch.setattr(table_cache, "_SMALL", 0)
    with pytest.raises(
        DlibError,
        match=r"images.npy has 3,000,000 bytes, only 2,000,000 were copied; run the same",
    ):
        table_cache.fetch(remote, folder)
    assert list(folder.iterdir()) == []


def test_too_small_a_disk_is_said_before_anything_is_copied(remote, folder, monkeypatch):
    monkeypatch.setattr(
        table_cache.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1_000_000})
    )
    with pytest.raises(DlibError, match="copying 2 MB to .*: only 1 MB are free; .*XDG_CACHE_HOME"):
        table_cache.fetch(remote, folder)
    assert list(folder.iterdir()) == []


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    expected = pathlib.Path.home() / ".cache" / "dlib_tf2" / "gs" / "bucket" / "data"
    assert table_cache.local_folder(as_path("gs://bucket/data")) == expected


@pytest.fixture(scope="module")
def data_bucket(data_dir):
    """A data_dir in a bucket: the table of a dataset, as it was prepared locally."""
    for path in (data_dir / "dlib_tables" / SOURCE).iterdir():
        if not path.name.startswith("."):
            put(f"ram://data-bucket/data/dlib_tables/{SOURCE}/{path.name}", path.read_bytes())
    return "ram://data-bucket/data"


def test_a_dataset_is_opened_from_a_bucket(data_bucket, data_dir, cache, capsys, monkeypatch):
    data = load("rendered_sprites/small", data_bucket)
    assert np.array_equal(data.table, load("rendered_sprites/small", data_dir).table)
    assert {
        path.name for path in (cache / "data-bucket" / "data" / "dlib_tables" / SOURCE).iterdir()
    } == {
        "images.npy",
        "table.json",
        ".lock",
    }
    assert "copying 151 MB" in capsys.readouterr().err
    monkeypatch.setenv("TFDS_DATA_DIR", data_bucket)
    assert np.array_equal(load("rendered_sprites/small").table, data.table)
    assert capsys.readouterr().err == ""


def test_older_versions_are_named_in_the_bucket_and_in_the_cache(
    tmp_path, cache, synthetic_rows, capsys
):
    bucket = f"ram://{tmp_path.name}/versions"
    put(f"{bucket}/synthetic/tiny/0.9.0/dataset_info.json", b"{}")
    put(f"{bucket}/dlib_tables/synthetic/tiny/0.9.0/table.json", b"{}")
    folder = image_table.table_folder(as_path(bucket), INFO.source)
    (folder.parent / "0.9.0").mkdir(parents=True)
    image_table.open_or_build(folder, INFO, synthetic_rows, data_dir=as_path(bucket))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "pictures changed" in line]
    older = [f"{bucket}/dlib_tables/synthetic/tiny/0.9.0", f"{bucket}/synthetic/tiny/0.9.0"]
    assert line.endswith(
        f"may be deleted: {', '.join(sorted([*older, str(folder.parent / '0.9.0')]))}"
    )


@pytest.mark.parametrize("opening", [load, prepare])
def test_a_download_is_not_prepared_in_a_bucket_but_copied_there(data_bucket, cache, opening):
    with pytest.raises(
        UserError,
        match=(
            rf"not prepared in {data_bucket}; run dlib_prepare_data .* --data_dir=DIR .* copy all"
            rf" .* to {data_bucket}"
        ),
    ):
        opening("dsprites_full", data_bucket)


@pytest.fixture
def tfds_knows_ram(monkeypatch):
    """TFDS opens folders through etils, which knows gs:// but not ram://."""
    from etils.epath import backend, gpath, register

    monkeypatch.setattr(gpath, "_URI_PREFIXES", (*gpath._URI_PREFIXES, "ram://"))
    monkeypatch.setattr(gpath, "_URI_SCHEMES", gpath._URI_SCHEMES | {"ram"})
    monkeypatch.setitem(gpath._URI_MAP_ROOT, "ram://", "/ram/")
    monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, "ram", backend.tf_backend)
    monkeypatch.setitem(register._URI_PREFIXES_TO_CLS, "ram://", gpath.PosixGPath)


@pytest.mark.slow
def test_records_are_read_from_the_bucket_itself(data_bucket, data_dir, cache, tfds_knows_ram):
    for path in (data_dir / SOURCE).iterdir():
        put(f"{data_bucket}/{SOURCE}/{path.name}", path.read_bytes())
    data = load("rendered_sprites/small", data_bucket)
    batch = next(iter(data.record_batches(8, seed=0)))
    assert batch["image"].shape == (8, 64, 64, 1)
    local = next(iter(load("rendered_sprites/small", data_dir).record_batches(8, seed=0)))
    assert np.array_equal(batch["image"], local["image"])
    assert not (cache / "data-bucket" / "data" / "rendered_sprites").exists()
