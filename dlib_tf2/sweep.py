"""What dlib_sweep does with its flags: which models, in which order, on which machines."""

import functools
import math
import os
from collections.abc import Sequence

import joblib

from dlib_tf2 import reproduce, seeds
from dlib_tf2.errors import UserError
from dlib_tf2.studies import find, pool
from dlib_tf2.studies.numbers import parse_numbers
from dlib_tf2.studies.plan import Plan, make_plan
from dlib_tf2.studies.ray_pool import RayPool
from dlib_tf2.studies.sweep import sweep


def run(
    study: str | None,
    models: str,
    output_dir: str,
    data_dir: str | None = None,
    suite: str | None = None,
    gin_bindings: Sequence[str] = (),
    shuffle: bool = False,
    workers: int | None = None,
    cpus_per_run: int = 1,
    gpus_per_run: float = 0.0,
    ray_address: str | None = None,
    retries: int = 2,
) -> None:
    """Runs models of a study; the arguments are the flags of dlib_sweep.

    Raises:
        UserError: a flag does not fit, or a dataset is not prepared; nothing was started then.
        DlibError: models failed; the others are done.
        Interrupted: stopped; the same call goes on.
    """
    if not study:
        raise UserError("missing required flag --study; see dlib_sweep --help")
    if not math.isfinite(gpus_per_run):
        raise UserError(f"--gpus_per_run={gpus_per_run} is no number of GPUs; choose e.g. 1 or 0.5")
    if gpus_per_run > 1 and gpus_per_run != int(gpus_per_run):
        raise UserError(
            f"--gpus_per_run={gpus_per_run} is more than one and not whole; choose e.g."
            f" {int(gpus_per_run)} or 0.5"
        )
    numbers = parse_numbers(models, len(find(study)))
    if shuffle:
        numbers = [
            numbers[i] for i in seeds.generator(0, f"order of {study}").permutation(len(numbers))
        ]
    plans = {number: make_plan(study, number, suite, gin_bindings) for number in numbers}
    arguments = [f"--study={study}", *(f"--gin_bindings={text}" for text in gin_bindings)]
    arguments += [f"--suite={suite}"] if suite else []
    arguments += [f"--data_dir={os.path.abspath(data_dir)}"] if data_dir else []

    def check(left: Sequence[Plan]) -> None:
        # one of each will do
        settings = {
            (plan.files, str(plan.configuration and plan.configuration.setting)): plan
            for plan in left
        }
        what = list(settings.values()), sorted({str(plan.dataset) for plan in left}), data_dir
        # the nodes have the data, not always this machine
        if isinstance(ray := backend(), RayPool):
            ray.ask(reproduce.check, *what)
        else:
            reproduce.check(*what)

    @functools.cache
    def backend() -> pool.Backend:
        if ray_address:
            return RayPool(ray_address, cpus_per_run, gpus_per_run, workers)
        gpus = pool.share_gpus(pool.visible_gpus(), gpus_per_run) if gpus_per_run else []
        room = min(max(1, joblib.cpu_count() // cpus_per_run), len(gpus) or 10**6)
        return pool.Pool(min(workers or room, len(gpus) or 10**6), gpus)

    sweep(
        plans,
        output_dir,
        check,
        backend,
        pool.environment(cpus_per_run, gpus_per_run),
        retries,
        arguments,
    )
