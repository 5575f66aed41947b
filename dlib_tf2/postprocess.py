"""The postprocessing stage: one pass of the encoder over every grid point, from which every representation is derived."""

import json
import os
import pathlib
import time
from collections.abc import Sequence

import gin
import keras
import numpy as np
import tensorflow as tf

from dlib_tf2 import datasets, gin_utils, representation, results
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.files import claim_folder
from dlib_tf2.progress import Progress
from dlib_tf2.saved_model import load_network


@gin.configurable
def postprocess(
    model_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
    representations: Sequence[str] = ("mean", "sampled"),
    batch_size: int = 512,
    seed: int = 0,
) -> None:
    """Writes `<output_dir>/posterior.npz` and, for each name, `<output_dir>/<name>/representation.npz`.

    Args:
        model_dir: folder of a finished training run.
        output_dir: a folder for the posterior with one folder per representation; what is there already is kept.
        data_dir: where prepared datasets lie.
        overwrite: make everything anew.
        representations: names, see `representation.derive`.
        batch_size: images per call of the encoder.
        seed: of representations that draw numbers.

    Raises:
        UserError: `model_dir` holds no finished run, or `output_dir` was made from another one.
    """
    started = time.time()
    made_from = _read_training(model_dir)
    folder = claim_folder(output_dir, overwrite)
    if not results.is_complete(folder):
        posterior = encode_all(model_dir, results.label(made_from, "dataset"), data_dir, batch_size)
        posterior.save(folder / "posterior.npz")
        values = {"grid_points": len(posterior.mean), "latent_kl": _latent_kl(posterior)}
        results.write_step(folder, "posterior", values, started=started, previous=made_from)
    _check_same_model(folder, made_from)
    for name in representations:
        _write_representation(folder, name, seed)


def encode_all(model_dir: str | os.PathLike, dataset: str, data_dir: str | os.PathLike | None, batch_size: int) -> representation.Posterior:
    """Encodes every grid point of a dataset, in grid order, in float32 whatever the policy of the training.

    Args:
        model_dir: folder with `encoder.keras`.
        dataset: name of the dataset.
        data_dir: where prepared datasets lie.
        batch_size: images per call.

    Returns:
        Means and log-variances [n, d] beside the visible factors.
    """
    data = datasets.load(dataset, data_dir)
    encoder = load_network(model_dir, "encoder")
    if tuple(encoder.input_shape[1:]) != tuple(data.observation_shape):
        raise UserError(f"the encoder in {model_dir} takes images {encoder.input_shape[1:]}, {dataset} has {data.observation_shape}")
    encode = _make_encode(encoder, data.scale)
    num_points, num_latent = data.space.size, encoder.output_shape[0][1]
    mean, log_variance = np.empty((2, num_points, num_latent), np.float32)
    progress, done = Progress("image", num_points), 0
    for images, index in data.table_batches(batch_size):
        rows = index.numpy()
        mean[rows], log_variance[rows] = (output.numpy() for output in encode(images))
        done += len(rows)
        progress.report(done, every_seconds=2.0)
    factors = data.visible_factors(np.arange(num_points))
    sizes = tuple(data.space.sizes[data.space.names.index(name)] for name in data.visible)
    return representation.Posterior(mean, log_variance, factors, data.visible, sizes)


def _make_encode(encoder: keras.Model, scale: float):
    @tf.function(reduce_retracing=True)
    def encode(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mean, log_variance = encoder(tf.cast(images, tf.float32) / scale)
        return tf.cast(mean, tf.float32), tf.cast(log_variance, tf.float32)

    return encode


def _read_training(model_dir: str | os.PathLike) -> dict:
    if not (pathlib.Path(model_dir) / "results.json").is_file():
        raise UserError(f"{model_dir} holds no finished training run; finish it with dlib_train --model_dir={model_dir}")
    record = results.read_step(model_dir)
    if record["step"] != "train":
        raise UserError(f"{model_dir} was written by the step {record['step']!r}, expected a folder of dlib_train")
    return record


def _check_same_model(folder: pathlib.Path, made_from: dict) -> None:
    there = results.read_step(folder)["made_from"]
    if json.dumps(there) != json.dumps(made_from):
        raise UserError(
            f"{folder} was made from {there['folder']} as trained at {there['finished']}, not from this model as it is now "
            f"({made_from['folder']}, {made_from['finished']}); choose another --output_dir, or make it anew with --overwrite"
        )


def _write_representation(folder: pathlib.Path, name: str, seed: int) -> None:
    started, target = time.time(), folder / name
    if results.is_complete(target):
        kept = results.read_step(target)["values"]["seed"]
        if kept != seed:
            raise UserError(f"{target} was made with seed {kept}, not {seed}; choose another --output_dir, or use --overwrite")
        print(f"{target} is there; nothing to do")
        return
    table = representation.derive(representation.Posterior.load(folder / "posterior.npz"), name, seed)
    claim_folder(target)
    table.save(target / "representation.npz")
    values = {"rows": len(table.codes), "num_latent": table.codes.shape[1], "seed": seed}
    results.write_step(
        target,
        "postprocess",
        values,
        started=started,
        previous=results.read_step(folder),
        labels={"representation": name},
        config_text=gin_utils.operative_text(),
    )
    print(target / "representation.npz")


def _latent_kl(posterior: representation.Posterior) -> list[float]:
    mean, log_variance = posterior.mean, posterior.log_variance
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).mean(axis=0, dtype=np.float64)
    if not np.isfinite(kl).all():
        raise DlibError("the encoder's log-variances overflow; the model has diverged, train it again")
    return kl.tolist()
