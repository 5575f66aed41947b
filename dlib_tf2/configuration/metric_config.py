"""Finds a metric by its name: its gin file, its function, and the configuration that is kept with
a result.

A metric is called NAME where `gin_configs/metrics/NAME.gin` (or `metrics/NAME.gin` in the current
folder) exists. It runs the registered function NAME, or, where the file says `NAME/metric.function
= @other`, another one; both inside the gin scope NAME.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import gin

from dlib_tf2.configuration import declaration, gin_utils
from dlib_tf2.errors import UserError, check_names, suggest


@gin.register
def metric(
    name: str, function: Callable[..., dict[str, float]] | None = None
) -> Callable[..., dict[str, float]]:
    """Returns the function that the metric `name` runs: `function`, by default the registered one
    of that name.
    """
    return gin.get_configurable(name) if function is None else function


# Parameters of metrics that the table gives, not the configuration, which does not hold them.
FROM_TABLE = frozenset({"held_out"})


class MetricCall(NamedTuple):
    """One metric, ready to run."""

    name: str
    function: Callable[..., dict[str, float]]
    # gin text of every parameter of the function and of what it refers to; parses again
    config_text: str

    def __call__(self, *args: Any, held_out: Any = None) -> dict[str, float]:
        """Runs the metric; `held_out`, the table's mask of held-out rows, bool [n] or None, reaches
        the functions that have a parameter of that name.
        """
        takes = inspect.signature(inspect.unwrap(self.function)).parameters
        given = {"held_out": held_out} if "held_out" in takes else {}
        with gin.config_scope(self.name):
            return self.function(*args, **given)


def names(metrics: Any) -> list[str]:
    """The distinct names of a list of metrics, in its order; of ["all"], those of all metrics.

    Raises:
        UserError: it is no list of names, or one of them can be no metric's.
    """
    check_names("evaluate.metrics", metrics, "mig")
    if wrong := [name for name in metrics if not name.isidentifier()]:
        raise UserError(
            f"no metric can be called {wrong[0]!r}; expected names such as mig, separated by single"
            " commas"
        )
    return declaration.expanded(list(dict.fromkeys(metrics)))


def known() -> list[str]:
    """The names of the metrics that ship with the package."""
    return sorted(path.stem for path in (gin_utils.config_dir() / "metrics").glob("*.gin"))


def files(names: Sequence[str]) -> list[str]:
    """The gin files of metrics.

    Raises:
        UserError: a name is unknown, or there is none.
    """
    if not names:
        raise UserError("no metric was asked for; name some, such as --metrics=mig,dci")
    found = [f"metrics/{name}.gin" for name in names]
    for name, file in zip(names, found, strict=True):
        try:
            gin_utils.find_file(file)
        except UserError as error:
            if name == "udr":
                raise UserError(
                    "udr scores several representations by each other, not one: run dlib_udr"
                ) from error
            raise UserError(
                f"unknown metric {name!r}; the known ones are {', '.join(known())}"
                f"{suggest(name, known())}"
            ) from error
    return found


def resolve(name: str) -> MetricCall:
    """Finds the function of a metric whose gin file is parsed.

    Raises:
        UserError: its gin file imports no function of that name.
    """
    with gin.config_scope(name):
        bound = gin.get_bindings("metric", resolve_references=False).get("function")
        selector = name if bound is None else repr(bound).lstrip("@")
        try:
            function = metric(name, gin.get_bindings("metric").get("function"))
        except ValueError as error:
            raise UserError(
                f"metrics/{name}.gin registers no metric {name}; add the import of its module, or"
                f" {name}/metric.function"
            ) from error
        parameters = list(_parameters(selector, "" if bound is None else f"{name}/"))
        modules = {
            gin.get_configurable(used).__module__
            for used in [selector, *(used for used, _ in parameters)]
        }
    lines = [line for _, line in parameters]
    if bound is not None:
        modules.add(__name__)
        lines.insert(0, f"{name}/metric.function = {bound!r}")
    return MetricCall(
        name,
        function,
        "\n".join([*(f"import {module}" for module in sorted(modules)), "", *lines]) + "\n",
    )


def trees(config: str) -> set[str]:
    """The implementations of boosted trees that a configuration refers to, by the names of the
    classifiers.
    """
    return set(re.findall(r"@(?:[\w.]+[/.])*(\w+_gradient_boosting)\b", config))


def one_kind_of_trees(calls: Sequence[MetricCall]) -> set[str]:
    """The implementation of boosted trees that metrics use: one name, or none.

    Raises:
        UserError: they use different ones.
    """
    found = {call.name: trees(call.config_text) for call in calls}
    if len(kinds := set().union(*found.values())) > 1:
        which = "; ".join(
            f"{name}: {', '.join(sorted(some))}" for name, some in found.items() if some
        )
        raise UserError(
            f"scores of different boosted trees do not compare ({which}); bind TREES instead of"
            " single metrics' classifiers"
        )
    return kinds


def _parameters(selector: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Yields (selector, gin line) for each parameter of a configurable that has a value, and of
    what it refers to, in this scope.
    """
    bound, resolved = (
        gin.get_bindings(selector, resolve_references=False),
        gin.get_bindings(selector),
    )
    signature = inspect.signature(gin.get_configurable(selector)).parameters.values()
    defaults = {p.name: p.default for p in signature if p.default is not p.empty}
    for parameter in sorted({*defaults, *bound} - FROM_TABLE):
        if parameter not in bound:
            value = defaults[parameter]
            text = _as_gin(value)
        else:
            # References stay references, macros become their values.
            written = repr(_behind_macros(bound[parameter]))
            text = written if "@" in written else repr(resolved[parameter])
        yield selector, f"{prefix}{selector}.{parameter} = {text}"
        for reference in re.findall(r"@([\w./]+)", text):  # one, or those of a list
            yield from _parameters(reference, prefix)


def _behind_macros(value: Any) -> Any:
    """A bound value in which macros, also those in lists, are replaced by their values."""
    if isinstance(value, list | tuple):
        return type(value)(map(_behind_macros, value))
    if getattr(value, "selector", None) != "gin.macro":
        return value
    return _behind_macros(gin.query_parameter(f"{repr(value).removeprefix('%')}/gin.macro.value"))


def _as_gin(value: Any) -> str:
    if isinstance(value, tuple | list) and any(map(callable, value)):
        return f"[{', '.join(map(_as_gin, value))}]"
    return f"@{value.__name__}" if callable(value) else repr(value)
