"""Models on a Ray cluster (extra `[ray]`): each a task with its share of CPUs and GPUs, on whatever
node has room.
"""

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any

import joblib

from dlib_tf2.errors import DlibError, UserError, first_line
from dlib_tf2.studies import child
from dlib_tf2.studies.child import Task
from dlib_tf2.studies.pool import Ended


class RayPool:
    """A Ray cluster, as a `Backend`."""

    def __init__(
        self, address: str, cpus_per_run: int, gpus_per_run: float, workers: int | None = None
    ):
        """Connects to a cluster.

        Args:
            address: of the cluster, such as "auto" or "host:6379"; "local" starts one on this
                machine, for the loopback interface.
            cpus_per_run: CPUs of a task.
            gpus_per_run: GPUs of a task; may be a fraction.
            workers: tasks at once, at most; what the cluster, or this machine, has room for by
                default.

        Raises:
            UserError: Ray is not installed.
            DlibError: no cluster has that address.
        """
        try:
            import ray
        except ImportError as error:
            raise UserError(
                "Ray is not installed; install the extra: pip install 'dlib_tf2[ray]', or"
                " leave out --ray_address"
            ) from error
        self._ray, self._workers = ray, workers
        self._share = {"CPU": float(cpus_per_run), "GPU": float(gpus_per_run)}
        options: dict[str, Any] = {"address": address}
        if address == "local":
            options |= {
                "_node_ip_address": "127.0.0.1",
                "include_dashboard": False,
                "num_cpus": (workers or max(1, joblib.cpu_count() // cpus_per_run)) * cpus_per_run,
            }
        try:
            ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray has no class of its own for this
            raise DlibError(
                f"no Ray cluster at {address} ({first_line(error)}); start it with ray start, or"
                " leave out --ray_address"
            ) from error
        on_a_node = ray.remote(num_cpus=cpus_per_run, num_gpus=gpus_per_run, max_retries=0)
        self._run, self._ask = on_a_node(child.run), on_a_node(_in_folder)
        self._running: dict[Any, int] = {}

    def free(self) -> bool:
        """Whether the cluster, as large as it is now, has room for another model, which needs it on
        one node.

        Raises:
            UserError: no node is large enough, and none of the models is running.
        """
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        slots = sum(
            min(
                int(room.get(kind, 0) / share + 1e-9)
                for kind, share in self._share.items()
                if share
            )
            for room in nodes
        )
        if not slots and not self._running:
            wanted = " and ".join(
                f"{share:g} {kind}" for kind, share in self._share.items() if share
            )
            raise UserError(
                f"no node of the Ray cluster has {wanted}; choose smaller --cpus_per_run and"
                " --gpus_per_run, or add a node"
            )
        return len(self._running) < min(slots, self._workers or slots)

    def ask(self, function: Callable[..., None], *arguments: Any) -> None:
        """Calls a function on some node, in this process's current folder there, with a model's
        share of it.

        Raises:
            UserError: no node is large enough.
            DlibError: the node was lost. Whatever the function raises is raised here too; the
                cluster is left then.
        """
        try:
            self.free()
            self._ray.get(self._ask.remote(os.getcwd(), function, *arguments))
        except BaseException as error:
            self.stop(0.0)
            if isinstance(error, self._ray.exceptions.RayTaskError):
                raise error.cause from None
            if isinstance(error, self._ray.exceptions.RayError):
                raise DlibError(
                    f"the Ray cluster lost a node ({type(error).__name__}); run the same command"
                    " again"
                ) from error
            raise

    def start(self, task: Task) -> None:
        """Starts a model."""
        self._running[self._run.remote(task)] = task.model_num

    def ended(self) -> list[Ended]:
        """The models that ended since the last call, or that lost their worker or node."""
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        found = []
        for reference in ready:
            number = self._running.pop(reference)
            try:
                found.append(Ended(number, self._ray.get(reference)))
            except self._ray.exceptions.RayError as error:
                reason = next(
                    (line.strip() for line in reversed(str(error).splitlines()) if line.strip()), ""
                )
                found.append(Ended(number, None, f"{type(error).__name__}: {reason}"[:300]))
        return found

    def stop(self, seconds: float) -> None:
        """Interrupts the running models, which save first, and leaves the cluster."""
        for reference in self._running:
            self._ray.cancel(reference, force=False)
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=seconds)
        self._ray.shutdown()


def _in_folder(folder: str, function: Callable[..., None], *arguments: Any) -> None:
    if not os.path.isdir(folder):
        raise UserError(
            f"a node of the Ray cluster has no folder {folder}; start from one that all nodes have"
            " under the same path"
        )
    with contextlib.chdir(folder):
        function(*arguments)
