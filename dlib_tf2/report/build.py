"""The report's stage: a table of results -> `report.html`, a drawing and a table of numbers for
each figure.
"""

import io
import os
import re
import warnings
from collections.abc import Callable

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from dlib_tf2.report import exhibit, page, style, tidy
from dlib_tf2.report.sections import Sampling, sections
from dlib_tf2.report.tidy import Scores
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.folders import Written, exactly, hold_folder
from dlib_tf2.system.paths import AnyPath

# The names that exhibits can have; a later report deletes these files only.
_EXHIBITS = (
    "absent|agreement|coverage|dependence_(?:tc|mi)|downstream|efficiency_(?:lr|gbt)|missing|models|"
    r"score_against_strength|selection|transfer|unsupervised|variance|violins_by_(?:method|strength_\w+)"
)
_WRITTEN = Written(
    {
        **exactly("report.html"),
        "figures": Written({rf"(?:{_EXHIBITS})\.svg": None}),
        "numbers": Written({rf"(?:{_EXHIBITS})\.csv": None}),
    }
)


def build(
    results: str | os.PathLike,
    output_dir: str | os.PathLike,
    study: str | None = None,
    backend: str | None = None,
    expected: Callable[[str], tidy.Whole] = lambda study: None,
    size: int | None = None,
    sampling: Sampling | None = None,
) -> Scores:
    """Writes `report.html`, `figures/*.svg` and `numbers/*.csv`; figures and tables of an earlier
    report that this one does not have are deleted.

    Args:
        results: table of dlib_aggregate_results.
        output_dir: a folder with an earlier report, or one that is empty or does not exist.
        study: which study of the table; by default the one with most models.
        backend: whose boosted trees, such as "lightgbm_exact"; by default those that scored most
            models.
        expected: name of a study -> its models, or their number, where that is known.
        size: number of models in the whole study; by default what `expected` says.
        sampling: number and seed of the random draws.

    Returns:
        What the report was made from.

    Raises:
        UserError: the table is missing, damaged, empty, or has no row of that study or backend; or
            the folder holds something else, or another process writes to it.
        DlibError: a file cannot be written.
    """
    sampling = sampling or Sampling()
    scores = tidy.prepare(tidy.read(results), study, backend, expected, size)
    with hold_folder(output_dir, "report", _WRITTEN) as folder:
        _write_all(folder, scores, sampling)
    return scores


def _write_all(folder: AnyPath, scores: Scores, sampling: Sampling) -> None:
    written = set()
    made = []
    with matplotlib.rc_context(style.RC):
        for heading, makers in sections(scores, sampling):
            shown = []
            for make in makers:
                item = make()
                assert re.fullmatch(_EXHIBITS, item.name), f"{item.name} is missing in _EXHIBITS"
                svg = None if item.figure is None else _svg(item.figure)
                if svg is not None:
                    written.add(_write(folder / "figures" / f"{item.name}.svg", svg))
                written.add(_write_csv(folder / "numbers" / f"{item.name}.csv", item.numbers))
                shown.append((item, svg))
            made.append((heading, shown))
    every = tuple(
        column
        for column in scores.models.columns
        if scores.models[column].dtype.kind == "f" and column != "strength"
    )
    written.add(_write_csv(folder / "numbers" / "missing.csv", exhibit.missing(scores, every)))
    if len(scores.absent):
        written.add(_write_csv(folder / "numbers" / "absent.csv", scores.absent))
    written.add(_write_csv(folder / "numbers" / "models.csv", scores.models))
    _write(folder / "report.html", page.render(scores, made, sampling))
    for path in [*folder.glob("figures/*.svg"), *folder.glob("numbers/*.csv")]:
        if path not in written and re.fullmatch(_EXHIBITS, path.stem):
            path.unlink()


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    with warnings.catch_warnings():
        # Text stays text in the file: what matters are the fonts of the reader's browser, not those
        # found here.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        figure.savefig(file, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _write(path: AnyPath, text: str) -> AnyPath:
    with atomic_write(path, "w") as file:
        file.write(text)
    return path


def _write_csv(path: AnyPath, numbers: pd.DataFrame) -> AnyPath:
    with atomic_write(path, "w") as file:
        numbers.to_csv(file, index=False, lineterminator="\n")
    return path
