"""What `import dlib_tf2` gives: documented, loaded late, and without TensorFlow where none is
needed. The examples of the docstrings run in a folder as `make quickstart` leaves it.
"""

import doctest
import json
import pathlib
import re
import subprocess
import sys

import gin
import no_tensorflow
import numpy as np
import pytest
from finished_run import write_run

import dlib_tf2
from dlib_tf2.configuration import gin_utils
from dlib_tf2.errors import UserError
from dlib_tf2.representations.representation import Representation

REPO = pathlib.Path(__file__).parents[1]
PUBLIC = [name for name in dlib_tf2.__all__ if not name.startswith("_")]
FACTORS = np.stack(np.unravel_index(np.arange(120), (4, 5, 6)), axis=1)
CODES = FACTORS + np.random.default_rng(0).normal(0, 0.3, FACTORS.shape)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory, data_dir):
    """A folder with output/quickstart as the commands write it, of networks that were not
    trained.
    """
    folder = tmp_path_factory.mktemp("quickstart")
    output = folder / "output" / "quickstart"
    data = dlib_tf2.load_dataset("rendered_sprites/small", data_dir)
    write_run(output / "model", data, num_latent=10)
    index = np.arange(data.space.size)
    sizes = data.space.sizes
    table = Representation(
        np.random.default_rng(0).normal(size=(len(index), 10)),
        data.visible_factors(index),
        data.visible,
        sizes,
    )
    (output / "codes" / "mean").mkdir(parents=True)
    table.save(output / "codes" / "mean" / "representation.npz")
    return folder


@pytest.fixture(autouse=True)
def clean_gin():
    yield
    gin.clear_config()


@pytest.fixture
def in_quickstart(quickstart, data_dir, monkeypatch):
    monkeypatch.chdir(quickstart)
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_of_the_docstrings_are_what_runs(name, in_quickstart):
    function = getattr(dlib_tf2, name)
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name)
    assert len(test.examples) > 2
    printed = []
    result = doctest.DocTestRunner(optionflags=doctest.REPORT_UDIFF).run(test, out=printed.append)
    assert result.failed == 0, "".join(printed)


def test_the_lines_of_the_readme_encode_and_score(in_quickstart, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", (REPO / "README.md").read_text(), flags=re.S)
    assert len(block.strip().splitlines()) <= 10
    names = {}
    exec(block, names)
    assert names["mean"].shape == (36864, 10)
    assert names["images"].shape == (5, 64, 64, 1)
    assert 0 <= names["scores"]["mig"]["mig"] < 1
    assert str(names["scores"]["mig"]["mig"]) in capsys.readouterr().out


def test_what_is_public_is_listed_and_a_wrong_name_is_an_attribute_error():
    assert len(PUBLIC) == 4
    assert set(PUBLIC) <= set(dir(dlib_tf2))
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        dlib_tf2.load_modle  # noqa: B018


def test_importing_and_scoring_load_no_tensorflow(tmp_path):
    code = """
import sys, dlib_tf2
assert not {"numpy", "gin", "dlib_tf2.evaluate"} & set(sys.modules), "loaded late"
import numpy as np
from dlib_tf2.representations.representation import Representation
factors = np.stack(np.unravel_index(np.arange(20), (4, 5)), axis=1)
Representation.from_arrays(factors, factors).save("representation.npz")
table = dlib_tf2.load_representation(".")
print(dlib_tf2.score_arrays(table.codes, table.factors, ["mig"])["mig"]["mig"])
"""
    command = [sys.executable, "-c", code]
    environment = {"PATH": "", **no_tensorflow.environment(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(1, abs=0.01)


@pytest.mark.filterwarnings("ignore::dlib_tf2.errors.ScoreWarning")
def test_scores_of_arrays_are_those_of_the_command(tmp_path, run_command):
    np.savez(tmp_path / "both.npz", codes=CODES, factors=FACTORS)
    options = {"gin_config": "suites/small.gin", "gin_bindings": "mig.num_bins = 4"}
    code, _, err = run_command(
        "dlib_evaluate",
        f"--codes={tmp_path / 'both.npz'}",
        f"--output_dir={tmp_path / 'scores'}",
        "--metrics=mig,factor_vae",
        *(f"--{name}={value}" for name, value in options.items()),
    )
    assert code == 0, err
    scores = dlib_tf2.score_arrays(
        CODES,
        FACTORS,
        ["mig", "factor_vae"],
        **{name: [value] for name, value in options.items()},
    )
    assert scores == json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert scores != dlib_tf2.score_arrays(CODES, FACTORS, ["mig", "factor_vae"])


@pytest.mark.filterwarnings("ignore::dlib_tf2.errors.ScoreWarning")
def test_scoring_leaves_the_callers_configuration_as_it_was():
    gin_utils.parse(["metrics/mig.gin"], ["mig.num_bins = 7"])
    before = gin_utils.resolved_text()
    dlib_tf2.score_arrays(CODES, FACTORS, ["mig"])
    assert gin_utils.resolved_text() == before
    with pytest.raises(UserError, match="unknown metric 'migg'"):
        dlib_tf2.score_arrays(CODES, FACTORS, ["migg"])
    assert gin_utils.resolved_text() == before


def test_images_that_were_not_scaled_are_refused(in_quickstart):
    model = dlib_tf2.load_model("output/quickstart/model")
    with pytest.raises(UserError, match="values 0 to 255, expected 0 to 1; divide"):
        model.encode(np.array([0, 255], np.uint8).repeat(2048).reshape(1, 64, 64, 1))
