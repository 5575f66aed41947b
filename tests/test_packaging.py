"""An ordinary wheel, built from a clean copy and installed outside the clone, carries everything
the commands need.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "dlib_tf2", "gin_configs", "bin")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        out,
        copy,
    ]
    subprocess.run(build, check=True, cwd=out, timeout=300)
    (path,) = out.glob("dlib_tf2-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("installed")
    # Without --ignore-installed pip would take the clone's own installation out of this
    # environment.
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--ignore-installed",
        "--prefix",
        prefix,
        wheel,
    ]
    subprocess.run(install, check=True, timeout=300)
    return prefix


def run(prefix, folder, *command):
    # The installed copy must come before an editable install of the clone.
    site = sysconfig.get_path("purelib", vars={"base": str(prefix)})
    environment = {**os.environ, "PYTHONPATH": site, "PATH": f"{prefix}/bin:{os.environ['PATH']}"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def tracked(folder, *suffixes):
    return {
        path.relative_to(ROOT)
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and "__pycache__" not in path.parts
    }


def test_wheel_holds_every_module_every_gin_file_and_the_builders_texts(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        str(path)
        for path in tracked("dlib_tf2", ".py", ".md", ".bib", ".txt", ".tsv", ".bash", ".css")
    }
    gin_files = {f"dlib_tf2/{path}" for path in tracked("gin_configs", ".gin")}
    assert len(modules) > 20
    assert len(gin_files) > 5
    assert modules | gin_files <= names
    scripts = {name.rsplit("/", 1)[1] for name in names if "/scripts/" in name}
    assert scripts == {path.name for path in (ROOT / "bin").iterdir()}
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


def test_commands_find_packaged_gin_files_from_any_folder_and_a_local_file_wins(
    installed, tmp_path
):
    command = ("dlib_train", "--gin_config=quickstart.gin", "--model_dir=x", "--dry_run")
    packaged = run(installed, tmp_path, *command)
    assert packaged.returncode == 0, packaged.stderr
    assert "train.steps = %STEPS" in packaged.stdout
    assert "STEPS = 1500" in packaged.stdout
    (tmp_path / "quickstart.gin").write_text("include 'models/beta_vae.gin'\nSTEPS = 77\n")
    local = run(installed, tmp_path, *command)
    assert local.returncode == 0, local.stderr
    assert "STEPS = 77" in local.stdout
    scores = run(
        installed,
        tmp_path,
        "dlib_evaluate",
        "--metrics=mig",
        "--input_dir=x",
        "--output_dir=y",
        "--dry_run",
    )
    assert scores.returncode == 0, scores.stderr
    assert "mig.num_train = 10000" in scores.stdout


def test_the_installed_copy_is_the_one_that_runs(installed, tmp_path):
    where = run(
        installed, tmp_path, sys.executable, "-c", "import dlib_tf2; print(dlib_tf2.__file__)"
    )
    assert where.stdout.startswith(str(installed))
