"""The statistics of the report: rank correlation with bootstrap intervals, explained variance, and
the odds of a choice that transfers.

What data cannot answer is NaN or None here, and "not estimable" on the page.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

MIN_PAIRS = 3  # below, a rank correlation says nothing
MIN_INTERVAL = 10  # below, resampling a handful of models gives intervals that are too short
MIN_SEEDS = 3  # below, what is due to the seed cannot be told from the setting
_DRAWS_AT_ONCE = 100


class Explained(NamedTuple):
    """How much of a score's variance a grouping explains."""

    r2: float  # 1 - residual / total sum of squares
    adjusted: float  # 1 - (1 - r2) (n - 1) / (n - k): 0 on average where the grouping means nothing
    null: float  # (k - 1) / (n - 1): the r2 to expect from a grouping that means nothing
    models: int  # n
    groups: int  # k


class Win(NamedTuple):
    """How often a transferred choice beat a random one."""

    probability: float
    standard_error: float  # of the draws alone, not of the choice of models
    draws: int


def explained_variance(values: ArrayLike, groups: ArrayLike) -> Explained | None:
    """R2 of the least squares fit of one indicator per group.

    Args:
        values: [n] finite scores.
        groups: [n] labels.

    Returns:
        None where n <= k, k < 2, or all scores are equal.
    """
    values = np.asarray(values, dtype=np.float64)
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    n, k = len(values), len(names)
    if n <= k or k < 2 or np.ptp(values) == 0:
        return None
    means = np.bincount(index, weights=values) / np.bincount(index)
    r2 = 1 - float(np.sum((values - means[index]) ** 2) / np.sum((values - values.mean()) ** 2))
    return Explained(r2, 1 - (1 - r2) * (n - 1) / (n - k), (k - 1) / (n - 1), n, k)


def rank_correlations(
    left: pd.DataFrame,
    right: pd.DataFrame,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Spearman's rank correlation of every column of `left` with every column of `right`, over the
    rows where both are finite.

    The interval is a percentile bootstrap over rows that ranks every draw again (ties share their
    mean rank). It depends on `seed` and the data only, and treats rows as independent.

    Args:
        left: [n, p] scores, a row per model.
        right: [n, q] scores of the same models.
        bootstrap: draws.
        seed: of the draws.
        level: coverage of the interval.

    Returns:
        A row per pair: left, right, rho, low, high, n. rho is NaN with fewer than `MIN_PAIRS` rows
        or a constant column, the interval with fewer than `MIN_INTERVAL` rows.
    """
    columns = [np.asarray(table, dtype=np.float64).T for table in (left, right)]  # [p, n], [q, n]
    finite = [np.isfinite(table) for table in columns]
    found = {}
    for of_left, of_right, mask in _pairs_by_rows(*finite):
        draws = _counts(int(mask.sum()), bootstrap, seed)
        # [1 + bootstrap, left, right]
        rho = _correlations(columns[0][of_left][:, mask], columns[1][of_right][:, mask], draws)
        for a, row in enumerate(of_left):
            for b, column in enumerate(of_right):
                found[row, column] = (rho[:, a, b], int(mask.sum()))
    rows = []
    for (i, j), (rho, n) in sorted(found.items()):
        low = high = np.nan
        drawn = rho[1:][np.isfinite(rho[1:])]
        if n >= MIN_INTERVAL and len(drawn) and np.isfinite(rho[0]):
            low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        rows.append((left.columns[i], right.columns[j], rho[0], low, high, n))
    return pd.DataFrame(rows, columns=["left", "right", "rho", "low", "high", "n"])


def win_probability(
    scores: NDArray[np.float64],
    same_metric: bool,
    same_dataset: bool,
    draws: int,
    rng: np.random.Generator,
) -> Win | None:
    """The probability that a setting chosen on one metric, dataset and seed beats a random setting
    elsewhere (the study's table 1).

    A draw takes a metric, a dataset and a seed, and chooses the best setting there (a random one of
    several). The target has another seed, and another metric or dataset where asked. There the
    draw compares the chosen setting with a random one of those that have a score. A tie counts as
    half, also that of the chosen setting with itself: a choice that means nothing wins with
    probability 0.5 exactly.

    Args:
        scores: [metrics, datasets, settings, seeds], higher is better, NaN where a model is
            missing; draws that would need it are repeated.
        same_metric: the target's metric is the one that was chosen on, or else a different one.
        same_dataset: the same for the dataset.
        draws: how many.
        rng: source of all draws.

    Returns:
        None where no draw is possible: no metric or dataset, fewer than two seeds, settings, or
            metrics or datasets if they must differ.
    """
    num_metrics, num_datasets, num_settings, num_seeds = scores.shape
    if min(num_metrics, num_datasets) < 1 or num_seeds < 2 or num_settings < 2:
        return None
    if (num_metrics < 2 and not same_metric) or (num_datasets < 2 and not same_dataset):
        return None
    table = np.moveaxis(scores, 2, 3)  # [metrics, datasets, seeds, settings]
    wins: list[NDArray[np.float64]] = []
    # a table with many holes repeats many draws; one without needs a single round
    for _ in range(50):
        metric, dataset, seed = (
            rng.integers(size, size=draws) for size in (num_metrics, num_datasets, num_seeds)
        )
        source = table[metric, dataset, seed]
        other_metric = metric if same_metric else _another(rng, metric, num_metrics)
        other_dataset = dataset if same_dataset else _another(rng, dataset, num_datasets)
        target = table[other_metric, other_dataset, _another(rng, seed, num_seeds)]
        best = np.where(np.isfinite(source), source, -np.inf).max(axis=1, keepdims=True)
        chosen = np.argmax(rng.random(source.shape) * (source == best), axis=1)
        opponent = np.argmax(rng.random(target.shape) * np.isfinite(target), axis=1)
        of_chosen, of_opponent = (
            np.take_along_axis(target, which[:, None], 1)[:, 0] for which in (chosen, opponent)
        )
        possible = (
            (np.isfinite(source).sum(axis=1) >= 2)
            & np.isfinite(of_chosen)
            & (np.isfinite(target).sum(axis=1) >= 2)
        )
        wins.append(((of_chosen > of_opponent) + 0.5 * (of_chosen == of_opponent))[possible])
        if sum(map(len, wins)) >= draws:
            break
    won = np.concatenate(wins)[:draws]
    return (
        Win(float(won.mean()), float(won.std() / np.sqrt(len(won))), len(won)) if len(won) else None
    )


def _another(rng: np.random.Generator, index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """For each index a different one below `size`, uniformly."""
    return (index + rng.integers(1, size, size=len(index))) % size


def _pairs_by_rows(
    left: NDArray[np.bool_], right: NDArray[np.bool_]
) -> list[tuple[list[int], list[int], NDArray[np.bool_]]]:
    """(left columns, right columns, rows) such that all pairs of the columns are finite in exactly
    these rows; covers every pair once.
    """
    groups: dict[tuple[bytes, bytes], tuple[list[int], list[int], NDArray[np.bool_]]] = {}
    for mask_left in {mask.tobytes(): mask for mask in left}.values():
        for mask_right in {mask.tobytes(): mask for mask in right}.values():
            of_left = [i for i, mask in enumerate(left) if (mask == mask_left).all()]
            of_right = [j for j, mask in enumerate(right) if (mask == mask_right).all()]
            groups[mask_left.tobytes(), mask_right.tobytes()] = (
                of_left,
                of_right,
                mask_left & mask_right,
            )
    return list(groups.values())


def _counts(n: int, bootstrap: int, seed: int) -> NDArray[np.float64]:
    """How often each of n rows stands in the data and in each bootstrap sample: [1 + bootstrap,
    n].
    """
    if n < MIN_INTERVAL:
        return np.ones((1, n))
    drawn = np.random.default_rng(seed).integers(n, size=(bootstrap, n))
    flat = np.bincount((drawn + n * np.arange(bootstrap)[:, None]).ravel(), minlength=bootstrap * n)
    return np.concatenate([np.ones((1, n)), flat.reshape(bootstrap, n)])


def _correlations(
    left: NDArray[np.float64], right: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Spearman's rho of columns [p, n] and [q, n] in samples given as counts of rows [b, n]: [b, p,
    q], NaN where not estimable.
    """
    n = left.shape[1]
    if n < MIN_PAIRS:
        return np.full((len(counts), len(left), len(right)), np.nan)
    parts = []
    for start in range(0, len(counts), _DRAWS_AT_ONCE):
        weights = counts[start : start + _DRAWS_AT_ONCE]
        # The mean of mid-ranks is (n + 1) / 2 whatever the ties.
        a, b = (
            np.stack([_mid_ranks(column, weights) for column in table], axis=1) - (n + 1) / 2
            for table in (left, right)
        )
        scale = np.sqrt(
            np.einsum("bpn,bn->bp", a**2, weights)[:, :, None]
            * np.einsum("bqn,bn->bq", b**2, weights)[:, None, :]
        )
        covariance = np.einsum("bpn,bqn->bpq", a * weights[:, None, :], b, optimize=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append(np.where(scale > 0, covariance / scale, np.nan))
    return np.concatenate(parts)


def _mid_ranks(column: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank of each row, from 1, in samples that hold row i counts[:, i] times: [b, n]; ties share
    the mean of their ranks.
    """
    _, group = np.unique(column, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.add.reduceat(counts[:, order], starts, axis=1)  # [b, distinct values]
    return (np.cumsum(sizes, axis=1) - (sizes - 1) / 2)[:, group]
