"""dlib_prepare_data as a command: one line per dataset, files from a folder or a server, rerun
free, two at once.
"""

import dataclasses
import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from dlib_tf2.datasets import downloaded, image_table, load, loading
from dlib_tf2.datasets.families import mpi3d
from dlib_tf2.errors import DlibError, UserError
from tests.datasets import fakes

REPO = pathlib.Path(__file__).parents[2]

# The command in a process in which the grids are small.
SMALL = """
import sys
from tests.datasets import fakes
from dlib_tf2.datasets.families import mpi3d
sys.argv = ["dlib_prepare_data", *sys.argv[2:]]
path = f"{__import__('os').getcwd()}/bin/dlib_prepare_data"
code = compile(open(path).read(), "bin/dlib_prepare_data", "exec")
with fakes.small_grids() as patch:
    exec(code, {"__name__": "__main__", "__file__": "bin/dlib_prepare_data"})
"""


def start(*arguments):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(REPO)}
    command = [sys.executable, "-c", SMALL, "-", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=REPO,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.slow
def test_two_at_once_from_a_persons_folder_then_free(tmp_path):
    manual, data = tmp_path / "manual", tmp_path / "data"
    manual.mkdir()
    fakes.write_mpi3d(manual, "toy")
    arguments = ("--dataset=mpi3d_toy", f"--data_dir={data}", f"--manual_dir={manual}")
    processes = [start(*arguments), start(*arguments)]
    ends = [finish(process) for process in processes]
    assert [code for code, _, _ in ends] == [0, 0], ends
    for _, out, _ in ends:
        assert out.startswith(
            "mpi3d_toy: 96 images [64, 64, 3], factors object_color, object_shape, "
        )
    assert sum("writing the records 96/96" in err for _, _, err in ends) == 1
    assert sum("building the table 96/96" in err for _, _, err in ends) == 1
    np.testing.assert_array_equal(load("mpi3d_toy", data).table, fakes.mpi3d_images("toy"))


def test_missing_files_are_named_with_address_and_size(run_command, tmp_path):
    code, out, err = run_command(
        "dlib_prepare_data",
        "--dataset=cars3d",
        f"--data_dir={tmp_path}",
        f"--manual_dir={tmp_path}",
    )
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith(
        f"dlib_prepare_data: {tmp_path} lacks 1 of 1 files; put there under these names:"
        " nips2015-analogy-data.tar.gz (at"
    )
    assert last.endswith("from http://www.scottreed.info/files/nips2015-analogy-data.tar.gz")


def test_wrong_flags_are_one_line(run_command, tmp_path):
    code, out, err = run_command("dlib_prepare_data", "--dataset=cars", f"--data_dir={tmp_path}")
    assert (code, out) == (2, "")
    assert err.startswith("dlib_prepare_data: unknown dataset 'cars'; known: abstract_dsprites, ")
    assert "; did you mean cars3d?" in err
    code, _, err = run_command("dlib_prepare_data", "--dataset=cars3d", "--all")
    assert (code, err) == (
        2,
        "dlib_prepare_data: --dataset and --all exclude each other; see dlib_prepare_data --help\n",
    )


@pytest.fixture
def file_server(tmp_path):
    """(folder, address) of a server of files, without ranges."""
    (tmp_path / "served").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path / "served")
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield tmp_path / "served", f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def serve_mpi3d(monkeypatch, address):
    """Lets mpi3d_real come from `address`."""
    file = mpi3d.FILES["real"]
    monkeypatch.setitem(mpi3d.FILES, "real", dataclasses.replace(file, url=f"{address}{file.name}"))


def test_downloads_land_where_tfds_looks_for_files_by_hand(
    file_server, tmp_path, monkeypatch, capsys
):
    folder, address = file_server
    serve_mpi3d(monkeypatch, address)
    fakes.write_mpi3d(folder, "real")
    with fakes.small_grids():
        for _ in range(2):
            downloaded.prepare(mpi3d.recipe("real"), tmp_path / "data")
    assert (tmp_path / "data" / "downloads" / "manual" / "mpi3d_real.npz").read_bytes() == (
        folder / "mpi3d_real.npz"
    ).read_bytes()
    assert capsys.readouterr().err.count("mpi3d/real/1.0.0 is prepared in") == 2
    np.testing.assert_array_equal(
        load("mpi3d_real", tmp_path / "data").table, fakes.mpi3d_images("real")
    )


def test_a_page_in_the_place_of_a_file_binds_nothing(file_server, tmp_path, monkeypatch):
    folder, address = file_server
    serve_mpi3d(monkeypatch, address)
    (folder / "mpi3d_real.npz").write_text("<html>please log in</html>")
    with fakes.small_grids():
        with pytest.raises(DlibError, match="cannot be read .*remove it and get it again"):
            downloaded.prepare(mpi3d.recipe("real"), tmp_path / "data")
        (tmp_path / "data" / "downloads" / "manual" / "mpi3d_real.npz").unlink()
        fakes.write_mpi3d(folder, "real")
        downloaded.prepare(mpi3d.recipe("real"), tmp_path / "data")
    np.testing.assert_array_equal(
        load("mpi3d_real", tmp_path / "data").table, fakes.mpi3d_images("real")
    )


def test_a_file_that_makes_no_table_binds_nothing(file_server, tmp_path, monkeypatch):
    folder, address = file_server
    serve_mpi3d(monkeypatch, address)
    fakes.write_mpi3d(folder, "real")
    record = tmp_path / "data" / "dlib_tables" / "mpi3d" / "real" / "1.0.0" / "sources.json"

    def fail(*_, **__):
        raise image_table.DamagedSource("a grid cell came never")

    with fakes.small_grids():
        with monkeypatch.context() as patch:
            patch.setattr(downloaded.image_table, "open_or_build", fail)
            with pytest.raises(DlibError, match="a grid cell came never"):
                downloaded.prepare(mpi3d.recipe("real"), tmp_path / "data")
        assert not record.exists()
        downloaded.prepare(mpi3d.recipe("real"), tmp_path / "data")
    assert list(json.loads(record.read_text())) == ["mpi3d_real.npz"]


def test_what_a_set_was_prepared_from_binds_a_later_download(file_server, tmp_path, monkeypatch):
    folder, address = file_server
    serve_mpi3d(monkeypatch, address)
    fakes.write_mpi3d(folder, "real")
    data_dir = tmp_path / "data"
    with fakes.small_grids():
        downloaded.prepare(mpi3d.recipe("real"), data_dir)
        shutil.rmtree(data_dir / "mpi3d")
        shutil.rmtree(data_dir / "downloads")
        table = data_dir / "dlib_tables" / "mpi3d" / "real" / "1.0.0"
        (table / "table.json").unlink()
        fakes.write_mpi3d(folder, "real", compress=False)  # the same images in other bytes
        with pytest.raises(DlibError, match=f"or remove {table}/sources.json if this is the right"):
            downloaded.prepare(mpi3d.recipe("real"), data_dir)


def test_one_that_fails_does_not_keep_the_others(tmp_path, capsys):
    (tmp_path / "mpi3d_realistic.npz").write_text("no archive")
    fakes.write_mpi3d(tmp_path, "toy")
    names = ["mpi3d_realistic", "mpi3d_toy"]
    with fakes.small_grids():
        ready = loading.prepare_all(names, tmp_path / "data", tmp_path)
        name, dataset = next(ready)
        assert (name, len(dataset.table)) == ("mpi3d_toy", 96)
        with pytest.raises(
            DlibError,
            match="1 of 2 datasets are not prepared; run the same .*: mpi3d_realistic: .*npz",
        ):
            next(ready)
    assert "mpi3d_realistic is not prepared, going on with the others: " in capsys.readouterr().err


def test_fifty_failures_do_not_stand_in_one_line(tmp_path, capsys, monkeypatch):
    names = [f"set{number}" for number in range(50)]
    monkeypatch.setattr(loading, "_recipes", lambda name: ())

    def fail(name, data_dir):
        raise DlibError("is broken")

    monkeypatch.setattr(loading, "load", fail)
    text = (
        "50 of 50 datasets are not prepared; .*: set0: is broken; set1: is broken; set2: is broken;"
        " and 47 more$"
    )
    with pytest.raises(DlibError, match=text):
        list(loading.prepare_all(names, tmp_path))
    assert capsys.readouterr().err.count("going on with the others: is broken\n") == 50


def test_missing_files_of_all_are_said_before_any_is_prepared(tmp_path):
    fakes.write_mpi3d(tmp_path, "toy")
    with (
        fakes.small_grids(),
        pytest.raises(UserError, match="lacks 2 of 3 files; .*hdf5.*The_Scream.jpg"),
    ):
        next(loading.prepare_all(["mpi3d_toy", "scream_dsprites"], tmp_path / "data", tmp_path))
    assert not (tmp_path / "data" / "dlib_tables").exists()


def test_what_a_killed_preparation_left_is_removed(tmp_path):
    fakes.write_mpi3d(tmp_path, "toy")
    left = tmp_path / "data" / "mpi3d" / "toy" / "incomplete.ABCDEF_1.0.0"
    left.mkdir(parents=True)
    (left / "half.tfrecord").write_bytes(b"x" * 100)
    with fakes.small_grids():
        loading.prepare("mpi3d_toy", tmp_path / "data", tmp_path)
    assert [path.name for path in left.parent.iterdir()] == ["1.0.0"]


def test_what_several_sets_need_is_summed(tmp_path, capsys):
    recipes = [mpi3d.recipe("toy"), mpi3d.recipe("real"), mpi3d.recipe("toy")]
    needs = downloaded.plan(recipes, tmp_path / "new", None)
    one = recipes[0]
    assert needs == downloaded.Needs(
        2 * one.files()[0].at_most, 2 * one.record_bytes, 2 * one.table_bytes
    )
    with pytest.raises(
        DlibError,
        match=(
            r"all: needs about 1000000.0 GB under .*\(1000000.0 GB for the table, and a.mat, whose"
            r" size is not"
        ),
    ):
        downloaded.Needs(table=10**15, unknown=("a.mat",)).check("all", tmp_path / "new")
    downloaded.Needs(download=1500).check("all", tmp_path / "new")
    assert "all: needs about 2 kB under" in capsys.readouterr().err
