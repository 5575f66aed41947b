"""Looks up the names in gin text in the source of this package, without importing it.

What other modules register is not known here: gin checks it when it parses.
"""

import ast
import functools
import importlib.resources
import pathlib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NoReturn

import gin
from gin.config_parser import BindingStatement, ImportStatement

from dlib_tf2.errors import UserError, suggest

_PACKAGE = "dlib_tf2"
# Modules that gin text of finished runs imports under the names they had before version 0.1.0.
_MOVED = {
    "dlib_tf2.datasets.own_arrays": "dlib_tf2.datasets.own.arrays",
    "dlib_tf2.datasets.own_images": "dlib_tf2.datasets.own.images",
    "dlib_tf2.metric_config": "dlib_tf2.configuration.metric_config",
    "dlib_tf2.metrics._newton": "dlib_tf2.metrics._linear",
    "dlib_tf2.representation": "dlib_tf2.representations.representation",
    "dlib_tf2.rotation": "dlib_tf2.representations.rotation",
    "dlib_tf2.training": "dlib_tf2.train",
}
_REGISTERED = re.compile(
    r"^@gin\.(?:register|configurable)\n(?:@.*\n)*(?:def|class) (\w+)", re.MULTILINE
)


class Reference(str):
    """A reference in gin text, such as "@VAE" or "@scope/BetaKL()"."""


def refuse_unknown(statements: Sequence[BindingStatement | ImportStatement]) -> None:
    """Refuses modules, functions, parameters and references that the package does not have.

    Raises:
        UserError: in the words of gin, with what is close.
    """
    imported = {
        _source_of(statement) for statement in statements if isinstance(statement, ImportStatement)
    }
    foreign = None in imported
    sources = _sources()
    known = {*sources, *registered_names()}
    for statement in statements:
        if not isinstance(statement, BindingStatement):
            continue
        for reference in _references(statement.value):
            name = re.split(r"[/.]", reference.removeprefix("@").removesuffix("()"))[-1]
            if name not in known and not foreign:
                what = f"No configurable matching reference '{reference}'."
                _refuse(what, statement, name, known, _UNKNOWN)
        if not statement.arg_name:
            continue
        *prefix, name = statement.selector.split(".")
        if name not in known:
            if not foreign:
                _refuse(
                    f"No configurable matching '{statement.selector}'.",
                    statement,
                    name,
                    known,
                    _UNKNOWN,
                )
        elif name in sources and not prefix and (sources[name] in imported or not foreign):
            _check_parameter(statement, _parameters(sources[name], name))


def registered_names() -> set[str]:
    """The names that this process has registered so far."""
    # no public reader
    return {selector.rsplit(".", 1)[-1] for selector, _ in gin.config._REGISTRY.items()}


_UNKNOWN = "import the module that registers it, or correct the name"


def _check_parameter(statement: BindingStatement, parameters: list[str] | None) -> None:
    if parameters is not None and statement.arg_name not in parameters:
        what = (
            f"Configurable '{statement.selector}' doesn't have a parameter named"
            f" '{statement.arg_name}'."
        )
        _refuse(
            what,
            statement,
            statement.arg_name,
            parameters,
            f"it has {', '.join(parameters) or 'none'}",
        )


def _refuse(
    what: str,
    statement: BindingStatement | ImportStatement,
    name: str,
    known: Collection[str],
    otherwise: str,
) -> NoReturn:
    file, number, _, line = statement.location
    where = f'In file "{file}", line {number}' if file else f"In bindings string line {number}"
    raise UserError(f"gin: {what} | {where} | {line.strip()}{suggest(name, known, otherwise)}")


def _source_of(statement: ImportStatement) -> pathlib.Path | None:
    """The file of an imported module of this package; None for a module from elsewhere."""
    first, *rest = statement.module.split(".")
    if first != _PACKAGE:
        return None
    if moved := _MOVED.get(statement.module):
        what = f"{statement.module} is now {moved}"
        _refuse(what, statement, statement.module, (), "write the new name")
    path = _folder().joinpath(*rest)
    if path.is_dir():
        return path / "__init__.py"
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    beside = [file.stem for file in path.parent.glob("*.py")]
    _refuse(
        f"No module named '{statement.module}'", statement, path.name, beside, "correct the name"
    )


def _folder() -> pathlib.Path:
    return pathlib.Path(str(importlib.resources.files(_PACKAGE)))


@functools.cache  # of this process's own package, whose source stays what it is
def _sources() -> dict[str, pathlib.Path]:
    """The file of each function and class that the package registers."""
    files = _folder().rglob("*.py")
    return {
        name: file
        for file in files
        for name in _REGISTERED.findall(file.read_text(encoding="utf-8"))
    }


@functools.cache
def _parameters(file: pathlib.Path, name: str) -> list[str] | None:
    """The parameters of a function or class; None where the source does not say: inherited, or any
    keyword.
    """
    found: ast.AST | None = _defined(ast.parse(file.read_text(encoding="utf-8")), name)
    if isinstance(found, ast.ClassDef):
        found = _defined(found, "__init__")
    if not isinstance(found, ast.FunctionDef) or found.args.kwarg is not None:
        return None
    names = [
        argument.arg
        for argument in (*found.args.posonlyargs, *found.args.args, *found.args.kwonlyargs)
    ]
    return names[1:] if found.name == "__init__" else names


def _defined(scope: ast.Module | ast.ClassDef, name: str) -> ast.FunctionDef | ast.ClassDef | None:
    found = (
        node
        for node in scope.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
    )
    return next(found, None)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, dict):
        yield from _references([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)
