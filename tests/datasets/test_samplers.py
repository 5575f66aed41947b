"""Samplers: what they draw, by counting, and what they refuse."""

import dataclasses
import itertools

import numpy as np
import pytest
import scipy
import tensorflow as tf

from dlib_tf2.datasets import FactorSpace, GroundTruthDataset, draws, stream
from dlib_tf2.datasets.distributions import (
    GridDistribution,
    correlate,
    first,
    hold_out,
    interpolate,
    random_hold_out,
)
from dlib_tf2.datasets.labellers import LabelledSampler, partial_labeller, perfect_labeller
from dlib_tf2.datasets.pairs import PairSampler, TransitionSampler
from dlib_tf2.datasets.samplers import UniformSampler, WeightedSampler
from dlib_tf2.errors import UserError

SPACE = FactorSpace(("shape", "size", "angle", "x", "y"), (3, 6, 40, 32, 32))
SMALL = FactorSpace(("shape", "size", "place"), (3, 4, 5))
FIRST = {"image": [3, 1, 13, 11, 18, 6, 49, 59], "image_2": [47, 15, 10, 22, 42, 3, 46, 46]}


def dataset(space=SPACE, visible=None, cells=None):
    rows = space.size if cells is None else len(cells)
    table = np.zeros((rows, 1, 1, 1), np.uint8)
    return GroundTruthDataset(
        "toy", space, visible or space.names, table, 1, records=None, cells=cells
    )


def draw(sampler, data, blocks=20, batch=64, seed=5):
    """name -> [blocks * steps * batch, ...]"""
    bound = sampler(data)
    found = [bound.draw(seed, tf.constant(block, tf.int64), batch) for block in range(blocks)]
    return {
        name: np.concatenate(
            [arrays[name].numpy().reshape(-1, *arrays[name].shape[2:]) for arrays in found]
        )
        for name in found[0]
    }


def changes(sampler, data, **options):
    """First factors, second factors, changed, over all factors of the grid."""
    arrays = draw(sampler, data, **options)
    first, second = (data.space.to_factors(arrays[name]) for name in ("image", "image_2"))
    return first, second, arrays["changed"]


def test_uniform_draws_never_change():
    # a run is told by its seed: these rows of a table of 60 stand for every run ever made
    data = dataset(SMALL)
    drawn = UniformSampler()(data).draw(5, tf.constant(0, tf.int64), 8)
    assert drawn["image"][0].numpy().tolist() == FIRST["image"]
    assert drawn["image_2"][0].numpy().tolist() == FIRST["image_2"]
    table = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    names = ("image", "image_2")
    (batch,) = stream.train_batches(table, 8, seed=5, names=names).take(1)
    for name in names:
        assert batch[name].numpy().reshape(-1).tolist() == FIRST[name]


def assert_drawn_by(rows, probabilities):
    """Chi-square at a level that one seed in a thousand misses."""
    counts = np.bincount(rows, minlength=len(probabilities))
    assert not counts[probabilities == 0].any()
    expected = len(rows) * probabilities
    rare = (expected > 0) & (expected < 20)  # one cell, where the approximation holds
    observed = np.append(counts[~rare & (expected > 0)], counts[rare].sum())
    expected = np.append(expected[~rare & (expected > 0)], expected[rare].sum())
    cells = expected > 5
    statistic = scipy.stats.chisquare(observed[cells], expected[cells], sum_check=False)
    assert statistic.pvalue > 0.001


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "parts",
    [
        [correlate("size", "place", 0.2)],
        [correlate("shape", "place", 0.4, inverse=True), hold_out("shape == 0 and place > 2")],
        [random_hold_out(0.3, seed=4)],
        [interpolate("place", "odd"), first(40)],
    ],
)
def test_weighted_draws_pass_a_chi_square_test(parts, seed):
    sampler, data = WeightedSampler(GridDistribution(parts)), dataset(SMALL)
    drawn = draw(sampler, data, seed=seed)
    for name in ("image", "image_2"):
        assert_drawn_by(drawn[name], sampler(data).probabilities)
    together = drawn["image"] * 60 + drawn["image_2"]  # independent of each other
    probabilities = sampler(data).probabilities
    assert_drawn_by(together, np.outer(probabilities, probabilities).reshape(-1))


def exact_pairs(k, space):
    """Chances of (first row, second row) under the exact rule, by enumeration."""
    factors = space.to_factors(np.arange(space.size))
    differ = factors[:, None] != factors[None]
    number = differ.sum(axis=2)
    others = np.prod(np.where(differ, np.array(space.sizes) - 1, 1), axis=2)
    count = len(space.sizes)
    if k == -1:
        chance = np.where((number >= 1) & (number < count), 1 / (count - 1), 0)
    else:
        chance = (number == k).astype(float)
    subsets = scipy.special.comb(count, number)
    return (chance / subsets / others / space.size).reshape(-1)


@pytest.mark.parametrize("k", [1, 2, -1])
def test_exact_pairs_pass_a_chi_square_test(k):
    expected = exact_pairs(k, SMALL)
    assert expected.sum() == pytest.approx(1)
    drawn = draw(PairSampler(k=k), dataset(SMALL), blocks=60)
    assert_drawn_by(drawn["image"] * 60 + drawn["image_2"], expected)


def test_weighted_draws_of_an_incomplete_grid_are_rows():
    cells = np.arange(0, 60, 3)
    sampler = WeightedSampler(GridDistribution([hold_out("shape == 1")]), images=("image",))
    rows = draw(sampler, dataset(SMALL, cells=cells))["image"]
    assert set(rows) == {
        row for row, cell in enumerate(cells) if SMALL.to_factors([cell])[0, 0] != 1
    }


def test_exact_pairs_differ_in_exactly_k_factors():
    for k in (1, 2, 5):
        first, second, changed = changes(PairSampler(k=k), dataset(), blocks=5)
        np.testing.assert_array_equal(changed == 1, first != second)
        assert (changed.sum(axis=1) == k).all()
    first, second, changed = changes(PairSampler(k=1), dataset())
    np.testing.assert_allclose(changed.mean(axis=0), 0.2, atol=0.01)
    first, second, changed = changes(PairSampler(k=-1), dataset())
    share = np.bincount(changed.sum(axis=1).astype(int), minlength=6)[1:] / len(changed)
    np.testing.assert_allclose(share, [0.25, 0.25, 0.25, 0.25, 0], atol=0.01)


def test_new_values_of_exact_pairs_are_uniform_among_the_others():
    first, second, changed = changes(PairSampler(k=1), dataset(SMALL), blocks=40)
    place = changed[:, 2] == 1
    counts = np.zeros((5, 5))
    np.add.at(counts, (first[place, 2], second[place, 2]), 1)
    np.testing.assert_allclose(counts / counts.sum(), (1 - np.eye(5)) / 20, atol=0.004)


@pytest.mark.parametrize(
    "k, shares",
    [
        (1, [0.1175, 0.8825]),
        (2, [0.065, 0.553, 0.382]),
        (-1, [0.076, 0.579, 0.141, 0.129, 0.075]),
    ],
)
def test_pairs_of_the_old_library_change_as_many_factors_as_measured_there(k, shares):
    first, second, changed = changes(PairSampler(k=k, rule="locatello"), dataset())
    found = np.bincount((first != second).sum(axis=1), minlength=len(shares)) / len(first)
    np.testing.assert_allclose(found[: len(shares)], shares, atol=0.01)
    assert found[len(shares) :].sum() == 0
    assert ((first != second) <= (changed == 1)).all()


def test_uniform_pairs_may_keep_a_value():
    first, second, changed = changes(PairSampler(k=1, rule="uniform"), dataset())
    assert (changed.sum(axis=1) == 1).all()
    assert (first == second).all(axis=1).mean() == pytest.approx(0.1175, abs=0.008)


def test_hidden_factors_of_the_second_image_are_drawn_anew():
    data = dataset(SMALL, visible=("size", "place"))
    first, second, changed = changes(PairSampler(k=1), data)
    assert changed.shape[1] == 2
    counts = np.zeros((3, 3))
    np.add.at(counts, (first[:, 0], second[:, 0]), 1)
    np.testing.assert_allclose(counts / counts.sum(), 1 / 9, atol=0.006)


def test_factors_of_one_value_never_change():
    data = dataset(FactorSpace(("a", "b", "c"), (1, 4, 5)))
    first, second, changed = changes(PairSampler(k=2), data)
    np.testing.assert_array_equal(changed.mean(axis=0), [0, 1, 1])
    assert (first[:, 1:] != second[:, 1:]).all()


def test_both_images_of_a_pair_keep_to_a_distribution():
    distribution = GridDistribution([hold_out("shape == 2 and place >= 2")])
    first, second, changed = changes(
        PairSampler(k=1, sampler=WeightedSampler(distribution)), dataset(SMALL)
    )
    for factors in (first, second):
        assert not ((factors[:, 0] == 2) & (factors[:, 2] >= 2)).any()
    np.testing.assert_array_equal(changed == 1, first != second)
    # of a point whose place changes, 16 proposals may all be held out
    alone = (changed.sum(axis=1) == 0).mean()
    assert 0 < alone < 0.01
    assert (changed.sum(axis=1) <= 1).all()


def test_a_point_without_a_neighbour_is_paired_with_itself():
    distribution = GridDistribution([hold_out("shape + size + place > 0")])
    first, second, changed = changes(
        PairSampler(k=1, sampler=WeightedSampler(distribution)), dataset(SMALL)
    )
    assert (first == 0).all()
    assert (second == 0).all()
    assert (changed == 0).all()


@pytest.mark.parametrize("rule", ["uniform", "locatello"])
@pytest.mark.parametrize("k", [1, 2])
def test_pairs_that_may_keep_values_pass_a_chi_square_test(k, rule):
    one = exact_kept(1)
    expected = exact_kept(k) if rule == "uniform" else (one + exact_kept(k)) / 2
    drawn = draw(PairSampler(k=k, rule=rule), dataset(SMALL), blocks=60)
    assert_drawn_by(drawn["image"] * 60 + drawn["image_2"], expected)


def exact_kept(k):
    """Chances of (first row, second row) where k factors take a uniform value."""
    factors = SMALL.to_factors(np.arange(60))
    differ = factors[:, None] != factors[None]
    subsets = list(itertools.combinations(range(3), k))
    total = np.zeros((60, 60))
    for subset in subsets:
        others = [factor for factor in range(3) if factor not in subset]
        possible = ~differ[:, :, others].any(axis=2)
        total += possible / np.prod([SMALL.sizes[factor] for factor in subset])
    return (total / len(subsets) / 60).reshape(-1)


def test_pairs_under_a_distribution_keep_k_and_follow_its_weights():
    parts = [correlate("size", "place", 0.2)]
    sampler = PairSampler(k=-1, sampler=WeightedSampler(GridDistribution(parts)))
    first, second, changed = changes(sampler, dataset(SMALL), blocks=60)
    np.testing.assert_array_equal(changed == 1, first != second)
    share = np.bincount(changed.sum(axis=1).astype(int), minlength=4) / len(changed)
    np.testing.assert_allclose(share, [0, 0.5, 0.5, 0], atol=0.005)
    np.testing.assert_allclose(changed.mean(axis=0), 0.5, atol=0.01)
    assert sampler(dataset(SMALL)).facts["identical_pairs"] == 0
    narrow = PairSampler(k=1, sampler=WeightedSampler(GridDistribution([random_hold_out(0.9)])))
    assert 0.1 < narrow(dataset(SMALL)).facts["identical_pairs"] < 1


def test_a_fast_rate_moves_one_factor_by_one_step():
    sampler = TransitionSampler(("shape",), rate=100.0)
    first, second, changed = changes(sampler, dataset(), blocks=5)
    assert (changed.sum(axis=1) == 1).all()
    assert (np.abs(first - second).sum(axis=1) == 1).all()


def exact_transitions(sizes, rate):
    """Chances of (old, new) of a grid of two factors, given that one changes, by enumeration."""
    chances = []
    for size in sizes:
        distance = np.abs(np.arange(size)[:, None] - np.arange(size))
        density = np.exp(-distance * rate / np.log(size))
        chances.append(density / density.sum(axis=1, keepdims=True))
    joint = np.einsum("ij,kl->ikjl", *chances)  # [old a, old b, new a, new b]
    for a in range(sizes[0]):
        for b in range(sizes[1]):
            joint[a, b, a, b] = 0
    return joint / joint.sum(axis=(2, 3), keepdims=True) / np.prod(sizes)


def test_transitions_have_the_laplace_chances_given_that_a_factor_changes():
    data = dataset(FactorSpace(("a", "b"), (4, 3)))
    first, second, changed = changes(TransitionSampler(rate=2.0), data, blocks=100)
    np.testing.assert_array_equal(changed == 1, first != second)
    pair = np.ravel_multi_index((*first.T, *second.T), (4, 3, 4, 3))
    assert_drawn_by(pair, exact_transitions((4, 3), 2.0).reshape(-1))


def test_categorical_factors_stay_and_a_random_rate_moves_the_others():
    sampler = TransitionSampler(categorical=("shape",), rate=-1)
    first, second, changed = changes(sampler, dataset())
    assert (first[:, 0] == second[:, 0]).all()
    assert (changed.sum(axis=1) >= 1).all()
    step = np.abs(first - second).mean(axis=0)
    assert (step[1:] > 0.1).all()
    assert step[3] < 4  # of 32 places; a uniform one is 10.7 away


def test_labelled_rows_come_in_order_and_repeat():
    sampler = LabelledSampler(10, 0.9, perfect_labeller, seed=3)
    data = dataset(SMALL)
    known = sampler(data).labelled
    arrays = draw(sampler, data, blocks=3, batch=4)
    expected = known.row[np.arange(3 * 32 * 4) % 9]
    np.testing.assert_array_equal(arrays["labelled_image"], expected)
    np.testing.assert_array_equal(arrays["label"], SMALL.to_factors(expected))
    other = draw(sampler, data, blocks=3, batch=4, seed=6)
    np.testing.assert_array_equal(other["label"], arrays["label"])  # a seed of its own
    assert not np.array_equal(other["image"], arrays["image"])


@pytest.mark.parametrize(
    "num, fraction, train",
    [(10, 0.9, 9), (100, 0.9, 90), (1000, 0.9, 900), (100, 0.95, 95), (7, 1, 7)],
)
def test_how_many_labelled_rows_train(num, fraction, train):
    known = LabelledSampler(num, fraction, perfect_labeller)(dataset()).labelled
    assert (known.num_train, len(known.row)) == (train, num)


def test_labelled_rows_keep_to_the_distribution():
    distribution = GridDistribution([hold_out("shape == 2 or size == 0")])
    sampler = LabelledSampler(30, 1, partial_labeller, sampler=WeightedSampler(distribution))
    known = sampler(dataset(SMALL)).labelled
    factors = SMALL.to_factors(known.row)
    assert not ((factors[:, 0] == 2) | (factors[:, 1] == 0)).any()
    bound = sampler(dataset(SMALL))
    assert bound.facts["rows"] == 2 * 3 * 5
    columns = [SMALL.names.index(name) for name in bound.facts["labelled_factors"]]
    np.testing.assert_array_equal(factors[:, columns], known.labels)
    assert bound.sizes["label"] == tuple(SMALL.sizes[column] for column in columns)
    assert bound.held_out.sum() == 60 - 30


def test_labels_wrap_pairs():
    bound = LabelledSampler(5, 1.0, perfect_labeller, sampler=PairSampler(k=1))(dataset(SMALL))
    assert bound.images == ("image", "image_2", "labelled_image")
    label = {"labelled_point": ((), tf.int64), "label": ((3,), tf.float32)}
    assert bound.extras == {"changed": ((3,), tf.float32), **label}


@pytest.mark.parametrize(
    "sampler",
    [
        UniformSampler(),
        WeightedSampler(GridDistribution([correlate("size", "place", 0.2)])),
        PairSampler(k=-1),
        TransitionSampler(rate=-1),
        LabelledSampler(6, 0.5, perfect_labeller, sampler=PairSampler(rule="locatello")),
    ],
)
def test_a_block_is_a_function_of_seed_and_number_and_has_the_shapes_it_says(sampler):
    bound = sampler(dataset(SMALL))
    arrays = [
        bound.draw(seed, tf.constant(block, tf.int64), 8)
        for seed, block in ((1, 3), (1, 3), (2, 3), (1, 4))
    ]
    assert set(arrays[0]) == {*bound.images, *bound.extras}
    for name, values in arrays[0].items():
        np.testing.assert_array_equal(values, arrays[1][name])
        shape, dtype = bound.extras.get(name, ((), tf.int64))
        assert (tuple(values.shape), values.dtype) == ((32, 8, *shape), dtype)
    for other in arrays[2:]:
        assert not np.array_equal(arrays[0]["image"], other["image"])
    traced = tf.function(lambda block: bound.draw(1, block, 8))(tf.constant(3, tf.int64))
    for name, values in traced.items():
        np.testing.assert_array_equal(values, arrays[0][name])


@pytest.mark.parametrize(
    "make, data, message",
    [
        (lambda: PairSampler(k=6), dataset(), "has 5 visible factors"),
        (lambda: PairSampler(k=0), dataset(), "PairSampler.k must be a whole number"),
        (lambda: PairSampler(rule="other"), dataset(), "exact, uniform or locatello"),
        (lambda: PairSampler(), dataset(SMALL, cells=np.arange(9)), "has 9 of 60"),
        (lambda: TransitionSampler(("shap",)), dataset(), "names shap; the factors of toy are"),
        (lambda: TransitionSampler(SMALL.names), dataset(SMALL), "no factor of toy can move"),
        (lambda: TransitionSampler("shape"), dataset(), "must be a list of names"),
        (
            lambda: UniformSampler("image"),
            dataset(),
            "UniformSampler.images must be a list of names",
        ),
        (lambda: TransitionSampler(rate=101), dataset(), "at most 100"),
        (lambda: PairSampler(k=-1.0), dataset(), "PairSampler.k must be a whole number"),
        (
            lambda: PairSampler(sampler=UniformSampler(["image_2"])),
            dataset(),
            "pairs need a sampler of .image.",
        ),
        (lambda: TransitionSampler(rate=0), dataset(), "TransitionSampler.rate must be a number"),
        (lambda: LabelledSampler(10, 1.5, perfect_labeller), dataset(), "at most 1"),
        (lambda: LabelledSampler(61, 1, perfect_labeller), dataset(SMALL), "only 60 rows of toy"),
        (
            lambda: LabelledSampler(5, 1, perfect_labeller),
            dataclasses.replace(dataset(SMALL), visible=()),
            "has no visible factors",
        ),
        (
            lambda: PairSampler(),
            dataclasses.replace(dataset(SMALL), visible=()),
            "pairs need a factor with more than one value",
        ),
        (lambda: PairSampler(sampler="uniform"), dataset(), r"such as @WeightedSampler\(\) with"),
        (lambda: PairSampler(sampler=UniformSampler), dataset(), "PairSampler.sampler must be"),
        (lambda: WeightedSampler("uniform"), dataset(), r"must be @GridDistribution\(\) with"),
        (lambda: LabelledSampler(5, 1, "noisy"), dataset(), "a labeller such as @perfect_labeller"),
        (lambda: LabelledSampler(0, 1, perfect_labeller), dataset(), "whole number of at least 1"),
    ],
)
def test_mistakes_are_one_line(make, data, message):
    with pytest.raises(UserError, match=message):
        make()(data)


def test_held_out_draws_are_uniform_over_what_is_never_drawn():
    sampler = PairSampler(sampler=WeightedSampler(GridDistribution([hold_out("shape == 1")])))
    bound = sampler(dataset(SMALL))
    drawn = draw(lambda _: draws.single_images(bound, held_out=True), dataset(SMALL))
    held_out = SMALL.to_factors(np.arange(60))[:, 0] == 1
    np.testing.assert_array_equal(bound.held_out, held_out)
    assert_drawn_by(drawn["image"], held_out / held_out.sum())
    np.testing.assert_array_equal(drawn["image"], drawn["image_2"])
    assert not drawn["changed"].any()
    with pytest.raises(UserError, match="no row is held out"):
        draws.single_images(UniformSampler()(dataset(SMALL)), held_out=True)
