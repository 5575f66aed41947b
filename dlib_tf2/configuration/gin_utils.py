"""The only place that gives configurations to gin: one-line errors, and the configuration in use as
text and as typed data.

A configuration is gin files, found by name in the current folder first and then among the files
that ship with the package, plus bindings from the command line, which win.
"""

import contextlib
import inspect
import logging
import os
import re
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import gin

from dlib_tf2.configuration.gin_names import registered_names
from dlib_tf2.configuration.gin_text import (
    GinText,
    config_dir,
    find_file,
    open_text,
    typed_bindings,
)
from dlib_tf2.errors import DlibError, UserError, first_line, suggest

__all__ = [
    "GinText",
    "config_dir",
    "find_file",
    "operative_bindings",
    "operative_text",
    "parse",
    "parse_more",
    "parsed",
    "registered",
    "registered_names",
    "resolved_text",
    "typed_bindings",
    "use",
]


def parse(files: Sequence[str], bindings: Sequence[str] = ()) -> None:
    """Replaces the whole gin configuration by that of `files` (in order) and `bindings` (which
    win).

    Args:
        files: gin files, see `find_file`.
        bindings: gin text such as "STEPS = 1000", one or more lines each.

    Raises:
        UserError: what `GinText` refuses, or a name or parameter that is unknown.
    """
    use(GinText(files, bindings))


def use(text: GinText) -> None:
    """Replaces the whole gin configuration by a text that was read before.

    Raises:
        UserError: a name or parameter is unknown.
    """
    gin.clear_config()
    _find_files()
    with _one_line_errors():
        for name in text.files:
            gin.parse_config_file(str(find_file(name)))
        gin.parse_config([binding for binding in text.bindings if binding.strip()])
        gin.finalize()


@contextlib.contextmanager
def parsed(files: Sequence[str], bindings: Sequence[str] = ()) -> Iterator[None]:
    """The configuration of `parse` for one block; afterwards the one before it is back.

    Raises:
        UserError: as in `parse`.
    """
    before, locked = gin.config_str(), gin.config_is_locked()
    try:
        parse(files, bindings)
        yield
    finally:
        gin.clear_config()
        gin.parse_config(before)
        if locked:
            gin.finalize()


def parse_more(files: Sequence[str]) -> None:
    """Adds the bindings of further files to the configuration; those already set from the command
    line stay.

    Raises:
        UserError: as in `parse`.
    """
    before = gin.config_str()
    _find_files()
    with gin.unlock_config(), _one_line_errors():
        for name in files:
            gin.parse_config_file(str(find_file(name)))
        gin.parse_config(before)


def resolved_text() -> str:
    """The configuration as parsed, as gin text."""
    return gin.config_str()


def dry_run_text(stage: str, **given: Any) -> str:
    """The configuration as parsed, and every parameter of a stage with the value it will have.

    Args:
        stage: a gin-configurable stage function, e.g. "train".
        given: the arguments that the command passes, which win over gin; None is not passed.
    """
    given = {name: value for name, value in given.items() if value is not None and value != []}
    bound = gin.get_bindings(stage, resolve_references=False)
    lines = [resolved_text(), f"# {stage} runs with:"]
    for parameter in inspect.signature(gin.get_configurable(stage)).parameters.values():
        value = given.get(parameter.name, bound.get(parameter.name, parameter.default))
        shown = f"@{value.__name__}" if inspect.isroutine(value) else repr(value)
        lines.append(f"# {stage}.{parameter.name} = {shown}")
    return "\n".join(lines)


def operative_text() -> str:
    """The part of the configuration that was used so far, defaults included, as gin text that
    parses again.
    """
    return gin.operative_config_str()


def operative_bindings() -> dict[str, Any]:
    """The operative configuration as data: {"train.steps": 1000, "train.model": "@VAE"}, macros
    resolved, JSON types.
    """
    return typed_bindings(operative_text())


def is_bound(name: str, parameter: str) -> bool:
    """Whether a parameter of a registered function is bound, in no scope."""
    try:
        return parameter in gin.get_bindings(name, resolve_references=False)
    except ValueError:  # nothing of that name is imported
        return False


def registered(name: str) -> Any:
    """The function or class that is registered under a name, as its module defines it; or None."""
    found = gin.config._REGISTRY.get_all_matches(name)  # no public reader
    return found[0].wrapped if len(found) == 1 else None


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turns what gin raises while parsing into a UserError of one line, and keeps gin's own log
    lines quiet.
    """
    logging.disable(logging.ERROR)
    try:
        yield
    except DlibError:
        raise
    except (
        ValueError,
        TypeError,
        RuntimeError,
        OSError,
        ImportError,
        SyntaxError,
        AttributeError,
        KeyError,
    ) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^")]
        raise UserError("gin: " + " | ".join(lines[:3]) + _remedy(str(error))) from error
    except (Exception, SystemExit) as error:  # of a module that gin text imports
        # gin adds lines of its own
        module, reason = traceback.extract_tb(error.__traceback__)[-1], first_line(error)
        raise UserError(
            f"gin: importing {module.filename} ended in {type(error).__name__}({reason}) at line"
            f" {module.lineno}; correct the module"
        ) from error
    finally:
        logging.disable(logging.NOTSET)


def _remedy(message: str) -> str:
    """What to write instead of a name that gin does not know; empty for other errors."""
    if match := re.match(r"No configurable matching (?:reference )?'@?(?:.*/)?([\w.]+)", message):
        return suggest(
            match[1], registered_names(), "import the module that registers it, or correct the name"
        )
    if match := re.match(
        r"Configurable '([^']*)' doesn't have a parameter named '([^']*)'", message
    ):
        known = list(inspect.signature(gin.get_configurable(match[1])).parameters)
        return suggest(match[2], known, f"it has {', '.join(known) or 'none'}")
    return ""


def _find_files() -> None:
    """Makes gin find our files in what other files include, and read plain files only."""
    if str(config_dir()) not in _search_path():
        gin.add_config_file_search_path(str(config_dir()))
    # gin's second reader takes "models/x.gin" for a file in a Python package `models`, and crashes
    # where a folder of that name lies on sys.path. No public call takes a reader away.
    gin.config._FILE_READERS[:] = [(open_text, os.path.isfile)]


def _search_path() -> list[str]:
    # no public reader; adding a folder twice would only repeat it in messages
    return gin.config._LOCATION_PREFIXES
