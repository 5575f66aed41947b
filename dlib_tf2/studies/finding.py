"""Finds a study by the name of its file: `studies/<name>.py` in the current folder, or one of
`named/`.
"""

import functools
import importlib.machinery
import pathlib
import re
import types
from typing import Any

from dlib_tf2.errors import UserError, suggest
from dlib_tf2.studies.study import Study

_SHIPPED = pathlib.Path(__file__).parent / "named"


def known_names() -> list[str]:
    """The names that `find` accepts."""
    files = [*pathlib.Path("studies").glob("*.py"), *_SHIPPED.glob("*.py")]
    return sorted({path.stem for path in files if not path.stem.startswith("_")})


def find(name: str) -> Study:
    """Loads a study.

    Raises:
        UserError: no study has that name, or its file fails or defines no `STUDY`.
    """
    for folder in (pathlib.Path("studies"), _SHIPPED):
        path = folder / f"{name}.py"
        if re.fullmatch(r"[A-Za-z]\w*", name) and path.is_file():
            return _load(path.resolve())
    known = known_names()
    listed = f"the known ones are {', '.join(known)}"
    raise UserError(f"unknown study {name!r}; {listed}{suggest(name, known)}")


def models_of(name: str) -> list[dict[str, Any]] | None:
    """A row of model_num, dataset, method, bindings and seed for each model of a study; None if no
    file defines the study.
    """
    if name not in known_names():
        return None
    return [
        {
            "model_num": number,
            "dataset": dataset,
            "method": setting.method,
            "bindings": ", ".join(setting.bindings),
            "seed": seed,
        }
        for number, (dataset, setting, seed) in enumerate(find(name).configurations)
    ]


@functools.cache
def _load(path: pathlib.Path) -> Study:
    loader = importlib.machinery.SourceFileLoader(f"dlib_tf2_study_{path.stem}", str(path))
    module = types.ModuleType(loader.name)
    try:
        loader.exec_module(module)
    except Exception as error:  # a person's file may fail in any way
        raise UserError(f"{path} fails: {type(error).__name__}: {error}; correct it") from error
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study) or not len(study):
        raise UserError(
            f"{path} defines no STUDY = Study(...) of at least one model (dlib_tf2.studies.Study);"
            " add it"
        )
    return study
