"""Unfairness: how much the predictions of one factor shift when another, which they should not
depend on, is changed.
"""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.metrics import _limits, _parallel, _rows, common
from dlib_tf2.metrics._interventions import Interventions
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._predictors import Classifier, fit_quietly

HEADLINE = Headline(
    key="mean_fairness:mean_pred:mean_sens",
    higher_is_better=False,
    low=0,
    high=1,
    random=0.15,
    cost="minutes",
    perfect_beats=("noise",),  # constant predictions are fair
)


@gin.register
def fairness(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_test_points_per_class: int = 100,
    classifier: Classifier = lightgbm_exact_gradient_boosting,
) -> dict[str, float]:
    """Computes the unfairness of Locatello, Abbati, Rainforth, Bauer, Schoelkopf and Bachem,
    NeurIPS 2019 (arXiv 1905.13662), section 4.

    **Lower is better**, in [0, 1]. A classifier per target factor i predicts it from all codes. For
    each sensitive factor j, the same `num_test_points_per_class` examples are scored with j set to
    each of its values; the total variation distance between the predictions at one value and those
    at all values is averaged (`mean_fairness`) or maximised (`max_fairness`) over the values. The
    paper's score is `mean_fairness:mean_pred:mean_sens`. In such a total the second word is the
    inner reduction: mean over targets of the mean over sensitive factors.

    A classifier that ignores j scores exactly 0 where codes are a function of the factors; with
    hidden factors or `sampled` codes the finite number of test points adds a positive bias. On a
    table that is not a full grid, rows with the value stand for the intervention: what the target
    depends on through the data then counts as unfair (`interventional` says which it was).

    One class in the training rows: the classifier says that class. One factor: nothing is
    sensitive, totals are 0. A factor with one value is left out, and keys keep the numbers of the
    columns. The fits run through `joblib.Parallel()`; scores do not depend on its workers.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows and of each classifier's random state.
        num_train: training rows (with replacement from a full grid, all different from other
            tables, at most all of these); None takes all rows.
        num_test_points_per_class: examples whose sensitive factor is changed, at least 1.
        classifier: factory called with `random_state`, for a model with `fit` and `predict`.

    Returns:
        For P in `mean_fairness`, `max_fairness`: `P:pred{i}:sens{j}`; `P:pred{i}:mean_sens`,
        `:max_sens`; `P:sens{j}:mean_pred`,
        `:max_pred`; eight totals `P:{mean,max}_pred:{mean,max}_sens` and
        `P:{mean,max}_sens:{mean,max}_pred`. Also `interventional` (1 on
        a full grid, else 0) and `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, one row only, a factor of over 500 values, no
            factor that varies, or no test point.
    """
    checked, labels = common.check_table(codes, factors)
    common.check_counts(num_test_points_per_class=num_test_points_per_class)
    kept = np.flatnonzero(common.sizes(labels) > 1)
    _limits.check_classes(labels)  # also of a sensitive factor, whose every value is predicted for
    labels = common.varying_factors(labels)
    num_factors, sizes = labels.shape[1], common.sizes(labels)
    interventions = Interventions(labels)
    train = _rows.draw_rows(rng, labels, num_train)
    seeds = [int(rng.integers(2**31)) for _ in range(num_factors)]
    pairs = [[j for j in range(num_factors) if j != i] for i in range(num_factors)]
    tests = [
        [_changed(interventions, rng, labels, j, num_test_points_per_class) for j in others]
        for others in pairs
    ]
    tasks = [
        (
            common.make_model(classifier, seeds[i]),
            checked[train],
            labels[train, i],
            int(sizes[i]),
            [checked[rows] for rows in tests[i]],
        )
        for i in range(num_factors)
    ]
    counts = _parallel.run(_counts, tasks, sizes.tolist())  # time grows with the classes
    tables = np.zeros((2, num_factors, num_factors))  # mean and max; [target, sensitive]
    for i, others in enumerate(pairs):
        for j, count in zip(others, counts[i], strict=True):
            tables[:, i, j] = total_variation(count)
    result: dict[str, float] = {}
    for prefix, table in zip(("mean_fairness", "max_fairness"), tables, strict=True):
        result |= {
            f"{prefix}:{key}": value for key, value in reductions(table, kept.tolist()).items()
        }
    return {
        **result,
        "interventional": float(interventions.exact),
        "num_factors_scored": float(num_factors),
    }


def total_variation(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Mean (weighted by the number of examples) and maximum distance of the columns' distributions
    from the overall one.

    Args:
        counts: [predicted values, sensitive values], no column empty.
    """
    per_class = counts.sum(axis=0)
    overall = counts.sum(axis=1) / counts.sum()
    distance = 0.5 * np.abs(counts / per_class - overall[:, None]).sum(axis=0)
    return float((distance * per_class).sum() / counts.sum()), float(distance.max())


def reductions(table: NDArray[np.float64], names: list[int]) -> dict[str, float]:
    """All single scores, row and column reductions and totals of a table [target, sensitive], whose
    diagonal is left out.

    Args:
        table: [f, f].
        names: f numbers that keys call the factors by.
    """
    size = len(table)
    pairs = {(i, j): float(table[i, j]) for i in range(size) for j in range(size) if i != j}
    result = {f"pred{names[i]}:sens{names[j]}": value for (i, j), value in pairs.items()}
    if size == 1:
        both = [(a, b) for a in ("mean", "max") for b in ("mean", "max")]
        return {f"{a}_pred:{b}_sens": 0.0 for a, b in both} | {
            f"{a}_sens:{b}_pred": 0.0 for a, b in both
        }
    off_diagonal = table[~np.eye(size, dtype=bool)].reshape(size, size - 1)  # rows: targets
    # rows: sensitive factors
    transposed = table.T[~np.eye(size, dtype=bool)].reshape(size, size - 1)
    for outer, inner, rows in (("pred", "sens", off_diagonal), ("sens", "pred", transposed)):
        for inner_name, values in (("mean", rows.mean(axis=1)), ("max", rows.max(axis=1))):
            result |= {
                f"{outer}{names[i]}:{inner_name}_{inner}": float(value)
                for i, value in enumerate(values)
            }
            result[f"mean_{outer}:{inner_name}_{inner}"] = float(values.mean())
            result[f"max_{outer}:{inner_name}_{inner}"] = float(values.max())
    return result


def _changed(
    interventions: Interventions,
    rng: np.random.Generator,
    labels: common.Labels,
    factor: int,
    points: int,
) -> common.Labels:
    """Rows [values of the factor, points]: the same random examples with the factor set to each of
    its values.
    """
    base = rng.integers(len(labels), size=points)
    values = np.arange(common.sizes(labels)[factor])
    return np.stack(
        [interventions.set(rng, base, factor, np.full(points, value)) for value in values]
    )


def _counts(
    model, train_codes: NDArray, train_labels: NDArray, size: int, tests: list[NDArray]
) -> list[NDArray[np.int64]]:
    """Fits a model and counts what it predicts: for each of `tests` [values, points, d] a table
    [size, values].
    """
    constant = (train_labels == train_labels[0]).all()
    if not constant:
        fit_quietly(model, train_codes, train_labels)
    counts = []
    for codes in tests:
        flat = codes.reshape(-1, codes.shape[-1])  # [values, points, d] -> [values * points, d]
        predicted = (
            np.full(len(flat), train_labels[0])
            if constant
            else np.asarray(model.predict(flat), dtype=np.int64)
        )
        cells = predicted * len(codes) + np.repeat(np.arange(len(codes)), codes.shape[1])
        counts.append(np.bincount(cells, minlength=size * len(codes)).reshape(size, len(codes)))
    return counts
