"""Rows of a score: drawn with replacement or all different, and what is said of an overlap or of
too few.
"""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics import _rows
from dlib_tf2.metrics.dci import dci
from dlib_tf2.metrics.downstream_task import downstream_task

GRID = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)
LARGE = np.stack(np.unravel_index(np.arange(1200), (10, 12, 10)), axis=1)


def rng():
    return np.random.default_rng(0)


def test_full_grid_is_read_off_the_rows():
    shuffled = rng().permutation(GRID)
    assert _rows.is_full_grid(shuffled)
    assert _rows.is_full_grid(np.tile(shuffled, (3, 1)))  # repeated draws, or hidden factors
    assert not _rows.is_full_grid(shuffled[:-1])
    swapped = shuffled.copy()
    swapped[0] = swapped[1]  # the right number of rows, one combination twice
    assert not _rows.is_full_grid(swapped)
    assert _rows.is_full_grid(np.arange(7)[:, None])
    # balanced classes are not a grid
    assert not _rows.is_full_grid(np.tile(np.arange(7)[:, None], (3, 1)))


def test_rows_are_drawn_with_replacement_only_from_a_grid():
    drawn = _rows.draw_rows(rng(), GRID, 6000)
    counts = np.bincount(drawn, minlength=60)
    assert abs(counts - 100).max() < 5 * 10  # five standard deviations of Poisson(100)
    part = _rows.draw_rows(rng(), GRID[:50], 50)
    assert sorted(part) == list(range(50))
    np.testing.assert_array_equal(_rows.draw_rows(rng(), GRID, None), np.arange(60))
    for wrong in (0, "abc", 50.5, True, [3]):
        with pytest.raises(
            UserError,
            match="num_train = .*, expected a positive whole number, or None for all rows",
        ):
            _rows.draw_rows(rng(), GRID, wrong)
    assert len(_rows.draw_rows(rng(), GRID, np.int64(7))) == 7


def test_a_table_with_fewer_rows_than_asked_for_gives_all_of_them():
    with pytest.warns(ScoreWarning, match="num_train asks for 51 different rows, the table has 50"):
        drawn = _rows.draw_rows(rng(), GRID[:50], 51)
    assert sorted(drawn) == list(range(50))


@pytest.mark.parametrize("num_rows, num_train", [(60, 60), (1200, 61), (737_280, 10_000)])
def test_the_expected_overlap_is_the_mean_of_the_measured_one(num_rows, num_train):
    generator, test = rng(), 4000
    found = [
        np.isin(*(generator.integers(num_rows, size=size) for size in (test, num_train))).mean()
        for _ in range(20)
    ]
    expected = _rows.expected_overlap(num_rows, num_train)
    assert abs(np.mean(found) - expected) < 5 * np.std(found, ddof=1) / np.sqrt(20)


def test_a_grid_of_which_training_rows_are_more_than_a_few_per_cent_is_split_disjointly():
    train, test, overlap = _rows.split_rows(rng(), LARGE, 61, 500)  # 1 - (1 - 1/1200)^61 = 4.96 %
    assert 0 < overlap < 0.1
    assert len(set(test)) < 500  # drawn with replacement
    train, test, overlap = _rows.split_rows(rng(), LARGE, 62, 500)  # 5.04 %
    assert (len({*train, *test}), overlap) == (562, 0.0)
    with pytest.warns(ScoreWarning, match="about 5% of the test rows are training rows too"):
        train, test, overlap = _rows.split_rows(rng(), LARGE, 62, 500, disjoint=False)
    assert overlap == np.mean([row in set(train) for row in test]) > 0


def test_the_study_keeps_its_protocol_to_the_row():
    generator = rng()
    expected = generator.integers(60, size=10_000), generator.integers(60, size=5_000)
    with pytest.warns(ScoreWarning, match=r"about 100% .* set disjoint = True$"):
        train, test, overlap = _rows.split_rows(rng(), GRID, 10_000, 5_000, disjoint=False)
    np.testing.assert_array_equal(train, expected[0])
    np.testing.assert_array_equal(test, expected[1])
    assert overlap == 1.0


def test_splits():
    train, test, overlap = _rows.split_rows(rng(), GRID, None, None)
    assert (len(train), len(test), overlap) == (40, 20, 0.0)
    assert sorted([*train, *test]) == list(range(60))
    train, test, overlap = _rows.split_rows(rng(), GRID, 30, 20, disjoint=True)
    assert (len(set(train) | set(test)), overlap) == (50, 0.0)
    train, test, overlap = _rows.split_rows(rng(), GRID[:50], 30, 20)  # not a grid
    assert (len(set(train) | set(test)), overlap) == (50, 0.0)
    assert len(_rows.split_rows(rng(), GRID, None, 7)[1]) == 20
    for wrong in ((50, None), (0, 5), (5, 0), (5, "a"), (2.5, 5)):
        with pytest.raises(UserError, match="num_train = .* and num_test = .*, expected positive"):
            _rows.split_rows(rng(), GRID, *wrong)
    with pytest.raises(UserError, match="disjoint = 'no', expected True, False or None"):
        _rows.split_rows(rng(), GRID, 5, 5, disjoint="no")
    for size in (None, 5):
        with pytest.raises(UserError, match="needs two rows, the table has one"):
            _rows.split_rows(rng(), GRID[:1], size, 5)


@pytest.mark.parametrize("disjoint", [None, True])
@pytest.mark.parametrize(
    "asked, used", [((10_000, 5_000), (40, 20)), ((10, 55), (10, 50)), ((55, 6), (40, 6))]
)
def test_too_few_rows_are_shared_out_two_to_one(asked, used, disjoint):
    message = (
        f"asks for {asked[0]:,} training and {asked[1]:,} test rows that all differ, the table has "
        f"60 rows: {used[0]} train and {used[1]} test"
    )
    with pytest.warns(ScoreWarning, match=message):
        train, test, overlap = _rows.split_rows(rng(), GRID, *asked, disjoint=disjoint)
    assert (len(train), len(test), overlap) == (*used, 0.0)
    assert len({*train, *test}) == sum(used)


def test_training_sizes():
    assert _rows.training_sizes(None, GRID, 5) == [None]
    sizes = [_rows.training_sizes(one, GRID, 5) for one in (10, np.array([10, 10]))]
    assert sizes == [[10], [10]]
    assert _rows.training_sizes((10, 5, 10), GRID, 5) == [10, 5]
    assert _rows.training_sizes((10, 100, 1000), GRID, 5) == [10, 1000]  # both would be 40 rows
    assert _rows.training_sizes((10, 100, 1000), GRID, 5, disjoint=False) == [10, 100, 1000]
    for wrong in ((), [], 0, (3, 0), (3, None), "12", 2.5):
        with pytest.raises(UserError, match="num_train = .*, expected sizes such as"):
            _rows.training_sizes(wrong, GRID, 5)


def memory(random_state):
    """A classifier that remembers every training row."""
    return DecisionTreeClassifier(random_state=random_state)


def test_noise_reads_at_chance_on_a_small_grid():
    """Own data of 1,200 grid points: trees that meet training rows again in the test know them."""
    noise = rng().normal(size=(len(LARGE), 5))
    with pytest.warns(ScoreWarning, match="asks for 10,000 training and 5,000 test rows"):
        by_default = dci(noise, LARGE, rng(), classifier=memory)
    with pytest.warns(ScoreWarning, match="about 100% of the test rows"):
        published = dci(noise, LARGE, rng(), classifier=memory, disjoint=False)
    chance = np.mean([1 / 10, 1 / 12, 1 / 10])
    assert abs(by_default["informativeness_test"] - chance) < 0.05
    assert by_default["test_overlap"] == 0.0
    assert published["informativeness_test"] > 0.95
    assert published["test_overlap"] > 0.99


def test_a_downstream_task_names_the_sizes_that_it_used():
    with pytest.warns(ScoreWarning, match="the table has 1,200 rows: 800 train and 400 test"):
        result = downstream_task(LARGE, LARGE, rng(), classifier=memory)
    assert {key.split(":")[0] for key in result if ":" in key} == {"10", "100", "800"}
    assert [result[f"{size}:test_overlap"] for size in (100, 800)] == [0.0, 0.0]
    assert result["10:test_overlap"] < 0.05
