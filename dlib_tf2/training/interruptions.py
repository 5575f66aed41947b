"""What stops a run from outside: signals, and the loss of another worker."""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from dlib_tf2.errors import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOSSES = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnknownError,
)


@contextmanager
def stop_on_signals() -> Iterator[list[str]]:
    """Collects SIGTERM and Ctrl-C in a list, which the loop reads after each call."""
    stop: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may set handlers
        return

    def collect(number: int, frame: object) -> None:
        stop.append(signal.Signals(number).name)

    before = {number: signal.signal(number, collect) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def worker_loss_is_interruption(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns what a worker raises when another one is lost into Interrupted: start all again."""
    try:
        yield
    except _LOSSES as error:
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            raise
        raise Interrupted(
            f"another worker stopped ({_reason(error)}); start all workers again to resume from the"
            " last checkpoint"
        ) from error


def _reason(error: tf.errors.OpError) -> str:
    """The line that says what happened, among stacks and hints."""
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    causes = re.compile("worker|task|connect|peer|cancel|deadline", re.IGNORECASE)
    telling = list(filter(causes.search, lines)) or lines
    return telling[-1][:200] if telling else type(error).__name__


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when every worker has called it."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        one, add = tf.function(lambda: tf.constant(1.0)), tf.distribute.ReduceOp.SUM
        tf.function(lambda: strategy.reduce(add, strategy.run(one), axis=None))()
