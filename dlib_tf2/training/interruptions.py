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
    *(
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.InternalError,
    ),
    *(tf.errors.DeadlineExceededError, tf.errors.UnknownError),
)


@contextmanager
def stop_on_signals() -> Iterator[list[str]]:
    """Collects SIGTERM and Ctrl-C instead of dying from them; the loop looks after each call."""
    stop: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may set handlers
        return
    before = {
        number: signal.signal(
            number, lambda received, _: stop.append(signal.Signals(received).name)
        )
        for number in _SIGNALS
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def worker_loss_is_interruption(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """With several workers, the loss of one ends the others; what they then raise means: start all
    again.
    """
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
    """What happened, out of the lines around it: where in the graph, stacks, hints."""
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if re.search(r"[Ww]orker|[Tt]ask|[Cc]onnect|[Pp]eer|[Cc]ancel|[Dd]eadline", line)
    ] or lines
    return telling[-1][:200] if telling else type(error).__name__


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when every worker has come here."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        one = tf.function(lambda: tf.constant(1.0))
        tf.function(
            lambda: strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(one), axis=None)
        )()
