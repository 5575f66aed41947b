"""Measured values of the reference that belong to today's multinomial model, and to rotated codes
on the full grid.

The published numbers are one draw each (evaluation seed 0; for rotated codes one unknown rotation).
The spread of one draw was seen over seeds and rotations of ours; a published value lies within two
and a half of it of our mean, whose own error is added.
"""

import joblib
import numpy as np
import pytest

from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._linear import sklearn_multinomial_logistic_regression_cv
from dlib_tf2.metrics.downstream_task import downstream_task
from dlib_tf2.metrics.fairness import fairness

pytestmark = pytest.mark.slow
# standard deviation of an accuracy, by training rows
SPREAD = {10: 0.022, 100: 0.014, 1000: 0.008, 10_000: 0.0015}


@pytest.fixture(autouse=True)
def workers():
    with joblib.parallel_config(backend="loky", n_jobs=-1, inner_max_num_threads=1):
        yield


@pytest.fixture(scope="module")
def rotated(dsprites_grid):
    """A function of a seed: the standardised factors and five unit normals on the full grid, turned
    by one random rotation.
    """
    units = ((dsprites_grid - dsprites_grid.mean(axis=0)) / dsprites_grid.std(axis=0)).astype(
        np.float32
    )

    def make(seed):
        rng = np.random.default_rng(seed)
        noise, rotation = (
            rng.standard_normal((len(units), 5), dtype=np.float32),
            np.linalg.qr(rng.normal(size=(10, 10)))[0],
        )
        return np.concatenate([units, noise], axis=1) @ rotation.astype(np.float32)

    return make


def test_fairness_of_rotated_codes(dsprites_grid, rotated):
    # By LightGBM's trees three rotations gave 0.1474, 0.1474 and 0.1431; the published 0.149 is
    # scikit-learn's.
    rng = np.random.default_rng
    found = [
        fairness(
            rotated(seed), dsprites_grid, rng(seed), classifier=lightgbm_exact_gradient_boosting
        )
        for seed in range(2)
    ]
    assert np.mean(
        [result["mean_fairness:mean_pred:mean_sens"] for result in found]
    ) == pytest.approx(0.149, abs=0.008)


@pytest.mark.parametrize("size, seeds", [(10, 6), (100, 4), (1000, 3), (10_000, 1)])
@pytest.mark.parametrize("kind", ["ideal", "rotated"])
def test_downstream_accuracy_of_the_multinomial_model(
    dsprites_grid, reference_codes, rotated, kind, size, seeds
):
    published = {
        "ideal": {10: 0.195, 100: 0.527, 1000: 0.884, 10_000: 0.999},
        "rotated": {10: 0.164, 100: 0.439, 1000: 0.880, 10_000: 0.998},
    }
    scores = []
    for seed in range(seeds):
        codes = reference_codes["ideal"] if kind == "ideal" else rotated(seed)
        model = {"classifier": sklearn_multinomial_logistic_regression_cv}
        scores.append(
            downstream_task(
                codes, dsprites_grid, np.random.default_rng(seed), num_train=[size], **model
            )[f"{size}:mean_test_accuracy"]
        )
    assert np.mean(scores) == pytest.approx(
        published[kind][size], abs=2.5 * SPREAD[size] * np.sqrt(1 + 1 / seeds)
    )
