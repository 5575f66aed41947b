"""Seconds and CPU seconds of each metric, and of a suite, on a table of the size of dSprites
(737,280 rows, ten codes).

    python benchmarks/metrics.py                                  # suites/fast.gin, one to two
    minutes on two idle cores
    python benchmarks/metrics.py --suite=study --sequential       # the study's models, also with
    one worker: about ten minutes
    python benchmarks/metrics.py --codes=rotated --metrics=dci    # noise and rotated codes cost
    trees the most

Prints one JSON line per metric and one for all. `seconds` is the wall time with --workers
processes, `cpu_seconds` that of this process and its workers. The first metric that fits pays for
the start of the workers. With --sequential, `sequential_seconds` is the wall time with one worker,
and `ratio` the first over the second: the target for suites/study.gin is 0.6 on two idle cores.
`rest_seconds` sums up the metrics without boosted trees and downstream logistic regression (target:
15); the whole study suite should stay below 120 on two idle cores.
"""

import argparse
import json
import os
import pathlib
import time

import joblib
import numpy as np

from dlib_tf2.configuration import gin_utils, metric_config
from dlib_tf2.metrics import repeats
from dlib_tf2.representations.representation import Representation

SIZES = (3, 6, 40, 32, 32)


def make_table(kind: str, seed: int = 0) -> Representation:
    """The full grid with ten codes: five standardised factors beside nearly dead codes, rotated
    with noise, or noise alone.
    """
    rng = np.random.default_rng(seed)
    factors = np.stack(np.unravel_index(np.arange(np.prod(SIZES)), SIZES), axis=1)
    perfect = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    noise = rng.standard_normal((len(factors), 10))
    codes = {
        "ideal": np.concatenate([perfect, 0.01 * noise[:, :5]], axis=1),
        "rotated": np.concatenate([perfect, noise[:, :5]], axis=1)
        @ np.linalg.qr(rng.normal(size=(10, 10)))[0],
        "noise": noise,
    }[kind]
    return Representation(codes.astype(np.float32), factors, tuple("abcde"), SIZES)


def _is_slow(call: metric_config.MetricCall) -> bool:
    """Boosted trees, or the downstream task's logistic regression."""
    return (
        bool(metric_config.trees(call.config_text)) or "logistic_regression_cv" in call.config_text
    )


def cpu_seconds() -> float:
    """CPU time of this process, of its workers, and of those that ended."""
    children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    ticks = [
        pathlib.Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[11:15]
        for child in children
    ]
    return sum(os.times()[:4]) + sum(int(part) for parts in ticks for part in parts) / os.sysconf(
        "SC_CLK_TCK"
    )


def measure(
    call: metric_config.MetricCall, table: Representation, workers: int
) -> tuple[float, float, dict[str, float]]:
    """Wall seconds, CPU seconds and scores of one metric."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    with joblib.parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
        scores = repeats.score(call, table, seed=0, num_repeats=1, line=call.name)
    return time.perf_counter() - wall, cpu_seconds() - cpu, scores


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", default="fast", help="a file under gin_configs/suites")
    parser.add_argument(
        "--metrics", default="", help="only these of the suite, separated by commas"
    )
    parser.add_argument("--codes", default="ideal", choices=["ideal", "rotated", "noise"])
    parser.add_argument("--workers", type=int, default=joblib.cpu_count())
    parser.add_argument("--sequential", action="store_true", help="measure with one worker too")
    parser.add_argument("--gin_bindings", action="append", default=[])
    arguments = parser.parse_args()
    repeats.SECONDS_BETWEEN_LINES = float("inf")  # only JSON lines on stdout
    suite = [f"suites/{arguments.suite}.gin"]
    names = (
        arguments.metrics.split(",")
        if arguments.metrics
        else gin_utils.GinText(suite).value("evaluate.metrics")
    )
    gin_utils.parse([*metric_config.files(names), *suite], arguments.gin_bindings)
    table = make_table(arguments.codes)
    head = {
        "benchmark": "metrics",
        "suite": arguments.suite,
        "codes": arguments.codes,
        "workers": arguments.workers,
    }
    total = {"seconds": 0.0, "cpu_seconds": 0.0, "rest_seconds": 0.0} | (
        {"sequential_seconds": 0.0} if arguments.sequential else {}
    )
    for name in names:
        call = metric_config.resolve(name)
        seconds, cpu, scores = measure(call, table, arguments.workers)
        line = {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "rest_seconds": 0.0 if _is_slow(call) else seconds,
        }
        if arguments.sequential:
            line["sequential_seconds"], _, again = measure(call, table, workers=1)
            assert again == scores, f"{name} depends on the number of workers"
        total = {key: total[key] + line[key] for key in total}
        print(
            json.dumps(
                head
                | {"metric": name}
                | {key: round(value, 2) for key, value in line.items() if key != "rest_seconds"}
            ),
            flush=True,
        )
    ratio = (
        {"ratio": round(total["seconds"] / total["sequential_seconds"], 3)}
        if arguments.sequential
        else {}
    )
    # of the last minute: above the number of workers, others took part of the cores
    load = {"load_average": round(os.getloadavg()[0], 1)}
    print(
        json.dumps(
            head
            | {"metric": "all"}
            | {key: round(value, 2) for key, value in total.items()}
            | ratio
            | load
        )
    )


if __name__ == "__main__":
    main()
