"""Images per second of `train_batches`, against a bare numpy gather of the same rows from the same
table.

    python benchmarks/input_pipeline.py --dataset=rendered_sprites/full --batch_size=64

The table is read once beforehand, so both read from the page cache. Stream and gather take turns,
and the best turn of each counts, so that other work on the machine disturbs the ratio little.
Prints one JSON line.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dlib_tf2.datasets import load


def consumer(stream: tf.data.Dataset, steps: int) -> Callable[[], object]:
    """Takes `steps` batches inside a tf.function, as training does, and touches each."""
    iterator = iter(stream)

    @tf.function
    def consume() -> tf.Tensor:
        total = tf.constant(0, tf.int64)
        for _ in tf.range(steps):
            total += tf.cast(next(iterator)["image"][0, 0, 0, 0], tf.int64)
        return total

    return lambda: consume().numpy()


def gatherer(table: np.ndarray, index: np.ndarray) -> Callable[[], object]:
    """Gathers the same number of batches with numpy alone; the indices are drawn beforehand."""
    return lambda: sum(int(np.take(table, rows, axis=0)[0, 0, 0, 0]) for rows in index)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="rendered_sprites/full")
    parser.add_argument("--data_dir")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--images", type=int, default=400_000, help="images per turn")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    dataset = load(arguments.dataset, arguments.data_dir)
    for first in range(0, len(dataset.table), 4096):  # brings the table into the page cache
        dataset.table[first : first + 4096].max()
    steps = max(1, arguments.images // arguments.batch_size)
    index = np.random.default_rng(0).integers(0, dataset.space.size, (steps, arguments.batch_size))
    work = {
        "stream": consumer(dataset.train_batches(arguments.batch_size, seed=0), steps),
        "gather": gatherer(dataset.table, index),
    }
    best = dict.fromkeys(work, float("inf"))
    work["stream"]()  # traces the function
    for _ in range(arguments.turns):
        for name, run in work.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    rates = {name: steps * arguments.batch_size / seconds for name, seconds in best.items()}
    print(
        json.dumps(
            {
                "benchmark": "input_pipeline",
                "dataset": arguments.dataset,
                "batch_size": arguments.batch_size,
                "stream_images_per_second": round(rates["stream"]),
                "gather_images_per_second": round(rates["gather"]),
                "ratio": round(rates["stream"] / rates["gather"], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
