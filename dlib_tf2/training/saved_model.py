"""A trained model in its folder: the two networks and the record of how they were made."""

import os
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.errors import DlibError, UserError, first_line
from dlib_tf2.models.reconstruction import pixel_means
from dlib_tf2.records import results
from dlib_tf2.system.files import atomic_write, sync_folder
from dlib_tf2.system.paths import AnyPath, RemotePath, as_path, local_copy

NETWORKS = ("encoder.keras", "decoder.keras")
HELD_OUT = "held_out.npy"  # bool [rows of the dataset], where training never drew some
PICTURES = ("reconstructions.png", "traversals.png")  # in the folder "pictures"
LEFTOVERS = r"\.(?:encoder|decoder)\.\d+\.keras"  # temporary; Keras demands this ending


class SavedModel(NamedTuple):
    """What `load` returns.

    Attributes:
        encoder: images [n, h, w, c] in 0..1 -> (mean [n, d], log_variance [n, d]).
        decoder: codes [n, d] -> outputs [n, h, w, c], logits for most models.
        record: of the training: values, labels, versions, configuration.
    """

    encoder: keras.Model
    decoder: keras.Model
    record: dict[str, Any]

    def encode(self, images: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Encodes images [n, h, w, c] in 0..1: mean and log-variance of the posterior, [n, d] each.

        Raises:
            UserError: values outside of 0..1.
        """
        pixels = np.asarray(images, np.float32)
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise UserError(
                f"images have values {pixels.min():g} to {pixels.max():g}, expected 0 to 1; divide"
                " them by the dataset's scale"
            )
        mean, log_variance = self.encoder.predict(pixels, batch_size=256, verbose=0)
        return mean, log_variance

    def decode(self, codes: ArrayLike) -> NDArray[np.float32]:
        """Decodes codes [n, d]: pixel means [n, h, w, c] in 0..1, by the map of the training."""
        output = self.decoder.predict(np.asarray(codes, np.float32), batch_size=256, verbose=0)
        return pixel_means(output, results.label(self.record, "activation", "logits")).numpy()


def save_network(folder: AnyPath, name: str, network: keras.Model) -> None:
    """Writes `<folder>/<name>.keras`, whole or not at all.

    Raises:
        DlibError: the disk is full, or the folder cannot be written.
    """
    try:
        if isinstance(folder, RemotePath):  # Keras writes local files only
            with tempfile.TemporaryDirectory() as local:
                network.save(saved := pathlib.Path(local) / f"{name}.keras")
                with atomic_write(folder / f"{name}.keras") as file, open(saved, "rb") as content:
                    shutil.copyfileobj(content, file)
        else:
            _save_locally(pathlib.Path(folder), name, network)
    except OSError as error:
        raise DlibError(
            f"cannot write {folder / name}.keras ({error}); free space and run again: training is"
            " saved"
        ) from error


def _save_locally(folder: pathlib.Path, name: str, network: keras.Model) -> None:
    temporary = folder / f".{name}.{os.getpid()}.keras"
    try:
        network.save(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, folder / f"{name}.keras")
        sync_folder(folder)
    finally:
        temporary.unlink(missing_ok=True)


def is_whole(path: AnyPath) -> bool:
    """Whether a network's file exists and is not cut off."""
    if not path.is_file():
        return False
    with local_copy(path) as local:
        return zipfile.is_zipfile(local)


def check_unchanged(
    folder: AnyPath, record: Mapping[str, Any], names: Sequence[str] = NETWORKS
) -> None:
    """Refuses networks that have other bytes than training wrote.

    Files that do not exist pass, and so do all files of older records, which hold no hashes.

    Raises:
        DlibError: a file has changed.
    """
    for name in results.changed_files(folder, record, names):
        raise DlibError(
            f"{folder / name} is not the file that training wrote: its bytes have changed; move it"
            " away and run dlib_train again, which writes it from the last checkpoint"
        )


def load_network(model_dir: str | os.PathLike, name: str) -> keras.Model:
    """Loads `<model_dir>/<name>.keras` in Keras' safe mode.

    Raises:
        UserError: there is no such file.
        DlibError: the file is damaged.
    """
    path, record = as_path(model_dir) / f"{name}.keras", as_path(model_dir) / "results.json"
    # Without its record a run is not finished: it resumes, and repeats only the end.
    remedy = f"delete {record} and run dlib_train again, which writes it from the last checkpoint"
    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy}")
    try:
        with local_copy(path) as local:
            return keras.saving.load_model(local, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, json, h5py and Keras each raise their own
        raise DlibError(f"{path} is damaged ({first_line(error)}); {remedy}") from error


def load(model_dir: str | os.PathLike) -> SavedModel:
    """Loads a trained model.

    Args:
        model_dir: the folder that `dlib_train` wrote.

    Raises:
        UserError: the folder holds no finished run.
        DlibError: a file is damaged.

    Examples:
        The model of `make quickstart`, which has ten latents:

        >>> import dlib_tf2
        >>> model = dlib_tf2.load_model("output/quickstart/model")
        >>> data = dlib_tf2.load_dataset("rendered_sprites/small")
        >>> mean, log_variance = model.encode(data.images([0, 1, 2]) / data.scale)
        >>> mean.shape, model.decode(mean).shape
        ((3, 10), (3, 64, 64, 1))
    """
    record = results.read_training(model_dir)
    check_unchanged(as_path(model_dir), record)
    encoder, decoder = (load_network(model_dir, name) for name in ("encoder", "decoder"))
    return SavedModel(encoder, decoder, record)
