"""One metric, scored once or over several draws of its rows, with progress that says how long it
still takes.
"""

import re
import time
from collections.abc import Callable, Sequence

import numpy as np

from dlib_tf2 import metrics, seeds
from dlib_tf2.configuration.metric_config import MetricCall
from dlib_tf2.representations.representation import Representation
from dlib_tf2.system.progress import format_seconds

SECONDS_BETWEEN_LINES = 5.0


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
            rng = seeds.generator(seed, name)
            draws.append(call(table.codes, table.factors, rng, held_out=table.held_out))
        say((repeat + 1) / num_repeats)
    return draws[0] if num_repeats == 1 else _mean_and_std(draws)


def named(values: dict[str, float], names: Sequence[str]) -> dict[str, float]:
    """Calls factors by their names in the keys of a metric, which knows only their columns.

    `1000:test_accuracy_factor_2` becomes `1000:test_accuracy:orientation`, `pred0:sens2` becomes
    `pred_shape:sens_orientation`, `merge_0_2` becomes `merge:shape:orientation`. Names that hold
    ":" or ".", or would make two keys one, change no key.
    """

    rules: tuple[tuple[str, Callable[[re.Match], str]], ...] = (
        (r"(^|[._:])factor_(\d+)(?!\w)", lambda m: f"{':' if m[1] else ''}{names[int(m[2])]}"),
        (r"\b(pred|sens)(\d+)(?!\w)", lambda m: f"{m[1]}_{names[int(m[2])]}"),
        (r"\bmerge_(\d+)_(\d+)", lambda m: f"merge:{names[int(m[1])]}:{names[int(m[2])]}"),
    )
    new = {}
    for key in values:
        changed = key
        for pattern, replace in rules:
            changed = re.sub(pattern, replace, changed)
        new[key] = changed
    if len(set(new.values())) < len(values) or any(re.search("[:.]", each) for each in names):
        return values
    return {new[key]: value for key, value in values.items()}


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
