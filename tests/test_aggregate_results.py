"""Aggregation and its command: what a row says, which copies count, and what damaged and foreign
files do.
"""

import json
import os
import re
import shutil

import no_tensorflow
import numpy as np
import pandas as pd
import pytest

from dlib_tf2 import aggregate_results
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.records import results
from dlib_tf2.records.columns import COLUMNS
from dlib_tf2.report import tidy

TREES = "dci.classifier = @sklearn_gradient_boosting\ndci.num_train = 10000\n"


def write_model(
    folder, number=0, metrics=("mig", "dci"), representations=("mean", "sampled"), **labels
):
    """Writes the records of one finished model as the stages write them; returns the training
    record.
    """
    labels = {
        "dataset": "toy",
        "method": "beta_vae",
        "hyperparameters": {"beta": 4.0},
        "seed": number,
        "num_latent": 10,
    } | labels
    values = {
        "reconstruction_loss": 60.0 + number,
        "kl": 12.0,
        "elbo": float("nan"),
        "term/kl": 48.0,
        "steps": 300,
    }
    train = results.write_step(
        folder / "model", "train", values, started=0.0, labels=labels, config_text=""
    )
    posterior = results.write_step(
        folder / "codes", "postprocess", {"rows": 5}, started=0.0, previous=train, config_text=""
    )
    for name in representations:
        label = {"representation": name}
        codes = results.write_step(
            folder / "codes" / name,
            "postprocess",
            {},
            started=0.0,
            previous=posterior,
            labels=label,
            config_text="",
        )
        for metric in metrics:
            scores = {
                "mig": {"mig": 0.25, "num_factors_scored": 5.0},
                "dci": {"disentanglement": 0.5},
            }.get(metric, {"score": 1.0})
            results.write_step(
                folder / "scores" / name / metric,
                "evaluate",
                scores,
                started=0.0,
                previous=codes,
                labels={"metric": metric, "evaluation_seed": 3, "codes_sha256": "00"},
                config_text=TREES if metric == "dci" else "mig.num_bins = 20\n",
            )
    return train


def edit(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_one_row_per_model_representation_metric_and_score(tmp_path):
    write_model(tmp_path / "runs" / "7", study="rendered_study", model_num=7)
    table, damaged = aggregate_results.read_tree(tmp_path / "runs")
    assert damaged == []
    assert list(table.columns) == list(COLUMNS)
    assert {name: str(kind) for name, kind in table.dtypes.items()} == {
        name: kind.lower() if kind != "Int64" else kind for name, kind in COLUMNS.items()
    }
    assert len(table) == 5 + 2 * 3
    row = table[(table["metric"] == "dci") & (table["representation"] == "sampled")].squeeze()
    assert row[
        ["study", "model_num", "dataset", "method", "hyperparameter", "strength", "seed"]
    ].tolist() == [
        "rendered_study",
        7,
        "toy",
        "beta_vae",
        "beta",
        4.0,
        0,
    ]
    assert row[
        ["function", "key", "value", "backend", "evaluation_seed", "num_latent", "steps"]
    ].tolist() == [
        "dci",
        "disentanglement",
        0.5,
        "sklearn_gradient_boosting",
        3,
        10,
        300,
    ]
    assert row["path"] == "7/scores/sampled/dci/results.json"
    assert row["version"] == row["train_version"] == results.package_versions()["dlib_tf2"]
    assert json.loads(row["hyperparameters"]) == {"beta": 4.0}
    trained = table[table["metric"] == "train"].set_index("key")
    assert trained["value"].drop("elbo").to_dict() == {
        "reconstruction_loss": 60.0,
        "kl": 12.0,
        "term/kl": 48.0,
        "steps": 300.0,
    }
    assert np.isnan(trained.loc["elbo", "value"])
    assert trained["representation"].isna().all()
    assert set(trained["path"]) == {"7/model/results.json"}
    mig = table[table["metric"] == "mig"]
    assert (mig["backend"] == "").all()
    assert set(mig["rows"]) == {"all"}  # a record that does not say is of an older release
    assert trained["rows"].isna().all()
    assert mig["settings"].nunique() == 1
    assert mig["settings"].iloc[0] != row["settings"]


def test_runs_outside_of_a_study_leave_its_columns_empty(tmp_path):
    write_model(tmp_path / "a", hyperparameters={}, method="vae")
    write_model(tmp_path / "b", hyperparameters={"beta": 2.0, "gamma": 3})
    table, _ = aggregate_results.read_tree(tmp_path)
    assert table["study"].isna().all()
    assert table["model_num"].isna().all()
    names = table.drop_duplicates("hyperparameters").set_index("hyperparameters")[
        ["hyperparameter", "strength"]
    ]
    assert names["hyperparameter"].to_dict() == {
        "{}": "",
        '{"beta": 2.0, "gamma": 3}': "beta+gamma",
    }
    assert names["strength"].isna().all()


def test_a_variant_of_a_metric_keeps_the_name_of_its_function(tmp_path):
    text = (
        "quick/metric.function = @dci\nquick/dci.classifier ="
        " @lightgbm_gradient_boosting\nquick/dci.steps = [@b, @a]\n"
    )
    results.write_step(
        tmp_path / "q",
        "evaluate",
        {"x": 1},
        started=0.0,
        labels={"metric": "quick"},
        config_text=text,
    )
    table, _ = aggregate_results.read_tree(tmp_path)
    assert table[["metric", "function", "backend"]].squeeze().tolist() == [
        "quick",
        "dci",
        "a+b+lightgbm_gradient_boosting",
    ]
    # arrays from elsewhere
    assert table[["dataset", "method", "seed", "run"]].isna().all(axis=None)


def test_nested_values_are_flat_and_text_is_left_out(tmp_path):
    values = {
        "matrix": [[0.1, 0.2], [0.3, None]],
        "inner": {"x": True, "name": "text"},
        "big": float("inf"),
    }
    results.write_step(
        tmp_path / "m", "evaluate", values, started=0.0, labels={"metric": "m"}, config_text=""
    )
    table, _ = aggregate_results.read_tree(tmp_path)
    found = dict(zip(table["key"], table["value"], strict=True))
    assert list(found) == ["matrix.0.0", "matrix.0.1", "matrix.1.0", "matrix.1.1", "inner.x", "big"]
    np.testing.assert_equal(list(found.values()), [0.1, 0.2, 0.3, np.nan, 1.0, np.inf])


def test_training_values_outlive_the_model(tmp_path):
    write_model(tmp_path / "0")
    write_model(tmp_path / "1", 1)
    whole, _ = aggregate_results.read_tree(tmp_path)
    shutil.rmtree(tmp_path / "0" / "model")
    table, _ = aggregate_results.read_tree(tmp_path)
    shared = ["seed", "run", "metric", "key", "value"]
    pd.testing.assert_frame_equal(
        table[shared].sort_values(shared, ignore_index=True),
        whole[shared].sort_values(shared, ignore_index=True),
    )
    assert set(table[(table["metric"] == "train") & (table["seed"] == 0)]["path"]) == {
        "0/codes/mean/results.json"
    }


def test_many_processes_read_what_one_does(tmp_path, monkeypatch):
    for number in range(4):
        write_model(tmp_path / str(number), number)
    one, _ = aggregate_results.read_tree(tmp_path, num_workers=1)
    monkeypatch.setattr(aggregate_results, "_CHUNK", 5)
    two, _ = aggregate_results.read_tree(tmp_path, num_workers=2)
    assert one["run"].nunique() == 4
    pd.testing.assert_frame_equal(one, two)


def test_links_are_followed_and_loops_end(tmp_path):
    write_model(tmp_path / "elsewhere" / "0")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "runs")
    table, _ = aggregate_results.read_tree(tmp_path / "runs")
    assert table["path"].nunique() == 5
    assert set(table["path"].str.split("/").str[0]) == {"linked"}


@pytest.mark.parametrize("ending", aggregate_results.FORMATS)
def test_every_format_gives_every_value_back(tmp_path, ending):
    write_model(tmp_path / "runs" / "0", study="s", model_num=0)
    third = lambda record: record["values"].update(mig=1 / 3, infinite=float("inf"))  # noqa: E731
    edit(tmp_path / "runs" / "0" / "scores" / "mean" / "mig" / "results.json", third)
    table = aggregate_results.aggregate(tmp_path / "runs", tmp_path / f"out{ending}")
    again = tidy.read(tmp_path / f"out{ending}")
    assert list(again.columns) == list(COLUMNS)
    np.testing.assert_allclose(again["value"].astype(float), table["value"], rtol=1e-15)
    assert np.isinf(again["value"]).sum() == 1
    assert again["representation"].isna().tolist() == table["representation"].isna().tolist()
    for name in ("study", "method", "hyperparameters", "key", "settings", "path"):
        assert again[name].astype(object).tolist() == table[name].astype(object).tolist(), name
    hashes = [] if ending == ".parquet" else [f".out{ending}.dlib_tf2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*hashes, f"out{ending}", "runs"]


def test_damaged_files_are_named_and_left_out(tmp_path, capsys):
    write_model(tmp_path / "runs" / "0")
    scores = tmp_path / "runs" / "0" / "scores" / "mean"
    half = (scores / "mig" / "results.json").read_text()
    (scores / "mig" / "results.json").write_text(half[: len(half) // 2])
    edit(scores / "dci" / "results.json", lambda record: record.update(format=99))
    for name, text in {
        "foreign": '{"any": 1}',
        "list": "[1]",
        "binary": "\0\xff",
        "empty": "",
    }.items():
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "results.json").write_text(text)
    seed = tmp_path / "runs" / "seed" / "model"
    results.write_step(
        seed, "train", {"kl": 1.0}, started=0.0, labels={"seed": "many"}, config_text=""
    )
    # being written: not ours to read
    (tmp_path / "runs" / "0" / "scores" / ".results.json.12.tmp").write_text(half[:50])
    table = aggregate_results.aggregate(tmp_path / "runs", tmp_path / "out.csv")
    side = (tmp_path / "out.csv.damaged.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in side] == [
        f"{name}/results.json"
        for name in (
            "0/scores/mean/dci",
            "0/scores/mean/mig",
            "binary",
            "empty",
            "foreign",
            "list",
            "seed/model",
        )
    ]
    assert "it is damaged (" in side[1]
    assert "its label seed is 'many', not a whole number" in side[-1]
    assert set(table["metric"] + " " + table["representation"].fillna("")) == {
        "train ",
        "mig sampled",
        "dci sampled",
    }
    warning = capsys.readouterr().err
    assert re.match(
        r"warning: 7 damaged files left out \(0/scores/mean/dci/results.json: .*; and 4 more\); all"
        r" are named in .*out.csv.damaged.txt\n",
        warning,
    )

    shutil.rmtree(tmp_path / "runs")
    write_model(tmp_path / "runs" / "0")
    aggregate_results.aggregate(tmp_path / "runs", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv.damaged.txt").exists()
    assert capsys.readouterr().err == ""


def test_nothing_to_aggregate_is_an_error_not_an_empty_table(tmp_path):
    with pytest.raises(UserError, match="is not a folder; name one that holds finished runs"):
        aggregate_results.aggregate(tmp_path / "none", tmp_path / "out.csv")
    (tmp_path / "runs").mkdir()
    with pytest.raises(
        UserError,
        match=(
            r"holds no results.json of dlib_train or dlib_evaluate; name the folder of finished"
            r" runs"
        ),
    ):
        aggregate_results.aggregate(tmp_path / "runs", tmp_path / "out.csv")
    results.write_step(
        tmp_path / "runs" / "codes", "postprocess", {"rows": 5}, started=0.0, config_text=""
    )
    with pytest.raises(UserError, match=r"holds no results.json of dlib_train"):
        aggregate_results.aggregate(tmp_path / "runs", tmp_path / "out.csv")
    (tmp_path / "runs" / "codes" / "results.json").write_text("{")
    with pytest.raises(
        DlibError, match=r"all 1 record below .* are damaged \(codes/results.json: it is damaged"
    ):
        aggregate_results.aggregate(tmp_path / "runs", tmp_path / "out.csv")
    for output, message in (
        ("out.xlsx", r"must end in .parquet, .csv, .json"),
        ("runs", "must end in"),
        ("folder.csv", "is a folder"),
    ):
        (tmp_path / "folder.csv").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=message):
            aggregate_results.aggregate(tmp_path / "runs", tmp_path / output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.csv", "runs"]


@pytest.mark.parametrize("ending", aggregate_results.FORMATS)
def test_only_a_table_of_ours_is_replaced(tmp_path, ending):
    write_model(tmp_path / "runs")
    output = tmp_path / f"table{ending}"
    for _ in range(2):  # the second time in the place of the first
        aggregate_results.aggregate(tmp_path / "runs", output)
    ours = tidy.read(output)
    if ending != ".parquet":  # a user's notes in a table of ours
        output.write_text(output.read_text() + "\n")
        with pytest.raises(
            UserError,
            match=(
                "exists and dlib_aggregate_results did not write it as it is; choose another"
                " --output"
            ),
        ):
            aggregate_results.aggregate(tmp_path / "runs", output)
    # the second was sorted by somebody else
    for other in (pd.DataFrame({"mine": [1]}), ours[ours.columns[::-1]]):
        if ending == ".parquet":
            other.to_parquet(output)
        elif ending == ".csv":
            other.to_csv(output, index=False)
        else:
            rows = other.to_json(orient="records", lines=True).strip().split("\n")
            output.write_text("[\n" + ",\n".join(rows) + "\n]\n")
        before = output.read_bytes()
        with pytest.raises(
            UserError,
            match=(
                "exists and dlib_aggregate_results did not write it as it is; choose another"
                " --output"
            ),
        ):
            aggregate_results.aggregate(tmp_path / "runs", output)
        assert output.read_bytes() == before


def test_notes_in_the_place_of_the_list_of_damaged_files_are_kept(tmp_path):
    write_model(tmp_path / "runs")
    notes = tmp_path / "table.csv.damaged.txt"
    notes.write_text("my notes\n")
    with pytest.raises(
        UserError, match=r"table.csv.damaged.txt exists and dlib_aggregate_results did not write it"
    ):
        aggregate_results.aggregate(tmp_path / "runs", tmp_path / "table.csv")
    assert notes.read_text() == "my notes\n"
    assert not (tmp_path / "table.csv").exists()


def test_the_command_needs_no_tensorflow_and_says_what_it_wrote(tmp_path, run_command):
    for number in range(3):
        write_model(tmp_path / "runs" / str(number), number)
    (tmp_path / "runs" / "1" / "scores" / "mean" / "mig" / "results.json").write_text("{")
    (tmp_path / "away").mkdir()
    flags = [f"--input_dir={tmp_path / 'runs'}", f"--output={tmp_path / 'out.parquet'}"]
    code, out, err = run_command(
        "dlib_aggregate_results", *flags, environment=no_tensorflow.environment(tmp_path / "away")
    )
    assert code == 0
    assert out == f"{tmp_path / 'out.parquet'}: 31 scores of 3 models from 14 records\n"
    assert err.startswith(
        "warning: 1 damaged file left out (1/scores/mean/mig/results.json: it is damaged"
    )
    code, out, err = run_command(
        "dlib_aggregate_results",
        f"--input_dir={tmp_path / 'away'}",
        f"--output={tmp_path / 'out.csv'}",
    )
    assert (code, out) == (2, "")
    assert re.fullmatch(
        r"dlib_aggregate_results: .* holds no results.json of dlib_train or dlib_evaluate; .*\n",
        err,
    )
    assert os.path.getsize(tmp_path / "out.parquet") > 0
