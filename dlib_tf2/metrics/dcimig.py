"""DCIMIG (3CharM): the gap of the best code that is about a factor, zero where no code is."""

import gin
import numpy as np
from numpy.typing import ArrayLike

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _information

HEADLINE = Headline(key="dcimig", higher_is_better=True, low=0, high=1, random=0.0, cost="instant")


@gin.register
def dcimig(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_bins: int | None = 20,
) -> dict[str, float]:
    """Computes DCIMIG of Sepliarskaia, Kiseleva and de Rijke, 2019 (arXiv 1910.05587), where it is
    called 3CharM.

    Each code has a best factor and a gap, its largest minus its second largest I(code; factor) over
    factors. Each factor gets the largest gap among the codes whose best factor it is, 0 if there is
    none. The score is the sum over factors divided by the sum of H(factor): in [0, 1], higher is
    better. I is estimated as in `mig` (the review arXiv 2012.09276 takes 10 bins). As in `mig`,
    fewer bins than factor values keep a perfect code below 1. Duplicated codes cost nothing; a code
    about two factors can serve only one.

    With one factor the runner-up counts as 0. A factor with one value among the drawn rows is left
    out.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows.
        num_train: rows drawn (with replacement from a full grid, all different from other tables,
            at most all of these); None takes all rows.
        num_bins: equal-width bins per code; None takes each distinct value as its own bin.

    Returns:
        `dcimig`, and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, bins out of range, or no factor that varies.
    """
    _, mutual, factor_entropy = _information.measure(codes, factors, rng, num_train, num_bins)
    first, second = _information.top_two(mutual.T)
    best_gap = np.zeros(len(factor_entropy))
    np.maximum.at(best_gap, mutual.argmax(axis=1), first - second)
    return {
        "dcimig": float(best_gap.sum() / factor_entropy.sum()),
        "num_factors_scored": float(len(factor_entropy)),
    }
