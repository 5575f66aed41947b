"""Work for joblib's processes, which leave Ctrl-C to the process that started them."""

import multiprocessing.resource_tracker
import signal
from collections.abc import Iterable, Iterator
from typing import Any

import joblib
from joblib.externals.loky.backend import resource_tracker


def start() -> None:
    """Starts the workers for a library that calls joblib itself, or they would hear Ctrl-C."""
    if (count := joblib.effective_n_jobs(None)) > 1:
        for _ in spread(joblib.delayed(int)() for _ in range(count)):
            pass


def spread(calls: Iterable[Any], **options: Any) -> Iterator[Any]:
    """Begins calls on the workers that `joblib.parallel_config` sets around this one.

    A terminal sends Ctrl-C to every process of a command. The workers never hear it: one that was
    importing its libraries would print a traceback, and the parent ends them all anyway. It hears a
    Ctrl-C that comes while it starts them a moment later.

    Args:
        calls: `joblib.delayed` ones; the results of each depend on its arguments alone.
        options: of `joblib.Parallel`.

    Returns:
        The results, in the order of `calls`.
    """
    for tracker in (multiprocessing.resource_tracker, resource_tracker):
        tracker.ensure_running()  # first, for each unblocks the signal when it starts
    # a new process keeps what is blocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return joblib.Parallel(**{"batch_size": 1, "return_as": "generator", **options})(calls)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
