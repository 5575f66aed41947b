"""The FactorVAE score: hold one factor fixed; does the code that varies least tell which?"""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.errors import check_number
from dlib_tf2.metrics import _limits, _rows, common
from dlib_tf2.metrics._fixed_factor import RowsByValue

HEADLINE = Headline(
    key="eval_accuracy", higher_is_better=True, low=0, high=1, random=0.2, cost="instant"
)

VOTES_AT_ONCE = 2048  # bounds the memory: votes x batch_size x codes float32


@gin.register
def factor_vae(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    batch_size: int = 64,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    num_variance_estimate: int | None = 10_000,
    threshold: float = 0.05,
) -> dict[str, float]:
    """Computes the FactorVAE score of Kim and Mnih, ICML 2018 (arXiv 1802.05983), section 4 and
    appendix B, with the study's constants.

    One vote: draw a factor and one of its values, draw `batch_size` rows that share it, and name
    the code whose variance over them is the smallest fraction of its variance over the table. A
    majority table from code to factor is made from `num_train` votes and applied to `num_eval`
    fresh ones; the score is `eval_accuracy`. A perfect code scores 1, noise the chance level of
    about 1 / (number of factors), codes without any active one 0. With one factor every vote is
    right.

    Codes whose standard deviation is below `threshold` take no part (dead latents); an exactly
    constant code never does, since 0 / 0 would win every vote. A factor with one value is left out.
    On a full grid this is the paper's sampling exactly; in other tables the held value is uniform
    over the factor's values, and the rows over those that have it.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the votes.
        batch_size: rows per vote, at least 2.
        num_train: votes behind the majority table.
        num_eval: votes it is scored on.
        num_variance_estimate: rows for the variance over the table; None takes all.
        threshold: smallest standard deviation of an active code, in the codes' units.

    Returns:
        `train_accuracy`, `eval_accuracy` (fractions), `num_active` (active codes),
        `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, a value that fewer than two rows have,
            no factor that varies, counts out of range.
    """
    codes, labels = common.check_table(codes, factors)
    common.check_counts(2, batch_size=batch_size)
    common.check_counts(num_train=num_train, num_eval=num_eval)
    check_number(0, factor_vae__threshold=threshold)
    labels = common.varying_factors(labels)
    groups = RowsByValue(labels)
    rows = _rows.draw_rows(rng, labels, num_variance_estimate, "num_variance_estimate")
    deviation = (
        codes[rows].std(axis=0, ddof=1, dtype=np.float64)
        if len(rows) > 1
        else np.zeros(codes.shape[1])
    )
    active = (deviation >= threshold) & (deviation > 0) & (np.ptp(codes, axis=0) > 0)
    result = {
        "train_accuracy": 0.0,
        "eval_accuracy": 0.0,
        "num_active": float(active.sum()),
        "num_factors_scored": float(labels.shape[1]),
    }
    if not active.any():
        _limits.warn_of_no_active_code(float(deviation.max()), threshold)
        return result
    scaled = (
        (codes[:, active] - codes[:, active].mean(axis=0, dtype=np.float64)) / deviation[active]
    ).astype(np.float32)
    train = _count_votes(scaled, groups, rng, num_train, batch_size)
    evaluation = _count_votes(scaled, groups, rng, num_eval, batch_size)
    majority = train.argmax(axis=1)  # ties and codes without votes: the lowest factor
    result["train_accuracy"] = float(train[np.arange(len(majority)), majority].sum() / num_train)
    result["eval_accuracy"] = float(evaluation[np.arange(len(majority)), majority].sum() / num_eval)
    return result


def _count_votes(
    scaled: NDArray[np.float32],
    groups: RowsByValue,
    rng: np.random.Generator,
    num_votes: int,
    batch_size: int,
) -> NDArray[np.int64]:
    """Counts votes as a table [code, factor]; `scaled` codes have variance one over the table."""
    num_codes, num_factors = scaled.shape[1], len(groups.sizes)
    counts = np.zeros(num_codes * num_factors, np.int64)
    for start in range(0, num_votes, VOTES_AT_ONCE):
        votes = min(VOTES_AT_ONCE, num_votes - start)
        factor, value = groups.draw_values(rng, votes)
        rows = groups.draw_rows(rng, factor[:, None], value[:, None], (votes, batch_size))
        winner = scaled[rows].var(axis=1, ddof=1).argmin(axis=1)  # [votes, batch, codes] -> [votes]
        counts += np.bincount(winner * num_factors + factor, minlength=len(counts))
    return counts.reshape(num_codes, num_factors)
