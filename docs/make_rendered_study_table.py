"""Prints the table of docs/rendered_study.md from docs/rendered_study/results.parquet: one row per setting, means over its seeds.

python docs/make_rendered_study_table.py
"""

import pathlib

import pandas as pd

RESULTS = pathlib.Path(__file__).parent / "rendered_study" / "results.parquet"
METHODS = {
    "beta_vae": "β-VAE",
    "factor_vae": "FactorVAE",
    "beta_tc_vae": "β-TCVAE",
    "dip_vae_i": "DIP-VAE-I",
    "dip_vae_ii": "DIP-VAE-II",
    "annealed_vae": "AnnealedVAE",
}
SYMBOLS = {"beta": "β", "gamma": "γ", "lambda_od": "λ", "c_max": "C"}
# Heading, representation ("" for training), metric, key, decimals.
COLUMNS = (
    ("Reconstruction", "", "train", "reconstruction_loss", 1),
    ("KL", "", "train", "kl", 1),
    ("TC sampled", "sampled", "unsupervised", "gaussian_total_correlation", 2),
    ("TC mean", "mean", "unsupervised", "gaussian_total_correlation", 2),
    ("BetaVAE", "mean", "beta_vae", "eval_accuracy", 2),
    ("FactorVAE", "mean", "factor_vae", "eval_accuracy", 2),
    ("MIG", "mean", "mig", "mig", 3),
    ("DCI", "mean", "dci", "disentanglement", 3),
    ("Modularity", "mean", "modularity_explicitness", "modularity", 2),
    ("SAP", "mean", "sap", "sap", 3),
    ("Accuracy", "mean", "downstream_task_boosted_trees", "10000:mean_test_accuracy", 2),
)


def main() -> None:
    results = pd.read_parquet(RESULTS).fillna({"representation": ""})
    print(f"{results['model_num'].nunique()} models\n")
    for dataset, of_dataset in results.groupby("dataset"):
        print(f"{dataset}\n\n| Method | Setting | Seeds | {' | '.join(column[0] for column in COLUMNS)} |\n|{'---|' * (3 + len(COLUMNS))}")
        for method, name in METHODS.items():
            for strength, models in of_dataset[of_dataset["method"] == method].groupby("strength"):
                symbol = SYMBOLS[models["hyperparameter"].iloc[0]]
                cells = [f"{mean(models, *column[1:4]):.{column[4]}f}" for column in COLUMNS]
                print(f"| {name} | {symbol} = {strength:g} | {models['seed'].nunique()} | {' | '.join(cells)} |")


def mean(models: pd.DataFrame, representation: str, metric: str, key: str) -> float:
    chosen = (models["representation"] == representation) & (models["metric"] == metric) & (models["key"] == key)
    return models.loc[chosen, "value"].mean()


if __name__ == "__main__":
    main()
