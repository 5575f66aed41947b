#!/usr/bin/env python3
"""Makes the numbers of docs/metrics.md on classifiers: one code and one seed, scored by each thing
that a call to scikit-learn can mean.

python docs/make_classifier_table.py           prints one row per score as it comes; about ten
minutes on one core
"""

import pathlib
import sys
import time
from collections.abc import Callable

import joblib
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_metrics_table import make_table

from dlib_tf2 import seeds
from dlib_tf2.metrics import _linear
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._predictors import sklearn_gradient_boosting
from dlib_tf2.metrics.beta_vae import beta_vae
from dlib_tf2.metrics.dci import dci
from dlib_tf2.metrics.downstream_task import downstream_task
from dlib_tf2.metrics.modularity_explicitness import modularity_explicitness
from dlib_tf2.metrics.sap import sap

TREE_ROWS = {"num_train": 2000, "num_test": 1000}


def split_counts(random_state: int) -> "SplitCounts":
    """LightGBM's trees with its own default importance: how often a code was split at, whatever
    that gained.
    """
    return SplitCounts(lightgbm_exact_gradient_boosting(random_state=random_state))


class SplitCounts:
    """A fitted model whose `feature_importances_` are shares of splits."""

    def __init__(self, model):
        self._model = model

    def fit(self, codes, labels):
        self._model.fit(codes, labels)
        counts = self._model._booster.feature_importance("split").astype(float)
        self.feature_importances_ = counts / (counts.sum() or 1.0)
        return self

    def predict(self, codes):
        return self._model.predict(codes)


def main() -> None:
    """Scores and prints."""
    tables = {kind: make_table(kind) for kind in ("beside dead", "rotated")}

    def row(
        kind: str, metric: Callable, keys: tuple[str, ...], scale: float = 1.0, **parameters
    ) -> None:
        begin, table = time.process_time(), tables[kind]
        with joblib.parallel_config(backend="loky", n_jobs=1, inner_max_num_threads=1):
            found = metric(
                table.codes * np.float32(scale),
                table.factors,
                seeds.generator(0, metric.__name__),
                **parameters,
            )
        named = {name: getattr(value, "__name__", value) for name, value in parameters.items()} | (
            {"scale": scale} if scale != 1 else {}
        )
        text = ", ".join(f"{name} {value}" for name, value in named.items())
        values = ", ".join(f"{key} {found[key]:.3f}" for key in keys)
        print(
            f"{metric.__name__} | {kind} | {text} | {values} | {time.process_time() - begin:.1f} s",
            flush=True,
        )

    for kind in tables:
        for model in (
            _linear.sklearn_logistic_regression,
            _linear.sklearn_multinomial_logistic_regression,
        ):
            row(kind, beta_vae, ("eval_accuracy",), classifier=model)
            row(kind, modularity_explicitness, ("explicitness_test",), classifier=model)
        for scale in (1.0, 0.1):
            row(kind, sap, ("sap",), scale)
        row(kind, sap, ("sap",), continuous=True)
        for model in (lightgbm_exact_gradient_boosting, split_counts, sklearn_gradient_boosting):
            row(
                kind,
                dci,
                ("disentanglement", "completeness", "informativeness_test"),
                classifier=model,
                **TREE_ROWS,
            )
    sizes = {"num_train": [100, 1000, 10_000]}
    keys = tuple(f"{size}:mean_test_accuracy" for size in sizes["num_train"])
    for model in (
        _linear.sklearn_newton_logistic_regression_cv,
        _linear.sklearn_logistic_regression_cv,
        _linear.sklearn_multinomial_logistic_regression_cv,
    ):
        row("beside dead", downstream_task, keys, classifier=model, **sizes)


if __name__ == "__main__":
    main()
