"""One step's record: what is written comes back, damage is said, and provenance flows forward."""

import datetime
import json
import math
import pathlib
import time

import gin
import numpy as np
import pytest

from dlib_tf2.configuration import gin_utils
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.records import results


@pytest.fixture(autouse=True)
def clean_gin():
    gin.clear_config()
    yield
    gin.clear_config()


def write(folder, values=None, step="train", **others):
    return results.write_step(folder, step, values or {}, started=time.time(), **others)


def test_a_record_comes_back_as_it_was_written(tmp_path):
    started = time.time() - 100
    text = 'B = 2.0\nleaf.beta = %B\nleaf.name = "é"\n'
    record = results.write_step(
        tmp_path,
        "train",
        {"loss": 1.5},
        started=started,
        labels={"method": "x"},
        device="2 x GPU",
        config_text=text,
    )
    assert results.read_step(tmp_path) == record
    assert (tmp_path / "config.gin").read_text() == text
    assert record["config"] == {"leaf.beta": 2.0, "leaf.name": "é"}
    assert record["folder"] == str(tmp_path.resolve())
    assert record["device"] == "2 x GPU"
    assert 100 <= record["seconds"] < 160
    times = [datetime.datetime.fromisoformat(record[key]) for key in ("started", "finished")]
    assert times[1] - times[0] >= datetime.timedelta(seconds=99)
    assert all(moment.tzinfo == datetime.UTC for moment in times)
    assert {"python", "numpy", "tensorflow", "keras"} <= set(record["versions"])


def test_nan_and_infinities_are_kept(tmp_path):
    write(tmp_path, {"a": math.nan, "b": [math.inf, -math.inf], "c": np.float32("nan")})
    values = results.read_step(tmp_path)["values"]
    assert math.isnan(values["a"])
    assert math.isnan(values["c"])
    assert values["b"] == [math.inf, -math.inf]


def test_numpy_and_other_types_become_json(tmp_path):
    values = {
        "float": np.float32(0.5),
        "int": np.int64(3),
        "bool": np.bool_(True),
        "array": np.arange(4).reshape(2, 2),
        "scalar": np.array(7),
        "tuple": (1, None, "x"),
        "path": pathlib.Path("a/b"),
        "nested": {1: {"deep": np.float64(2)}},
        "bytes": b"raw",
    }
    write(tmp_path, values)
    back = results.read_step(tmp_path)["values"]
    assert back == {
        "float": 0.5,
        "int": 3,
        "bool": True,
        "array": [[0, 1], [2, 3]],
        "scalar": 7,
        "tuple": [1, None, "x"],
        "path": "a/b",
        "nested": {"1": {"deep": 2.0}},
        "bytes": "b'raw'",
    }
    assert back["bool"] is True
    assert type(back["int"]) is int


def test_a_configuration_that_json_does_not_know_does_not_lose_the_step(tmp_path):
    write(tmp_path, config_text="leaf.raw = b'abc'\nleaf.large = 1e999\n")
    assert results.read_step(tmp_path)["config"] == {"leaf.raw": "b'abc'", "leaf.large": math.inf}


def test_the_record_is_the_last_thing_written(tmp_path, monkeypatch):
    def full(path, value):
        assert (tmp_path / "config.gin").is_file()
        raise DlibError("disk full")

    monkeypatch.setattr(results, "write_json", full)
    with pytest.raises(DlibError):
        write(tmp_path)
    assert not results.is_complete(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"step": "train"',
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"format": 1}',
        b'{"format": 1, "values": {}, "step": "train"}',
    ],
)
def test_a_damaged_record_is_said_and_counts_as_not_finished(tmp_path, content):
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(
        DlibError,
        match=(
            r"results.json is (damaged|not a results file of this version).*; delete it and run the"
            r" step again"
        ),
    ) as caught:
        results.read_step(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert not results.is_complete(tmp_path)


def test_every_truncation_of_a_record_counts_as_not_finished(tmp_path):
    write(tmp_path, {"loss": 1.0})
    path = tmp_path / "results.json"
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert not results.is_complete(tmp_path)
    path.write_bytes(whole)
    assert results.is_complete(tmp_path)


def test_another_format_is_refused(tmp_path):
    record = write(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({**record, "format": results.FORMAT + 1}))
    with pytest.raises(DlibError, match="not a results file of this version"):
        results.read_step(tmp_path)


def test_a_missing_record_says_that_the_step_has_not_finished(tmp_path):
    with pytest.raises(
        DlibError, match="holds no results.json: the step that writes it has not finished"
    ):
        results.read_step(tmp_path)
    assert not results.is_complete(tmp_path / "nowhere")


def test_history_and_labels_go_back_to_the_first_step(tmp_path):
    train = write(tmp_path / "1", {"steps": 5}, labels={"dataset": "sprites", "seed": 0})
    codes = write(
        tmp_path / "2",
        step="postprocess",
        previous=train,
        labels={"representation": "mean", "seed": 7},
    )
    scores = write(tmp_path / "3", step="evaluate", previous=codes)
    scores = results.read_step(scores["folder"])
    assert [record["step"] for record in results.history(scores)] == [
        "evaluate",
        "postprocess",
        "train",
    ]
    assert [record["folder"] for record in results.history(scores)] == [
        str(tmp_path / number) for number in "321"
    ]
    assert scores["made_from"]["made_from"]["values"] == {"steps": 5}
    assert results.label(scores, "dataset") == "sprites"
    assert results.label(scores, "representation") == "mean"
    assert results.label(scores, "seed") == 7  # the newest counts
    assert results.label(scores, "method") is None
    assert results.label(scores, "method", "?") == "?"


def test_the_configuration_in_use_is_what_is_kept_by_default(tmp_path):
    @gin.configurable(module="test_results")
    def stage_of_the_record(first=1, second="x", unused=None):
        return first, second, unused

    gin_utils.parse([], ["stage_of_the_record.first = 5"])
    write(tmp_path / "before")
    stage_of_the_record()
    write(tmp_path / "after")
    assert results.read_step(tmp_path / "before")["config"] == {}
    assert results.read_step(tmp_path / "after")["config"] == {
        "stage_of_the_record.first": 5,
        "stage_of_the_record.second": "x",
        "stage_of_the_record.unused": None,
    }


def test_a_folder_without_a_finished_training_run_is_refused(tmp_path):
    with pytest.raises(
        UserError,
        match=(
            f"{tmp_path} holds no finished training run; finish it with dlib_train"
            f" --model_dir={tmp_path}"
        ),
    ):
        results.read_training(tmp_path)
    write(tmp_path, step="evaluate")
    with pytest.raises(UserError, match="was written by the step 'evaluate', not by dlib_train"):
        results.read_training(tmp_path)
    record = write(tmp_path, step="train")
    assert results.read_training(tmp_path) == record


def test_the_table_for_the_terminal_is_aligned():
    assert (
        results.format_table({"mig": 0.12345, "dci.long": math.nan, "x": 1})
        == "  mig       0.1235\n  dci.long  nan\n  x         1.0000"
    )
    assert results.format_table({}) == ""
