"""The training stage: a dataset and a configuration become a folder with a trained model."""

import dataclasses
import functools
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import gin
import keras
import numpy as np
import tensorflow as tf

from dlib_tf2 import datasets
from dlib_tf2.configuration import gin_utils, sources
from dlib_tf2.configuration.gin_kinds import check_kinds
from dlib_tf2.datasets import draws as drawing
from dlib_tf2.datasets.draws import Draws
from dlib_tf2.datasets.labellers import LabelledSampler
from dlib_tf2.datasets.pairs import PairSampler, TransitionSampler
from dlib_tf2.datasets.samplers import Sampler, UniformSampler, WeightedSampler
from dlib_tf2.errors import DlibError, UserError, check_whole, few
from dlib_tf2.metrics import collecting, labelled
from dlib_tf2.models.optimizers import adam
from dlib_tf2.models.terms import Term, WithTerms, with_terms
from dlib_tf2.models.vae import VAE
from dlib_tf2.records import results
from dlib_tf2.seeds import derive_seed, generator
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.folders import Written, exactly, hold_folder
from dlib_tf2.system.locks import refuse_busy
from dlib_tf2.system.paths import AnyPath, as_path
from dlib_tf2.training import checkpoints, saved_model
from dlib_tf2.training.engine import Engine
from dlib_tf2.training.interruptions import (
    stop_on_signals,
    wait_for_all,
    worker_loss_is_interruption,
)
from dlib_tf2.training.run import Run
from dlib_tf2.training.saved_model import is_whole, load_network, save_network
from dlib_tf2.training.strategies import describe, is_chief, needs_records, use_xla

# These may change between two starts of one run, since they do not change what it computes.
_WHERE = {"strategy", "data_dir", "overwrite", "xla"}
_HOW_LONG = {"steps", "counts_per_update", "eval_steps"}
_HOW_OFTEN = {"summary_steps", "save_steps", "save_minutes"}
_LABELS = {"method", "hyperparameters", "labels"}
_NOT_IDENTITY = {f"train.{name}" for name in _WHERE | _HOW_LONG | _HOW_OFTEN | _LABELS}
_PRECISIONS = ("float32", "mixed_bfloat16")
_IDENTITY, _SOURCES, _ABSENT = "identity.json", "sources", "absent"
_OF_ROWS = ("reconstruction_loss", "kl", "elbo")  # measured on held-out rows and on the others
_IMAGES = "train.images_fingerprint"
WRITTEN = Written(
    {
        **results.WRITTEN,
        **exactly(*saved_model.NETWORKS, saved_model.HELD_OUT),
        "pictures": Written(exactly(*saved_model.PICTURES)),
        "summaries": Written({r"events\.out\.tfevents\.\d+\..+\.\d+\.\d+\.v2": None}),
        "checkpoints": checkpoints.WRITTEN,
        **exactly(_IDENTITY),  # last, because it says which run the checkpoints belong to
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
    sampler: Sampler | None = None,
    terms: Sequence[Term] = (),
) -> dict[str, float]:
    """Trains one model, or resumes it, and writes encoder.keras, decoder.keras and results.json.

    Where the sampler's distribution holds rows out, held_out.npy says which, bool [rows].

    Args:
        model_dir: the run's folder; a stopped run is resumed, a finished one is left as it is.
        strategy: see `strategies.make_strategy`; TensorFlow's default strategy by default.
        data_dir: folder of prepared datasets.
        overwrite: delete the files of an earlier run in `model_dir` and start again; other files
            stay.
        dataset: name, e.g. "rendered_sprites/small".
        model: called with (encoder, decoder), e.g. `@VAE`.
        encoder: called with (observation_shape, num_latent).
        decoder: called with (observation_shape, num_latent).
        num_latent: number of latent dimensions.
        steps: total number of updates (if `counts_per_update` is 1); a larger number continues a
            finished run.
        batch_size: global batch, divided among the replicas. It must not exceed the number of
            images, or half of the memory as float32. With a batch of one, the run warns if the loss
            compares rows of a batch.
        seed: weights, data and noise each have a seed derived from it.
        optimizer: called once for each part of the model, in a gin scope of the part's name
            ("vae").
        counts_per_update: how many of `steps` one update counts for. The study's code counted an
            update of FactorVAE twice, once for each network, so its 300,000 steps were 150,001
            updates; with 2 they are 150,000 here.
        method: a label for results and reports.
        hyperparameters: the method's own strengths, e.g. {"beta": 4.0}; a label too.
        labels: more labels, such as the study and the model_num in it.
        eval_steps: number of batches of the evaluation at the end.
        summary_steps: updates between TensorBoard points and between progress lines.
        save_steps: updates between checkpoints, in addition to `save_minutes`.
        save_minutes: minutes between checkpoints.
        precision: "float32" or "mixed_bfloat16".
        xla: "auto", True or False, see `strategies.use_xla`.
        sampler: what a batch is made of, see `samplers`; uniform draws by default.
        terms: further terms of the loss, such as `supervised.L2Labels`.

    Returns:
        The evaluation's means: loss, reconstruction_loss, kl, elbo, regularizer, and every term as
        "term/<name>". Where rows are held out, reconstruction_loss, kl and elbo of single images,
        also for methods of pairs, as "held_out/<name>" and, for rows that training draws, as
        "drawn/<name>". What the labelled examples say of the codes as "validation/<name>".

    Raises:
        UserError: the folder holds another run or foreign files, another process trains in it, or
            a setting does not fit.
        DlibError: the loss or a weight became NaN or infinite, the disk is full, or a network of
            the finished run has changed since.
        Interrupted: SIGTERM, Ctrl-C or the loss of another worker stopped the run; the same call
            resumes it.
    """
    check_kinds("train", locals())
    started = time.time()
    strategy = strategy or tf.distribute.get_strategy()
    save_steps = steps if save_steps is None else save_steps
    check_whole(1, train__steps=steps, train__batch_size=batch_size, train__num_latent=num_latent)
    check_whole(1, train__eval_steps=eval_steps, train__summary_steps=summary_steps)
    check_whole(1, train__save_steps=save_steps, train__counts_per_update=counts_per_update)
    check_whole(0, train__seed=seed)
    _check_settings(save_minutes, precision, batch_size, strategy.num_replicas_in_sync, terms)
    steps = -(-steps // counts_per_update)  # updates, from here on
    recipe = _Recipe(model, encoder, decoder, optimizer, num_latent, precision, terms)
    settings = {
        "train.dataset": dataset,
        "train.num_latent": num_latent,
        "train.batch_size": batch_size,
        "train.seed": seed,
        "train.precision": precision,
    }
    folder, chief = as_path(model_dir), is_chief(strategy)
    # What follows finds both as well, but only after a minute of preparing data and networks.
    if chief:
        refuse_busy(folder)
    if not overwrite:
        _refuse_other_run(folder, settings, settings)
    data = datasets.load(dataset, data_dir)
    draws = _bound(UniformSampler() if sampler is None else sampler, data, strategy)
    _check_batch(data, batch_size, draws)
    settings[_IMAGES] = data.fingerprint()
    with worker_loss_is_interruption(strategy), stop_on_signals() as stop, ExitStack() as alone:
        vae, full, optimizers = _build(strategy, data, draws, recipe, seed)
        compiled = use_xla(strategy, xla)
        engine = Engine(strategy, full, optimizers, data, seed, batch_size, compiled, draws)
        # Only now, because a mistake in the settings must not delete the earlier run.
        if chief:
            alone.enter_context(hold_folder(folder, "train", WRITTEN, overwrite))
        wait_for_all(strategy)
        _check_identity(folder, settings, chief, draws.name == "UniformSampler")
        if (values := _finished_values(folder, steps)) is not None:
            return values
        wait_for_all(strategy)
        if chief:
            _warn(full, steps, batch_size, draws)
        run = Run(engine, folder, stop, chief, steps, summary_steps, save_steps, save_minutes)
        stream = functools.partial(_batches, strategy, data, full.inputs, batch_size)
        run.train(functools.partial(stream, draws, derive_seed(seed, "data")))
        values = _evaluate(run, stream, draws, seed, eval_steps)
        if chief:
            kept = {**(labels or {}), "method": method, "hyperparameters": hyperparameters or {}}
            kept |= {name.removeprefix("train."): value for name, value in settings.items()}
            about = {"started": started, "device": describe(strategy)}
            values = _finish(folder, data, draws, recipe, vae, values, kept, **about)
    return values


class _Recipe(NamedTuple):
    """What a model is made of; see the arguments of `train`."""

    model: Callable[..., VAE]
    encoder: Callable[[Sequence[int], int], keras.Model]
    decoder: Callable[[Sequence[int], int], keras.Model]
    optimizer: Callable[[], keras.optimizers.Optimizer]
    num_latent: int
    precision: str
    terms: Sequence[Term]


def _check_settings(
    save_minutes: float, precision: str, batch_size: int, replicas: int, terms: Any
) -> None:
    """Refuses values of the right kind that mean nothing, and what is no list of terms."""
    if not save_minutes > 0:
        raise UserError(f"train.save_minutes must be a number above 0, got {save_minutes!r}")
    if precision not in _PRECISIONS:
        known = ", ".join(_PRECISIONS)
        raise UserError(f"train.precision must be one of {known}, got {precision!r}")
    if batch_size % replicas:
        raise UserError(
            f"BATCH_SIZE {batch_size} is no multiple of the {replicas} replicas; choose another"
        )
    listed = isinstance(terms, list | tuple)
    for term in terms if listed else [terms]:
        if not listed or isinstance(term, type) or not hasattr(term, "inputs"):
            raise UserError(
                "train.terms must be a list of calls of terms, such as [@XentLabels()] with its"
                f" brackets, got {terms!r}"
            )


def _evaluate(
    run: Run, stream: Callable[..., Iterable], draws: Draws, seed: int, eval_steps: int
) -> dict[str, float]:
    """The means of the evaluation, and those of held-out rows beside those of the others."""
    values = run.evaluate(stream(draws, derive_seed(seed, "evaluation data")), eval_steps)
    if draws.held_out is None:
        return values
    for name in ("drawn", "held_out"):
        rows = drawing.single_images(draws, name == "held_out")
        means = run.evaluate(stream(rows, derive_seed(seed, f"{name} rows")), eval_steps)
        values |= {f"{name}/{term}": means[term] for term in _OF_ROWS}
    return values


def _bound(
    sampler: Sampler, data: datasets.GroundTruthDataset, strategy: tf.distribute.Strategy
) -> Draws:
    """A sampler's draws from a dataset; only uniform ones where records are streamed."""
    if needs_records(strategy) and not isinstance(sampler, UniformSampler):
        raise UserError(
            f"train.sampler is {type(sampler).__name__}, but the hosts of this pod slice run no"
            " Python and stream records, which they draw uniformly; train on one host, or use"
            " UniformSampler"
        )
    draws = None if isinstance(sampler, type) or not callable(sampler) else sampler(data)
    if not isinstance(draws, Draws):
        raise UserError(
            "train.sampler must be a call of a sampler, such as @PairSampler() with its brackets,"
            f" got {sampler!r}"
        )
    if draws.probabilities is None and gin_utils.is_bound("GridDistribution", "parts"):
        raise UserError(
            f"GridDistribution.parts is bound, but {type(sampler).__name__} draws uniformly; give"
            " the distribution's file after the model's, or bind SAMPLER = @WeightedSampler()"
        )
    return dataclasses.replace(draws, name=type(sampler).__name__)


def _refuse_missing(draws: Draws, reader: Any) -> None:
    """Refuses a sampler that does not give what a model or a term reads."""
    name = type(reader).__name__
    missing = [one for one in reader.inputs if one not in (*draws.images, *draws.extras)]
    pairs = getattr(reader, "pairs", False)
    if pairs and not draws.pairs:
        missing = ["image_2", "changed"]
    if missing:
        kinds = (UniformSampler, WeightedSampler, PairSampler, TransitionSampler, LabelledSampler)
        givers = [f"@{kind.__name__}()" for kind in kinds if set(missing) <= set(kind.gives)]
        remedy = f"; bind train.sampler = {' or '.join(givers)}" if givers else ""
        what = "pairs of images" if pairs else ", ".join(missing)
        raise UserError(f"{name} reads {what}, which {draws.name} does not give{remedy}")
    if "image_2" in reader.inputs and draws.pairs and not pairs:
        raise UserError(
            f"{name} reads a second, independent image, and {draws.name} gives pairs; use another"
            " sampler, or leave the second image out"
        )


def _check_batch(data: datasets.GroundTruthDataset, batch_size: int, draws: Draws) -> None:
    """Refuses a batch of more images than exist, or of more than half of this machine's memory.

    A training step holds several copies of a batch, and the networks' activations.
    """
    held_out = draws.held_out
    rows = len(data.table) - (0 if held_out is None else int(held_out.sum()))
    if batch_size > rows:
        left = "" if held_out is None else f" left by {draws.facts.get('distribution')!r}"
        raise UserError(
            f"train.batch_size is {batch_size:,}, more than the {rows:,} images of {data.name}"
            f"{left}; lower BATCH_SIZE (the study's is 64)"
        )
    needed = 4 * batch_size * math.prod(data.observation_shape)  # float32
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory / 2:
        raise UserError(
            f"train.batch_size is {batch_size:,}: one batch of images takes {needed / 1e9:.3g} GB,"
            f" more than half of the memory, {memory / 1e9:.3g} GB; lower BATCH_SIZE (the study's"
            " is 64)"
        )


def _warn(vae: VAE | WithTerms, steps: int, batch_size: int, draws: Draws) -> None:
    """Warns about settings that are allowed but defeat what the method does."""
    if steps < vae.schedule_steps:
        print(
            f"warning: the run ends at update {steps:,}, the loss's schedule at"
            f" {vae.schedule_steps:,}: the final strength is never reached; raise STEPS, or shorten"
            " the schedule (ITERATION_THRESHOLD)",
            file=sys.stderr,
        )
    if (same := draws.facts.get("identical_pairs", 0)) > 0.05:
        print(
            f"warning: in {same:.0%} of the pairs both images are one: the distribution leaves few"
            " rows that differ in so few factors; raise PairSampler.k, or hold out less",
            file=sys.stderr,
        )
    if batch_size == 1 and vae.batch_of_one:
        print(
            f"warning: a batch of one: {vae.batch_of_one}; raise BATCH_SIZE (the study's is 64)",
            file=sys.stderr,
        )


def _build(
    strategy: tf.distribute.Strategy,
    data: datasets.GroundTruthDataset,
    draws: Draws,
    recipe: _Recipe,
    seed: int,
) -> tuple[VAE, VAE | WithTerms, dict[str, keras.optimizers.Optimizer]]:
    """The model, the same with its terms, and its built optimizers, made in the strategy's scope
    from the run's seed.
    """
    # Keras initialisers draw from global state; only this line seeds it.
    keras.utils.set_random_seed(derive_seed(seed, "weights"))
    optimizers = {}
    num_latent, terms = recipe.num_latent, recipe.terms
    with strategy.scope(), _precision(recipe.precision):
        image, code = tuple(data.observation_shape), (num_latent,)
        networks = recipe.encoder(image, num_latent), recipe.decoder(image, num_latent)
        _check_network("encoder", networks[0], [image], [code, code])
        _check_network("decoder", networks[1], [code], [image])
        vae = recipe.model(*networks)
        for reader in (vae, *terms):
            _refuse_missing(draws, reader)
        full = with_terms(vae, terms, num_latent, draws.sizes)
        for name, part in full.parts(()).items():
            with gin.config_scope(name):
                optimizers[name] = recipe.optimizer()
            optimizers[name].build(part.variables)
    return vae, full, optimizers


def _check_network(name: str, network: Any, takes: list[tuple], gives: list[tuple]) -> None:
    """Refuses a network unless it has these input and output shapes, without the batch."""
    if not isinstance(network, keras.Model):
        raise UserError(f"train.{name} must make a keras.Model, got {network!r}")
    inputs, outputs = getattr(network, "inputs", None), getattr(network, "outputs", None)
    if inputs is None or outputs is None:
        return  # a subclass of keras.Model may not know its shapes
    found = [[tuple(tensor.shape[1:]) for tensor in side] for side in (inputs, outputs)]
    if found != [takes, gives]:
        shown = [" and ".join(map(str, side)) for side in (*found, takes, gives)]
        raise UserError(
            "train.{} made a network from {} to {}; expected one from {} to {}".format(name, *shown)
        )


def _batches(
    strategy: tf.distribute.Strategy,
    data: datasets.GroundTruthDataset,
    inputs: Sequence[str],
    batch_size: int,
    draws: Draws,
    seed: int,
    start: int = 0,
) -> Iterable:
    """The stream of batches from step `start` on, each cut into one slice per replica."""

    def slices(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = strategy.num_replicas_in_sync
        hosts, host = max(1, context.num_input_pipelines), context.input_pipeline_id
        if needs_records(strategy):
            return _records(data, inputs, batch_size, seed, hosts, host, replicas // hosts)
        local = range(host * replicas // hosts, (host + 1) * replicas // hosts)
        # The stream never ends, but TensorFlow knows only of `repeat` that it is infinite. With
        # several workers tf.distribute would otherwise expect a last, partial batch, and lose the
        # static shapes that noise and XLA need.
        return data.train_batches(batch_size, seed, start, replicas, local, draws, inputs).repeat()

    return strategy.distribute_datasets_from_function(slices)


def _records(data, inputs, batch_size, seed, hosts, host, replicas_per_host) -> tf.data.Dataset:
    """Uniform batches of records; each name of `inputs` is an independent stream of images."""
    first, *others = (
        data.record_batches(batch_size, drawing.seed_of(seed, name), hosts, host, replicas_per_host)
        for name in inputs
    )
    if not others:
        return first
    return tf.data.Dataset.zip((first, *others)).map(
        lambda one, *more: {
            **one,
            **{name: part["image"] for name, part in zip(inputs[1:], more, strict=True)},
        }
    )


def _write_held_out(folder: AnyPath, draws: Draws) -> list[str]:
    """Writes which rows were held out; returns the names of the files."""
    path = folder / saved_model.HELD_OUT
    if draws.held_out is None:
        path.unlink(missing_ok=True)
        return []
    with atomic_write(path) as file:
        np.save(file, draws.held_out)
    return [saved_model.HELD_OUT]


def _validation(folder, data, draws, seed) -> tuple[dict[str, float], list[dict[str, str]]]:
    """What the labelled examples alone say of the codes of the exported encoder, and what makes
    these scores mean less.
    """
    if (known := draws.labelled) is None:
        return {}, []
    encoder, parts = load_network(folder, "encoder"), []
    for first in range(0, len(known.point), 100):
        images = data.images(known.point[first : first + 100])
        parts.append(encoder(np.asarray(images, np.float32) / data.scale)[0])
    mean = np.concatenate(parts)
    rng = generator(seed, "validation")
    with collecting() as found:
        scores = labelled.scores(mean, known.labels, known.num_train, rng)
    names = draws.facts["labelled_factors"]
    told = [
        {
            "kind": one.kind,
            "text": "validation: "
            + re.sub(r"factor_(\d+)", lambda number: names[int(number[1])], one.text),
        }
        for one in found
    ]
    for warning in told:
        print(f"warning: {warning['text']}", file=sys.stderr)
    return {f"validation/{name}": value for name, value in scores.items()}, told


def _check_identity(
    folder: AnyPath, settings: Mapping[str, Any], chief: bool, uniform: bool
) -> None:
    """Refuses a folder of another run; writes this run's identity to a new folder."""
    used = gin_utils.operative_bindings().items()
    identity = {key: value for key, value in used if key not in _NOT_IDENTITY}
    if uniform:  # the default, which older runs do not know by a name
        identity = {
            key: value
            for key, value in identity.items()
            if key != "train.sampler" and "UniformSampler." not in key
        }
    identity |= {**settings, _SOURCES: sources.of_text(gin_utils.operative_text())}
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
        raise DlibError(f"{path} is damaged ({error}); start again with --overwrite") from error
    here = json.loads(json.dumps(here))
    sources_there, sources_here = there.pop(_SOURCES, None), here.pop(_SOURCES, {})
    differing = sorted(
        key for key in keys or {*there, *here} if there.get(key, _ABSENT) != here.get(key, _ABSENT)
    )
    # A parameter that an older version did not have changes nothing by its default.
    unset = [key for key in differing if key not in there and here[key] in (None, False, [])]
    differing = [key for key in differing if key not in unset]
    if _IMAGES not in there and _IMAGES in differing:
        differing.remove(_IMAGES)  # older runs know only the name of their dataset
    if differing == [_IMAGES]:
        raise UserError(
            f"{folder} was trained on other images than {here['train.dataset']} holds now"
            f" (fingerprint {there[_IMAGES][:12]} there and {here[_IMAGES][:12]} here); restore"
            " them, choose another --model_dir, or --overwrite to delete that run"
        )
    if differing:
        both = [(key, there.get(key, _ABSENT), here.get(key, _ABSENT)) for key in differing]
        shown = few([f"{key} is {theirs} there and {ours} here" for key, theirs, ours in both])
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
    damaged = [name for name in saved_model.NETWORKS if not is_whole(folder / name)]
    if saved_model.HELD_OUT in record.get("sha256", {}):
        damaged += [] if (folder / saved_model.HELD_OUT).is_file() else [saved_model.HELD_OUT]
    if damaged:
        print(
            f"{folder} is trained, but {' and '.join(damaged)} missing or damaged: written again",
            file=sys.stderr,
        )
        return None
    saved_model.check_unchanged(folder, record)
    print(f"{folder} is already trained ({values['steps']:,} steps); nothing to do")
    return values


def _finish(
    folder: AnyPath,
    data: datasets.GroundTruthDataset,
    draws: Draws,
    recipe: _Recipe,
    vae: VAE,
    values: dict[str, float],
    kept: dict[str, Any],
    **about: Any,
) -> dict[str, float]:
    """Writes both networks, the held-out rows and the record; returns its values."""
    # The record of a shorter run no longer describes both networks.
    (folder / "results.json").unlink(missing_ok=True)
    shape, num_latent = data.observation_shape, recipe.num_latent
    _export(folder, "encoder", recipe.encoder(shape, num_latent), vae.encoder)
    _export(folder, "decoder", recipe.decoder(shape, num_latent), vae.decoder)
    scores, told = _validation(folder, data, draws, kept["seed"])
    values = values | scores
    files = [*saved_model.NETWORKS, *_write_held_out(folder, draws)]
    trained = not (vae.detach and getattr(vae.regularizer, "beta", 1) == 0)
    kept = kept | {"activation": vae.activation, "posterior_trained": trained}
    kept["sampler"] = {"name": draws.name, **draws.facts}
    results.write_step(folder, "train", values, labels=kept, files=files, warnings=told, **about)
    return values


def _export(folder: AnyPath, name: str, network: keras.Model, trained: keras.Model) -> None:
    """Saves trained weights as `<name>.keras`, in a network made in float32 under no strategy."""
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
