"""Twelve models on the pool and on a local Ray, with a worker and then the driver killed: complete,
each once, scores as one by one.
"""

import importlib.util
import os
import pathlib
import signal
import time

import pytest

from dlib_tf2.records import results
from dlib_tf2.studies import pool, run_folder

DEADLINE = 1200
BACKENDS = [
    pytest.param((), id="pool"),
    pytest.param(
        ("--ray_address=local",),
        id="ray",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("ray") is None, reason="ray is not installed"
        ),
    ),
]


def wait_for(condition, what):
    until = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < until, f"did not come: {what}"
        time.sleep(0.05)
    return found


def processes(text):
    """Ids of the processes whose command line has `text`."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if text in line:
            found.append(int(folder.name))
    return found


def scores(folder):
    """{(model, representation, metric): values} of a study's folder."""
    return {
        path.parent.relative_to(folder).parts: results.read_step(path.parent)["values"]
        for path in folder.glob("*/scores/*/*/results.json")
    }


def done(folder):
    return {path.parent.name for path in folder.glob("*/done.json")}


def workers(folder):
    """Processes of dlib_reproduce that work in a folder, which name it and a model."""
    return [pid for pid in processes(f"--output_dir={folder}") if pid in processes("--model_num=")]


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sweep_survives_the_death_of_a_worker_and_of_its_driver(
    backend, tiny_study, start_command, run_command, tmp_path, data_dir
):
    out = tmp_path / "out"
    flags = [f"--study={tiny_study}", f"--data_dir={data_dir}"]
    command = ["dlib_sweep", *flags, f"--output_dir={out}", "--workers=2", *backend]
    sweep = start_command(*command, seconds=DEADLINE)
    victim = wait_for(lambda: workers(out), "a worker")[0]
    wait_for(lambda: list(out.glob("*/model/checkpoints/*.index")), "a checkpoint")
    os.kill(victim if victim in workers(out) else workers(out)[0], signal.SIGKILL)
    wait_for(lambda: len(done(out)) >= 3, "three models")
    early = {path: path.stat().st_mtime_ns for path in out.glob("*/done.json")}
    sweep.process.kill()
    _, _, said = sweep.finish()
    assert "killed by signal SIGKILL" in said
    wait_for(lambda: not workers(out), "the end of the workers, which the driver's death stops")
    assert 3 <= len(done(out)) < 12

    twins = (
        [start_command(*command, seconds=DEADLINE), start_command(*command, seconds=DEADLINE)]
        if not backend
        else []
    )
    ends = [twin.finish() for twin in twins] or [run_command(*command, seconds=DEADLINE)]
    assert [code for code, _, _ in ends] == [0] * len(ends)
    assert done(out) == {str(number) for number in range(12)}
    assert {path: path.stat().st_mtime_ns for path in early} == early
    ends_said = [
        (out / "logs" / f"{number}.txt").read_text().count("step 20/20") for number in range(12)
    ]
    # of the three that were killed any may have been at its last checkpoint
    assert sum(ends_said) >= 9
    for number in range(12):
        # The end of a training is said once, and not by a process that finds it trained, nor by one
        # that resumes at its last checkpoint.
        assert ends_said[number] <= 1
        assert run_folder.state(out / str(number)).kind == "done"

    # sums over other numbers of threads are rounded otherwise, by 1e-7
    one_core = pool.environment(1, 0.0)
    for number in range(12):
        command = [
            "dlib_reproduce",
            *flags,
            f"--model_num={number}",
            f"--output_dir={tmp_path / 'alone'}",
        ]
        code, _, err = run_command(*command, environment=one_core, seconds=DEADLINE)
        assert code == 0, err
    alone = scores(tmp_path / "alone")
    assert len(alone) == 12 * 2 * 2
    assert scores(out) == alone
