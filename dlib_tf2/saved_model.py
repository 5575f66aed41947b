"""A trained model as its folder describes it: the two networks and the record of how they were made."""

import os
import pathlib
from typing import Any, NamedTuple

import keras

from dlib_tf2 import results
from dlib_tf2.errors import DlibError, UserError


class SavedModel(NamedTuple):
    """What `load` returns."""

    encoder: keras.Model
    decoder: keras.Model
    record: dict[str, Any]


def load_network(model_dir: str | os.PathLike, name: str) -> keras.Model:
    """Loads `<model_dir>/<name>.keras` in Keras' safe mode.

    Raises:
        UserError: there is no such file.
        DlibError: the file is damaged.
    """
    path = pathlib.Path(model_dir) / f"{name}.keras"
    # A finished run is not trained again; without its record it is: from the last checkpoint, so only the end is repeated.
    remedy = f"delete {pathlib.Path(model_dir) / 'results.json'} and run dlib_train again, which writes it from the last checkpoint"
    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy}")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, json, h5py and Keras each raise their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DlibError(f"{path} is damaged ({reason}); {remedy}") from error


def load(model_dir: str | os.PathLike) -> SavedModel:
    """Loads a trained model.

    Raises:
        UserError: the folder holds no finished run.
        DlibError: a file is damaged.
    """
    record = results.read_training(model_dir)
    return SavedModel(load_network(model_dir, "encoder"), load_network(model_dir, "decoder"), record)
