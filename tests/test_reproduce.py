"""One model of a study: what is written, repeated after a stop, and free once done; mistakes."""

import html
import json
import os
import re
import shutil
import time

import gin
import no_tensorflow
import numpy as np
import pytest
from finished_run import write_run

from dlib_tf2 import aggregate_results, reproduce
from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets import load
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.records import results
from dlib_tf2.studies import run_folder
from dlib_tf2.studies.plan import make_plan
from dlib_tf2.system import locks
from dlib_tf2.visualize import model_pictures

TINY = (
    *(
        "import tiny_networks",
        "train.encoder = @tiny_encoder",
        "train.decoder = @tiny_decoder",
        "NUM_LATENT = 2",
        "STEPS = 4",
    ),
    *(
        "BATCH_SIZE = 16",
        "train.eval_steps = 1",
        "evaluate.metrics = ['mig', 'unsupervised']",
        "postprocess.batch_size = 8192",
    ),
)
SCORES = [
    f"scores/{name}/{metric}" for name in ("mean", "sampled") for metric in ("mig", "unsupervised")
]
PARTS = ["model", "codes/mean", "codes/sampled", *SCORES]


@pytest.fixture(autouse=True)
def clean_gin():
    gin.clear_config()
    yield
    gin.clear_config()


def reproduce_tiny(output_dir, data_dir, number=4, *bindings, **arguments):
    """Runs a model of rendered_study in this process, with tiny networks; returns its folder."""
    plan = make_plan("rendered_study", number, None, [*TINY, *bindings])
    reproduce.reproduce(plan, output_dir, data_dir=data_dir, **arguments)
    return output_dir / str(number)


@pytest.fixture
def run(tmp_path, data_dir):
    """`reproduce_tiny` in the folder of the test: (model_num, *bindings) -> the model's folder."""

    def in_folder(*arguments, output_dir=tmp_path / "study", **keywords):
        return reproduce_tiny(output_dir, data_dir, *arguments, **keywords)

    return in_folder


@pytest.fixture(scope="module")
def made_once(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("made") / "study"
    reproduce_tiny(folder, data_dir)
    return folder


@pytest.fixture
def done(made_once, tmp_path):
    """The folder of model 4, finished; `run()` would make the same."""
    return shutil.copytree(made_once, tmp_path / "study") / "4"


def finished(folder):
    """When each part was finished, to the nanosecond of its record."""
    return {part: (folder / part / "results.json").stat().st_mtime_ns for part in PARTS}


def test_all_steps_are_made_labelled_and_not_made_again(run, done, tmp_path, capsys):
    folder = done
    record = results.read_step(folder / "scores" / "sampled" / "mig")
    assert (results.label(record, "study"), results.label(record, "model_num")) == (
        "rendered_study",
        4,
    )
    assert results.label(record, "changes") == list(TINY)
    # strength 1 of the first method, seed 1
    assert results.label(record, "hyperparameters") == {"beta": 4.0}
    assert results.label(record, "seed") == 1
    table, damaged = aggregate_results.read_tree(tmp_path / "study")
    assert damaged == []
    assert set(table["study"]) == {"rendered_study"}
    assert set(table["model_num"]) == {4}
    assert set(table["metric"]) == {"train", "mig", "unsupervised"}
    assert (
        set(table["version"])
        == set(table["train_version"])
        == {results.package_versions()["dlib_tf2"]}
    )
    # A step's own configuration says nothing of the steps before it.
    assert not [
        key for key in results.read_step(folder / "codes")["config"] if key.startswith("train.")
    ]
    before = finished(folder)
    run()
    assert finished(folder) == before
    assert "is done in" in capsys.readouterr().out
    assert run_folder.state(folder).kind == "done"


def test_what_is_missing_is_made_again_and_nothing_else(run, done, capsys):
    folder = done
    before, scores = (
        finished(folder),
        results.read_step(folder / "scores" / "mean" / "mig")["values"],
    )
    # half written
    (folder / "scores" / "mean" / "mig" / "results.json").write_text('{"step": "evaluate", "val')
    assert run() == folder
    after = finished(folder)
    assert {part for part in PARTS if after[part] != before[part]} == {"scores/mean/mig"}
    assert results.read_step(folder / "scores" / "mean" / "mig")["values"] == scores


def test_a_model_that_is_trained_again_is_encoded_and_scored_again(run, done):
    folder = done
    before = finished(folder)
    weights = results.read_step(folder / "model")["values"]
    mine = [
        folder / part / "mine.txt"
        for part in ("", "model", "codes", "codes/mean", "scores", "scores/mean", "scores/mean/mig")
    ]
    for path in mine:
        path.write_text("mine")
    (folder / "model" / "results.json").unlink()
    run()
    assert [path.read_text() for path in mine] == ["mine"] * len(mine)
    after = finished(folder)
    assert all(after[part] > before[part] for part in PARTS)
    assert results.read_step(folder / "model")["values"] == weights


def test_a_kill_between_new_codes_and_their_scores_leaves_nothing_old(run, done, monkeypatch):
    folder = done
    old = (folder / "scores" / "mean" / "mig" / "results.json").read_bytes()
    # the record is lost: trained, encoded and scored again
    (folder / "model" / "results.json").unlink()
    (folder / "done.json").unlink()

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dlib_tf2.evaluate.evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    left = {path.name for path in (folder / "scores").rglob("*") if path.is_file()}
    assert left <= {".dlib_tf2", ".lock"}  # locks are never deleted, and they keep their folders
    run()
    assert finished(folder)
    assert (folder / "scores" / "mean" / "mig" / "results.json").read_bytes() != old


def test_a_failing_picture_does_not_block_a_score(run, monkeypatch, capsys):
    def fail(*arguments):
        raise RuntimeError("no font\nat all")

    monkeypatch.setattr(model_pictures, "draw", fail)
    folder = run()
    assert all(results.is_complete(folder / part) for part in PARTS)
    assert "no pictures" in (said := capsys.readouterr().err)
    assert "(RuntimeError: no font)" in said


def test_a_failing_metric_leaves_the_others_and_its_reason(run, tmp_path):
    with pytest.raises(DlibError, match="mig"):
        run(4, "mig.num_bins = 'many'")
    folder = tmp_path / "study" / "4"
    assert {part for part in PARTS if not results.is_complete(folder / part)} == {
        "scores/mean/mig",
        "scores/sampled/mig",
    }
    assert run_folder.state(folder).kind == "failed"
    assert "1 of 2 metrics failed (mig: " in run_folder.state(folder).reason


@pytest.mark.slow
def test_models_of_one_seed_share_weights_data_and_rows(run, tmp_path):
    # Models 0, 9 and 27 are beta-VAE, FactorVAE and DIP-VAE-II of seed 0: before the first update
    # they are the same encoder.
    first, *others = (run(number, "adam.learning_rate = 0.0") for number in (0, 9, 27))
    codes, scores, losses = (
        _codes(first),
        results.read_step(first / "scores" / "sampled" / "mig"),
        results.read_step(first / "model"),
    )
    assert scores["labels"]["evaluation_seed"] == 0
    for other in others:
        np.testing.assert_array_equal(_codes(other), codes)
        record = results.read_step(other / "scores" / "sampled" / "mig")
        assert (record["values"], record["labels"]["evaluation_seed"]) == (scores["values"], 0)
        # The same batches of evaluation and noise.
        assert (
            results.read_step(other / "model")["values"]["reconstruction_loss"]
            == losses["values"]["reconstruction_loss"]
        )


def _codes(folder):
    return np.load(folder / "codes" / "sampled" / "representation.npz", allow_pickle=False)["codes"]


def test_a_model_that_exists_is_scored_in_place(run, tmp_path, data_dir):
    write_run(tmp_path / "model", load("rendered_sprites/small", data_dir), num_latent=2)
    kept = {path: path.stat().st_mtime_ns for path in sorted((tmp_path / "model").rglob("*"))}
    plan = make_plan("rendered_study", None, "fast", ["evaluate.metrics = ['mig']"])
    for _ in range(2):
        reproduce.reproduce(plan, tmp_path / "scored", tmp_path / "model", data_dir)
    assert {
        path: path.stat().st_mtime_ns for path in sorted((tmp_path / "model").rglob("*"))
    } == kept
    assert results.is_complete(tmp_path / "scored" / "scores" / "mean" / "mig")
    assert run_folder.read_json(tmp_path / "scored" / "done.json")["seconds"].keys() >= {
        "postprocess",
        "evaluate/mean",
    }
    write_run(tmp_path / "other", load("rendered_sprites/small", data_dir), num_latent=2)
    with pytest.raises(
        UserError,
        match=r"holds scores of model_dir '.*model', not of '.*other'; choose another --output_dir",
    ):
        reproduce.reproduce(plan, tmp_path / "scored", tmp_path / "other", data_dir)
    fair = make_plan("fairness_study_v1", None, "fast", ["evaluate.metrics = ['mig']"])
    with pytest.raises(
        UserError, match=r"holds scores of study 'rendered_study', not of 'fairness_study_v1'"
    ):
        reproduce.reproduce(fair, tmp_path / "scored", tmp_path / "model", data_dir)
    assert results.is_complete(tmp_path / "scored" / "scores" / "mean" / "mig")


def test_the_rows_to_score_are_bound_as_all_else(tmp_path, data_dir):
    data = load("rendered_sprites/small", data_dir)
    write_run(tmp_path / "model", data, num_latent=2)
    mask = np.arange(data.space.size) % 4 == 0
    np.save(tmp_path / "model" / "held_out.npy", mask)
    record = results.read_step(tmp_path / "model")
    record["sha256"] = {"held_out.npy": results.file_hash(tmp_path / "model" / "held_out.npy")}
    results.write_json(tmp_path / "model" / "results.json", record)
    bindings = ["evaluate.metrics = ['mig']", "evaluate.rows = 'held_out'"]
    plan = make_plan("rendered_study", None, "fast", bindings)
    reproduce.reproduce(plan, tmp_path / "scored", tmp_path / "model", data_dir)
    table, _ = aggregate_results.read_tree(tmp_path / "scored")
    mig = table[table["key"] == "mig"].set_index("representation")
    assert mig["rows"].to_dict() == {"mean": "held_out", "sampled": "held_out"}
    codes = results.read_step(tmp_path / "scored" / "codes" / "mean")["values"]
    assert codes["held_out_rows"] == mask.sum() == data.space.size / 4


def test_a_folder_is_that_of_one_study_with_one_set_of_bindings(run, done, tmp_path):
    with pytest.raises(
        UserError,
        match=r"holds models of gin_bindings \[.*not of \[.*STEPS = 9.*choose another --output_dir",
    ):
        run(5, "STEPS = 9")
    with pytest.raises(
        UserError, match="holds models of study 'rendered_study', not of 'fairness_study_v1'"
    ):
        reproduce.reproduce(make_plan("fairness_study_v1", 0), tmp_path / "study")
    with pytest.raises(UserError, match="holds models of suite 'fast', not of 'study'"):
        reproduce.reproduce(make_plan("rendered_study", 0, "study", TINY), tmp_path / "study")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds files that dlib_tf2 did not write"):
        run(output_dir=tmp_path / "mine")


def test_a_dataset_that_is_not_prepared_is_said_before_training(tmp_path, data_dir):
    plan = make_plan("unsupervised_study_v1", 0)
    with pytest.raises(UserError, match="dlib_prepare_data --dataset=dsprites_full"):
        reproduce.reproduce(plan, tmp_path / "study", data_dir=tmp_path / "empty")
    assert run_folder.state(tmp_path / "study" / "0").kind == "failed"
    assert (
        "dlib_prepare_data --dataset=dsprites_full"
        in run_folder.state(tmp_path / "study" / "0").reason
    )
    assert not list((tmp_path / "study").rglob("checkpoints/*"))
    with pytest.raises(UserError, match="dlib_prepare_data --dataset=dsprites_full"):
        reproduce.check([], ["rendered_sprites/small", "dsprites_full"], data_dir)


def test_a_second_process_in_a_models_folder_is_refused(run, done, tmp_path, monkeypatch):
    folder = done
    (folder / "done.json").unlink()
    monkeypatch.setattr(locks, "_SECONDS", 0.3)
    with locks.only_process(folder):
        assert run_folder.state(folder).kind == "running"
        with pytest.raises(UserError, match="another process is at work in"):
            run()
    assert run_folder.state(folder).kind == "stopped"


def test_a_finished_model_costs_no_tensorflow(done, run_command, tmp_path, data_dir):
    folder = done
    without_tensorflow = no_tensorflow.environment(tmp_path)
    flags = [
        "--study=rendered_study",
        f"--output_dir={tmp_path / 'study'}",
        *(f"--gin_bindings={text}" for text in TINY),
    ]
    before, started = finished(folder), time.monotonic()
    code, out, err = run_command(
        "dlib_reproduce", "--model_num=4", *flags, environment=without_tensorflow
    )
    print(f"{time.monotonic() - started:.2f} s")
    assert (code, err) == (0, "")  # importing TensorFlow ends the process there: see what follows
    assert out == f"rendered_study model 4 is done in {folder}; nothing to do\n"
    assert finished(folder) == before
    shutil.rmtree(folder / "scores" / "mean" / "mig")
    code, out, err = run_command(
        "dlib_reproduce", "--model_num=4", *flags, environment=without_tensorflow
    )
    assert code == 1  # what is missing needs it
    assert "loaded tensorflow" in err


@pytest.mark.parametrize(
    "flags, said",
    [
        (
            ["--study=rendered", "--model_num=0"],
            r"unknown study 'rendered'.*; the known ones are .*rendered_study.*",
        ),
        (
            ["--study=rendered_study", "--model_num=108"],
            r"model_num 108 is not in 0 \.\. 107, .*; choose one of these",
        ),
        (["--study=rendered_study", "--model_num=-1"], r"model_num -1 is not in 0 \.\. 107.*"),
        (
            ["--study=rendered_study"],
            "give one of --model_num and --model_dir; see dlib_reproduce --help",
        ),
        (
            ["--study=rendered_study", "--model_dir=nowhere"],
            "nowhere holds no finished training run; finish it with dlib_train .*",
        ),
        (
            ["--study=rendered_study", "--model_dir=nowhere", "--only_print"],
            "nowhere holds no finished training run; finish it with .*",
        ),
        (
            ["--study=rendered_study", "--model_num=0", "--output_dir="],
            "missing required flag --output_dir; see dlib_reproduce --help",
        ),
        (
            ["--study=rendered_study", "--model_num=0", "--suite=none"],
            "the study has no suite 'none'; choose one of study, fast",
        ),
        (
            ["--study=rendered_study", "--model_num=0", "--gin_bindings=STEPZ = 1"],
            "no parsed gin file defines the macro STEPZ.*",
        ),
        *(
            (["--study=rendered_study", "--model_num=0", f"--gin_bindings={name} = 'x'"], said)
            for name, said in (
                ("STEPS", "train.steps must be a whole number, got 'x'"),
                (
                    "postprocess.batch_size",
                    "postprocess.batch_size must be a whole number, got 'x'",
                ),
                ("evaluate.seed", "evaluate.seed must be a whole number, got 'x'"),
            )
        ),
    ],
)
def test_a_mistake_is_one_line(flags, said, run_command, tmp_path):
    code, out, err = run_command(
        "dlib_reproduce",
        f"--output_dir={tmp_path / 'out'}",
        *flags,
        environment=no_tensorflow.environment(tmp_path),
    )
    assert (code, out) == (2, "")
    assert re.fullmatch(f"dlib_reproduce: {said}\n", err)
    assert not os.path.exists(tmp_path / "out")


def test_only_print_shows_gin_text_and_touches_nothing(run_command, tmp_path):
    flags = [
        "--study=unsupervised_study_v1",
        "--model_num=437",
        "--only_print",
        f"--output_dir={tmp_path / 'out'}",
    ]
    code, out, err = run_command(
        "dlib_reproduce", *flags, environment=no_tensorflow.environment(tmp_path)
    )
    assert (code, err) == (0, "")
    assert (
        "# unsupervised_study_v1, model 437: factor_vae (GAMMA = 30.0) on dsprites_full, seed 37"
        in out
    )
    assert 'include "models/factor_vae.gin"' in out
    assert not os.path.exists(tmp_path / "out")
    (tmp_path / "shown.gin").write_text(out)
    assert gin_utils.GinText([str(tmp_path / "shown.gin")]).value("train.seed") == 37
    code, unnamed, err = run_command("dlib_reproduce", *flags[:-1])
    assert (code, err) == (0, "")
    assert unnamed == out.replace(str(tmp_path / "out"), "OUTPUT_DIR")
    changes = ['DATASET = "rendered_sprites/small"', "GAMMA = 5.0"]
    code, changed, err = run_command(
        "dlib_reproduce", *flags[:-1], *(f"--gin_bindings={text}" for text in changes)
    )
    assert (code, err) == (0, "")
    heading = (
        '(GAMMA = 30.0) on dsprites_full, seed 37; changed: DATASET = "rendered_sprites/small";'
        " GAMMA = 5.0"
    )
    assert changed.splitlines()[0] == f"# unsupervised_study_v1, model 437: factor_vae {heading}"


def test_the_report_knows_how_many_models_a_study_has(done, run_command, tmp_path):
    assert (
        run_command(
            "dlib_aggregate_results",
            f"--input_dir={tmp_path / 'study'}",
            f"--output={tmp_path / 'results.csv'}",
        )[0]
        == 0
    )
    code, _, err = run_command(
        "dlib_report",
        f"--results={tmp_path / 'results.csv'}",
        f"--output_dir={tmp_path / 'report'}",
    )
    assert (code, err) == (0, "")
    page = html.unescape((tmp_path / "report" / "report.html").read_text())
    assert "This is a part of the study: 1 of 108 models" in page
    assert (
        "Made with other settings than the study's own: 1 model: import tiny_networks;"
        " train.encoder = @tiny_encoder" in page
    )
    assert json.loads((tmp_path / "study" / "study.json").read_text())["study"] == "rendered_study"
