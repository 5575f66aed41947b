"""The progress line of a long step: where it is, how fast, how long it still takes, and what it
measures.
"""

import sys
import time
from collections.abc import Mapping


class Progress:
    """Prints one line per report to stderr, rewritten in place on a terminal."""

    def __init__(self, unit: str, total: int, start: int = 0):
        """Args: unit: what is counted, e.g. "step". total: the count at the end. start: the count
        now.
        """
        self._unit, self._total = unit, total
        self._started, self._first = time.monotonic(), start
        self._terminal = sys.stderr.isatty()
        self._last_print = -1e9

    def report(
        self, done: int, values: Mapping[str, float] | None = None, every_seconds: float = 0.0
    ) -> None:
        """Says that `done` units are finished; calls closer together than `every_seconds` are left
        out, save the last.
        """
        now = time.monotonic()
        if now - self._last_print < every_seconds and done < self._total:
            return
        self._last_print = now
        rate = (done - self._first) / max(now - self._started, 1e-9)
        left = format_seconds((self._total - done) / rate) if rate > 0 else "?"
        measured = "".join(f"  {name} {value:.4g}" for name, value in (values or {}).items())
        line = f"{self._unit} {done:,}/{self._total:,}  {rate:,.1f}/s  {left} left{measured}"
        last = done >= self._total
        print(
            f"\r\x1b[K{line}" if self._terminal else line,
            end="" if self._terminal and not last else "\n",
            file=sys.stderr,
            flush=True,
        )


def format_seconds(seconds: float) -> str:
    """Seconds as 7s, 2m05s or 3h07m."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
