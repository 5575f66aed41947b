"""All steps of one model of a study: train, pictures, codes, scores, each resumed where it stopped.

TensorFlow is loaded only if something is left to do. SEED is the seed of training; what draws from
codes and rows has the same seed for all models, so that they are compared on the same rows.
"""

import contextlib
import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dlib_tf2.configuration import gin_utils, metric_config
from dlib_tf2.datasets import loading
from dlib_tf2.errors import EXIT_FAILURE, DlibError, Interrupted, UserError, first_line
from dlib_tf2.records import results
from dlib_tf2.studies import run_folder
from dlib_tf2.studies.plan import Plan
from dlib_tf2.system import command
from dlib_tf2.system.folders import Written, delete_written, exactly, hold_folder


def reproduce(
    plan: Plan,
    output_dir: str | os.PathLike,
    model_dir: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
) -> None:
    """Does what is left to do for one model; a finished model costs nothing.

    Args:
        plan: the model.
        output_dir: the study's folder, in which the model's number is the model's folder. With
            `model_dir` it is the model's folder itself.
        model_dir: folder of a trained model to score; nothing is trained then.
        data_dir: folder of prepared datasets.

    Raises:
        UserError: the folder belongs to another study, another process works in it, or the dataset
            is unknown.
        DlibError: a step failed; the steps that do not need it are done.
    """
    _check_dataset(plan)
    of_model = "" if model_dir is None else json.dumps(results.read_training(model_dir))
    fingerprint = plan.fingerprint(of_model)
    folder = (
        run_folder.claim_scores(output_dir, plan, model_dir)
        if model_dir
        else run_folder.claim_study(output_dir, plan) / str(plan.model_num)
    )
    what = f"{plan.study} model {plan.model_num}" if model_dir is None else f"{model_dir}"
    if run_folder.is_done(folder, fingerprint):
        print(f"{what} is done in {folder}; nothing to do")
        return
    with hold_folder(folder, run_folder.MODEL_STEP, run_folder.MODEL):
        if run_folder.is_done(folder, fingerprint):  # another process has finished it just now
            print(f"{what} is done in {folder}; nothing to do")
            return
        for name in ("done.json", "failed.json"):
            (folder / name).unlink(missing_ok=True)
        with _failure_is_kept(folder):
            print(f"{what}{f': {plan.title}' if plan.title else ''} -> {folder}", flush=True)
            _Steps(plan, folder, model_dir, data_dir).run(fingerprint)


def _check_dataset(plan: Plan) -> None:
    """Refuses an unknown dataset before anything is written or TensorFlow is loaded."""
    if plan.dataset is not None:
        loading.check_name(plan.dataset)


class _Steps:
    """The steps of one model, in order, and how many seconds each took."""

    def __init__(self, plan: Plan, folder: pathlib.Path, model_dir, data_dir):
        self._plan, self._folder, self._data_dir = plan, folder, data_dir
        self._trained = model_dir is not None
        self._model = folder / "model" if model_dir is None else pathlib.Path(model_dir)
        files = [*metric_config.files(list(plan.metrics)), *plan.files]
        self._text = gin_utils.GinText(files, plan.bindings, known=plan.text)
        self._seconds: dict[str, float] = {}

    def run(self, fingerprint: str) -> None:
        """Does the steps that are left."""
        started = time.monotonic()
        command.import_tensorflow()
        from dlib_tf2 import evaluate, postprocess, train
        from dlib_tf2.visualize import model_pictures

        self._seconds["start"] = round(time.monotonic() - started, 3)
        metrics = list(self._plan.metrics)
        if not self._trained:
            self._step("train", lambda: train.train(self._model, data_dir=self._data_dir))
        self._step("pictures", lambda: self._draw(model_pictures.draw))
        renewed = self._codes_are_of_another_training()
        codes = self._folder / "codes"
        if renewed:  # first, so that a kill leaves no scores of other codes
            self._delete_scores(evaluate.METRIC)
        self._step(
            "postprocess",
            lambda: postprocess.postprocess(self._model, codes, self._data_dir, overwrite=renewed),
        )
        failures = []
        for name in self._plan.representations:
            arguments = codes / name, self._folder / "scores" / name, metrics
            try:
                self._step(f"evaluate/{name}", functools.partial(evaluate.evaluate, *arguments))
            except Interrupted:
                raise
            except DlibError as error:  # the other representation can still be scored
                failures.append(error)
        if failures:
            raise failures[0]
        parts = [str(self._model.resolve()) if self._trained else "model"]
        for name in self._plan.representations:
            parts += [f"codes/{name}", *(f"scores/{name}/{metric}" for metric in metrics)]
        run_folder.write_done(self._folder, fingerprint, parts, self._seconds)

    def _delete_scores(self, metric: Written) -> None:
        """Deletes the scores of the plan's metrics and of those that ship with the package."""
        names = (*metric_config.known(), *self._plan.metrics)
        metrics = {re.escape(name): metric for name in names}
        scores = Written({**exactly("scores.json"), **metrics}, step="evaluate")
        representations = {re.escape(name): scores for name in self._plan.representations}
        delete_written(self._folder, Written({"scores": Written(representations)}))

    def _step(self, name: str, work: Callable[[], Any]) -> None:
        """Runs one step; parses the configuration first, so that it records only what it uses."""
        gin_utils.use(self._text)
        started = time.monotonic()
        work()
        self._seconds[name] = round(time.monotonic() - started, 3)

    def _draw(self, draw: Callable[..., Any]) -> None:
        try:
            if self._trained and not (self._model / "pictures").is_dir():
                return  # nothing is written to a model from elsewhere
            draw(self._model, self._data_dir)
        except Exception as error:  # of any kind: the scores do not depend on pictures
            print(
                f"warning: no pictures of {self._model} ({type(error).__name__}:"
                f" {first_line(error)})",
                file=sys.stderr,
            )

    def _codes_are_of_another_training(self) -> bool:
        """Whether the model was trained again after it was encoded, since its record was lost."""
        codes = self._folder / "codes"
        if not results.is_complete(codes):
            return False
        encoded = results.read_step(codes)["made_from"]
        return json.dumps(encoded) != json.dumps(results.read_training(self._model))


def _gin_of(plan: Plan) -> tuple[list[str], list[str]]:
    """The gin files and bindings of a plan."""
    return [*metric_config.files(list(plan.metrics)), *plan.files], list(plan.bindings)


@contextlib.contextmanager
def _failure_is_kept(folder: pathlib.Path) -> Iterator[None]:
    """Writes why a step failed to the folder, for dlib_sweep --status; interruptions pass."""
    try:
        yield
    except Interrupted:
        raise
    except DlibError as error:
        run_folder.write_failure(folder, first_line(error), error.exit_code)
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        run_folder.write_failure(folder, reason, EXIT_FAILURE)
        raise


def describe(
    plan: Plan, output_dir: str | os.PathLike | None, model_dir: str | os.PathLike | None = None
) -> str:
    """What `reproduce` would do, as gin text with comments.

    Args:
        plan: the model.
        output_dir: the study's folder; a placeholder by default.
        model_dir: folder of a trained model to score; nothing is trained then.

    Raises:
        UserError: `model_dir` holds no finished training run, or the dataset is unknown.
    """
    _check_dataset(plan)
    if model_dir is not None:
        results.read_training(model_dir)
    number = "" if plan.model_num is None else str(plan.model_num)
    folder = pathlib.Path(output_dir or "OUTPUT_DIR") / number
    what = f"model {number}: {plan.title}" if plan.title else f"scores of {model_dir}"
    train = [] if plan.configuration is None else [f"# train       -> {folder / 'model'}"]
    return "\n".join(
        [
            f"# {plan.study}, {what}",
            *train,
            f"# postprocess -> {folder / 'codes'}: {', '.join(plan.representations)}",
            f"# evaluate    -> {folder / 'scores'}: {', '.join(plan.metrics)} (suite {plan.suite})",
            "",
            "import dlib_tf2.postprocess",
            *(f'include "{file}"' for file in plan.files),
            "",
            *plan.bindings,
        ]
    )


def check(
    plans: Sequence[Plan], datasets: Sequence[str], data_dir: str | os.PathLike | None
) -> None:
    """Parses plans and opens datasets, so that a sweep finds a mistake before it starts.

    A process of its own does it: the calling process stays without TensorFlow.

    Raises:
        UserError: gin text names a parameter that does not exist, or a dataset is unknown or not
            prepared.
    """
    folder = None if data_dir is None else os.fspath(data_dir)
    asked = json.dumps([[_gin_of(plan) for plan in plans], list(datasets), folder])
    command_line = [sys.executable, "-m", "dlib_tf2.reproduce"]
    ended = subprocess.run(
        command_line, input=asked, stderr=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        raise UserError(lines[-1] if lines else f"cannot open {', '.join(datasets)}")


def _answer_check() -> None:
    """The other process of `check`, which reads its question from stdin."""
    texts, names, data_dir = json.load(sys.stdin)
    command.import_tensorflow()
    from dlib_tf2 import datasets, evaluate, postprocess, train  # noqa: F401  gin must know them

    try:
        for files, bindings in texts:
            gin_utils.parse(files, bindings)
        for name in names:
            datasets.load(name, data_dir)
    except DlibError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _answer_check()
