"""The postprocessing stage: one pass of the encoder over the grid gives every representation."""

import dataclasses
import inspect
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import gin
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dlib_tf2 import datasets, seeds
from dlib_tf2.configuration import sources
from dlib_tf2.errors import DlibError, UserError, check_names, check_whole, first_line
from dlib_tf2.records import results
from dlib_tf2.representations import representation, table
from dlib_tf2.system.folders import Written, claim_folder, exactly, hold_folder
from dlib_tf2.system.paths import AnyPath, as_path, local_copy
from dlib_tf2.system.progress import Progress
from dlib_tf2.training import saved_model
from dlib_tf2.training.saved_model import HELD_OUT, load_network
from dlib_tf2.training.strategies import describe

T = TypeVar("T", representation.Representation, representation.Posterior)
_REPRESENTATION = Written({**results.WRITTEN, **exactly("representation.npz")}, step="postprocess")


@gin.configurable
def postprocess(
    model_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
    representations: Sequence[str] = ("mean", "sampled"),
    batch_size: int = 1024,
    seed: int = 0,
) -> None:
    """Writes posterior.npz, and <name>/representation.npz for each name, into `output_dir`.

    Of a training that held out rows, each table marks them (`held_out`), and its record counts them
    (`held_out_rows`).

    Args:
        model_dir: folder of a finished training run.
        output_dir: folder for the posterior and one folder per representation; existing ones are
            kept.
        data_dir: folder of prepared datasets.
        overwrite: make everything again. Files of other names stay, and so do folders of
            representations that are neither asked for nor registered.
        representations: names, see `representation.derive`.
        batch_size: images per call of the encoder.
        seed: seed of representations that draw numbers.

    Raises:
        UserError: `model_dir` holds no finished run, `output_dir` was made from another one or
            another process works in it, a representation is unknown or was made with other
            settings, or the dataset holds other images than the model was trained on.
        DlibError: a file or a table of images is damaged, a file cannot be written, the encoder has
            changed since it was trained, or the training's held_out.npy is missing or has.
    """
    check_names("postprocess.representations", representations, "mean")
    made_from = results.read_training(model_dir)
    if "sampled" in representations and not results.label(made_from, "posterior_trained", True):
        raise UserError(
            f"the log-variances of {model_dir} were never trained (VAE.detach), so sampled codes"
            " mean nothing; use --representations=mean"
        )
    # These two refuse a mistake before anything is deleted, and before the long pass.
    opened = _open_data(model_dir, made_from, data_dir) if overwrite else None
    settings = {name: _settings(name, seed) for name in representations}
    names = (*representation.known(), *representations)
    folders = {re.escape(name): _REPRESENTATION for name in names}
    written = Written({**results.WRITTEN, **exactly("posterior.npz"), **folders})
    with hold_folder(output_dir, "posterior", written, overwrite, keep=[model_dir]) as folder:
        posterior = _saved_posterior(folder, made_from)
        if posterior is None:
            saved_model.check_unchanged(as_path(model_dir), made_from, ["encoder.keras"])
            opened = opened or _open_data(model_dir, made_from, data_dir)
            posterior = _encode_into(folder, model_dir, opened, batch_size, made_from)
        for name in representations:
            _write_representation(folder, name, seed, posterior, settings[name])


def _saved_posterior(folder: AnyPath, made_from: dict) -> representation.Posterior | None:
    """The posterior of an earlier run; None if it is missing or damaged."""
    if not results.is_complete(folder):
        return None
    there = results.read_step(folder)["made_from"]
    if json.dumps(there) != json.dumps(made_from):
        raise UserError(
            f"{folder} was made from {there['folder']} as trained at {there['finished']}, not from"
            f" this model as it is now ({made_from['folder']}, {made_from['finished']}); choose"
            " another --output_dir, or make it again with --overwrite"
        )
    return _load_or_none(representation.Posterior, folder, "posterior.npz")


def _open_data(
    model_dir, made_from: dict, data_dir
) -> tuple[datasets.GroundTruthDataset, str, NDArray[np.bool_] | None]:
    """The images that a model was trained on, their fingerprint, and which of the grid points to
    encode its training never drew.

    Raises:
        UserError: the dataset of this name holds other images now. Runs of older versions know only
            the name.
        DlibError: the file of held-out rows is missing, or not the one that training wrote.
    """
    data = datasets.load(results.label(made_from, "dataset"), data_dir)
    here, there = data.fingerprint(), results.label(made_from, "images_fingerprint")
    if there not in (None, here):
        raise UserError(
            f"{model_dir} was trained on other images than {data.name} holds now (fingerprint"
            f" {there[:12]} there and {here[:12]} here); restore them, or train the model again"
        )
    return data, here, _held_out(as_path(model_dir), made_from, data)


def _held_out(
    model_dir: AnyPath, made_from: dict, data: datasets.GroundTruthDataset
) -> NDArray[np.bool_] | None:
    """Which grid points of `data.table_index()` training never drew, bool [n]; None if it held out
    none.
    """
    if HELD_OUT not in (made_from.get("sha256") or {}):
        return None
    path, remedy = model_dir / HELD_OUT, "put it back, or train the model again in a new folder"
    if not path.is_file():
        raise DlibError(f"{path} is missing, which says what rows training held out; {remedy}")
    if results.changed_files(model_dir, made_from, [HELD_OUT]):
        raise DlibError(
            f"{path} is not the file that training wrote: its bytes have changed; {remedy}"
        )
    try:
        with local_copy(path) as local:
            mask = table.checked_mask(HELD_OUT, np.load(local, allow_pickle=False), len(data.table))
    except (OSError, EOFError, ValueError, UserError) as error:
        raise DlibError(
            f"{path} is no mask of the rows of {data.name} ({first_line(error)}); {remedy}"
        ) from error
    # rows of an incomplete grid are its table; those of a complete one are numbered by grid point
    return mask if data.cells is not None else mask[data.table_index()]


def _encode_into(folder, model_dir, opened, batch_size, made_from) -> representation.Posterior:
    started, (data, images, held_out) = time.time(), opened
    posterior = dataclasses.replace(encode_all(model_dir, data, batch_size), held_out=held_out)
    values = {"grid_points": len(posterior.mean), "latent_kl": _latent_kl(posterior)}
    values |= _held_out_rows(posterior)
    posterior.save(folder / "posterior.npz")
    device = describe(tf.distribute.get_strategy())
    about: dict[str, Any] = {"started": started, "previous": made_from, "device": device}
    about |= {"labels": {"images_fingerprint": images}, "files": ["posterior.npz"]}
    results.write_step(folder, "posterior", values, **about)
    return posterior


def encode_all(
    model_dir: str | os.PathLike, data: datasets.GroundTruthDataset, batch_size: int
) -> representation.Posterior:
    """Encodes the whole grid in order, in float32 even if training had another precision.

    Args:
        model_dir: folder with `encoder.keras`.
        data: the dataset.
        batch_size: images per call.

    Returns:
        Means and log-variances [n, d] with the visible factors.
    """
    check_whole(1, postprocess__batch_size=batch_size)
    encoder = load_network(model_dir, "encoder")
    takes, has = tuple(encoder.input_shape[1:]), tuple(data.observation_shape)
    if takes != has:
        raise UserError(f"the encoder in {model_dir} takes images {takes}, {data.name} has {has}")
    encode = _make_encode(encoder, data.scale)
    index = data.table_index()
    num_points, num_latent = len(index), encoder.output_shape[0][1]
    mean, log_variance = np.empty((2, num_points, num_latent), np.float32)
    progress, done = Progress("image", num_points), 0
    for images, _ in data.table_batches(batch_size):
        rows = slice(done, done + len(images))
        mean[rows], log_variance[rows] = (output.numpy() for output in encode(images))
        done = rows.stop
        progress.advance(len(images))
    progress.finish()
    factors = data.visible_factors(index)
    sizes = tuple(data.space.sizes[data.space.names.index(name)] for name in data.visible)
    return representation.Posterior(mean, log_variance, factors, data.visible, sizes)


def _make_encode(encoder: keras.Model, scale: float):
    @tf.function(reduce_retracing=True)
    def encode(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mean, log_variance = encoder(tf.cast(images, tf.float32) / scale)
        return tf.cast(mean, tf.float32), tf.cast(log_variance, tf.float32)

    return encode


def _settings(name: str, seed: int) -> dict[str, Any]:
    """What a representation depends on besides the posterior: seed and parameters."""
    seeds.generator(seed, name)  # refuses an invalid seed
    parameters = inspect.signature(representation.find(name)).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
    settings = {"seed": seed, **defaults, **gin.get_bindings(f"{name}_representation")}
    return json.loads(json.dumps(settings, default=repr))  # as it is read back from a record


def _write_representation(
    folder: AnyPath, name: str, seed: int, posterior: representation.Posterior, settings: dict
) -> None:
    started, target = time.time(), folder / name
    here = sources.of_names([f"{name}_representation"])
    if _is_made_from(folder, target):
        record = results.read_step(target)
        _refuse_other_settings(target, record, settings, here)
        print(f"{target} is there; nothing to do")
        return
    made = representation.derive(posterior, name, seed)
    claim_folder(target, "postprocess")
    made.save(target / "representation.npz")
    values = {"rows": len(made.codes), "num_latent": made.codes.shape[1], **settings}
    values |= _held_out_rows(made)
    about: dict[str, Any] = {"started": started, "previous": results.read_step(folder)}
    about |= {"labels": {"representation": name}, "files": ["representation.npz"]}
    results.write_step(target, "postprocess", values, named=[f"{name}_representation"], **about)
    print(target / "representation.npz")


def _is_made_from(folder: AnyPath, target: AnyPath) -> bool:
    """Whether a representation is whole, and made from the posterior now in the folder."""
    if not results.is_complete(target):
        return False
    if json.dumps(results.read_step(target)["made_from"]) != json.dumps(results.read_step(folder)):
        return False
    return _load_or_none(representation.Representation, target, "representation.npz") is not None


def _refuse_other_settings(target: AnyPath, record: dict, settings: dict, here: dict) -> None:
    both = [(key, record["values"].get(key), now) for key, now in settings.items()]
    other = [f"with {key} {then}, not {now}" for key, then, now in both if then != now]
    if changed := sources.change(record.get("sources"), here):
        other.append(f"in another way: {changed}")
    if other:
        remedy = "choose another --output_dir, or use --overwrite"
        raise UserError(f"{target} was made {other[0]}; {remedy}")


def _load_or_none(kind: type[T], folder: AnyPath, name: str) -> T | None:
    """Reads a table; reports one that is missing, damaged or changed, and returns None."""
    try:
        found = kind.load(folder / name)
        if results.changed_files(folder, results.read_step(folder), [name]):
            raise DlibError(f"{folder / name} is not the file that dlib_postprocess wrote")
        return found
    except DlibError as error:
        print(f"{error}: making it again", file=sys.stderr)
        return None


def _held_out_rows(
    made: representation.Representation | representation.Posterior,
) -> dict[str, int]:
    """How many rows of a table training held out; nothing if it held out none."""
    return {} if made.held_out is None else {"held_out_rows": int(made.held_out.sum())}


def _latent_kl(posterior: representation.Posterior) -> list[float]:
    mean, log_variance = posterior.mean, posterior.log_variance
    with np.errstate(over="ignore"):  # the next lines report it
        terms = mean**2 + np.exp(log_variance) - log_variance - 1
        kl = 0.5 * terms.mean(axis=0, dtype=np.float64)
    if not np.isfinite(kl).all():
        raise DlibError(
            "the encoder's codes or log-variances overflow; the model has diverged, train it again"
        )
    return kl.tolist()
