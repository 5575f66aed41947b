"""`load`: a dataset by its name, which is the name of a file in `named/`."""

import difflib
import importlib
import os
import pathlib
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import gin

from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.errors import UserError
from dlib_tf2.paths import RemotePath, as_path

if TYPE_CHECKING:
    from dlib_tf2.datasets import downloaded


def known_names() -> list[str]:
    """The names that `load` accepts: the files of `named/`, so that a new dataset is a new file and nothing else."""
    return sorted(path.stem for path in (pathlib.Path(__file__).parent / "named").glob("*.py") if path.stem != "__init__")


def load(name: str, data_dir: str | os.PathLike | None = None) -> GroundTruthDataset:
    """Opens a dataset; one that is drawn, not downloaded, is prepared first where that was not done yet.

    Args:
        name: "name" or "name/config", such as "rendered_sprites/small".
        data_dir: where datasets are kept; by default $TFDS_DATA_DIR, else ~/tensorflow_datasets. From a bucket (gs://...) the
            table is copied once to a local folder, see `table_cache`.

    Raises:
        UserError: an unknown name or config, a downloaded dataset that is not prepared, or a data_dir that cannot be read or written.
    """
    base, _, config = name.partition("/")
    return _module(base).dataset(config, _folder(data_dir))


def check_name(name: str) -> None:
    """Refuses a name that does not exist, without opening anything."""
    base = name.partition("/")[0]
    if base not in known_names():
        raise UserError(unknown("dataset", base, known_names()))


def _recipes(name: str) -> Sequence["downloaded.Recipe"]:
    """How a downloaded dataset is made; nothing where `name` is drawn or one's own."""
    from dlib_tf2.datasets import downloaded

    base, _, config = name.partition("/")
    recipes = getattr(_module(base), "RECIPES", ())
    if recipes:
        downloaded.no_config(base, config)  # before hours of work for a name that is then refused
    return recipes


def downloaded_names() -> list[str]:
    """The names that have to be prepared before `load` opens them."""
    return [name for name in known_names() if hasattr(_module(name), "RECIPES")]


def prepare(name: str, data_dir: str | os.PathLike | None = None, manual_dir: str | os.PathLike | None = None) -> GroundTruthDataset:
    """Downloads and prepares a dataset, as far as that was not done yet, and opens it.

    Args:
        name: as in `load`.
        data_dir: as in `load`.
        manual_dir: folder of the dataset's files, under their original names, where they are not to be downloaded.

    Raises:
        UserError: as in `load`, or files are missing in `manual_dir`.
        DlibError: a download fails, a file is damaged, or the disk is full.
    """
    from dlib_tf2.datasets import downloaded

    folder = _folder(data_dir)
    for recipe in _recipes(name):
        if not isinstance(folder, RemotePath):  # into a bucket one copies what was prepared locally, as `load` says
            downloaded.prepare(recipe, folder, pathlib.Path(manual_dir) if manual_dir else None)
    return load(name, data_dir)


def _module(base: str) -> ModuleType:
    check_name(base)
    with gin.unlock_config():  # own data registers itself, and by its name alone it is first met within a running command
        return importlib.import_module(f"dlib_tf2.datasets.named.{base}")


def _folder(data_dir: str | os.PathLike | None) -> pathlib.Path:
    folder = as_path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    return folder if isinstance(folder, RemotePath) else folder.expanduser()


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist: what is known, and the closest of it."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"unknown {what} {name!r}; known: {', '.join(known)}" + (f" (did you mean {close[0]}?)" if close else "")
