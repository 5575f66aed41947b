"""The gin files of metrics and suites: the study's classifiers, one line for all boosted trees, and
no metric forgotten.
"""

import inspect
import subprocess
import sys

import gin
import numpy as np
import pytest

from dlib_tf2.configuration import declaration, gin_utils, metric_config
from dlib_tf2.errors import UserError
from dlib_tf2.evaluate import evaluate
from dlib_tf2.representations.representation import Representation
from dlib_tf2.studies import finding

METRICS = sorted(path.stem for path in (gin_utils.config_dir() / "metrics").glob("*.gin"))
SUITES = {"study": 9, "fast": 9, "fairness_study": 10, "fairness_fast": 10, "all": len(METRICS)}
EXACT, SKLEARN = "lightgbm_exact_gradient_boosting", "sklearn_gradient_boosting"
TREES = [
    "dci",
    "downstream_task_boosted_trees",
    "fairness",
    "readout_transfer",
    "reduced_downstream_task",
    "strong_downstream_task",
    "unified_scores",
]
CLASSIFIERS = [
    *(EXACT, SKLEARN),
    *("sklearn_newton_logistic_regression_cv", "sklearn_linear_svc"),
    *("sklearn_logistic_regression", "sklearn_multinomial_logistic_regression"),
    *("sklearn_logistic_regression_cv", "sklearn_multinomial_logistic_regression_cv"),
]


@pytest.fixture(autouse=True)
def clean_gin():
    gin.clear_config()
    yield
    gin.clear_config()


def resolved(names, suite=None, bindings=()):
    """Metrics as dlib_evaluate resolves them, and the configuration of all."""
    gin_utils.parse(
        [*metric_config.files(names), *([f"suites/{suite}.gin"] if suite else [])], bindings
    )
    calls = [metric_config.resolve(name) for name in names]
    return calls, {
        key: value
        for call in calls
        for key, value in gin_utils.typed_bindings(call.config_text).items()
    }


def names_in(suite):
    names = gin_utils.GinText([f"suites/{suite}.gin"]).value("evaluate.metrics")
    return declaration.expanded(names)


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_fits_what_the_study_did_or_its_fast_twins(suite):
    names = names_in(suite)
    assert len(names) == len(set(names)) == SUITES[suite]
    assert set(names) >= set(names_in("study"))
    calls, config = resolved([*names, "downstream_task"], suite)
    fast = "study" not in suite
    assert metric_config.one_kind_of_trees(calls) == {EXACT}
    logistic = (
        "@sklearn_newton_logistic_regression_cv" if fast else "@sklearn_logistic_regression_cv"
    )
    expected = {
        "beta_vae.classifier": "@sklearn_logistic_regression",
        "modularity_explicitness.classifier": "@sklearn_logistic_regression",
        "sap.classifier": "@sklearn_linear_svc",
        "sklearn_linear_svc.penalty": 0.01,
        "downstream_task.classifier": logistic,
        "downstream_task_logistic_regression/downstream_task.classifier": logistic,
        "downstream_task_logistic_regression/downstream_task.num_train": [10, 100, 1000, 10000],
        "downstream_task_boosted_trees/downstream_task.num_train": [10, 100, 1000, 10000],
    }
    assert {key: config[key] for key in expected} == expected


def test_the_largest_suite_names_every_metric():
    assert set(names_in("all")) == set(METRICS)


def test_one_line_switches_the_trees_of_every_metric():
    exact, _ = resolved(METRICS)
    assert [call.name for call in exact if metric_config.trees(call.config_text)] == TREES
    assert metric_config.one_kind_of_trees(exact) == {EXACT}
    switched, _ = resolved(METRICS, bindings=[f"TREES = @{SKLEARN}"])
    assert [
        call.name for call in switched if metric_config.trees(call.config_text) == {SKLEARN}
    ] == TREES
    assert metric_config.one_kind_of_trees(switched) == {SKLEARN}
    text = next(call.config_text for call in switched if call.name == "dci")
    assert "%" not in text
    gin_utils.parse([], [text])  # what is kept parses without the macro
    assert metric_config.resolve("dci").config_text == text


def test_metrics_of_different_trees_are_refused():
    calls, _ = resolved(["mig", "dci", "fairness"], bindings=[f"fairness.classifier = @{SKLEARN}"])
    message = rf"do not compare \(dci: {EXACT}; fairness: {SKLEARN}\); bind TREES"
    with pytest.raises(UserError, match=message):
        metric_config.one_kind_of_trees(calls)
    assert metric_config.one_kind_of_trees(calls[:1]) == set()
    assert metric_config.trees(f"a.b = @x/dlib_tf2.metrics._lightgbm.{EXACT}") == {EXACT}
    old = "dci.classifier = @lightgbm_gradient_boosting\nlightgbm_gradient_boosting.max_bin = 255"
    # of other bins: neither of today's
    assert metric_config.trees(old) == {"lightgbm_gradient_boosting"}


@pytest.mark.parametrize("name", METRICS)
def test_every_classifier_can_be_bound_with_the_metric_alone(name):
    [call], _ = resolved([name])
    text = gin_utils.typed_bindings(call.config_text)
    keys = [key for key in text if key.endswith("classifier")]
    assert (
        bool(keys)
        == any(
            "classifier" in parameter for parameter in inspect.signature(call.function).parameters
        )
        or name in TREES
    )
    for classifier in CLASSIFIERS if keys else []:
        _, config = resolved([name], bindings=[f"{key} = @{classifier}" for key in keys])
        assert {config[key] for key in keys} == {f"@{classifier}"}


def test_macros_become_what_they_stand_for_in_lists_too():
    bindings = [
        "MATRIX = %OTHER",
        "OTHER = @mutual_information_matrix",
        "unified_scores.matrices = [%MATRIX, @accuracy_svm_matrix]",
    ]
    _, config = resolved(
        ["unified_scores"], bindings=[*bindings, "unified_scores.num_train = %ROWS", "ROWS = 50"]
    )
    assert config["unified_scores.matrices"] == [
        "@mutual_information_matrix",
        "@accuracy_svm_matrix",
    ]
    assert config["unified_scores.num_train"] == 50


def test_naming_the_classifiers_loads_none_of_their_packages():
    code = (
        "import sys; from dlib_tf2.configuration import gin_utils\n"
        "gin_utils.parse(['suites/classifiers.gin'])\n"
        "assert 'dlib_tf2.metrics._lightgbm' in sys.modules; sys.exit(', '.join({'sklearn',"
        " 'lightgbm', 'tensorflow'} & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        ).stderr.strip()
        == ""
    )


PUBLISHED = ("study", "fast", "fairness_study", "fairness_fast")
SPLITS = (
    *("dci", "downstream_task_boosted_trees", "downstream_task_logistic_regression"),
    *("modularity_explicitness", "sap"),
)


@pytest.mark.parametrize("suite", [*PUBLISHED, "all", None])
def test_the_published_protocol_keeps_drawing_with_replacement_under_its_name(suite):
    config = resolved(SPLITS, suite)[1]
    disjoint = {key: value for key, value in config.items() if key.endswith(".disjoint")}
    assert len(disjoint) == len(SPLITS)
    assert set(disjoint.values()) == {False if suite in PUBLISHED else None}


@pytest.mark.parametrize("suite", ["study", "fast"])
def test_studies_score_by_the_published_protocol(suite):
    assert finding.find("rendered_study").suites[suite] == f"suites/{suite}.gin"
    assert finding.find("unsupervised_study_v1").suites[suite] == f"suites/{suite}.gin"


def small_table(kind, num_rows=300):
    """A sample of `num_rows`, no grid: factors, and codes that hold them or nothing."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(size, size=num_rows) for size in (3, 4, 5)], axis=1)
    perfect = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    perfect = perfect + rng.normal(0, 0.02, factors.shape)
    codes = {"perfect": perfect, "noise": rng.normal(size=(num_rows, 6))}
    return Representation.from_arrays(codes[kind], factors)


TOLD_APART = {  # of perfect codes at least, of noise at most: chance and four standard errors
    "beta_vae": ("eval_accuracy", 0.99, 1 / 3 + 4 * 0.021),
    "dci": ("informativeness_test", 0.98, (1 / 3 + 1 / 4 + 1 / 5) / 3 + 4 * 0.025),
    "dci_es": ("informativeness", 0.98, 0.06),
    "factor_vae": ("eval_accuracy", 0.98, 1 / 3 + 4 * 0.021),
    "irs": ("irs", 0.94, 0.3),
    "mcc": ("mcc_pearson", 0.99, 0.15),
    "mig": ("mig", 0.96, 0.03),
    "modularity_explicitness": ("explicitness_test", 0.95, 0.5 + 4 * 0.025),
    "sap": ("sap", 0.96, 0.04),
}
SLOWER = {
    "downstream_task_boosted_trees": ("100:mean_test_accuracy", 0.98, 0.26 + 4 * 0.025),
    "downstream_task_logistic_regression": ("100:mean_test_accuracy", 0.95, 0.26 + 4 * 0.025),
}


@pytest.mark.parametrize("expected", [TOLD_APART, pytest.param(SLOWER, marks=pytest.mark.slow)])
def test_the_small_suite_tells_perfect_codes_from_noise_on_300_rows(tmp_path, expected, capsys):
    found = {}
    for kind in ("perfect", "noise"):
        resolved(list(expected), "small")
        scores = evaluate(small_table(kind), tmp_path / kind, list(expected), num_workers=1)
        found[kind] = {name: scores[name][key] for name, (key, _, _) in expected.items()}
        overlaps = [v for s in scores.values() for k, v in s.items() if k.endswith("test_overlap")]
        assert set(overlaps) == {0.0}
    assert capsys.readouterr().err == ""  # no warning: the suite asks for no more than there is
    for name, (_, least, most) in expected.items():
        assert found["perfect"][name] >= least, name
        assert found["noise"][name] <= most, name


def test_the_small_suite_names_its_metrics():
    assert set(names_in("small")) == {*TOLD_APART, *SLOWER, "unsupervised"}
    config = resolved(names_in("small"), "small")[1]
    sizes = {key: value for key, value in config.items() if key.endswith(".num_train")}
    assert sizes.pop("beta_vae.num_train") == sizes.pop("factor_vae.num_train") == 1000  # votes
    assert all(value in (None, [10, 100]) for value in sizes.values())
