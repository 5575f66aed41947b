"""The evaluate stage and its command: what is written, what is computed again, and what each
mistake says.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap
import time

import gin
import numpy as np
import pytest

from dlib_tf2 import aggregate_results
from dlib_tf2 import evaluate as stage
from dlib_tf2.configuration import gin_utils, metric_config
from dlib_tf2.errors import DlibError, Interrupted, UserError
from dlib_tf2.evaluate import evaluate
from dlib_tf2.metrics import repeats
from dlib_tf2.records import results
from dlib_tf2.representations.representation import Representation

ROOT = pathlib.Path(__file__).parent.parent
FACTORS = np.stack(np.unravel_index(np.arange(4 * 5 * 6), (4, 5, 6)), axis=1)
FAST = ["mig", "factor_vae"]


@pytest.fixture(autouse=True)
def clean_gin():
    gin.clear_config()
    yield
    gin.clear_config()


@pytest.fixture
def table():
    return Representation(
        FACTORS + np.random.default_rng(0).normal(0, 0.3, FACTORS.shape),
        FACTORS,
        ("a", "b", "c"),
        (4, 5, 6),
    )


@pytest.fixture
def local_metric(tmp_path, monkeypatch):
    """Writes a metric as its user would, a module and a gin file in the current folder, and returns
    how.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, body, gin_text=""):
        (tmp_path / "metrics").mkdir(exist_ok=True)
        source = (
            f"import os, signal\nimport gin\n@gin.register\ndef {name}(codes, factors, rng, *,"
            " scale=1.0):\n"
        )
        (tmp_path / f"module_{name}.py").write_text(source + textwrap.indent(body, "    ") + "\n")
        (tmp_path / "metrics" / f"{name}.gin").write_text(f"import module_{name}\n{gin_text}\n")

    return write


def command(*flags, cwd, **environment):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{cwd}", **environment}
    return subprocess.run(
        [sys.executable, str(ROOT / "bin" / "dlib_evaluate"), *flags],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def save_arrays(folder, codes=FACTORS, factors=FACTORS):
    np.save(folder / "codes.npy", codes)
    np.save(folder / "factors.npy", factors)
    return ["--codes=codes.npy", "--factors=factors.npy", "--output_dir=scores"]


def test_scores_are_written_with_their_provenance(tmp_path, table, capsys):
    source = tmp_path / "mean"
    table.save(source / "representation.npz")
    train = {"step": "train", "labels": {"dataset": "toy"}, "made_from": None}
    results.write_step(
        source,
        "postprocess",
        {},
        started=0.0,
        previous=train,
        labels={"representation": "mean"},
        config_text="",
    )
    scores = evaluate(source, tmp_path / "scores", FAST, seed=3)
    assert list(scores) == FAST
    assert json.loads((tmp_path / "scores" / "scores.json").read_text()) == scores
    record = results.read_step(tmp_path / "scores" / "mig")
    assert record["values"] == scores["mig"]
    assert record["config"] == {"mig.num_bins": 20, "mig.num_train": 10000}
    assert [
        results.label(record, name)
        for name in ("metric", "evaluation_seed", "representation", "dataset")
    ] == ["mig", 3, "mean", "toy"]
    assert (
        tmp_path / "scores" / "mig" / "config.gin"
    ).read_text() == "import dlib_tf2.metrics.mig\n\nmig.num_bins = 20\nmig.num_train = 10000\n"
    printed = capsys.readouterr().out
    assert "[1/2] mig: done in" in printed
    assert f"factor_vae.eval_accuracy       {scores['factor_vae']['eval_accuracy']:.4f}" in printed


def test_adding_a_metric_changes_no_other_score(tmp_path, table):
    both = evaluate(table, tmp_path / "a", FAST)
    assert evaluate(table, tmp_path / "b", ["mig"], num_workers=1)["mig"] == both["mig"]
    assert evaluate(table, tmp_path / "c", FAST[::-1]) == both
    assert evaluate(table, tmp_path / "d", ["mig"], seed=1)["mig"] != both["mig"]


def test_a_rerun_computes_only_what_is_missing(tmp_path, table, capsys):
    first = evaluate(table, tmp_path, ["mig"])
    written = (tmp_path / "mig" / "results.json").stat().st_mtime_ns
    both = evaluate(table, tmp_path, FAST)
    assert both["mig"] == first["mig"]
    assert (tmp_path / "mig" / "results.json").stat().st_mtime_ns == written
    assert "[1/2] mig: already there" in capsys.readouterr().out
    evaluate(table, tmp_path, ["factor_vae"])
    assert json.loads((tmp_path / "scores.json").read_text()) == {
        name: both[name] for name in sorted(both)
    }
    (tmp_path / "mig" / "results.json").write_text('{"step": "eva')  # damaged: made again
    assert evaluate(table, tmp_path, FAST) == both


CORNER = (FACTORS[:, 0] >= 2) & (FACTORS[:, 2] >= 3)  # 2 * 5 * 3 = 30 of 120 rows


@pytest.fixture
def held_out(table):
    return dataclasses.replace(table, held_out=CORNER)


def counts(local_metric):
    """A metric that returns its number of rows, and the smallest value of the first factor."""
    local_metric("counts", "return {'rows': float(len(codes)), 'low': float(factors[:, 0].min())}")
    return ["counts"]


@pytest.mark.parametrize(
    "rows, number, low", [("all", 120, 0), ("train", 90, 0), ("held_out", 30, 2)]
)
def test_rows_are_those_that_training_drew_or_held_out(
    tmp_path, held_out, local_metric, rows, number, low
):
    scores = evaluate(held_out, tmp_path / "scores", counts(local_metric), rows=rows)
    assert scores == {"counts": {"rows": number, "low": low}}
    labels = results.read_step(tmp_path / "scores" / "counts")["labels"]
    assert labels["rows"] == rows
    part = {"all": CORNER | True, "train": ~CORNER, "held_out": CORNER}[rows]
    assert labels["codes_sha256"] == stage.fingerprint(
        dataclasses.replace(
            held_out,
            codes=held_out.codes[part],
            factors=held_out.factors[part],
            held_out=CORNER[part],
        )
    )


def test_all_rows_of_a_table_with_a_mask_score_as_without(tmp_path, table, held_out):
    assert evaluate(held_out, tmp_path / "a", FAST) == evaluate(table, tmp_path / "b", FAST)


@pytest.mark.parametrize("rows", ["train", "held_out"])
def test_rows_that_a_table_does_not_have_are_refused(tmp_path, table, rows):
    remedy = r"train on a distribution with hold_out \(gin_configs/distributions\)"
    nothing = dataclasses.replace(table, held_out=CORNER & False)
    for without in (table, nothing):
        with pytest.raises(
            UserError, match=rf"evaluate.rows is '{rows}', but no row of .*; {remedy}"
        ):
            evaluate(without, tmp_path / "scores", FAST, rows=rows)
    everything = dataclasses.replace(table, held_out=CORNER | True)
    if rows == "train":
        with pytest.raises(UserError, match="evaluate.rows is 'train', but every row of"):
            evaluate(everything, tmp_path / "scores", FAST, rows=rows)
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize("rows", ["test", "", None, ["all"], 1])
def test_other_rows_than_the_three_kinds_are_refused(tmp_path, held_out, rows):
    with pytest.raises(UserError, match="evaluate.rows must be one of all, train, held_out, got"):
        evaluate(held_out, tmp_path / "scores", FAST, rows=rows)


def test_scores_of_different_rows_never_share_a_folder(tmp_path, held_out):
    first = evaluate(held_out, tmp_path, ["mig"])
    message = r"mig holds a score of other rows of a table \(all, now held_out\); choose another"
    for metrics in (["mig"], ["mcc"]):
        with pytest.raises(UserError, match=message):
            evaluate(held_out, tmp_path, metrics, rows="held_out")
    assert json.loads((tmp_path / "scores.json").read_text()) == first
    second = evaluate(held_out, tmp_path, ["mig"], rows="held_out", overwrite=True)
    assert json.loads((tmp_path / "scores.json").read_text()) == second != first
    with pytest.raises(UserError, match=r"other rows of a table \(held_out, now train\)"):
        evaluate(held_out, tmp_path, ["mig"], rows="train")


def test_a_score_of_an_older_release_is_one_of_all_rows(tmp_path, table, capsys):
    first = evaluate(table, tmp_path, ["mig"])
    record = results.read_step(tmp_path / "mig")
    del record["labels"]["rows"]
    results.write_json(tmp_path / "mig" / "results.json", record)
    assert evaluate(table, tmp_path, ["mig"]) == first
    assert "mig: already there" in capsys.readouterr().out
    (row,) = aggregate_results.read_tree(tmp_path)[0].query("key == 'mig'").itertuples()
    assert row.rows == "all"
    masked = dataclasses.replace(table, held_out=CORNER)
    with pytest.raises(UserError, match=r"other rows of a table \(all, now train\)"):
        evaluate(masked, tmp_path, ["mig"], rows="train")


def test_the_mask_is_part_of_the_table_that_a_folder_knows(tmp_path, table, held_out):
    evaluate(held_out, tmp_path, ["mig"])
    with pytest.raises(UserError, match="holds a score of another representation"):
        evaluate(dataclasses.replace(table, held_out=~CORNER), tmp_path, ["mig"])


QUICK_READOUTS = [
    "readout_transfer.num_train = 60",
    "readout_transfer.num_test = 30",
    "readout_transfer.logistic_regression = @sklearn_multinomial_logistic_regression",
    "lightgbm_exact_gradient_boosting.num_rounds = 3",
]


def test_readout_transfer_gets_the_mask_and_refuses_a_part_of_the_rows(tmp_path, held_out):
    names = ["mig", "readout_transfer"]
    gin_utils.parse(metric_config.files(names), QUICK_READOUTS)
    scores = evaluate(held_out, tmp_path / "all", names, num_workers=1)["readout_transfer"]
    assert scores["num_held_out_rows"] == 30
    assert scores["ridge_r2"] == np.mean([scores[f"ridge_r2:{name}"] for name in "abc"])
    record = results.read_step(tmp_path / "all" / "readout_transfer")
    assert not [key for key in record["config"] if "held_out" in key]
    assert record["warnings"] == []
    with pytest.raises(
        UserError,
        match=(
            r"1 of 2 metrics failed \(readout_transfer: every row was held out .* score a whole"
            r' table, evaluate.rows = "all"\); the others are kept in'
        ),
    ):
        evaluate(held_out, tmp_path / "part", names, num_workers=1, rows="held_out")
    assert list(json.loads((tmp_path / "part" / "scores.json").read_text())) == ["mig"]


def test_a_model_without_held_out_rows_is_said(tmp_path, table):
    gin_utils.parse(metric_config.files(["readout_transfer"]), QUICK_READOUTS)
    evaluate(table, tmp_path, ["readout_transfer"], num_workers=1)
    (warning,) = results.read_step(tmp_path / "readout_transfer")["warnings"]
    assert warning["kind"] == "no_held_out_rows"


@pytest.mark.parametrize("flag", ["--rows=held_out", "--gin_bindings=evaluate.rows = 'held_out'"])
def test_the_command_chooses_rows(tmp_path, held_out, flag):
    held_out.save(tmp_path / "mean" / "representation.npz")
    flags = ["--input_dir=mean", "--output_dir=scores", "--metrics=mig", flag]
    done = command(*flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert results.read_step(tmp_path / "scores" / "mig")["labels"]["rows"] == "held_out"
    table, _ = aggregate_results.read_tree(tmp_path / "scores")
    assert set(table["rows"]) == {"held_out"}
    dry = command(*flags, "--dry_run", cwd=tmp_path)
    assert "# evaluate.rows = 'held_out'" in dry.stdout


def test_arrays_have_no_held_out_rows(tmp_path):
    done = command(*save_arrays(tmp_path), "--metrics=mig", "--rows=train", cwd=tmp_path)
    assert done.returncode == 2
    assert "no row of this table was held out of training" in done.stderr
    assert len(done.stderr.splitlines()) == 1


MASKS = {
    "corner": CORNER,
    "random": np.random.default_rng(1).permutation(120) < 40,
    "extrapolation": FACTORS[:, 2] >= 3,
    "one value": FACTORS[:, 0] == 3,
}


@pytest.mark.parametrize("mask", MASKS)
def test_the_fast_suite_scores_held_out_rows(tmp_path, table, mask):
    small = [
        "dci.num_train = 60",
        "downstream_task.num_train = [30]",
        "lightgbm_exact_gradient_boosting.num_rounds = 3",
        *(f"{name}_vae.num_train = 60" for name in ("beta", "factor")),
    ]
    names = gin_utils.GinText(["suites/fast.gin"]).value("evaluate.metrics")
    gin_utils.parse([*metric_config.files(names), "suites/fast.gin"], small)
    masked = dataclasses.replace(table, held_out=MASKS[mask])
    scores = evaluate(masked, tmp_path, names, rows="held_out", num_workers=1)
    assert list(scores) == list(names)
    assert all(np.isfinite(value) for values in scores.values() for value in values.values())


def test_several_draws_give_means_and_standard_deviations(tmp_path, table, local_metric, capsys):
    local_metric("drawn", "return {'number': rng.random() * scale}")
    one, two, three = (
        evaluate(table, tmp_path / str(k), ["drawn", "mig"], seed=4, eval_seeds=k)
        for k in (1, 2, 3)
    )
    assert set(one["mig"]) == {"mig", "num_factors_scored"}
    first = one["drawn"]["number"]
    second, third = (
        2 * two["drawn"]["number"] - first,
        3 * three["drawn"]["number"] - 2 * two["drawn"]["number"],
    )
    assert 0 < second < 1  # means over two and three draws share the draws of fewer
    assert 0 < third < 1
    assert len({first, second, third}) == 3
    assert three["drawn"]["number:std"] == pytest.approx(np.std([first, second, third], ddof=1))
    assert 0 < three["mig"]["mig:std"] < 0.02
    assert three["mig"]["num_factors_scored:std"] == 0
    assert (
        f"drawn.number            {three['drawn']['number']:.4f}  +-"
        f" {three['drawn']['number:std']:.4f}" in capsys.readouterr().out
    )
    assert results.read_step(tmp_path / "3" / "mig")["labels"]["eval_seeds"] == 3
    with pytest.raises(UserError, match="eval_seeds was 3, now 2"):
        evaluate(table, tmp_path / "3", ["mig"], seed=4, eval_seeds=2)
    with pytest.raises(
        UserError, match="evaluate.eval_seeds must be a whole number of at least 1, got 0"
    ):
        evaluate(table, tmp_path / "0", ["mig"], eval_seeds=0)


def test_progress_says_how_long_it_takes(tmp_path, table, monkeypatch, capsys):
    monkeypatch.setattr(repeats, "SECONDS_BETWEEN_LINES", 0.0)
    gin_utils.parse(metric_config.files(["dci"]), ["dci.num_train = 60", "dci.num_test = 60"])
    evaluate(table, tmp_path / "scores", ["dci"], eval_seeds=2, num_workers=1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith(" left")]
    # Factors of 6, 5 and 4 values, the slowest first, twice: 6, 11, 15 of 30 and so on; the end is
    # the "done" line.
    assert [line.split(": ")[1].split(",")[0] for line in lines] == [
        "20%",
        "37%",
        "50%",
        "50%",
        "70%",
        "87%",
    ]


def test_another_configuration_is_refused_until_overwrite(tmp_path, table):
    first = evaluate(table, tmp_path, FAST)
    with pytest.raises(
        UserError,
        match=(
            r"mig holds a score of another configuration \(evaluation_seed was 0, now 1\); use"
            r" --overwrite or another"
        ),
    ):
        evaluate(table, tmp_path, FAST, seed=1)
    gin_utils.parse(metric_config.files(["mig"]), ["mig.num_bins = 5"])
    with pytest.raises(UserError, match=r"\(mig.num_bins was 20, now 5\)"):
        evaluate(table, tmp_path, FAST)
    other = Representation(table.codes * 2, table.factors, table.factor_names, table.factor_sizes)
    with pytest.raises(UserError, match="holds a score of another representation"):
        evaluate(other, tmp_path, ["dci"])
    assert json.loads((tmp_path / "scores.json").read_text()) == {
        name: first[name] for name in sorted(first)
    }

    again = evaluate(table, tmp_path, ["mig"], overwrite=True)
    assert again["mig"] != first["mig"]
    assert results.read_step(tmp_path / "mig")["config"]["mig.num_bins"] == 5
    assert json.loads((tmp_path / "scores.json").read_text()) == {
        "factor_vae": first["factor_vae"],
        "mig": again["mig"],
    }


def saved(folder="scores"):
    return json.loads((pathlib.Path(folder) / "scores.json").read_text())


def write_deadly(local_metric, name, signal_name):
    """A metric that draws a number, and sends its process a signal where the file `kill` lies."""
    kill = f"if os.path.exists('kill'):\n    os.kill(os.getpid(), signal.{signal_name})\n"
    local_metric(name, f"{kill}return {{'number': rng.random()}}")


@pytest.mark.parametrize("how, code", [("SIGINT", 75), ("SIGKILL", -9)])
def test_a_killed_overwrite_keeps_what_it_did_not_replace(tmp_path, local_metric, how, code):
    write_deadly(local_metric, "deadly", how)
    flags = [*save_arrays(tmp_path), "--metrics=mig,deadly,mcc,factor_vae", "--num_workers=1"]
    assert command(*flags, cwd=tmp_path).returncode == 0
    before = saved()
    (tmp_path / "kill").touch()
    other = ["--overwrite", "--gin_bindings=evaluate.seed = 1", "--gin_bindings=mig.num_bins = 4"]
    killed = command(*flags, *other, cwd=tmp_path)
    assert killed.returncode == code
    if how == "SIGINT":
        assert (
            killed.stderr
            == "dlib_evaluate: interrupted; deadly,mcc,factor_vae keep the scores they had, if any:"
            " run again for all, or for these only\n"
        )
    assert saved()["mig"] != before["mig"]
    assert {name: values for name, values in saved().items() if name != "mig"} == {
        name: before[name] for name in before if name != "mig"
    }
    for name, bins_and_seed in {
        "mig": (4, 1),
        "deadly": (None, 0),
        "mcc": (None, 0),
        "factor_vae": (None, 0),
    }.items():
        record = results.read_step(tmp_path / "scores" / name)
        assert (
            record["config"].get("mig.num_bins"),
            record["labels"]["evaluation_seed"],
        ) == bins_and_seed
    (tmp_path / "kill").unlink()
    rest = command(*flags[:-2], "--metrics=deadly,mcc,factor_vae", *other[:2], cwd=tmp_path)
    assert rest.returncode == 0, rest.stderr
    assert {
        results.read_step(tmp_path / "scores" / name)["labels"]["evaluation_seed"]
        for name in before
    } == {1}
    assert saved()["deadly"] != before["deadly"]


def blocked_signals(call):
    """Which signals the workers block that a call starts, if it starts any: hexadecimal masks."""
    code = f"""
import joblib
from dlib_tf2.metrics import _linear
from dlib_tf2.system.workers import spread
import numpy as np
def mask():
    return [line.split()[1] for line in open("/proc/self/status") if line.startswith("SigBlk")][0]
with joblib.parallel_config(backend="loky", n_jobs=2, inner_max_num_threads=1):
    {call}
    print(*joblib.Parallel()(joblib.delayed(mask)() for _ in range(2)))
"""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.parametrize(
    "call", ["list(spread([joblib.delayed(abs)(1)]))", "_linear.sklearn_logistic_regression(0)"]
)
def test_no_worker_hears_ctrl_c_whoever_starts_it(call):
    assert blocked_signals(call) == ["0000000000000002"] * 2  # SIGINT, and nothing else


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_parallel_fits_ends_with_our_line_and_no_worker(tmp_path, number):
    # Arrays above a megabyte lie in files that joblib shares between its workers and deletes at the
    # end.
    rng, grid = np.random.default_rng(0), np.indices((4, 5, 6, 40, 20)).reshape(5, -1).T
    flags = save_arrays(tmp_path, (grid @ rng.normal(size=(5, 10))).astype(np.float32), grid)
    arguments = [
        sys.executable,
        str(ROOT / "bin" / "dlib_evaluate"),
        *flags,
        "--metrics=dci",
        "--num_workers=2",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(arguments, cwd=tmp_path, start_new_session=True, **pipes)
    try:
        # itself, joblib's tracker of files, two workers
        wait_until(lambda: len(processes_of(process.pid)) >= 4)
        time.sleep(0.5)
        # as a terminal; as a scheduler
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (
            75,
            "dlib_evaluate: interrupted; run the same command again to resume\n",
        )
        wait_until(lambda: not processes_of(process.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert not (tmp_path / "scores" / "dci" / "results.json").exists()


def processes_of(session):
    """The processes of a session that run."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, of = path.read_text().rsplit(")", 1)[1].split()[:4]
            found += [path.parent.name] if int(of) == session and state != "Z" else []
    return found


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_metric_that_fails_under_overwrite_keeps_its_earlier_score(
    tmp_path, table, local_metric, capsys
):
    local_metric(
        "moody",
        "if os.path.exists('bad'):\n    raise ValueError('bad mood')\nreturn {'number':"
        " rng.random()}",
    )
    first = evaluate(table, "scores", ["moody", "mcc"])
    (tmp_path / "bad").touch()
    with pytest.raises(DlibError, match=r"1 of 2 metrics failed \(moody: ValueError: bad mood\)"):
        evaluate(table, "scores", ["moody", "mcc"], overwrite=True, seed=1)
    assert (
        "moody: failed: ValueError: bad mood; its earlier score is kept\n"
        in capsys.readouterr().out
    )
    assert saved()["moody"] == first["moody"]
    assert saved()["mcc"] != first["mcc"]
    with pytest.raises(DlibError):
        evaluate(table, "new", ["moody"])
    assert "kept" not in capsys.readouterr().out
    assert saved("new") == {}


def test_what_cannot_be_computed_again_is_not_deleted(table, local_metric):
    local_metric("unused", "return {}")  # moves to a folder of its own
    first = evaluate(table, "scores", FAST)
    gin_utils.parse(metric_config.files(["mig"]), ["mig.num_bins = 0"])
    with pytest.raises(UserError, match="1 of 1 metrics failed"):
        evaluate(table, "scores", ["mig"], overwrite=True)
    assert saved() == {name: first[name] for name in sorted(first)}
    notes = pathlib.Path("scores/mig/notes")
    notes.write_text("mine")
    gin_utils.parse(metric_config.files(["mig"]), ["mig.num_bins = 5"])
    assert evaluate(table, "scores", ["mig"], overwrite=True)["mig"] != first["mig"]
    assert notes.read_text() == "mine"


def test_scores_of_two_representations_never_lie_in_one_folder(table, local_metric):
    write_deadly(local_metric, "deadly", "SIGINT")
    evaluate(table, "scores", ["mcc", "deadly", "mig"])
    other = Representation(table.codes * 2, table.factors, table.factor_names, table.factor_sizes)
    with pytest.raises(
        UserError,
        match=(
            r"mig holds a score of another representation .* --overwrite --metrics=mcc,deadly,mig"
        ),
    ):
        evaluate(other, "scores", ["mcc", "deadly"], overwrite=True)
    assert list(saved()) == ["deadly", "mcc", "mig"]
    pathlib.Path("kill").touch()
    with pytest.raises(
        Interrupted, match="interrupted; deadly,mig keep the scores they had, if any"
    ):
        evaluate(other, "scores", ["mcc", "deadly", "mig"], overwrite=True)
    assert list(saved()) == ["mcc"]
    assert results.read_step("scores/mcc")["labels"]["codes_sha256"] == stage.fingerprint(other)
    pathlib.Path("kill").unlink()
    # without overwrite: goes on
    assert list(evaluate(other, "scores", ["mcc", "deadly", "mig"])) == ["mcc", "deadly", "mig"]


def test_scores_of_two_kinds_of_trees_never_lie_in_one_folder(table, local_metric, capsys):
    for name in ("early", "second"):
        stop = (
            "if os.path.exists('kill'):\n    os.kill(os.getpid(), signal.SIGINT)\n"
            if name == "second"
            else ""
        )
        local_metric(
            name,
            f"{stop}return {{'boosted': 1.0}}",
            f"include 'suites/classifiers.gin'\n{name}.scale = %TREES",
        )
    both, other = ["early", "second"], ["TREES = @sklearn_gradient_boosting"]
    evaluate(table, "scores", [*both, "mig"])

    gin_utils.parse(metric_config.files(both), other)
    message = (
        r"second holds a score of other boosted trees \(lightgbm_exact_gradient_boosting, "
        r"now sklearn_gradient_boosting\); "
        "choose another output folder, or replace all of them: --overwrite --metrics=early,second"
    )
    for path in pathlib.Path("scores/early").iterdir():
        path.unlink()
    for overwrite in (False, True):
        with pytest.raises(UserError, match=message):
            evaluate(table, "scores", ["early"], overwrite=overwrite)
    # no trees: they stand beside any
    assert list(evaluate(table, "scores", ["mig", "mcc"])) == ["mig", "mcc"]

    pathlib.Path("kill").touch()
    with pytest.raises(Interrupted):
        evaluate(table, "scores", ["second"], overwrite=True)
    assert (
        results.read_step("scores/second")["config"]["second.scale"]
        == "@lightgbm_exact_gradient_boosting"
    )  # nothing new: nothing is lost
    with pytest.raises(Interrupted):
        evaluate(table, "scores", both, overwrite=True)
    # the new score by trees took the place of the old one of the other kind
    assert list(saved()) == ["early", "mcc", "mig"]
    pathlib.Path("kill").unlink()
    evaluate(table, "scores", both)
    assert {results.read_step(f"scores/{name}")["config"][f"{name}.scale"] for name in both} == {
        "@sklearn_gradient_boosting"
    }

    gin_utils.parse(metric_config.files(both), ["second.scale = @sklearn_gradient_boosting"])
    with pytest.raises(UserError, match="scores of different boosted trees do not compare"):
        evaluate(table, "mixed", both)
    assert not pathlib.Path("mixed").exists()


def test_foreign_folders_are_not_touched(tmp_path, table):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds files that dlib_tf2 did not write"):
        evaluate(table, tmp_path, ["mig"], overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    evaluate(table, tmp_path / "scores", ["factor_vae"])
    notes = tmp_path / "scores" / "mig" / "notes"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(UserError, match="mig holds files that dlib_tf2 did not write"):
        evaluate(table, tmp_path / "scores", ["mig"], overwrite=True)
    assert notes.read_text() == "mine"


def test_a_metric_is_one_module_and_one_gin_file(tmp_path, table, local_metric):
    local_metric(
        "largest_code",
        "return {'largest': float(codes.max() * scale)}",
        "largest_code.scale = %SCALE\nSCALE = 2.0",
    )
    local_metric(
        "largest_variant",
        "return {}",
        "largest_variant/metric.function = @largest_code\nlargest_variant/largest_code.scale ="
        " -1.0",
    )
    scores = evaluate(table, "scores", ["largest_code", "largest_variant"])
    assert scores["largest_code"]["largest"] == pytest.approx(2 * table.codes.max())
    assert scores["largest_variant"]["largest"] == pytest.approx(-table.codes.max())
    assert results.read_step("scores/largest_code")["config"] == {"largest_code.scale": 2.0}
    config = {
        "largest_variant/largest_code.scale": -1.0,
        "largest_variant/metric.function": "@largest_code",
    }
    assert results.read_step("scores/largest_variant")["config"] == config
    gin_utils.parse(["scores/largest_variant/config.gin"])  # what is kept parses again
    assert (
        metric_config.resolve("largest_variant").config_text
        == pathlib.Path("scores/largest_variant/config.gin").read_text()
    )


def test_references_keep_their_parameters():
    gin_utils.parse(metric_config.files(["dci"]), ["dci.num_train = 7"])
    assert gin_utils.typed_bindings(metric_config.resolve("dci").config_text) == {
        "dci.classifier": "@lightgbm_exact_gradient_boosting",
        "dci.disjoint": None,
        "dci.num_test": 5000,
        "dci.num_train": 7,
        "lightgbm_exact_gradient_boosting.learning_rate": 0.1,
        "lightgbm_exact_gradient_boosting.max_depth": 3,
        "lightgbm_exact_gradient_boosting.min_child_samples": 1,
        "lightgbm_exact_gradient_boosting.num_rounds": 100,
    }


def test_a_fresh_process_scores_from_python_alone(tmp_path, table):
    # Nothing has told gin yet where our files lie; those of dci include others.
    table.save(tmp_path / "codes" / "representation.npz")
    code = (
        "from dlib_tf2.evaluate import evaluate; evaluate('codes', 'scores', ['mig', 'beta_vae'],"
        " num_workers=1)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_metric_that_fails_leaves_the_others(tmp_path, table, local_metric, capsys):
    local_metric("failing", "raise ZeroDivisionError('no rows\\nand more')")
    with pytest.raises(
        DlibError,
        match=(
            r"1 of 3 metrics failed \(failing: ZeroDivisionError: no rows\); the others are kept in"
            r" scores"
        ),
    ) as caught:
        evaluate(table, "scores", ["mig", "failing", "factor_vae"])
    assert caught.value.exit_code == 1
    assert sorted(json.loads(pathlib.Path("scores/scores.json").read_text())) == [
        "factor_vae",
        "mig",
    ]
    assert "[2/3] failing: failed: ZeroDivisionError: no rows\n" in capsys.readouterr().out
    gin_utils.parse(metric_config.files(["mig"]), ["mig.num_bins = 1"])
    with pytest.raises(UserError, match="1 of 1 metrics failed .*num_bins = 1, expected") as caught:
        evaluate(table, "small", ["mig"])
    assert caught.value.exit_code == 2


def test_a_killed_run_loses_at_most_the_metric_it_was_in(tmp_path, local_metric):
    local_metric(
        "killer",
        "if not os.path.exists('calm'):\n    os.kill(os.getpid(), signal.SIGKILL)\nreturn"
        " {'survived': 1.0}",
    )
    flags = [*save_arrays(tmp_path), "--metrics=mig,killer,factor_vae"]
    assert command(*flags, cwd=tmp_path).returncode == -9
    assert list(json.loads((tmp_path / "scores" / "scores.json").read_text())) == ["mig"]
    (tmp_path / "calm").touch()
    done = command(*flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mig: already there" in done.stdout
    assert list(json.loads((tmp_path / "scores" / "scores.json").read_text())) == [
        "factor_vae",
        "killer",
        "mig",
    ]


def test_the_folder_of_representations_is_explained(tmp_path, table):
    table.save(tmp_path / "mean" / "representation.npz")
    with pytest.raises(UserError, match=r"holds no representation.npz; it holds mean: name .*mean"):
        evaluate(tmp_path, tmp_path / "scores", ["mig"])
    with pytest.raises(
        UserError, match="holds no representation.npz; name a folder that dlib_postprocess wrote"
    ):
        evaluate(tmp_path / "nothing", tmp_path / "scores", ["mig"])
    assert not (tmp_path / "scores").exists()


def test_the_fingerprint_sees_every_code_and_factor(table):
    codes, factors = table.codes.copy(), table.factors.copy()
    codes[-1, -1] += 1
    factors[0, 0] += 1
    variants = [
        table,
        *(
            Representation(c, f, ("a", "b", "c"), (4, 5, 6))
            for c, f in [(codes, table.factors), (table.codes, factors)]
        ),
    ]
    assert len({stage.fingerprint(variant) for variant in variants}) == 3


def test_command_scores_arrays_of_any_origin(tmp_path):
    flags = save_arrays(tmp_path)
    done = command(
        *flags,
        "--metrics=mig,dci",
        "--gin_bindings=dci.num_train = 60",
        "--gin_bindings=dci.num_test = 60",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert scores["mig"]["mig"] > 0.95
    assert scores["dci"]["disentanglement"] > 0.8
    assert results.read_step(tmp_path / "scores" / "dci")["config"]["dci.num_train"] == 60


def test_command_takes_its_list_and_seed_from_gin(tmp_path):
    (tmp_path / "mine.gin").write_text(
        "import dlib_tf2.evaluate\nevaluate.metrics = ['mig']\nevaluate.seed = 5\nmig.num_bins"
        " = 4\n"
    )
    done = command(*save_arrays(tmp_path), "--gin_config=mine.gin", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = results.read_step(tmp_path / "scores" / "mig")
    assert (record["labels"]["evaluation_seed"], record["config"]["mig.num_bins"]) == (5, 4)
    assert not (tmp_path / "scores" / "dci").exists()


def test_command_runs_the_fast_suite(tmp_path):
    flags = [
        *save_arrays(tmp_path, np.tile(FACTORS, (2, 1)), np.tile(FACTORS, (2, 1))),
        "--gin_config=suites/fast.gin",
        "--eval_seeds=2",
    ]
    few = ["dci", "modularity_explicitness", "sap"]
    bindings = [
        f"--gin_bindings={name}.{part} = 50" for name in few for part in ("num_train", "num_test")
    ]
    bindings += [
        f"--gin_bindings={name}.{part} = 100"
        for name in ("beta_vae", "factor_vae")
        for part in ("num_train", "num_eval")
    ]
    bindings += [
        "--gin_bindings=downstream_task.num_train = [10, 60]",
        "--gin_bindings=downstream_task.num_test = 60",
    ]
    done = command(*flags, *bindings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    warned = [line.split(": about ")[0] for line in done.stderr.splitlines()]
    downstream = "downstream_task_boosted_trees, downstream_task_logistic_regression"
    # the published protocol's overlap
    names = ("dci", downstream, "modularity_explicitness", "sap")
    assert warned == [f"warning: {name}" for name in names]
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert len(scores) == 9
    assert scores["downstream_task_boosted_trees"]["60:mean_test_accuracy"] > 0.9
    assert 0 < scores["downstream_task_logistic_regression"]["60:mean_test_accuracy:std"] < 0.2
    record = results.read_step(tmp_path / "scores" / "dci")
    assert record["config"]["dci.classifier"] == "@lightgbm_exact_gradient_boosting"
    assert "lightgbm" in record["versions"]


def test_dry_run_prints_the_configuration_and_writes_nothing(tmp_path):
    done = command(
        *save_arrays(tmp_path), "--dry_run", "--gin_bindings=mig.num_bins = 7", cwd=tmp_path
    )
    assert done.returncode == 0
    assert "mig.num_bins = 7" in done.stdout
    assert not (tmp_path / "scores").exists()


MISTAKES = {
    "no flags": ([], "missing required flag --output_dir"),
    "no input": (
        ["--output_dir=o"],
        "missing required flag: give either --input_dir, or --codes and --factors",
    ),
    "no factors": (
        ["--output_dir=o", "--codes=codes.npy"],
        "missing required flag: codes.npy holds codes alone, so --factors is needed too",
    ),
    "metric": (["--metrics=mgi"], "; did you mean mig?"),
    "path": (
        ["--metrics=../suites/fast"],
        "no metric can be called '../suites/fast'; expected names such as mig",
    ),
    "comma": (
        ["--metrics=mig,"],
        "no metric can be called ''; expected names such as mig, separated by single commas",
    ),
    "udr": (
        ["--metrics=udr"],
        "udr scores several representations by each other, not one: run dlib_udr",
    ),
    "no metrics": (
        [
            "--output_dir=o",
            "--codes=codes.npy",
            "--factors=factors.npy",
            "--gin_bindings=evaluate.metrics = []",
        ],
        "evaluate.metrics is []; expected a list of names, such as ['mig']",
    ),
    "trees": (
        ["--metrics=dci,fairness", "--gin_bindings=dci.classifier = @sklearn_gradient_boosting"],
        "bind TREES instead",
    ),
    "missing": (["--codes=absent.npy"], "the codes file absent.npy does not exist"),
    "corrupt": (["--codes=corrupt.npy"], "corrupt.npy is damaged or holds no plain numpy array"),
    "length": (["--codes=short.npy"], "codes have 100 rows and factors 120"),
    "bins": (["--metrics=mig", "--gin_bindings=mig.num_bins = 10**9"], "num_bins"),
    "parameter": (["--gin_bindings=mig.bins = 3"], "mig"),
    "folder": (["--output_dir=full"], "holds files that dlib_tf2 did not write"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_one_line(tmp_path, name):
    given, message = MISTAKES[name]
    base = save_arrays(tmp_path)
    np.save(tmp_path / "short.npy", FACTORS[:100])
    (tmp_path / "corrupt.npy").write_bytes((tmp_path / "codes.npy").read_bytes()[:200])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    flags = given if name.startswith("no ") else [*base, *given]
    done = command(*flags, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("dlib_evaluate: ")
    assert "In call to configurable" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_record_of_the_representation_is_not_lost_in_silence(tmp_path, table):
    table.save(tmp_path / "mean" / "representation.npz")
    (tmp_path / "mean" / "results.json").write_text("{")
    with pytest.raises(DlibError, match="results.json is damaged"):
        evaluate(tmp_path / "mean", tmp_path / "scores", metrics=["mig"])


def test_metrics_named_by_gin_alone_bring_their_files(tmp_path, table):
    np.save(tmp_path / "codes.npy", table.codes)
    np.save(tmp_path / "factors.npy", table.factors)
    flags = ["--codes=codes.npy", "--factors=factors.npy", "--output_dir=out"]
    done = command(
        *flags,
        "--gin_bindings=evaluate.metrics = ['med']",
        "--gin_bindings=mig.num_train = 5",
        cwd=tmp_path,
    )
    assert done.returncode == 2  # only the files of the metrics that are asked for are read
    assert "mig" in done.stderr
    done = command(
        *flags,
        "--gin_bindings=evaluate.metrics = ['mig']",
        "--gin_bindings=mig.num_train = 50",
        "--dry_run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "mig.num_train = 50" in done.stdout
    assert "# evaluate.metrics = ['mig']" in done.stdout
    assert "# evaluate.seed = 0" in done.stdout
    done = command(*flags, "--gin_bindings=evaluate.metrics = 'mig'", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "expected a list of names" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [{"eval_seeds": 1.5}, {"num_workers": True}, {"seed": "x"}, {"seed": -1}, {"overwrite": "no"}],
)
def test_arguments_of_another_kind_are_refused(arguments, table, tmp_path):
    (name,) = arguments
    with pytest.raises(UserError, match=rf"evaluate.{name} must be"):
        evaluate(table, tmp_path / "out", ["mig"], **arguments)
    assert not (tmp_path / "out").exists()


def test_what_makes_a_score_mean_less_is_printed_and_kept(tmp_path, table, capsys):
    names = ["sap", "mig", "dci", "factor_vae"]
    few = [f"{name}.num_train = 200" for name in ("sap", "dci")]
    few += [f"{name}.num_test = 50" for name in ("sap", "dci")]
    trees = ["dci.disjoint = False"]
    gin_utils.parse(metric_config.files(names), [*few, *trees])
    rows = np.random.default_rng(0).permutation(120)[:100]
    index = np.concatenate([FACTORS[rows], np.arange(100)[:, None]], axis=1)
    sample = Representation(table.codes[rows], index, ("a", "b", "c", "index"), (4, 5, 6, 100))
    evaluate(sample, tmp_path, names[:3], eval_seeds=2)
    printed = capsys.readouterr().err.splitlines()
    asked = "the protocol asks for 200 training and 50 test rows that all differ"
    index = "nearly as many values as rows (100): index (100 values); such a factor is little more"
    expected = [
        f"sap, mig, dci: {index}",
        f"sap: {asked}, the table has 100 rows: 66 train and 34 test",
        "mig: num_train asks for 10,000 different rows, the table has 100: all of them are used",
        (
            "dci: about 87% of the test rows are training rows too (test_overlap), since 200 rows"
            " are drawn with replacement from 100; bind dci.disjoint = True"
        ),
    ]
    assert len(printed) == len(expected)
    for line, begin in zip(printed, expected, strict=True):
        assert line.startswith(f"warning: {begin}")
    record = results.read_step(tmp_path / "dci")
    assert [told["kind"] for told in record["warnings"]] == ["many_values", "overlap"]
    assert record["warnings"][1]["text"] in printed[3]
    evaluate(sample, tmp_path, names[:3], eval_seeds=2)  # already there: said again
    assert capsys.readouterr().err.splitlines() == printed
    shared = aggregate_results.read_tree(tmp_path)[0].groupby("metric")["warnings"].first()
    assert shared.to_dict() == {
        "dci": "many_values+overlap",
        "mig": "many_values+few_rows",
        "sap": "many_values+few_rows",
    }


def test_scores_of_different_numbers_of_rows_have_other_settings(tmp_path, table):
    for rows in (50, 55, 120):
        part = Representation(table.codes[:rows], FACTORS[:rows], ("a", "b", "c"), (4, 5, 6))
        evaluate(part, tmp_path / str(rows), ["mig"])
    found = aggregate_results.read_tree(tmp_path)[0].groupby("path")["settings"].first()
    assert found.nunique() == 3


def test_a_score_without_anything_to_say_of_it_warns_of_nothing(tmp_path, table, capsys):
    evaluate(table, tmp_path, ["mig"])
    assert capsys.readouterr().err == ""
    assert results.read_step(tmp_path / "mig")["warnings"] == []


def test_constant_codes_are_warned_of_once_for_all_metrics(tmp_path, capsys):
    evaluate(
        Representation(np.ones((120, 3)), FACTORS, ("a", "b", "c"), (4, 5, 6)),
        tmp_path,
        ["mig", "factor_vae", "irs"],
    )
    printed = capsys.readouterr().err
    assert (
        printed
        == "warning: mig, factor_vae, irs: every code is constant: the representation says nothing,"
        " whatever the score\n"
    )
    assert [warning["kind"] for warning in results.read_step(tmp_path / "mig")["warnings"]] == [
        "no_active_code"
    ]


def test_what_is_no_score_is_not_kept(table, local_metric):
    odd = {
        "whole": ("3", "int, expected a dictionary of names and numbers"),
        "empty": ("{}", "dict, expected a dictionary of names and numbers"),
        "text": ("{'a': 'b'}", "{'a': 'b'}, expected names and numbers"),
        "truth": ("{'a': True}", "{'a': True}, expected names and numbers"),
    }
    for name, (value, said) in odd.items():
        local_metric(name, f"return {value}")
        with pytest.raises(
            UserError,
            match=re.escape(f"1 of 2 metrics failed ({name}: the metric returned {said})"),
        ):
            evaluate(table, "scores", [name, "mig"])
    assert list(saved()) == ["mig"]


def test_codes_that_took_the_place_of_others_are_refused(table, tmp_path):
    folder = tmp_path / "mean"
    table.save(folder / "representation.npz")
    results.write_step(
        folder, "postprocess", {}, started=0.0, config_text="", files=["representation.npz"]
    )
    assert list(evaluate(folder, tmp_path / "scores", ["mig"])) == ["mig"]
    Representation(-table.codes, table.factors, table.factor_names, table.factor_sizes).save(
        folder / "representation.npz"
    )
    with pytest.raises(
        DlibError,
        match=(
            r"mean/representation.npz is not the file that dlib_postprocess wrote: run that again"
        ),
    ):
        evaluate(folder, tmp_path / "others", ["mig"])


def test_a_refused_metric_stops_no_other(tmp_path, capsys):
    factors = np.stack(np.unravel_index(np.arange(2400), (1200, 2)), axis=1)
    table = Representation(
        np.random.default_rng(0).normal(size=(2400, 2)), factors, ("height", "hue"), (1200, 2)
    )
    with pytest.raises(
        UserError,
        match=(
            r"1 of 2 metrics failed \(sap: height has 1,200 values in 2,400 rows; .* at most 500:"
        ),
    ):
        evaluate(table, tmp_path, ["sap", "mig"])
    assert set(json.loads((tmp_path / "scores.json").read_text())) == {"mig"}


def test_a_record_names_the_factors_of_the_table(tmp_path, table, local_metric):
    local_metric("toy", "return {'score:factor_2': 1.0}")
    assert evaluate(table, "scores", ["toy"], num_workers=1) == {"toy": {"score:c": 1.0}}
    assert evaluate(
        Representation.from_arrays(FACTORS, FACTORS), "plain", ["toy"], num_workers=1
    ) == {"toy": {"score:factor_2": 1.0}}
