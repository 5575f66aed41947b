"""The streams: functions of (seed, t), cut for replicas, every row once."""

import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from dlib_tf2.datasets import stream
from dlib_tf2.errors import UserError

# every pixel names its row
TABLE = np.arange(97, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)
REPO = pathlib.Path(__file__).parents[2]


def take(dataset, count):
    return list(dataset.take(count).as_numpy_iterator())


def rows(batches):
    return np.stack([batch["image"][:, 0, 0, 0] for batch in batches])


def test_elements():
    dataset = stream.train_batches(TABLE, 8, seed=1)
    assert dataset.element_spec == {
        "image": tf.TensorSpec((8, 2, 3, 1), tf.uint8),
        "position": tf.TensorSpec((8,), tf.int32),
    }
    (batch,) = take(dataset, 1)
    np.testing.assert_array_equal(batch["position"], np.arange(8))
    np.testing.assert_array_equal(batch["image"], TABLE[batch["image"][:, 0, 0, 0]])


def test_a_batch_is_a_function_of_seed_and_step():
    first = rows(take(stream.train_batches(TABLE, 8, seed=5), 20))
    np.testing.assert_array_equal(first, rows(take(stream.train_batches(TABLE, 8, seed=5), 20)))
    assert len(np.unique(first, axis=0)) == 20
    assert (
        not (first[:, None] == rows(take(stream.train_batches(TABLE, 8, seed=6), 20))[None])
        .all(axis=2)
        .any()
    )


@pytest.mark.parametrize("start", [1, 7, 1_000_000_007])
def test_starting_late_equals_skipping(start):
    late = rows(take(stream.train_batches(TABLE, 8, seed=2**40, start=start), 3))
    skipped = rows(
        take(
            stream.train_batches(TABLE, 8, seed=2**40, start=start - min(start, 7)).skip(
                min(start, 7)
            ),
            3,
        )
    )
    np.testing.assert_array_equal(late, skipped)


@pytest.mark.slow
def test_another_process_draws_the_same_batch(data_dir):
    code = (
        "import hashlib, sys; from dlib_tf2.datasets import load\n"
        "stream = load('rendered_sprites/small', sys.argv[1]).train_batches(64, seed=11,"
        " start=1234)\n"
        "print(hashlib.sha256(next(stream.as_numpy_iterator())['image'].tobytes()).hexdigest())"
    )
    from dlib_tf2.datasets import load

    batch = take(
        load("rendered_sprites/small", data_dir).train_batches(64, seed=11, start=1234), 1
    )[0]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    other = subprocess.run(
        [sys.executable, "-c", code, data_dir],
        cwd=REPO,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == hashlib.sha256(batch["image"].tobytes()).hexdigest()


def test_slices_of_replicas_concatenate_to_the_global_batch():
    whole = take(stream.train_batches(TABLE, 12, seed=3, start=4), 5)
    cut = take(stream.train_batches(TABLE, 12, seed=3, start=4, num_replicas=3), 15)
    np.testing.assert_array_equal(rows(cut).reshape(5, 12), rows(whole))
    np.testing.assert_array_equal(
        [batch["position"] for batch in cut], np.tile(np.arange(12).reshape(3, 4), (5, 1))
    )


def test_a_process_may_feed_some_replicas_only():
    cut = take(stream.train_batches(TABLE, 12, seed=3, num_replicas=4), 8)
    some = take(stream.train_batches(TABLE, 12, seed=3, num_replicas=4, replicas=[3, 1]), 4)
    np.testing.assert_array_equal(rows(some), rows(cut)[[3, 1, 7, 5]])
    np.testing.assert_array_equal(
        [batch["position"] for batch in some], [[9, 10, 11], [3, 4, 5]] * 2
    )


def test_what_cannot_be_cut_is_refused_with_a_remedy():
    with pytest.raises(
        UserError,
        match="batch size 64 cannot be cut into 3 equal parts; use a multiple of it, such as 63",
    ):
        stream.train_batches(TABLE, 64, seed=0, num_replicas=3)
    with pytest.raises(
        UserError, match=r"replicas \[2\] do not exist; with 2 replicas their ids are 0..1"
    ):
        stream.train_batches(TABLE, 64, seed=0, num_replicas=2, replicas=[2])


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": -8}, "batch_size must be a whole number of at least 1, got -8"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, got 2.5"),
        ({"num_replicas": 0}, "num_replicas must be a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": 2**63}, r"seed must be at most 2\*\*63 - 1, got 9223372036854775808"),
        ({"seed": 0.5}, "seed must be a whole number of at least 0, got 0.5"),
        ({"start": -1}, "start must be a whole number of at least 0, got -1"),
        ({"start": 2**62}, r"start must be below 2\*\*62, got 4611686018427387904"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, text):
    with pytest.raises(UserError, match=f"^{text}$"):
        stream.train_batches(TABLE, **{"batch_size": 8, "seed": 0, **arguments})


def test_the_largest_seed_and_step_draw():
    dataset = stream.train_batches(TABLE, 8, seed=2**63 - 1, start=2**62 - 1)
    assert rows(take(dataset, 1)).shape == (1, 8)


def test_other_streams_refuse_such_numbers_too():
    with pytest.raises(UserError, match="batch_size must be a whole number of at least 1, got 0"):
        stream.table_batches(TABLE, 0)
    with pytest.raises(UserError, match="batch_size must be a whole number of at least 1, got 0"):
        record_rows(0, 0, count=1)
    with pytest.raises(UserError, match="seed must be a whole number of at least 0, got -1"):
        record_rows(8, -1, count=1)


def test_draws_are_uniform_and_independent():
    drawn = rows(take(stream.train_batches(TABLE, 97, seed=0), 400))
    counts = np.bincount(drawn.ravel(), minlength=97)
    # chi-square, 96 degrees of freedom, 0.1 % on either side
    assert 55 < ((counts - 400) ** 2 / 400).sum() < 145
    # with replacement, neighbours in a batch
    assert (drawn[:, :-1] == drawn[:, 1:]).mean() == pytest.approx(1 / 97, rel=0.2)
    assert (drawn[:-1] == drawn[1:]).mean() == pytest.approx(1 / 97, rel=0.2)  # neighbours in time


def test_table_batches_cover_every_point_once_in_order():
    dataset = stream.table_batches(TABLE, 10)
    batches = take(dataset, -1)
    assert dataset.element_spec[0].shape.as_list() == [None, 2, 3, 1]
    assert [len(index) for _, index in batches] == [10] * 9 + [7]
    np.testing.assert_array_equal(np.concatenate([index for _, index in batches]), np.arange(97))
    np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), TABLE)


def record_rows(*arguments, count):
    records = tf.data.Dataset.from_tensor_slices(TABLE)
    return take(stream.record_batches(records, lambda image: image, (2, 3, 1), *arguments), count)


def test_record_batches_draw_every_record_once_a_pass():
    first, second = np.split(rows(record_rows(8, 0, count=24))[:, :].ravel()[: 2 * 96], 2)
    assert len(np.unique(rows(record_rows(97, 0, count=1)))) == 97
    assert len(np.unique(first)) == 96
    assert not (first == second).all(), "every pass is shuffled anew"
    np.testing.assert_array_equal(
        rows(record_rows(8, 1, count=3)), rows(record_rows(8, 1, count=3))
    )
    assert (rows(record_rows(8, 1, count=3)) != rows(record_rows(8, 2, count=3))).any()


def test_record_batches_of_a_host_carry_its_positions():
    batches = record_rows(16, 0, 2, 1, 2, count=4)
    assert rows(batches).shape == (4, 4)
    np.testing.assert_array_equal(
        [batch["position"] for batch in batches], [[8, 9, 10, 11], [12, 13, 14, 15]] * 2
    )


def graph(dataset):
    """Every operation of the stream, as the workers would receive it."""
    return dataset._as_serialized_graph().numpy()


def test_no_python_runs_while_batches_are_gathered():
    python = tf.data.Dataset.range(3).map(lambda t: tf.numpy_function(lambda t: t, [t], tf.int64))
    assert b"PyFunc" in graph(python)  # so the next lines would see one
    assert b"PyFunc" not in graph(stream.train_batches(TABLE, 8, seed=0))
    assert b"PyFunc" not in graph(stream.table_batches(TABLE, 8))


def test_streams_do_not_copy_a_mapped_table(tmp_path):
    np.save(tmp_path / "table.npy", np.ones((50_000, 64, 64, 1), np.uint8))  # 205 MB
    table = np.asarray(np.load(tmp_path / "table.npy", mmap_mode="r"))
    before = anonymous_bytes()
    train, whole = (
        iter(stream.train_batches(table, 64, seed=0)),
        iter(stream.table_batches(table, 64)),
    )
    assert next(train)["image"].numpy().all()
    assert next(whole)[0].numpy().all()
    assert anonymous_bytes() - before < 60e6


def anonymous_bytes():
    """The memory of this process that no file backs."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(
        next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]
    )


def test_a_table_in_unaligned_memory_is_copied_and_serves_the_same():
    buffer = np.empty(TABLE.nbytes + 65, np.uint8)
    first = -buffer.ctypes.data % 64 + 1
    table = buffer[first : first + TABLE.nbytes].reshape(TABLE.shape)
    table[:] = TABLE
    expected = rows(take(stream.train_batches(TABLE, 8, seed=5), 3))
    np.testing.assert_array_equal(rows(take(stream.train_batches(table, 8, seed=5), 3)), expected)


def test_record_batches_need_no_python(data_dir):
    from dlib_tf2.datasets import load

    dataset = load("rendered_sprites/small", data_dir)
    streams = [dataset.record_batches(64, seed=0, num_hosts=2, host=host) for host in range(2)]
    for host, batches in enumerate(streams):
        assert b"PyFunc" not in graph(batches)
        (batch,) = take(batches, 1)
        np.testing.assert_array_equal(batch["position"], np.arange(32 * host, 32 * host + 32))
        assert batch["image"].shape == (32, 64, 64, 1)
        assert batch["image"].sum(axis=(1, 2, 3)).min() >= 40
        assert batch["image"].max() == 1
    shares = [dataset.records(None, 2, host)[0] for host in range(2)]
    assert [int(share.cardinality()) for share in shares] == [18_432, 18_432]
