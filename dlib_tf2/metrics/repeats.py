"""One metric, scored once or over several draws of its rows, with progress that says how long it
still takes.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dlib_tf2 import metrics, seeds
from dlib_tf2.configuration.metric_config import MetricCall
from dlib_tf2.representations.representation import Representation
from dlib_tf2.system.progress import format_seconds

SECONDS_BETWEEN_LINES = 5.0
_FACTOR = re.compile(r"(?<![^\W_])factor_(\d+)(?!\w)")  # of words joined by any of "_:."


def score(
    call: MetricCall, table: Representation, seed: int, num_repeats: int, line: str
) -> dict[str, float]:
    """Scores a table by one metric.

    Args:
        call: the metric.
        table: what it scores.
        seed: the first draw's generator depends on it and on the metric's name, a later one's on
            its number too, so that more repeats keep the draws of fewer.
        num_repeats: at least 1.
        line: what progress lines on stdout begin with.

    Returns:
        The metric's values; of several draws, their means, and under `<key>:std` their standard
        deviations (ddof 1).
    """
    say = _speaker(line)
    draws = []
    for repeat in range(num_repeats):
        name = call.name if repeat == 0 else f"{call.name}/{repeat}"

        def listener(part: float, before: int = repeat) -> None:
            say((before + part) / num_repeats)

        with metrics.reporting(listener):
            draws.append(call(table.codes, table.factors, seeds.generator(seed, name)))
        say((repeat + 1) / num_repeats)
    return draws[0] if num_repeats == 1 else _mean_and_std(draws)


def by_name(values: Mapping[str, float], factor_names: Sequence[str]) -> dict[str, float]:
    """Scores under keys that call a factor by its name, where a metric, which sees no names, says
    `factor_<column>`: `100:test_accuracy_factor_1` becomes `100:test_accuracy_scale`.

    Names that hold one of the separators ":" and ".", or would make two keys one, change no key.
    """

    def name(found: re.Match[str]) -> str:
        column = int(found[1])
        return factor_names[column] if column < len(factor_names) else found[0]

    keys = [_FACTOR.sub(name, key) for key in values]
    if len(set(keys)) < len(keys) or any(re.search("[:.]", name) for name in factor_names):
        return dict(values)
    return dict(zip(keys, values.values(), strict=True))


def _speaker(line: str) -> Callable[[float], None]:
    """A function of the finished part of the work that prints it with the time left, every few
    seconds and not at the end.
    """
    started = last = time.monotonic()

    def say(part: float) -> None:
        nonlocal last
        now = time.monotonic()
        if part < 1 and now - last >= SECONDS_BETWEEN_LINES:
            last = now
            print(
                f"{line}: {part:.0%}, {format_seconds((now - started) * (1 - part) / part)} left",
                flush=True,
            )

    return say


def _mean_and_std(draws: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means and standard deviations of the keys that every draw has."""
    keys = [key for key in draws[0] if all(key in draw for draw in draws)]
    values = {key: np.array([draw[key] for draw in draws]) for key in keys}
    means = {key: float(column.mean()) for key, column in values.items()}
    return means | {f"{key}:std": float(column.std(ddof=1)) for key, column in values.items()}
