"""IRS, interventional robustness: how little does a code move while one factor stays put and all
others change?
"""

import numbers

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.errors import UserError
from dlib_tf2.metrics import _limits, _rows, common

HEADLINE = Headline(key="irs", higher_is_better=True, low=0, high=1, random=0.37, cost="instant")


@gin.register
def irs(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_bins: int | None = 20,
    diff_quantile: float = 0.99,
) -> dict[str, float]:
    """Computes IRS of Suter, Miladinovic, Schoelkopf and Bauer, ICML 2019 (arXiv 1811.00007),
    section 4.

    For each value of a factor, the `diff_quantile` of a code's distance from its mean over the rows
    with that value; averaged over the factor's values, as a fraction of the code's largest distance
    from its mean over all rows, and subtracted from 1. A code scores its best factor; `irs` is the
    mean over codes, weighted by their largest distances.

    Perfect codes score below 1 where bins merge neighbouring values of a factor. Noise does not
    score 0: the numerator is a quantile, the denominator a maximum. Independent, uniform factors
    are assumed: values weigh the same however many rows have them.

    Exactly constant codes take no part. A factor with one value is left out.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v], binned by the number of each value in their order.
        rng: source of the rows.
        num_train: rows drawn (with replacement from a full grid, all different from other tables,
            at most all of these); None takes all rows.
        num_bins: equal-width bins per factor; None takes each value as it is.
        diff_quantile: in (0, 1]; 1 is the paper's maximum.

    Returns:
        `irs`, `num_active` (codes that are not constant), `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, no factor that varies, a quantile out of range.
    """
    if (
        isinstance(diff_quantile, bool)
        or not isinstance(diff_quantile, numbers.Real)
        or not 0 < diff_quantile <= 1
    ):
        raise UserError(
            f"diff_quantile = {diff_quantile!r}, expected a number in (0, 1]; the study's is 0.99,"
            " the paper's 1"
        )
    _limits.check_bins(num_bins)
    codes, labels = common.check_table(codes, factors)
    rows = _rows.draw_rows(rng, labels, num_train)
    scored = common.varying_factors(labels[rows])
    drawn = codes[rows].astype(np.float64)
    drawn = drawn[:, np.ptp(codes[rows], axis=0) > 0]
    result = {
        "irs": 0.0,
        "num_active": float(drawn.shape[1]),
        "num_factors_scored": float(scored.shape[1]),
    }
    if not drawn.shape[1]:
        _limits.warn_of_no_active_code()
    else:
        bins = common.discretize(scored.astype(np.float32), num_bins)
        largest = np.abs(drawn - drawn.mean(axis=0)).max(axis=0)
        # [codes, factors]
        moved = np.stack(
            [_mean_movement(drawn, column, diff_quantile) for column in bins.T], axis=1
        )
        robustness = 1 - moved.min(axis=1) / largest
        result["irs"] = float(np.average(robustness, weights=largest))
    return result


def _mean_movement(
    codes: NDArray[np.float64], bins: common.Labels, quantile: float
) -> NDArray[np.float64]:
    """Quantile of each code's distance from its mean within the rows of one bin, averaged over the
    bins that have rows.
    """
    groups = (codes[bins == value] for value in np.unique(bins))
    return np.mean(
        [np.quantile(np.abs(group - group.mean(axis=0)), quantile, axis=0) for group in groups],
        axis=0,
    )
