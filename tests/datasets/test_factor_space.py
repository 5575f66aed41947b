"""FactorSpace: mixed radix both ways, its errors, its sampling."""

import numpy as np
import pytest

from dlib_tf2.datasets import FactorSpace
from dlib_tf2.datasets.renderers import sprites

FULL = sprites.GRIDS["full"].space


def test_round_trip_over_the_whole_full_grid():
    index = np.arange(737_280)
    factors = FULL.to_factors(index)
    assert FULL.size == 737_280
    assert FULL.bases == (245_760, 40_960, 1024, 32, 1)
    np.testing.assert_array_equal(FULL.to_index(factors), index)
    np.testing.assert_array_equal(factors.max(axis=0), [2, 5, 39, 31, 31])


@pytest.mark.parametrize(
    "sizes, factors, index",
    [
        (
            (3, 6, 40, 32, 32),
            [(0, 5, 0, 3, 27), (1, 3, 21, 18, 4), (2, 0, 24, 12, 26)],
            [204_923, 390_724, 516_506],
        ),
        ((4, 24, 183), [(0, 15, 117)], [2862]),
        ((4, 4, 2, 3, 3, 40, 40), [(0, 3, 1, 0, 1, 19, 21)], [103_181]),
        ((10, 10, 10, 8, 4, 15), [(5, 0, 3, 3, 3, 7)], [241_672]),
    ],
)
def test_index_agrees_with_the_published_codes(sizes, factors, index):
    space = FactorSpace(tuple(f"f{k}" for k in range(len(sizes))), sizes)
    np.testing.assert_array_equal(space.to_index(np.array(factors)), index)
    np.testing.assert_array_equal(space.to_factors(np.array(index)), factors)


@pytest.mark.parametrize(
    "value, text",
    [
        (6, "factor 'scale' has the value 6 in row 1; its range is 0..5"),
        (-1, "'scale' has the value -1"),
    ],
)
def test_value_out_of_range_is_named(value, text):
    with pytest.raises(ValueError, match=text):
        FULL.to_index(np.array([[0, 0, 0, 0, 0], [0, value, 0, 0, 0]]))


@pytest.mark.parametrize("index", [737_280, -1])
def test_index_out_of_range_is_named(index):
    with pytest.raises(
        ValueError, match=f"index {index} in row 1 is outside the grid; its range is 0..737279"
    ):
        FULL.to_factors(np.array([0, index]))


def test_wrong_shapes_and_dtypes_are_refused():
    with pytest.raises(ValueError, match=r"shape \[n, 5\], got int64 \[2, 4\]"):
        FULL.to_index(np.zeros((2, 4), int))
    with pytest.raises(ValueError, match="integer factors"):
        FULL.to_index(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="integer indices"):
        FULL.to_factors(np.zeros(2))


@pytest.mark.parametrize(
    "names, sizes", [(("a",), (1, 2)), (("a", "a"), (2, 2)), (("a",), (0,)), ((), ())]
)
def test_impossible_spaces_are_refused(names, sizes):
    with pytest.raises(ValueError):
        FactorSpace(names, sizes)


def test_sampling_is_uniform_independent_and_seeded():
    space = FactorSpace(("a", "b"), (3, 4))
    factors = space.sample(np.random.default_rng(0), 12_000)
    counts = np.bincount(space.to_index(factors), minlength=12)
    # chi-square, 11 degrees of freedom, 0.1 % level
    assert ((counts - 1000) ** 2 / 1000).sum() < 31.3
    np.testing.assert_array_equal(factors, space.sample(np.random.default_rng(0), 12_000))
