"""Many models of a study, each run once, retried where it fails, by as many sweeps on one folder as
you like.
"""

import os
import pathlib
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from dlib_tf2.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USER, DlibError, Interrupted
from dlib_tf2.studies import run_folder
from dlib_tf2.studies.child import Task, last_line
from dlib_tf2.studies.live import Live
from dlib_tf2.studies.plan import Plan
from dlib_tf2.studies.pool import Backend, Ended
from dlib_tf2.system.locks import is_locked

_POLL_SECONDS = 0.1
_ELSEWHERE_SECONDS = 3.0  # between two looks at a model that another sweep runs
_STOP_SECONDS = 60.0


class Sweep:
    """The models of one sweep and where each of them is."""

    def __init__(
        self,
        plans: Mapping[int, Plan],
        output_dir: str | os.PathLike,
        backend: Backend,
        retries: int,
        arguments: Sequence[str],
    ):
        """Args:
        plans: the models, in the order in which they are started.
        output_dir: the study's folder.
        backend: where they run.
        retries: how often a model is started again after it failed.
        arguments: flags of dlib_reproduce in addition to --model_num.
        """
        self._plans, self._backend, self._retries, self._arguments = (
            plans,
            backend,
            retries,
            arguments,
        )
        self._folder = pathlib.Path(output_dir).resolve()
        self._left: deque[int] = deque()
        self._running: dict[int, float] = {}  # model -> time.monotonic() of its start
        self._elsewhere: dict[int, float] = {}  # model -> of the last look
        self._attempts: dict[int, int] = {}
        self._done: set[int] = set()
        self._failed: dict[int, str] = {}
        self._finished = 0
        self._live = Live()

    def run(self, environment: Mapping[str, str]) -> None:
        """Runs until every model is done or failed.

        Args:
            environment: variables of the processes.

        Raises:
            DlibError: models failed.
            Interrupted: stopped by a signal; the same command goes on.
        """
        for number, plan in self._plans.items():
            (self._done.add if is_done(self._folder, number, plan) else self._left.append)(number)
        try:
            while self._left or self._running or self._elsewhere:
                self._start_some(environment)
                for ended in self._backend.ended():
                    self._take(ended)
                self._look_elsewhere()
                self._show()
                time.sleep(_POLL_SECONDS)
        except BaseException as error:
            self._live.say(f"stopping {len(self._running)} models, which save first ...")
            self._backend.stop(_STOP_SECONDS)
            if not isinstance(error, KeyboardInterrupt):
                raise
            self._show(last=True)
            raise Interrupted(
                f"stopped with {len(self._done):,} of {len(self._plans):,} models done; run the"
                " same command again"
            ) from None
        self._show(last=True)
        self._backend.stop(_STOP_SECONDS)
        if self._failed:
            number, reason = min(self._failed.items())
            raise DlibError(
                f"{len(self._failed):,} of {len(self._plans):,} models failed (model {number}:"
                f" {reason}); all reasons: dlib_sweep --status --output_dir={self._folder}; the"
                " same command tries them again"
            )

    def _model(self, number: int) -> pathlib.Path:
        return self._folder / str(number)

    def _start_some(self, environment: Mapping[str, str]) -> None:
        while self._left and self._backend.free():
            number = self._left.popleft()
            # by another sweep, since this one began
            if is_done(self._folder, number, self._plans[number]):
                self._done.add(number)
            elif is_locked(self._model(number)):
                self._elsewhere[number] = time.monotonic()
            else:
                flags = (*self._arguments, f"--model_num={number}", f"--output_dir={self._folder}")
                self._backend.start(
                    Task(number, flags, self._log(number), os.getcwd(), dict(environment))
                )
                self._running[number] = time.monotonic()

    def _look_elsewhere(self) -> None:
        for number, looked in list(self._elsewhere.items()):
            if time.monotonic() - looked < _ELSEWHERE_SECONDS:
                continue
            self._elsewhere[number] = time.monotonic()
            # done or stopped: its next turn shows which
            if not is_locked(self._model(number)):
                del self._elsewhere[number]
                self._left.appendleft(number)

    def _take(self, ended: Ended) -> None:
        """Decides what happens to a model after its process ended."""
        number, code = ended.model_num, ended.exit_code
        seconds = time.monotonic() - self._running.pop(number)
        if code == EXIT_DONE:
            self._done.add(number)
            self._finished += 1
            self._live.say(f"model {number} done in {seconds:.0f} s")
            return
        # another sweep took it first, or the process of a lost worker is still saving
        if is_locked(self._model(number)):
            self._elsewhere[number] = time.monotonic()
            return
        # checked after the lock, which the other process releases once it is done
        if is_done(self._folder, number, self._plans[number]):
            self._done.add(number)
            return
        reason = self._reason(ended)
        self._attempts[number] = self._attempts.get(number, 0) + 1
        if code != EXIT_USER and self._attempts[number] <= self._retries:
            self._live.say(
                f"model {number}: {reason}; trying again ({self._attempts[number]} of"
                f" {self._retries})"
            )
            self._left.append(number)
            return
        self._failed[number] = reason
        self._live.say(f"model {number} failed: {reason}")
        self._keep_failure(number, reason, 1 if code is None else code)

    def _reason(self, ended: Ended) -> str:
        if ended.exit_code is None:
            return f"its worker or node was lost ({ended.reason})"
        if ended.exit_code < 0:
            return (
                f"killed by signal {signal.Signals(-ended.exit_code).name}; if the machine ran out"
                " of memory, use fewer --workers"
            )
        if ended.exit_code == EXIT_INTERRUPTED:
            return "stopped from outside"
        return (
            last_line(self._log(ended.model_num))
            or f"exit code {ended.exit_code}; see {self._log(ended.model_num)}"
        )

    def _keep_failure(self, number: int, reason: str, code: int) -> None:
        try:
            run_folder.claim_model(self._model(number))
            run_folder.write_failure(self._model(number), reason, code)
        except DlibError as error:  # a folder of something else stays as it is
            self._live.say(f"model {number}: {error}")

    def _log(self, number: int) -> str:
        return str(self._folder / "logs" / f"{number}.txt")

    def _show(self, last: bool = False) -> None:
        running = len(self._running) + len(self._elsewhere)
        self._live.show(
            len(self._done), running, len(self._failed), len(self._left), self._finished, last
        )


def sweep(
    plans: Mapping[int, Plan],
    output_dir: str | os.PathLike,
    check: Callable[[Sequence[Plan]], None],
    make_backend: Callable[[], Backend],
    environment: Mapping[str, str],
    retries: int = 2,
    arguments: Sequence[str] = (),
) -> None:
    """Runs the models of a study that are not done; see `Sweep`.

    `check` is given the plans of those models, and the backend is made, once the folder is known to
    be the study's.
    """
    run_folder.claim_study(output_dir, next(iter(plans.values())))
    left = {number: plan for number, plan in plans.items() if not is_done(output_dir, number, plan)}
    if not left:
        print(f"all {len(plans):,} models are done in {output_dir}; nothing to do")
        return
    check(list(left.values()))
    Sweep(plans, output_dir, make_backend(), retries, arguments).run(environment)


def is_done(output_dir: str | os.PathLike, model_num: int, plan: Plan) -> bool:
    """Whether a model is done, by a look at which files there are."""
    return run_folder.is_done(
        pathlib.Path(output_dir) / str(model_num), plan.fingerprint(), thorough=False
    )
