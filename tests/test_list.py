"""dlib_list finds all names by their files; completion offers flags and names in a real bash."""

import os
import pathlib
import re
import shutil
import subprocess

import no_tensorflow
import numpy as np
import pytest

from dlib_tf2 import list
from dlib_tf2.datasets import image_table, loading
from dlib_tf2.errors import UserError
from dlib_tf2.system import completion

REPO = pathlib.Path(__file__).parents[1]
COMMANDS = sorted(path.name for path in (REPO / "bin").iterdir() if path.is_file())


def rows(kind, data_dir=None):
    """{first word: the other columns} of a list."""
    lines = list.describe([kind], data_dir).splitlines()[2:]
    return {
        columns[0]: columns[1:] for columns in (re.split(r"  +", line.strip()) for line in lines)
    }


def test_the_command_lists_everything_without_tensorflow(run_command, tmp_path):
    without_tensorflow = no_tensorflow.environment(tmp_path)
    code, out, err = run_command("dlib_list", environment=without_tensorflow)
    assert (code, err) == (0, "")
    titles = [line.split()[0] for line in out.splitlines() if line and not line.startswith(" ")]
    assert titles == ["Datasets", "Models", "Metrics", "Studies", "Suites"]
    code, names, _ = run_command("dlib_list", "--names=metrics", environment=without_tensorflow)
    assert code == 0
    assert set(names.split()) == {
        path.stem for path in (REPO / "gin_configs" / "metrics").glob("*.gin")
    }


def test_prepared_datasets_are_marked(tmp_path):
    assert rows("datasets", tmp_path)["rendered_sprites"][:2] == ["full, small", "no"]
    (folder,) = loading.tables("rendered_sprites", tmp_path)["small"]
    folder.mkdir(parents=True)
    (folder / "table.json").write_text("{}")
    assert rows("datasets", tmp_path)["rendered_sprites"][1] == "no"  # half a table
    np.save(folder / "images.npy", np.zeros(1))
    listed = rows("datasets", tmp_path)
    assert listed["rendered_sprites"][1] == listed["color_rendered_sprites"][1] == "small"
    assert listed["scream_rendered_sprites"][1] == "no"  # its picture is missing
    assert listed["dsprites_full"][0] == "no"


def test_a_table_is_looked_for_where_it_is_built(data_dir):
    loading.load("rendered_sprites/small", data_dir)
    (folder,) = loading.tables("rendered_sprites", data_dir)["small"]
    assert folder.relative_to(data_dir).parts[0] == image_table.TABLES
    assert "small" in rows("datasets", data_dir)["rendered_sprites"][1]


def test_models_show_their_strengths_and_metrics_their_headlines():
    assert rows("models")["beta_vae"][:2] == ["BETA = 4.0", "1, 2, 4, 6, 8, 16"]
    assert rows("models")["factor_vae"][:2] == ["GAMMA = 30.0", "10, 20, 30, 40, 50, 100"]
    assert rows("models")["ada_gvae"][:2] == ["BETA = 1.0", "1, 2, 4, 6, 8, 16"]
    assert not {"shared", "labels"} & set(rows("models"))
    assert "distributions/shared.gin" not in rows("distributions")
    assert rows("distributions")["distributions/shapes3d_floor_wall.gin"] == [
        "3D Shapes, floor and wall hue correlated"
    ]
    assert rows("metrics")["factor_vae"][:4] == ["eval_accuracy", "higher", "0.2", "instant"]
    assert rows("metrics")["fairness"][:2] == ["mean_fairness:mean_pred:mean_sens", "lower"]
    # of the function it runs
    assert rows("metrics")["downstream_task_boosted_trees"][0] == "10000:mean_test_accuracy"
    assert rows("studies")["unsupervised_study_v1"][:2] == ["12,600", "study"]
    assert rows("suites")["suites/study.gin"][0] == "9"


def test_a_users_own_metric_is_listed(tmp_path, monkeypatch):
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "mine.gin").write_text("# My own: nothing\nimport mine\n")
    monkeypatch.chdir(tmp_path)
    assert rows("metrics")["mine"] == ["My own"]


def test_unknown_kinds_are_refused():
    with pytest.raises(
        UserError,
        match="unknown kind 'model'; known: datasets, models, metrics, studies, suites,"
        " distributions, gin_files",
    ):
        list.describe(["model"])


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """What TAB offers after a line, in a real bash with the script sourced."""
    path = tmp_path_factory.mktemp("completion") / "dlib.bash"
    path.write_text(completion.script("bash"))

    def offered(*words):
        line = " ".join(f"'{word}'" for word in words)
        # As bash cuts a line: "=" is a word of its own.
        code = f"""
            source {path}
            COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}
            _dlib {words[0]} '{words[-1]}' '{words[-2]}'
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        environment = {
            **os.environ,
            "PATH": f"{REPO / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPO),
        }
        ended = subprocess.run(
            ["bash", "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            cwd=REPO,
            check=True,
        )
        return ended.stdout.split()

    return offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    "words, expected",
    [
        (["dlib_train", "--mod"], ["--model_dir="]),
        (["dlib_train", "--ov"], ["--overwrite"]),
        (["dlib_train", "--strategy", "=", "m"], ["mirrored", "multi_worker"]),
        (["dlib_reproduce", "--study", "=", "rend"], ["rendered_study"]),
        (["dlib_evaluate", "--metrics", "=", "mig,z"], ["mig,z_max"]),
        (["dlib_evaluate", "--gin_config", "=", "suites/q"], ["suites/quickstart.gin"]),
        (["dlib_prepare_data", "--dataset", "=", "mpi3d_re"], ["mpi3d_real", "mpi3d_realistic"]),
        (
            ["dlib_list", "--what", "="],
            ["datasets", "models", "metrics", "studies", "suites", "distributions", "gin_files"],
        ),
        (["dlib_train", "--model_dir", "=", "gin_con"], ["gin_configs"]),
        (["dlib_train", "--model_dir=gin_con"], ["--model_dir=gin_configs"]),
    ],
)
def test_completion(complete, words, expected):
    assert complete(*words) == expected


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_completes_every_command_without_anything_in_its_start_file(tmp_path):
    (tmp_path / "script").write_text(completion.script("zsh"))
    code = (
        f"source {tmp_path / 'script'}; for name in {' '.join(COMMANDS)}; do print"
        " ${_comps[$name]}; done"
    )
    ended = subprocess.run(
        ["zsh", "-fc", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert (ended.stdout.splitlines(), ended.stderr) == (
        ["_bash_complete -F _dlib"] * len(COMMANDS),
        "",
    )


def test_the_script_for_zsh_is_the_same_after_its_loader():
    assert completion.script("zsh").endswith(
        "bashcompinit && bashcompinit\n" + completion.script("bash")
    )


def test_every_completed_value_is_a_flag_of_some_command():
    flags = set(
        re.findall(
            r'DEFINE_\w+\(\s*"(\w+)"',
            "".join(path.read_text() for path in (REPO / "bin").iterdir()),
        )
    )
    assert set(completion.VALUES) - {"gin_config"} <= flags  # defined for all commands in one place
    assert set(completion.VALUES.values()) - {"kinds"} <= set(list.KINDS)
