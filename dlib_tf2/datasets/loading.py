"""`load`: a dataset by its name, which is the name of a file in `named/`."""

import difflib
import importlib
import os
import pathlib
from collections.abc import Iterable

from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.errors import UserError


def known_names() -> list[str]:
    """The names that `load` accepts: the files of `named/`, so that a new dataset is a new file and nothing else."""
    return sorted(path.stem for path in (pathlib.Path(__file__).parent / "named").glob("*.py") if path.stem != "__init__")


def load(name: str, data_dir: str | os.PathLike | None = None) -> GroundTruthDataset:
    """Opens a dataset; one that is drawn, not downloaded, is prepared first where that was not done yet.

    Args:
        name: "name" or "name/config", such as "rendered_sprites/small".
        data_dir: where datasets are kept; by default $TFDS_DATA_DIR, else ~/tensorflow_datasets.

    Raises:
        UserError: an unknown name or config, or a data_dir that cannot be read or written.
    """
    base, _, config = name.partition("/")
    if base not in known_names():
        raise UserError(unknown("dataset", base, known_names()))
    folder = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    return importlib.import_module(f"dlib_tf2.datasets.named.{base}").dataset(config, folder)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist: what is known, and the closest of it."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"unknown {what} {name!r}; known: {', '.join(known)}" + (f" (did you mean {close[0]}?)" if close else "")
