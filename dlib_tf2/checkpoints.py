"""Checkpoints that survive a crash: written whole, read back only when every byte checks, the newest two kept."""

import os
import re
import sys
from collections.abc import Sequence

import tensorflow as tf

from dlib_tf2.errors import DlibError
from dlib_tf2.files import sync_folder

KEEP = 2


class Checkpoints:
    """All weights and optimizer slots of a run, as `<folder>/step-<n>.{index,data-*}` in TensorFlow's own format."""

    def __init__(self, folder: str, variables: Sequence[tf.Variable]):
        """Args:
        folder: where the files go, local or remote (gs://).
        variables: what is saved, in an order that is the same at every start.
        """
        self.folder = str(folder)
        self._variables = list(variables)
        self._checkpoint = tf.train.Checkpoint(variables=self._variables)

    def steps(self) -> list[int]:
        """Steps of which a checkpoint exists, oldest first."""
        names = tf.io.gfile.glob(os.path.join(self.folder, "step-*.index"))
        return sorted(int(match[1]) for name in names if (match := re.search(r"step-(\d+)\.index$", name)))

    def save(self, step: int) -> None:
        """Writes the state after `step` updates, then drops all but the newest two.

        Raises:
            DlibError: a weight is not finite, or the disk is full; earlier checkpoints are kept.
        """
        if not all(bool(tf.reduce_all(tf.math.is_finite(v))) for v in self._variables if v.dtype.is_floating):
            raise DlibError(f"a weight is not finite after step {step}: not saved; {self._last_good()}")
        try:
            tf.io.gfile.makedirs(self.folder)
            self._checkpoint.write(self._prefix(step))
            self._flush(step)
        except (tf.errors.OpError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DlibError(
                f"cannot write a checkpoint to {self.folder} ({reason}); free space and run again; {self._last_good()}"
            ) from error
        for old in self.steps()[:-KEEP]:
            self._remove(old)
        for leftover in tf.io.gfile.glob(os.path.join(self.folder, "*_temp*")):
            if tf.io.gfile.isdir(leftover):
                tf.io.gfile.rmtree(leftover)

    def restore(self) -> int:
        """Reads the newest whole checkpoint into the variables.

        Returns:
            Its step, or 0 where there is none. A damaged one is said on stderr and the one before it is taken.
        """
        for step in reversed(self.steps()):
            try:
                reader = tf.train.load_checkpoint(self._prefix(step))
                for name in reader.get_variable_to_shape_map():
                    reader.get_tensor(name)  # checks length and checksum before any variable is touched
                self._checkpoint.read(self._prefix(step)).assert_existing_objects_matched()
                return step
            except (tf.errors.OpError, ValueError, AssertionError, RuntimeError) as error:
                reason = str(error).splitlines()[0]
                print(f"checkpoint {self._prefix(step)} is damaged ({reason}): left aside, going back to the one before", file=sys.stderr)
        return 0

    def _last_good(self) -> str:
        steps = self.steps()
        return f"the last good checkpoint is step {steps[-1]} in {self.folder}" if steps else "there is no checkpoint yet"

    def _prefix(self, step: int) -> str:
        return os.path.join(self.folder, f"step-{step}")

    def _files(self, step: int) -> list[str]:
        return [name for pattern in (".index", ".data-*") for name in tf.io.gfile.glob(self._prefix(step) + pattern)]

    def _flush(self, step: int) -> None:
        if "://" in self.folder:
            return
        for name in self._files(step):
            with open(name, "rb") as file:
                os.fsync(file.fileno())
        sync_folder(self.folder)

    def _remove(self, step: int) -> None:
        # The index goes first: without it the rest is no checkpoint any more.
        for name in self._files(step):
            tf.io.gfile.remove(name)
