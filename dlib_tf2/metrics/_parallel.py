"""Many fits at once: one thread each, on all workers, the most expensive first, with a listener for
progress.
"""

import contextlib
import contextvars
import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
import numpy as np
from threadpoolctl import ThreadpoolController

from dlib_tf2.system.workers import spread


class _Listener:
    """The callback for progress, and the time when `run` was first called."""

    def __init__(self, say: Callable[[float], None]):
        self._say, self._started = say, 0.0

    def hear(self, begin: float, part: float) -> None:
        """Tells of a call of `run` that began at `begin` and has finished `part` of its work."""
        self._started = self._started or begin
        now = time.monotonic()
        end = begin + (now - begin) / part
        self._say(
            (now - self._started) / (end - self._started)
            if part < 1 and end > self._started
            else part
        )


_listener: contextvars.ContextVar[_Listener | None] = contextvars.ContextVar(
    "listener", default=None
)


@contextlib.contextmanager
def reporting(listener: Callable[[float], None]) -> Iterator[None]:
    """Within the block, `run` tells `listener` the finished part of the work begun so far, in (0,
    1], after each task.

    Of a second call of `run` the part is one of time: what the calls have taken, over what they
    will have taken when this one ends at its own rate. Whoever says from the part how long it still
    takes says it of the running call; how long a later one takes nobody knows yet.
    """
    token = _listener.set(_Listener(listener))
    try:
        yield
    finally:
        _listener.reset(token)


def run(function: Callable[..., Any], tasks: Sequence[tuple], costs: Sequence[float]) -> list[Any]:
    """Calls `function(*task)` for every task through `joblib.Parallel()`, whose workers
    `joblib.parallel_config` sets around the call.

    Args:
        function: a function of a module, so that it pickles; its result must depend on the task
            alone.
        tasks: arguments of each call.
        costs: how long each takes, in any unit. A long task that came last would leave the other
            workers idle.

    Returns:
        The results in the order of `tasks`.
    """
    order = np.argsort(-np.asarray(costs, dtype=np.float64), kind="stable").tolist()
    results: list[Any] = [None] * len(tasks)
    listener, begin, done, total = _listener.get(), time.monotonic(), 0.0, float(sum(costs))
    # One task at a time: joblib's own batches would put several long fits on one worker.
    calls = (joblib.delayed(_on_one_thread)(function, tasks[index]) for index in order)
    # The limit of this process comes first, for tasks begin with the next line: those in threads of
    # it leave each other's limits alone.
    with _libraries().limit(limits=1):
        finished = spread(calls)
        for index, result in zip(order, finished, strict=True):
            results[index] = result
            done += costs[index]
            if listener is not None:
                listener.hear(begin, done / total)
    return results


def _on_one_thread(function: Callable[..., Any], task: tuple) -> Any:
    """Calls `function(*task)` in whatever process this is: joblib limits the threads of its own
    workers only.
    """
    with _libraries().limit(limits=1):
        return function(*task)


def _libraries() -> ThreadpoolController:
    """The libraries with threads of their own. Only loaded ones are found, so what fits is imported
    first.
    """
    import sklearn  # noqa: F401

    return _look_up(len(sys.modules))


@functools.lru_cache(maxsize=1)
def _look_up(_: int) -> ThreadpoolController:
    """Takes 6 ms: done again only where something was imported since."""
    return ThreadpoolController()
