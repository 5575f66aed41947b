"""The only place that parses gin: finding files, one-line errors, and the configuration as typed data.

A configuration is gin files, found by name in the current folder first and then among the files that ship with the
package, plus bindings from the command line, which win.
"""

import contextlib
import difflib
import importlib.util  # noqa: F401  gin 0.5 looks for importlib.util without importing it
import logging
import pathlib
import tokenize
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gin
from gin import config_parser

from dlib_tf2.errors import UserError


def config_dir() -> pathlib.Path:
    """The folder of the gin files that ship with the package, in a clone as in an installed wheel."""
    package = pathlib.Path(__file__).parent
    for folder in (package / "gin_configs", package.parent / "gin_configs"):
        if folder.is_dir():
            return folder
    raise UserError(f"the gin files of dlib_tf2 are missing beside {package}; install the package again")


def find_file(name: str) -> pathlib.Path:
    """Finds a gin file by path or by its name under gin_configs; a local file wins.

    Raises:
        UserError: there is none; the message names the folders that were searched.
    """
    searched = [pathlib.Path(), config_dir()]
    for folder in searched:
        if (folder / name).is_file():
            return folder / name
    close = difflib.get_close_matches(name, [str(path.relative_to(searched[1])) for path in searched[1].rglob("*.gin")], n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise UserError(f"gin file {name!r} not found in the current folder ({pathlib.Path.cwd()}) or in {searched[1]}{hint}")


def parse(files: Sequence[str], bindings: Sequence[str] = ()) -> None:
    """Replaces the whole gin configuration by that of `files` (in order) and `bindings` (which win).

    Args:
        files: gin files, see `find_file`.
        bindings: gin text such as "STEPS = 1000", one or more lines each.

    Raises:
        UserError: a file is missing, a name or parameter is unknown, the syntax is wrong, a macro is used but not set,
            or a macro among the bindings is defined by none of the files (gin itself accepts that in silence).
    """
    gin.clear_config()
    if str(config_dir()) not in _search_path():
        gin.add_config_file_search_path(str(config_dir()))
    with _one_line_errors():
        for name in files:
            gin.parse_config_file(str(find_file(name)))
    _refuse_unknown_macros(bindings)
    with _one_line_errors():
        gin.parse_config([binding for binding in bindings if binding.strip()])
    _refuse_unset_macros()
    with _one_line_errors():
        gin.finalize()


def parse_more(files: Sequence[str]) -> None:
    """Adds the bindings of further files to the configuration; those already set from the command line stay.

    Raises:
        UserError: as in `parse`.
    """
    before = gin.config_str()
    with gin.unlock_config(), _one_line_errors():
        for name in files:
            gin.parse_config_file(str(find_file(name)))
        gin.parse_config(before)


def resolved_text() -> str:
    """The configuration as parsed, as gin text."""
    return gin.config_str()


def operative_text() -> str:
    """The part of the configuration that was used so far, defaults included, as gin text that parses again."""
    return gin.operative_config_str()


def operative_bindings() -> dict[str, Any]:
    """The operative configuration as data: {"train.steps": 1000, "train.model": "@VAE"}, macros resolved, JSON types."""
    return typed_bindings(operative_text())


def typed_bindings(text: str) -> dict[str, Any]:
    """Reads gin text into {"scope/name.parameter": value}; references become "@name", macros their values."""
    macros, values = {}, {}
    for statement in _statements(text):
        if statement.arg_name:
            key = f"{statement.scope}/{statement.selector}" if statement.scope else statement.selector
            values[f"{key}.{statement.arg_name}"] = statement.value
        else:
            macros[_macro_name(statement)] = statement.value
    return {key: _plain(value, macros) for key, value in sorted(values.items())}


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turns what gin raises while parsing into a UserError of one line, and keeps gin's own log lines quiet."""
    logging.disable(logging.ERROR)
    try:
        yield
    except UserError:
        raise
    except tokenize.TokenError as error:
        raise UserError(f"gin: unfinished statement ({error.args[0]}); close the bracket or quote") from error
    except (ValueError, TypeError, RuntimeError, OSError, ImportError, SyntaxError, AttributeError, KeyError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^")]
        raise UserError("gin: " + " | ".join(lines[:3])) from error
    finally:
        logging.disable(logging.NOTSET)


class _Macro(NamedTuple):
    name: str


class _Delegate(config_parser.ParserDelegate):
    """Builds plain stand-ins, so that text can be read without importing what it names."""

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> str:
        return f"@{scoped_configurable_name}" + ("()" if evaluate else "")

    def macro(self, macro_name: str) -> _Macro:
        return _Macro(macro_name)


def _statements(text: str) -> list[config_parser.BindingStatement]:
    return [s for s in config_parser.ConfigParser(text, _Delegate()) if isinstance(s, config_parser.BindingStatement)]


def _macro_name(statement: config_parser.BindingStatement) -> str:
    return f"{statement.scope}/{statement.selector}" if statement.scope else statement.selector


def _plain(value: Any, macros: dict[str, Any]) -> Any:
    if isinstance(value, _Macro):
        return _plain(macros[value.name], macros) if value.name in macros else f"%{value.name}"
    if isinstance(value, dict):
        return {str(key): _plain(item, macros) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, macros) for item in value]
    return value


def _macros_in(value: Any) -> set[str]:
    if isinstance(value, _Macro):
        return {value.name}
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return set().union(*map(_macros_in, value)) if isinstance(value, list | tuple) else set()


def _defined_macros() -> set[str]:
    return {_macro_name(s) for s in _statements(gin.config_str()) if not s.arg_name}


def _refuse_unknown_macros(bindings: Sequence[str]) -> None:
    defined = _defined_macros().union(*(_macros_in(s.value) for s in _statements(gin.config_str())))
    with _one_line_errors():
        names = [_macro_name(s) for s in _statements("\n".join(bindings)) if not s.arg_name]
    for name in names:
        if name not in defined:
            close = difflib.get_close_matches(name, defined, n=3, cutoff=0.4) or sorted(defined)
            known = f"; did you mean {', '.join(close)}?" if close else "; the files define no macro"
            raise UserError(f"no parsed gin file defines the macro {name}{known}")


def _refuse_unset_macros() -> None:
    defined = _defined_macros()
    for statement in _statements(gin.config_str()):
        where = f"{statement.selector}.{statement.arg_name}" if statement.arg_name else _macro_name(statement)
        for name in sorted(_macros_in(statement.value) - defined):
            if name == "gin.REQUIRED":
                raise UserError(f'{where} must be set; add --gin_bindings="{where} = ..."')
            raise UserError(f'macro %{name}, which {where} uses, is not set; add --gin_bindings="{name} = ..."')


def _search_path() -> list[str]:
    return gin.config._LOCATION_PREFIXES  # no public reader; adding a folder twice would only repeat it in messages
