"""Hashes of the user's own source files that a configuration names.

If the encoder is in a file of the user's, settings alone do not determine what a run computes. The
whole file of each such function or class counts, so that a change of a helper in it is noticed.
Modules that this file imports do not count.
"""

import hashlib
import inspect
import pathlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from dlib_tf2.configuration import gin_utils

_UNKNOWN = "unknown"  # typed at a prompt: there is no source
_IMPORT = re.compile(r"^\s*(?:import|from)\s+([\w.]+)", re.MULTILINE)


def of_text(text: str, imports: bool = False) -> dict[str, str]:
    """The outside sources that gin text names in keys and references: {module: SHA-256}.

    What these refer to in turn counts too, as it is bound in the parsed configuration.

    Args:
        text: gin text.
        imports: whether the modules that it imports count as well. They should in the text of one
            metric, which may have no parameters to be named by; the operative text of a step also
            imports what other steps need.
    """
    names: set[str] = set()
    new = _names(text, None)
    everything = gin_utils.resolved_text()
    while new := new - names:
        names |= new
        new = _names(everything, new)
    return {**(of_imports([text]) if imports else {}), **of_names(names)}


def of_names(names: Iterable[str]) -> dict[str, str]:
    """The outside sources of registered functions and classes: {module: SHA-256}.

    What was defined at a prompt or in a notebook has an entry of its own, "<module>.<name>".
    """
    found = {}
    for thing in filter(None, map(gin_utils.registered, names)):
        module = getattr(thing, "__module__", None) or type(thing).__module__
        if not _is_outside(module):
            continue
        if (file := _file_of_loaded(module)) is not None:
            found[module] = _hash(file.read_bytes())
        else:
            found[f"{module}.{getattr(thing, '__qualname__', thing)}"] = _hash_of_object(thing)
    return dict(sorted(found.items()))


def of_imports(texts: Iterable[str]) -> dict[str, str]:
    """The outside sources that gin texts import, found without importing anything.

    A module that is not found is left out: parsing the text refuses it.
    """
    modules = {name for text in texts for name in _IMPORT.findall(text) if _is_outside(name)}
    files = {name: file for name in sorted(modules) if (file := _file_on_path(name)) is not None}
    return {name: _hash(file.read_bytes()) for name, file in files.items()}


def change(before: Mapping[str, str] | None, now: Mapping[str, str]) -> str:
    """What has changed, such as "the source of my_module, my_module.py, has changed"; or "".

    Records that were made before sources were kept have none and are not refused.
    """
    for module, digest in now.items():
        if (before or {}).get(module, digest) != digest:
            file = _file_of_loaded(module)
            return f"the source of {module}{f', {file},' if file else ''} has changed"
    return ""


def _names(text: str, of: Set[str] | None) -> set[str]:
    """The names in keys and references of gin text; with `of` only in bindings of these names."""
    found = set()
    for key, value in gin_utils.typed_bindings(text).items():
        name = key.rsplit(".", 1)[0].rsplit("/", 1)[-1]
        if of is None or name.rsplit(".", 1)[-1] in of:
            found |= {name.rsplit(".", 1)[-1], *_references(value)}
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, str) and (
        match := re.fullmatch(r"@(?:[\w.]+/)*(?:\w+\.)*(\w+)(?:\(\))?", value)
    ):
        yield match[1]


def _is_outside(module: str) -> bool:
    return module.split(".")[0] not in ("dlib_tf2", "gin", "__gin__")


def _file_of_loaded(module: str) -> pathlib.Path | None:
    name = getattr(sys.modules.get(module), "__file__", None)
    return pathlib.Path(name) if name and pathlib.Path(name).is_file() else None


def _file_on_path(module: str) -> pathlib.Path | None:
    parts = module.split(".")
    for folder in map(pathlib.Path, sys.path):
        for file in (
            folder.joinpath(*parts).with_suffix(".py"),
            folder.joinpath(*parts, "__init__.py"),
        ):
            if file.is_file():
                return file
    return None


def _hash_of_object(thing: Any) -> str:
    try:
        return _hash(inspect.getsource(thing).encode())
    except (OSError, TypeError):
        return _UNKNOWN


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
