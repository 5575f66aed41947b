"""Distributions over the grid: published correlations and splits, predicates, mistakes."""

import numpy as np
import pytest
from scipy import stats

from dlib_tf2.datasets.distributions import (
    GridDistribution,
    correlate,
    first,
    hold_out,
    interpolate,
    random_hold_out,
)
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.errors import UserError

SHAPES3D = FactorSpace(
    ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"), (10, 10, 10, 8, 4, 15)
)
DSPRITES = FactorSpace(("shape", "scale", "orientation", "x", "y"), (3, 6, 40, 32, 32))


def pair(sizes, sigma, inverse=False):
    space = FactorSpace(("a", "b"), sizes)
    return GridDistribution([correlate("a", "b", sigma, inverse)]), space


def test_weights_of_a_correlated_pair_by_hand():
    distribution, space = pair((4, 3), 0.2)
    expected = [
        [0.249525, 0.010963, 0.000001],
        [0.062220, 0.176326, 0.000965],
        [0.000965, 0.176326, 0.062220],
        [0.000001, 0.010963, 0.249525],
    ]
    np.testing.assert_allclose(
        distribution.probabilities(space).reshape(4, 3), expected, atol=6e-7, rtol=0
    )


# (Pearson r, mutual information in nats) for each sigma: the reference's whole table
SIGMAS = (0.04, 0.1, 0.2, 0.4, 0.7)
PUBLISHED = {
    (10, 10): "0.9978/2.1240 0.9507/1.0841 0.8100/0.5036 0.4575/0.1150 0.1891/0.0181",
    (32, 32): "0.9908/1.8699 0.9419/1.0163 0.7824/0.4498 0.4158/0.0933 0.1667/0.0140",
    (40, 40): "0.9907/1.8635 0.9412/1.0105 0.7799/0.4452 0.4122/0.0916 0.1648/0.0137",
    (3, 6): "0.9991/0.8385 0.9777/1.0737 0.8799/0.6683 0.5672/0.1865 0.2536/0.0330",
    (8, 4): "0.9970/1.3435 0.9660/1.1740 0.8452/0.5839 0.5175/0.1514 0.2235/0.0255",
    (8, 15): "0.9932/1.8798 0.9498/1.0784 0.8081/0.4999 0.4549/0.1136 0.1877/0.0179",
}


@pytest.mark.parametrize(
    "sizes, sigma, correlation, information",
    [
        (sizes, sigma, *map(float, cell.split("/")))
        for sizes, row in PUBLISHED.items()
        for sigma, cell in zip(SIGMAS, row.split(), strict=True)
    ],
)
def test_correlation_and_information_are_the_published_ones(sizes, sigma, correlation, information):
    distribution, space = pair(sizes, sigma)
    facts = distribution.facts(space)
    assert facts["correlation:a,b"] == pytest.approx(correlation, abs=6e-5)
    assert facts["mutual_information:a,b"] == pytest.approx(information, abs=6e-5)
    assert facts["entropy"] == pytest.approx(stats.entropy(distribution.probabilities(space)))
    inverse = pair(sizes, sigma, inverse=True)[0].facts(space)
    assert inverse["correlation:a,b"] == pytest.approx(-correlation, abs=6e-5)


def test_marginals_of_a_correlated_pair():
    distribution, space = pair((10, 10), 0.2)
    marginal = distribution.probabilities(space).reshape(10, 10).sum(axis=1)
    np.testing.assert_allclose(marginal[:5], [0.0710, 0.0931, 0.1070, 0.1134, 0.1155], atol=5e-5)
    np.testing.assert_allclose(marginal, marginal[::-1])


@pytest.mark.parametrize(
    "space, predicate, held_out",
    [
        (SHAPES3D, "floor_hue >= 5", 240_000),
        (SHAPES3D, "shape == 3 and object_hue >= 5", 60_000),
        (SHAPES3D, "object_hue >= 8 and wall_hue <= 2", 28_800),
        (SHAPES3D, "object_hue >= 8 and wall_hue <= 5", 57_600),
        (SHAPES3D, "shape == 3 and 2 < object_hue < 8", 60_000),
        (SHAPES3D, "shape == 3 and object_hue == 2", 12_000),
        (SHAPES3D, "object_hue % 2 == 1", 240_000),
        (SHAPES3D, "wall_hue % 2 == 1 or object_hue % 2 == 1", 360_000),
        (SHAPES3D, "not (floor_hue >= 5)", 240_000),
        (DSPRITES, "x > 15", 368_640),
        (DSPRITES, "shape == 0 and x > 15", 122_880),
        (DSPRITES, "x + 1 > y * 2 - 1 and x // 2 != -1", 276 * 720),
    ],
)
def test_predicates_hold_out_the_published_numbers_of_rows(space, predicate, held_out):
    distribution = GridDistribution([hold_out(predicate)])
    if "y * 2" in predicate:
        held_out = 720 * sum(x + 1 > y * 2 - 1 for x in range(32) for y in range(32))
    assert distribution.held_out(space).sum() == held_out
    kept = distribution.probabilities(space)
    assert distribution.facts(space)["rows"] == space.size - held_out
    assert kept[kept > 0] == pytest.approx(1 / (space.size - held_out))


def test_a_predicate_speaks_of_value_indices():
    held_out = GridDistribution([hold_out("shape == 1 and y >= 30")]).held_out(DSPRITES)
    factors = DSPRITES.to_factors(np.arange(DSPRITES.size))
    np.testing.assert_array_equal(held_out, (factors[:, 0] == 1) & (factors[:, 4] >= 30))


def test_parts_multiply_and_rows_of_an_incomplete_grid_keep_their_weights():
    space = FactorSpace(("a", "b"), (4, 3))
    parts = [correlate("a", "b", 0.2), interpolate("a", "odd"), first(9)]
    factors = space.to_factors(np.arange(12))
    expected = GridDistribution(parts[:1]).probabilities(space)
    expected = expected * (factors[:, 0] % 2 == 1) * (np.arange(12) < 9)
    both = GridDistribution(parts)
    np.testing.assert_allclose(both.probabilities(space), expected / expected.sum(), rtol=1e-12)
    cells = np.array([1, 3, 4, 10])
    some = both.probabilities(space, cells)
    np.testing.assert_allclose(some, expected[cells] / expected[cells].sum(), rtol=1e-12)
    assert both.facts(space, cells)["rows"] == 2
    assert "odd values of a" in both.facts(space)["distribution"]


def test_a_random_part_is_held_out_by_its_seed_only():
    part = GridDistribution([random_hold_out(0.25, seed=3)])
    mask = part.held_out(SHAPES3D)
    assert mask.sum() == 120_000
    np.testing.assert_array_equal(mask, part.held_out(SHAPES3D))
    other = GridDistribution([random_hold_out(0.25, seed=4)]).held_out(SHAPES3D)
    assert (mask & other).mean() == pytest.approx(0.25**2, abs=0.002)


def test_without_parts_it_is_uniform():
    facts = GridDistribution().facts(DSPRITES)
    assert facts == {
        "distribution": "uniform",
        "rows": 737_280,
        "entropy": pytest.approx(np.log(737_280)),
    }


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: [hold_out("shap == 1")], "unknown factor 'shap'; this grid has shape, scale"),
        (lambda: [correlate("x", "z", 0.1)], "unknown factor 'z'"),
        (lambda: [hold_out("x >= 0")], "no row is left by held out: x >= 0"),
        (lambda: [hold_out("x")], "'x' in the predicate 'x' is no comparison"),
        (lambda: [hold_out("x > .5")], "'0.5' in the predicate .* neither a factor nor a whole"),
        (lambda: [hold_out("x > (1).real")], "neither a factor nor a whole number"),
        (lambda: [hold_out("x % (y - y) == 1")], "divides by zero"),
        (lambda: [hold_out("open('f') == 1")], "neither a factor nor a whole number"),
        (lambda: [hold_out("x >")], "cannot read the predicate 'x >'"),
        (lambda: [hold_out(3)], "cannot read the predicate 3"),
        (lambda: [correlate("x", "x", 0.1)], "needs two factors"),
        (lambda: [correlate("x", "y", 0)], "correlate.sigma must be a number of at least 0.001"),
        (lambda: [random_hold_out(1.0)], "must be below 1"),
        (lambda: [interpolate("x", "both")], '"even" or "odd", got'),
        (lambda: [first(0)], "first.n must be a whole number of at least 1"),
        (lambda: "hold_out", "must be a list of calls"),
    ],
)
def test_mistakes_are_one_line(make, message):
    with pytest.raises(UserError, match=message) as error:
        GridDistribution(make()).probabilities(DSPRITES)
    assert "\n" not in str(error.value)


def test_a_grid_too_large_to_weigh_is_refused():
    with pytest.raises(UserError, match="too large to weigh"):
        GridDistribution().probabilities(FactorSpace(("a", "b"), (2**13, 2**13)))


def test_a_rare_combination_is_not_held_out():
    space = FactorSpace(("a", "b"), (32, 32))
    distribution = GridDistribution([correlate("a", "b", 0.01)] * 6)
    assert not distribution.held_out(space).any()
    assert distribution.facts(space)["rows"] == 1024


@pytest.mark.parametrize(
    "predicate, message",
    [
        ("shape == 7", "shape has no value 7 .* its value indices are 0 .. 2"),
        ("x <= 32", "x has no value 32"),
        ("3 <= shape", "shape has no value 3"),
        (f"shape == {10**27}", "shape has no value"),
        ("shape == 1 and shape == 2", "holds nothing out; value indices run from 0 to size - 1"),
        ("not " * 400 + "shape == 1", "cannot read the predicate"),
    ],
)
def test_a_predicate_of_values_that_do_not_exist_is_refused(predicate, message):
    with pytest.raises(UserError, match=message):
        GridDistribution([hold_out(predicate)]).probabilities(DSPRITES)


def test_spaces_around_a_predicate_do_not_matter():
    a, b = (GridDistribution([hold_out(text)]) for text in ("  shape == 1 ", "shape == 1"))
    np.testing.assert_array_equal(a.held_out(DSPRITES), b.held_out(DSPRITES))


def test_inverse_is_a_truth_value():
    with pytest.raises(UserError, match="correlate.inverse must be True or False, got 'no'"):
        correlate("x", "y", 0.1, "no")
