"""Factor names in the keys of scores."""

import numpy as np
import pytest

from dlib_tf2.configuration import gin_utils, metric_config
from dlib_tf2.metrics import repeats
from dlib_tf2.representations.representation import Representation

NAMES = ("shape", "size", "orientation")


@pytest.mark.parametrize(
    "key, expected",
    [
        ("1000:test_accuracy_factor_2", "1000:test_accuracy:orientation"),
        ("mean_test_accuracy", "mean_test_accuracy"),
        ("factor_0", "shape"),
        ("matrix.dci_completeness.factor_1", "matrix.dci_completeness:size"),
        ("100:reduced_factor_2:mean_factor_0", "100:reduced:orientation:mean:shape"),
        ("100:reduced_factor_2:factor_0", "100:reduced:orientation:shape"),
        ("100:reduced_factor_2:reduced_factor", "100:reduced:orientation:reduced_factor"),
        ("mean_fairness:pred0:sens2", "mean_fairness:pred_shape:sens_orientation"),
        ("matrix.merge_0_2", "matrix.merge:shape:orientation"),
        ("num_factors_scored", "num_factors_scored"),
        ("mean_test_accuracy_reduced_factor", "mean_test_accuracy_reduced_factor"),
        ("1000:test_accuracy_factor_2:std", "1000:test_accuracy:orientation:std"),
        ("refactor_1", "refactor_1"),
        ("factor_1st", "factor_1st"),
        ("modularity.code_1", "modularity.code_1"),
    ],
)
def test_columns_become_names(key, expected):
    assert repeats.named({key: 1.0}, NAMES) == {expected: 1.0}


@pytest.mark.parametrize("names", [("same", "same"), ("a:std", "b"), ("a.b", "c")])
def test_names_that_would_make_keys_unclear_change_none(names):
    values = {"score_factor_0": 1.0, "score_factor_1": 2.0}
    assert repeats.named(values, names) == values


@pytest.mark.parametrize("metric", ["downstream_task_logistic_regression", "fairness"])
def test_a_scored_table_names_its_factors(metric):
    rng = np.random.default_rng(0)
    factors = rng.integers(0, (2, 3, 4), (400, 3))
    codes = (factors + rng.normal(0, 0.1, factors.shape)).astype(np.float32)
    small = {
        "downstream_task_logistic_regression": [
            "downstream_task.num_train = (50,)",
            "downstream_task.num_test = 100",
        ],
        "fairness": ["fairness.num_train = 100"],
    }
    scope = f"{metric}/" if metric.startswith("down") else ""
    bindings = [scope + line for line in small[metric]]
    gin_utils.parse(metric_config.files([metric]), bindings)
    table = Representation(codes, factors, NAMES, (2, 3, 4))
    call = metric_config.resolve(metric)
    keys = set(repeats.named(repeats.score(call, table, 0, num_repeats=1, line=metric), NAMES))
    assert any("orientation" in key for key in keys)
    assert not any("factor_" in key.replace("reduced_factor", "") for key in keys)
