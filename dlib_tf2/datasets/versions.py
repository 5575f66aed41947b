"""Lists older versions of a dataset when a newer one is made; never deletes them."""

import pathlib
import re
from collections.abc import Iterable

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def change_line(source: str, parents: Iterable[pathlib.Path]) -> str:
    """A line about the data of older versions, "" if there is none.

    Args:
        source: name/config/version of the data that is about to be made.
        parents: the folders whose subfolders are the versions of its table and of its records.
    """
    name, _, version = source.rpartition("/")
    older = _older_folders(parents, version)
    if not older:
        return ""
    before = ", ".join(dict.fromkeys(folder.name for folder in older))
    return (
        f"{name}: its pictures changed (version {before} -> {version}) and are made again; "
        f"the older data is no longer used and may be deleted: {', '.join(map(str, older))}"
    )


def _older_folders(parents: Iterable[pathlib.Path], version: str) -> list[pathlib.Path]:
    """The folders of older versions, oldest first, each once."""
    found = [path for parent in parents if parent.is_dir() for path in parent.iterdir()]
    folders = {str(path): path for path in found}.values()
    older = [path for path in folders if _number(path.name) < _number(version)]
    return sorted(older, key=lambda path: (_number(path.name), str(path)))


def _number(name: str) -> tuple[float, ...]:
    """A version as numbers; other names sort after all versions."""
    match = _VERSION.fullmatch(name)
    return tuple(map(int, match.groups())) if match else (float("inf"),)
