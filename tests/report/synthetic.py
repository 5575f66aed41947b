"""A made-up study whose effects are known: 6 methods x 6 strengths x seeds x datasets, as
dlib_aggregate_results would write it.

    python tests/report/synthetic.py results.parquet

Each score is (method effect + strength effect + seed noise) with variances in a chosen ratio,
squeezed into the range of its metric.
"""

import itertools
import json
import sys

import numpy as np
import pandas as pd

METHODS = {
    "beta_vae": ("beta", (1, 2, 4, 6, 8, 16)),
    "factor_vae": ("gamma", (10, 20, 30, 40, 50, 100)),
    "dip_vae_i": ("lambda_od", (1, 2, 5, 10, 20, 50)),
    "dip_vae_ii": ("lambda_od", (1, 2, 5, 10, 20, 50)),
    "beta_tc_vae": ("beta", (1, 2, 4, 6, 8, 10)),
    "annealed_vae": ("c_max", (5, 10, 25, 50, 75, 100)),
}
DATASETS = ("cars3d", "dsprites_full", "shapes3d")
SHARES = {"method": 0.37, "strength": 0.22, "seed": 0.41}
# metric -> (function, key, level, spread, loading on what all metrics share)
METRICS = {
    "beta_vae": ("beta_vae", "eval_accuracy", 0.82, 0.08, 0.8),
    "factor_vae": ("factor_vae", "eval_accuracy", 0.68, 0.1, 0.9),
    "mig": ("mig", "mig", 0.18, 0.06, 0.8),
    "dci": ("dci", "disentanglement", 0.35, 0.1, 0.8),
    "modularity_explicitness": ("modularity_explicitness", "modularity", 0.83, 0.05, -0.2),
    "sap": ("sap", "sap", 0.05, 0.02, 0.6),
}


def table(datasets=DATASETS, seeds=5, methods=tuple(METHODS), backend="sklearn", random_state=0):
    """The tidy table, with the columns of the real one."""
    rng = np.random.default_rng(random_state)
    models = [
        {
            "dataset": dataset,
            "method": method,
            "strength": float(strength),
            "rank": rank,
            "seed": seed,
        }
        for dataset, method in itertools.product(datasets, methods)
        for rank, strength in enumerate(METHODS[method][1])
        for seed in range(seeds)
    ]
    frame = pd.DataFrame(models)
    shared = _score(frame, rng)
    rows = []
    trees, linear = f"{backend}_gradient_boosting", "sklearn_newton_logistic_regression_cv"
    for metric, (function, key, level, spread, loading) in METRICS.items():
        own = _score(frame, rng)
        value = np.clip(level + spread * (loading * shared + np.sqrt(1 - loading**2) * own), 0, 1)
        rows.append(
            _rows(frame, metric, function, key, value, "mean", trees if metric == "dci" else "")
        )
    rank, inverse = frame["rank"], np.where(frame["method"] == "annealed_vae", -1, 1)
    strength = inverse * (rank - 2.5) / 2.5
    noise = lambda scale: rng.normal(0, scale, len(frame))  # noqa: E731
    for representation, slope in (("sampled", -0.6), ("mean", 0.8)):
        slope = np.where((frame["method"] == "dip_vae_i") & (representation == "mean"), -0.6, slope)
        correlation = np.exp(0.3 + slope * strength + noise(0.15))
        for key, value in (
            ("gaussian_total_correlation", correlation),
            ("mutual_info_score", 0.015 + 0.1 * correlation),
        ):
            rows.append(
                _rows(frame, "unsupervised", "unsupervised", key, value, representation, "")
            )
    reconstruction, kl = 60 + 20 * strength + noise(2), 18 - 6 * strength + noise(1)
    for key, value in (
        ("reconstruction_loss", reconstruction),
        ("kl", kl),
        ("elbo", -reconstruction - kl),
    ):
        rows.append(_rows(frame, "train", "train", key, value, pd.NA, pd.NA))
    for metric, classifier in (("logistic_regression", linear), ("boosted_trees", trees)):
        for size, level in ((10, 0.22), (100, 0.4), (1000, 0.55), (10000, 0.65)):
            value = np.clip(level + 0.05 * shared + noise(0.02), 0, 1)
            key = f"{size}:mean_test_accuracy"
            rows.append(
                _rows(
                    frame,
                    f"downstream_task_{metric}",
                    "downstream_task",
                    key,
                    value,
                    "mean",
                    classifier,
                )
            )
    return pd.concat(rows, ignore_index=True)


def _score(frame, rng):
    """Unit variance in the shares above, on each dataset separately."""
    parts = np.zeros(len(frame))
    for dataset in frame["dataset"].unique():
        rows = (frame["dataset"] == dataset).to_numpy()
        method, cell = (
            frame.loc[rows, "method"],
            frame.loc[rows, "method"] + frame.loc[rows, "strength"].astype(str),
        )
        of_method, of_cell = (
            rng.normal(size=groups.nunique())[pd.factorize(groups)[0]] for groups in (method, cell)
        )
        of_cell = (
            of_cell - pd.Series(of_cell).groupby(method.to_numpy()).transform("mean").to_numpy()
        )
        noise = rng.normal(size=rows.sum())
        effects = {"method": of_method, "strength": of_cell, "seed": noise}
        parts[rows] = sum(
            np.sqrt(SHARES[name]) * (effect - effect.mean()) / (effect.std() or 1)
            for name, effect in effects.items()
        )
    return parts


def _rows(frame, metric, function, key, value, representation, backend):
    names = {method: name for method, (name, _) in METHODS.items()}
    hyperparameter = frame["method"].map(names)
    text = [
        json.dumps({name: value})
        for name, value in zip(hyperparameter, frame["strength"], strict=True)
    ]
    scored = metric != "train"
    return frame[["dataset", "method", "strength", "seed"]].assign(
        study="synthetic_study",
        model_num=np.arange(len(frame)),
        hyperparameter=hyperparameter,
        hyperparameters=text,
        num_latent=10,
        steps=300000,
        run=[f"{number:08x}" for number in range(len(frame))],
        representation=representation,
        metric=metric,
        function=function,
        key=key,
        value=value,
        backend=backend,
        evaluation_seed=0 if scored else pd.NA,
        settings="abcd1234" if scored else pd.NA,
        version="0.1.0",
        train_version="0.1.0",
        tensorflow="2.21.0",
        scikit_learn="1.9.1",
        finished="2026-01-01T00:00:00+00:00",
        path=[f"{number}/scores/{metric}/results.json" for number in range(len(frame))],
    )


if __name__ == "__main__":
    table(seeds=int(sys.argv[2]) if len(sys.argv) > 2 else 5).to_parquet(sys.argv[1], index=False)
