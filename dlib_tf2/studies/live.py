"""The live table of a sweep: done, running, failed, left, models per hour and the time left, on
stderr.
"""

import sys
import time

from dlib_tf2.system.progress import format_seconds

_SECONDS = 30.0  # between two rows where no terminal shows them in place
_HEAD = f"{'done':>7} {'running':>8} {'failed':>7} {'left':>7} {'models/h':>9} {'time left':>10}"


class Live:
    """Rewrites one row on a terminal; elsewhere prints one now and then."""

    def __init__(self) -> None:
        self._started, self._last = time.monotonic(), -1e9
        self._terminal, self._open, self._head = sys.stderr.isatty(), False, False

    def say(self, line: str) -> None:
        """Prints a line above the row."""
        print(f"{self._clear()}{line}", file=sys.stderr, flush=True)

    def show(
        self, done: int, running: int, failed: int, left: int, finished: int, last: bool = False
    ) -> None:
        """Shows the row.

        Args:
            done: models that are done, earlier ones included.
            running: models that run, those of other sweeps included.
            failed: models that failed and are not tried again.
            left: models that wait.
            finished: models that this sweep finished, which give its pace.
            last: whether this is the end.
        """
        now = time.monotonic()
        if not last and now - self._last < (0.5 if self._terminal else _SECONDS):
            return
        self._last = now
        pace = finished / max(now - self._started, 1e-9)
        time_left = format_seconds((left + running) / pace) if pace else "?"
        if not self._head:
            self.say(_HEAD)
            self._head = True
        row = (
            f"{done:>7,} {running:>8,} {failed:>7,} {left:>7,} {3600 * pace:>9,.1f} {time_left:>10}"
        )
        print(
            f"{self._clear()}{row}",
            end="" if self._terminal and not last else "\n",
            file=sys.stderr,
            flush=True,
        )
        self._open = self._terminal and not last

    def _clear(self) -> str:
        was, self._open = self._open, False
        return "\r\x1b[K" if was else ""
