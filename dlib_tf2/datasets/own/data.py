"""What own_images and own_arrays share: a definition that gin gives once and that is kept beside
the data, and checks with clear errors.
"""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import gin
import numpy as np

from dlib_tf2.datasets import image_table
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.errors import UserError, first_line
from dlib_tf2.system.files import atomic_write

_FILE = "definition.json"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # a name that is one folder, inside of data_dir


def folder_of(kind: str, name: str, data_dir: pathlib.Path) -> pathlib.Path:
    """Where "<kind>/<name>" is kept under data_dir.

    Raises:
        UserError: the name is not a plain folder name, so that it could lead out of data_dir.
    """
    if not _PLAIN.fullmatch(name):
        rule = "NAME may hold letters, digits, '_', '-' and '.', and begins with a letter or digit"
        raise UserError(f"{kind}/NAME: {rule}, got {name!r}; choose another name")
    return image_table.table_folder(data_dir, f"{kind}/{name}")


def definition(kind: str, folder: pathlib.Path) -> tuple[dict[str, Any], bool]:
    """The definition of a user's dataset.

    Gin gives it when the dataset is first used; it is kept in `folder`, so that later commands need
    no gin file.

    Args:
        kind: name of the gin-registered function that returns it, "own_images".
        folder: of this dataset under data_dir.

    Returns:
        (the definition, whether gin gave it in this process).

    Raises:
        UserError: neither gin nor the folder has it.
    """
    if gin.get_bindings(kind, resolve_references=False):
        return gin.get_configurable(kind)(), True
    try:
        return json.loads((folder / _FILE).read_text()), False
    except FileNotFoundError:
        raise UserError(
            f"{kind}/{folder.name} is not defined yet under {folder.parents[2]}; give the gin file"
            f" that sets {kind}.* with --gin_config (dlib_train and dlib_visualize_dataset take"
            f" it), as in datasets/{kind}.gin"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {folder / _FILE} ({first_line(error)}); give the gin file of {kind} again"
        ) from error


def kept(folder: pathlib.Path) -> dict[str, Any]:
    """The definition in `folder`; empty if it is missing or cannot be read."""
    try:
        return json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return {}


def keep(folder: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Saves a definition, unless it is already there."""
    if kept(folder) == content:
        return
    image_table.announce(folder)
    with atomic_write(folder / _FILE, "w") as file:
        json.dump(content, file, indent=1)


def space_and_visible(
    names: Sequence[str], sizes: Sequence[int], hidden: Sequence[str], kind: str
) -> tuple[FactorSpace, tuple[str, ...]]:
    """The grid, and the factors that are scored.

    Raises:
        UserError: no grid, hidden factors that do not exist, or nothing left to score.
    """
    try:
        space = FactorSpace(tuple(names), tuple(sizes))
    except (TypeError, ValueError) as error:
        raise UserError(f"{kind}: {error}; correct its gin bindings") from error
    unknown = sorted(set(hidden) - set(names))
    visible = tuple(name for name in names if name not in hidden)
    if unknown or not visible:
        fault = f"has no factor {', '.join(unknown)}" if unknown else "leaves no factor to score"
        raise UserError(
            f"{kind}.hidden = {list(hidden)} {fault}; the factors are {', '.join(names)}"
        )
    return space, visible


def check_names(what: str, names: Sequence[str]) -> None:
    """Refuses anything but a list of names; a string would be split into letters.

    Raises:
        UserError: it is something else.
    """
    if (
        isinstance(names, str)
        or not isinstance(names, Sequence)
        or not all(isinstance(name, str) for name in names)
    ):
        raise UserError(f"{what} must be a list of names, such as ['size'], got {names!r}")


def check_texts(kind: str, **texts: str) -> None:
    """Refuses anything but text for a path or the name of a column.

    Raises:
        UserError: it is something else.
    """
    for name, text in texts.items():
        if not isinstance(text, str) or not text:
            raise UserError(f"{kind}.{name} must be text in quotes, got {text!r}")


def check_sizes(what: str, sizes: Mapping[str, int]) -> None:
    """Refuses anything but {name: whole number}; nothing is rounded or read from text.

    Raises:
        UserError: it is something else.
    """
    if not isinstance(sizes, Mapping) or not all(isinstance(name, str) for name in sizes):
        raise UserError(
            f"{what} must be {{name: number of values}}, such as {{'colour': 4, 'size': 2}}, got"
            f" {sizes!r}"
        )
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise UserError(
                f"{what}: the number of values of {name!r} must be a whole number of at least 1,"
                f" got {size!r}"
            )


def load_array(path: pathlib.Path, what: str) -> np.ndarray:
    """Opens an .npy file as mapped memory.

    Raises:
        UserError: it is missing, truncated, or holds Python objects.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(array, np.ndarray):
            return np.asarray(array)
        reason = "it holds several arrays"
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist; correct the path") from None
    except (OSError, ValueError, EOFError) as error:
        reason = first_line(error)
    raise UserError(f"{what} {path} cannot be read ({reason}); save one array with numpy.save")
