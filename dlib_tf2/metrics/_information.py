"""The table of mutual information [codes, factors] that the information-based metrics read their
gaps from.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.metrics import _limits, _rows, common


class Information(NamedTuple):
    """What histograms of the drawn rows say about codes and the factors that vary, in nats."""

    bins: common.Labels  # [n, d] bin numbers of the codes
    mutual: NDArray[np.float64]  # [d, v] I(code; factor)
    factor_entropy: NDArray[np.float64]  # [v]


def measure(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    num_train: int | None,
    num_bins: int | None,
) -> Information:
    """Checks a table, draws `num_train` rows, bins the codes, and estimates information as `mig`
    does.

    Raises:
        UserError: a table that cannot be scored, bins out of range, or no factor that varies among
            the drawn rows.
    """
    _limits.check_bins(num_bins)
    checked, labels = common.check_table(codes, factors)
    rows = _rows.draw_rows(rng, labels, num_train)
    scored = common.varying_factors(labels[rows])
    bins = common.discretize(checked[rows], num_bins)
    return Information(bins, common.mutual_information(bins, scored), common.entropy(scored))


def top_two(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest and second largest value of each column of [m, k]; with one row the second is 0."""
    # the zero is last only where all are 0
    ordered = np.sort(np.concatenate([np.zeros((1, values.shape[1])), values]), axis=0)
    return ordered[-1], ordered[-2]
