"""Labellers against the old library's values and their own definitions."""

import numpy as np
import pytest

from dlib_tf2.datasets.labellers import (
    bin_labeller,
    noisy_labeller,
    partial_labeller,
    perfect_labeller,
    permuted_labeller,
)
from dlib_tf2.errors import UserError

SIZES = (3, 8, 4)
FACTORS = np.array([[0, 0, 0], [1, 3, 2], [2, 5, 3], [0, 7, 1], [1, 4, 3]])


def make(labeller, factors=FACTORS, sizes=SIZES, **settings):
    before = factors.copy()
    known = labeller(factors, sizes, np.random.default_rng(0), **settings)
    np.testing.assert_array_equal(factors, before)  # the old library overwrote them
    return known


def test_perfect_labels_are_the_factors():
    labels, sizes, facts = make(perfect_labeller)
    np.testing.assert_array_equal(labels, FACTORS)
    assert (sizes, facts) == (SIZES, {})


@pytest.mark.parametrize(
    "num_bins, expected, reported",
    [
        (5, [[0, 0, 0], [1, 1, 2], [2, 3, 3], [0, 4, 1], [1, 2, 3]], (3, 5, 4)),
        (3, [[0, 0, 0], [1, 1, 1], [2, 1, 2], [0, 2, 0], [1, 1, 2]], (3, 3, 3)),
    ],
)
def test_bins_are_those_of_the_old_library(num_bins, expected, reported):
    labels, sizes, _ = make(bin_labeller, num_bins=num_bins)
    np.testing.assert_array_equal(labels, expected)
    assert sizes == reported


@pytest.mark.parametrize(
    "size, occupancy",
    [
        (40, [8] * 5),
        (32, [7, 6, 7, 6, 6]),
        (24, [5, 5, 5, 5, 4]),
        (183, [37, 37, 36, 37, 36]),
        (8, [2, 2, 1, 2, 1]),
        (6, [2, 1, 1, 1, 1]),
    ],
)
def test_how_many_values_fall_into_each_bin(size, occupancy):
    labels, _, _ = make(bin_labeller, np.arange(size)[:, None], (size,))
    assert np.bincount(labels[:, 0]).tolist() == occupancy


def test_noise_changes_the_share_that_probability_says():
    factors = np.random.default_rng(1).integers(0, SIZES, (20_000, 3))
    labels, sizes, facts = make(noisy_labeller, factors, prob_random=0.5)
    changed = (labels != factors).mean(axis=0)
    np.testing.assert_allclose(changed, 0.5 * (1 - 1 / np.array(SIZES)), atol=0.012)
    assert facts["labels_changed"] == pytest.approx(changed.mean())
    assert (labels.max(axis=0) + 1).tolist() == list(sizes) == list(SIZES)


def test_permutations_are_on_record_and_can_be_undone():
    labels, sizes, facts = make(permuted_labeller)
    undone = [
        np.argsort(order)[column]
        for order, column in zip(facts["label_permutations"], labels.T, strict=True)
    ]
    np.testing.assert_array_equal(np.stack(undone, 1), FACTORS)
    assert sizes == SIZES
    assert not np.array_equal(labels, FACTORS)


def test_a_part_of_the_factors_in_the_order_drawn():
    labels, sizes, facts = make(partial_labeller, num_observed_factors=2)
    kept = facts["labelled_factors"]
    assert len(set(kept)) == 2
    np.testing.assert_array_equal(labels, FACTORS[:, kept])
    assert sizes == tuple(SIZES[column] for column in kept)


@pytest.mark.parametrize(
    "labeller, settings, message",
    [
        (partial_labeller, {"num_observed_factors": 4}, "is 4, but there are 3 factors"),
        (partial_labeller, {"num_observed_factors": 0}, "must be a whole number of at least 1"),
        (noisy_labeller, {"prob_random": 1.5}, "must be at most 1"),
        (bin_labeller, {"num_bins": 0}, "must be a whole number of at least 1"),
    ],
)
def test_mistakes_are_one_line(labeller, settings, message):
    with pytest.raises(UserError, match=message):
        make(labeller, **settings)


class Scripted:
    """A generator that gives the old library's draws from RandomState(0)."""

    def __init__(self, **draws):
        self._draws = {name: iter(values) for name, values in draws.items()}

    def permutation(self, size):
        return np.array(next(self._draws["permutation"]))

    def random(self, shape):
        return np.array(next(self._draws["random"]), float)

    def integers(self, low, high, shape):
        return np.array(next(self._draws["integers"]))


def test_permuted_and_partial_labels_of_the_old_librarys_draws():
    orders = [[2, 1, 0], [6, 2, 1, 4, 7, 3, 0, 5], [3, 0, 2, 1]]
    labels, sizes, facts = permuted_labeller(FACTORS, SIZES, Scripted(permutation=orders))
    expected = [[2, 6, 3], [1, 4, 2], [0, 3, 1], [2, 5, 0], [1, 7, 1]]
    np.testing.assert_array_equal(labels, expected)
    assert sizes == SIZES
    assert facts == {"label_permutations": orders}
    labels, sizes, facts = partial_labeller(FACTORS, SIZES, Scripted(permutation=[[2, 1, 0]]))
    np.testing.assert_array_equal(labels, [[0, 0], [2, 3], [3, 5], [1, 7], [3, 4]])
    assert (sizes, facts) == ((4, 8), {"labelled_factors": [2, 1]})


def test_noisy_labels_of_the_old_librarys_draws():
    expected = np.array([[0, 0, 0], [1, 5, 3], [2, 5, 2], [0, 1, 1], [1, 4, 1]])
    replaced = np.where(expected != FACTORS, 0.1, 0.9)
    draws = Scripted(random=[replaced], integers=[np.where(expected != FACTORS, expected, 7)])
    labels, sizes, facts = noisy_labeller(FACTORS, SIZES, draws, prob_random=0.5)
    np.testing.assert_array_equal(labels, expected)
    assert facts == {"labels_changed": 5 / 15}
