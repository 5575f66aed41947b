"""InfoMEC: shares by hand, scikit-learn's estimates in the definition, and made codes."""

from contextlib import nullcontext

import joblib
import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, mutual_info_score
from threadpoolctl import threadpool_limits

from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics.infomec import infomec

GRID = np.stack(np.unravel_index(np.arange(4 * 5 * 6), (4, 5, 6)), axis=1)
B = np.array([0, 1, 2, 3, 0, 1, 2, 3])
A = np.array([0, 0, 0, 0, 1, 1, 1, 1])


def run(codes, factors, seed=0, **parameters):
    with joblib.parallel_config(n_jobs=1, inner_max_num_threads=1, backend="loky"):
        return infomec(
            codes, factors, np.random.default_rng(seed), **{"num_train": None, **parameters}
        )


def test_discrete_codes_by_hand():
    # Code c knows one bit of each factor, n = (1, 1/2); the other is b, n = (0, 1). Shares of rows
    # 2/3 and 1, of columns 1 and 2/3.
    result = run(
        np.stack([2 * A + B % 2, B], axis=1), np.stack([A, B], axis=1), discrete_codes=True
    )
    assert result["modularity"] == pytest.approx((5 / 6 - 1 / 2) * 2, abs=1e-9)
    assert result["compactness"] == pytest.approx((5 / 6 - 1 / 2) * 2, abs=1e-9)


def test_explicitness_of_discrete_codes_takes_each_value_as_a_symbol():
    # A code of six values in an order that no linear function of its number follows: its parity,
    # and a factor that is a permutation of it.
    code = np.tile(np.arange(6), 40)
    factors = np.stack([code % 2, np.array([3, 0, 5, 1, 4, 2])[code]], axis=1)
    assert run(code[:, None], factors, discrete_codes=True)["explicitness"] > 0.99
    assert run(code[:, None], factors)["explicitness"] < 0.7


def test_values_that_one_row_has_are_refused_where_they_are_many():
    rng = np.random.default_rng(0)
    for factor in (np.arange(100), np.concatenate([np.zeros(60, int), np.arange(1, 41)])):
        codes = factor[:, None] + 0.01 * rng.normal(size=(100, 1))
        many = pytest.warns(ScoreWarning, match="100 values") if factor[1] else nullcontext()
        with (
            many,
            pytest.raises(
                UserError,
                match=(
                    r"(100|40) of 100 rows have a value of varying factor 0 .* merge rare values,"
                    r" or draw more"
                ),
            ),
        ):
            run(codes, factor)
        many = pytest.warns(ScoreWarning, match="100 values") if factor[1] else nullcontext()
        with many:
            assert np.isfinite(list(run(codes, factor, discrete_codes=True).values())).all()
    few = np.concatenate([np.zeros(80, int), np.arange(1, 21)])
    assert np.isfinite(
        list(run(few[:, None] + 0.01 * rng.normal(size=(100, 1)), few).values())
    ).all()


def test_equals_scikit_learn_in_the_definition():
    rng = np.random.default_rng(0)
    factors = np.tile(GRID, (4, 1))
    codes = (factors @ rng.normal(size=(3, 4)) + rng.normal(0, 0.5, (480, 4))).astype(np.float32)
    result = run(codes, factors, max_iterations=500)
    units = (codes - codes.mean(axis=0)) / codes.std(axis=0)
    n = np.stack(
        [
            mutual_info_classif(units, f, n_neighbors=10, random_state=7) / mutual_info_score(f, f)
            for f in factors.T
        ],
        axis=1,
    )
    assert result["modularity"] == pytest.approx(
        ((n.max(1) / n.sum(1)).mean() - 1 / 3) / (2 / 3), abs=0.02
    )
    assert result["compactness"] == pytest.approx(
        ((n.max(0) / n.sum(0)).mean() - 1 / 4) / (3 / 4), abs=0.02
    )
    model = LogisticRegression(C=1e9, class_weight="balanced", max_iter=2000)
    with threadpool_limits(1):
        losses = [
            log_loss(f, model.fit(codes, f).predict_proba(codes)) / np.log(f.max() + 1)
            for f in factors.T
        ]
    assert result["explicitness"] == pytest.approx(1 - np.mean(losses), abs=1e-3)


def test_perfect_noise_constant_and_dead_codes():
    factors = np.tile(GRID, (8, 1))
    rng = np.random.default_rng(0)
    perfect = factors + rng.normal(0, 0.02, factors.shape)
    result = run(perfect, factors)
    assert result["modularity"] > 0.97
    assert result["compactness"] > 0.97
    assert result["explicitness"] > 0.99
    dead = run(np.concatenate([perfect, rng.normal(0, 0.01, factors.shape)], axis=1), factors)
    assert (dead["num_active"], result["num_active"]) == (3, 3)
    assert dead["modularity"] == pytest.approx(result["modularity"], abs=0.01)
    doubled = run(np.concatenate([perfect, perfect], axis=1), factors)
    assert doubled["modularity"] == pytest.approx(result["modularity"], abs=0.02)
    assert doubled["compactness"] == pytest.approx((1 / 2 - 1 / 6) / (5 / 6), abs=0.05)
    assert run(rng.normal(size=factors.shape), factors)["explicitness"] < 0.05
    with pytest.warns(
        ScoreWarning, match="no code is active and the score is 0, since every code is constant"
    ):
        const = run(np.ones((len(factors), 2)), factors)
    assert [const[key] for key in ("modularity", "compactness", "explicitness", "num_active")] == [
        0,
        0,
        0,
        0,
    ]


def test_one_code_is_compact_and_one_factor_is_modular():
    factors = np.tile(GRID, (4, 1))
    assert run(factors[:, :1], factors)["compactness"] == 1.0
    assert run(factors.astype(float), factors[:, :1])["modularity"] == 1.0


def test_the_number_of_workers_changes_nothing():
    codes = GRID + np.random.default_rng(0).normal(size=GRID.shape)
    with joblib.parallel_config(n_jobs=2, inner_max_num_threads=1, backend="loky"):
        two = infomec(codes, GRID, np.random.default_rng(0), num_train=None)
    assert two == run(codes, GRID)


@pytest.mark.filterwarnings("error")
def test_values_that_are_not_among_the_drawn_rows():
    factors = np.random.default_rng(0).integers(0, 60, (400, 1)) * [[1]]
    factors = np.concatenate([factors, factors % 3], axis=1)
    codes = factors + 0.1 * np.random.default_rng(1).normal(size=factors.shape)
    scores = infomec(codes, factors, np.random.default_rng(2), num_train=120)
    assert np.isfinite(list(scores.values())).all()
    assert scores["explicitness"] > 0.5
