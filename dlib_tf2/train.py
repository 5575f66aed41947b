"""The training stage: from a dataset and a configuration to a folder with a trained model, resumed
wherever it stopped.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import gin
import keras
import tensorflow as tf

from dlib_tf2 import datasets
from dlib_tf2.configuration import gin_utils, sources
from dlib_tf2.errors import DlibError, UserError, check_whole, few
from dlib_tf2.models.optimizers import adam
from dlib_tf2.models.vae import VAE
from dlib_tf2.records import results
from dlib_tf2.seeds import derive_seed
from dlib_tf2.system.folders import Written, exactly, hold_folder
from dlib_tf2.system.paths import AnyPath, as_path
from dlib_tf2.training import checkpoints, saved_model
from dlib_tf2.training.engine import Engine
from dlib_tf2.training.interruptions import (
    stop_on_signals,
    wait_for_all,
    worker_loss_is_interruption,
)
from dlib_tf2.training.run import Run
from dlib_tf2.training.saved_model import is_whole, save_network
from dlib_tf2.training.strategies import describe, is_chief, needs_records, use_xla

# Where, how long and how a run goes on is not what it computes: these may change between two starts
# of one run.
_NOT_IDENTITY = {
    f"train.{name}"
    for name in (
        *(
            "strategy",
            "data_dir",
            "overwrite",
            "xla",
            "steps",
            "eval_steps",
            "summary_steps",
            "save_steps",
            "save_minutes",
        ),
        *("counts_per_update", "method", "hyperparameters", "labels"),
    )
}
_PRECISIONS = ("float32", "mixed_bfloat16")
_IDENTITY, _SOURCES, _ABSENT = "identity.json", "sources", "absent"
_IMAGES = "train.images_fingerprint"
WRITTEN = Written(
    {
        **results.WRITTEN,
        **exactly(*saved_model.NETWORKS),
        "pictures": Written(exactly(*saved_model.PICTURES)),
        "summaries": Written({r"events\.out\.tfevents\.\d+\..+\.\d+\.\d+\.v2": None}),
        "checkpoints": checkpoints.WRITTEN,
        **exactly(_IDENTITY),  # last: it says whose the checkpoints are
    },
    leftovers=(saved_model.LEFTOVERS,),
)


@gin.configurable
def train(
    model_dir: str | os.PathLike,
    strategy: tf.distribute.Strategy | None = None,
    data_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
    dataset: str = gin.REQUIRED,
    model: Callable[..., VAE] = gin.REQUIRED,
    encoder: Callable[[Sequence[int], int], keras.Model] = gin.REQUIRED,
    decoder: Callable[[Sequence[int], int], keras.Model] = gin.REQUIRED,
    num_latent: int = gin.REQUIRED,
    steps: int = gin.REQUIRED,
    batch_size: int = gin.REQUIRED,
    seed: int = gin.REQUIRED,
    optimizer: Callable[[], keras.optimizers.Optimizer] = adam,
    counts_per_update: int = 1,
    method: str = "",
    hyperparameters: Mapping[str, float] | None = None,
    labels: Mapping[str, Any] | None = None,
    eval_steps: int = 1000,
    summary_steps: int = 100,
    save_steps: int | None = None,
    save_minutes: float = 10.0,
    precision: str = "float32",
    xla: str | bool = "auto",
) -> dict[str, float]:
    """Trains one model, or goes on training it, and leaves `encoder.keras`, `decoder.keras` and
    `results.json`.

    Args:
        model_dir: the run's folder; a run that was stopped is resumed from it, a finished one is
            left as it is.
        strategy: see `strategies.make_strategy`; the default strategy by default.
        data_dir: where prepared datasets lie.
        overwrite: start anew, deleting the files of an earlier run in `model_dir`; other files
            stay.
        dataset: name, e.g. "rendered_sprites/small".
        model: called with (encoder, decoder), e.g. `@VAE`.
        encoder: called with (observation_shape, num_latent).
        decoder: called with (observation_shape, num_latent).
        num_latent: latent dimensions.
        steps: updates in all (if `counts_per_update` is 1); a larger number later continues the
            run.
        batch_size: global batch, divided among the replicas; at most the images there are, and half
            of the memory as float32. A batch of one is warned of where the loss compares its rows.
        seed: of weights, data and noise, each by a derived seed.
        optimizer: called once for each part of the model, in a gin scope of the part's name
            ("vae").
        counts_per_update: how many of `steps` one update uses up. The study's code counted an
            update of FactorVAE twice, once for each network, so that its 300,000 steps were 150,001
            updates; with 2 ours are 150,000.
        method: a label for results and reports.
        hyperparameters: the method's own strengths, e.g. {"beta": 4.0}, a label likewise.
        labels: further ones, such as the study and the model_num in it.
        eval_steps: batches of the evaluation at the end.
        summary_steps: updates between two TensorBoard points and progress lines.
        save_steps: updates between two checkpoints, in addition to `save_minutes`.
        save_minutes: minutes between two checkpoints.
        precision: "float32" or "mixed_bfloat16".
        xla: "auto", True or False, see `strategies.use_xla`.

    Returns:
        The evaluation's means: loss, reconstruction_loss, kl, elbo, regularizer, and every term as
        "term/<name>".

    Raises:
        UserError: the folder holds another run or foreign files, another process trains in it, or
            a setting does not fit.
        DlibError: the loss or a weight became NaN or infinite, the disk is full, or a network of
            the finished run was changed since.
        Interrupted: stopped by SIGTERM, Ctrl-C or the loss of another worker; the same call
            resumes.
    """
    started = time.time()
    strategy = strategy or tf.distribute.get_strategy()
    save_steps = steps if save_steps is None else save_steps
    check_whole(
        1,
        train__steps=steps,
        train__batch_size=batch_size,
        train__num_latent=num_latent,
        train__eval_steps=eval_steps,
    )
    check_whole(1, train__summary_steps=summary_steps, train__save_steps=save_steps)
    check_whole(1, train__counts_per_update=counts_per_update)
    check_whole(0, train__seed=seed)
    if not isinstance(save_minutes, int | float) or not save_minutes > 0:
        raise UserError(f"train.save_minutes must be a number above 0, got {save_minutes!r}")
    if not isinstance(dataset, str):
        raise UserError(
            f"train.dataset must be a name such as 'rendered_sprites/small', got {dataset!r}"
        )
    for name, value in (("hyperparameters", hyperparameters), ("labels", labels)):
        if value is not None and not isinstance(value, Mapping):
            raise UserError(
                f'train.{name} must be a dictionary such as {{"beta": 4.0}}, got {value!r}'
            )
    for name, maker in (
        ("model", model),
        ("encoder", encoder),
        ("decoder", decoder),
        ("optimizer", optimizer),
    ):
        if not callable(maker):
            raise UserError(
                f"train.{name} must be a reference such as @conv_encoder, with its @, got {maker!r}"
            )
    if not isinstance(method, str):
        raise UserError(f"train.method must be a name such as 'beta_vae', got {method!r}")
    if precision not in _PRECISIONS:
        raise UserError(
            f"train.precision must be one of {', '.join(_PRECISIONS)}, got {precision!r}"
        )
    if batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"batch_size {batch_size} is not divisible by the {strategy.num_replicas_in_sync}"
            " replicas; choose a multiple"
        )
    steps = -(-steps // counts_per_update)  # updates, from here on
    settings = {
        "dataset": dataset,
        "num_latent": num_latent,
        "batch_size": batch_size,
        "seed": seed,
        "precision": precision,
    }
    settings = {f"train.{name}": value for name, value in settings.items()}
    folder, chief = as_path(model_dir), is_chief(strategy)
    if not overwrite:
        # before another dataset is prepared for nothing
        _refuse_other_run(folder, settings, settings)
    data = datasets.load(dataset, data_dir)
    _check_batch(data, batch_size)
    settings[_IMAGES] = data.fingerprint()
    with worker_loss_is_interruption(strategy), stop_on_signals() as stop, ExitStack() as alone:
        vae, optimizers = _build(
            strategy, data, model, encoder, decoder, num_latent, optimizer, precision, seed
        )
        engine = Engine(strategy, vae, optimizers, data, seed, batch_size, use_xla(strategy, xla))
        # only now: a mistake in the settings must not cost the run that is to be replaced
        if chief:
            alone.enter_context(hold_folder(folder, "train", WRITTEN, overwrite))
        wait_for_all(strategy)
        _check_identity(folder, settings, chief)
        if (values := _finished_values(folder, steps)) is not None:
            return values
        wait_for_all(strategy)
        if chief and steps < vae.schedule_steps:
            print(
                f"warning: the run ends at update {steps:,}, its regularizer's schedule at"
                f" {vae.schedule_steps:,}: the final strength is never reached; raise STEPS, or"
                " shorten the schedule (ITERATION_THRESHOLD)",
                file=sys.stderr,
            )
        if chief and batch_size == 1 and vae.batch_of_one:
            print(
                f"warning: a batch of one: {vae.batch_of_one}; raise BATCH_SIZE (the study's"
                " is 64)",
                file=sys.stderr,
            )
        run = Run(engine, folder, stop, chief, steps, summary_steps, save_steps, save_minutes)
        run.train(
            lambda start: _batches(
                strategy, data, vae.inputs, batch_size, derive_seed(seed, "data"), start
            )
        )
        values = run.evaluate(
            _batches(strategy, data, vae.inputs, batch_size, derive_seed(seed, "evaluation data")),
            eval_steps,
        )
        if chief:
            # From here on the record of a shorter run no longer describes both networks.
            (folder / "results.json").unlink(missing_ok=True)
            _export(folder, "encoder", encoder(data.observation_shape, num_latent), vae.encoder)
            _export(folder, "decoder", decoder(data.observation_shape, num_latent), vae.decoder)
            kept = {
                **(labels or {}),
                "method": method,
                "hyperparameters": hyperparameters or {},
                "activation": vae.activation,
            }
            kept |= {name.removeprefix("train."): value for name, value in settings.items()}
            device, files = describe(strategy), saved_model.NETWORKS
            results.write_step(
                folder, "train", values, started=started, labels=kept, device=device, files=files
            )
    return values


def _check_batch(data: datasets.GroundTruthDataset, batch_size: int) -> None:
    """Refuses a batch of more images than there are, or of which one copy would take more than half
    of this machine's memory: a training step holds several, and what the networks make of them."""
    rows = len(data.table)
    if batch_size > rows:
        raise UserError(
            f"train.batch_size is {batch_size:,}, more than the {rows:,} images of {data.name};"
            " lower BATCH_SIZE (the study's is 64)"
        )
    needed = 4 * batch_size * math.prod(data.observation_shape)  # float32
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory / 2:
        raise UserError(
            f"train.batch_size is {batch_size:,}: one batch of images takes {needed / 1e9:.3g} GB, "
            f"more than half of the memory, {memory / 1e9:.3g} GB; lower BATCH_SIZE (the study's "
            "is 64)"
        )


def _build(strategy, data, model, encoder, decoder, num_latent, optimizer, precision, seed):
    """Networks, model and optimizers with all their variables, made in the strategy's scope from
    the run's seed.
    """
    # Keras initialisers draw from global state: this is the one place that seeds it.
    keras.utils.set_random_seed(derive_seed(seed, "weights"))
    optimizers = {}
    with strategy.scope(), _precision(precision):
        vae = model(
            encoder(data.observation_shape, num_latent), decoder(data.observation_shape, num_latent)
        )
        for name, part in vae.parts(()).items():
            with gin.config_scope(name):
                optimizers[name] = optimizer()
            optimizers[name].build(part.variables)
    return vae, optimizers


def _batches(
    strategy: tf.distribute.Strategy,
    data: datasets.GroundTruthDataset,
    inputs: Sequence[str],
    batch_size: int,
    seed: int,
    start: int = 0,
) -> Iterable:
    """The stream of batches from step `start` on, each cut into one slice per replica.

    Each further name of a model's `inputs` is an independent stream of images, with a seed of its
    own.
    """

    def slices(context: tf.distribute.InputContext) -> tf.data.Dataset:
        first, *others = (
            stream(context, seed if name == "image" else derive_seed(seed, name)) for name in inputs
        )
        if not others:
            return first
        together = tf.data.Dataset.zip((first, *others))
        return together.map(
            lambda one, *more: {
                **one,
                **{name: part["image"] for name, part in zip(inputs[1:], more, strict=True)},
            }
        )

    def stream(context: tf.distribute.InputContext, seed: int) -> tf.data.Dataset:
        replicas = strategy.num_replicas_in_sync
        hosts, host = max(1, context.num_input_pipelines), context.input_pipeline_id
        if needs_records(strategy):
            return data.record_batches(batch_size, seed, hosts, host, replicas // hosts)
        local = range(host * replicas // hosts, (host + 1) * replicas // hosts)
        # The stream never ends, but only what repeats is known to be infinite: with several workers
        # tf.distribute would prepare for a last, partial batch, and forget the static shapes that
        # noise and XLA need.
        return data.train_batches(batch_size, seed, start, replicas, local).repeat()

    return strategy.distribute_datasets_from_function(slices)


def _check_identity(folder: AnyPath, settings: Mapping[str, Any], chief: bool) -> None:
    """Refuses a folder whose run was another one; a new folder gets this run's identity."""
    used = {
        key: value
        for key, value in gin_utils.operative_bindings().items()
        if key not in _NOT_IDENTITY
    }
    identity = {**used, **settings, _SOURCES: sources.of_text(gin_utils.operative_text())}
    _refuse_other_run(folder, identity)
    if chief and not (folder / _IDENTITY).exists():
        results.write_json(folder / _IDENTITY, identity)


def _refuse_other_run(folder: AnyPath, here: dict[str, Any], keys: Iterable[str] = ()) -> None:
    """Refuses a folder whose run differs in one of `keys`, by default in anything."""
    path = folder / _IDENTITY
    if not path.exists():
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DlibError(f"{path} is damaged ({error}); use --overwrite to start anew") from error
    here = json.loads(json.dumps(here))
    sources_there, sources_here = there.pop(_SOURCES, None), here.pop(_SOURCES, {})
    differing = sorted(
        key for key in keys or {*there, *here} if there.get(key, _ABSENT) != here.get(key, _ABSENT)
    )
    if _IMAGES not in there and _IMAGES in differing:
        differing.remove(_IMAGES)  # older runs do not know their images by more than a name
    if differing == [_IMAGES]:
        raise UserError(
            f"{folder} was trained on other images than {here['train.dataset']} holds now"
            f" (fingerprint {there[_IMAGES][:12]} there and {here[_IMAGES][:12]} here); restore"
            " them, choose another --model_dir, or --overwrite to delete that run"
        )
    if differing:
        shown = few(
            [
                f"{key} is {there.get(key, _ABSENT)} there and {here.get(key, _ABSENT)} here"
                for key in differing
            ]
        )
    else:
        shown = sources.change(sources_there, sources_here)
    if shown:
        raise UserError(
            f"{folder} holds another configuration ({shown}); choose another --model_dir, or"
            " --overwrite to delete that run"
        )


def _finished_values(folder: AnyPath, steps: int) -> dict[str, float] | None:
    if not results.is_complete(folder):
        return None
    record = results.read_step(folder)
    values = record["values"]
    if values["steps"] < steps:
        return None
    if damaged := [name for name in saved_model.NETWORKS if not is_whole(folder / name)]:
        print(
            f"{folder} is trained, but {' and '.join(damaged)} missing or damaged: written again",
            file=sys.stderr,
        )
        return None
    saved_model.check_unchanged(folder, record)
    print(f"{folder} is already trained ({values['steps']:,} steps); nothing to do")
    return values


def _export(folder: AnyPath, name: str, network: keras.Model, trained: keras.Model) -> None:
    """Saves the weights in a float32 copy of a network, made outside of any strategy, as
    `<name>.keras`.
    """
    network.set_weights(trained.get_weights())
    save_network(folder, name, network)


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
