"""Two processes of dlib_train over loopback: one's weights, and one line if one is lost."""

import json
import socket
import time

import keras
import numpy as np
import pytest
from test_resume import newest, wait_for

WORKERS = 2


def free_ports(count):
    """Ports that nobody listens on, held open together so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def tasks():
    """TF_CONFIG of each worker, the chief first."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(WORKERS)]}
    return [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(WORKERS)
    ]


@pytest.fixture
def start_workers(start_command, tiny_flags):
    """Starts a command once per worker: (model_dir, *bindings) -> commands, the chief first."""

    def start(run, *bindings):
        flags = tiny_flags(run, *bindings, strategy="multi_worker")
        return [start_command(*flags, environment={"TF_CONFIG": task}) for task in tasks()]

    return start


def finish(commands):
    """(exit codes, stdouts, stderrs) of all workers."""
    return zip(*[command.finish() for command in commands], strict=True)


def messages(errors):
    """What each worker says in the command's own name."""
    return [
        [line for line in error.splitlines() if line.startswith("dlib_train: ")] for error in errors
    ]


def read(run):
    weights = [
        w
        for name in ("encoder", "decoder")
        for w in keras.saving.load_model(run / f"{name}.keras", compile=False).get_weights()
    ]
    return weights, json.loads((run / "results.json").read_text())


def check_as_one_process(run, alone):
    (ours, record), (theirs, expected) = read(run), read(alone)
    assert len(ours) == 10
    for mine, other in zip(ours, theirs, strict=True):
        assert np.linalg.norm(mine - other) <= 1e-5 * np.linalg.norm(other)
    assert record["values"] == pytest.approx(expected["values"], rel=1e-5)
    assert record["device"] == "2 x CPU"


def check_go_on_together(run, start_workers, tiny_train, tmp_path):
    """Restarts both workers for 10 more steps; compares them with a run that never stopped."""
    stopped = newest(run)
    assert 10 <= stopped < 600
    steps = f"STEPS = {stopped + 10}"
    codes, _, errors = finish(start_workers(run, steps))
    assert codes == (0, 0)
    assert [f"resuming at step {stopped}" in error for error in errors] == [True, False]
    tiny_train(tmp_path / "alone", steps)
    check_as_one_process(run, tmp_path / "alone")


@pytest.mark.slow
def test_two_workers_end_with_the_weights_of_one(start_workers, tiny_train, tmp_path):
    together, alone = tmp_path / "together", tmp_path / "alone"
    workers = start_workers(together, "train.save_steps = 7")
    tiny_train(alone)
    codes, outs, errors = finish(workers)
    assert codes == (0, 0), errors
    check_as_one_process(together, alone)
    # Only the chief writes, and only it speaks.
    assert [len(out.splitlines()) for out in outs] == [2, 0]
    assert ["step 20/20" in error for error in errors] == [True, False]
    assert [error.count("waiting for all of 127.0.0.1:") for error in errors] == [1, 1]
    assert newest(together) == 20
    assert len(list((together / "summaries").iterdir())) == 1


TINY = """
include "models/{}.gin"
import tiny_networks
NUM_LATENT = 6
STEPS = 20
BATCH_SIZE = 16
train.encoder = @tiny_encoder
train.decoder = @tiny_decoder
train.eval_steps = 3
adam.learning_rate = 1e-3
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ada_gvae", "s2_beta_vae"])
def test_two_workers_of_pairs_and_of_labels(
    start_command, tiny_flags, run_command, tmp_path, method
):
    together, alone, config = tmp_path / "together", tmp_path / "alone", tmp_path / "tiny.gin"
    config.write_text(TINY.format(method))
    bindings = ["NUM_LABELLED = 50"] if method == "s2_beta_vae" else []
    workers = [
        start_command(
            *tiny_flags(together, *bindings, gin_config=config, strategy="multi_worker"),
            environment={"TF_CONFIG": task},
        )
        for task in tasks()
    ]
    codes, _, errors = finish(workers)
    assert codes == (0, 0), errors
    assert run_command(*tiny_flags(alone, *bindings, gin_config=config))[0] == 0
    check_as_one_process(together, alone)


LONG = ("STEPS = 600", "train.save_steps = 5")


@pytest.mark.slow
def test_workers_that_are_stopped_go_on_together(start_workers, tiny_train, tmp_path):
    run = tmp_path / "run"
    workers = start_workers(run, *LONG)
    wait_for(lambda: newest(run) >= 10, workers[0])
    for worker in workers:
        worker.process.terminate()
    codes, _, errors = finish(workers)
    assert codes == (75, 75)
    assert [len(said) for said in messages(errors)] == [1, 1]
    check_go_on_together(run, start_workers, tiny_train, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1], ids=["chief", "other"])
def test_the_loss_of_a_worker_ends_the_other_and_both_go_on_together(
    start_workers, tiny_train, tmp_path, lost
):
    run = tmp_path / "run"
    workers = start_workers(run, *LONG)
    wait_for(lambda: newest(run) >= 10, workers[0])
    workers[lost].process.kill()
    killed = time.monotonic()
    workers[1 - lost].process.wait(60)
    assert time.monotonic() - killed < 60
    codes, _, errors = finish(workers)
    assert codes[lost] == -9
    assert codes[1 - lost] == 75, errors[1 - lost]
    (line,) = messages(errors)[1 - lost]
    assert "another worker stopped (" in line
    assert "Graph execution error" not in line
    assert "start all workers again to resume from the last checkpoint" in line
    check_go_on_together(run, start_workers, tiny_train, tmp_path)
