"""How often a command reads a gin file beside gin, which opens a file whenever one includes it."""

import collections
import json
import pathlib
import subprocess
import sys

import pytest

from dlib_tf2 import reproduce
from dlib_tf2.configuration import gin_text
from dlib_tf2.studies import plan

BIN = pathlib.Path(__file__).parents[2] / "bin"
COUNTING = """if True:
    import collections, json, runpy, sys
    from dlib_tf2.configuration import gin_text, gin_utils
    opened, original = {"ours": [], "gin": []}, gin_text.open_text
    gin_text.open_text = lambda path: opened["ours"].append(str(path)) or original(path)
    gin_utils.open_text = lambda path: opened["gin"].append(str(path)) or original(path)
    sys.argv = sys.argv[1:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        print(json.dumps(opened), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "command, files",
    [
        ("dlib_train --gin_config=quickstart.gin --model_dir=m --dry_run", {"quickstart.gin"}),
        (
            "dlib_evaluate --input_dir=i --output_dir=o --gin_config=suites/fast.gin --dry_run",
            {"suites/fast.gin", "metrics/mig.gin"},
        ),
    ],
)
def test_a_command_reads_each_file_once_beside_gin(command, files, tmp_path):
    name, *flags = command.split()
    ran = subprocess.run(
        [sys.executable, "-c", COUNTING, str(BIN / name), *flags],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    opened = json.loads(ran.stderr.splitlines()[-1])
    assert {str(gin_text.config_dir() / file) for file in files} <= set(opened["ours"])
    assert set(collections.Counter(opened["ours"]).values()) == {1}
    assert set(opened["gin"]) == set(opened["ours"])


def test_the_steps_of_a_model_read_each_file_once(monkeypatch, tmp_path):
    opened, original = [], gin_text.open_text
    monkeypatch.setattr(gin_text, "open_text", lambda path: opened.append(path) or original(path))
    plan._resolved.cache_clear()
    made = plan.make_plan("rendered_study", 0)
    steps = reproduce._Steps(made, tmp_path, None, None)
    assert {gin_text.find_file(f"metrics/{name}.gin") for name in made.metrics} <= set(opened)
    assert set(collections.Counter(opened).values()) == {1}
    assert steps._text.bindings == made.bindings
