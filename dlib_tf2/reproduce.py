"""All steps of one model of a study: train, pictures, codes, scores, each resumed where it stopped.

TensorFlow is loaded only where something is left to do. Seeds are those of the steps: SEED for
training, and the same for all models in what is drawn from codes and rows, so that models are
compared on the same rows.
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
    """Does what is left to do for one model; a finished one costs nothing.

    Args:
        plan: the model.
        output_dir: the study's folder; the model's is in it, by its number. With `model_dir` it is
            the model's folder itself.
        model_dir: folder of a trained model that is scored instead of training one.
        data_dir: where prepared datasets lie.

    Raises:
        UserError: the folder is another study's, another process works in it, or the dataset is
            unknown.
        DlibError: a step failed; what could be done without it is done.
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
        if run_folder.is_done(folder, fingerprint):  # while this process waited for its turn
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
    """The steps of one model, in order; `seconds` says how long each took."""

    def __init__(self, plan: Plan, folder: pathlib.Path, model_dir, data_dir):
        self._plan, self._folder, self._data_dir = plan, folder, data_dir
        self._trained = model_dir is not None
        self._model = folder / "model" if model_dir is None else pathlib.Path(model_dir)
        files = [*metric_config.files(list(plan.metrics)), *plan.files]
        self._text = gin_utils.GinText(files, plan.bindings, known=plan.text)
        self._seconds: dict[str, float] = {}

    def run(self, fingerprint: str) -> None:
        """Makes what is missing."""
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
        if renewed:  # first, so that a kill leaves no score beside codes that it is not of
            self._delete_scores(evaluate.METRIC)
        self._step(
            "postprocess",
            lambda: postprocess.postprocess(self._model, codes, self._data_dir, overwrite=renewed),
        )
        failures = []
        for name in self._plan.representations:
            try:
                score = functools.partial(
                    evaluate.evaluate, codes / name, self._folder / "scores" / name, metrics
                )
                self._step(f"evaluate/{name}", score)
            except Interrupted:
                raise
            except DlibError as error:  # the other representation can still be scored
                failures.append(error)
        if failures:
            raise failures[0]
        scores = [
            f"scores/{name}/{metric}" for name in self._plan.representations for metric in metrics
        ]
        model = "model" if not self._trained else str(self._model.resolve())
        parts = [model, *(f"codes/{name}" for name in self._plan.representations), *scores]
        run_folder.write_done(self._folder, fingerprint, parts, self._seconds)

    def _delete_scores(self, metric: Written) -> None:
        """Deletes the scores of the plan's metrics and of those that ship with the package."""
        metrics = {
            re.escape(name): metric for name in (*metric_config.known(), *self._plan.metrics)
        }
        scores = Written({**exactly("scores.json"), **metrics}, step="evaluate")
        representations = {re.escape(name): scores for name in self._plan.representations}
        delete_written(self._folder, Written({"scores": Written(representations)}))

    def _step(self, name: str, work: Callable[[], Any]) -> None:
        """Runs one step under the configuration of all of them, which gin parses anew: what a step
        used is then its own.
        """
        gin_utils.use(self._text)
        started = time.monotonic()
        work()
        self._seconds[name] = round(time.monotonic() - started, 3)

    def _draw(self, draw: Callable[..., Any]) -> None:
        try:
            if self._trained and not (self._model / "pictures").is_dir():
                return  # a model from elsewhere is only read
            draw(self._model, self._data_dir)
        except Exception as error:  # whatever it is, the scores do not depend on pictures
            print(
                f"warning: no pictures of {self._model} ({type(error).__name__}:"
                f" {first_line(error)})",
                file=sys.stderr,
            )

    def _codes_are_of_another_training(self) -> bool:
        """Whether the model was trained again since it was encoded, as after its record was lost:
        codes and scores are then made again.
        """
        codes = self._folder / "codes"
        if not results.is_complete(codes):
            return False
        there, here = (
            json.dumps(record)
            for record in (
                results.read_step(codes)["made_from"],
                results.read_training(self._model),
            )
        )
        return there != here


@contextlib.contextmanager
def _failure_is_kept(folder: pathlib.Path) -> Iterator[None]:
    """Leaves the reason of a failure in the folder, for dlib_sweep --status; an interruption is
    none.
    """
    try:
        yield
    except Interrupted:
        raise
    except DlibError as error:
        run_folder.write_failure(folder, first_line(error), error.exit_code)
        raise
    except Exception as error:
        run_folder.write_failure(
            folder, f"{type(error).__name__}: {first_line(error)}", EXIT_FAILURE
        )
        raise


def describe(
    plan: Plan, output_dir: str | os.PathLike | None, model_dir: str | os.PathLike | None = None
) -> str:
    """What `reproduce` would do, as gin text with comments.

    Args:
        plan: the model.
        output_dir: the study's folder; a placeholder by default.
        model_dir: folder of a trained model that is scored instead of training one.

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
    """Parses plans and opens datasets in a process of its own, so that a sweep knows before it
    starts that models can be made of them.

    The calling process stays without TensorFlow.

    Raises:
        UserError: gin text names a parameter that does not exist, or a dataset is unknown or not
            prepared.
    """
    texts = [
        ([*metric_config.files(list(plan.metrics)), *plan.files], plan.bindings) for plan in plans
    ]
    asked = json.dumps([texts, list(datasets), None if data_dir is None else os.fspath(data_dir)])
    code = "from dlib_tf2 import reproduce; reproduce.check_here()"
    ended = subprocess.run(
        [sys.executable, "-c", code], input=asked, stderr=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode:
        raise UserError(
            next(
                (line for line in reversed(ended.stderr.splitlines()) if line.strip()),
                f"cannot open {', '.join(datasets)}",
            )
        )


def check_here() -> None:
    """The process that `check` starts: reads what to check from stdin, and exits with the line of
    the first mistake.
    """
    command.import_tensorflow()
    from dlib_tf2 import evaluate, postprocess, train  # noqa: F401  gin must know them

    texts, names, data_dir = json.load(sys.stdin)
    try:
        for files, bindings in texts:
            gin_utils.parse(files, bindings)
        for name in names:
            loading.load(name, data_dir)
    except DlibError as error:
        sys.exit(str(error))
