"""One progress line on stderr: rewritten in place on a terminal, a new line now and then in a log
file.
"""

import sys
import time


class Progress:
    """Counts finished items and says so; the first and the last line always appear.

    Args:
        label: what is being done, such as "rendered_sprites/full: building the table".
        total: the number of items expected.
        count: how many are finished already.
    """

    def __init__(self, label: str, total: int, count: int = 0):
        self._label, self._total, self._count, self._first = label, total, count, count
        self._start = self._said = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._say("")

    def advance(self, count: int) -> None:
        """Adds `count` finished items."""
        self._count += count
        now = time.monotonic()
        if now - self._said >= (0.2 if self._terminal else 10.0):
            self._said = now
            rate = max(self._count - self._first, 1) / max(now - self._start, 1e-9)
            self._say(f", {rate:,.0f}/s, {max(0.0, (self._total - self._count) / rate):.0f} s left")

    def finish(self) -> None:
        """Says how long it took and leaves the line."""
        self._say(f" in {time.monotonic() - self._start:.1f} s")
        if self._terminal:
            print(file=sys.stderr, flush=True)

    def _say(self, tail: str) -> None:
        line = f"{self._label}: {self._count:,} of {self._total:,}{tail}"
        print(
            f"\r{line:<100}" if self._terminal else line,
            end="" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )
