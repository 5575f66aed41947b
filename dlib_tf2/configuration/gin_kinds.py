"""Kinds of values: what the signature of a stage says of its parameters.

It is read from the source: a mistake such as train.steps = "x" need not wait for TensorFlow.
"""

import ast
import functools
import numbers
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from dlib_tf2.configuration.gin_names import Reference
from dlib_tf2.errors import UserError

# how an annotation begins -> what a message calls it, and the type of its values
_KINDS: dict[str, tuple[str, Any]] = {
    "int": ("a whole number", numbers.Integral),
    "float": ("a number", numbers.Real),
    "bool": ("True or False", bool),
    "str": ("text in quotes", str),
    "Mapping": ('a dictionary such as {"beta": 4.0}', Mapping),
    "Callable": ("a reference such as @conv_encoder, with its @", Callable),
    "None": ("None", type(None)),
}


def check_kinds(stage: str, values: Mapping[str, Any]) -> None:
    """Refuses values of another kind than a stage's parameters are annotated with.

    Args:
        stage: name of a function that has the name of its module, such as "train"; nothing is
            known, and nothing refused, of other functions.
        values: by parameter; a `Reference` stands for the function, or with "()" for any value.

    Raises:
        UserError: a value is of another kind.
    """
    kinds = _kinds(stage)
    for name, value in values.items():
        if name in kinds and not any(_is(kind, value) for kind in kinds[name]):
            expected = " or ".join(_KINDS[kind][0] for kind in kinds[name])
            raise UserError(f"{stage}.{name} must be {expected}, got {value!r}")


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, Reference):
        return kind == "Callable" or value.endswith("()")
    return isinstance(value, _KINDS[kind][1]) and (kind == "bool" or not isinstance(value, bool))


@functools.cache
def _kinds(stage: str) -> dict[str, list[str]]:
    """{parameter: kinds}; parameters whose annotation names any other type are left out."""
    path = pathlib.Path(__file__).parents[1] / f"{stage}.py"
    tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    found = {
        argument.arg: [
            part.partition("[")[0] for part in ast.unparse(argument.annotation).split(" | ")
        ]
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == stage
        for argument in node.args.args
        if argument.annotation is not None
    }
    return {name: kinds for name, kinds in found.items() if set(kinds) <= set(_KINDS)}
