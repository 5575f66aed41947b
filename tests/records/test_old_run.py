"""A run folder made before modules moved to their rooms: its gin files and its readers."""

import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest

from dlib_tf2 import datasets
from dlib_tf2.configuration import gin_utils
from dlib_tf2.configuration.gin_names import _MOVED
from dlib_tf2.errors import UserError

OLD = pathlib.Path(__file__).parents[1] / "old_run"  # own images, tiny networks, four steps


@pytest.fixture
def old_run(tmp_path, monkeypatch):
    shutil.copytree(OLD, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")  # its gin files name its images by relative paths
    return pathlib.Path("run")


@pytest.mark.parametrize("old", sorted(_MOVED))
def test_an_old_module_name_is_refused_with_the_new_one(old, tmp_path):
    (tmp_path / "old.gin").write_text(f"import {old}\n")
    with pytest.raises(
        UserError, match=rf"^gin: {old} is now (\S+) \| .*; write the new name$"
    ) as error:
        gin_utils.GinText([str(tmp_path / "old.gin")])
    new = str(error.value).split(" is now ")[1].split()[0]
    (tmp_path / "new.gin").write_text(f"import {new}\n")
    gin_utils.GinText([str(tmp_path / "new.gin")])
    text = (pathlib.Path(gin_utils.__file__).parents[2] / f"{new.replace('.', '/')}.py").read_text()
    assert "\n@gin." in text  # it still registers what old text configures


def test_old_scores_and_codes_count_as_done_and_new_scores_join_them(old_run, run_command):
    done = run_command(
        "dlib_evaluate",
        "--input_dir=run/codes/mean",
        "--output_dir=run/scores/mean",
        "--metrics=mig",
        "--gin_bindings=mig.num_bins = 4",
    )
    assert done[0] == 0, done
    assert "already there" in done[1] + done[2]
    before = json.loads((old_run / "scores/mean/mig/results.json").read_text())
    code, _, err = run_command(
        "dlib_evaluate",
        "--input_dir=run/codes/mean",
        "--output_dir=again",
        "--metrics=mig",
        "--gin_bindings=mig.num_bins = 4",
    )
    assert code == 0, err
    again = json.loads(pathlib.Path("again/mig/results.json").read_text())
    assert again["values"] == before["values"]


def test_an_old_model_is_encoded_to_the_same_codes(old_run, run_command):
    own = ["own_arrays.images = 'images.npy'", "own_arrays.factor_sizes = 'sizes.npy'"]
    gin_utils.parse([], ["import dlib_tf2.datasets.own.arrays", *own])
    datasets.load("own_arrays/mine", "data")
    flags = ("--model_dir=run/model", "--output_dir=again", "--representations=mean")
    code, _, err = run_command("dlib_postprocess", *flags, "--data_dir=data")
    assert code == 0, err
    old, new = (
        np.load(folder / "mean" / "representation.npz", allow_pickle=False)
        for folder in (old_run / "codes", pathlib.Path("again"))
    )
    np.testing.assert_array_equal(new["factors"], old["factors"])
    np.testing.assert_allclose(new["codes"], old["codes"], rtol=0, atol=1e-6)


def test_an_old_run_is_aggregated_and_reported(old_run, run_command):
    code, _, err = run_command("dlib_aggregate_results", "--input_dir=run", "--output=old.parquet")
    assert code == 0, err
    table = pd.read_parquet("old.parquet")
    assert set(table["metric"]) == {"train", "mig", "factor_vae"}
    scores = table[table["metric"] != "train"]
    assert set(scores["representation"]) == {"mean", "sampled"}
    assert set(table["method"]) == {"beta_vae"}
    code, _, err = run_command("dlib_report", "--results=old.parquet", "--output_dir=report")
    assert code == 0, err
    assert pathlib.Path("report/report.html").is_file()
