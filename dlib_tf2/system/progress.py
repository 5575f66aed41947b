"""The progress line of a long step: how far it is, how fast, how long it will take, and what it
measures.
"""

import math
import sys
import time
from collections.abc import Mapping


class Progress:
    """Counts finished items and prints a line about them to stderr.

    A terminal shows one line that is rewritten. Elsewhere, as in a log file, there is a new line
    every ten seconds.
    """

    def __init__(self, label: str, total: int, done: int = 0):
        """Args:
        label: what is counted, such as "step" or "rendered_sprites/full: building the table".
        total: the number of items at the end; 0 if it is not known.
        done: how many are finished already.
        """
        self._label, self._total, self._done, self._first = label, total, done, done
        self._started, self._printed = time.monotonic(), -math.inf
        self._terminal = sys.stderr.isatty()
        self._values: Mapping[str, float] = {}

    def advance(self, count: int, values: Mapping[str, float] | None = None) -> None:
        """Adds finished items, and prints the line unless it was printed a moment ago or all items
        are finished: `finish` prints the last line.

        Args:
            count: how many more are finished.
            values: what was measured, to be shown from now on.
        """
        self._done += count
        self._values = self._values if values is None else values
        now = time.monotonic()
        if self._done != self._total and now - self._printed >= (0.2 if self._terminal else 10.0):
            self._printed = now
            rate = self._rate()
            left = format_seconds((self._total - self._done) / rate) if rate > 0 else "?"
            self._print(f"  {left} left" if self._total else "", "" if self._terminal else "\n")

    def finish(self) -> None:
        """Prints the last line, with the time that all items took."""
        self._print(f"  in {format_seconds(time.monotonic() - self._started)}", "\n")

    def _rate(self) -> float:
        return (self._done - self._first) / max(time.monotonic() - self._started, 1e-9)

    def _print(self, duration: str, end: str) -> None:
        of = f"/{self._total:,}" if self._total else ""
        measured = "".join(f"  {name} {value:.4g}" for name, value in self._values.items())
        line = f"{self._label} {self._done:,}{of}  {self._rate():,.1f}/s{duration}{measured}"
        start = "\r\x1b[K" if self._terminal else ""
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)


def format_seconds(seconds: float) -> str:
    """Seconds as 7s, 2m05s or 3h07m."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
