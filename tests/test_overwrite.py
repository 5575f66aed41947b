"""--overwrite by real processes: a live run is refused and goes on, and only what a step wrote
goes.
"""

import json
import os
import pathlib
import time

import numpy as np
import pytest

from dlib_tf2 import postprocess
from dlib_tf2.errors import DlibError, UserError

TESTS = pathlib.Path(__file__).parent


def importing(folder):
    """The environment of a process that imports modules of a folder, ours and those of the
    tests.
    """
    return {"PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, TESTS, folder)))}


def wait_for(condition, command, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert command.process.poll() is None, f"ended before the moment: {command.finish()}"
        assert time.monotonic() < until, "the moment did not come"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def beside(tmp_path_factory, start_command, tiny_flags):
    """A run of seed 1 with a start of seed 2 and --overwrite beside it: (folder, what each
    said).
    """
    folder = tmp_path_factory.mktemp("overwrite") / "run"
    first = start_command(*tiny_flags(folder, "STEPS = 3000", "train.save_steps = 20"))
    wait_for(lambda: list((folder / "checkpoints").glob("*.index")), first)
    second = start_command(*tiny_flags(folder, "STEPS = 40", "SEED = 2"), "--overwrite")
    refused = second.finish()
    alive = first.process.poll() is None
    first.process.terminate()
    return folder, refused, alive, first.finish()


@pytest.mark.slow
def test_a_live_run_is_not_overwritten(beside):
    folder, (code, out, err), alive, (stopped, _, _) = beside
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("dlib_train: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"dlib_train: another process is at work in {folder} (process ")
    assert "Traceback" not in err
    assert alive
    assert stopped == 75


@pytest.mark.slow
def test_the_live_run_keeps_its_files_and_its_seed(beside, start_command, tiny_flags):
    folder = beside[0]
    assert list((folder / "checkpoints").glob("*.index"))
    assert json.loads((folder / "identity.json").read_text())["train.seed"] == 1
    code, _, err = start_command(*tiny_flags(folder, "STEPS = 40", "SEED = 2")).finish()
    assert code == 2
    assert "train.seed is 1 there and 2 here" in err


def test_overwrite_leaves_a_users_files(tmp_path, tiny_train):
    run = tmp_path / "run"
    tiny_train(run, "STEPS = 6", "train.save_steps = 2")
    mine = [
        run / "my.keras",
        run / "pictures" / "mine" / "a.png",
        run / "checkpoints" / "notes.txt",
        run / "summaries" / "notes.md",
    ]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    marker = json.loads((run / ".dlib_tf2").read_text())
    # what a marker claims counts for nothing
    (run / ".dlib_tf2").write_text(json.dumps({**marker, "writes": ["*"], "holds": ["*"]}))
    lock = (run / ".lock").stat().st_ino
    tiny_train(run, "STEPS = 4", "SEED = 2", overwrite=True)
    assert [path.read_text() for path in mine] == ["mine"] * 4
    assert (run / ".lock").stat().st_ino == lock
    assert json.loads((run / "results.json").read_text())["labels"]["seed"] == 2
    assert {path.stem for path in (run / "checkpoints").glob("step-*")} == {"step-4"}


def test_a_changed_encoder_is_found(tmp_path, tiny_train):
    run = tmp_path / "run"
    tiny_train(run, "STEPS = 4")
    path = run / "encoder.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # of equal length, and still a zip file
    path.write_bytes(content)
    said = f"{path} is not the file that training wrote: its bytes have changed"
    with pytest.raises(DlibError, match=said):
        tiny_train(run, "STEPS = 4")
    with pytest.raises(DlibError, match=said):
        postprocess.postprocess(run, tmp_path / "codes")
    path.unlink()  # the remedy
    tiny_train(run, "STEPS = 4")
    assert path.is_file()


def test_what_a_killed_drawing_left_goes_with_the_next_start(tmp_path, tiny_train):
    run = tmp_path / "run"
    tiny_train(run, "STEPS = 4")
    (run / "pictures").mkdir()
    left, mine = run / "pictures" / ".traversals.png.99999.tmp", run / "pictures" / ".mine.tmp"
    for path in (left, mine):
        path.write_bytes(b"half a picture")
    tiny_train(run, "STEPS = 4")
    assert not left.exists()
    assert mine.is_file()


ENCODER = """
import gin
import keras

WIDTH = {width}


@gin.register
def own_encoder(observation_shape, num_latent):
    image = keras.layers.Input(observation_shape)
    pooled = keras.layers.Flatten()(keras.layers.AveragePooling2D(16)(image))
    hidden = keras.layers.Dense(WIDTH)(pooled)
    return keras.Model(image, [keras.layers.Dense(num_latent)(hidden) for _ in range(2)])
"""


@pytest.mark.slow
def test_an_edited_encoder_is_another_configuration(tmp_path, start_command, tiny_flags):
    run, module = tmp_path / "run", tmp_path / "own_networks.py"
    module.write_text(ENCODER.format(width=8))
    (tmp_path / "own.gin").write_text("import own_networks\ntrain.encoder = @own_encoder\n")
    flags = [*tiny_flags(run, "STEPS = 4"), f"--gin_config={tmp_path / 'own.gin'}"]
    environment = importing(tmp_path)
    code, _, err = start_command(*flags, environment=environment).finish()
    assert code == 0, err
    module.write_text(ENCODER.format(width=8) + "\n# a comment\n")
    code, _, err = start_command(*flags, environment=environment).finish()
    assert code == 2
    assert f"the source of own_networks, {module}, has changed" in err
    module.write_text(ENCODER.format(width=8))
    assert start_command(*flags, environment=environment).finish()[0] == 0


def test_an_edited_regularizer_is_another_configuration(tmp_path, tiny_train, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "own_regularizer.py"
    source = (
        "import gin\nfrom dlib_tf2.regularizers.beta_kl import"
        " kl_to_prior\n\n\n@gin.register\nclass OwnKL:\n"
    )
    source += (
        "    def __call__(self, posterior, z, step):\n        return {'kl':"
        " kl_to_prior(posterior)}\n"
    )
    module.write_text(source)
    own = ("import own_regularizer", "VAE.regularizer = @OwnKL()")
    tiny_train(tmp_path / "run", *own, "STEPS = 2")
    before = (tmp_path / "run" / "encoder.keras").read_bytes()
    module.write_text(source.replace("kl_to_prior(posterior)}", "2 * kl_to_prior(posterior)}"))
    for steps in (2, 4):  # a finished run as well as one that would go on
        with pytest.raises(
            UserError,
            match=(
                rf"another configuration \(the source of own_regularizer, {module}, has changed\)"
            ),
        ):
            tiny_train(tmp_path / "run", *own, f"STEPS = {steps}")
    assert (tmp_path / "run" / "encoder.keras").read_bytes() == before


def test_an_edited_metric_is_another_configuration(tmp_path, run_command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "own_metric.py"
    source = (
        "import gin\n\n\n@gin.register\ndef own_metric(codes, factors, rng):\n    return {{'score':"
        " {}}}\n"
    )
    module.write_text(source.format("1.0"))
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "own_metric.gin").write_text("import own_metric\n")
    factors = np.stack(np.unravel_index(np.arange(40), (4, 10)), axis=1)
    np.savez(tmp_path / "table.npz", codes=factors.astype(float), factors=factors)
    flags = ("dlib_evaluate", "--codes=table.npz", "--output_dir=scores", "--metrics=own_metric")
    environment = importing(tmp_path)
    assert run_command(*flags, environment=environment)[0] == 0
    assert run_command(*flags, environment=environment)[0] == 0
    module.write_text(source.format("2.0"))
    code, _, err = run_command(*flags, environment=environment)
    assert code == 2
    assert (
        f"holds a score of another configuration (the source of own_metric, {module}, has changed)"
        in err
    )
