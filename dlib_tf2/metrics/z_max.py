"""Z-max variance: let one factor vary and hold all others; does the code that varies most tell
which?
"""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.errors import UserError, check_number
from dlib_tf2.metrics import _limits, _rows, common

HEADLINE = Headline(
    key="z_max", higher_is_better=True, low=None, high=1, random=0.0, cost="seconds"
)

VOTES_AT_ONCE = 512  # bounds the memory: votes x batch_size x codes float32


@gin.register
def z_max(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    batch_size: int = 200,
    num_train: int = 800,
    num_eval: int = 800,
    num_variance_estimate: int | None = 10_000,
    threshold: float = 0.05,
) -> dict[str, float]:
    """Computes the Z-max variance score of Kim, Wang, Sahu and Pavlovic, 2019 (arXiv 1902.01568),
    with the constants of the review.

    One vote: draw a factor, and `batch_size` rows that differ in this factor only; name the code
    whose variance over them is the largest fraction of its variance over the table. A majority
    table from code to factor is made from `num_train` votes and applied to `num_eval` fresh ones.
    `z_max` is that accuracy, rescaled by (accuracy - 1/F) / (1 - 1/F) for F factors as in arXiv
    2012.09276, so that guessing scores 0; it may lie a little below. A perfect code scores 1, noise
    about 0, codes without any active one 0. One factor: 1.

    Codes whose standard deviation is below `threshold`, and constant ones, take no part. A factor
    with one value is left out. The group of a vote is drawn uniformly among those that have two
    values of the factor, a row uniformly among the rows of its group.

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
        `z_max`, `train_accuracy`, `eval_accuracy` (not rescaled), `num_active`,
        `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, no factor that varies, counts out of range, or a
            factor in which no two rows differ while they share all others (merge values, or score a
            full grid).
    """
    codes, labels = common.check_table(codes, factors)
    common.check_counts(2, batch_size=batch_size)
    common.check_counts(num_train=num_train, num_eval=num_eval)
    check_number(0, z_max__threshold=threshold)
    labels = common.varying_factors(labels)
    rows = _rows.draw_rows(rng, labels, num_variance_estimate, "num_variance_estimate")
    deviation = (
        codes[rows].std(axis=0, ddof=1, dtype=np.float64)
        if len(rows) > 1
        else np.zeros(codes.shape[1])
    )
    active = (deviation >= threshold) & (deviation > 0)
    num_factors = labels.shape[1]
    result = {"z_max": 0.0, "train_accuracy": 0.0, "eval_accuracy": 0.0}
    counted = {"num_active": float(active.sum()), "num_factors_scored": float(num_factors)}
    groups = [_Groups(labels, factor) for factor in range(num_factors)]
    if not active.any():
        _limits.warn_of_no_active_code(float(deviation.max()), threshold)
        return result | counted
    scaled = np.ascontiguousarray(
        (codes[:, active] - codes[:, active].mean(axis=0, dtype=np.float64)) / deviation[active],
        np.float32,
    )
    train, evaluation = (
        _count_votes(scaled, groups, rng, votes, batch_size) for votes in (num_train, num_eval)
    )
    majority = train.argmax(axis=1)  # ties and codes without votes: the lowest factor
    accuracy = [
        float(votes[np.arange(len(majority)), majority].sum() / votes.sum())
        for votes in (train, evaluation)
    ]
    rescaled = (accuracy[1] - 1 / num_factors) / (1 - 1 / num_factors) if num_factors > 1 else 1.0
    return {
        "z_max": rescaled,
        "train_accuracy": accuracy[0],
        "eval_accuracy": accuracy[1],
    } | counted


class _Groups:
    """The sets of rows that differ in one factor only."""

    def __init__(self, labels: common.Labels, factor: int):
        others = np.delete(labels, factor, axis=1)
        group = np.zeros(len(labels), np.int64)
        # renumbered after each column, so that the product of many sizes cannot overflow
        for column in others.T:
            group = common.dense_labels(group * (int(column.max()) + 1) + column)
        values = common.dense_labels(group * (int(labels[:, factor].max()) + 1) + labels[:, factor])
        group_of_value = np.zeros(int(values.max()) + 1, np.int64)
        group_of_value[values] = group
        self._usable = np.flatnonzero(np.bincount(group_of_value) > 1)
        if not len(self._usable):
            raise UserError(
                f"no two rows differ in varying factor {factor} (counted from 0) while they share"
                " all other factors; merge rare or continuous values into a few, or score a full"
                " grid"
            )
        self._counts = np.bincount(group)
        self._starts = np.cumsum(self._counts) - self._counts
        self._rows = np.argsort(group, kind="stable")

    def draw(self, rng: np.random.Generator, num_votes: int, batch_size: int) -> common.Labels:
        """Rows [votes, batch_size], those of a vote from one group."""
        group = self._usable[rng.integers(len(self._usable), size=num_votes)][:, None]
        return self._rows[
            self._starts[group] + rng.integers(self._counts[group], size=(num_votes, batch_size))
        ]


def _count_votes(
    scaled: NDArray[np.float32],
    groups: list[_Groups],
    rng: np.random.Generator,
    num_votes: int,
    batch_size: int,
) -> NDArray[np.int64]:
    """Counts votes as a table [code, factor]; `scaled` codes have variance one over the table."""
    counts = np.zeros((scaled.shape[1], len(groups)), np.int64)
    per_factor = np.bincount(rng.integers(len(groups), size=num_votes), minlength=len(groups))
    for factor, votes in enumerate(per_factor.tolist()):
        for start in range(0, votes, VOTES_AT_ONCE):
            rows = groups[factor].draw(rng, min(VOTES_AT_ONCE, votes - start), batch_size)
            # [votes, batch, codes] -> [votes]
            winner = scaled[rows].var(axis=1, ddof=1).argmax(axis=1)
            counts[:, factor] += np.bincount(winner, minlength=len(counts))
    return counts
