"""The host's side of training: calls of the engine, summaries, checkpoints and signals."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping

import tensorflow as tf

from dlib_tf2.errors import DlibError, Interrupted, UserError
from dlib_tf2.system.progress import Progress
from dlib_tf2.training.checkpoints import Checkpoints
from dlib_tf2.training.engine import Engine

_SECONDS_PER_CALL = 5.0  # a signal is only seen when the running call returns
_EVALUATION_CALL = 50  # batches


class Run:
    """Trains and evaluates in calls of the engine; between them it writes and looks for signals."""

    def __init__(
        self,
        engine: Engine,
        folder: str | os.PathLike,
        stop: list[str],
        chief: bool,
        steps: int,
        summary_steps: int,
        save_steps: int,
        save_minutes: float,
    ):
        """Opens checkpoints and summaries.

        Args:
            engine: makes the steps.
            folder: the run's folder.
            stop: names of the signals received so far; it grows while the run works.
            chief: whether this process writes files and progress.
            steps: total number of updates.
            summary_steps: see `train.train`.
            save_steps: see `train.train`.
            save_minutes: see `train.train`.
        """
        self._engine, self._stop, self._chief, self._steps = engine, stop, chief, steps
        self._summary_steps, self._save_steps = summary_steps, save_steps
        self._save_minutes = save_minutes
        self._checkpoints = Checkpoints(os.path.join(folder, "checkpoints"), engine.variables())
        self._writer = tf.summary.create_noop_writer()
        if chief:
            self._writer = tf.summary.create_file_writer(os.path.join(folder, "summaries"))

    def train(self, batches: Callable[[int], Iterable]) -> None:
        """Makes the remaining updates, from the newest checkpoint on."""
        step = saved = shown = self._checkpoints.restore()
        if step and self._chief:
            print(f"resuming at step {step:,} of {self._steps:,}", file=sys.stderr)
        if step > self._steps:
            raise UserError(
                f"{self._checkpoints.folder} is at step {step:,} already, past STEPS ="
                f" {self._steps:,}; ask for at least {step:,}, or choose another --model_dir"
            )
        if step == self._steps:
            return
        iterator, means = iter(batches(step)), _Means()
        progress = Progress("step", self._steps, step)
        pace = _SECONDS_PER_CALL  # not measured yet: the first call makes one step
        measured, saved_at = pace, time.monotonic()
        while step < self._steps:
            due = _until(step, self._summary_steps), _until(step, self._save_steps)
            count = max(1, min(*due, self._steps - step, int(_SECONDS_PER_CALL / pace)))
            began = time.monotonic()
            values, bad, pace = self._engine.train(iterator, step, count, measured)
            measured = (time.monotonic() - began) / count
            if bad is not None:
                raise DlibError(_not_finite(bad, values, self._checkpoints))
            step += count
            means.add(values, count)
            # Read once: a signal that arrives while files are written is seen after the next call.
            stopping = bool(self._stop)
            late = time.monotonic() - saved_at > 60 * self._save_minutes
            saving = step % self._save_steps == 0 or late or stopping or step == self._steps
            if self._chief and saving:
                self._checkpoints.save(step)
                saved, saved_at = step, time.monotonic()
            if self._chief and (step % self._summary_steps == 0 or step == self._steps):
                self._summarise(step, values := means.take())
                progress.advance(step - shown, _terms(values))
                shown = step
            if stopping:
                kept = (
                    f"saved at step {saved:,}" if self._chief else "the chief keeps the checkpoints"
                )
                raise Interrupted(
                    f"stopped by signal {self._stop[0]} at step {step:,}, {kept}; run the same"
                    " command again to resume"
                )
        if self._chief:
            progress.finish()

    def evaluate(self, batches: Iterable, count: int) -> dict[str, float]:
        """Means over `count` batches, in calls that are short enough to see a signal."""
        iterator, means, progress = iter(batches), _Means(), Progress("evaluation batch", count)
        for start in range(0, count, _EVALUATION_CALL):
            part = min(_EVALUATION_CALL, count - start)
            means.add(self._engine.evaluate(iterator, start, part, self._steps), part)
            if self._chief:
                progress.advance(part)
            if self._stop:
                raise Interrupted(
                    f"stopped by signal {self._stop[0]} in the evaluation; run the same command"
                    " again to finish it"
                )
        if self._chief:
            progress.finish()
        values = means.take()
        # A sum, not a difference: in float32 the loss is thousands of nats, and a regularizer may
        # be a hundredth of one.
        others = [name for name in self._engine.parts["vae"].terms if name != "reconstruction_loss"]
        regularizer = sum(values[f"term/{name}"] for name in others)
        return {**values, "regularizer": regularizer, "steps": self._steps}

    def _summarise(self, step: int, values: Mapping[str, float]) -> None:
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()


class _Means:
    """Means over several calls of the engine, each weighted by its steps."""

    def __init__(self):
        self._totals, self._count = {}, 0

    def add(self, values: Mapping[str, float], count: int) -> None:
        for name, value in values.items():
            self._totals[name] = self._totals.get(name, 0.0) + value * count
        self._count += count

    def take(self) -> dict[str, float]:
        means = {name: total / self._count for name, total in self._totals.items()}
        self._totals, self._count = {}, 0
        return means


def _not_finite(step: int, values: Mapping[str, float], checkpoints: Checkpoints) -> str:
    saved = checkpoints.steps()
    kept = f"the checkpoint of step {saved[-1]:,} is kept" if saved else "no checkpoint yet"
    terms = ", ".join(f"{name} {value:.4g}" for name, value in _terms(values).items())
    return (
        f"the loss is not finite at step {step:,} ({terms}); stopped, {kept}; lower the learning"
        " rate or the strength"
    )


def _terms(values: Mapping[str, float]) -> dict[str, float]:
    names = [name for name in values if name.startswith("term/")]
    return {"loss": values["loss"]} | {name.removeprefix("term/"): values[name] for name in names}


def _until(step: int, interval: int) -> int:
    return interval - step % interval
