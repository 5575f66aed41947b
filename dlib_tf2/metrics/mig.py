"""Mutual Information Gap: does one code know a factor much better than every other code does?"""

import gin
import numpy as np
from numpy.typing import ArrayLike

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _information

HEADLINE = Headline(key="mig", higher_is_better=True, low=0, high=1, random=0.0, cost="instant")


@gin.register
def mig(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_bins: int | None = 20,
) -> dict[str, float]:
    """Computes the Mutual Information Gap of Chen, Li, Grosse and Duvenaud, NeurIPS 2018 (arXiv
    1802.04942), equation 6.

    MIG = mean over factors of (largest - second largest I(code; factor)) / H(factor). As in the
    study (arXiv 1811.12359), I is the plug-in estimate from histograms of the representation, not
    the paper's estimate under q(z|x). The upper bound depends on bins and rows: fewer bins than
    values keep a perfect code below 1. Compare scores only at equal bins and rows.

    With one code the runner-up counts as 0. A factor with one value among the drawn rows is left
    out.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows.
        num_train: rows drawn (with replacement from a full grid, all different from other tables,
            at most all of these); None takes all rows.
        num_bins: equal-width bins per code; None takes each distinct value as its own bin.

    Returns:
        `mig`, and `num_factors_scored`, the number of factors in the mean.

    Raises:
        UserError: a table that cannot be scored (see `common.check_table`), or no factor that
            varies.
    """
    information = _information.measure(codes, factors, rng, num_train, num_bins)
    first, second = _information.top_two(information.mutual)
    entropy = information.factor_entropy
    return {
        "mig": float(np.mean((first - second) / entropy)),
        "num_factors_scored": float(len(entropy)),
    }
