"""One model in a process of its own: a dlib_reproduce that writes its output to a log, and that
saves and stops when its parent dies.
"""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

from dlib_tf2.errors import DlibError

_PR_SET_PDEATHSIG = 1  # Linux: a signal for the child when its parent dies


class Task(NamedTuple):
    """What a process needs to know, wherever it runs; paths are absolute, on a file system that all
    nodes see.

    Attributes:
        model_num: the model.
        arguments: flags of dlib_reproduce.
        log: file that its output is added to.
        folder: the current folder, where local gin and study files are found.
        environment: variables on top of the node's own.
    """

    model_num: int
    arguments: tuple[str, ...]
    log: str
    folder: str
    environment: dict[str, str]


def start(task: Task) -> subprocess.Popen:
    """Starts the process.

    Raises:
        DlibError: dlib_reproduce is not installed here.
    """
    pathlib.Path(task.log).parent.mkdir(parents=True, exist_ok=True)
    with open(task.log, "ab") as log:
        return subprocess.Popen(
            [sys.executable, script(), *task.arguments],
            cwd=task.folder,
            env={**os.environ, **task.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # a terminal's Ctrl-C is for the sweep, which then stops this process once
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )


def run(task: Task) -> int:
    """Runs the process to its end and returns its exit code, negative for a signal; passes an
    interruption on to it.
    """
    process = start(task)
    try:
        return process.wait()
    finally:
        stop([process], 60.0)


def stop(processes: list[subprocess.Popen], seconds: float) -> None:
    """Asks processes to save and end; after `seconds` kills those that are left, with the workers
    that they started.
    """
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def script() -> str:
    """The command dlib_reproduce of this installation or clone."""
    beside = [pathlib.Path(__file__).parents[2] / "bin", pathlib.Path(sys.executable).parent]
    for path in [folder / "dlib_reproduce" for folder in beside]:
        if path.is_file():
            return str(path)
    if (found := shutil.which("dlib_reproduce")) is None:
        raise DlibError(
            "dlib_reproduce is not installed on this machine; install dlib_tf2 there, in the same"
            " environment"
        )
    return found


def last_line(log: str) -> str:
    """The last line that a process wrote, which says why it failed."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next(
        (line.strip().removeprefix("dlib_reproduce: ") for line in reversed(lines) if line.strip()),
        "",
    )


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) and None
