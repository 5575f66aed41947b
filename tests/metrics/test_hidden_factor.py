"""Tables whose factors are not all scored, against the old protocol in full: fresh factors, hidden
ones too, in every draw.

Two factors are scored and a third, hidden, moves the codes most. The protocol holds the scored
factor and draws all else, the hidden one too. Held fixed by mistake it would let the codes follow
the scored factors nearly alone, and score far higher: the tests make sure.
"""

import numpy as np
import pytest

from dlib_tf2.metrics.beta_vae import beta_vae
from dlib_tf2.metrics.factor_vae import factor_vae

SIZES = (4, 5, 6)  # the last one is hidden
GRID = np.stack(np.unravel_index(np.arange(np.prod(SIZES)), SIZES), axis=1)
# [factors, codes]
MIXING = np.array([[1.0, 0.4, 0.2], [0.3, 1.0, 0.5], [0.9, 0.7, 1.0]]) / np.array(SIZES)[:, None]
VOTES, BATCH, SEEDS = 400, 8, 20


def encode(factors):
    """Codes of factors [..., 3]: a deterministic function, so that a table holds all there is."""
    return np.sin(factors @ MIXING * 2)


def batches(rng, factor, per_pair, hidden_held):
    """Fresh factor vectors, two batches [votes, batch, 3] that share the values of one factor: of
    each pair, or one for the whole vote.
    """
    first, second = (rng.integers(SIZES, size=(len(factor), BATCH, 3)) for _ in range(2))
    for column in range(2):
        held = factor == column
        if not per_pair:
            first[held, :, column] = first[held, :1, column]
        second[held, :, column] = first[held, :, column]
    if hidden_held:
        first[:, :, 2] = second[:, :, 2] = first[:, :1, 2]
    return first, second


def fresh_factor_vae(rng, hidden_held=False):
    """FactorVAE score from fresh draws: a majority table from one set of votes, scored on
    another.
    """
    variance = encode(GRID).var(axis=0, ddof=1)
    tables = []
    for _ in range(2):
        factor = rng.integers(2, size=VOTES)
        codes = encode(batches(rng, factor, False, hidden_held)[0])
        tables.append(np.zeros((3, 2)))
        np.add.at(tables[-1], ((codes.var(axis=1, ddof=1) / variance).argmin(axis=1), factor), 1)
    return tables[1][np.arange(3), tables[0].argmax(axis=1)].sum() / VOTES


class Nearest:
    """A classifier by the nearest mean, so that the difference of two protocols is not one of
    solvers.
    """

    def __init__(self, random_state=0):
        pass

    def fit(self, features, labels):
        self.classes_ = np.unique(labels)
        self.means = np.stack([features[labels == label].mean(axis=0) for label in self.classes_])
        return self

    def predict(self, features):
        return self.classes_[np.linalg.norm(features[:, None] - self.means, axis=2).argmin(axis=1)]


def fresh_beta_vae(rng, hidden_held=False):
    """beta-VAE metric from fresh draws: pairs that share a value of their own, features their mean
    distance.
    """
    sets = []
    for _ in range(2):
        factor = rng.integers(2, size=VOTES)
        first, second = (encode(batch) for batch in batches(rng, factor, True, hidden_held))
        sets.append((np.abs(first - second).mean(axis=1), factor))
    return (Nearest().fit(*sets[0]).predict(sets[1][0]) == sets[1][1]).mean()


def table_factor_vae(rng):
    parameters = {
        "batch_size": BATCH,
        "num_train": VOTES,
        "num_eval": VOTES,
        "num_variance_estimate": None,
    }
    return factor_vae(encode(GRID), GRID[:, :2], rng, **parameters)["eval_accuracy"]


def table_beta_vae(rng):
    parameters = {"batch_size": BATCH, "num_train": VOTES, "num_eval": VOTES, "classifier": Nearest}
    return beta_vae(encode(GRID), GRID[:, :2], rng, **parameters)["eval_accuracy"]


def standard_errors(one, other):
    """How many standard errors of the difference the mean of `one` over the seeds lies above that
    of `other`.
    """
    first, second = (
        np.array([score(np.random.default_rng([seed, number])) for seed in range(SEEDS)])
        for number, score in enumerate((one, other))
    )
    assert 0.55 < second.mean() < 0.95  # a score that can err on both sides
    return (first.mean() - second.mean()) / np.sqrt(
        (first.var(ddof=1) + second.var(ddof=1)) / SEEDS
    )


@pytest.mark.parametrize(
    "table, fresh", [(table_factor_vae, fresh_factor_vae), (table_beta_vae, fresh_beta_vae)]
)
def test_a_table_with_a_hidden_factor_scores_like_fresh_draws(table, fresh):
    assert abs(standard_errors(table, fresh)) < 3
    # Were the hidden factor held fixed, by table or by draw, the score would be another one, far
    # beyond this.
    assert abs(standard_errors(lambda rng: fresh(rng, hidden_held=True), table)) > 10
