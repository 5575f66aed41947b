"""The training stage in one process: what a run leaves, resumes and refuses, and how it stops."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlib_tf2 import train
from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets.draws import uniform
from dlib_tf2.errors import DlibError, Interrupted, UserError
from dlib_tf2.records import results
from dlib_tf2.system import command

VALUES = {
    "loss",
    "reconstruction_loss",
    "kl",
    "elbo",
    "regularizer",
    "term/reconstruction_loss",
    "term/kl",
    "steps",
}


def weights(folder):
    """All weights of a finished run's networks."""
    return [
        w
        for name in ("encoder", "decoder")
        for w in keras.saving.load_model(folder / f"{name}.keras", compile=False).get_weights()
    ]


def same_bits(folder, other):
    pairs = list(zip(weights(folder), weights(other), strict=True))
    return len(pairs) == 10 and all(ours.tobytes() == theirs.tobytes() for ours, theirs in pairs)


def checkpoint(folder, step):
    """The float arrays of a checkpoint."""
    reader = tf.train.load_checkpoint(str(folder / "checkpoints" / f"step-{step}"))
    arrays = [
        np.asarray(reader.get_tensor(name))
        for name in reader.get_variable_to_shape_map()
        if name.startswith("variables")
    ]
    return [array for array in arrays if array.dtype.kind == "f"]


def saved_steps(folder):
    return sorted(
        int(path.stem.removeprefix("step-")) for path in (folder / "checkpoints").glob("*.index")
    )


def one_line(error):
    """What a command prints of an error, less what gin adds on further lines."""
    return str(error.value).splitlines()[0]


@pytest.fixture(scope="module")
def finished(tiny_train, tmp_path_factory):
    """A run of 20 steps with checkpoints at 10 and 20: (folder, values)."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, tiny_train(folder, "train.save_steps = 10", "train.summary_steps = 5")


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of that run, to go on from."""
    return shutil.copytree(finished[0], tmp_path / "copy")


@pytest.fixture
def unfinished(copy):
    """A copy of that run as it was before the evaluation."""
    for name in ("results.json", "encoder.keras", "decoder.keras"):
        (copy / name).unlink()
    return copy


def test_a_finished_run_holds_values_networks_and_two_checkpoints(finished):
    folder, values = finished
    assert set(values) == VALUES
    assert values["steps"] == 20
    assert values["regularizer"] == values["term/kl"] == pytest.approx(4 * values["kl"], rel=1e-6)
    assert values["loss"] == pytest.approx(
        values["reconstruction_loss"] + 4 * values["kl"], rel=1e-6
    )
    assert values["elbo"] == pytest.approx(
        -(values["reconstruction_loss"] + values["kl"]), rel=1e-6
    )
    assert saved_steps(folder) == [10, 20]
    names = {path.name for path in folder.iterdir()}
    expected = {
        "encoder.keras",
        "decoder.keras",
        "results.json",
        "config.gin",
        "identity.json",
        "checkpoints",
        "summaries",
    }
    expected |= {".dlib_tf2", ".lock"}
    assert names == expected


def test_results_are_typed_and_the_configuration_parses_again(finished):
    folder, values = finished
    record = json.loads((folder / "results.json").read_text())
    assert record["values"] == values
    labels = {
        "dataset": "rendered_sprites/small",
        "method": "beta_vae",
        "hyperparameters": {"beta": 4.0},
        "seed": 1,
        "num_latent": 2,
    }
    assert {name: record["labels"][name] for name in labels} == labels
    assert record["config"]["train.batch_size"] == 32
    assert record["config"]["vae/adam.learning_rate"] == 1e-3
    assert record["device"] == "1 x CPU"
    gin_utils.parse([folder / "config.gin"])
    assert "@tiny_encoder" in gin_utils.resolved_text()


def test_networks_hold_the_weights_of_the_last_checkpoint(finished):
    folder, _ = finished
    saved = {array.tobytes() for array in checkpoint(folder, 20)}
    exported = weights(folder)
    assert len(exported) == 10
    assert all(array.tobytes() in saved for array in exported)
    assert not {array.tobytes() for array in exported if array.any()} & {
        array.tobytes() for array in checkpoint(folder, 10)
    }


def test_summaries_hold_every_named_number(finished):
    (path,) = (finished[0] / "summaries").iterdir()
    events = [
        event for event in tf.compat.v1.train.summary_iterator(str(path)) if event.summary.value
    ]
    points = {(value.tag, event.step) for event in events for value in event.summary.value}
    assert points == {
        (name, step) for name in VALUES - {"regularizer", "steps"} for step in (5, 10, 15, 20)
    }


def test_a_finished_run_says_so_and_is_left_alone(finished, tiny_train, capfd):
    folder, values = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert tiny_train(folder) == values
    assert tiny_train(folder, "STEPS = 7") == values
    assert (
        capfd.readouterr().out.splitlines()
        == [f"{folder} is already trained (20 steps); nothing to do"] * 2
    )
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    "binding, message",
    [
        ("BETA = 8.0", "BetaKL.beta is 4.0 there and 8.0 here"),
        ("SEED = 2", "train.seed is 1 there and 2 here"),
        ("NUM_LATENT = 3", "train.num_latent is 2 there and 3 here"),
        (
            "DATASET = 'rendered_sprites/full'",
            "train.dataset is rendered_sprites/small there and rendered_sprites/full here",
        ),
        ("adam.learning_rate = 0.1", "vae/adam.learning_rate is 0.001 there and 0.1 here"),
        (
            "train.encoder = @conv_encoder",
            "train.encoder is @tiny_encoder there and @conv_encoder here",
        ),
    ],
)
def test_another_configuration_is_refused(copy, tiny_train, binding, message):
    with pytest.raises(UserError) as raised:
        tiny_train(copy, binding, "STEPS = 30")
    assert (
        f"holds another configuration ({message}); choose another --model_dir, or --overwrite"
        in one_line(raised)
    )
    assert not (copy.parent / "data").exists()
    assert saved_steps(copy) == [10, 20]


def test_a_larger_steps_goes_on_as_if_never_stopped_on_any_strategy(
    finished, copy, tiny_train, tmp_path, two_replicas, capfd
):
    mirrored = shutil.copytree(copy, tmp_path / "mirrored")
    whole, intervals = (
        tmp_path / "whole",
        ("train.save_steps = 4", "train.summary_steps = 9", "train.eval_steps = 60"),
    )
    values = tiny_train(whole, "STEPS = 26", "train.eval_steps = 60")
    capfd.readouterr()
    assert tiny_train(copy, "STEPS = 26", *intervals) == values
    assert "resuming at step 20 of 26\n" in capfd.readouterr().err
    assert same_bits(copy, whole)
    assert saved_steps(copy) == [24, 26]
    split = tiny_train(mirrored, "STEPS = 26", *intervals, strategy=two_replicas)
    assert split == pytest.approx(values, rel=1e-5)
    assert results.read_step(mirrored)["device"] == "2 x CPU"
    for ours, theirs in zip(weights(mirrored), weights(whole), strict=True):
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs)


def test_a_damaged_newest_checkpoint_is_said_and_the_run_completes_the_same(
    finished, unfinished, tiny_train, capfd
):
    data = unfinished / "checkpoints" / "step-20.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    assert tiny_train(unfinished) == finished[1], "the seeded evaluation of the same weights"
    said = capfd.readouterr().err
    assert "step-20 is damaged (" in said
    assert "resuming at step 10 of 20" in said
    assert same_bits(unfinished, finished[0])


def test_fewer_steps_than_were_made_are_refused(unfinished, tiny_train):
    with pytest.raises(
        UserError, match=r"is at step 20 already, past STEPS = 15; ask for at least 20"
    ):
        tiny_train(unfinished, "STEPS = 15")
    assert not (unfinished / "results.json").exists()


@pytest.mark.slow
def test_overwrite_starts_anew(copy, tiny_train):
    assert tiny_train(copy, "STEPS = 2", "BETA = 1.0", overwrite=True)["steps"] == 2
    assert saved_steps(copy) == [2]
    # How it was started is no part of what it is.
    assert (
        tiny_train(copy, "STEPS = 2", "BETA = 1.0", strategy=tf.distribute.get_strategy())["steps"]
        == 2
    )


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_good_checkpoint(
    tiny_train, tmp_path
):
    broken = ("VAE.regularizer = @NotFiniteAt()", "NotFiniteAt.at = 7", "train.save_steps = 3")
    with pytest.raises(DlibError) as raised:
        tiny_train(tmp_path / "run", *broken)
    assert raised.value.exit_code == 1
    assert "the loss is not finite at step 7 (loss nan, " in one_line(raised)
    assert "stopped, the checkpoint of step 6 is kept; lower the learning rate" in one_line(raised)
    assert saved_steps(tmp_path / "run") == [3, 6]
    assert all(
        np.isfinite(array).all() for step in (3, 6) for array in checkpoint(tmp_path / "run", step)
    )
    assert not (tmp_path / "run" / "encoder.keras").exists()


def test_weights_that_are_not_finite_are_never_saved(tiny_train, tmp_path):
    # The loss of update 4 is finite, the weights after it are not.
    with pytest.raises(DlibError) as raised:
        tiny_train(
            tmp_path / "run",
            "VAE.regularizer = @InfiniteGradientAt()",
            "InfiniteGradientAt.at = 4",
            "train.save_steps = 1",
        )
    assert (
        "a weight is not finite after step 5: not saved; the last good checkpoint is step 4"
        in one_line(raised)
    )
    assert saved_steps(tmp_path / "run") == [3, 4]
    assert all(
        np.isfinite(array).all() for step in (3, 4) for array in checkpoint(tmp_path / "run", step)
    )


def fill(folder, free):
    """Leaves `free` bytes on the file system of a folder."""
    status = os.statvfs(folder)
    (folder / "ballast").write_bytes(bytes(status.f_bavail * status.f_bsize - free))


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_completes_when_there_is_space(
    finished, small_disk, tiny_train
):
    run = small_disk / "run"
    fill(small_disk, 180_000)  # two checkpoints and the small files, not three checkpoints
    with pytest.raises(
        DlibError,
        match=(
            "No space left on device.*free space and run again; the last good checkpoint is step 10"
        ),
    ) as raised:
        tiny_train(run, "train.save_steps = 5")
    assert raised.value.exit_code == 1
    assert "{{" not in one_line(raised)
    assert saved_steps(run) == [5, 10]
    (small_disk / "ballast").unlink()
    assert tiny_train(run, "train.save_steps = 5") == finished[1]
    assert same_bits(run, finished[0])


def test_an_export_that_fails_leaves_no_record_of_mixed_networks(copy, tiny_train, monkeypatch):
    export = train._export

    def full(folder, name, *networks):
        if name == "decoder":
            raise DlibError("cannot write decoder.keras")
        export(folder, name, *networks)

    monkeypatch.setattr(train, "_export", full)
    with pytest.raises(DlibError):
        tiny_train(copy, "STEPS = 22")
    assert not results.is_complete(copy), (
        "the encoder is of step 22, the decoder and the record were of step 20"
    )
    assert saved_steps(copy) == [20, 22]


@pytest.mark.parametrize("moment", ["call", pytest.param("summary", marks=pytest.mark.slow)])
def test_a_signal_saves_before_the_run_stops(finished, tiny_train, tmp_path, monkeypatch, moment):
    handler = signal.getsignal(signal.SIGTERM)
    owner, name = {"call": (train.Engine, "train"), "summary": (train.Run, "_summarise")}[moment]
    original, calls = getattr(owner, name), []

    def with_signal(*arguments, **keywords):
        calls.append(None)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments, **keywords)

    monkeypatch.setattr(owner, name, with_signal)
    with pytest.raises(Interrupted) as raised:
        tiny_train(tmp_path / "run", "train.summary_steps = 4")
    assert raised.value.exit_code == 75
    (step,) = saved_steps(tmp_path / "run")
    assert 1 < step < 20
    assert (
        f"stopped by signal SIGTERM at step {step}, saved at step {step}; run the same command"
        " again" in one_line(raised)
    )
    assert signal.getsignal(signal.SIGTERM) == handler
    monkeypatch.undo()
    assert tiny_train(tmp_path / "run") == finished[1]
    assert same_bits(tmp_path / "run", finished[0])


@pytest.mark.parametrize(
    "binding, message",
    [
        ("STEPS = 0", "train.steps must be a whole number of at least 1, got 0"),
        ("STEPS = -5", "train.steps must be a whole number of at least 1, got -5"),
        ("STEPS = 1e3", "train.steps must be a whole number, got 1000.0"),
        ("BATCH_SIZE = 0", "train.batch_size must be a whole number of at least 1, got 0"),
        ("BATCH_SIZE = True", "train.batch_size must be a whole number, got True"),
        ("NUM_LATENT = 0", "train.num_latent must be a whole number of at least 1, got 0"),
        ("SEED = -1", "train.seed must be a whole number of at least 0, got -1"),
        ("train.eval_steps = 0", "train.eval_steps must be a whole number of at least 1, got 0"),
        (
            "train.summary_steps = 0",
            "train.summary_steps must be a whole number of at least 1, got 0",
        ),
        ("train.save_steps = -1", "train.save_steps must be a whole number of at least 1, got -1"),
        ("train.save_minutes = 0", "train.save_minutes must be a number above 0, got 0"),
        (
            "train.precision = 'float16'",
            "train.precision must be one of float32, mixed_bfloat16, got 'float16'",
        ),
        (
            "BATCH_SIZE = 1000000000",
            "train.batch_size is 1,000,000,000, more than the 36,864 images",
        ),
        ("BATCH_SIZE = 7", "BATCH_SIZE 7 is no multiple of the 2 replicas; choose another"),
        (
            "train.decoder = @tiny_encoder",
            "train.decoder made a network from (64, 64, 1) to (2,) and (2,); expected one from (2,)"
            " to (64, 64, 1)",
        ),
        (
            "train.encoder = @uneven_encoder",
            "to (2,) and (3,); expected one from (64, 64, 1) to (2,) and (2,)",
        ),
        ("train.encoder = @no_encoder", "train.encoder must make a keras.Model, got None"),
        ("train.xla = True", "train.xla = True needs exactly one replica"),
        ("train.xla = 'yes'", "train.xla must be 'auto', True or False, got 'yes'"),
        ("DATASET = 'dsprits'", "unknown dataset 'dsprits'; known: "),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_line(
    tiny_train, tmp_path, two_replicas, binding, message
):
    with pytest.raises(UserError) as raised:
        tiny_train(tmp_path / "run", binding, strategy=two_replicas)
    assert message in one_line(raised)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_batch_that_does_not_fit_in_memory_is_refused_before_the_work(tiny_data, monkeypatch):
    draws = uniform(24, ["image"])
    train._check_batch(tiny_data, 24, draws)
    with pytest.raises(UserError, match="batch_size is 25, more than the 24 images of tiny; lower"):
        train._check_batch(tiny_data, 25, draws)
    # of 24 x 16 x 16 float32 one more than half
    pages = {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(train.os, "sysconf", pages.__getitem__)
    train._check_batch(tiny_data, 20, draws)
    with pytest.raises(
        UserError, match="batch_size is 21: one batch of images takes .*e-05 GB, more"
    ):
        train._check_batch(tiny_data, 21, draws)


PLAIN_KERAS = """
import sys, keras, numpy as np
paths = (f"{sys.argv[1]}/{name}.keras" for name in ("encoder", "decoder"))
encoder, decoder = (keras.saving.load_model(path, compile=False) for path in paths)
mean, log_variance = (np.asarray(head) for head in encoder(np.load(sys.argv[2])))
np.savez(sys.argv[3], mean=mean, log_variance=log_variance, logits=np.asarray(decoder(mean)))
foreign = [name for name in sys.modules if name.startswith(("dlib_tf2", "tiny_networks", "gin"))]
assert not foreign, foreign
"""


@pytest.mark.slow
def test_mixed_bfloat16_exports_float32_networks_that_plain_keras_reads(data_dir, tmp_path):
    run, images, out = tmp_path / "run", tmp_path / "images.npy", tmp_path / "out.npz"
    gin_utils.parse(
        ["models/beta_vae.gin"],
        [
            "STEPS = 3",
            "BATCH_SIZE = 4",
            "train.eval_steps = 1",
            "train.precision = 'mixed_bfloat16'",
        ],
    )
    values = train.train(run, data_dir=data_dir)
    assert all(np.isfinite(value) for value in values.values())
    assert all(
        np.isfinite(array).all() and array.dtype == np.float32 for array in checkpoint(run, 3)
    )
    assert keras.config.dtype_policy().name == "float32"
    np.save(images, np.random.default_rng(0).random((5, 64, 64, 1), dtype=np.float32))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", PLAIN_KERAS, run, images, out],
        env=environment,
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    with np.load(out) as arrays:
        assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
            "mean": ((5, 10), "float32"),
            "log_variance": ((5, 10), "float32"),
            "logits": ((5, 64, 64, 1), "float32"),
        }
        # They compute in float32 too: bfloat16 keeps three digits.
        encoder = keras.saving.load_model(run / "encoder.keras", compile=False)
        assert {layer.compute_dtype for layer in encoder.layers} == {"float32"}
        np.testing.assert_allclose(
            arrays["mean"], encoder(np.load(images))[0], rtol=1e-4, atol=1e-6
        )


def test_the_wrong_size_for_a_network_is_the_networks_own_message(tiny_data, tmp_path, monkeypatch):
    cropped = type(tiny_data)(
        "cropped", tiny_data.space, tiny_data.visible, tiny_data.table[:, :12], 1, records=None
    )
    monkeypatch.setattr(train.datasets, "load", lambda name, data_dir: cropped)
    gin_utils.parse(["models/beta_vae.gin"], ["BATCH_SIZE = 24"])
    with pytest.raises(UserError) as raised:
        train.train(tmp_path / "run")
    assert (
        one_line(raised)
        == "expected an observation shape (h, w, c) with h and w divisible by 16, got (12, 16, 1)"
    )


@pytest.mark.slow
def test_a_second_process_in_one_folder_is_refused(tiny_train, tmp_path):
    tiny_train(tmp_path, "STEPS = 2")
    with open(tmp_path / ".lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(
            UserError,
            match=r"another process is at work in .* wait for it to end, or choose another folder",
        ):
            tiny_train(tmp_path, "STEPS = 4")


@pytest.mark.parametrize(
    "error, line",
    [
        (
            PermissionError(13, "Permission denied", "run/x"),
            "Permission denied: run/x; allow access to it or choose another path",
        ),
        (
            tf.errors.ResourceExhaustedError(
                None,
                None,
                "OOM when allocating tensor with shape[256,1000] and type float on cpu\nmore",
            ),
            (
                "out of memory (OOM when allocating tensor with shape[256,1000] and type float);"
                " use smaller batches, models or tables"
            ),
        ),
    ],
)
def test_what_the_machine_refuses_is_one_line_through_gin(
    tiny_train, tmp_path, monkeypatch, error, line
):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(train, "Engine", refuse)
    with pytest.raises(type(error)) as caught:
        tiny_train(tmp_path / "run")
    assert command._explain(caught.value) == (line, 1)


@pytest.mark.parametrize("name", ["encoder", pytest.param("decoder", marks=pytest.mark.slow)])
def test_networks_that_are_missing_or_cut_are_written_again_from_the_checkpoint(
    tiny_train, tmp_path, capsys, name
):
    tiny_train(tmp_path, "STEPS = 2")
    path = tmp_path / f"{name}.keras"
    weights = keras.saving.load_model(path, compile=False).get_weights()
    for damage in (path.unlink, lambda: path.write_bytes(path.read_bytes()[:-100])):
        damage()
        tiny_train(tmp_path, "STEPS = 2")
        assert f"{name}.keras missing or damaged: written again" in capsys.readouterr().err
        for now, before in zip(
            keras.saving.load_model(path, compile=False).get_weights(), weights, strict=True
        ):
            np.testing.assert_array_equal(now, before)


def test_the_quickstart_saves_before_its_end():
    assert (
        gin_utils.GinText(["quickstart.gin"]).value("train.save_steps")
        <= gin_utils.GinText(["quickstart.gin"]).value("train.steps") / 4
    )


@pytest.mark.parametrize("name, value", [("hyperparameters", 3), ("labels", "x")])
def test_labels_of_a_wrong_kind_are_refused_before_training(tiny_train, tmp_path, name, value):
    with pytest.raises(
        UserError, match=rf"train.{name} must be a dictionary such as .*, got {value!r}"
    ):
        tiny_train(tmp_path / "run", f"train.{name} = {value!r}")
    assert not (tmp_path / "run").exists()
