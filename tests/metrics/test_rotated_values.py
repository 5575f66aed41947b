"""The measured values of rotated codes: each belongs to one unknown rotation, so it has to be a
typical one.

Over several rotations of ours the measured value lies within two and a half standard deviations (of
rotations, at least a hundredth of the value) of the mean.
"""

import joblib
import numpy as np
import pytest

from dlib_tf2.metrics._linear import sklearn_multinomial_logistic_regression
from dlib_tf2.metrics.dci import dci
from dlib_tf2.metrics.irs import irs
from dlib_tf2.metrics.modularity_explicitness import modularity_explicitness
from dlib_tf2.metrics.sap import sap
from dlib_tf2.metrics.unsupervised import unsupervised


def assert_typical(metric, expected, rotations, **parameters):
    with joblib.parallel_config(backend="loky", n_jobs=-1, inner_max_num_threads=1):
        found = [metric(*table, np.random.default_rng(0), **parameters) for table in rotations]
    for key, value in expected.items():
        scores = np.array([result[key] for result in found])
        assert abs(scores.mean() - value) < 2.5 * max(scores.std(ddof=1), 0.01 * value), (
            key,
            scores,
        )


@pytest.mark.parametrize(
    "metric, expected, parameters",
    [
        (sap, {"sap": 0.0214}, {}),
        (sap, {"sap": 0.183}, {"continuous": True}),
        (irs, {"irs": 0.426}, {}),
        (modularity_explicitness, {"modularity": 0.837, "explicitness_test": 0.927}, {}),
        pytest.param(
            modularity_explicitness,
            {"explicitness_test": 0.982},
            {"classifier": sklearn_multinomial_logistic_regression},
            marks=pytest.mark.slow,
        ),
        (
            unsupervised,
            {
                "gaussian_total_correlation": 0.0021,
                "gaussian_wasserstein_correlation_norm": 0.00021,
            },
            {},
        ),
    ],
)
def test_measured_values(rotated_codes, metric, expected, parameters):
    assert_typical(metric, expected, [rotated_codes(seed) for seed in range(4)], **parameters)


@pytest.mark.slow
def test_measured_values_of_dci(rotated_codes):
    expected = {"disentanglement": 0.154, "completeness": 0.137, "informativeness_test": 0.396}
    assert_typical(dci, expected, [rotated_codes(seed) for seed in range(4)])
