"""MIG-sup: does one code know one factor much better than every other factor? The complement of
MIG.
"""

import gin
import numpy as np
from numpy.typing import ArrayLike

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _information

HEADLINE = Headline(key="mig_sup", higher_is_better=True, low=0, high=1, random=0.0, cost="instant")


@gin.register
def mig_sup(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_bins: int | None = 20,
) -> dict[str, float]:
    """Computes MIG-sup of Li, Murkute, Gyawali and Wang, ICLR 2020 (arXiv 2002.10549), section 4.

    MIG-sup = mean over all codes of (largest - second largest over factors of n), n = I(code;
    factor) / H(factor). This is the paper's normalisation; the public code of the review arXiv
    2012.09276 divides by the entropy of the binned code, which gives other numbers. I is estimated
    as in `mig`. MIG asks that a factor sit in one code, this that a code hold one factor: it is not
    lowered by duplicated codes, and is by a code that serves two factors. Every code counts, unused
    ones too.

    With one factor the runner-up counts as 0. Constant codes score 0. A factor with one value among
    the drawn rows is left out.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows.
        num_train: rows drawn (with replacement from a full grid, all different from other tables,
            at most all of these); None takes all rows.
        num_bins: equal-width bins per code; None takes each distinct value as its own bin.

    Returns:
        `mig_sup`, and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, bins out of range, or no factor that varies.
    """
    information = _information.measure(codes, factors, rng, num_train, num_bins)
    first, second = _information.top_two((information.mutual / information.factor_entropy).T)
    return {
        "mig_sup": float(np.mean(first - second)),
        "num_factors_scored": float(len(information.factor_entropy)),
    }
