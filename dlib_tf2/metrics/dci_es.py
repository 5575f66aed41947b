"""DCI-ES: how much capacity a probe needs before it reads the factors off the codes, and how many
codes there are.
"""

import sys
from collections.abc import Sequence

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.errors import UserError, check_number
from dlib_tf2.metrics import _limits, _rows, common

HEADLINE = Headline(
    key="informativeness", higher_is_better=True, low=0, high=1, random=0.0, cost="seconds"
)

# of the constant predictor's loss; smaller gains are chance, and their ratio to an area means
# nothing
NO_GAIN = 1e-3
RIDGE = 1e-4  # of the number of training rows; codes and features have variance about one


@gin.register
def dci_es(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_test: int | None = 5_000,
    disjoint: bool | None = None,
    num_features: Sequence[int] = (0, 16, 64, 256, 1024),
    bandwidth: float = 1.0,
    one_hot: bool = False,
) -> dict[str, float]:
    """Computes explicitness E and size S of DCI-ES, Eastwood et al., ICLR 2023 (arXiv 2210.00364),
    section 4; D, C and I are in `dci`.

    Probes of growing capacity predict each factor from all codes; the running best of their test
    losses is a curve over capacity. E = 1 - 2 * area(loss - best loss) / (range of capacity * loss
    scale), by trapezoids: 1 where the smallest probe is as good as any, 0 where the loss falls in a
    straight line, below 0 where capacity helps late. `explicitness` scales by the loss of a
    constant predictor, as if a loss of 0 were attainable; `explicitness_attainable` by that loss
    minus the best one. `informativeness` is 1 - best loss / constant's loss, `size` is F / d.

    The probes here are ridge regressions on the standardised codes and, from the second on, on
    growing nested sets of random Fourier features; capacity is the log of the number of weights,
    loss the squared error. So the smallest probe is linear: a perfect code and its rotations score
    1, a nonlinear mixture less. Numbers of other probes (trees, networks) are not comparable.
    **Read it beside informativeness**: codes that hold nothing have a flat curve and `explicitness`
    1 (noise, constant codes); `explicitness_attainable` is 0 where no probe beats the constant by a
    thousandth.

    A factor with one value among the training rows or among the test rows is left out.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v]; each is regressed as the number of its value, in order of the values.
        rng: source of the rows and of the random features.
        num_train: training rows; None shuffles all rows and splits them 2:1.
        num_test: test rows.
        disjoint: True: no row in both sets; False: both drawn with replacement; None: False on a
            full grid where at most 5 % of the test rows should be training rows too, else True.
        num_features: random features of each probe, ascending, at least two different numbers; 0 is
            the linear probe.
        bandwidth: length on which the random features vary, in standard deviations of a code times
            sqrt(d).
        one_hot: regress an indicator of each value instead: right for unordered factors, but the
            linear probe then fails on ordered ones.

    Returns:
        `explicitness`, `explicitness_attainable`, `informativeness`, `size`, `test_overlap`,
        `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, one row only, a factor of over 500 values, no
            factor that varies in both sets, or capacities that do not grow.
    """
    checked, labels = common.check_table(codes, factors)
    capacities = list(num_features) if isinstance(num_features, Sequence | np.ndarray) else []
    for capacity in capacities:
        common.check_counts(0, num_features=capacity)
    if len(capacities) < 2 or sorted(set(capacities)) != capacities:
        raise UserError(f"num_features = {num_features!r}, expected two or more ascending numbers")
    check_number(sys.float_info.min, dci_es__bandwidth=bandwidth)
    train, test, overlap = _rows.split_rows(rng, labels, num_train, num_test, disjoint)
    if one_hot:
        _limits.check_classes(labels)
    scored = (np.ptp(labels[train], axis=0) > 0) & (np.ptp(labels[test], axis=0) > 0)
    if not scored.any():
        raise UserError(
            f"none of the {labels.shape[1]} factors varies in both the training and the test rows;"
            " a score needs one that does"
        )
    features = _features(checked, train, test, capacities[-1], bandwidth, rng)
    num_linear = features[0].shape[1] - capacities[-1]
    probes = num_linear + np.array(capacities)  # columns of each probe
    losses = _relative_losses(
        features, labels[train][:, scored], labels[test][:, scored], probes, one_hot
    )
    curve = np.minimum.accumulate(np.minimum(losses, 1.0), axis=1)
    return {
        **explicitness(curve, np.log(probes)),
        "informativeness": float(np.mean(1 - curve[:, -1])),
        "size": float(scored.sum() / checked.shape[1]),
        "test_overlap": overlap,
        "num_factors_scored": float(scored.sum()),
    }


def explicitness(curve: NDArray[np.float64], capacity: NDArray[np.float64]) -> dict[str, float]:
    """Explicitness of loss-capacity curves.

    Args:
        curve: [factors, probes] running best losses in units of the constant predictor's loss.
        capacity: [probes], ascending.

    Returns:
        `explicitness` and `explicitness_attainable`, means over factors.
    """
    best = curve[:, -1]
    area = np.trapezoid(curve - best[:, None], capacity, axis=1) / (capacity[-1] - capacity[0])
    gain = 1 - best
    attainable = np.where(gain > NO_GAIN, 1 - 2 * area / np.maximum(gain, NO_GAIN), 0.0)
    return {
        "explicitness": float(np.mean(1 - 2 * area)),
        "explicitness_attainable": float(np.mean(attainable)),
    }


def _features(
    codes: NDArray[np.float32],
    train: common.Labels,
    test: common.Labels,
    number: int,
    bandwidth: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns [one, standardised codes, random Fourier features] of the training and the test rows;
    constant codes are dropped.
    """
    varying = np.ptp(codes[train], axis=0) > 0
    known = np.ascontiguousarray(codes[train][:, varying], np.float64)
    center, scale = known.mean(axis=0), known.std(axis=0)
    frequency = rng.normal(size=(known.shape[1], number)) / (
        bandwidth * np.sqrt(max(1, known.shape[1]))
    )
    phase = rng.uniform(0, 2 * np.pi, number)
    parts = []
    for rows in (train, test):
        units = (np.ascontiguousarray(codes[rows][:, varying], np.float64) - center) / scale
        parts.append(
            np.concatenate(
                [np.ones((len(rows), 1)), units, np.sqrt(2) * np.cos(units @ frequency + phase)],
                axis=1,
            )
        )
    return parts[0], parts[1]


def _relative_losses(
    features: tuple[NDArray[np.float64], NDArray[np.float64]],
    train: common.Labels,
    test: common.Labels,
    num_columns: NDArray[np.int64],
    one_hot: bool,
) -> NDArray[np.float64]:
    """Test error of ridge regressions on the first `num_columns` features, 1 for the mean of the
    training rows: [factors, probes].
    """
    sizes = np.maximum(train, 1).max(axis=0) + 1 if one_hot else np.ones(train.shape[1], np.int64)
    # [rows, sum of sizes]
    fitted, expected = (_targets(labels, sizes, one_hot) for labels in (train, test))
    mean = fitted.mean(axis=0)
    fitted, expected = fitted - mean, expected - mean
    starts = np.cumsum(sizes) - sizes
    baseline = np.add.reduceat((expected**2).sum(axis=0), starts)  # [factors]
    gram, moment = features[0].T @ features[0], features[0].T @ fitted
    losses = []
    for columns in num_columns:
        penalty = np.full(columns, RIDGE * len(train))
        penalty[0] = 1e-9 * len(train)  # the constant is free
        weights = np.linalg.solve(gram[:columns, :columns] + np.diag(penalty), moment[:columns])
        error = ((expected - features[1][:, :columns] @ weights) ** 2).sum(axis=0)
        losses.append(np.add.reduceat(error, starts) / baseline)
    return np.stack(losses, axis=1)


def _targets(labels: common.Labels, sizes: NDArray[np.int64], one_hot: bool) -> NDArray[np.float64]:
    if not one_hot:
        return labels.astype(np.float64)
    indicators = [
        column[:, None] == np.arange(size) for column, size in zip(labels.T, sizes, strict=True)
    ]
    return np.concatenate(indicators, axis=1).astype(np.float64)
