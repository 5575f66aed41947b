"""MED: DCI's disentanglement and completeness on mutual information, which needs no classifier and
no few codes.
"""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _information, common
from dlib_tf2.metrics.dci import completeness, disentanglement

HEADLINE = Headline(key="med", higher_is_better=True, low=0, high=1, random=0.0, cost="instant")


@gin.register
def med(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_bins: int | None = 20,
    top_k: int = 1,
) -> dict[str, float]:
    """Computes MED and top-k MED of Cao, Nai, Yang, Huang and Gao, NeurIPS 2022 (arXiv 2206.04756).

    R[code, factor] = I(code; factor) / sum over codes of I(.; factor); `med` and `med_completeness`
    are DCI's disentanglement and completeness (see `dci`) of R. For representations with many
    codes, `med_top_k` asks whether they hold a disentangled subset: each code is counted to the
    factor it knows best by R, of every factor the `top_k` codes that are most disentangled are
    kept, and disentanglement is computed on their rows of R.

    A perfect code scores below 1, since the chance information of a finite sample counts as if it
    were real. One factor: disentanglement is 1; one code: completeness is 1. A factor with one
    value among the drawn rows is left out.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows.
        num_train: rows drawn (with replacement from a full grid, all different from other tables,
            at most all of these); None takes all rows.
        num_bins: equal-width bins per code; None takes each distinct value as its own bin.
        top_k: codes kept per factor, at least 1.

    Returns:
        `med`, `med_completeness`, `med_top_k`, and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, no factor that varies, or `top_k` below 1.
    """
    common.check_counts(top_k=top_k)
    mutual = _information.measure(codes, factors, rng, num_train, num_bins).mutual
    total = mutual.sum(axis=0)
    share = np.divide(mutual, total, out=np.zeros_like(mutual), where=total > 0)
    return {
        "med": disentanglement(share),
        "med_completeness": completeness(share),
        "med_top_k": disentanglement(share[most_disentangled(share, top_k)]),
        "num_factors_scored": float(mutual.shape[1]),
    }


def most_disentangled(share: NDArray[np.float64], top_k: int) -> NDArray[np.int64]:
    """Of the codes that know each factor best, the `top_k` most disentangled ones; rows of `share`
    [codes, factors] in ascending order.
    """
    each = np.array([disentanglement(row[None]) for row in share])
    order = np.argsort(-each, kind="stable")
    best_factor = share.argmax(axis=1)
    return np.sort(
        np.concatenate(
            [order[best_factor[order] == factor][:top_k] for factor in range(share.shape[1])]
        )
    )
