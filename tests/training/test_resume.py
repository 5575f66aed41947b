"""Real runs of dlib_train, killed, terminated and restarted, end with an undisturbed run's bits."""

import json
import os
import re
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

STEPS = 160
# The tiny networks save every other step, so that most of the time goes into writing checkpoints.
BINDINGS = (f"STEPS = {STEPS}", "train.save_steps = 2", "train.summary_steps = 40")
MOMENTS = np.random.default_rng(7)
DEADLINE = 120  # seconds until a moment that does not come is a failure


def wait_for(condition, command):
    """Polls until `condition()`; the process must be alive all the time."""
    until = time.monotonic() + DEADLINE
    while not condition():
        assert command.process.poll() is None, f"ended before the moment: {command.finish()}"
        assert time.monotonic() < until, "the moment did not come"
        time.sleep(0.001)


def names(run):
    folder = run / "checkpoints"
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def newest(run):
    return max(
        (
            int(match[1])
            for name in names(run)
            if (match := re.fullmatch(r"step-(\d+)\.index", name))
        ),
        default=0,
    )


def half_written(run):
    """Files of a checkpoint that is not whole yet."""
    indices = {name.removesuffix(".index") for name in names(run) if name.endswith(".index")}
    return [
        name
        for name in names(run)
        if "temp" in name or (".data-" in name and name.split(".")[0] not in indices)
    ]


def kill_while_starting(run, command):
    wait_for(lambda: (run / ".dlib_tf2").exists(), command)
    time.sleep(MOMENTS.uniform(0, 1.5))
    command.process.kill()


def kill_while_writing(run, command):
    """Stops the process when a checkpoint seems half written, and kills it if it is."""
    while True:
        wait_for(lambda: half_written(run), command)
        command.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, command.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if half_written(run):
            command.process.kill()
            return
        command.process.send_signal(signal.SIGCONT)


def kill_at_any_moment(run, command):
    target = newest(run) + MOMENTS.integers(10, 40)
    wait_for(lambda: newest(run) >= target, command)
    time.sleep(MOMENTS.uniform(0, 0.05))
    command.process.kill()


def terminate(run, command):
    target = newest(run) + MOMENTS.integers(10, 30)
    wait_for(lambda: newest(run) >= target, command)
    command.process.terminate()


def kill_while_exporting(run, command):
    wait_for(lambda: (run / "encoder.keras").exists(), command)
    command.process.kill()


def tell(run, flags, start_command, moments):
    """Starts a command once per moment, and once more to the end: what each start printed."""
    told = []
    for moment in (*moments, None):
        before, command = newest(run), start_command(*flags)
        if moment:
            moment(run, command)
        code, out, err = command.finish()
        told.append(
            SimpleNamespace(
                code=code,
                out=out,
                err=err,
                before=before,
                after=newest(run),
                left=half_written(run),
            )
        )
    return told


def last_checkpoint(run):
    """All variables of the last checkpoint, optimizer slots included."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"step-{STEPS}"))
    return {
        name: np.asarray(reader.get_tensor(name)).tobytes()
        for name in reader.get_variable_to_shape_map()
        if "variables" in name
    }


def values(run):
    return json.loads((run / "results.json").read_text())["values"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, tiny_train):
    """The run that is left alone. It saves at other intervals: they must not matter."""
    folder = tmp_path_factory.mktemp("resume") / "alone"
    tiny_train(folder, f"STEPS = {STEPS}", "train.summary_steps = 7")
    return folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, start_command, tiny_flags):
    """A run that is stopped four times: (folder, what was seen of its five starts)."""
    folder = tmp_path_factory.mktemp("resume") / "stopped"
    moments = (kill_while_starting, kill_while_writing, kill_at_any_moment, terminate)
    return folder, tell(folder, tiny_flags(folder, *BINDINGS), start_command, moments)


def check_the_same(run, alone):
    ours, theirs = last_checkpoint(run), last_checkpoint(alone)
    assert len(ours) > 20
    assert ours == theirs
    assert values(run) == values(alone)
    for name in ("encoder", "decoder"):
        weights = [
            tf.keras.models.load_model(folder / f"{name}.keras", compile=False).get_weights()
            for folder in (run, alone)
        ]
        assert len(weights[0]) >= 4
        assert all(np.array_equal(mine, other) for mine, other in zip(*weights, strict=True))


def check_resumed(starts):
    """Each start went on from the newest checkpoint that the one before had left whole."""
    for start in starts:
        said = re.findall(rf"resuming at step (\d+) of {STEPS}\n", start.err.replace(",", ""))
        assert said == ([str(start.before)] if start.before else [])
        assert "damaged" not in start.err
        assert "Traceback" not in start.err


@pytest.mark.slow
def test_three_kills_and_a_termination_came_at_their_moments(stopped):
    starting, writing, any_moment, terminated, finished = stopped[1]
    assert [start.code for start in stopped[1]] == [-9, -9, -9, 75, 0]
    assert starting.before == writing.before == 0
    assert writing.left, "killed between two writes"
    assert any_moment.after - any_moment.before >= 10
    assert terminated.before < terminated.after < finished.after == STEPS
    assert not finished.left, "what a killed write leaves goes with the next checkpoint"


@pytest.mark.slow
def test_every_start_goes_on_from_the_newest_whole_checkpoint(stopped):
    check_resumed(stopped[1])


@pytest.mark.slow
def test_sigterm_saves_and_says_one_line(stopped):
    terminated = stopped[1][3]
    said = [line for line in terminated.err.splitlines() if line.startswith("dlib_train: ")]
    step = terminated.after
    assert said == [
        f"dlib_train: stopped by signal SIGTERM at step {step}, saved at step {step}; run the same"
        " command again to resume"
    ]


@pytest.mark.slow
def test_the_last_start_ends_with_pictures(stopped):
    folder, starts = stopped
    assert starts[-1].out.splitlines() == [
        str(folder / "pictures" / name) for name in ("reconstructions.png", "traversals.png")
    ]
    assert f"step {STEPS}/{STEPS}" in starts[-1].err


@pytest.mark.slow
def test_the_stopped_run_ends_with_the_same_bits(stopped, alone):
    check_the_same(stopped[0], alone)


@pytest.mark.slow
def test_many_kills(alone, tmp_path, start_command, tiny_flags):
    moments = (
        kill_while_writing,
        kill_while_starting,
        kill_while_writing,
        *[kill_at_any_moment] * 3,
        kill_while_exporting,
    )
    starts = tell(tmp_path / "run", tiny_flags(tmp_path / "run", *BINDINGS), start_command, moments)
    assert [start.code for start in starts] == [-9] * 7 + [0]
    check_resumed(starts)
    check_the_same(tmp_path / "run", alone)


@pytest.mark.slow
def test_a_finished_run_says_so_and_another_configuration_is_refused(
    alone, run_command, tiny_flags
):
    code, out, err = run_command(*tiny_flags(alone, f"STEPS = {STEPS}"))
    assert code == 0
    assert out.splitlines()[0] == f"{alone} is already trained ({STEPS} steps); nothing to do"
    assert "step " not in err
    code, _, err = run_command(*tiny_flags(alone, f"STEPS = {STEPS}", "BETA = 8.0"))
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith(
        f"dlib_train: {alone} holds another configuration (BetaKL.beta is 4.0 there and 8.0 here)"
    )


@pytest.mark.slow
def test_not_finite_ends_the_command_with_one_line(tmp_path, run_command, tiny_flags):
    flags = tiny_flags(
        tmp_path / "run",
        "VAE.regularizer = @NotFiniteAt()",
        "NotFiniteAt.at = 7",
        "train.save_steps = 3",
    )
    for resumed in (False, True):
        code, out, err = run_command(*flags)
        assert code == 1
        assert out == ""
        (line,) = (line for line in err.splitlines() if not line.startswith(("resuming", "step ")))
        assert line.startswith("dlib_train: the loss is not finite at step 7 (loss nan, ")
        assert "the checkpoint of step 6 is kept" in line
        assert ("resuming at step 6 of 20" in err) == resumed
