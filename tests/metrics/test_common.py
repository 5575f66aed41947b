"""Row drawing, splitting, discretising and mutual information, against numpy, scikit-learn and hand-worked cases."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from dlib_tf2.errors import UserError
from dlib_tf2.metrics import common

GRID = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("n, a, b, chunk", [(50, 2, 3, 7), (5000, 20, 40, 1 << 16), (1000, 1, 5, 999)])
def test_mutual_information_equals_sklearn_on_random_tables(n, a, b, chunk):
    generator = np.random.default_rng(n)
    first, second = generator.integers(a, size=(n, 3)), generator.integers(b, size=(n, 4))
    second[:, 0] = (first[:, 0] * 7 + generator.integers(2, size=n)) % b  # one dependent pair
    expected = [[mutual_info_score(second[:, j], first[:, i]) for j in range(4)] for i in range(3)]
    np.testing.assert_allclose(common.mutual_information(first, second, chunk), expected, rtol=1e-10, atol=1e-13)


def test_mutual_information_of_a_single_valued_variable_is_exactly_zero():
    for n in (101, 997, 10_000):  # numbers of rows whose fractions do not add up to exactly 1
        values = rng().integers(40, size=(n, 5))
        assert (common.mutual_information(np.zeros_like(values), values) == 0.0).all()
        assert (common.mutual_information(values, np.zeros_like(values)) == 0.0).all()
        for constant in (0.1, -7.3e20):
            bins = common.discretize(np.full((n, 2), constant, np.float32), 20)
            assert (common.mutual_information(bins, values) == 0.0).all()
    labels = np.stack(np.unravel_index(np.arange(7 * 9 * 11), (7, 9, 11)), axis=1)  # so it is of the factors of a grid among themselves
    assert (common.mutual_information(labels, labels)[~np.eye(3, dtype=bool)] == 0.0).all()


def test_entropy_is_information_about_itself():
    labels = common.check_table(np.zeros((60, 1)), GRID)[1]
    np.testing.assert_allclose(common.entropy(labels), np.log([3, 4, 5]), rtol=1e-12)
    np.testing.assert_allclose(np.diag(common.mutual_information(labels, labels)), np.log([3, 4, 5]), rtol=1e-12)


def test_discretize_follows_numpys_histogram_bins():
    codes = rng().normal(size=(500, 3)).astype(np.float32)
    for column, bins in enumerate(common.discretize(codes, 20).T):
        code = codes[:, column].astype(np.float64)
        np.testing.assert_array_equal(bins, np.digitize(code, np.histogram(code, 20)[1][:-1]) - 1)
    assert common.discretize(codes, 20).max() == 19


def test_discretize_by_hand():
    codes = np.array([[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]], np.float32)
    assert common.discretize(codes, 3).ravel().tolist() == [0, 0, 1, 1, 2, 2]
    edge = np.array([[0.0], [1.0], [2.0], [4.0]], np.float32)  # a value on an edge belongs to the bin on its right, the maximum to the last
    assert common.discretize(edge, 2).ravel().tolist() == [0, 0, 1, 1]
    assert len(np.unique(common.discretize(np.full((5, 1), 3.0, np.float32), 20))) == 1
    assert common.discretize(edge, None).ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("values", [[5, 3, 5, 9], [-4, 0, 2**40, 0], [True, False, True, True]])
def test_dense_labels_number_values_in_their_order(values):
    expected = np.unique(values, return_inverse=True)[1]
    np.testing.assert_array_equal(common.dense_labels(np.array(values)), expected)


def test_full_grid_is_read_off_the_rows():
    shuffled = rng().permutation(GRID)
    assert common.is_full_grid(shuffled)
    assert common.is_full_grid(np.tile(shuffled, (3, 1)))  # repeated draws, or hidden factors
    assert not common.is_full_grid(shuffled[:-1])
    swapped = shuffled.copy()
    swapped[0] = swapped[1]  # the right number of rows, one combination twice
    assert not common.is_full_grid(swapped)
    assert common.is_full_grid(np.arange(7)[:, None])
    assert not common.is_full_grid(np.tile(np.arange(7)[:, None], (3, 1)))  # balanced classes are not a grid


def test_rows_are_drawn_with_replacement_only_from_a_grid():
    drawn = common.draw_rows(rng(), GRID, 6000)
    counts = np.bincount(drawn, minlength=60)
    assert abs(counts - 100).max() < 5 * 10  # five standard deviations of Poisson(100)
    part = common.draw_rows(rng(), GRID[:50], 50)
    assert sorted(part) == list(range(50))
    with pytest.raises(UserError, match=r"num_train asks for 51 different rows, the table has 50: .*None"):
        common.draw_rows(rng(), GRID[:50], 51)
    np.testing.assert_array_equal(common.draw_rows(rng(), GRID, None), np.arange(60))
    with pytest.raises(UserError, match="num_train = 0"):
        common.draw_rows(rng(), GRID, 0)


def test_splits():
    train, test, overlap = common.split_rows(rng(), GRID, None, None)
    assert (len(train), len(test), overlap) == (40, 20, 0.0)
    assert sorted([*train, *test]) == list(range(60))
    train, test, overlap = common.split_rows(rng(), GRID, 30, 20, disjoint=True)
    assert (len(set(train) | set(test)), overlap) == (50, 0.0)
    train, test, overlap = common.split_rows(rng(), GRID[:50], 30, 20)  # not a grid: disjoint by default
    assert (len(set(train) | set(test)), overlap) == (50, 0.0)
    train, test, overlap = common.split_rows(rng(), GRID, 60, 6000)
    assert overlap == np.mean([row in set(train) for row in test])
    assert abs(overlap - (1 - (1 - 1 / 60) ** 60)) < 0.2
    with pytest.raises(UserError, match="asks for 61 different rows, the table has 60"):
        common.split_rows(rng(), GRID, 41, 20, disjoint=True)


def test_a_table_is_checked_at_the_edge():
    codes, labels = common.check_table([[1], [2], [3]], [[10, 7], [30, 7], [10, 7]])
    assert codes.dtype == np.float32
    assert labels.tolist() == [[0, 0], [1, 0], [0, 0]]
    assert common.varying_factors(labels).tolist() == [[0], [1], [0]]
    with pytest.raises(UserError, match="each of the 1 factors has a single value in 3 rows"):
        common.varying_factors(labels[:, 1:])
