"""The tables of docs/supervision.md are those of its results."""

import importlib.util
import pathlib

import pandas
import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"
TABLES = sorted((DOCS / "supervision").glob("*.parquet"))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("script", DOCS / "make_supervision_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_results():
    assert "weak_rendered_study" in {path.stem for path in TABLES}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_number_is_made_from_the_results(path, script):
    page = (DOCS / "supervision.md").read_text()
    rows = script.lines(pandas.read_parquet(path))
    assert len(rows) > 3
    for row in rows:
        assert row in page
