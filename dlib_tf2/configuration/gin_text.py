"""Finds, reads and checks gin files without importing what they name, and returns typed values.

A command can so refuse a mistake before it loads TensorFlow or the modules that the files import.
"""

import contextlib
import importlib.util  # noqa: F401  gin 0.5 looks for importlib.util without importing it
import os
import pathlib
import tokenize
from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple, TypeAlias

from gin import config_parser
from gin.config_parser import BindingStatement, ImportStatement

from dlib_tf2.configuration import gin_kinds, gin_names
from dlib_tf2.errors import UserError, suggest

Statement: TypeAlias = BindingStatement | ImportStatement


def config_dir() -> pathlib.Path:
    """The folder of the gin files that ship with the package, in a clone as in an installed
    wheel.
    """
    package = pathlib.Path(__file__).parents[1]
    for folder in (package / "gin_configs", package.parent / "gin_configs"):
        if folder.is_dir():
            return folder
    raise UserError(
        f"the gin files of dlib_tf2 are missing beside {package}; install the package again"
    )


def find_file(name: str) -> pathlib.Path:
    """Finds a gin file by path or by its name under gin_configs; a local file wins.

    Raises:
        UserError: there is none; the message names the folders that were searched.
    """
    packaged = config_dir()
    for folder in (pathlib.Path(), packaged):
        if (folder / name).is_file():
            return folder / name
        if (folder / name).exists():
            kind = "a folder" if (folder / name).is_dir() else "no regular file"
            raise UserError(f"{folder / name} is {kind}; name a gin file")
    known = [str(path.relative_to(packaged)) for path in packaged.rglob("*.gin")]
    raise UserError(
        f"gin file {name!r} not found in the current folder ({pathlib.Path.cwd()}) or in"
        f" {packaged}{suggest(name, known, 'correct the name')}"
    )


def open_text(path: str | os.PathLike) -> IO[str]:
    """Opens a gin file; the mark that some editors put before UTF-8 is left out."""
    return open(path, encoding="utf-8-sig")


class GinText:
    """Gin files and bindings, read once and checked without importing what they name.

    Attributes:
        files: the names of the files, in order.
        bindings: gin text that wins over the files.
    """

    def __init__(
        self, files: Sequence[str], bindings: Sequence[str] = (), known: "GinText | None" = None
    ):
        """Reads and checks the text.

        Args:
            files: gin files, see `find_file`.
            bindings: gin text that wins over the files.
            known: a text whose files are not read again.

        Raises:
            UserError: a file, or one it includes, is missing; the syntax is wrong; a macro is used
                but not set, or set by itself; a macro among the bindings is neither in the files
                nor used by another binding (gin accepts that in silence); a module, function,
                parameter or reference of this package does not exist; a stage's parameter gets a
                value of a wrong kind.
        """
        self.files, self.bindings = tuple(files), tuple(bindings)
        self._read: dict[str, list[Statement]] = {} if known is None else dict(known._read)
        in_files = [statement for name in files for statement in _read_file(name, (), self._read)]
        with syntax_errors("--gin_bindings"):
            parser = config_parser.ConfigParser("\n".join(bindings), _Delegate())
            in_bindings = list(_statements(parser, (), self._read))
        _refuse_unknown_macros(_bindings(in_files), _bindings(in_bindings))
        _refuse_unset_macros(_bindings([*in_files, *in_bindings]))
        gin_names.refuse_unknown([*in_files, *in_bindings])
        self._values = _values([*in_files, *in_bindings])
        for key, value in self._values.items():
            name, _, parameter = key.rpartition(".")
            gin_kinds.check_kinds(name.rpartition("/")[2], {parameter: value})

    def value(self, key: str, default: Any = None) -> Any:
        """The value of a parameter, such as "evaluate.metrics", with the values of macros in it;
        `default` if it has none.
        """
        return self._values.get(key, default)


def typed_bindings(text: str) -> dict[str, Any]:
    """Reads gin text into {"scope/name.parameter": value}; references become "@name", macros their
    values.
    """
    return _values(list(config_parser.ConfigParser(text, _Delegate())))


@contextlib.contextmanager
def syntax_errors(source: str) -> Iterator[None]:
    """Turns what gin's parser raises about the text of `source` into a UserError of one line."""
    try:
        yield
    except tokenize.TokenError as error:
        raise UserError(
            f"gin: unfinished statement in {source} ({error.args[0]}); close the bracket or quote"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"gin: {source} is not UTF-8 text ({error.reason} at byte {error.start}); name a gin"
            " file"
        ) from error
    except SyntaxError as error:
        # The last line holds the reason; the first may be the address of an object.
        reason = str(error.msg).splitlines()[-1].strip().rstrip(".")
        line = (error.text or "").strip()
        where = f"{source}, line {error.lineno}" + (f", {line!r}" if line else "")
        raise UserError(
            f"gin: {where}: {reason}; expected NAME = VALUE, with text in quotes"
        ) from error


class _Macro(NamedTuple):
    name: str


class _Delegate(config_parser.ParserDelegate):
    """Builds plain stand-ins, so that text can be read without importing what it names."""

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> str:
        return gin_names.Reference(f"@{scoped_configurable_name}" + ("()" if evaluate else ""))

    def macro(self, macro_name: str) -> _Macro:
        return _Macro(macro_name)


def _read_file(
    name: str, included_by: tuple[str, ...], read: dict[str, list[Statement]]
) -> list[Statement]:
    """The bindings and imports of a file and of those it includes, in order; a file in `read` is
    not opened again, others are added to it.
    """
    if name in included_by:
        raise UserError(
            f"gin files include each other in a circle: {' -> '.join([*included_by, name])}; remove"
            " one include"
        )
    if name in read:
        return read[name]
    try:
        path = find_file(name)
    except UserError as error:
        if included_by:
            raise UserError(f"{error} (included by {included_by[-1]})") from error
        raise
    with syntax_errors(name), open_text(path) as file:
        parser = config_parser.ConfigParser(file, _Delegate())
        read[name] = list(_statements(parser, (*included_by, name), read))
    return read[name]


def _statements(
    statements: config_parser.ConfigParser,
    included_by: tuple[str, ...],
    read: dict[str, list[Statement]],
) -> Iterator[Statement]:
    for statement in statements:
        if isinstance(statement, config_parser.IncludeStatement):
            yield from _read_file(statement.filename, included_by, read)
        elif isinstance(statement, BindingStatement | ImportStatement):
            yield statement


def _bindings(statements: Sequence[Statement]) -> list[BindingStatement]:
    return [statement for statement in statements if isinstance(statement, BindingStatement)]


def _values(statements: Sequence[Any]) -> dict[str, Any]:
    """The last value of each parameter, with the values of macros in it."""
    macros, values = {}, {}
    for statement in statements:
        if isinstance(statement, BindingStatement):
            if statement.arg_name:
                values[f"{_scoped(statement)}.{statement.arg_name}"] = statement.value
            else:
                macros[_scoped(statement)] = statement.value
    return {key: _plain(value, macros) for key, value in sorted(values.items())}


def _scoped(statement: BindingStatement) -> str:
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


def _refuse_unknown_macros(
    in_files: Sequence[BindingStatement], in_bindings: Sequence[BindingStatement]
) -> None:
    known = {_scoped(statement) for statement in in_files if not statement.arg_name}
    known |= set().union(
        *(_macros_in(statement.value) for statement in [*in_files, *in_bindings])
    ) - {"gin.REQUIRED"}
    for name in (_scoped(statement) for statement in in_bindings if not statement.arg_name):
        if name not in known:
            otherwise = f"the files define {', '.join(sorted(known)) or 'no macro'}"
            raise UserError(
                f"no parsed gin file defines the macro {name}{suggest(name, known, otherwise)}"
            )


def _refuse_unset_macros(statements: Sequence[BindingStatement]) -> None:
    # Of several bindings of one parameter the last counts; a name may be written with or without
    # its modules.
    last = {
        (statement.scope, statement.selector.rsplit(".", 1)[-1], statement.arg_name): statement
        for statement in statements
    }
    macros = {
        _scoped(statement): _macros_in(statement.value)
        for statement in last.values()
        if not statement.arg_name
    }
    for statement in last.values():
        where = (
            f"{_scoped(statement)}.{statement.arg_name}"
            if statement.arg_name
            else _scoped(statement)
        )
        for name in sorted(_macros_in(statement.value) - set(macros)):
            if name == "gin.REQUIRED":
                raise UserError(f'{where} must be set; add --gin_bindings="{where} = ..."')
            raise UserError(
                f'macro %{name}, which {where} uses, is not set; add --gin_bindings="{name} = ..."'
            )
    for name in macros:
        reached, new = set(), macros[name]
        while new:
            reached |= new
            new = set().union(*(macros.get(other, set()) for other in new)) - reached
        if name in reached:
            raise UserError(f"macro {name} is defined by itself; give it a value")
