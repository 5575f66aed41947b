#!/usr/bin/env python3
"""Makes the numbers of docs/theorem.md: what a rotation of whitened codes changes, and what it does not.

python docs/theorem.py                             ideal codes on the factors of dSprites
python docs/theorem.py --codes_dir=output/codes    a model's: dlib_postprocess --gin_config=representations/rotated.gin wrote the folder

Prints a Markdown table; under a minute on two cores. With --exact DCI fits the study's trees, a few minutes per column.
"""

import argparse
import pathlib

import joblib
import numpy as np

from dlib_tf2 import rotation, seeds
from dlib_tf2.metrics._lightgbm import lightgbm_gradient_boosting
from dlib_tf2.metrics._predictors import Classifier, sklearn_gradient_boosting
from dlib_tf2.metrics.dci import dci
from dlib_tf2.metrics.factor_vae import factor_vae
from dlib_tf2.metrics.mcc import mcc
from dlib_tf2.metrics.mig import mig
from dlib_tf2.metrics.unsupervised import unsupervised
from dlib_tf2.representation import Representation

SIZES = (3, 6, 40, 32, 32)  # shape, scale, orientation, x, y of dSprites


def ideal_tables() -> dict[str, Representation]:
    """Five codes that are the standardised factors, five that are nearly dead; and their twins."""
    factors = np.stack(np.unravel_index(np.arange(np.prod(SIZES)), SIZES), axis=1)
    rng = np.random.default_rng(7)
    codes = np.concatenate([(factors - factors.mean(axis=0)) / factors.std(axis=0), rng.normal(0, 0.01, (len(factors), 5))], axis=1)
    white = rotation.whiten(codes.astype(np.float32))
    turned = white @ rotation.random_rotation(10, seeds.generator(0, "rotated"))
    return {
        name: Representation.from_arrays(array, factors) for name, array in (("ideal", codes), ("whitened", white), ("rotated", turned))
    }


def model_tables(codes_dir: str) -> dict[str, Representation]:
    names = ("mean", "whitened", "rotated")
    return {name: Representation.load(pathlib.Path(codes_dir) / name / "representation.npz") for name in names}


def scores(table: Representation, classifier: Classifier) -> dict[str, float]:
    """What sees the codes alone, what compares code by code with the factors, and what looks for the factors in all codes at once."""

    def score(function, **parameters):
        return function(table.codes, table.factors, seeds.generator(0, function.__name__), **parameters)

    alone, importance, assignment = score(unsupervised), score(dci, classifier=classifier), score(mcc)
    return {
        "Gaussian total correlation, all rows": score(unsupervised, num_train=None)["gaussian_total_correlation"],
        "Gaussian total correlation, 10,000 rows": alone["gaussian_total_correlation"],
        "Gaussian Wasserstein correlation, normalised": alone["gaussian_wasserstein_correlation_norm"],
        "mutual information of two codes (nats)": alone["mutual_information"],
        "MIG": score(mig)["mig"],
        "FactorVAE score": score(factor_vae)["eval_accuracy"],
        "DCI disentanglement": importance["disentanglement"],
        "DCI completeness": importance["completeness"],
        "MCC": assignment["mcc_pearson"],
        "DCI informativeness (accuracy of trees)": importance["informativeness_test"],
        "R² of a linear regression": assignment["linear_r2"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes_dir", help="folder that dlib_postprocess wrote with representations mean, whitened and rotated")
    parser.add_argument("--exact", action="store_true", help="scikit-learn's trees for DCI, as in the study, in place of LightGBM's")
    arguments = parser.parse_args()
    tables = model_tables(arguments.codes_dir) if arguments.codes_dir else ideal_tables()
    with joblib.parallel_config(backend="loky", n_jobs=-1, inner_max_num_threads=1):
        columns = [scores(table, sklearn_gradient_boosting if arguments.exact else lightgbm_gradient_boosting) for table in tables.values()]
    print(f"| Score | {' | '.join(tables)} |\n|{'---|' * (len(tables) + 1)}")
    for key in columns[0]:
        print(f"| {key} | {' | '.join(f'{column[key]:.4f}' for column in columns)} |")


if __name__ == "__main__":
    main()
