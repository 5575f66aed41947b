"""Scores that need no factors: how far the codes depend on each other, as a Gaussian and by mutual
information.
"""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _limits, _rows, common

HEADLINE = Headline(
    key="gaussian_total_correlation",
    higher_is_better=False,
    low=0,
    high=None,
    random=0.0,
    cost="instant",
    perfect_beats=(),  # it sees no factors
)


@gin.register
def unsupervised(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_bins: int | None = 20,
) -> dict[str, float]:
    """Computes the unsupervised scores of Locatello et al., ICML 2019 (arXiv 1811.12359), section
    5.3 and appendix; lower is better.

    With S the covariance of the codes and D its diagonal, `gaussian_total_correlation` is KL(N(0,
    S) || N(0, D)) = (log det D - log det S) / 2 in nats, `gaussian_wasserstein_correlation` the
    squared 2-Wasserstein distance of the same pair, 2 tr S - 2 tr (D^1/2 S D^1/2)^1/2, and its
    `_norm` that over tr S. `mutual_information` is the mean over pairs of different codes of their
    plug-in mutual information in nats, from histograms.

    Total correlation does not depend on the codes' scales, Wasserstein does. None depends on the
    factors, and a rotation of whitened codes changes neither of the Gaussian scores. Independent
    codes, perfect ones and noise alike, score the bias of a finite number of rows.

    Constant codes are dropped; with fewer than two left every score is 0. A code that is a linear
    function of others has an infinite total correlation; here each such direction counts at the
    resolution of float64, about 17 nats.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v]; they only say whether the rows are a full grid.
        rng: source of the rows.
        num_train: rows drawn (with replacement from a full grid, all different from other tables,
            at most all of these); None takes all rows.
        num_bins: equal-width bins per code; None takes each distinct value as its own bin.

    Returns:
        `gaussian_total_correlation`, `gaussian_wasserstein_correlation`,
        `gaussian_wasserstein_correlation_norm`, `mutual_information`,
        `num_active` (codes that are not constant).

    Raises:
        UserError: a table that cannot be scored (see `common.check_table`).
    """
    _limits.check_bins(num_bins)
    codes, labels = common.check_table(codes, factors)
    drawn = codes[_rows.draw_rows(rng, labels, num_train)]
    drawn = drawn[:, np.ptp(drawn, axis=0) > 0]
    num_active = drawn.shape[1]
    if not num_active:
        _limits.warn_of_no_active_code()
    covariance = np.cov(drawn.astype(np.float64), rowvar=False) if num_active > 1 else np.eye(1)
    wasserstein = gaussian_wasserstein_correlation(covariance)
    return {
        "gaussian_total_correlation": gaussian_total_correlation(covariance),
        "gaussian_wasserstein_correlation": wasserstein,
        "gaussian_wasserstein_correlation_norm": wasserstein / float(np.trace(covariance)),
        "mutual_information": _mean_information(drawn, num_bins) if num_active > 1 else 0.0,
        "num_active": float(num_active),
    }


def gaussian_total_correlation(covariance: NDArray[np.float64]) -> float:
    """KL divergence in nats between N(0, covariance [d, d]) and the product of its marginals;
    variances are positive.
    """
    deviation = np.sqrt(np.diag(covariance))
    eigenvalues = np.linalg.eigvalsh(covariance / np.outer(deviation, deviation))
    # below it an eigenvalue is rounding, and may be negative
    smallest = len(covariance) * np.finfo(np.float64).eps
    return max(0.0, float(-0.5 * np.log(np.maximum(eigenvalues, smallest)).sum()))


def gaussian_wasserstein_correlation(covariance: NDArray[np.float64]) -> float:
    """Squared 2-Wasserstein distance between N(0, covariance [d, d]) and the product of its
    marginals.
    """
    deviation = np.sqrt(np.diag(covariance))
    # The eigenvalues of D S are those of this symmetric matrix: real, where a general matrix root
    # may come out complex.
    eigenvalues = np.linalg.eigvalsh(covariance * np.outer(deviation, deviation))
    return max(
        0.0, float(2 * np.trace(covariance) - 2 * np.sqrt(np.maximum(eigenvalues, 0.0)).sum())
    )


def _mean_information(codes: NDArray[np.float32], num_bins: int | None) -> float:
    bins, d = common.discretize(codes, num_bins), codes.shape[1]
    information = common.mutual_information(bins, bins)
    return float((information.sum() - np.trace(information)) / (d * d - d))
