"""A metric, dataset, method or study is one new file (and its gin file): each is put into a copy of
the package, where nothing else is edited, and found.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).parents[2]

LEAVES = {
    "dlib_tf2/metrics/toy.py": """
import gin
from dlib_tf2.configuration.declaration import Headline

HEADLINE = Headline(
    key="toy", higher_is_better=False, low=0, high=1, random=0.25, cost="instant"
)

@gin.register
def toy(codes, factors, rng, *, scale=1.0):
    return {"toy": 0.5 * scale}
""",
    "gin_configs/metrics/toy.gin": "# Toy: a metric\nimport dlib_tf2.metrics.toy\n",
    "dlib_tf2/datasets/named/toy.py": '''
"""toy: four black images."""

import numpy as np

from dlib_tf2.datasets import FactorSpace, GroundTruthDataset

def dataset(config, data_dir):
    space, table = FactorSpace(("hue", "size"), (2, 2)), np.zeros((4, 64, 64, 1), np.uint8)
    return GroundTruthDataset("toy", space, space.names, table, 1, records=None)
''',
    "gin_configs/models/toy.gin": "# Toy: a method.\ninclude 'models/beta_vae.gin'\nBETA = 7.0\n",
    "dlib_tf2/studies/named/toy.py": """
from dlib_tf2.studies import Setting, Study, product

STUDY = Study(product(("rendered_sprites",), (Setting("toy", ("BETA = 2.0",)),), range(3)))
""",
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """Runs Python in a folder that holds a copy of the package with the new files."""
    folder = tmp_path_factory.mktemp("copied")
    skipped = shutil.ignore_patterns("__pycache__")
    for part in ("dlib_tf2", "gin_configs", "bin"):
        shutil.copytree(REPO / part, folder / part, ignore=skipped)
    for name, text in LEAVES.items():
        assert not (folder / name).exists()
        (folder / name).write_text(text)
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(*arguments):
        environment = os.environ | {"PYTHONPATH": str(folder)}
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.bin = folder / "bin"
    return run


def test_a_metric_is_listed_and_is_one_of_all(copied):
    (row,) = [
        line.split()
        for line in copied(copied.bin / "dlib_list", "--what=metrics").splitlines()
        if line.split()[0] == "toy"
    ]
    assert row[:5] == ["toy", "toy", "lower", "0.25", "instant"]
    code = (
        "from dlib_tf2.configuration import declaration; print(*declaration.expanded(['all']));"
        "print(declaration.headline('toy').key)"
    )
    names, key = copied("-c", code).splitlines()
    assert {"toy", "mig"} <= set(names.split())
    assert key == "toy"


def test_a_metric_scores(copied):
    code = """
import numpy as np
from dlib_tf2 import evaluate
from dlib_tf2.representations.representation import Representation

rows = np.stack(np.unravel_index(np.arange(6), (2, 3)), axis=1)
print(evaluate.evaluate(Representation.from_arrays(rows, rows), "scores", ["toy"], num_workers=1))
"""
    assert copied("-c", code).splitlines()[-1] == "{'toy': {'toy': 0.5}}"


def test_a_dataset_opens(copied):
    code = "from dlib_tf2 import load_dataset; print(load_dataset('toy').images([3]).shape)"
    assert copied("-c", code) == "(1, 64, 64, 1)\n"


def test_a_method_resolves(copied):
    code = (
        "from dlib_tf2.configuration.gin_text import GinText; text = GinText(['models/toy.gin']);"
    )
    code += "print(text.value('BetaKL.beta'), text.value('train.model'))"
    assert copied("-c", code) == "7.0 @VAE\n"


@pytest.mark.parametrize("kind", ["datasets", "models", "studies"])
def test_others_are_listed(copied, kind):
    assert "toy" in copied(copied.bin / "dlib_list", f"--names={kind}").split()


def test_a_study_plans(copied):
    code = "from dlib_tf2.studies import plan; print(*plan.make_plan('toy', 2).bindings, sep='\\n')"
    lines = copied("-c", code).splitlines()
    assert {'DATASET = "rendered_sprites"', "BETA = 2.0", "SEED = 2"} <= set(lines)
