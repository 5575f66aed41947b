"""docs/metrics.md: every metric has its rows, the cheap numbers are what the code says, and no text
repeats them; docs/metrics_notes.md: every metric has its section.
"""

import importlib.util
import pathlib
import re

import gin
import pytest

from dlib_tf2.metrics import collecting

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
NOTES = (ROOT / "docs" / "metrics_notes.md").read_text()
VARIANTS = {
    "downstream_task_boosted_trees": "downstream_task",
    "downstream_task_logistic_regression": "downstream_task",
}
NAMES = sorted(path.stem for path in (ROOT / "gin_configs" / "metrics").glob("*.gin"))
# under a second each
CHEAP = ("dcimig", "factor_vae", "irs", "jemmig", "mcc", "med", "mig", "mig_sup", "unsupervised")


@pytest.fixture(scope="module")
def script():
    """docs/make_metrics_table.py as a module."""
    spec = importlib.util.spec_from_file_location(
        "make_metrics_table", ROOT / "docs" / "make_metrics_table.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def clean_gin():
    yield
    gin.clear_config()


def table():
    """The rows of the page: {(metric, key): cells}."""
    found, metric = {}, ""
    for line in PAGE.splitlines():
        if row := re.fullmatch(r"\| (`\w+`|) \| `(\S+)` \| (.*) \|", line):
            metric = row[1].strip("`") or metric
            found[metric, row[2]] = [cell.strip() for cell in row[3].split("|")]
    return found


SECTIONS = re.findall(r"^### (\w+)$", NOTES, flags=re.M)


def test_sections_and_rows_are_of_metrics_that_exist(script):
    known = {VARIANTS.get(name, name) for name in NAMES}
    assert len(SECTIONS) >= 20
    assert set(SECTIONS) <= known | {"udr"}
    assert len({metric for metric, _ in table()}) >= 20
    assert {metric for metric, _ in table()} <= set(script.parse("all"))


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_says_what_is_needed(name):
    section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", NOTES, flags=re.S | re.M)
    assert all(f"**{word}**" in section[1] for word in ("Measures", "Range", "Source", "Pitfalls"))
    assert re.search(r"arXiv\s+\d{4}\.\d{5}|OpenReview", section[1])


def test_a_row_has_the_keys_and_a_cell_per_kind(script):
    for (metric, key), cells in table().items():
        assert key in script.keys(metric)
        assert len(cells) == len(script.KINDS) + 1
        assert all(re.fullmatch(r"-?\d+\.\d{3,4}", cell) for cell in cells[:-1]), (metric, key)


def test_scores_of_known_codes_stand_in_the_table_only():
    for name in NAMES:
        header = (ROOT / "gin_configs" / "metrics" / f"{name}.gin").read_text().split("\n\n")[0]
        assert not re.search(r"\b[01]\.\d|perfect codes", header, flags=re.I), name
    shown = {
        (metric, cell)
        for (metric, _), cells in table().items()
        for cell in cells[:-1]
        if not re.fullmatch(r"[01]\.0+", cell)
    }
    repeated = []
    for metric, cell in shown:
        name = VARIANTS.get(metric, metric)
        section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", NOTES, flags=re.S | re.M)[1]
        text = section + (ROOT / "dlib_tf2" / "metrics" / f"{name}.py").read_text()
        if re.search(rf"(?<![\d.]){re.escape(cell)}(?!\d)", text):
            repeated.append((metric, cell))
    assert repeated == []


@pytest.mark.parametrize("kind", ["beside dead", "noise", "constant"])
def test_the_cheap_rows_are_what_the_code_says(script, kind):
    script.parse("all")
    rows, codes = table(), script.make_table(kind)
    for name in CHEAP:
        with collecting():  # warnings of constant codes, which tests/metrics expects
            scores = script.score(name, codes)
        for key, value in scores.items():
            # Three digits; releases of numpy may round otherwise, and a row at the edge of a bin
            # may change it.
            assert value == pytest.approx(
                float(rows[name, key][script.KINDS.index(kind)]), abs=0.0015
            ), (name, key)
