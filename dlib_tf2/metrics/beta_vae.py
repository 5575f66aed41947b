"""The beta-VAE metric: can a linear classifier tell which factor two batches share from how far
their codes are apart?
"""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import common
from dlib_tf2.metrics._fixed_factor import RowsByValue
from dlib_tf2.metrics._linear import sklearn_logistic_regression
from dlib_tf2.metrics._predictors import Classifier, fit_and_score

HEADLINE = Headline(
    key="eval_accuracy", higher_is_better=True, low=0, high=1, random=0.2, cost="seconds"
)

VOTES_AT_ONCE = 2048  # bounds the memory: 2 x votes x batch_size x codes float32


@gin.register
def beta_vae(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    batch_size: int = 64,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    classifier: Classifier = sklearn_logistic_regression,
) -> dict[str, float]:
    """Computes the metric of Higgins et al., ICLR 2017 (OpenReview Sy2fzU9gl), section 3, with the
    study's constants.

    One example: draw a factor; draw `batch_size` pairs of rows, each pair sharing its value of that
    factor; the features are the mean absolute differences of the codes within pairs, the label is
    the factor. The score is `eval_accuracy` of a linear classifier. A perfect code scores 1, noise
    and constant codes the chance level of about 1 / (number of factors). It saturates: factors that
    share codes still score 1 while the classes are linearly separable. Features are not scaled, so
    that the score depends on the codes' scale. Dead codes are kept.

    With one factor every answer is right. A factor with one value is left out. On a full grid this
    is the paper's sampling exactly; in other tables the shared value is uniform over the factor's
    values, and the rows over those that have it.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the examples and of the classifier's random state.
        batch_size: pairs per example.
        num_train: examples that the classifier is fitted to.
        num_eval: examples it is scored on.
        classifier: factory called with `random_state`; the study's is one-vs-rest by liblinear,
            today's scikit-learn would fit `sklearn_multinomial_logistic_regression`, which moves
            the score by about 0.01.

    Returns:
        `train_accuracy`, `eval_accuracy` (fractions), `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, a value that fewer than two rows have, no factor
            that varies, counts out of range.
    """
    codes, labels = common.check_table(codes, factors)
    common.check_counts(batch_size=batch_size, num_train=num_train, num_eval=num_eval)
    common.check_generator(rng)
    labels = common.varying_factors(labels)
    groups = RowsByValue(labels)
    train = _examples(codes, groups, rng, num_train, batch_size)
    evaluation = _examples(codes, groups, rng, num_eval, batch_size)
    fit = fit_and_score(
        common.make_model(classifier, int(rng.integers(2**31))), *train, *evaluation
    )
    return {
        "train_accuracy": fit.train_accuracy,
        "eval_accuracy": fit.test_accuracy,
        "num_factors_scored": float(labels.shape[1]),
    }


def _examples(
    codes: NDArray[np.float32],
    groups: RowsByValue,
    rng: np.random.Generator,
    count: int,
    batch_size: int,
) -> tuple[NDArray[np.float32], common.Labels]:
    """Draws `count` examples: features [count, d] and factors [count]."""
    features, chosen = [], []
    for start in range(0, count, VOTES_AT_ONCE):
        shape = (min(VOTES_AT_ONCE, count - start), batch_size)
        factor, value = groups.draw_values(rng, shape[0], (batch_size,))
        # [votes, batch, d]
        first, second = (
            codes[groups.draw_rows(rng, factor[:, None], value, shape)] for _ in range(2)
        )
        features.append(np.abs(first - second).mean(axis=1))
        chosen.append(factor)
    return np.concatenate(features), np.concatenate(chosen)
