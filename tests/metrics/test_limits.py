"""Limits that are checked before the work, and warnings beside a score."""

import contextlib
import importlib
import pickle
import pkgutil
import re
import warnings

import numpy as np
import pytest

import dlib_tf2.metrics
from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.metrics import _limits
from dlib_tf2.metrics.dci_es import dci_es
from dlib_tf2.metrics.factor_vae import factor_vae
from dlib_tf2.metrics.mig import mig
from dlib_tf2.metrics.rmig import rmig
from dlib_tf2.metrics.sap import sap
from dlib_tf2.metrics.unified_scores import accuracy_svm_matrix, importance_gbt_matrix
from dlib_tf2.metrics.z_max import z_max

GRID = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)
MODULES = [
    importlib.import_module(f"dlib_tf2.metrics.{module.name}")
    for module in pkgutil.iter_modules(dlib_tf2.metrics.__path__)
    if module.name not in ("common", "labelled", "repeats") and module.name[0] != "_"
]
FUNCTIONS = [getattr(module, module.__name__.split(".")[-1]) for module in MODULES]


def rng():
    return np.random.default_rng(0)


def takes(parameter):
    return [
        pytest.param(function, id=function.__name__)
        for function in FUNCTIONS
        if parameter in (function.__kwdefaults__ or {})
    ]


@pytest.mark.parametrize("wrong", [0, 1, -5, 1001, 10**9, 2.0, True, "20"])
@pytest.mark.parametrize("metric", takes("num_bins"))
def test_bins_out_of_range_are_refused_before_the_table_is_looked_at(metric, wrong):
    message = f"num_bins = {wrong!r}, expected a whole number from 2 to 1,000"
    with pytest.raises(UserError, match=re.escape(message)):
        metric(None, None, None, num_bins=wrong)


def test_metrics_with_bins_are_found():
    assert {"mig", "unsupervised", "irs", "rmig"} <= {p.id for p in takes("num_bins")}


def many_valued(values=501, repeats=2):
    """A full grid of a factor of many values and one of two, as often as asked."""
    factors = np.stack(np.unravel_index(np.arange(values * repeats), (values, repeats)), axis=1)
    return rng().normal(size=(len(factors), 2)), factors


FITS = (
    *("dci", "downstream_task", "fairness", "infomec", "modularity_explicitness"),
    *("reduced_downstream_task", "sap", "strong_downstream_task", "unified_scores"),
)


def forbidden(random_state):
    raise AssertionError("a model was made")


@pytest.mark.parametrize("metric", [f for f in FUNCTIONS if f.__name__ in FITS], ids=FITS)
def test_a_factor_of_too_many_values_is_refused_before_a_model_is_made(metric):
    codes, factors = many_valued(1501, 3)
    settings = {"classifier": forbidden, "importance_classifier": forbidden, "num_train": 5000}
    known = {name: value for name, value in settings.items() if name in metric.__kwdefaults__}
    split = {"disjoint": False} if "disjoint" in metric.__kwdefaults__ else {}
    drawn = contextlib.nullcontext()
    if metric.__name__ == "unified_scores":  # it has other matrices too, and draws its rows first
        split["matrices"], drawn = (
            [importance_gbt_matrix],
            pytest.warns(ScoreWarning, match="test rows"),
        )
    with (
        drawn,
        pytest.raises(
            UserError,
            match=r"factor_0 has 1,[0-9]+ values in [45],[05]0[03] rows; .*, at most 500: leave",
        ),
    ):
        metric(codes, factors, rng(), **known, **split)


def test_a_matrix_of_accuracies_and_probes_by_indicators_have_the_same_limit():
    codes, factors = many_valued()
    with pytest.raises(UserError, match="has 501 values in 1,002 rows"):
        accuracy_svm_matrix(codes, factors, len(codes), rng(), classifier=forbidden)
    with pytest.raises(UserError, match="has 501 values in 1,002 rows"):
        dci_es(codes, factors, rng(), num_train=None, one_hot=True)
    assert dci_es(codes, factors, rng(), num_train=None)["num_factors_scored"] == 2


def test_values_up_to_the_limit_are_taken():
    _limits.check_classes(many_valued(500)[1])


def test_a_factor_with_nearly_as_many_values_as_rows_is_named():
    factors = np.concatenate([GRID, np.arange(60)[:, None], np.arange(60)[:, None] // 2], axis=1)
    with pytest.warns(ScoreWarning, match=r"values as rows \(60\): factor_3 \(60 values\); such a"):
        mig(GRID, factors, rng(), num_train=None)


@pytest.mark.parametrize("metric", [factor_vae, z_max])
def test_codes_of_small_scale_are_told_from_codes_that_know_nothing(metric):
    message = r"largest standard deviation of a code is 0.0\d+, below the threshold of 0.05: scale"
    with pytest.warns(ScoreWarning, match=message):
        small = metric(GRID * 0.01, GRID, rng())
    key = "eval_accuracy"
    assert small[key] == small["num_active"] == 0
    assert metric(GRID, GRID, rng())[key] == 1.0


def test_other_notions_of_an_active_code():
    with pytest.warns(ScoreWarning, match="below the threshold of 1e-06: scale the codes"):
        assert sap(GRID * 1e-8, GRID, rng(), num_train=None, continuous=True)["sap"] == 0
    with pytest.warns(ScoreWarning, match="score is 0, since each falls in one bin: scale them"):
        assert rmig(GRID * 0.01 + 0.01, GRID, rng())["rmig"] == 0


def test_warnings_are_collected_one_of_each_kind_and_others_pass():
    def work():
        _limits.warn("overlap", "first")
        _limits.warn("few_rows", "few", "num_train = 3")
        _limits.warn("overlap", "last")
        warnings.warn("another", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="another"), _limits.collecting() as found:
        work()
    assert [str(warning) for warning in found] == ["last", "few; set num_train = 3"]
    with pytest.warns(ScoreWarning, match="first"):  # outside of the block they are warnings again
        work()


def test_a_warning_survives_a_pickle():
    copy = pickle.loads(pickle.dumps(ScoreWarning("kind", "text", "a = 1")))
    assert (copy.kind, copy.text, copy.binding) == ("kind", "text", "a = 1")
