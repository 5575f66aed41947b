"""The beta-VAE metric: a case worked by hand, its sampling, and the measured values of the study's
codes.
"""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from dlib_tf2.errors import UserError
from dlib_tf2.metrics._linear import sklearn_multinomial_logistic_regression
from dlib_tf2.metrics.beta_vae import beta_vae

DSPRITES_SIZES = (3, 6, 40, 32, 32)
GRID = np.stack(np.unravel_index(np.arange(4 * 5 * 6), (4, 5, 6)), axis=1)


def run(codes, factors, seed=0, **parameters):
    return beta_vae(codes, factors, np.random.default_rng(seed), **parameters)


class Recorder:
    """A classifier that keeps what it was fitted to, and answers with the code that differs
    least.
    """

    def __call__(self, random_state):
        return self

    def fit(self, features, labels):
        self.features, self.labels = features, labels

    def predict(self, features):
        return features.argmin(axis=1)


def test_features_are_mean_absolute_differences_of_pairs_that_share_a_value():
    recorder = Recorder()
    result = run(GRID, GRID, batch_size=7, num_train=3000, num_eval=10, classifier=recorder)
    # The code of the shared factor does not move at all; of a uniform factor with k values
    # E|difference| = (k^2 - 1) / (3 k).
    assert (recorder.features[np.arange(3000), recorder.labels] == 0).all()
    assert result["train_accuracy"] == 1.0
    for code, size in enumerate((4, 5, 6)):
        free = recorder.features[recorder.labels != code, code]
        assert free.mean() == pytest.approx(
            (size**2 - 1) / (3 * size), abs=5 * free.std() / np.sqrt(len(free))
        )
    counts = np.bincount(recorder.labels, minlength=3)
    assert abs(counts - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)


def test_pairs_within_a_batch_have_values_of_their_own():
    # Were one value shared by the whole batch (as in the FactorVAE score), rows of value 0, whose
    # other code is steady, would come together and make features of exactly 0 on both codes.
    factors = np.stack([np.repeat([0, 1], 500), np.tile(np.arange(10), 100)], axis=1)
    codes = np.stack([factors[:, 0], factors[:, 1] * factors[:, 0]], axis=1)
    recorder = Recorder()
    run(codes, factors, batch_size=64, num_train=500, num_eval=1, classifier=recorder)
    first = recorder.features[recorder.labels == 0]
    assert first[:, 0].max() == 0
    assert first[:, 1].min() > 0.9  # half of 64 pairs differ by 3.3 on average
    assert first[:, 1].max() < 2.5


def test_measured_values_of_the_study(dsprites_grid, reference_codes):
    # One evaluation has a standard error of about sqrt(.2 x .8 / 5000) = 0.006 at chance, the
    # published one too: four of both together.
    scores = {
        name: run(codes, dsprites_grid)["eval_accuracy"] for name, codes in reference_codes.items()
    }
    assert scores["ideal"] == 1.0
    assert scores["noise"] == pytest.approx(0.198, abs=0.032)
    assert scores["const"] == pytest.approx(0.210, abs=0.032)


def written_out(seed, num_examples=2000):
    """The protocol with fresh draws on the same rotation as `rotated_codes(seed)`, by scikit-learn:
    accuracy on new examples.
    """
    rng = np.random.default_rng(seed)
    sampled = np.stack([rng.integers(size, size=20_000) for size in DSPRITES_SIZES], axis=1)
    rotation, rng = np.linalg.qr(rng.normal(size=(10, 10)))[0], np.random.default_rng([seed, 1])
    sets = []
    for _ in range(2):
        label = rng.integers(5, size=num_examples)
        first, second = (rng.integers(DSPRITES_SIZES, size=(num_examples, 64, 5)) for _ in range(2))
        shared = np.arange(5) == label[:, None, None]
        pair = [
            (batch - sampled.mean(axis=0)) / sampled.std(axis=0)
            for batch in (first, np.where(shared, first, second))
        ]
        one, other = (
            np.concatenate([batch, rng.normal(size=batch.shape)], axis=2) @ rotation
            for batch in pair
        )
        sets.append((np.abs(one - other).mean(axis=1), label))
    return OneVsRestClassifier(LogisticRegression(solver="liblinear")).fit(*sets[0]).score(*sets[1])


@pytest.mark.slow
def test_rotated_codes_score_like_fresh_draws_and_the_measured_value_is_a_typical_rotation(
    rotated_codes,
):
    few = {"num_train": 2000, "num_eval": 2000}
    scores = np.array(
        [run(*rotated_codes(seed), seed, **few)["eval_accuracy"] for seed in range(16)]
    )
    # of each rotation: accuracies on 2,000 examples
    differences = scores - [written_out(seed) for seed in range(16)]
    assert differences.std(ddof=1) < 0.03
    assert abs(differences.mean()) < 3 * differences.std(ddof=1) / 4
    # The published 0.79 belongs to one unknown rotation. Over 24 of ours the mean was 0.837, the
    # standard deviation 0.064.
    assert abs(scores.mean() - 0.837) < 3 * 0.064 / 4
    assert abs(0.79 - scores.mean()) < 2 * 0.064
    codes, factors = rotated_codes(0)
    shrunk = run(codes * 0.01, factors, **few)["eval_accuracy"]
    # features are not scaled, and C = 1: .79 fell to .34 in the study's release
    assert shrunk < scores[0] - 0.2


def test_the_multinomial_model_is_an_option(rotated_codes):
    codes, factors = rotated_codes(1)
    few = {"num_train": 3000, "num_eval": 3000}
    one, other = (
        run(codes, factors, **few, **c)["eval_accuracy"]
        for c in ({}, {"classifier": sklearn_multinomial_logistic_regression})
    )
    assert one != other
    assert other == pytest.approx(one, abs=0.04)


def test_order_of_codes_and_factors_does_not_matter_and_one_factor_is_always_right():
    codes = GRID @ np.array([[1, 0.5, 0], [0, 1, 0.5], [0.5, 0, 1]])
    one, other = (
        run(c, f, num_train=2000, num_eval=2000)["eval_accuracy"]
        for c, f in ((codes, GRID), (codes[:, ::-1], GRID[:, [2, 0, 1]]))
    )
    assert other == pytest.approx(one, abs=0.06)
    assert run(GRID, GRID[:, :1], num_train=50, num_eval=50)["eval_accuracy"] == 1.0


def test_counts_are_checked():
    with pytest.raises(UserError, match="num_train = None, expected a whole number of at least 1"):
        run(GRID, GRID, num_train=None)
    with pytest.raises(UserError, match="classifier = 3, expected a function of random_state"):
        run(GRID, GRID, num_train=3, num_eval=3, classifier=3)
    with pytest.raises(UserError, match="batch_size = 0"):
        run(GRID, GRID, batch_size=0)
    with pytest.raises(UserError, match="only one row has value 4 of varying factor 0"):
        run(np.concatenate([GRID, [[6, 0, 0]]]), np.concatenate([GRID, [[6, 0, 0]]]))
