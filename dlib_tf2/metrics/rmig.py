"""RMIG: the mutual information gap on a fixed scale, so that a code that hardly moves carries
nothing.
"""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.errors import UserError
from dlib_tf2.metrics import _information, _limits, _rows, common

HEADLINE = Headline(
    key="rmig_normalized", higher_is_better=True, low=0, high=1, random=0.0, cost="seconds"
)


@gin.register
def rmig(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = None,
    num_bins: int = 100,
    value_range: tuple[float, float] = (-4.0, 4.0),
) -> dict[str, float]:
    """Computes RMIG of Do and Tran, ICLR 2020 (arXiv 1908.09961), section on interpretability
    metrics.

    Per factor I(z1; factor) - I(z2; factor), z1 and z2 the codes that know it best and second best;
    `rmig` is the mean over factors in nats, `rmig_normalized` after division by H(factor). The
    paper takes I from q(z|factor), the mean of q(z|x) over all images of a value, on quantised
    codes: score the `sampled` representation, which draws every image several times, for its Monte
    Carlo estimate; the `mean` representation gives the same for a noiseless encoder. All codes are
    quantised on one fixed range, unlike in `mig`: a latent that moves by 0.01 falls in one or two
    bins instead of being spread over all. Range and number of bins are this package's choice (the
    ones of the published experiments are not certain): they suit codes with a standard normal
    prior, others must be scaled to it first.

    With one code the runner-up counts as 0. A factor with one value is left out.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows.
        num_train: rows drawn; None takes all rows, as the paper does.
        num_bins: equal-width bins on `value_range`, 2 to 1,000. Few rows in many bins raise both
            terms of the gap by chance.
        value_range: low and high end of the bins, in the codes' units; what lies outside counts in
            the outermost bins.

    Returns:
        `rmig` (nats), `rmig_normalized`, and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, no factor that varies, no bin, or an empty range.
    """
    _limits.check_bins(num_bins, optional=False)
    checked, labels = common.check_table(codes, factors)
    rows = _rows.draw_rows(rng, labels, num_train)
    scored = common.varying_factors(labels[rows])
    bins = quantize(checked[rows], num_bins, value_range)
    if not np.ptp(bins, axis=0).any():
        reason = "each falls in one bin: scale them to value_range"
        _limits.warn_of_no_active_code(reason=reason)
    mutual = common.mutual_information(bins, scored)
    first, second = _information.top_two(mutual)
    gap = first - second
    return {
        "rmig": float(np.mean(gap)),
        "rmig_normalized": float(np.mean(gap / common.entropy(scored))),
        "num_factors_scored": float(scored.shape[1]),
    }


def quantize(
    codes: NDArray[np.float32], num_bins: int, value_range: tuple[float, float]
) -> common.Labels:
    """Sorts codes [n, d] into equal-width bins of one fixed range, left-closed; values outside fall
    in the outermost ones.
    """
    _limits.check_bins(num_bins, optional=False)
    try:
        low, high = map(float, value_range)
        valid = low < high and np.isfinite([low, high]).all()
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise UserError(
            f"value_range = {value_range!r}; expected two finite numbers, a low end below the"
            " high end"
        )
    return np.searchsorted(np.linspace(low, high, num_bins + 1)[1:-1], codes, side="right").astype(
        np.int64
    )
