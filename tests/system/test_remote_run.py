"""A whole run whose folders lie on TensorFlow's file system in memory: what is in a bucket is what
would be on the disk.
"""

import io
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from dlib_tf2 import evaluate, postprocess, train, udr
from dlib_tf2.configuration import gin_utils
from dlib_tf2.errors import Interrupted, UserError
from dlib_tf2.records import results
from dlib_tf2.representations import representation
from dlib_tf2.representations.representation import Representation
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.paths import as_path
from dlib_tf2.training.saved_model import load
from dlib_tf2.visualize.model_pictures import PICTURES, draw

BUCKET = "ram://remote-run"
RUN = f"{BUCKET}/runs/one"


def weights(folder):
    model = load(folder)
    return [
        weight.tobytes()
        for network in (model.encoder, model.decoder)
        for weight in network.get_weights()
    ]


@pytest.fixture(scope="module")
def run(tiny_train):
    """A run of 20 steps in the bucket, stopped by a signal on its way: (values, steps that were
    saved).
    """
    original, calls = train.Engine.train, []

    def with_signal(*arguments):
        calls.append(None)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Engine, "train", with_signal)
        with pytest.raises(Interrupted):
            tiny_train(RUN, "train.summary_steps = 5")
    saved = [name for name in tf.io.gfile.listdir(f"{RUN}/checkpoints") if name.endswith(".index")]
    return tiny_train(RUN, "train.summary_steps = 5"), saved


@pytest.fixture(scope="module")
def codes(run, data_dir):
    """The representations of that run, also in the bucket."""
    gin_utils.parse([])
    postprocess.postprocess(RUN, f"{BUCKET}/codes", data_dir)
    return f"{BUCKET}/codes"


def test_a_run_in_a_bucket_resumes_and_ends_as_a_local_one(run, tiny_train, tmp_path):
    values, saved = run
    assert len(saved) == 1
    assert saved[0] not in ("step-0.index", "step-20.index")
    assert tiny_train(tmp_path / "local", "train.summary_steps = 5") == values
    assert weights(RUN) == weights(tmp_path / "local")
    inside = {path.name for path in as_path(RUN).iterdir()}
    assert inside - {"pictures"} == {path.name for path in (tmp_path / "local").iterdir()} - {
        ".lock"
    }
    assert results.read_step(RUN)["folder"] == RUN
    assert [path.name[:19] for path in (as_path(RUN) / "summaries").iterdir()] == [
        "events.out.tfevents"
    ] * 2


def test_a_finished_run_in_a_bucket_is_left_and_another_one_refused(run, tiny_train, capsys):
    assert tiny_train(RUN) == run[0]
    assert "already trained" in capsys.readouterr().out
    with pytest.raises(UserError, match="seed is 1 there and 2 here"):
        tiny_train(RUN, "SEED = 2")


@pytest.mark.slow
def test_a_damaged_network_in_a_bucket_is_written_again(tiny_train, capsys):
    folder = as_path(f"{BUCKET}/runs/damaged")
    tiny_train(str(folder), "STEPS = 2")
    before = weights(folder)
    whole = (folder / "encoder.keras").read_bytes()
    (folder / "encoder.keras").unlink()
    with tf.io.gfile.GFile(str(folder / "encoder.keras"), "wb") as file:
        file.write(whole[:1000])
    tiny_train(str(folder), "STEPS = 2")
    assert "encoder.keras missing or damaged: written again" in capsys.readouterr().err
    assert weights(folder) == before


@pytest.mark.slow
def test_overwrite_starts_anew_in_a_bucket(tiny_train):
    folder = f"{BUCKET}/runs/again"
    tiny_train(folder, "STEPS = 2")
    assert tiny_train(folder, "STEPS = 3", "SEED = 5", overwrite=True)["steps"] == 3
    assert results.label(results.read_step(folder), "seed") == 5


def test_pictures_go_to_the_bucket(run, data_dir):
    for path, name in zip(draw(RUN, data_dir), PICTURES, strict=True):
        assert str(path) == f"{RUN}/pictures/{name}"
        assert path.read_bytes().startswith(b"\x89PNG")


def test_representations_and_scores_of_a_bucket_are_those_of_a_disk(
    codes, data_dir, tmp_path, capsys
):
    gin_utils.parse([])
    postprocess.postprocess(RUN, tmp_path / "codes", data_dir)
    local = Representation.load(tmp_path / "codes" / "mean" / "representation.npz")
    assert (
        Representation.load(f"{codes}/mean/representation.npz").codes.tobytes()
        == local.codes.tobytes()
    )
    gin_utils.parse(["metrics/mig.gin"], ["mig.num_train = 1000"])
    scores = evaluate.evaluate(f"{codes}/mean", f"{BUCKET}/scores", ["mig"], num_workers=1)
    assert scores == evaluate.evaluate(
        tmp_path / "codes" / "mean", tmp_path / "scores", ["mig"], num_workers=1
    )
    capsys.readouterr()
    assert evaluate.evaluate(f"{codes}/mean", f"{BUCKET}/scores", ["mig"], num_workers=1) == scores
    assert "[1/1] mig: already there" in capsys.readouterr().out
    with pytest.raises(UserError, match=f"it holds mean, sampled: name {codes}/mean"):
        evaluate.evaluate(codes, f"{BUCKET}/scores", ["mig"])


def test_postprocessing_into_a_bucket_again_makes_nothing(codes, data_dir, capsys):
    gin_utils.parse([])
    postprocess.postprocess(RUN, codes, data_dir)
    assert (
        capsys.readouterr().out
        == f"{codes}/mean is there; nothing to do\n{codes}/sampled is there; nothing to do\n"
    )


def test_models_in_a_bucket_are_ranked(codes, data_dir):
    gin_utils.parse([])
    postprocess.postprocess(RUN, f"{BUCKET}/codes_again", data_dir, representations=["mean"])
    gin_utils.parse(["udr.gin"])
    folders = [f"{codes}/mean", f"{BUCKET}/codes_again/mean"]
    values = udr.rank_folders(folders, f"{BUCKET}/udr", num_workers=1)
    assert values["models"] == folders
    assert udr.rank_folders(folders, f"{BUCKET}/udr") == values
    assert sorted(path.name for path in as_path(f"{BUCKET}/udr").iterdir()) == [
        ".dlib_tf2",
        "config.gin",
        "relations.npz",
        "results.json",
    ]


def test_arrays_are_read_from_a_bucket():
    for name, array in (("codes", np.eye(4, 2, dtype=np.float32)), ("factors", np.arange(4))):
        content = io.BytesIO()
        np.save(content, array)
        with tf.io.gfile.GFile(f"{BUCKET}/arrays/{name}.npy", "wb") as file:
            file.write(content.getvalue())
    table = representation.load_arrays(f"{BUCKET}/arrays/codes.npy", f"{BUCKET}/arrays/factors.npy")
    assert table.codes.tolist() == np.eye(4, 2).tolist()
    assert table.factors[:, 0].tolist() == [0, 1, 2, 3]
    with atomic_write(f"{BUCKET}/arrays/both.npz") as file:
        np.savez(file, codes=table.codes, factors=table.factors)
    both = representation.load_arrays(f"{BUCKET}/arrays/both.npz")
    assert (both.codes.tolist(), both.factors.tolist()) == (
        table.codes.tolist(),
        table.factors.tolist(),
    )
    with pytest.raises(UserError, match="--factors is needed too"):
        representation.load_arrays(f"{BUCKET}/arrays/codes.npy")
    with pytest.raises(UserError, match="ram://remote-run/none.npy does not exist"):
        representation.load_arrays(f"{BUCKET}/none.npy", f"{BUCKET}/none.npy")
