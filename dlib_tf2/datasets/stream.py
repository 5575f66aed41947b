"""The streams that feed training and the representation table: uint8 batches gathered from the
memory-mapped table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from dlib_tf2.datasets.draws import STEPS, Draws, uniform
from dlib_tf2.datasets.image_table import ComputedTable
from dlib_tf2.errors import UserError, check_whole

# Small batches are gathered several steps at a time, which spreads the cost of a pass through the
# graph over them.
_BYTES_PER_GATHER, _STEPS_PER_GATHER = 2**21, 32
_PREFETCH = 4
# what 64-bit integers carry through the stateless operations
_MOST_SEED, _MOST_STEPS = 2**63 - 1, 2**62


def train_batches(
    table: np.ndarray | ComputedTable,
    batch_size: int,
    seed: int,
    start: int = 0,
    num_replicas: int = 1,
    replicas: Sequence[int] | None = None,
    draws: Draws | None = None,
    names: Sequence[str] = ("image",),
) -> tf.data.Dataset:
    """An endless stream of training batches; batch t is a function of (seed, t) only.

    Without `draws`, the grid points of a batch are drawn uniformly, independently and with
    replacement. Beginning at `start` costs nothing, and the number of replicas changes only how a
    global batch is cut.

    Args:
        table: uint8 [grid points, h, w, c].
        batch_size: rows of the global batch.
        seed: of the stream; 0 .. 2**63 - 1.
        start: the first step t; 0 .. 2**62 - 1.
        num_replicas: the global batch is cut into this many equal, consecutive slices.
        replicas: whose slices this process feeds, in this order; by default all. Each slice is an
            element of its own, as `distribute_datasets_from_function` expects.
        draws: what a batch is made of; uniform draws of images called `names` by default.
        names: which of the images and extras of `draws` a batch holds.

    Returns:
        tf.data of {name: uint8 [b, h, w, c] for an image, [b, ...] for an extra, "position": int32
        [b]}, b = batch_size / num_replicas; "position" is the row in the global batch, which
        selects its share of noise that is drawn for the global batch.

    Raises:
        UserError: a number is out of its range, `num_replicas` does not divide `batch_size`, or a
            replica id does not exist.
    """
    check_whole(0, start=start)
    _check_seed(seed)
    if start >= _MOST_STEPS:
        raise UserError(f"start must be below 2**62, got {start}")
    rows = _slice_rows(batch_size, num_replicas)
    replicas = range(num_replicas) if replicas is None else replicas
    if not replicas or not all(0 <= replica < num_replicas for replica in replicas):
        raise UserError(
            f"replicas {list(replicas)} do not exist; with {num_replicas} replicas their ids are"
            f" 0..{num_replicas - 1}"
        )
    # The positions in the global batch that this process feeds in one step, slice after slice.
    positions = np.concatenate(
        [np.arange(replica * rows, (replica + 1) * rows, dtype=np.int32) for replica in replicas]
    )
    drawn = draws or uniform(len(table), names)
    pictures = [name for name in names if name in drawn.images]
    step_bytes = len(positions) * int(np.prod(table.shape[1:])) * len(pictures)
    num_steps = max(1, min(_STEPS_PER_GATHER, _BYTES_PER_GATHER // step_bytes))
    images = _gatherer(table)

    def draw(block: tf.Tensor) -> dict[str, tf.Tensor]:
        arrays = drawn.draw(seed, block, batch_size)
        # all but in the block in which `start` lies
        first = tf.maximum(start - block * STEPS, 0)
        return {name: tf.gather(arrays[name][first:], positions, axis=1) for name in names}

    def gather(arrays: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # [steps, rows, ...] -> [steps * rows, ...]
        flat = {name: tf.reshape(array, [-1, *array.shape[2:]]) for name, array in arrays.items()}
        flat |= {name: images(flat[name]) for name in pictures}
        return {**flat, "position": tf.tile(tf.constant(positions), [num_steps])}

    # The upper end is out of reach. Unlike unbatch, rebatch cuts what was drawn or gathered without
    # copying it.
    blocks = tf.data.Dataset.range(start // STEPS, _MOST_STEPS)
    indices = blocks.map(draw).rebatch(num_steps, drop_remainder=True)
    # a parallel map is slower: large batches leave the cache
    batches = indices.map(gather).rebatch(rows, drop_remainder=True)
    return _light(batches, num_steps * len(replicas) + _PREFETCH)


def table_batches(
    table: np.ndarray | ComputedTable,
    batch_size: int,
    rows: np.ndarray | None = None,
    index: np.ndarray | None = None,
    finish: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> tf.data.Dataset:
    """Rows of the table, each exactly once, in order.

    Args:
        table: uint8 [rows, h, w, c].
        batch_size: rows of a batch; the last one may hold fewer.
        rows: which rows, int64 [n]; all by default.
        index: the grid points of these rows, int64 [n]; the number of the row by default.
        finish: changes a batch: (uint8 images [b, h, w, c], grid indices [b]) -> images.

    Returns:
        tf.data of (uint8 images [b, h, w, c], or what `finish` returns, int64 grid indices [b]).

    Raises:
        UserError: `batch_size` is not a whole number of at least 1.
    """
    check_whole(1, batch_size=batch_size)
    num_rows = len(table if rows is None else rows)
    images = _gatherer(table)

    def batch(first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        part = tf.range(first, tf.minimum(first + batch_size, num_rows))
        image = images(part if rows is None else tf.gather(rows, part))
        points = part if index is None else tf.gather(index, part)
        return (image if finish is None else finish(image, points)), points

    return _light(tf.data.Dataset.range(0, num_rows, batch_size).map(batch), _PREFETCH)


def record_batches(
    records: tf.data.Dataset,
    decode: Callable[[tf.Tensor], tf.Tensor],
    shape: tuple[int, int, int],
    batch_size: int,
    seed: int,
    num_hosts: int = 1,
    host: int = 0,
    replicas_per_host: int = 1,
) -> tf.data.Dataset:
    """The training stream for hosts without Python: the workers of a TPU pod slice driven from one
    host.

    It reads the TFDS records (from a bucket that every worker reaches) with TensorFlow operations
    only. Each image of a host's share comes once per pass, and each pass is shuffled anew. An image
    is drawn as often as in `train_batches`, but without replacement within a pass, and a resumed
    run is not bit-identical, since the shuffle starts again. Use `train_batches` on all hosts with
    Python, a single TPU VM included.

    Args:
        records: this host's share of the images, encoded, in any order.
        decode: turns one of them into uint8 [h, w, c].
        shape: h, w, c.
        batch_size: rows of the global batch over all hosts.
        seed: of the shuffle.
        num_hosts: hosts that read; each makes an equal part of the global batch.
        host: the number of this one.
        replicas_per_host: the host's part is cut into this many consecutive slices, one per
            element.

    Returns:
        tf.data of {"image", "position"} as in `train_batches`, endless.

    Raises:
        UserError: a number is out of its range, or the number of replicas does not divide
            `batch_size`.
    """
    _check_seed(seed)
    rows = _slice_rows(batch_size, num_hosts * replicas_per_host)

    def element(count: tf.Tensor, image: tf.Tensor) -> dict[str, tf.Tensor]:
        replica = host * replicas_per_host + tf.cast(count % replicas_per_host, tf.int32)
        return {
            "image": tf.ensure_shape(image, (rows, *shape)),
            "position": replica * rows + tf.range(rows),
        }

    # The whole share is shuffled while still encoded (some hundred bytes to a few KB an image): the
    # records lie in grid order, and a small buffer would make batches of nearly equal images.
    records = records.shuffle(max(1, int(records.cardinality())), seed=seed).repeat()
    batches = records.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).batch(
        rows, drop_remainder=True
    )
    return batches.enumerate().map(element).prefetch(_PREFETCH)


def _check_seed(seed: int) -> None:
    check_whole(0, seed=seed)
    if seed > _MOST_SEED:
        raise UserError(f"seed must be at most 2**63 - 1, got {seed}")


def _slice_rows(batch_size: int, num_replicas: int) -> int:
    check_whole(1, batch_size=batch_size, num_replicas=num_replicas)
    if batch_size % num_replicas:
        close = max(1, round(batch_size / num_replicas)) * num_replicas
        raise UserError(
            f"batch size {batch_size} cannot be cut into {num_replicas} equal parts; use a multiple"
            f" of it, such as {close}"
        )
    return batch_size // num_replicas


def _gatherer(table: np.ndarray | ComputedTable) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function that turns rows [n] into images uint8 [n, h, w, c]."""
    if not isinstance(table, np.ndarray):
        return table.gatherer(_as_tensor(table.base))
    tensor = _as_tensor(table)
    return lambda rows: tf.gather(tensor, rows)


class _Pages:
    """A table's memory, marked as writable since DLPack refuses read-only memory; TensorFlow does
    not write to it.
    """

    def __init__(self, table: np.ndarray):
        self._table = table  # keeps the pages mapped
        self.__array_interface__ = {**table.__array_interface__, "data": (table.ctypes.data, False)}


def _as_tensor(table: np.ndarray) -> tf.Tensor:
    """The table as a tensor in the same memory: nothing is copied, and no Python runs while batches
    are gathered.

    A `numpy_function` is slower, and Python can hang at exit while a stream prefetches through one.
    """
    # TensorFlow wants aligned memory, which a mapped table always is
    if table.ctypes.data % 64 or not table.flags.c_contiguous:
        return tf.constant(table)
    with tf.device("CPU:0"):
        return tf.experimental.dlpack.from_dlpack(np.asarray(_Pages(table)).__dlpack__())


def _light(dataset: tf.data.Dataset, prefetch: int) -> tf.data.Dataset:
    """Gives a stream one thread: gathering needs no more, and must not take cores from training.

    The default rewrites are off because they would copy the captured table, all gigabytes of it,
    into every process.
    """
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    options.deterministic = True
    return dataset.prefetch(prefetch).with_options(options)
