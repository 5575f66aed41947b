"""docs/theorem.md and the script behind it: a rotation leaves what sees the codes alone where it
was, and makes supervised scores fall.
"""

import importlib.util
import json
import pathlib
import re

import numpy as np
import pytest

from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.representations.representation import Representation

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "theorem.md").read_text(encoding="utf-8")
UNSUPERVISED, SUPERVISED = ("Gaussian", "mutual"), ("MIG", "FactorVAE", "DCI d", "DCI c", "MCC")


@pytest.fixture(scope="module")
def theorem():
    spec = importlib.util.spec_from_file_location("theorem", DOCS / "theorem.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def columns(theorem):
    """The scores of ideal codes on a grid of 6,144 rows, of their whitened and of their rotated
    twin.
    """
    tables = theorem.ideal_tables((4, 6, 16, 4, 4))
    return {
        name: theorem.scores(table, lightgbm_exact_gradient_boosting, dci_rows=1000)
        for name, table in tables.items()
    }


def read_table(text):
    """{row: [numbers]} of a Markdown table."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return {row: [float(cell.split(" ")[0]) for cell in cells] for row, *cells in lines[1:]}


@pytest.mark.slow
def test_a_rotation_of_ideal_codes_moves_the_supervised_scores_only(
    columns,
):
    _, white, rotated = columns.values()
    assert abs(white["unsupervised, all rows"]["gaussian_total_correlation"]) < 1e-4
    assert abs(rotated["unsupervised, all rows"]["gaussian_total_correlation"]) < 1e-4
    for key, bound in (
        ("gaussian_total_correlation", 2e-3),
        ("gaussian_wasserstein_correlation_norm", 5e-4),
        ("mutual_information", 0.02),
    ):
        assert abs(white["unsupervised"][key] - rotated["unsupervised"][key]) < bound
    assert white["mig"]["mig"] > 0.8
    assert rotated["mig"]["mig"] < 0.15
    for key in ("disentanglement", "completeness"):
        assert white["dci"][key] > 0.85
        assert rotated["dci"][key] < 0.35
    assert rotated["factor_vae"]["eval_accuracy"] < 0.85 < white["factor_vae"]["eval_accuracy"]
    assert rotated["mcc"]["mcc_pearson"] < 0.75 < white["mcc"]["mcc_pearson"]
    assert rotated["mcc"]["linear_r2"] == pytest.approx(1, abs=1e-3)  # and yet nothing is lost


@pytest.mark.slow
def test_whitening_alone_is_not_what_makes_them_collapse(columns):
    ideal, white, _ = columns.values()
    assert white["mig"]["mig"] == pytest.approx(ideal["mig"]["mig"], abs=0.02)
    assert white["dci"]["disentanglement"] > ideal["dci"]["disentanglement"] - 0.1


@pytest.mark.slow
def test_the_script_prints_a_row_per_score(theorem, columns):
    table = read_table(theorem.markdown(columns))
    assert list(table) == list(theorem.ROWS)
    assert table["MIG"] == [
        pytest.approx(column["mig"]["mig"], abs=1e-4) for column in columns.values()
    ]


def test_the_script_reads_the_scores_of_a_model(theorem, tmp_path, monkeypatch, capsys):
    for number, name in enumerate(("mean", "whitened", "rotated")):
        (tmp_path / name).mkdir()
        found = {
            "mig": {"mig": 0.5 - 0.1 * number, "mig:std": 0.01},
            "mcc": {"mcc_pearson": 0.25, "linear_r2": 1.0},
        }
        (tmp_path / name / "scores.json").write_text(json.dumps(found))
    monkeypatch.setattr("sys.argv", ["theorem.py", f"--scores_dir={tmp_path}"])
    theorem.main()
    assert capsys.readouterr().out.splitlines() == [
        "| Score | mean | whitened | rotated |",
        "|---|---|---|---|",
        "| MIG | 0.5000 ± 0.0100 | 0.4000 ± 0.0100 | 0.3000 ± 0.0100 |",
        "| MCC | 0.2500 | 0.2500 | 0.2500 |",
        "| R² of a linear regression | 1.0000 | 1.0000 | 1.0000 |",
    ]


def test_the_tables_of_the_page_are_of_the_script_and_show_what_the_page_says(theorem):
    ideal, model = (
        read_table(table)
        for table in re.findall(r"(?:^\|.*\n)+", PAGE, flags=re.M)
        if table.startswith("| Score | ")
    )
    assert list(ideal) == list(theorem.ROWS)
    assert list(model) == [row for row in theorem.ROWS if "all rows" not in row]
    for table in (ideal, model):
        for row, (_, white, rotated) in table.items():
            if row.startswith(UNSUPERVISED):
                assert abs(white - rotated) < 0.02, row
            elif row.startswith(SUPERVISED):
                assert rotated < 0.85 * white, row
        assert table["MIG"][2] < 0.3 * table["MIG"][1]
        assert table["DCI disentanglement"][2] < 0.3 * table["DCI disentanglement"][1]


def test_the_snippets_of_the_page_turn_an_array_and_a_table(tmp_path, monkeypatch):
    of_an_array, of_a_table = (
        block.strip() for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    )
    assert len(of_an_array.splitlines()) == 3
    factors = np.stack(np.unravel_index(np.arange(240), (4, 5, 12)), axis=1)
    names = {"codes": factors + np.random.default_rng(0).normal(0, 0.1, factors.shape)}
    exec(of_an_array, names)
    np.testing.assert_allclose(np.cov(names["rotated"].T, ddof=0), np.eye(3), atol=1e-3)

    monkeypatch.chdir(tmp_path)
    source, target = re.findall(r'"(.*?/representation.npz)"', of_a_table)
    Representation.from_arrays(names["codes"], factors).save(source)
    exec(of_a_table, names)
    np.testing.assert_array_equal(Representation.load(target).codes, names["rotated"])
    np.testing.assert_array_equal(Representation.load(target).factors, factors)
