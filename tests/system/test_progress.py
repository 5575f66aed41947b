"""The progress line: numbers, rate, time left, and how often it is said."""

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
    report = Progress("step", 10_000, start=2000)
    clock.now += 4
    report.report(3000, {"loss": 123.456, "kl": 0.5})
    assert capfd.readouterr().err == "step 3,000/10,000  250.0/s  28s left  loss 123.5  kl 0.5\n"


def test_lines_closer_than_asked_are_left_out_but_the_last_is_not(clock, capfd):
    report = Progress("step", 100)
    for done in (1, 2, 50, 99, 100):
        clock.now += 1
        report.report(done, every_seconds=2.5)
    assert [line.split()[1] for line in capfd.readouterr().err.splitlines()] == [
        "1/100",
        "99/100",
        "100/100",
    ]


def test_no_rate_yet(clock, capfd):
    Progress("step", 100, start=5).report(5)
    assert capfd.readouterr().err == "step 5/100  0.0/s  ? left\n"


def test_a_terminal_gets_one_line_that_is_rewritten(clock, capfd, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    report = Progress("step", 2)
    clock.now += 1
    report.report(1)
    report.report(2)
    assert (
        capfd.readouterr().err
        == "\r\x1b[Kstep 1/2  1.0/s  1s left\r\x1b[Kstep 2/2  2.0/s  0s left\n"
    )
