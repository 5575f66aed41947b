"""The classifiers: each fast one against the scikit-learn model that it stands for, and what is
pinned.
"""

import sys
import warnings

import joblib
import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from dlib_tf2.errors import UserError
from dlib_tf2.metrics import _linear, _parallel
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._predictors import fit_and_score, fit_quietly, sklearn_gradient_boosting

LINEAR = [
    _linear.sklearn_logistic_regression,
    _linear.sklearn_multinomial_logistic_regression,
    _linear.sklearn_logistic_regression_cv,
    _linear.sklearn_multinomial_logistic_regression_cv,
    _linear.sklearn_linear_svc,
    _linear.sklearn_newton_logistic_regression_cv,
]


def draw(seed, n, sizes=(2, 5), num_codes=4):
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(size, size=n) for size in sizes], axis=1)
    mixing = np.random.default_rng(9).normal(size=(len(sizes), num_codes))
    return (factors @ mixing + 0.7 * rng.normal(size=(n, num_codes))).astype(np.float32), factors


@pytest.mark.parametrize("classifier", LINEAR, ids=lambda classifier: classifier.__name__)
@pytest.mark.parametrize("factor", [0, 1])
def test_every_classifier_learns_without_a_warning(classifier, factor):
    (codes, factors), (test_codes, test_factors) = draw(0, 300), draw(1, 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = fit_and_score(
            classifier(random_state=0),
            codes,
            factors[:, factor],
            test_codes,
            test_factors[:, factor],
        )
    chance = (1 / 2, 1 / 5)[factor]
    assert fit.importances is None
    assert fit.test_accuracy > chance + 0.15


@pytest.mark.parametrize(
    "classifier", [*LINEAR, sklearn_gradient_boosting], ids=lambda classifier: classifier.__name__
)
def test_nearly_as_many_values_as_rows_are_learned_without_a_warning(classifier):
    rng = np.random.default_rng(0)
    # as a hundred rows of the 183 car models
    labels = rng.permutation(np.tile(np.arange(15), 2))[:24]
    codes = (labels[:, None] + rng.normal(0, 0.1, (24, 2))).astype(np.float32)
    model = classifier(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # on one thread
        [fit] = _parallel.run(fit_and_score, [(model, codes, labels, codes, labels)], [1.0])
    assert fit.train_accuracy > 1 / 15


def test_one_class_in_the_training_rows_is_said_always():
    codes, factors = draw(0, 50)
    fit = fit_and_score(None, codes, np.full(50, 3), codes, np.where(factors[:, 0], 3, 1))
    assert (fit.train_accuracy, fit.test_accuracy) == (1.0, factors[:, 0].mean())
    assert (fit.importances == 0).all()


@pytest.mark.parametrize("factor", [0, 1])
def test_lightgbm_grows_the_trees_of_sklearn(factor):
    # On integer codes of few values, where bins lose nothing, the two algorithms are the same but
    # for ties and rounding.
    rng = np.random.default_rng(0)
    codes = rng.integers(12, size=(1200, 4)).astype(np.float32)
    labels = (
        (codes @ [3, 1, 0, 0] + rng.normal(0, 4, 1200) > 22).astype(int)
        if factor == 0
        else ((codes[:, 0] + 2 * codes[:, 1]) // 8).astype(int)
    )
    train, test = slice(0, 800), slice(800, None)
    ours = lightgbm_exact_gradient_boosting(random_state=0, num_rounds=30).fit(
        codes[train], labels[train]
    )
    theirs = GradientBoostingClassifier(n_estimators=30, random_state=0).fit(
        codes[train], labels[train]
    )
    np.testing.assert_allclose(ours.feature_importances_, theirs.feature_importances_, atol=0.01)
    assert ours.feature_importances_.sum() == pytest.approx(1.0)
    assert np.mean(ours.predict(codes[test]) == theirs.predict(codes[test])) > 0.97


def test_lightgbm_and_sklearn_agree_on_codes_that_mix_factors():
    (codes, factors), (test_codes, test_factors) = draw(0, 1000), draw(1, 1000)
    fits = [
        fit_and_score(
            classifier(random_state=0), codes, factors[:, 1], test_codes, test_factors[:, 1]
        )
        for classifier in (lightgbm_exact_gradient_boosting, sklearn_gradient_boosting)
    ]
    np.testing.assert_allclose(fits[0].importances, fits[1].importances, atol=0.03)
    assert fits[0].test_accuracy == pytest.approx(fits[1].test_accuracy, abs=0.03)


def test_lightgbm_says_the_most_frequent_class_of_constant_codes():
    for labels in (np.array([5, 7, 7, 9]), np.array([2, 2, 4])):
        fit = fit_and_score(
            lightgbm_exact_gradient_boosting(random_state=0),
            np.ones((len(labels), 2), np.float32),
            labels,
            np.ones((1, 2)),
            labels[1:2],
        )
        assert fit.test_accuracy == 1.0
        assert (fit.importances == 0).all()


def test_lightgbm_sees_codes_of_any_scale():
    rng = np.random.default_rng(3)
    codes, labels = rng.normal(size=(300, 3)).astype(np.float32), rng.integers(3, size=300)
    codes[:, 0] += labels
    # about 1e-36, which LightGBM takes for zero
    tiny = codes * np.array([2.0**-118, 1, 2.0**-118], np.float32)
    one, other = (
        lightgbm_exact_gradient_boosting(0, num_rounds=5).fit(c, labels) for c in (codes, tiny)
    )
    np.testing.assert_array_equal(one.feature_importances_, other.feature_importances_)
    np.testing.assert_array_equal(one.predict(codes), other.predict(tiny))
    assert one.feature_importances_[0] > 0.6


def test_lightgbm_splits_between_any_two_values():
    # Bins of several rows each would hide three rows in the middle from every split.
    codes = np.random.default_rng(4).permutation(4000)[:, None].astype(np.float32)
    labels = (np.abs(codes[:, 0] - 2000) <= 1).astype(int)
    fit = fit_and_score(
        lightgbm_exact_gradient_boosting(random_state=0), codes, labels, codes, labels
    )
    assert fit.train_accuracy == 1.0


def test_lightgbm_grows_sklearns_trees_on_values_that_differ_everywhere():
    (codes, factors), (test_codes, _) = draw(0, 600), draw(1, 4000)
    labels = factors[:, 1]
    ours = lightgbm_exact_gradient_boosting(random_state=0, num_rounds=20).fit(codes, labels)
    theirs = (
        sklearn_gradient_boosting(random_state=0).set_params(n_estimators=20).fit(codes, labels)
    )
    np.testing.assert_allclose(ours.feature_importances_, theirs.feature_importances_, atol=0.003)
    assert np.mean(ours.predict(codes) == theirs.predict(codes)) > 0.99
    assert np.mean(ours.predict(test_codes) == theirs.predict(test_codes)) > 0.97


def test_lightgbm_draws_between_copies_of_a_code():
    classifier = lightgbm_exact_gradient_boosting
    codes, factors = draw(0, 600)
    twice = np.concatenate([codes, codes], axis=1)
    one, copies = (classifier(random_state=5).fit(c, factors[:, 1]) for c in (codes, twice))
    shares = copies.feature_importances_[:4] / copies.feature_importances_.reshape(2, 4).sum(axis=0)
    assert ((shares > 0.3) & (shares < 0.7)).all()
    both = copies.feature_importances_.reshape(2, 4).sum(axis=0)
    np.testing.assert_allclose(both, one.feature_importances_, atol=0.01)
    other = classifier(random_state=6).fit(twice, factors[:, 1])
    assert (other.feature_importances_ != copies.feature_importances_).any()


def test_lightgbm_depends_on_the_seed_by_ties_only_and_never_on_workers():
    codes, factors = draw(0, 400)
    model, other = (
        lightgbm_exact_gradient_boosting(random_state=seed).fit(codes, sign * factors[:, 1])
        for seed, sign in ((0, 1), (7, -1))
    )
    np.testing.assert_allclose(model.feature_importances_, other.feature_importances_, atol=0.01)
    assert (model.predict(codes) == -other.predict(codes)).mean() > 0.995
    model = lightgbm_exact_gradient_boosting(random_state=0).fit(codes, factors[:, 1])
    unfitted = lightgbm_exact_gradient_boosting(random_state=0)
    task = (unfitted, codes, factors[:, 1], codes, factors[:, 1])
    with joblib.parallel_config(backend="loky", n_jobs=2, inner_max_num_threads=1):
        for fit in _parallel.run(fit_and_score, [task, task], [1.0, 1.0]):
            np.testing.assert_array_equal(fit.importances, model.feature_importances_)


def test_a_missing_lightgbm_names_its_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(
        UserError,
        match=(
            "LightGBM does not load .*pip install lightgbm, and on Debian or Ubuntu apt-get install"
            " libgomp1; or take"
        ),
    ):
        lightgbm_exact_gradient_boosting(random_state=0)


@pytest.mark.parametrize("factor", [0, 1])
def test_newton_reaches_the_optimum(factor):
    codes, factors = draw(0, 400)
    model = fit_quietly(
        _linear.sklearn_newton_logistic_regression_cv(random_state=0), codes, factors[:, factor]
    )
    for positive, found in zip([1] if factor == 0 else range(5), model.estimators_, strict=True):
        expected = LogisticRegression(C=float(found.C_), tol=1e-10, max_iter=10_000).fit(
            codes.astype(np.float64), factors[:, factor] == positive
        )
        np.testing.assert_allclose(found.coef_, expected.coef_, rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("factor", [0, 1])
def test_the_quick_accuracy_of_cross_validation_is_sklearns(factor):
    codes, factors = draw(0, 303)
    ours = fit_quietly(
        _linear.sklearn_logistic_regression_cv(random_state=0), codes, factors[:, factor]
    )
    model = _linear.sklearn_logistic_regression_cv(random_state=0)
    theirs = fit_quietly(model.set_params(estimator__scoring="accuracy"), codes, factors[:, factor])
    for mine, other in zip(ours.estimators_, theirs.estimators_, strict=True):
        scores = [
            model.scores_[1] if isinstance(model.scores_, dict) else model.scores_
            for model in (mine, other)
        ]
        np.testing.assert_array_equal(*scores)
        np.testing.assert_array_equal(mine.coef_, other.coef_)
    assert len(ours.estimators_) == (1 if factor == 0 else 5)


@pytest.mark.parametrize("factor", [0, 1])
def test_newton_predicts_what_lbfgs_does(factor):
    (codes, factors), (test_codes, _) = draw(0, 303), draw(1, 500)
    ours, theirs = (
        fit_quietly(make(random_state=0), codes, factors[:, factor]).predict(test_codes)
        for make in (
            _linear.sklearn_newton_logistic_regression_cv,
            _linear.sklearn_logistic_regression_cv,
        )
    )
    assert np.mean(ours == theirs) > 0.98


@pytest.mark.parametrize(
    "codes, labels",
    [
        (np.repeat(np.arange(5.0), 2)[:, None], np.repeat(np.arange(5), 2)),  # and folds without
        (np.arange(40.0)[:, None], np.arange(40)),  # as many values as rows
        (np.repeat(np.arange(40.0)[:, None], 2, axis=1), np.arange(40) // 20),  # copies
    ],
)
def test_newton_ends_without_a_warning_on_hard_classes(codes, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit_quietly(
            _linear.sklearn_newton_logistic_regression_cv(random_state=0),
            codes.astype(np.float32),
            labels,
        )
    assert all(np.isfinite(found.coef_).all() for found in model.estimators_)
    assert set(model.predict(codes)) <= set(labels)


def threads():
    """Threads of each library that has its own."""
    return [library["num_threads"] for library in threadpool_info()]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_task_has_one_thread_on_any_number_of_workers_and_libraries_get_theirs_back(
    workers, backend
):
    _parallel.run(int, [(1,)], [1.0])  # scikit-learn's libraries are loaded
    with threadpool_limits(3), joblib.parallel_config(backend=backend, n_jobs=workers):
        before = threads()  # 3 each, where OMP_NUM_THREADS allows it
        found = _parallel.run(threads, [()] * 4, [1.0] * 4)
        assert threads() == before
    assert all(found)  # the libraries were seen
    assert {number for numbers in found for number in numbers} == {1}


def test_a_second_pass_begins_where_the_first_was(monkeypatch):
    now, parts = [100.0], []
    monkeypatch.setattr(_parallel.time, "monotonic", lambda: now[0])

    def work(seconds):
        now[0] += seconds

    with _parallel.reporting(parts.append):
        now[0] += 7  # before there is anything to tell of
        _parallel.run(work, [(6,), (2,)], [6.0, 2.0])
        _parallel.run(work, [(1,), (1,)], [1.0, 1.0])
    assert parts == pytest.approx([6 / 8, 1, 9 / 10, 1])


def test_tasks_run_the_expensive_first_and_report_their_share():
    seen, parts = [], []
    with _parallel.reporting(parts.append):
        assert _parallel.run(
            lambda value: seen.append(value) or value * 10, [(1,), (2,), (3,)], [1.0, 6.0, 3.0]
        ) == [10, 20, 30]
    assert seen == [2, 3, 1]
    assert parts == pytest.approx([0.6, 0.9, 1.0])
    _parallel.run(int, [(1,)], [1.0])
    assert len(parts) == 3


def test_a_fit_that_cannot_be_made_is_one_line():
    model = _linear.sklearn_multinomial_logistic_regression_cv(random_state=0)
    with pytest.raises(
        UserError,
        match=(
            "LogisticRegressionCV cannot be fitted to 4 rows and 2 codes: Cannot have number of"
            " splits"
        ),
    ):
        fit_and_score(model, np.eye(4, 2), np.arange(4) % 2, np.eye(2), np.arange(2))
