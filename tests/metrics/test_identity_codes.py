"""Ranges that are known of the identity: ten factors of ten values, the codes being the factors,
zeros, copies or scattered factors.

Other tests compare with measured values of dSprites' sizes; these are the ranges that the field's
reference tests assert, at their sizes.
"""

from contextlib import nullcontext

import joblib
import numpy as np
import pytest

from dlib_tf2.errors import ScoreWarning
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._predictors import sklearn_gradient_boosting
from dlib_tf2.metrics.beta_vae import beta_vae
from dlib_tf2.metrics.dci import dci
from dlib_tf2.metrics.factor_vae import factor_vae
from dlib_tf2.metrics.irs import irs
from dlib_tf2.metrics.mig import mig
from dlib_tf2.metrics.modularity_explicitness import modularity
from dlib_tf2.metrics.sap import sap
from dlib_tf2.metrics.unified_scores import mutual_information_matrix

FACTORS = np.random.default_rng(0).integers(1, 11, size=(20_000, 10))
CODES = FACTORS.astype(np.float32)
DOUBLED = np.concatenate([CODES, CODES], axis=1)
# each row's codes in an order of its own
SCATTERED = np.random.default_rng(1).permuted(CODES, axis=1)
# completeness of codes that come twice, where both are used alike
ONE_COPY_EACH = 1 - np.log(2) / np.log(10)


def run(metric, codes, **parameters):
    return metric(codes, FACTORS, np.random.default_rng(0), **parameters)


def test_beta_vae_and_factor_vae():
    found = run(beta_vae, CODES, batch_size=5, num_train=2000, num_eval=2000)
    assert min(found["train_accuracy"], found["eval_accuracy"]) >= 0.9
    votes = {
        "batch_size": 5,
        "num_train": 3000,
        "num_eval": 2000,
        "num_variance_estimate": 2500,
        "threshold": 0.0,
    }
    found = run(factor_vae, CODES, **votes)
    assert min(found["train_accuracy"], found["eval_accuracy"]) >= 0.9
    with pytest.warns(ScoreWarning, match="every code is constant"):
        assert run(factor_vae, np.zeros_like(CODES), **votes)["eval_accuracy"] <= 0.2


@pytest.mark.parametrize(
    "codes, low, high",
    [(CODES, 0.9, 1), (CODES * 0, 0, 0), (DOUBLED, 0, 0.1)],
    ids=["identity", "zeros", "doubled"],
)
def test_mig(codes, low, high):
    assert low <= run(mig, codes, num_train=3000, num_bins=None)["mig"] <= high


@pytest.mark.parametrize(
    "codes, low, high",
    [(CODES, 0.9, 1), (CODES * 0, 0, 0), (DOUBLED, 0, 0.2)],
    ids=["identity", "zeros", "doubled"],
)
def test_continuous_sap(codes, low, high):
    constant = not codes.any()
    warned = pytest.warns(ScoreWarning, match="is constant") if constant else nullcontext()
    with warned:
        found = run(sap, codes, num_train=3000, num_test=3000, continuous=True)["sap"]
    assert low <= found <= high


def test_irs():
    assert run(irs, CODES, num_train=3000, num_bins=None)["irs"] >= 0.9
    with pytest.warns(ScoreWarning, match="every code is constant"):
        assert run(irs, CODES * 0, num_train=3000, num_bins=None)["irs"] == 0


@pytest.mark.parametrize(
    "codes, rows, low, high",
    [(CODES, 3000, 0.9, 1), (DOUBLED, 3000, 0.9, 1), (SCATTERED, 20_000, 0, 0.2)],
    ids=["identity", "doubled", "scattered"],
)
def test_modularity(codes, rows, low, high):
    information = mutual_information_matrix(
        codes, FACTORS - 1, rows, np.random.default_rng(0), num_bins=None
    )
    assert low <= modularity(information) <= high


@pytest.mark.parametrize("trees", [lightgbm_exact_gradient_boosting, sklearn_gradient_boosting])
def test_dci(trees):
    with joblib.parallel_config(backend="loky", n_jobs=-1, inner_max_num_threads=1):
        found = [
            run(dci, codes, num_train=1000, num_test=1000, classifier=trees)
            for codes in (CODES, DOUBLED, SCATTERED)
        ]
    identity, doubled, scattered = (
        (scores["disentanglement"], scores["completeness"]) for scores in found
    )
    assert min(identity) >= 0.9
    assert doubled[0] >= 0.9
    assert doubled[1] == pytest.approx(ONE_COPY_EACH, abs=0.1)  # chance decides between copies
    assert max(scattered) <= 0.2
