"""What all tests share: two logical CPUs, prepared data, tiny networks on a tiny grid, and the
commands as processes.
"""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# a shell that starts the tests in the background has them, and theirs, ignore it
signal.signal(signal.SIGINT, signal.default_int_handler)

REPO = pathlib.Path(__file__).parents[1]


def pytest_collection_finish(session):
    """Splits the CPU in two, for MirroredStrategy, once the test modules are imported and before
    any of them computes.

    A run of tests that do not import TensorFlow stays without it.
    """
    if (tf := sys.modules.get("tensorflow")) is not None:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )


@pytest.fixture(scope="session")
def data_dir():
    """A data folder that outlives the tests, with rendered_sprites/small prepared in it."""
    from dlib_tf2.datasets import load

    folder = REPO / ".cache" / "data"
    load("rendered_sprites/small", folder)
    return folder


@pytest.fixture(scope="session")
def fake_files(tmp_path_factory):
    """(manual_dir, data_dir): every downloaded dataset, from files of the true format on small
    grids, prepared once.
    """
    from tests.datasets import fakes

    manual_dir, data_dir = tmp_path_factory.mktemp("manual"), tmp_path_factory.mktemp("fake_data")
    fakes.prepare_all(manual_dir, data_dir)
    return manual_dir, data_dir


@pytest.fixture(scope="session")
def fake_data_dir(fake_files):
    """The data_dir of `fake_files`."""
    return fake_files[1]


@pytest.fixture(scope="session")
def tiny_data():
    """A ground-truth dataset of 24 random binary images, 16 x 16 x 1, in memory."""
    from dlib_tf2.datasets import FactorSpace, GroundTruthDataset

    table = np.random.default_rng(0).integers(0, 2, (24, 16, 16, 1), dtype=np.uint8)
    return GroundTruthDataset(
        "tiny", FactorSpace(("shape", "place"), (4, 6)), ("shape", "place"), table, 1, records=None
    )


@pytest.fixture(scope="session")
def two_replicas():
    """A MirroredStrategy over both logical CPUs."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def tiny_train(data_dir):
    """Trains tiny networks in this process: (model_dir, *bindings, **arguments of train) ->
    values.
    """

    def run(model_dir, *bindings, **arguments):
        from dlib_tf2 import train
        from dlib_tf2.configuration import gin_utils
        from dlib_tf2.datasets import stream

        with pytest.MonkeyPatch.context() as patch:
            # The stream's speed is of no use here, and its graph takes a second to build.
            patch.setattr(stream, "_STEPS_PER_GATHER", 1)
            gin_utils.parse([str(REPO / "tests" / "tiny.gin")], bindings)
            return train.train(model_dir, data_dir=data_dir, **arguments)

    return run


class Command:
    """A command of bin/ in a process of its own, which never outlives `seconds`."""

    def __init__(self, *arguments, environment=None, seconds=120):
        name, *flags = map(str, arguments)
        paths = os.pathsep.join([str(REPO), str(REPO / "tests")])
        self._seconds = seconds
        self.process = subprocess.Popen(
            [sys.executable, REPO / "bin" / name, *flags],
            env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self):
        """Waits for the end: (exit code, stdout, stderr)."""
        try:
            out, err = self.process.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"still running after {self._seconds} s; stderr: {err}") from None
        return self.process.returncode, out, err


@pytest.fixture(scope="session")
def start_command():
    """Starts a command of bin/, e.g. start_command("dlib_train", "--help"); what is still running
    at the end is killed.
    """
    started = []

    def start(*arguments, **options):
        started.append(Command(*arguments, **options))
        return started[-1]

    yield start
    for command in started:
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait()


@pytest.fixture(scope="session")
def run_command(start_command):
    """Runs a command of bin/ to its end: (exit code, stdout, stderr)."""
    return lambda *arguments, **options: start_command(*arguments, **options).finish()


@pytest.fixture(scope="session")
def tiny_flags(data_dir):
    """Flags of dlib_train for tiny networks: (model_dir, *bindings, **flags) -> list."""

    def flags(model_dir, *bindings, **others):
        shown = {
            "gin_config": REPO / "tests" / "tiny.gin",
            "model_dir": model_dir,
            "data_dir": data_dir,
            **others,
        }
        return [
            "dlib_train",
            *(f"--{name}={value}" for name, value in shown.items()),
            *(f"--gin_bindings={b}" for b in bindings),
        ]

    return flags


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of its own of 2 MB; skipped where it cannot be mounted."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
