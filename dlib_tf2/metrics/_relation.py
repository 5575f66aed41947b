"""Ways to sum up a relation matrix [codes, factors], whatever its entries measure."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dlib_tf2.metrics._information import top_two
from dlib_tf2.metrics.dci import completeness, disentanglement
from dlib_tf2.metrics.modularity_explicitness import modularity

Matrix = NDArray[np.float64]


def aggregate(matrix: Matrix, factor_entropy: Matrix, names: list[int]) -> dict[str, float]:
    """Applies every aggregation.

    Args:
        matrix: [d, v], not negative.
        factor_entropy: [v], in nats.
        names: v numbers that keys call the factors by.

    Returns:
        The keys listed at `unified_scores`.
    """
    first, second = top_two(matrix)
    gap = first - second
    result = {
        "dci_disentanglement": disentanglement(matrix),
        "dci_completeness": completeness(matrix),
        "mig": float(np.mean(gap / factor_entropy)),
        "sap": float(np.mean(gap)),
        "modularity": modularity(matrix),
        **precision(matrix),
    }
    for code, row in enumerate(matrix):
        result[f"dci_disentanglement.code_{code}"] = disentanglement(row[None])
        result[f"modularity.code_{code}"] = modularity(row[None])
    for factor, name in enumerate(names):
        result[f"dci_completeness.factor_{name}"] = completeness(matrix[:, factor, None])
        result[f"mig.factor_{name}"] = float(gap[factor] / factor_entropy[factor])
        result[f"sap.factor_{name}"] = float(gap[factor])
    merges = merge_ranks(matrix)
    return result | {
        f"merge_{names[a]}_{names[b]}": float(merges[a, b])
        for a in range(len(names))
        for b in range(a + 1, len(names))
    }


def precision(matrix: Matrix) -> dict[str, float]:
    """Largest number, and area over thresholds, of the connected components of the graph of entries
    at or above a threshold.
    """
    thresholds = np.sort(matrix.ravel())[::-1]
    counts = np.zeros(len(thresholds))
    for position, (_, components) in enumerate(_grow(matrix)):
        # zeros never become edges, so the count stays from the last edge on
        counts[position:] = components
    # Equal entries enter together: the count at a threshold is the one after the last of them.
    last = np.searchsorted(-thresholds, -thresholds, side="right") - 1
    counts = counts[last]
    return {
        "max_precision": float(counts.max()),
        "area_precision": float(np.trapezoid(counts[::-1], thresholds[::-1])),
    }


def merge_ranks(matrix: Matrix) -> NDArray[np.int64]:
    """Number of edges added, from the largest entry down, before the one that connects two factors:
    [v, v], all edges if none does.
    """
    num_factors = matrix.shape[1]
    ranks = np.full((num_factors, num_factors), int((matrix > 0).sum()))
    before = np.arange(num_factors)
    for rank, (component, _) in enumerate(_grow(matrix)):
        of_factor = component[matrix.shape[0] :]
        joined = (of_factor[:, None] == of_factor) & (before[:, None] != before)
        ranks[joined] = rank
        before = of_factor
    return ranks


def _grow(matrix: Matrix) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Adds the positive entries as edges, largest first: yields each node's component (codes, then
    factors) and how many have an edge.
    """
    num_codes, num_factors = matrix.shape
    component = np.arange(num_codes + num_factors)
    used = np.zeros(num_codes + num_factors, bool)
    for position in np.argsort(-matrix, axis=None, kind="stable").tolist():
        code, factor = divmod(position, num_factors)
        if matrix[code, factor] <= 0:
            return
        component = np.where(component == component[code], component[num_codes + factor], component)
        used[[code, num_codes + factor]] = True
        yield component, len(np.unique(component[used]))
