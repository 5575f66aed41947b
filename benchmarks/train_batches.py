"""Images per second of `train_batches` against a bare numpy gather of the same rows, for grey and
RGB images and two batch sizes.

    python benchmarks/train_batches.py
    python benchmarks/train_batches.py --rows=737280

The table is synthetic, mapped from a file and in the page cache. Everything takes turns; the best
turn of each counts. Prints one JSON line for each combination. `ratio` is what the stream delivers
to tf.data's own iteration, as a share of the gather. `in_a_loop` is what a `tf.function` that takes
one batch after the other gets, beside `empty_loop`: the same loop over a stream that makes nothing.
"""

import argparse
import json
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf
from input_pipeline import consumer, gatherer

from dlib_tf2.datasets import stream


def make_table(path: pathlib.Path, rows: int, channels: int) -> np.ndarray:
    """A mapped file of random images, read once so that it is in the page cache."""
    shape = (rows, 64, 64, channels)
    table = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    rng = np.random.default_rng(0)
    for first in range(0, rows, 4096):
        part = table[first : first + 4096]
        part[:] = rng.integers(0, 256, part.shape, dtype=np.uint8)
    table.flush()
    return np.asarray(np.load(path, mmap_mode="r"))


def measure(table: np.ndarray, batch_size: int, images: int, turns: int) -> dict[str, float]:
    """Images per second of each way."""
    steps = max(1, images // batch_size)
    index = np.random.default_rng(0).integers(0, len(table), (steps, batch_size))
    batches = stream.train_batches(table, batch_size, seed=0)
    one = next(iter(batches))
    work = {
        "stream": lambda: int(next(iter(batches.skip(steps - 1)))["image"][0, 0, 0, 0]),
        "gather": gatherer(table, index),
        "in_a_loop": consumer(batches, steps),
        "empty_loop": consumer(tf.data.Dataset.from_tensors(one).repeat(), steps),
    }
    for run in work.values():
        run()  # traces the functions
    best = dict.fromkeys(work, float("inf"))
    for _ in range(turns):
        for name, run in work.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: steps * batch_size / seconds for name, seconds in best.items()}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows", type=int, default=200_000, help="of the grey table; the RGB one has as many bytes"
    )
    parser.add_argument(
        "--channels", type=int, choices=(1, 3), action="append", help="default: both"
    )
    parser.add_argument(
        "--images",
        type=int,
        default=1_000_000,
        help="grey images per turn; a third as many RGB ones",
    )
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    for channels in arguments.channels or (1, 3):
        with tempfile.TemporaryDirectory() as folder:
            table = make_table(
                pathlib.Path(folder) / "images.npy", arguments.rows // channels, channels
            )
            for batch_size in (64, 1024):
                rates = measure(table, batch_size, arguments.images // channels, arguments.turns)
                shown = {f"{name}_images_per_second": round(rate) for name, rate in rates.items()}
                line = {
                    "benchmark": "train_batches",
                    "channels": channels,
                    "batch_size": batch_size,
                    **shown,
                }
                print(
                    json.dumps({**line, "ratio": round(rates["stream"] / rates["gather"], 3)}),
                    flush=True,
                )


if __name__ == "__main__":
    main()
