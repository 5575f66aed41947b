"""MIG-sup, JEMMIG, RMIG, DCIMIG and MED: tables of bits worked by hand, scikit-learn in the
definitions, and made codes.
"""

from contextlib import nullcontext

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics.dcimig import dcimig
from dlib_tf2.metrics.jemmig import jemmig
from dlib_tf2.metrics.med import med, most_disentangled
from dlib_tf2.metrics.mig_sup import mig_sup
from dlib_tf2.metrics.rmig import quantize, rmig

GRID = np.stack(np.unravel_index(np.arange(10**4), (10,) * 4), axis=1)

# Eight equally likely rows: factor a has one bit, factor b two. Code c holds the bit of a and one
# of b; b_code is b.
B = np.array([0, 1, 2, 3, 0, 1, 2, 3])
A = np.array([0, 0, 0, 0, 1, 1, 1, 1])
C = 2 * A + B % 2
FACTORS = np.stack([A, B], axis=1)
CODES = np.stack([C, B], axis=1)  # bits about (a, b): c knows (1, 1), b_code (0, 2)
EXACT = {"num_train": None, "num_bins": 4}


def run(metric, codes, factors, seed=0, **parameters):
    return metric(codes, factors, np.random.default_rng(seed), **parameters)


@pytest.fixture(scope="module")
def mixed():
    """700 rows of five codes that mix two factors, with the information between them by
    scikit-learn.
    """
    rng = np.random.default_rng(5)
    factors = np.stack([rng.integers(4, size=700), rng.integers(9, size=700)], axis=1)
    codes = (factors @ rng.normal(size=(2, 5)) + rng.normal(size=(700, 5))).astype(np.float32)
    binned = np.stack(
        [np.digitize(code, np.histogram(code, 20)[1][:-1]) for code in codes.T], axis=1
    )
    information = np.array(
        [[mutual_info_score(factor, code) for factor in factors.T] for code in binned.T]
    )
    return (
        codes,
        factors,
        binned,
        information,
        np.array([mutual_info_score(factor, factor) for factor in factors.T]),
    )


def test_mig_sup_by_hand():
    codes = np.stack([A, B, B // 2, C], axis=1)  # gaps in n = I / H: 1 - 0, 1 - 0, 1/2 - 0, 1 - 1/2
    assert run(mig_sup, codes, FACTORS, **EXACT)["mig_sup"] == pytest.approx(0.75, abs=1e-12)


def test_jemmig_by_hand():
    result = run(jemmig, CODES, FACTORS, **EXACT)
    # a: c is best, H(c, a) = 2 bits, I = 1, I2 = 0: 1 bit of 1 + 2. b: b_code is best, H = 2, I =
    # 2, I2 = 1: 1 bit of 2 + 2.
    assert result["jemmig"] == pytest.approx(np.log(2), abs=1e-12)
    assert result["jemmig_normalized"] == pytest.approx((2 / 3 + 3 / 4) / 2, abs=1e-12)


def test_rmig_by_hand():
    codes = np.stack([A, B, B // 2], axis=1)  # a: 1 - 0 bits of 1; b: 2 - 1 bits of 2
    result = run(rmig, codes, FACTORS, num_bins=4, value_range=(0.0, 4.0))
    assert result["rmig"] == pytest.approx(np.log(2), abs=1e-12)
    assert result["rmig_normalized"] == pytest.approx(0.75, abs=1e-12)
    with pytest.warns(ScoreWarning, match="each falls in one bin: scale them to value_range"):
        small = run(rmig, codes * 0.01, FACTORS, num_bins=4, value_range=(0.0, 4.0))
    assert small["rmig"] == 0.0


def test_dcimig_by_hand():
    # c knows a and b alike: gap 0, and a is served by no other code. b_code: gap 2 bits. H(a) +
    # H(b) = 3 bits.
    assert run(dcimig, CODES, FACTORS, **EXACT)["dcimig"] == pytest.approx(2 / 3, abs=1e-12)
    assert run(dcimig, FACTORS, FACTORS, **EXACT)["dcimig"] == pytest.approx(1, abs=1e-12)
    # a second copy adds nothing
    assert run(dcimig, FACTORS[:, [1, 1]], FACTORS, **EXACT)["dcimig"] == pytest.approx(
        2 / 3, abs=1e-12
    )


def test_med_by_hand():
    result = run(med, CODES, FACTORS, **EXACT)
    # R: column a (1, 0), column b (1/3, 2/3). Row of c is 3:1, weight 2/3; the row of b_code is
    # pure, weight 1/3.
    assert result["med"] == pytest.approx(2 / 3 * (1 - entropy([3, 1], base=2)) + 1 / 3, abs=1e-9)
    assert result["med_completeness"] == pytest.approx(
        (1 + 1 - entropy([1, 2], base=2)) / 2, abs=1e-9
    )
    assert result["med_top_k"] == pytest.approx(result["med"], abs=1e-12)


def test_the_most_disentangled_codes_of_each_factor():
    share = np.array([[0.5, 0.1], [0.3, 0.0], [0.2, 0.1], [0.1, 0.2], [0.0, 0.6]])
    assert most_disentangled(share, 1).tolist() == [1, 4]
    assert most_disentangled(share, 2).tolist() == [0, 1, 3, 4]
    assert most_disentangled(share, 9).tolist() == [0, 1, 2, 3, 4]


def test_scores_equal_their_definitions_with_scikit_learns_information(mixed):
    codes, factors, binned, information, factor_entropy = mixed
    all_rows = {"num_train": None, "num_bins": 20}
    normal = np.sort(information / factor_entropy, axis=1)
    assert run(mig_sup, codes, factors, **all_rows)["mig_sup"] == pytest.approx(
        np.mean(normal[:, -1] - normal[:, -2]), abs=1e-9
    )

    values = []
    for j, factor in enumerate(factors.T):
        best = information[:, j].argmax()
        joint = entropy(
            np.unique(np.stack([binned[:, best], factor]), axis=1, return_counts=True)[1]
        )
        values.append(joint - information[best, j] + np.sort(information[:, j])[-2])
    result = run(jemmig, codes, factors, **all_rows)
    assert result["jemmig"] == pytest.approx(np.mean(values), abs=1e-9)
    assert result["jemmig_normalized"] == pytest.approx(
        np.mean(1 - np.array(values) / (factor_entropy + np.log(20))), abs=1e-9
    )

    ordered = np.sort(information, axis=1)
    gaps = ordered[:, -1] - ordered[:, -2]
    best = [max([0.0, *gaps[information.argmax(axis=1) == j]]) for j in range(2)]
    assert run(dcimig, codes, factors, **all_rows)["dcimig"] == pytest.approx(
        sum(best) / factor_entropy.sum(), abs=1e-9
    )

    share = information / information.sum(axis=0)
    expected = np.sum(share.sum(axis=1) / 2 * (1 - entropy(share, base=2, axis=1)))
    assert run(med, codes, factors, **all_rows)["med"] == pytest.approx(expected, abs=1e-8)

    quantised = np.digitize(codes, np.linspace(-4, 4, 11)[1:-1])
    by_range = np.array(
        [[mutual_info_score(factor, code) for factor in factors.T] for code in quantised.T]
    )
    by_range = np.sort(by_range, axis=0)
    assert run(rmig, codes, factors, num_bins=10)["rmig"] == pytest.approx(
        np.mean(by_range[-1] - by_range[-2]), abs=1e-9
    )


@pytest.mark.parametrize(
    "metric, key, ideal, noise, const",
    [
        (mig_sup, "mig_sup", 0.448, 0.001, 0.0),
        (jemmig, "jemmig_normalized", 0.944, 0.109, 0.547),
        (dcimig, "dcimig", 0.863, 0.0005, 0.0),
        (med, "med", 0.906, 0.003, 0.0),
        (rmig, "rmig_normalized", 1.0, 0.0, 0.0),
    ],
)
def test_what_the_docs_say_of_made_codes(
    dsprites_grid, reference_codes, metric, key, ideal, noise, const
):
    assert run(metric, reference_codes["ideal"], dsprites_grid)[key] == pytest.approx(
        ideal, abs=0.004
    )
    assert run(metric, reference_codes["noise"], dsprites_grid)[key] == pytest.approx(
        noise, abs=0.003
    )
    with pytest.warns(ScoreWarning, match="one bin") if metric is rmig else nullcontext():
        found = run(metric, reference_codes["const"], dsprites_grid)[key]
    assert found == pytest.approx(const, abs=0.001)


def test_perfect_duplicated_and_permuted_codes():
    perfect = GRID.astype(np.float32)
    doubled = np.concatenate([perfect, perfect], axis=1)
    # each row's codes in an order of its own
    shuffled = np.random.default_rng(1).permuted(perfect, axis=1)
    scores = {}
    for name, codes in (("perfect", perfect), ("doubled", doubled), ("shuffled", shuffled)):
        for metric in (mig_sup, dcimig, med):
            scores[name, metric.__name__] = run(metric, codes, GRID, num_train=3000, num_bins=None)[
                metric.__name__
            ]
        scores[name, "jemmig"] = run(jemmig, codes, GRID, num_train=3000, num_bins=None)[
            "jemmig_normalized"
        ]
    assert all(scores["perfect", name] > 0.85 for name in ("mig_sup", "dcimig", "med", "jemmig"))
    for name in ("mig_sup", "dcimig", "med"):  # two codes for one factor are as disentangled as one
        assert scores["doubled", name] == pytest.approx(scores["perfect", name], abs=1e-6)
        assert scores["shuffled", name] < 0.1
    assert scores["doubled", "jemmig"] == pytest.approx(0.5, abs=0.02)  # H - I + I2 = H of H + H
    assert scores["shuffled", "jemmig"] < 0.15


def test_order_of_codes_and_of_factors_does_not_matter(mixed):
    codes, factors = mixed[:2]
    for metric in (mig_sup, jemmig, dcimig, med, rmig):
        one, other = (
            run(metric, c, f, num_train=None)
            for c, f in ((codes, factors), (codes[:, ::-1], factors[:, ::-1]))
        )
        assert other == pytest.approx(one, rel=1e-9)


def test_degenerate_tables_have_their_answers():
    factors = np.stack([B, np.zeros(8, int)], axis=1)
    assert run(mig_sup, B[:, None], factors, **EXACT) == {
        "mig_sup": pytest.approx(1),
        "num_factors_scored": 1.0,
    }
    assert run(dcimig, B[:, None], factors, **EXACT) == {
        "dcimig": pytest.approx(1),
        "num_factors_scored": 1.0,
    }
    assert run(jemmig, B[:, None], factors, **EXACT)["jemmig"] == pytest.approx(0, abs=1e-12)
    for codes in (B[:, None], CODES):
        result = run(med, codes, factors, **EXACT)
        assert (result["med"], result["med_top_k"]) == (1.0, 1.0)
    assert run(med, B[:, None], FACTORS, **EXACT)["med_completeness"] == 1.0


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(UserError, match="top_k = 0, expected a whole number of at least 1"):
        run(med, CODES, FACTORS, top_k=0)
    for wrong in ((1.0, 1.0), 3, (1.0,), "ab", (0.0, np.inf)):
        with pytest.raises(UserError, match="value_range = .*; expected two finite numbers"):
            run(rmig, CODES, FACTORS, value_range=wrong)
    with pytest.raises(UserError, match="num_bins = 2.5, expected a whole number"):
        run(rmig, CODES, FACTORS, num_bins=2.5)
    with pytest.warns(ScoreWarning) as warned:
        run(dcimig, CODES[1:], FACTORS[1:], num_train=9)
    assert [warning.message.kind for warning in warned] == ["many_values", "few_rows"]


def test_quantising_is_left_closed_and_keeps_what_lies_outside_in_the_outermost_bins():
    codes = np.array([[-9.0], [-4.0], [-2.0], [-0.1], [0.0], [3.9], [4.0], [7.0]], np.float32)
    assert quantize(codes, 4, (-4.0, 4.0)).ravel().tolist() == [0, 0, 1, 1, 2, 3, 3, 3]
