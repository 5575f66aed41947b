"""Checkpoints: whole or absent, never of a broken weight; a damaged one gives way to an older."""

import errno
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.training.checkpoints import Checkpoints

DATA = "data-00000-of-00001"


def make_variables():
    return [
        tf.Variable(tf.zeros([50, 40])),
        tf.Variable(0, dtype=tf.int64),
        tf.Variable(tf.zeros([7])),
    ]


def fill(variables, step):
    """Gives the variables values that name the step."""
    for variable in variables:
        variable.assign(tf.cast(tf.fill(variable.shape, step), variable.dtype))


def read(variables):
    values = {float(value) for variable in variables for value in np.unique(variable.numpy())}
    assert len(values) == 1, "variables of different steps"
    return values.pop()


@pytest.fixture
def variables():
    return make_variables()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


@pytest.fixture
def saved(folder, variables):
    """Checkpoints with the steps 10, 20 and 30 saved, of which 20 and 30 are kept."""
    checkpoints = Checkpoints(folder, variables)
    for step in (10, 20, 30):
        fill(variables, step)
        checkpoints.save(step)
    fill(variables, -1)
    return checkpoints


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def cut(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "data cut": lambda prefix: cut(prefix.with_suffix(f".{DATA}"), 0.5),
    "data empty": lambda prefix: cut(prefix.with_suffix(f".{DATA}"), 0),
    "data missing": lambda prefix: prefix.with_suffix(f".{DATA}").unlink(),
    "data bit flipped": lambda prefix: flip(prefix.with_suffix(f".{DATA}")),
    "index cut": lambda prefix: cut(prefix.with_suffix(".index"), 0.5),
    "index empty": lambda prefix: cut(prefix.with_suffix(".index"), 0),
    "both cut": lambda prefix: [cut(prefix.with_suffix(f".{end}"), 0.3) for end in (DATA, "index")],
}


def test_newest_two_are_kept_and_the_newest_is_read(folder, saved, variables):
    assert names(folder) == [f"step-20.{DATA}", "step-20.index", f"step-30.{DATA}", "step-30.index"]
    assert saved.steps() == [20, 30]
    assert saved.restore() == 30
    assert read(variables) == 30


def test_steps_are_numbers_not_text(folder, variables):
    checkpoints = Checkpoints(folder, variables)
    for step in (8, 9, 10, 100):
        checkpoints.save(step)
    assert checkpoints.steps() == [10, 100]


def test_nothing_to_restore(folder, variables, capfd):
    fill(variables, 7)
    assert Checkpoints(folder, variables).restore() == 0
    assert read(variables) == 7
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_newest_is_said_and_the_one_before_is_read(folder, saved, variables, capfd, damage):
    DAMAGES[damage](folder / "step-30")
    assert saved.restore() == 20
    assert read(variables) == 20
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert f"{folder}/step-30 is damaged (" in lines[0]
    assert "going back to the one before" in lines[0]


def test_all_damaged_starts_anew_and_says_so(folder, saved, variables, capfd):
    DAMAGES["data cut"](folder / "step-30")
    DAMAGES["index cut"](folder / "step-20")
    assert saved.restore() == 0
    assert read(variables) == -1, "a damaged checkpoint must not touch the variables"
    lines = capfd.readouterr().err.splitlines()
    assert [
        "step-30 is damaged" in lines[0],
        "step-20 is damaged" in lines[1],
        "starting at step 0" in lines[2],
    ] == [True] * 3


def test_damaged_one_does_not_count_among_the_newest_two(folder, saved, variables):
    DAMAGES["data cut"](folder / "step-30")
    assert saved.restore() == 20
    fill(variables, 25)
    saved.save(25)
    assert names(folder) == [f"step-20.{DATA}", "step-20.index", f"step-25.{DATA}", "step-25.index"]


def test_leftovers_of_a_killed_write_are_no_checkpoint_and_go_with_the_next(
    folder, saved, variables
):
    (folder / "step-40_temp").mkdir()
    (folder / "step-40_temp" / f"part-00000-of-00001.{DATA}").write_bytes(b"half")
    (folder / f"step-40.{DATA}").write_bytes(b"no index yet")
    (folder / "step-30.index.tempstate123").write_bytes(b"half")
    (folder / "notes.txt").write_text("not ours")
    assert saved.restore() == 30
    saved.save(50)
    assert names(folder) == [
        "notes.txt",
        f"step-30.{DATA}",
        "step-30.index",
        f"step-50.{DATA}",
        "step-50.index",
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_never_written(folder, saved, variables, value):
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    weights = np.zeros(7, np.float32)
    weights[3] = value
    variables[2].assign(weights)
    with pytest.raises(
        DlibError,
        match=r"not finite after step 40: not saved; the last good checkpoint is step 30 in",
    ) as raised:
        saved.save(40)
    assert raised.value.exit_code == 1
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


def test_full_disk_keeps_the_earlier_checkpoints(small_disk):
    variables = [tf.Variable(tf.random.stateless_normal([150_000], seed=[1, 2]))]  # 0.6 MB
    checkpoints = Checkpoints(small_disk / "checkpoints", variables)
    good = variables[0].numpy()
    checkpoints.save(1)
    checkpoints.save(2)
    (small_disk / "other").write_bytes(bytes(500_000))
    with pytest.raises(
        DlibError,
        match=r"No space left.*free space and run again; the last good checkpoint is step 2 in",
    ) as raised:
        checkpoints.save(3)
    assert len(str(raised.value).splitlines()) == 1
    assert names(small_disk / "checkpoints") == [
        f"step-1.{DATA}",
        "step-1.index",
        f"step-2.{DATA}",
        "step-2.index",
    ]
    variables[0].assign(tf.zeros([150_000]))
    assert checkpoints.restore() == 2
    np.testing.assert_array_equal(variables[0].numpy(), good)
    (small_disk / "other").unlink()
    checkpoints.save(3)
    assert checkpoints.steps() == [2, 3]


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "full"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_failed_write_leaves_nothing_that_passes_for_the_newest(
    folder, saved, variables, monkeypatch, error
):
    def half(prefix):
        pathlib.Path(f"{prefix}.index").write_bytes(b"half")
        raise error

    monkeypatch.setattr(saved._checkpoint, "write", half)
    with pytest.raises(DlibError, match="last good checkpoint is step 30"):
        saved.save(40)
    assert saved.steps() == [20, 30]
    assert saved.restore() == 30


def test_first_write_that_fails_has_no_checkpoint_to_name(tmp_path, variables):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DlibError, match="cannot write a checkpoint to .*; there is no checkpoint yet"
    ):
        Checkpoints(tmp_path / "file" / "checkpoints", variables).save(1)


@pytest.mark.parametrize(
    "others",
    [
        lambda: [tf.Variable(tf.zeros([50, 41])), *make_variables()[1:]],
        lambda: [*make_variables(), tf.Variable(0.0)],
        lambda: make_variables()[:2],
    ],
    ids=["shape", "one more", "one less"],
)
def test_whole_checkpoint_of_other_networks_is_refused_not_dropped(folder, saved, others):
    with pytest.raises(
        UserError, match=r"step-30 is of other networks or optimizers .*--overwrite"
    ):
        Checkpoints(folder, others()).restore()
    assert saved.steps() == [20, 30]


def test_folder_that_tensorflow_would_write_but_not_read_is_refused(tmp_path, variables):
    with pytest.raises(UserError, match=r"choose a --model_dir without \* \[$"):
        Checkpoints(tmp_path / "beta=[1,2]*", variables)


def test_every_replica_is_restored(folder, two_replicas):
    with two_replicas.scope():
        variable = tf.Variable(tf.zeros([3]))
    checkpoints = Checkpoints(folder, [variable])
    variable.assign([1.0, 2.0, 3.0])
    checkpoints.save(5)
    variable.assign(tf.zeros([3]))
    assert checkpoints.restore() == 5
    copies = two_replicas.experimental_local_results(variable)
    assert [copy.numpy().tolist() for copy in copies] == [[1.0, 2.0, 3.0]] * 2
    # What one strategy wrote, another reads.
    alone = tf.Variable(tf.zeros([3]))
    assert Checkpoints(folder, [alone]).restore() == 5
    assert alone.numpy().tolist() == [1.0, 2.0, 3.0]
