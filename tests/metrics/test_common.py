"""Row drawing, splitting, discretising and mutual information, against numpy, scikit-learn and
hand-worked cases.
"""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics import common
from dlib_tf2.metrics._linear import sklearn_linear_svc
from dlib_tf2.metrics.dci import dci
from dlib_tf2.metrics.mig import mig
from dlib_tf2.metrics.modularity_explicitness import modularity_explicitness
from dlib_tf2.metrics.sap import sap
from dlib_tf2.representations.representation import Representation

GRID = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "n, a, b, cells", [(50, 2, 3, 7), (50, 2, 3, 30), (5000, 20, 40, 1 << 16), (1000, 1, 5, 999)]
)
def test_mutual_information_equals_sklearn_on_random_tables(n, a, b, cells):
    generator = np.random.default_rng(n)
    first, second = generator.integers(a, size=(n, 3)), generator.integers(b, size=(n, 4))
    second[:, 0] = (first[:, 0] * 7 + generator.integers(2, size=n)) % b  # one dependent pair
    expected = [[mutual_info_score(second[:, j], first[:, i]) for j in range(4)] for i in range(3)]
    np.testing.assert_allclose(
        common.mutual_information(first, second, cells), expected, rtol=1e-10, atol=1e-13
    )


def test_mutual_information_in_blocks_is_the_same_to_the_last_bit():
    labels = rng().integers(4, size=(300, 9))
    whole = common.mutual_information(labels, labels[:, :7], 1 << 30)
    # a row of one pair, a pair, three, the factors of two codes, all
    for cells in (1, 16, 50, 16 * 7 * 2, 16 * 7 * 9):
        np.testing.assert_array_equal(
            common.mutual_information(labels, labels[:, :7], cells), whole
        )


@pytest.mark.parametrize("n, d, values", [(2000, 60, 20), (500, 6, 500)])
def test_memory_of_mutual_information_does_not_grow_with_the_codes(n, d, values):
    labels = rng().integers(values, size=(n, d))
    tracemalloc.start()
    try:
        common.mutual_information(labels, labels)
        assert tracemalloc.get_traced_memory()[1] < 70e6  # 130 and 360 MB at once
    finally:
        tracemalloc.stop()


def test_a_histogram_that_fits_in_no_memory_is_refused():
    labels = np.arange(10_000)[:, None]
    with pytest.raises(
        UserError,
        match=r"joint histogram of 10000 by 10000 values does not fit in memory; set num_bins",
    ):
        common.mutual_information(labels, labels)


def test_mutual_information_of_a_single_valued_variable_is_exactly_zero():
    for n in (101, 997, 10_000):  # numbers of rows whose fractions do not add up to exactly 1
        values = rng().integers(40, size=(n, 5))
        assert (common.mutual_information(np.zeros_like(values), values) == 0.0).all()
        assert (common.mutual_information(values, np.zeros_like(values)) == 0.0).all()
        for constant in (0.1, -7.3e20):
            bins = common.discretize(np.full((n, 2), constant, np.float32), 20)
            assert (common.mutual_information(bins, values) == 0.0).all()
    # so it is of the factors of a grid among themselves
    labels = np.stack(np.unravel_index(np.arange(7 * 9 * 11), (7, 9, 11)), axis=1)
    assert (common.mutual_information(labels, labels)[~np.eye(3, dtype=bool)] == 0.0).all()


def test_entropy_is_information_about_itself():
    labels = common.check_table(np.zeros((60, 1)), GRID)[1]
    np.testing.assert_allclose(common.entropy(labels), np.log([3, 4, 5]), rtol=1e-12)
    np.testing.assert_allclose(
        np.diag(common.mutual_information(labels, labels)), np.log([3, 4, 5]), rtol=1e-12
    )


def test_discretize_follows_numpys_histogram_bins():
    codes = rng().normal(size=(500, 3)).astype(np.float32)
    for column, bins in enumerate(common.discretize(codes, 20).T):
        code = codes[:, column].astype(np.float64)
        np.testing.assert_array_equal(bins, np.digitize(code, np.histogram(code, 20)[1][:-1]) - 1)
    assert common.discretize(codes, 20).max() == 19


def test_discretize_by_hand():
    codes = np.array([[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]], np.float32)
    assert common.discretize(codes, 3).ravel().tolist() == [0, 0, 1, 1, 2, 2]
    # a value on an edge belongs to the bin on its right, the maximum to the last
    edge = np.array([[0.0], [1.0], [2.0], [4.0]], np.float32)
    assert common.discretize(edge, 2).ravel().tolist() == [0, 0, 1, 1]
    assert len(np.unique(common.discretize(np.full((5, 1), 3.0, np.float32), 20))) == 1
    assert common.discretize(edge, None).ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "values",
    [
        [5, 3, 5, 9],
        [-4, 0, 2**40, 0],
        [True, False, True, True],
        np.array([2**63 + 7, 2**63, 2**64 - 1], np.uint64),
        np.array([2**63 + 7, 2**63, 2**63], np.uint64),
        np.array([100, -128, 127], np.int8),
        [-(2**63), 3 - 2**63, -(2**63)],
    ],
)
def test_dense_labels_number_values_in_their_order(values):
    expected = np.unique(values, return_inverse=True)[1]
    np.testing.assert_array_equal(common.dense_labels(np.array(values)), expected)


def test_models_are_made_by_functions_of_a_random_state():
    assert common.make_model(sklearn_linear_svc, 3).random_state == 3
    for wrong in (3, None, "trees", mig):
        with pytest.raises(
            UserError, match=r"importance_classifier = .*, expected a function of random_state"
        ):
            common.make_model(wrong, 3, "importance_classifier")
    with pytest.raises(
        UserError, match="classifier makes a int, expected a model with fit and predict"
    ):
        common.make_model(lambda random_state: random_state, 3)
    with pytest.raises(
        UserError, match="classifier makes a LinearSVC, expected a model with fit and predict_proba"
    ):
        common.make_model(sklearn_linear_svc, 3, method="predict_proba")


def test_a_table_is_checked_at_the_edge():
    with pytest.warns(ScoreWarning, match=r"as many values as rows \(3\): factor_0 \(2 values\)"):
        codes, labels = common.check_table([[1], [2], [3]], [[10, 7], [30, 7], [10, 7]])
    assert codes.dtype == np.float32
    assert labels.tolist() == [[0, 0], [1, 0], [0, 0]]
    assert common.varying_factors(labels).tolist() == [[0], [1], [0]]
    with pytest.raises(UserError, match="each of the 1 factors has a single value in 3 rows"):
        common.varying_factors(labels[:, 1:])


# arrays come in through the metrics and through the command
OF_ANY_ORIGIN = [common.check_table, Representation.from_arrays]


@pytest.mark.parametrize("check", OF_ANY_ORIGIN)
@pytest.mark.parametrize(
    "codes, message",
    [
        (
            GRID + 2**25,
            (
                r"codes in column 0 vary by 2 around 3.35544e\+07, which float32 cannot tell apart;"
                r" subtract"
            ),
        ),
        (GRID.astype(np.uint64) + np.uint64(2**63), "codes in column 0 vary by 2 around 9.22337e"),
        (GRID.astype(np.int32) + 2**30, "codes in column 0 vary by 2 around 1.07374e"),
        (GRID + [0, 1e8, 0], "codes in column 1 vary by 3 around 1e"),
        (GRID * 1e-50, "codes in column 0 vary by 2e-50 around 0"),
        (
            GRID * [1, 1, 1e300],
            (
                r"codes hold numbers beyond float32, .* in 48 places \(first: row 1, column 2\);"
                r" divide"
            ),
        ),
    ],
)
def test_codes_that_float32_loses_are_refused(check, codes, message):
    with pytest.raises(UserError, match=message):
        check(codes, GRID)


@pytest.mark.parametrize("check", OF_ANY_ORIGIN)
def test_codes_that_float32_keeps_are_taken(check):
    noise = rng().normal(size=GRID.shape)
    rounding = 0.1 + np.array([0, 1e-17, 2e-17])
    offset = GRID + np.array([2**23, -(2**22), 1e3])  # exact, or with thousands of steps
    for codes in (
        noise,
        noise + 1e3,
        GRID + 1e-9 * noise,
        noise * 1e30,
        noise * 1e-30,
        np.tile(rounding, (60, 1)),
        offset,
        offset.astype(int),
    ):
        check(codes, GRID)
    # a constant and its rounding
    check(np.concatenate([np.full((59, 1), 0.3), [[0.3 + 1e-16]]]), GRID)
    assert check(GRID.astype(np.float64) + 1000, GRID) is not None


@pytest.mark.parametrize(
    "factors",
    [GRID, GRID * 1.0, GRID.astype(np.float16), GRID * 1e20, GRID[:, 1], GRID[:, 1] - 2.0],
)
def test_both_ways_in_number_factors_alike(factors):
    labels = common.check_table(GRID, factors)[1]
    np.testing.assert_array_equal(labels, Representation.from_arrays(GRID, factors).factors)
    np.testing.assert_array_equal(labels, GRID if factors.ndim == 2 else GRID[:, 1:2])


@pytest.mark.parametrize("check", OF_ANY_ORIGIN)
@pytest.mark.parametrize(
    "factors", [GRID / 2, np.full((60, 3), np.nan), np.full((60, 3), np.inf), GRID.astype(str)]
)
def test_both_ways_in_refuse_what_is_not_whole(check, factors):
    with pytest.raises(UserError, match="factors have dtype .*, expected integers"):
        check(GRID, factors)


def test_codes_on_a_large_offset_score_once_it_is_taken_off():
    shifted = GRID + 2**25
    score = mig(GRID, GRID, rng(), num_train=None)
    assert score["mig"] == pytest.approx(1)
    assert mig(shifted - shifted.mean(axis=0), GRID, rng(), num_train=None) == score


@pytest.mark.parametrize("metric", [dci, sap, modularity_explicitness])
def test_metrics_that_split_and_fit_refuse_settings_of_another_kind(metric):
    with pytest.raises(
        UserError, match="num_train = 50 and num_test = None, expected positive whole numbers"
    ):
        metric(GRID, GRID, rng(), num_train=50, num_test=None)
    with pytest.raises(UserError, match="classifier = 3, expected a function of random_state"):
        metric(GRID, GRID, rng(), num_train=30, num_test=20, classifier=3)
