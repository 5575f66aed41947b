"""gin_configs/distributions: every file parses, names factors of its dataset and leaves rows; row
counts, correlations and information are the published ones, and the headers say them.
"""

import importlib.util
import pathlib
import re

import gin
import numpy as np
import pytest

from dlib_tf2.configuration import gin_utils
from dlib_tf2.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "gin_configs" / "distributions"
NAMES = sorted(path.stem for path in FOLDER.glob("*.gin") if path.stem != "shared")
SPLITS = {
    "shapes3d_missing_fh": 240_000,
    "shapes3d_shape2ohue": 60_000,
    "shapes3d_shape2fhue": 60_000,
    "shapes3d_ohue_whue2fhue": 28_800,
    "shapes3d_ohue2whue": 57_600,
    "shapes3d_fhue2whue": 57_600,
    "shapes3d_shape2ohueq": 36_000,
    "shapes3d_shape2ohue_flnk": 60_000,
    "shapes3d_shape2orient": 64_000,
    "shapes3d_shape2ohue_element": 12_000,
    "shapes3d_leave1out": 72,
    "shapes3d_odd_ohue": 240_000,
    "shapes3d_odd_wnf_hue": 360_000,
    "shapes3d_cf_v2": 43_200,
    "shapes3d_cf_v3": 36_000,
    "shapes3d_cf_v4": 36_000,
    "shapes3d_cf_fair_v3": 60_000,
    "shapes3d_cf_fair_v4": 120_000,
    "shapes3d_cf_fair_v5": 60_000,
    "shapes3d_cf_fair_v7": 120_000,
    "dsprites_blank_side": 368_640,
    "dsprites_sqr2tx": 122_880,
    "dsprites_ell2tx": 122_880,
    "dsprites_sqr2scl": 122_880,
    "dsprites_sqr2tx_cent": 122_880,
    "dsprites_sqr2tx_rs": 115_200,
    "dsprites_sqr2tx_ls": 130_560,
    "dsprites_leave1out": 5_808,
    "dsprites_cf_v1": 122_880,
    # 492,480 published test rows, and those at 20, which the published code uses nowhere
    "mpi3d_toy_horz_gt20": 492_480 + 25_920,
    "mpi3d_toy_objc_gt3": 345_600,
    "mpi3d_toy_cyl2hx": 86_400,
    "mpi3d_toy_cyl2vx": 86_400,
    "mpi3d_toy_redoc2hx": 86_400,
    "mpi3d_toy_bkg2cyl": 115_200,
    "mpi3d_toy_leave1out": 16,
    # a quarter of the shapes and two of five hues; a third of the shapes and half the positions
    "rendered_shapes3d_shape2ohue": 3_000,
    "rendered_sprites_sqr2tx": 6_144,
}
PAIRS = [
    # file, SIGMA or None for the file's own, pair, r, mutual information in nats
    ("shapes3d_floor_wall", None, "floor_hue,wall_hue", 0.9507, 1.0841),
    ("shapes3d_shape_scale", None, "shape,scale", 0.9660, 1.1740),
    ("shapes3d_scale_orientation", None, "scale,orientation", 0.8081, 0.4999),
    ("shapes3d_scale_orientation", 0.7, "scale,orientation", 0.1877, 0.0179),
    ("shapes3d_scale_shape_and_floor_wall", 0.4, "scale,shape", 0.5175, 0.1514),
    ("shapes3d_scale_shape_and_floor_wall", 0.4, "floor_hue,wall_hue", 0.4575, 0.1150),
    ("shapes3d_scale_shape_and_floor_wall", 0.04, "scale,shape", 0.9970, 1.3435),
    ("shapes3d_scale_shape_and_floor_wall", 0.04, "floor_hue,wall_hue", 0.9978, 2.1240),
    ("shapes3d_triple_1", None, "scale,orientation", 0.9498, 1.0784),
    ("shapes3d_triple_1", None, "object_hue,floor_hue", 0.9507, 1.0841),
    ("dsprites_shape_scale", None, "shape,scale", 0.9777, 1.0737),
    ("dsprites_shape_scale", 0.04, "shape,scale", 0.9991, 0.8385),
    ("dsprites_x_y", None, "x_position,y_position", 0.9419, 1.0163),
    ("dsprites_shape_scale_and_x_y", 0.4, "shape,scale", 0.5672, 0.1865),
    ("dsprites_shape_scale_and_x_y", 0.04, "x_position,y_position", 0.9908, 1.8699),
    ("mpi3d_toy_x_y", None, "horizontal_axis,vertical_axis", 0.9412, 1.0105),
    ("mpi3d_real_x_y", None, "horizontal_axis,vertical_axis", 0.7799, 0.4452),
    ("mpi3d_real_x_y", 0.4, "horizontal_axis,vertical_axis", 0.4122, 0.0916),
    ("mpi3d_toy_color_shape_and_x_y", 0.04, "horizontal_axis,vertical_axis", 0.9907, 1.8635),
]

# What the published thresholds are compared with: the values in the datasets' files.
VALUES = {
    "shapes3d": {
        **dict.fromkeys(("floor_hue", "wall_hue", "object_hue"), np.arange(10) / 10),
        "scale": np.linspace(0.75, 1.25, 8),
        "orientation": np.linspace(-30, 30, 15),
    },
    "dsprites": {
        "shape": np.arange(1, 4),
        "scale": np.arange(5, 11) / 10,
        "orientation": np.round(np.linspace(0, 360, 40), 6),  # degrees
        **dict.fromkeys(("x_position", "y_position"), np.linspace(0, 1, 32)),
    },
    "rendered": {
        "object_hue": np.arange(0, 10, 2) / 10,
        "x_position": np.linspace(0, 1, 32)[::2],
    },
}
PUBLISHED = {
    # floor, wall, object hue, scale, shape, orientation
    "shapes3d_missing_fh": lambda f, w, o, s, k, r: f >= 0.5,
    "shapes3d_shape2ohue": lambda f, w, o, s, k, r: (k == 3) & (o >= 0.5),
    "shapes3d_shape2fhue": lambda f, w, o, s, k, r: (k == 3) & (f >= 0.5),
    "shapes3d_ohue_whue2fhue": lambda f, w, o, s, k, r: (o >= 0.8) & (w <= 0.2),
    "shapes3d_ohue2whue": lambda f, w, o, s, k, r: (o >= 0.75) & (w <= 0.5),
    "shapes3d_fhue2whue": lambda f, w, o, s, k, r: (f >= 0.75) & (w <= 0.5),
    "shapes3d_shape2ohueq": lambda f, w, o, s, k, r: (k == 3) & (o <= 0.25),
    "shapes3d_shape2ohue_flnk": lambda f, w, o, s, k, r: (k == 3) & (o > 0.25) & (o < 0.75),
    "shapes3d_shape2orient": lambda f, w, o, s, k, r: (k == 3) & (r >= 0),
    "shapes3d_leave1out": lambda f, w, o, s, k, r: (
        (np.minimum(np.minimum(f, w), o) >= 0.8) & (s >= 1.1) & (k == 1) & (r > 20)
    ),
    # shape, scale, degrees, x, y
    "dsprites_blank_side": lambda k, s, r, x, y: x > 0.5,
    "dsprites_sqr2tx": lambda k, s, r, x, y: (k == 1) & (x > 0.5),
    "dsprites_ell2tx": lambda k, s, r, x, y: (k == 2) & (x > 0.5),
    "dsprites_sqr2scl": lambda k, s, r, x, y: (k == 1) & (s > 0.75),
    "dsprites_sqr2tx_cent": lambda k, s, r, x, y: (k == 1) & (x > 0.25) & (x < 0.75),
    "dsprites_sqr2tx_rs": lambda k, s, r, x, y: (k == 1) & (x > 0.4) & (x < 0.9),
    "dsprites_sqr2tx_ls": lambda k, s, r, x, y: (k == 2) & ((x <= 0.1) | (x >= 0.6)),
    "dsprites_leave1out": lambda k, s, r, x, y: (
        (k == 2) & (s > 0.6) & (r > 120) & (r < 240) & (x > 0.66) & (y > 0.66)
    ),
    "rendered_shapes3d_shape2ohue": lambda f, w, o, s, k, r: (k == 3) & (o >= 0.5),
    "rendered_sprites_sqr2tx": lambda k, s, r, x, y: (k == 0) & (x > 0.5),
}
# Published on index / (values - 1).
SCALED = {
    "shapes3d_cf_v2": lambda f, w, o, s, k, r: (f < 0.25) & (w > 0.75),
    "shapes3d_cf_v3": lambda f, w, o, s, k, r: (k == 1) & (w > 0.75),
    "shapes3d_cf_v4": lambda f, w, o, s, k, r: (k == 1) & (f < 0.25),
    "shapes3d_cf_fair_v3": lambda f, w, o, s, k, r: (k == 1) & (w >= 0.5),
    "shapes3d_cf_fair_v4": lambda f, w, o, s, k, r: (f >= 0.5) & (w >= 0.5),
    "shapes3d_cf_fair_v5": lambda f, w, o, s, k, r: (k == 1) & (s >= 0.5),
    "shapes3d_cf_fair_v7": lambda f, w, o, s, k, r: (o >= 0.5) & (w >= 0.5),
    "dsprites_cf_v1": lambda k, s, r, x, y: (k == 1) & (x >= 0.5),
}


@pytest.fixture(scope="module")
def script():
    """docs/make_distributions_table.py as a module: it loads the files."""
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


def test_the_files_were_found():
    assert len(NAMES) > 70
    assert set(SPLITS) | {name for name, *_ in PAIRS} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_loads_leaves_rows_and_its_header_says_what_it_does(name, script):
    distribution, space = script.load(name)
    facts, head = distribution.facts(space), script.header(name)
    assert head["Source"]
    assert 0 < facts["rows"] <= space.size
    if name == "any_random":
        return
    pairs = re.findall(r"(\w+) with (\w+) (-?\d\.\d{4}) and (\d\.\d{4})", head.get("Pairs", ""))
    said = {
        f"{key}:{a},{b}": pytest.approx(float(value), abs=6e-5)
        for a, b, r, information in pairs
        for key, value in (("correlation", r), ("mutual_information", information))
    }
    assert {key: value for key, value in facts.items() if ":" in key} == said
    rows = re.match(r"([\d,]+) of ([\d,]+) are held out", head.get("Rows", ""))
    held_out, size = (int(text.replace(",", "")) for text in rows.groups()) if rows else (0, 0)
    assert space.size - facts["rows"] == held_out
    assert size == (space.size if rows else 0)
    assert pairs or rows


@pytest.mark.parametrize("name, held_out", SPLITS.items())
def test_a_split_holds_out_the_published_number_of_rows(name, held_out, script):
    distribution, space = script.load(name)
    assert distribution.held_out(space).sum() == held_out


def test_every_split_and_every_pair_is_held_against_numbers_of_its_own(script):
    assert {name for name in NAMES if "Rows" in script.header(name)} == set(SPLITS)


@pytest.mark.parametrize("name, sigma, pair, correlation, information", PAIRS)
def test_a_pair_has_the_published_correlation(name, sigma, pair, correlation, information, script):
    distribution, space = script.load(name, *([f"SIGMA = {sigma}"] if sigma else []))
    facts = distribution.facts(space)
    assert facts[f"correlation:{pair}"] == pytest.approx(correlation, abs=6e-5)
    assert facts[f"mutual_information:{pair}"] == pytest.approx(information, abs=6e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_confounder")])
def test_a_confounder_is_paired_with_all_others(name, script):
    distribution, space = script.load(name)
    pairs = [part.pair for part in distribution.parts]
    (confounder,) = {a for a, _ in pairs}
    assert sorted([confounder, *(b for _, b in pairs)]) == sorted(space.names)


@pytest.mark.parametrize("name, held_out", PUBLISHED.items())
def test_a_split_is_the_set_that_the_published_values_say(name, held_out, script):
    distribution, space = script.load(name)
    values = VALUES[name.split("_")[0]]
    factors = space.to_factors(np.arange(space.size)).T
    table = {
        factor: np.asarray(values.get(factor, np.arange(size)))[column]
        for factor, size, column in zip(space.names, space.sizes, factors, strict=True)
    }
    np.testing.assert_array_equal(distribution.held_out(space), held_out(*table.values()))


@pytest.mark.parametrize("name, held_out", SCALED.items())
def test_a_split_on_scaled_indices_is_the_published_set(name, held_out, script):
    distribution, space = script.load(name)
    scaled = space.to_factors(np.arange(space.size)).T / (np.array(space.sizes)[:, None] - 1)
    np.testing.assert_array_equal(distribution.held_out(space), held_out(*scaled))


def test_every_split_of_values_is_compared_as_a_set_too():
    rest = set(SPLITS) - set(PUBLISHED) - set(SCALED)
    # these are published in value indices
    assert {name for name in rest if not name.startswith("mpi3d_toy_")} == {
        "shapes3d_shape2ohue_element",
        "shapes3d_odd_ohue",
        "shapes3d_odd_wnf_hue",
    }


def test_the_embedded_full_grids_take_the_files_of_the_published_sets(script):
    assert script.SPACES["rendered_shapes3d/full"] == script.SPACES["shapes3d"]
    assert script.SPACES["rendered_sprites/full"] == script.SPACES["dsprites_full"]


def test_a_fraction_of_any_grid_is_held_out(script):
    distribution, space = script.load("any_random", "FRACTION = 0.7")
    assert distribution.held_out(space).sum() == round(0.7 * space.size)


def test_a_file_of_another_grid_is_refused_by_its_factors(script):
    distribution, _ = script.load("shapes3d_floor_wall")
    with pytest.raises(UserError, match="unknown factor 'floor_hue'; this grid has shape, scale"):
        distribution.facts(script.SPACES["dsprites_full"])


def test_a_distribution_after_a_model_sets_its_sampler():
    gin_utils.parse(["models/beta_vae.gin", "distributions/rendered_sprites_x_y.gin"])
    assert gin.query_parameter("%SAMPLER").config_key[-1].endswith("WeightedSampler")
    assert gin.query_parameter("%DATASET") == "rendered_sprites/small"
