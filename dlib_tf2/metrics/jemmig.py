"""JEMMIG: the mutual information gap with a price on everything else that the best code carries."""

import gin
import numpy as np
from numpy.typing import ArrayLike

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _information, common

HEADLINE = Headline(
    key="jemmig_normalized", higher_is_better=True, low=0, high=1, random=0.11, cost="instant"
)


@gin.register
def jemmig(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_bins: int | None = 20,
) -> dict[str, float]:
    """Computes JEMMIG of Do and Tran, ICLR 2020 (arXiv 1908.09961), section on interpretability
    metrics.

    Per factor, with z1 and z2 the codes that know it best and second best: JEMMIG = H(z1, factor) -
    I(z1; factor) + I(z2; factor), in nats; 0 is best, since z1 then is the factor and nothing else.
    `jemmig` is its mean over factors (lower is better); `jemmig_normalized` is the review's form
    (arXiv 2012.09276), mean over factors of 1 - JEMMIG / (H(factor) + log num_bins), higher is
    better, which is what to compare. Entropies come from histograms of the drawn rows, as in `mig`;
    the paper averages q(z|x) over images instead, the review takes 10 bins.

    Independent codes score about 0 normalised, but constant ones 1 - H / (H + log num_bins) > 0:
    they carry nothing else. With one code I(z2; factor) is 0. A factor with one value among the
    drawn rows is left out.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows.
        num_train: rows drawn (with replacement from a full grid, all different from other tables,
            at most all of these); None takes all rows.
        num_bins: equal-width bins per code; None takes each distinct value as its own bin, and the
            largest number of them for the norm.

    Returns:
        `jemmig` (nats), `jemmig_normalized`, and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, bins out of range, or no factor that varies.
    """
    bins, mutual, factor_entropy = _information.measure(codes, factors, rng, num_train, num_bins)
    first, second = _information.top_two(mutual)
    joint = common.entropy(bins)[mutual.argmax(axis=0)] + factor_entropy - first  # H(z1, factor)
    value = joint - first + second
    largest = factor_entropy + np.log(max(2, int(bins.max()) + 1 if num_bins is None else num_bins))
    return {
        "jemmig": float(np.mean(value)),
        "jemmig_normalized": float(np.mean(1 - value / largest)),
        "num_factors_scored": float(len(factor_entropy)),
    }
