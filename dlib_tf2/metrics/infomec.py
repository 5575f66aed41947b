"""InfoMEC: modularity, compactness and explicitness, all three as shares of information."""

import gin
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlib_tf2.configuration.declaration import Headline
from dlib_tf2.errors import UserError
from dlib_tf2.metrics import _limits, _parallel, _rows, common
from dlib_tf2.metrics._predictors import fit_quietly, quiet

HEADLINE = Headline(
    key="explicitness", higher_is_better=True, low=0, high=1, random=0.0, cost="seconds"
)


@gin.register
def infomec(
    codes: ArrayLike,
    factors: ArrayLike,
    rng: np.random.Generator,
    *,
    num_train: int | None = 10_000,
    num_neighbors: int = 10,
    discrete_codes: bool = False,
    max_iterations: int = 100,
) -> dict[str, float]:
    """Computes InfoMEC of Hsu, Dorrell, Whittington, Wu and Finn, NeurIPS 2023 (arXiv 2305.18378),
    section 4.

    From n = I(code; factor) / H(factor) over the active codes, with F factors and A active codes:
    `modularity` (InfoM) is the mean over codes of the largest share of a factor in the code's n,
    `compactness` (InfoC) the mean over factors of the largest share of a code, both rescaled so
    that equal shares (1/F, 1/A) give 0. `explicitness` (InfoE) is the mean over factors of 1 -
    H(factor | codes) / H(factor) in predictive V-information: log losses of an unpenalised,
    class-balanced multinomial logistic regression on the codes, and on constants (log of the number
    of values), fitted and scored on the same rows. The first two lie in [0, 1], the third is at
    most 1.

    I is the nearest-neighbour estimate of scikit-learn on standardised codes, which passes over
    rows whose value no other row has; with `discrete_codes` it is plug-in information, and the
    regression is on one column of zeros and ones for each value of each code. A code is active if
    its range exceeds a twentieth of the largest range (with `discrete_codes`: if it varies).
    Without a penalty the optimum lies at infinity wherever classes separate, so explicitness
    depends on `max_iterations`: compare at equal numbers only.

    Noise does not score 0: the estimate of no information is a small random number or 0, and its
    shares are as unequal as any; read modularity and compactness beside explicitness. No active
    code, or no information: the first two are 0. One factor: modularity is 1; one active code:
    compactness is 1. A factor with one value is left out.

    The fits run through `joblib.Parallel()`: set the workers around the call with
    `joblib.parallel_config`; scores do not depend on them.

    Args:
        codes: float [n, d], finite.
        factors: int [n, v].
        rng: source of the rows and of the tiny noise that breaks ties between neighbours.
        num_train: rows drawn (with replacement from a full grid, all different from other tables,
            at most all of these); None takes all rows.
        num_neighbors: of the nearest-neighbour estimate, at least 1.
        discrete_codes: codes take few distinct values, each a symbol of its own.
        max_iterations: of the logistic regression, at least 1.

    Returns:
        `modularity`, `compactness`, `explicitness`, `num_active`, `num_factors_scored`.

    Raises:
        UserError: a table that cannot be scored, no factor that varies, counts out of range, or,
            without `discrete_codes`, a factor that over a quarter of the rows have a value of to
            themselves.
    """
    checked, labels = common.check_table(codes, factors)
    _limits.check_classes(labels)
    common.check_counts(num_neighbors=num_neighbors, max_iterations=max_iterations)
    rows = _rows.draw_rows(rng, labels, num_train)
    scored, drawn = (
        common.varying_factors(labels[rows]),
        np.ascontiguousarray(checked[rows], np.float64),
    )
    scored = common.dense_columns(scored)  # not every value need be among the drawn
    spread = np.ptp(drawn, axis=0)
    varying = spread > 0
    active = varying if discrete_codes else spread > spread.max() / 20
    if not active.any():
        _limits.warn_of_no_active_code()
    units = drawn[:, varying]
    units = (units - units.mean(axis=0)) / units.std(axis=0)
    inputs = _one_hot(units) if discrete_codes else units
    seed = int(rng.integers(2**31))
    costs = common.sizes(scored).tolist()
    losses = _parallel.run(
        _log_loss, [(inputs, factor, max_iterations) for factor in scored.T], costs
    )
    if discrete_codes:
        information = common.mutual_information(
            common.discretize(checked[rows][:, active], None), scored
        )
    else:
        _refuse_rare_values(scored)
        tasks = [(units[:, active[varying]], factor, num_neighbors, seed) for factor in scored.T]
        information = np.stack(
            _parallel.run(_neighbour_information, tasks, [1.0] * len(tasks)), axis=1
        )
    share = information / common.entropy(scored)  # [active codes, factors]
    return {
        "modularity": _largest_share(share),
        "compactness": _largest_share(share.T),
        "explicitness": float(np.mean(1 - np.array(losses) / np.log(common.sizes(scored)))),
        "num_active": float(active.sum()),
        "num_factors_scored": float(scored.shape[1]),
    }


def _largest_share(share: NDArray[np.float64]) -> float:
    """Mean over rows of the largest entry's part of the row's sum, from 0 for equal parts to 1; a
    row of zeros has equal parts.
    """
    if not share.any():
        return 0.0
    equal = 1 / share.shape[1]
    if equal == 1:
        return 1.0
    total = share.sum(axis=1)
    largest = np.divide(share.max(axis=1), total, out=np.full(len(share), equal), where=total > 0)
    return float((largest.mean() - equal) / (1 - equal))


def _one_hot(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value of each column as a column of its own, 1 where it stands."""
    labels = [np.unique(column, return_inverse=True)[1] for column in columns.T]
    return (
        np.concatenate([np.eye(label.max() + 1)[label] for label in labels], axis=1)
        if labels
        else columns
    )


def _refuse_rare_values(labels: common.Labels) -> None:
    """Raises UserError where the nearest-neighbour estimate would leave out much: it passes over
    rows whose value no other row has.
    """
    for number, factor in enumerate(labels.T):
        if (alone := int((np.bincount(factor) == 1).sum())) > len(factor) / 4:
            raise UserError(
                f"{alone} of {len(factor)} rows have a value of varying factor {number} (counted"
                " from 0) that no other row has, and tell the nearest-neighbour estimate nothing;"
                " merge rare values, or draw more rows"
            )


def _neighbour_information(
    units: NDArray[np.float64], factor: common.Labels, num_neighbors: int, seed: int
) -> NDArray[np.float64]:
    """Nearest-neighbour estimate of the information between one factor and each standardised code,
    in nats: [d].
    """
    from sklearn.feature_selection import mutual_info_classif

    if not units.shape[1]:
        return np.zeros(0)
    with quiet():
        return mutual_info_classif(
            units, factor, discrete_features=False, n_neighbors=num_neighbors, random_state=seed
        )


def _log_loss(units: NDArray[np.float64], factor: common.Labels, max_iterations: int) -> float:
    """Mean log loss, on the rows it was fitted on, of a class-balanced multinomial logistic
    regression without penalty.
    """
    from sklearn.linear_model import LogisticRegression

    if not units.shape[1]:
        # balanced classes and no codes: every class equally likely
        return float(np.log(factor.max() + 1))
    model = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=max_iterations)
    probability = fit_quietly(model, units, factor).predict_proba(units)
    return float(
        -np.mean(
            np.log(np.maximum(probability[np.arange(len(factor)), factor], np.finfo(float).tiny))
        )
    )
