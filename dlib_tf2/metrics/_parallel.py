"""Many fits at once: one thread each, on all workers, the most expensive first, with a listener for progress."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
import numpy as np

_listener: contextvars.ContextVar[Callable[[float], None] | None] = contextvars.ContextVar("listener", default=None)


@contextlib.contextmanager
def reporting(listener: Callable[[float], None]) -> Iterator[None]:
    """Within the block, `run` tells `listener` the finished part of its work, in (0, 1], after each task."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def run(function: Callable[..., Any], tasks: Sequence[tuple], costs: Sequence[float]) -> list[Any]:
    """Calls `function(*task)` for every task through `joblib.Parallel()`, whose workers `joblib.parallel_config` sets around the call.

    Args:
        function: a function of a module, so that it pickles; its result must depend on the task alone.
        tasks: arguments of each call.
        costs: how long each takes, in any unit. A long task that came last would leave the other workers idle.

    Returns:
        The results in the order of `tasks`.
    """
    order = np.argsort(-np.asarray(costs, dtype=np.float64), kind="stable").tolist()
    results: list[Any] = [None] * len(tasks)
    listener, done, total = _listener.get(), 0.0, float(sum(costs))
    # One task at a time: joblib's own batches would put several long fits on one worker.
    finished = joblib.Parallel(batch_size=1, return_as="generator")(joblib.delayed(function)(*tasks[index]) for index in order)
    for index, result in zip(order, finished, strict=True):
        results[index] = result
        done += costs[index]
        if listener is not None:
            listener(done / total)
    return results
