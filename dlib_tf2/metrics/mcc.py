"""MCC: how well codes match factors one to one, up to order and sign (Pearson) or monotone maps
(Spearman).
"""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _rows, common

HEADLINE = Headline(
    key="mcc_pearson", higher_is_better=True, low=0, high=1, random=0.02, cost="instant"
)


@gin.register
def mcc(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
) -> dict[str, float]:
    """Computes the mean correlation coefficient of Hyvarinen and Morioka, NIPS 2016 (arXiv
    1605.06336), as identifiability papers use it.

    Codes are assigned to factors one to one so that the sum of |correlation| is largest, and the
    assigned values averaged over factors. `mcc_pearson` is 1 where every factor is an affine
    function of its code, `mcc_spearman` where it is a monotone one. `linear_r2` is the usual
    companion: R^2 of a linear regression of each factor on all codes, averaged, fitted and scored
    on the same rows; it is 1 where codes are factors up to any invertible linear map, rotations
    included. Factors count as numbers, by the order of their values: a category without an order
    (shape) gets whatever its numbering gives. All three lie in [0, 1], higher is better.

    Where codes are fewer than factors, the factors left over count 0. A factor with one value among
    the drawn rows is left out.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows.
        num_train: rows drawn (with replacement from a full grid, all different from other tables,
            at most all of these); None takes all rows.

    Returns:
        `mcc_pearson`, `mcc_spearman`, `linear_r2`, and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, or no factor that varies.
    """
    from scipy import stats  # half a second to import

    checked, labels = common.check_table(codes, factors)
    rows = _rows.draw_rows(rng, labels, num_train)
    scored, drawn = (
        common.varying_factors(labels[rows]).astype(np.float64),
        np.ascontiguousarray(checked[rows], np.float64),
    )
    drawn = drawn[:, np.ptp(drawn, axis=0) > 0]
    result = {"mcc_pearson": 0.0, "mcc_spearman": 0.0, "linear_r2": 0.0}
    if drawn.shape[1]:
        ranks = stats.rankdata(drawn, axis=0), stats.rankdata(scored, axis=0)
        units, targets = _standardise(drawn), _standardise(scored)
        residual = targets - units @ np.linalg.lstsq(units, targets, rcond=None)[0]
        result = {
            "mcc_pearson": best_assignment(correlation(drawn, scored)),
            "mcc_spearman": best_assignment(correlation(*ranks)),
            "linear_r2": float(np.mean(1 - (residual**2).mean(axis=0))),
        }
    return {**result, "num_factors_scored": float(scored.shape[1])}


def correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Absolute Pearson correlation of the columns of [n, a] and [n, b], none of them constant: [a,
    b].
    """
    return np.abs(_standardise(first).T @ _standardise(second)) / len(first)


def best_assignment(values: NDArray[np.float64]) -> float:
    """Largest sum of `values` [codes, factors] with one code per factor, divided by the number of
    factors.
    """
    from scipy.optimize import linear_sum_assignment

    return float(values[linear_sum_assignment(values, maximize=True)].sum() / values.shape[1])


def _standardise(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    return (columns - columns.mean(axis=0)) / columns.std(axis=0)
