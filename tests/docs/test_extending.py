"""The code of docs/extending.md, run as the page says, from a folder outside of the package."""

import os
import pathlib
import re
import shlex

import pytest

from dlib_tf2.records import results

REPO = pathlib.Path(__file__).parents[2]
PAGE = (REPO / "docs" / "extending.md").read_text()
REGULARIZER, ENCODER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(GIN,) = re.findall(r"```gin\n(.*?)```", PAGE, re.DOTALL)
(COMMAND,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def code_lines(text):
    return [line for line in text.splitlines() if line.strip()]


def test_a_regularizer_takes_15_lines_and_an_encoder_10():
    assert len(code_lines(REGULARIZER)) <= 15
    assert len(code_lines(ENCODER)) <= 10


@pytest.fixture(scope="module")
def trained(tmp_path_factory, run_command, data_dir):
    folder = tmp_path_factory.mktemp("mine")
    for name, text in (("mine.py", REGULARIZER), ("my_encoder.py", ENCODER), ("mine.gin", GIN)):
        (folder / name).write_text(text)
    path, command, *flags = shlex.split(COMMAND)
    assert path == "PYTHONPATH=."
    flags = [
        flag.replace("=mine.gin", f"={folder}/mine.gin").replace("=output", f"={folder}/output")
        for flag in flags
    ]
    short = [
        f"--gin_bindings={binding}"
        for binding in ("STEPS = 3", "BATCH_SIZE = 4", "train.eval_steps = 2")
    ]
    environment = {"PYTHONPATH": os.pathsep.join([str(REPO), str(folder)])}
    return folder / "output" / "mine", run_command(
        command, *flags, *short, f"--data_dir={data_dir}", environment=environment, seconds=400
    )


@pytest.mark.slow
def test_the_page_trains(trained):
    folder, (code, out, err) = trained
    assert code == 0, err
    record = results.read_step(folder)
    values = record["values"]
    assert record["labels"]["hyperparameters"] == {"weight": 0.5}
    assert record["config"]["train.encoder"] == "@shallow_encoder"
    assert values["term/sparsity"] > 0
    assert values["loss"] == pytest.approx(
        values["term/reconstruction_loss"] + values["term/kl"] + values["term/sparsity"], rel=1e-5
    )
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == [
        "reconstructions.png",
        "traversals.png",
    ]
