"""Lists of datasets, models, metrics, studies, suites and distributions; never imports TensorFlow.

Everything is found by its file, so that a new one is listed without a change here.
"""

import importlib
import itertools
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence

from dlib_tf2 import studies
from dlib_tf2.configuration import declaration, gin_text
from dlib_tf2.datasets import loading
from dlib_tf2.errors import UserError

# whose strengths are listed beside each model
_STUDIES = ("unsupervised_study_v1", "weak_supervision_published", "few_labels_published")
_LONG = ("gin_files", "distributions")
_NOT_RUN = "no runnable file"  # what the comment of a gin file says that only others include
_NO_SUITE = ("classifiers",)  # gin files beside the suites that are not suites


def describe(kinds: Sequence[str], data_dir: str | os.PathLike | None = None) -> str:
    """The lists of some kinds as text, one below the other.

    Args:
        kinds: keys of `KINDS`; by default all but the gin files, whose names alone say little, and
            the distributions, of which there are many.
        data_dir: folder of prepared datasets, as in `datasets.load`.

    Raises:
        UserError: there is no such kind.
    """
    chosen = [_kind(kind) for kind in kinds or [kind for kind in KINDS if kind not in _LONG]]
    return "\n\n".join(table(data_dir) for _, table in chosen)


def names(kind: str) -> list[str]:
    """The names of one kind, or with "kinds" of all kinds, as completion offers them.

    Raises:
        UserError: there is no such kind.
    """
    return list(KINDS) if kind == "kinds" else _kind(kind)[0]()


def _kind(kind: str) -> tuple[Callable[[], list[str]], Callable[..., str]]:
    if kind not in KINDS:
        raise UserError(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
    return KINDS[kind]


def _datasets(data_dir: str | os.PathLike | None) -> str:
    rows = []
    for name in loading.known_names():
        folders = loading.tables(name, data_dir)
        ready = [config or "yes" for config, parts in folders.items() if all(map(_is_table, parts))]
        module = importlib.import_module(f"dlib_tf2.datasets.named.{name}")
        about = " ".join((module.__doc__ or "").partition("\n\n")[0].split())
        configs = ", ".join(filter(None, folders))
        rows.append((name, configs, ", ".join(ready) or "no", about.partition(": ")[2]))
    title = f"Datasets in {loading.data_folder(data_dir)}"
    return _table(title, ("name", "configs", "prepared", "images"), rows)


def _is_table(folder: pathlib.Path) -> bool:
    return (folder / "table.json").is_file() and (folder / "images.npy").is_file()


def _models(_: object) -> str:
    strengths: dict[str, tuple[str, list[str]]] = {}
    for one in itertools.chain(*(studies.find(name).configurations for name in _STUDIES)):
        macro, _, value = one.setting.bindings[0].partition(" = ")
        values = strengths.setdefault(one.setting.method, (macro, []))[1]
        if (short := f"{float(value):g}") not in values:
            values.append(short)
    rows = []
    for name in _runnable("models"):
        macro, values = strengths.get(name, ("", []))
        text = _text("models", name)
        default = re.search(rf"^{macro} = (.+)$", text, re.M) if macro else None
        strength = f"{macro} = {default[1]}" if default else ""
        rows.append((name, strength, ", ".join(values), _title(text).rstrip(".")))
    return _table("Models", ("name", "strength", "published values", "method"), rows)


def _metrics(_: object) -> str:
    rows = []
    for name in _files("metrics"):
        text = _text("metrics", name)
        found = declaration.of_metric(name)
        about = _title(text).partition(": ")[0]
        if found is None:
            rows.append((name, "", "", "", "", about))
            continue
        best = "higher" if found.higher_is_better else "lower"
        rows.append((name, found.key, best, f"{found.random:g}", found.cost, about))
    return _table("Metrics", ("name", "headline key", "better", "noise", "cost", "title"), rows)


def _studies(_: object) -> str:
    rows = []
    for name in studies.known_names():
        study = studies.find(name)
        sets = list(dict.fromkeys(one.dataset for one in study.configurations))
        rows.append((name, f"{len(study):,}", study.suite, ", ".join(sets)))
    return _table("Studies", ("name", "models", "suite", "datasets"), rows)


def _distributions(_: object) -> str:
    rows = [
        (f"distributions/{name}.gin", _title(_text("distributions", name)).rstrip("."))
        for name in _runnable("distributions")
    ]
    return _table("Distributions over a grid", ("--gin_config", "title"), rows)


def _suite_names() -> list[str]:
    return [name for name in _files("suites") if name not in _NO_SUITE]


def _suites(_: object) -> str:
    rows = []
    for name in _suite_names():
        text = gin_text.GinText([f"suites/{name}.gin"])
        chosen = declaration.expanded(text.value("evaluate.metrics", []))
        title = _title(_text("suites", name)).partition(": ")[0]
        rows.append((f"suites/{name}.gin", str(len(chosen)), title))
    return _table("Suites", ("--gin_config", "metrics", "title"), rows)


def _gin_files() -> list[str]:
    folders = (pathlib.Path("gin_configs"), gin_text.config_dir())
    found = [(folder, path) for folder in folders for path in folder.rglob("*.gin")]
    return sorted({path.relative_to(folder).as_posix() for folder, path in found})


def _gin_table(_: object) -> str:
    return _table("Gin files", ("--gin_config",), [(name,) for name in _gin_files()])


def _files(folder: str) -> list[str]:
    """The names of the gin files of a folder, with those in the user's current folder."""
    places = (pathlib.Path(folder), gin_text.config_dir() / folder)
    return sorted({path.stem for place in places for path in place.glob("*.gin")})


def _runnable(folder: str) -> list[str]:
    """The names of those that are not there for others to include only."""
    return [name for name in _files(folder) if _NOT_RUN not in _text(folder, name)]


def _text(folder: str, name: str) -> str:
    return gin_text.find_file(f"{folder}/{name}.gin").read_text(encoding="utf-8")


def _title(text: str) -> str:
    """The first sentence of a gin file's opening comment; its first line if that is a command."""
    lines = list(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines()))
    comment = " ".join(line.lstrip("# ").strip() for line in lines)
    sentence = re.split(r"(?<=\.)(?<! al\.) ", comment)[0]
    return lines[0].lstrip("# ").strip() if "--" in sentence else sentence


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A title and aligned columns; the last column is not padded."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n  ".join([title, *padded])


KINDS: dict[str, tuple[Callable[[], list[str]], Callable[..., str]]] = {
    "datasets": (loading.known_names, _datasets),
    "models": (lambda: _runnable("models"), _models),
    "metrics": (lambda: _files("metrics"), _metrics),
    "studies": (studies.known_names, _studies),
    "suites": (_suite_names, _suites),
    "distributions": (lambda: _runnable("distributions"), _distributions),
    "gin_files": (_gin_files, _gin_table),
}
