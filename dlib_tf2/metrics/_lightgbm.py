"""The study's boosted trees, grown by LightGBM: scikit-learn's GradientBoostingClassifier at a
fraction of its time.
"""

from typing import Any

import gin
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from dlib_tf2.errors import UserError, first_line

TINY = 1e-150  # scikit-learn's guard of a leaf without curvature
TIE = 1e-9  # gains that differ by less, in parts of themselves, count as equal
ROWS_AT_ONCE = 1024  # of a prediction: leaves of all trees are kept


@gin.register
def lightgbm_exact_gradient_boosting(
    random_state: int,
    num_rounds: int = 100,
    learning_rate: float = 0.1,
    max_depth: int = 3,
    min_child_samples: int = 1,
) -> "LightGBMGradientBoosting":
    """Makes scikit-learn's boosted trees, grown by LightGBM: every distinct value of a code is a
    candidate for a split.

    LightGBM's own multiclass objective would choose splits by gradient and curvature, where
    scikit-learn fits each tree to the residuals by least squares and then takes one Newton step per
    leaf; on codes that share factors this moves importances by 0.06. Here LightGBM grows
    least-squares trees on residuals that we compute, and the leaves get scikit-learn's values.

    As in scikit-learn, chance decides between codes that split equally well. Three differences
    stay: of equally good thresholds of one code LightGBM takes the largest, scikit-learn the
    smallest; a threshold lies between two neighbours among all training values, scikit-learn's
    among those in the node; and gradients have 24 bits. docs/metrics.md shows what remains of that
    in scores.

    Importance is by gain: by counts of splits, LightGBM's default, a perfect code beside dead ones
    gets disentanglement 0.70.

    Args:
        random_state: seed of the choice between codes that split equally well.
        num_rounds: boosting rounds, each of one tree per class (one in all for two classes).
        learning_rate: factor on each leaf's value.
        max_depth: of each tree.
        min_child_samples: fewest rows in a leaf.

    Raises:
        UserError: the package or its system library is missing.
    """
    # Everything is pinned: one thread, deterministic, no sampling of rows or codes, no penalty on
    # leaves.
    _import_lightgbm()  # in the caller's process, where the message is seen
    settings = {
        "objective": "none",
        "learning_rate": 1.0,  # ours is applied with the leaf's value
        "max_depth": max_depth,
        "num_leaves": 2**max_depth,
        "min_data_in_leaf": min_child_samples,
        "min_sum_hessian_in_leaf": 0.0,
        "min_gain_to_split": 0.0,
        "lambda_l1": 0.0,
        "lambda_l2": 0.0,
        "min_data_in_bin": 1,
        "feature_pre_filter": False,
        "enable_bundle": False,
        "boost_from_average": False,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": random_state,
        "verbosity": -1,
    }
    return LightGBMGradientBoosting(settings, num_rounds, learning_rate)


class LightGBMGradientBoosting:
    """A classifier with scikit-learn's `fit`, `predict`, `classes_` and `feature_importances_`."""

    classes_: NDArray[Any]
    feature_importances_: NDArray[np.float64]  # sums to 1, or all 0 where no tree split

    def __init__(self, settings: dict[str, Any], num_rounds: int, rate: float):
        self._settings, self._num_rounds, self._rate = settings, num_rounds, rate

    def fit(self, codes: NDArray, labels: NDArray) -> "LightGBMGradientBoosting":
        """Grows the trees for codes [n, d] and labels [n] of at least two classes."""
        lightgbm = _import_lightgbm()
        self._borders = [_borders(column) for column in codes.T]
        ranks = self._ranks(codes)
        self.classes_, classes = np.unique(labels, return_inverse=True)
        prior = np.bincount(classes) / len(classes)
        binary = len(prior) == 2
        self._start = np.log(prior[1:] / prior[0]) if binary else np.log(prior)
        self._values, self._outputs = np.zeros((0, 1)), np.zeros((0, len(self._start)))
        self.feature_importances_ = np.zeros(codes.shape[1])
        # LightGBM refuses a table of constants; without a tree the most frequent class wins
        if (ranks == 1).all():
            return self
        # Arrays are [trees per round, n], the order that LightGBM reads without copying.
        targets = classes == (np.array([[1]]) if binary else np.arange(len(prior))[:, None])
        settings = {**self._settings, "bin_construct_sample_cnt": len(codes)}
        settings["max_bin"] = len(codes) + 1  # one more than values: zero has its own
        self._booster = lightgbm.Booster(settings, lightgbm.Dataset(ranks, params=settings))
        self._boost(ranks, targets, np.random.default_rng(settings["seed"]))
        gain = self._booster.feature_importance("gain")
        self.feature_importances_ = gain / (gain.sum() or 1.0)
        return self

    def predict(self, codes: NDArray) -> NDArray[Any]:
        """The most probable class of each of codes [n, d]."""
        scores = np.tile(self._start, (len(codes), 1))
        for begin in range(0, len(codes) if len(self._values) else 0, ROWS_AT_ONCE):
            leaves = self._leaves(self._ranks(codes[begin : begin + ROWS_AT_ONCE]), 0)
            values = self._values[np.arange(len(leaves))[:, None], leaves]  # [trees, rows]
            scores[begin : begin + ROWS_AT_ONCE] += values.T @ self._outputs
        return self.classes_[
            scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(int)
        ]

    def _boost(self, ranks: NDArray, targets: NDArray, rng: np.random.Generator) -> None:
        """Adds rounds of one tree per row of targets [k, n]; keeps the trees' leaf values and which
        output each adds to.
        """
        scores, values, outputs = np.tile(self._start[:, None], (1, len(ranks))), [], []
        for _ in range(self._num_rounds):
            residual = targets - _probabilities(scores)
            first = self._booster.num_trees()
            grown = [
                k
                for k in range(len(targets))
                if _grow(self._booster, residual[k].astype(np.float32), rng)
            ]
            if not grown:
                break  # no split helps any class, now or later
            leaves = self._leaves(ranks, first)
            steps = _leaf_values(leaves, residual[grown], len(targets)) * self._rate
            scores[grown] += np.take_along_axis(steps, leaves, axis=1)
            values.append(
                np.pad(steps, ((0, 0), (0, self._settings["num_leaves"] - steps.shape[1])))
            )
            outputs += grown
        if outputs:
            self._values, self._outputs = np.concatenate(values), np.eye(len(targets))[outputs]

    def _leaves(self, ranks: NDArray, first: int) -> NDArray[np.intp]:
        """The leaves [trees, n] that rows fall into, of the trees from number `first` on."""
        found = self._booster.predict(ranks, pred_leaf=True, start_iteration=first, num_threads=1)
        return np.ascontiguousarray(found.reshape(len(ranks), -1).T, dtype=np.intp)

    def _ranks(self, codes: NDArray) -> NDArray[np.float64]:
        """Numbers each code by the training values, from 1: LightGBM takes 1e-35 for 0 and bins
        either sign by itself.
        """
        columns = zip(self._borders, codes.T, strict=True)
        return np.stack(
            [1.0 + np.searchsorted(borders, column) for borders, column in columns], axis=1
        )


def _borders(column: NDArray) -> NDArray[np.float64]:
    """The midpoints between neighbouring distinct values; a value equal to one belongs to its left,
    as in scikit-learn.
    """
    values = np.unique(column).astype(np.float64)
    return values[:-1] / 2 + values[1:] / 2


def _import_lightgbm() -> Any:
    try:
        import lightgbm
    except (
        ImportError,
        OSError,
    ) as error:  # OSError: the wheel is there, the system library it needs is not
        raise UserError(
            f"LightGBM does not load ({first_line(error)}): pip install"
            " lightgbm, and on Debian or Ubuntu apt-get install libgomp1; or take scikit-learn's"
            " trees, classifier = @sklearn_gradient_boosting"
        ) from error
    return lightgbm


def _probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class probabilities [classes, n], or [1, n] of the second of two classes."""
    if len(scores) == 1:
        return expit(scores)  # scikit-learn's steps may leave the range of exp
    powers = np.exp(scores - scores.max(axis=0))
    powers /= powers.sum(axis=0)
    return powers


def _grow(booster: Any, residual: NDArray[np.float32], rng: np.random.Generator) -> bool:
    """Adds a tree that fits residuals [n] by least squares (curvature 1 everywhere); False if there
    is none to add.
    """
    before, gradient = booster.num_trees(), -residual
    # Of codes that split equally well LightGBM takes the first, scikit-learn any: these factors
    # draw one.
    booster.reset_parameter(
        {"feature_contri": (1 + TIE * rng.random(booster.num_feature())).tolist()}
    )
    booster.update(fobj=lambda _scores, _data: (gradient, np.ones_like(gradient)))
    return booster.num_trees() > before


def _leaf_values(
    leaves: NDArray[np.intp], residual: NDArray[np.float64], num_outputs: int
) -> NDArray[np.float64]:
    """Newton steps [tree, leaf] as scikit-learn takes them: (K - 1) / K sum(r) / sum(|r| (1 -
    |r|)), for two classes without the factor.
    """
    trees, width = len(residual), int(leaves.max()) + 1
    cells = (leaves + np.arange(trees)[:, None] * width).ravel()
    size = np.abs(residual)
    factor = (num_outputs - 1) / num_outputs if num_outputs > 1 else 1.0
    numerator = factor * np.bincount(cells, residual.ravel(), width * trees)
    denominator = np.bincount(cells, (size * (1 - size)).ravel(), width * trees)
    values = np.divide(
        numerator, denominator, out=np.zeros_like(numerator), where=denominator > TINY
    )
    return values.reshape(trees, width)
