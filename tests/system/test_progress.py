"""The progress line: numbers, rate, time left, and how often it is printed."""

import pytest

from dlib_tf2.system import progress
from dlib_tf2.system.progress import Progress, format_seconds


@pytest.fixture
def clock(monkeypatch):
    """Time that stands still until the test moves it."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (125, "2m05s"),
        (3599.7, "1h00m"),
        (3600 * 27 + 61, "27h01m"),
    ],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def test_line_names_place_rate_time_left_and_values(clock, capfd):
    progress = Progress("step", 10_000, 2000)
    clock.now += 4
    progress.advance(1000, {"loss": 123.456, "kl": 0.5})
    assert capfd.readouterr().err == "step 3,000/10,000  250.0/s  28s left  loss 123.5  kl 0.5\n"
    clock.now += 66
    progress.advance(7000)
    progress.finish()
    last = "  loss 123.5  kl 0.5\n"
    assert capfd.readouterr().err == (f"step 10,000/10,000  114.3/s  in 1m10s{last}")


def test_a_log_gets_a_line_every_ten_seconds_and_a_last_one(clock, capfd):
    progress = Progress("step", 25)
    for _ in range(25):
        clock.now += 1
        progress.advance(1)
    progress.finish()
    assert [line.split()[1] for line in capfd.readouterr().err.splitlines()] == [
        "1/25",
        "11/25",
        "21/25",
        "25/25",
    ]


def test_no_rate_yet(clock, capfd):
    Progress("step", 100, 5).advance(0)
    assert capfd.readouterr().err == "step 5/100  0.0/s  ? left\n"


def test_a_total_that_nobody_knows_is_left_out(clock, capfd):
    progress = Progress("megabytes", 0)
    clock.now += 2
    progress.advance(10)
    progress.finish()
    assert capfd.readouterr().err == "megabytes 10  5.0/s\nmegabytes 10  5.0/s  in 2s\n"


def test_a_terminal_gets_one_line_that_is_rewritten(clock, capfd, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = Progress("step", 2)
    clock.now += 1
    progress.advance(1)
    progress.advance(1)
    progress.finish()
    assert (
        capfd.readouterr().err == "\r\x1b[Kstep 1/2  1.0/s  1s left\r\x1b[Kstep 2/2  2.0/s  in 1s\n"
    )
