"""Checkpoints that survive a crash: written whole, read back only when every byte checks, the
newest two kept.
"""

import contextlib
import os
import re
import sys
from collections.abc import Sequence

import tensorflow as tf

from dlib_tf2.errors import DlibError, UserError, first_line
from dlib_tf2.system.files import sync_folder
from dlib_tf2.system.folders import Written, delete_written
from dlib_tf2.system.paths import as_path

KEEP = 2
_INDEX = re.compile(r"step-(\d+)\.index$")
_PARTS = r"(?:index|data-\d+-of-\d+)"
_FILE = re.compile(rf"step-(\d+)\.{_PARTS}$")


def _written(number: str) -> Written:
    """Checkpoints whose steps match an expression, and whatever a killed write left behind."""
    # An index goes first: without it the rest is no checkpoint any more.
    unfinished = {rf"part-\d+-of-\d+\.{_PARTS}(?:\.tempstate\d+)?": None}
    return Written(
        {
            rf"step-{number}\.index": None,
            rf"step-{number}\.data-\d+-of-\d+": None,
            rf"step-\d+\.{_PARTS}\.tempstate\d+": None,
            r"step-\d+_temp": Written(unfinished),
        }
    )


WRITTEN = _written(r"\d+")


class Checkpoints:
    """All weights and optimizer slots of a run, as `<folder>/step-<n>.{index,data-*}` in
    TensorFlow's own format.
    """

    def __init__(self, folder: str | os.PathLike, variables: Sequence[tf.Variable]):
        """Args:
        folder: where the files go, local or remote (gs://).
        variables: what is saved, in an order that is the same at every start.

        Raises:
            UserError: TensorFlow would write to `folder` but not find the files again.
        """
        if strange := sorted(set(os.fspath(folder)) & set("*?[\\")):
            raise UserError(
                f"TensorFlow cannot read checkpoints from {folder}; choose a --model_dir without"
                f" {' '.join(strange)}"
            )
        self.folder = os.fspath(folder)
        self._variables = list(variables)
        self._checkpoint = tf.train.Checkpoint(variables=self._variables)

    def steps(self) -> list[int]:
        """Steps of which a checkpoint exists, oldest first."""
        return sorted(int(match[1]) for name in self._names() if (match := _INDEX.fullmatch(name)))

    def save(self, step: int) -> None:
        """Writes the state after `step` updates, then drops all but the newest two.

        Raises:
            DlibError: a weight is not finite, or the disk is full; earlier checkpoints are kept.
        """
        if not all(
            bool(tf.reduce_all(tf.math.is_finite(v)))
            for v in self._variables
            if v.dtype.is_floating
        ):
            raise DlibError(
                f"a weight is not finite after step {step}: not saved; {self._last_good()}; lower"
                " the learning rate"
            )
        try:
            tf.io.gfile.makedirs(self.folder)
            self._checkpoint.write(self._prefix(step))
            self._flush(step)
        except (tf.errors.OpError, OSError) as error:
            # What was written must not pass for the newest checkpoint, and its space may be what is
            # missing.
            with contextlib.suppress(DlibError, OSError):
                self._keep_only([other for other in self.steps() if other != step])
            raise DlibError(
                f"cannot write a checkpoint to {self.folder} ({_reason(error)}); free space and run"
                f" again; {self._last_good()}"
            ) from error
        # A number above `step` belongs to a damaged checkpoint that `restore` went back from.
        self._keep_only([other for other in self.steps() if other <= step][-KEEP:])

    def restore(self) -> int:
        """Reads the newest whole checkpoint into the variables.

        Returns:
            Its step, or 0 where there is none. A damaged one is said on stderr and the one before
            it is taken.

        Raises:
            UserError: it is whole, but of other variables than these.
        """
        steps = self.steps()
        for step in reversed(steps):
            if damage := self._damage(step):
                print(
                    f"checkpoint {self._prefix(step)} is damaged ({damage}): going back to the one"
                    " before",
                    file=sys.stderr,
                )
                continue
            try:
                self._checkpoint.read(self._prefix(step)).assert_consumed()
            except (tf.errors.OpError, ValueError, AssertionError) as error:
                raise UserError(
                    f"checkpoint {self._prefix(step)} is of other networks or optimizers"
                    f" ({_reason(error)}); choose another --model_dir, or --overwrite to delete"
                    " that run"
                ) from error
            return step
        if steps:
            print(
                f"no whole checkpoint is left in {self.folder}: starting at step 0", file=sys.stderr
            )
        return 0

    def _damage(self, step: int) -> str:
        """What is wrong with a checkpoint's files; empty if every tensor can be read and has the
        right checksum.
        """
        try:
            reader = tf.compat.v1.train.NewCheckpointReader(self._prefix(step))
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
        # A short data file arrives as an IndexError.
        except (tf.errors.OpError, LookupError, ValueError, RuntimeError) as error:
            return _reason(error)
        return ""

    def _last_good(self) -> str:
        steps = self.steps()
        return (
            f"the last good checkpoint is step {steps[-1]} in {self.folder}"
            if steps
            else "there is no checkpoint yet"
        )

    def _prefix(self, step: int) -> str:
        return os.path.join(self.folder, f"step-{step}")

    def _names(self) -> list[str]:
        return (
            [name.rstrip("/") for name in tf.io.gfile.listdir(self.folder)]
            if tf.io.gfile.isdir(self.folder)
            else []
        )

    def _flush(self, step: int) -> None:
        if "://" in self.folder:
            return
        for name in self._names():
            if (match := _FILE.fullmatch(name)) and int(match[1]) == step:
                with open(os.path.join(self.folder, name), "rb") as file:
                    os.fsync(file.fileno())
        sync_folder(self.folder)

    def _keep_only(self, keep: Sequence[int]) -> None:
        """Deletes other checkpoints, and what a write that was killed left behind."""
        kept = "|".join(map(str, keep)) or "none"
        delete_written(as_path(self.folder), _written(rf"(?!(?:{kept})\D)\d+"))


def _reason(error: Exception) -> str:
    """The first line of an error without the name of TensorFlow's graph node."""
    return re.sub(r"^\{\{.*?\}\} ", "", first_line(error))
