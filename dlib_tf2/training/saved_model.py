"""A trained model as its folder describes it: the two networks and the record of how they were
made.
"""

import os
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras

from dlib_tf2.errors import DlibError, UserError, first_line
from dlib_tf2.records import results
from dlib_tf2.system.files import atomic_write, sync_folder
from dlib_tf2.system.paths import AnyPath, RemotePath, as_path, local_copy

NETWORKS = ("encoder.keras", "decoder.keras")
PICTURES = ("reconstructions.png", "traversals.png")  # in the folder "pictures"
LEFTOVERS = r"\.(?:encoder|decoder)\.\d+\.keras"  # temporary files: Keras wants this ending


class SavedModel(NamedTuple):
    """What `load` returns."""

    encoder: keras.Model
    decoder: keras.Model
    record: dict[str, Any]


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
    """Whether a network's file is there and not cut off."""
    if not path.is_file():
        return False
    with local_copy(path) as local:
        return zipfile.is_zipfile(local)


def check_unchanged(
    folder: AnyPath, record: Mapping[str, Any], names: Sequence[str] = NETWORKS
) -> None:
    """Refuses networks whose bytes are not those that training wrote.

    Files that do not exist pass, and so do records made before they kept the hashes.

    Raises:
        DlibError: a file has changed.
    """
    for name in results.changed_files(folder, record, names):
        raise DlibError(
            f"{folder / name} is not the file that training wrote: its bytes have changed; move it "
            "away and run dlib_train again, which writes it from the last checkpoint"
        )


def load_network(model_dir: str | os.PathLike, name: str) -> keras.Model:
    """Loads `<model_dir>/<name>.keras` in Keras' safe mode.

    Raises:
        UserError: there is no such file.
        DlibError: the file is damaged.
    """
    path = as_path(model_dir) / f"{name}.keras"
    # A finished run is not trained again; without its record it is: from the last checkpoint, so
    # only the end is repeated.
    remedy = (
        f"delete {as_path(model_dir) / 'results.json'} and run dlib_train again, which writes it"
        " from the last checkpoint"
    )
    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy}")
    try:
        with local_copy(path) as local:
            return keras.saving.load_model(local, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, json, h5py and Keras each raise their own
        raise DlibError(f"{path} is damaged ({first_line(error)}); {remedy}") from error


def load(model_dir: str | os.PathLike) -> SavedModel:
    """Loads a trained model.

    Raises:
        UserError: the folder holds no finished run.
        DlibError: a file is damaged.
    """
    record = results.read_training(model_dir)
    check_unchanged(as_path(model_dir), record)
    return SavedModel(
        load_network(model_dir, "encoder"), load_network(model_dir, "decoder"), record
    )
