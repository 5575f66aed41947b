"""Finds every metric by itself and checks what all of them promise."""

import contextlib
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys

import gin
import joblib
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

import dlib_tf2.metrics
from dlib_tf2.configuration import gin_utils, metric_config
from dlib_tf2.configuration.declaration import Headline, headline
from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._predictors import sklearn_gradient_boosting
from dlib_tf2.report import scores

SHARED = {"common", "labelled", "repeats"}
NAMES = [
    module.name
    for module in pkgutil.iter_modules(dlib_tf2.metrics.__path__)
    if module.name not in SHARED and module.name[0] != "_"
]


# now: a parsed gin configuration is locked
MODULES = {name: importlib.import_module(f"dlib_tf2.metrics.{name}") for name in NAMES}


def function_of(name):
    return getattr(MODULES[name], name)


def held_out(factors):
    """A mask for metrics that take one: every third row, so that no value is only there."""
    return np.arange(len(factors)) % 3 == 1


def tree(random_state):
    """One tree in the place of the study's hundreds, which would take most of the time of these
    tests.
    """
    return DecisionTreeClassifier(max_depth=3, random_state=random_state)


def run(name, codes, factors, seed=0, trees=tree, rng=None):
    """Calls a metric with every count, or each of several, at most 60, and `trees` for the study's,
    so that it runs in little time.
    """
    function = function_of(name)
    parameters = inspect.signature(function).parameters.values()
    small: dict[str, object] = {
        p.name: min(p.default, 60) for p in parameters if type(p.default) is int
    }
    for p in parameters:
        if type(p.default) is tuple and all(type(size) is int for size in p.default):
            small[p.name] = tuple(sorted({min(size, 60) for size in p.default}))
        if p.default is lightgbm_exact_gradient_boosting:
            small[p.name] = trees
        if p.name in metric_config.FROM_TABLE:
            small[p.name] = held_out(factors)
    return function(codes, factors, np.random.default_rng(seed) if rng is None else rng, **small)


BOOSTED = [
    name
    for name in NAMES
    if any(
        p.default is lightgbm_exact_gradient_boosting
        for p in inspect.signature(function_of(name)).parameters.values()
    )
]


def assert_is_a_result(result):
    assert result
    for key, value in result.items():
        assert isinstance(key, str)
        assert type(value) is float, key
        assert np.isfinite(value), key


def key_of(name):
    """The key that a metric is read by; sizes are cut to 60 here."""
    return re.sub(r"^\d+:", "60:", headline(name).key)


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_declares_the_score_it_is_read_by(name, large_grid):
    declared = headline(name)
    assert declared == MODULES[name].HEADLINE  # what is read of the file is what the module says
    noise = np.random.default_rng(3).normal(size=(len(large_grid), 3))
    units = (large_grid - large_grid.mean(axis=0)) / large_grid.std(axis=0)
    for bound, sign in ((declared.low, 1), (declared.high, -1)):
        assert bound is None or sign * (declared.random - bound) >= 0
    for codes in (units, noise, np.zeros_like(units)):
        with said_of(name, codes):
            score = run(name, codes, large_grid)[key_of(name)]
        assert declared.low is None or score >= declared.low
        assert declared.high is None or score <= declared.high


def test_what_is_no_metric_declares_nothing():
    assert headline("common") is None
    assert headline("no_metric") is None
    with pytest.raises(
        ValueError, match="cost is 'cheap'; expected one of instant, seconds, minutes"
    ):
        Headline(key="x", higher_is_better=True, low=0, high=1, random=0, cost="cheap")


def read(name, codes, factors, seeds):
    """The headline score under each seed, its sign such that larger is better."""
    direction = 1 if headline(name).higher_is_better else -1
    with said_of(name, codes):
        scores = [run(name, codes, factors, seed)[key_of(name)] for seed in seeds]
    return direction * np.array(scores)


def said_of(name, codes):
    """Expects a warning of constant codes from every metric that counts active ones."""
    counts = "num_active" in inspect.getdoc(function_of(name)) or name == "rmig"
    if counts and not np.ptp(codes, axis=0).any():
        return pytest.warns(ScoreWarning, match="no code is active and the score is 0")
    return contextlib.nullcontext()


@pytest.fixture(scope="module")
def large_grid():
    """3 x 4 x 2 points, forty times: noise that a tree meets again would score."""
    return np.tile(np.stack(np.unravel_index(np.arange(24), (3, 4, 2)), axis=1), (40, 1))


@pytest.mark.parametrize("name", NAMES)
def test_perfect_codes_score_above_noise_and_constant_ones(name, large_grid):
    rng = np.random.default_rng(5)
    units = (large_grid - large_grid.mean(axis=0)) / large_grid.std(axis=0)
    others = {"noise": rng.normal(size=(len(units), 3)), "constant": np.zeros_like(units)}
    perfect = read(
        name, units + rng.normal(0, 0.01, units.shape), large_grid, seeds=range(2)
    ).mean()
    for kind in headline(name).perfect_beats:
        # Their scores lie near chance; on sixty rows a perfect code is better by much more than
        # their spread.
        worse = read(name, others[kind], large_grid, seeds=range(2))
        assert perfect > worse.mean() + 0.03, kind
        assert perfect > worse.max(), kind


# Those that give the same score whatever the order of codes and factors, from the same rows. The
# others draw factors, or features of codes, or fit trees, which take the first of equal splits.
DRAWS_ONLY_ROWS = {
    *(
        "beta_vae",
        "dcimig",
        "infomec",
        "irs",
        "jemmig",
        "mcc",
        "med",
        "mig",
        "mig_sup",
        "modularity_explicitness",
        "rmig",
        "sap",
    ),
    *("unified_scores", "unsupervised"),
}


@pytest.mark.parametrize("name", NAMES)
def test_order_of_codes_and_of_factors_does_not_matter(name, large_grid):
    rng = np.random.default_rng(6)
    codes = large_grid @ rng.normal(size=(3, 4)) + rng.normal(0, 0.3, (len(large_grid), 4))
    seeds = range(3 if name in DRAWS_ONLY_ROWS else 10)
    one, other = (
        read(name, codes, large_grid, seeds=seeds),
        read(name, codes[:, [2, 0, 3, 1]], large_grid[:, [1, 2, 0]], seeds=seeds),
    )
    if name in DRAWS_ONLY_ROWS:
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    else:  # equal up to the draws: four standard errors of the difference of the means
        assert (
            abs(one.mean() - other.mean())
            <= 4 * np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / len(one)) + 1e-9
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_workers_changes_nothing(name, small_table):
    alone = run(name, *small_table)
    with joblib.parallel_config(backend="loky", n_jobs=2, inner_max_num_threads=1):
        assert run(name, *small_table) == alone


def few_sklearn_trees(random_state):
    """scikit-learn's boosted trees, few rounds of them."""
    return sklearn_gradient_boosting(random_state).set_params(n_estimators=3)


def few_lightgbm_trees(random_state):
    """LightGBM's boosted trees, few rounds of them."""
    return lightgbm_exact_gradient_boosting(random_state, num_rounds=3)


@pytest.mark.parametrize("trees", [few_sklearn_trees, few_lightgbm_trees])
@pytest.mark.parametrize("name", BOOSTED)
def test_the_number_of_workers_changes_nothing_of_boosted_trees(name, trees, small_table):
    alone = run(name, *small_table, trees=trees)
    with joblib.parallel_config(backend="loky", n_jobs=2, inner_max_num_threads=1):
        assert run(name, *small_table, trees=trees) == alone


def test_metrics_are_found():
    assert {"dci", "fairness", "reduced_downstream_task"} <= set(BOOSTED)
    assert {"mig", "factor_vae", "dci"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_signature_and_docstring(name):
    function = function_of(name)
    parameters = list(inspect.signature(function).parameters.values())
    assert [p.name for p in parameters[:3]] == ["codes", "factors", "rng"]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters[3:])
    text = " ".join(inspect.getdoc(function).split())
    assert re.search(r"arXiv \d{4}\.\d{5}|OpenReview \S{9,}|doi ", text), (
        "the docstring must cite the paper"
    )
    assert all(section in text for section in ("Args:", "Returns:", "Raises:"))
    assert all(f"{p.name}:" in text for p in parameters)


@pytest.mark.parametrize("name", NAMES)
def test_gin_file(name):
    gin_utils.parse(metric_config.files([name]))
    call = metric_config.resolve(name)
    assert inspect.unwrap(call.function) is inspect.unwrap(function_of(name))
    bound = gin_utils.typed_bindings(call.config_text)
    assert {
        p.name
        for p in inspect.signature(function_of(name)).parameters.values()
        if p.default is not p.empty and p.name not in metric_config.FROM_TABLE
    } == {key.removeprefix(f"{name}.") for key in bound if key.startswith(f"{name}.")}
    header = gin_utils.find_file(f"metrics/{name}.gin").read_text().split("\n\n")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    assert f"--metrics={name}" in header
    assert "Cost" in header


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_one_score_and_inputs_stay_untouched(name, small_table):
    codes, factors = (array.copy() for array in small_table)
    codes.setflags(write=False)
    factors.setflags(write=False)
    state = np.random.get_state()[1].copy()
    result = run(name, codes, factors)
    assert_is_a_result(result)
    assert result == run(name, codes, factors)
    np.testing.assert_array_equal(codes, small_table[0])
    np.testing.assert_array_equal(factors, small_table[1])
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("name", NAMES)
def test_memory_order_dtype_and_factor_values_do_not_matter(name, small_table):
    codes, factors = small_table
    result = run(name, codes, factors)
    assert (
        run(
            name, np.asfortranarray(codes, np.float64), np.asfortranarray(factors * 3 - 5, np.int16)
        )
        == result
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_codes, num_factors", [(1, 1), (1, 3), (4, 1)])
def test_any_number_of_codes_and_factors(name, num_codes, num_factors, small_table):
    result = run(name, small_table[0][:, :num_codes], small_table[1][:, :num_factors])
    assert_is_a_result(result)
    assert result.get("num_factors_scored", num_factors) == num_factors


@pytest.mark.parametrize("name", NAMES)
def test_constant_codes(name, small_table):
    codes, factors = small_table
    with said_of(name, np.zeros_like(codes)):
        assert_is_a_result(run(name, np.zeros_like(codes), factors))
    assert_is_a_result(
        run(name, np.concatenate([codes, np.full((len(codes), 2), 0.1)], axis=1), factors)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_factor_with_one_value_is_left_out(name, small_table):
    codes, factors = small_table
    result = run(name, codes, np.concatenate([factors, np.full((len(factors), 1), 2)], axis=1))
    assert_is_a_result(result)
    assert result == run(name, codes, factors)


@pytest.mark.parametrize("name", NAMES)
def test_integer_codes_and_rows_that_are_no_grid(name, small_table):
    codes, factors = small_table
    assert_is_a_result(run(name, np.rint(codes * 10).astype(np.int32)[1:], factors[1:]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_nan_and_infinite_codes_are_refused(name, value, small_table):
    codes = small_table[0].astype(np.float64)
    codes[7, 2] = value
    with pytest.raises(UserError, match=r"NaN or infinity in 1 places \(first: row 7, column 2\)"):
        run(name, codes, small_table[1])


@pytest.mark.parametrize("rng", [np.random.RandomState(0), 0])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_generator_is_refused(name, rng, small_table):
    with pytest.raises(
        UserError,
        match=(
            f"rng is {type(rng).__name__}, expected numpy's Generator; pass"
            " numpy.random.default_rng"
        ),
    ):
        run(name, *small_table, rng=rng)


@pytest.mark.parametrize("name", NAMES)
def test_tables_that_do_not_fit_are_refused(name, small_table):
    codes, factors = small_table
    with pytest.raises(UserError, match="codes have 239 rows and factors 240"):
        run(name, codes[1:], factors)
    with pytest.raises(UserError, match=r"codes have shape \(240,\)"):
        run(name, codes[:, 0], factors)
    with pytest.raises(UserError, match="factors have dtype float64, expected integers"):
        run(name, codes, factors / 2)


def test_registered_names_are_unique():
    for name in NAMES:
        function_of(name)
        assert inspect.unwrap(gin.get_configurable(name)) is inspect.unwrap(function_of(name))


def test_scoring_never_imports_tensorflow():
    modules = ", ".join(f"dlib_tf2.metrics.{name}" for name in NAMES)
    heavy = (
        "sorted(m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras',"
        " 'tensorflow_probability', 'sklearn'))"
    )
    code = f"import sys, dlib_tf2.evaluate, {modules}; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_study_values_run_on_a_full_table(name, small_table):
    gin_utils.parse(metric_config.files([name]))
    with joblib.parallel_config(backend="loky", n_jobs=-1, inner_max_num_threads=1):
        assert_is_a_result(metric_config.resolve(name)(*small_table, np.random.default_rng(0)))


REPORTED = (*scores.METRICS, *scores.DEPENDENCE, scores.DOWNSTREAM[0], scores.DOWNSTREAM[-1])


@pytest.mark.parametrize("score", REPORTED, ids=lambda score: score.name)
def test_the_report_reads_keys_that_metrics_return(small_table, score):
    # the others are names of the old library
    (own,) = (name for name in score.functions if name in NAMES)
    returned = run(own, *small_table)
    keys = [re.sub(r"^\d+", lambda size: str(min(int(size[0]), 60)), key) for key in score.keys]
    assert set(keys) & set(returned)
