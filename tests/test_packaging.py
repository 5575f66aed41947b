"""An ordinary wheel, built from a clean copy and installed outside the clone, carries everything
the commands need.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import numpy as np
import pytest

import dlib_tf2

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


def test_scoring_alone_asks_for_a_part_of_what_the_package_asks_for():
    lines = (ROOT / "requirements-metrics.txt").read_text().splitlines()
    wanted = {line for line in lines if not line.startswith("#")}
    assert len(wanted) > 5
    assert wanted <= set(re.findall(r'^        "(.*?)",', (ROOT / "setup.py").read_text(), re.M))


def test_the_citation_has_the_version_of_the_package():
    text = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", text, re.M)[1] == dlib_tf2.__version__


@pytest.mark.slow
def test_the_commands_of_the_readme_install_scoring_without_tensorflow(wheel, tmp_path):
    """In an empty environment: what the README installs is enough to score, and has no
    TensorFlow.
    """
    command = re.search(r"^    (pip install -r .*)$", (ROOT / "README.md").read_text(), re.M)[1]
    requirements, package = (part.split() for part in command.split(" && "))
    assert requirements == ["pip", "install", "-r", "requirements-metrics.txt"]
    assert package == ["pip", "install", "--no-deps", "."]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "bare"], check=True, timeout=300)
    bin_folder = tmp_path / "bare" / "bin"
    environment = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    environment["PATH"] = f"{bin_folder}:/usr/bin:/bin"

    def run_bare(*command, seconds=300):
        return subprocess.run(
            [bin_folder / command[0], *map(str, command[1:])],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    constraints = ["--constraint", ROOT / "constraints.txt"]
    done = run_bare(*requirements[:3], ROOT / requirements[3], *constraints, seconds=900)
    assert done.returncode == 0, done.stderr
    # The wheel is what pip makes of ".", built without leaving files in the clone.
    done = run_bare(*package[:3], wheel)
    assert done.returncode == 0, done.stderr
    names = ["tensorflow", "keras", "tensorflow_datasets", "tensorflow_probability"]
    found = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    assert run_bare("python", "-c", found).stdout == "[]\n"

    factors = np.stack(np.unravel_index(np.arange(120), (4, 5, 6)), axis=1)
    np.savez(tmp_path / "both.npz", codes=factors.astype(np.float32), factors=factors)
    score = (
        "import dlib_tf2, numpy as np; both = np.load('both.npz', allow_pickle=False);"
        " scores = dlib_tf2.score_arrays(both['codes'], both['factors'], ['mig', 'mcc']);"
        " print(scores['mcc']['mcc_pearson'])"
    )
    done = run_bare("python", "-W", "ignore", "-c", score)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(1)
    done = run_bare(
        "dlib_evaluate",
        "--codes=both.npz",
        "--output_dir=scores",
        "--gin_config=suites/small.gin",
        "--metrics=mig,dci",
        seconds=900,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "scores" / "dci" / "results.json").exists()
    assert run_bare("dlib_list").returncode == 0
