"""Where models run: the process pool of one machine, and what it shares with a cluster."""

import os
import subprocess
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from dlib_tf2.errors import UserError
from dlib_tf2.studies import child
from dlib_tf2.studies.child import Task


class Ended(NamedTuple):
    """A process that ended: its exit code, negative for a signal, or None and a reason if it was
    lost with its node.
    """

    model_num: int
    exit_code: int | None
    reason: str = ""


class Backend(Protocol):
    """A place where several models run at once."""

    def free(self) -> bool:
        """Whether another model can start now."""

    def start(self, task: Task) -> None:
        """Starts a model."""

    def ended(self) -> list[Ended]:
        """The models that ended since the last call; does not wait."""

    def stop(self, seconds: float) -> None:
        """Stops those that run, after which they can be resumed."""


class Pool:
    """Processes of this machine, each with its share of cores and GPUs."""

    def __init__(self, workers: int, gpus: Sequence[str] = ()):
        """Args:
        workers: processes at once.
        gpus: for each of them, what CUDA_VISIBLE_DEVICES is; empty to leave it alone.
        """
        self._running: dict[int, tuple[subprocess.Popen, int]] = {}
        self._slots, self._gpus = list(range(workers)), gpus

    def free(self) -> bool:
        """Whether another model can start now."""
        return bool(self._slots)

    def start(self, task: Task) -> None:
        """Starts a model."""
        slot = self._slots.pop(0)
        if self._gpus:
            task = task._replace(
                environment={**task.environment, "CUDA_VISIBLE_DEVICES": self._gpus[slot]}
            )
        self._running[task.model_num] = child.start(task), slot

    def ended(self) -> list[Ended]:
        """The models that ended since the last call."""
        codes = {
            number: code
            for number, (process, _) in self._running.items()
            if (code := process.poll()) is not None
        }
        for number in codes:
            self._slots.append(self._running.pop(number)[1])
        return [Ended(number, code) for number, code in codes.items()]

    def stop(self, seconds: float) -> None:
        """Stops those that run."""
        child.stop([process for process, _ in self._running.values()], seconds)


def environment(cpus_per_run: int, gpus_per_run: float) -> dict[str, str]:
    """Variables that keep a process to its share of the cores, and of a GPU that it shares with
    others.
    """
    threads = (
        "OMP_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "LOKY_MAX_CPU_COUNT",
    )
    variables = {name: str(cpus_per_run) for name in threads}
    if 0 < gpus_per_run < 1:
        # otherwise the first process takes all of its memory
        variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return variables


def share_gpus(devices: Sequence[str], gpus_per_run: float) -> list[str]:
    """CUDA_VISIBLE_DEVICES of each process that fits on the GPUs of a machine.

    Args:
        devices: their names.
        gpus_per_run: a whole number, or a fraction of one GPU.

    Raises:
        UserError: no process fits.
    """
    if gpus_per_run < 1:
        shares = [device for device in devices for _ in range(int(1 / gpus_per_run + 1e-9))]
    else:
        size = int(gpus_per_run)
        shares = [
            ",".join(devices[first : first + size])
            for first in range(0, len(devices) - size + 1, size)
        ]
    if not shares:
        raise UserError(
            f"no run fits: --gpus_per_run={gpus_per_run}, and this machine has {len(devices)} GPUs;"
            " choose fewer, or 0 for none"
        )
    return shares


def visible_gpus() -> list[str]:
    """The GPUs of this machine that the environment allows, without loading TensorFlow."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name and name != "-1"]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number in range(len(listed.splitlines()))]
