#!/usr/bin/env python3
"""Makes the tables of docs/theorem.md: what a rotation of whitened codes changes, and what it does
not.

python docs/theorem.py                               ideal codes on the factors of dSprites; about
two minutes on two cores python docs/theorem.py --scores_dir=output/scores    a model's: its folders
mean, whitened and rotated are of dlib_evaluate

With --exact DCI fits the study's trees to the ideal codes, a few minutes per column.
"""

import argparse
import json
import pathlib
from collections.abc import Sequence

import joblib
import numpy as np

from dlib_tf2 import seeds
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._predictors import Classifier, sklearn_gradient_boosting
from dlib_tf2.metrics.dci import dci
from dlib_tf2.metrics.factor_vae import factor_vae
from dlib_tf2.metrics.mcc import mcc
from dlib_tf2.metrics.mig import mig
from dlib_tf2.metrics.unsupervised import unsupervised
from dlib_tf2.representations import rotation
from dlib_tf2.representations.representation import Representation

SIZES = (3, 6, 40, 32, 32)  # shape, scale, orientation, x, y of dSprites
# What sees the codes alone, what compares code by code with the factors, and what looks for the
# factors in all codes at once.
ROWS = {
    "Gaussian total correlation, all rows": (
        "unsupervised, all rows",
        "gaussian_total_correlation",
    ),
    "Gaussian total correlation, 10,000 rows": ("unsupervised", "gaussian_total_correlation"),
    "Gaussian Wasserstein correlation, normalised": (
        "unsupervised",
        "gaussian_wasserstein_correlation_norm",
    ),
    "mutual information of two codes (nats)": ("unsupervised", "mutual_information"),
    "MIG": ("mig", "mig"),
    "FactorVAE score": ("factor_vae", "eval_accuracy"),
    "DCI disentanglement": ("dci", "disentanglement"),
    "DCI completeness": ("dci", "completeness"),
    "MCC": ("mcc", "mcc_pearson"),
    "DCI informativeness (accuracy of trees)": ("dci", "informativeness_test"),
    "R² of a linear regression": ("mcc", "linear_r2"),
}
Scores = dict[str, dict[str, float]]


def ideal_tables(sizes: Sequence[int] = SIZES) -> dict[str, Representation]:
    """Codes that are the standardised factors beside five that are nearly dead; and their twins."""
    factors = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    rng = np.random.default_rng(7)
    codes = np.concatenate(
        [
            (factors - factors.mean(axis=0)) / factors.std(axis=0),
            rng.normal(0, 0.01, (len(factors), 5)),
        ],
        axis=1,
    )
    white, turned = (
        rotation.whiten(codes.astype(np.float32)),
        rotation.whitened_rotation(codes, seeds.generator(0, "rotated")),
    )
    return {
        name: Representation.from_arrays(array, factors)
        for name, array in (("ideal", codes), ("whitened", white), ("rotated", turned))
    }


def scores(table: Representation, classifier: Classifier, dci_rows: int = 10_000) -> Scores:
    def score(function, **parameters):
        return function(
            table.codes, table.factors, seeds.generator(0, function.__name__), **parameters
        )

    found = {
        function.__name__: score(function) for function in (unsupervised, mig, factor_vae, mcc)
    }
    found["unsupervised, all rows"] = score(unsupervised, num_train=None)
    return found | {"dci": score(dci, classifier=classifier, num_train=dci_rows)}


def markdown(columns: dict[str, Scores]) -> str:
    """The table; a row for each score that every column has, with the standard deviation where
    scores are means of several draws.
    """
    lines = [f"| Score | {' | '.join(columns)} |", f"|{'---|' * (len(columns) + 1)}"]
    for row, (metric, key) in ROWS.items():
        if all(metric in column for column in columns.values()):
            lines.append(
                f"| {row} |"
                f" {' | '.join(_cell(column[metric], key) for column in columns.values())} |"
            )
    return "\n".join(lines)


def _cell(values: dict[str, float], key: str) -> str:
    spread = f" ± {values[f'{key}:std']:.4f}" if f"{key}:std" in values else ""
    return f"{values[key]:.4f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--scores_dir",
        type=pathlib.Path,
        help="folder with the scores of a model's mean, whitened and rotated codes",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="scikit-learn's trees for DCI, as in the study, in place of LightGBM's",
    )
    arguments = parser.parse_args()
    if folder := arguments.scores_dir:
        names = ("mean", "whitened", "rotated")
        print(
            markdown(
                {
                    name: json.loads((folder / name / "scores.json").read_text(encoding="utf-8"))
                    for name in names
                }
            )
        )
        return
    classifier = sklearn_gradient_boosting if arguments.exact else lightgbm_exact_gradient_boosting
    with joblib.parallel_config(backend="loky", n_jobs=-1, inner_max_num_threads=1):
        print(markdown({name: scores(table, classifier) for name, table in ideal_tables().items()}))


if __name__ == "__main__":
    main()
