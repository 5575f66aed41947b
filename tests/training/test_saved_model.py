"""Trained models load from their folder; a missing or damaged one is refused in one line."""

import shutil
import time

import keras
import numpy as np
import pytest
from finished_run import write_run

from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.records import results
from dlib_tf2.training import saved_model


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_data):
    folder = tmp_path_factory.mktemp("run") / "model"
    write_run(folder, tiny_data)
    return folder


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


def test_a_model_comes_back_with_its_record(run, tiny_data):
    model = saved_model.load(run)
    assert model.record == results.read_step(run)
    mean, log_variance = model.encoder.predict(
        tiny_data.images(np.arange(5)).astype(np.float32), verbose=0
    )
    assert (mean.shape, log_variance.shape) == ((5, 3), (5, 3))
    assert np.ptp(mean, axis=0).min() > 0
    assert model.decoder.predict(mean, verbose=0).shape == (5, 16, 16, 1)


def test_a_folder_without_a_finished_run_is_refused(tmp_path, copy):
    with pytest.raises(
        UserError,
        match=r"nowhere holds no finished training run; finish it with dlib_train --model_dir=",
    ):
        saved_model.load(tmp_path / "nowhere")
    (copy / "results.json").unlink()
    with pytest.raises(UserError, match="holds no finished training run"):
        saved_model.load(copy)


def test_a_folder_of_another_step_is_refused(copy):
    results.write_step(copy, "evaluate", {}, started=time.time(), config_text="")
    with pytest.raises(UserError, match="was written by the step 'evaluate', not by dlib_train"):
        saved_model.load(copy)


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_a_missing_network_names_the_remedy(copy, name):
    (copy / f"{name}.keras").unlink()
    with pytest.raises(
        UserError,
        match=rf"{name}.keras does not exist; delete .*results.json and run dlib_train again",
    ):
        saved_model.load(copy)


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_network_is_detected(copy, part):
    path = copy / "encoder.keras"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(
        DlibError,
        match=r"encoder.keras is damaged \(.+\); delete .*results.json and run dlib_train again",
    ) as caught:
        saved_model.load(copy)
    assert len(str(caught.value).splitlines()) == 1


def test_changed_bytes_of_a_network_are_detected(copy):
    path = copy / "encoder.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DlibError, match="encoder.keras is damaged"):
        saved_model.load_network(copy, "encoder")


def test_code_in_a_network_is_not_run(copy):
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs)).save(copy / "encoder.keras")
    with pytest.raises(DlibError, match="encoder.keras is damaged"):
        saved_model.load_network(copy, "encoder")
