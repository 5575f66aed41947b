"""docs/distributions.md: its tables are what the script makes, its examples work, and what it says
of numbers is so.
"""

import importlib.util
import pathlib
import re

import gin
import numpy as np
import pytest

from dlib_tf2.datasets.distributions import GridDistribution, correlate, hold_out
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.named.shapes3d import SPACE

ROOT = pathlib.Path(__file__).parents[2]
COARSE = FactorSpace(("a", "b"), (3, 6))
PAGE = (ROOT / "docs" / "distributions.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script():
    """docs/make_distributions_table.py as a module."""
    spec = importlib.util.spec_from_file_location(
        "make_distributions_table", ROOT / "docs" / "make_distributions_table.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def clean_gin():
    yield
    gin.clear_config()


def test_the_table_of_sigmas_is_what_the_script_makes(script):
    assert script.sigmas() in PAGE


def test_the_table_of_files_is_what_the_script_makes(script):
    assert script.table() in PAGE


def test_files_and_parts_of_the_text_exist(script):
    named = set(re.findall(r"--gin_config=distributions/(\w+)\.gin", PAGE))
    assert named <= set(script.NAMES)
    assert set(re.findall(r"pictures/(distributions_\w+)\.png", PAGE)) == {
        path.stem for path in (ROOT / "docs" / "pictures").glob("distributions_*.png")
    }


@pytest.mark.parametrize(
    "predicate", sorted(set(re.findall(r"`([^`\n]*_(?:hue|position)[^`\n]*[<=>][^`\n]*)`", PAGE)))
)
def test_a_predicate_of_the_text_is_accepted(predicate, script):
    for dataset in ("shapes3d", "dsprites_full"):
        space = script.SPACES[dataset]
        if all(name in space.names for name in re.findall(r"[a-z]\w+", predicate)):
            assert GridDistribution([hold_out(predicate)]).held_out(space).any()
            return
    pytest.fail(f"{predicate} names factors of no dataset")


def test_the_python_example_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"^    from dlib_tf2.*?(?=^\S)", PAGE, re.M | re.S)
    exec(re.sub(r"^    ", "", example, flags=re.M), {})
    assert (tmp_path / "distribution.png").stat().st_size > 1000


def test_what_the_text_says_of_marginals():
    pair = GridDistribution([correlate("floor_hue", "wall_hue", 0.2)]).probabilities(SPACE)
    marginal = pair.reshape(SPACE.sizes).sum(axis=(1, 2, 3, 4, 5))
    assert f"the first has probability\n  {marginal[0]:.3f}" in PAGE
    assert f"the middle ones {marginal[4]:.3f}" in PAGE
    for sigma, probability in ((0.1, "0.35"), (0.04, "0.04")):
        table = GridDistribution([correlate("a", "b", sigma)]).probabilities(COARSE)
        assert f"{table.reshape(COARSE.sizes)[1].sum():.2f}" == probability
    assert "sigma 0.1 it has probability 0.35, with 0.04 only 0.04" in PAGE
    others = [name for name in SPACE.names if name != "shape"]
    confounder = GridDistribution([correlate("shape", other, 0.2) for other in others])
    shapes = confounder.probabilities(SPACE).reshape(SPACE.sizes).sum(axis=(0, 1, 2, 3, 5))
    np.testing.assert_allclose(shapes[[0, 3]], 0.043, atol=5e-4)
    assert "the two outer shapes\nare 4 % each" in PAGE
