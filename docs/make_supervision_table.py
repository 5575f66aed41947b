"""Prints the tables of docs/supervision.md from docs/supervision/*.parquet: one row per setting,
mean and standard deviation over its seeds.

python docs/make_supervision_table.py
"""

import json
import pathlib

import pandas

from dlib_tf2.report import methods

FOLDER = pathlib.Path(__file__).parent / "supervision"
# heading: (metric, key, decimals)
COLUMNS = {
    "DCI": ("dci", "disentanglement", 3),
    "MIG": ("mig", "mig", 3),
    "FactorVAE score": ("factor_vae", "eval_accuracy", 3),
    "Reconstruction": ("train", "reconstruction_loss", 1),
    "KL": ("train", "kl", 1),
    "Validation DCI": ("train", "validation/dci_disentanglement", 3),
}


def main() -> None:
    for path in sorted(FOLDER.glob("*.parquet")):
        table = pandas.read_parquet(path)
        print(f"{path.stem}\n")
        print("\n".join(lines(table)))
        print()


def lines(table: pandas.DataFrame) -> list[str]:
    """The rows of one table, by dataset and in the study's order."""
    shown = {
        heading: (metric, key, decimals)
        for heading, (metric, key, decimals) in COLUMNS.items()
        if ((table["metric"] == metric) & (table["key"] == key)).any()
    }
    rows = [f"| Dataset | Method | Setting | n | {' | '.join(shown)} |"]
    rows.append("|" + "---|" * (4 + len(shown)))
    order = table.sort_values("model_num").drop_duplicates(["dataset", "method", "hyperparameters"])
    for dataset, method, settings in order[["dataset", "method", "hyperparameters"]].values:
        chosen = table[
            (table["dataset"] == dataset)
            & (table["method"] == method)
            & (table["hyperparameters"] == settings)
        ]
        named = ", ".join(
            f"{methods.symbol(name)} {value:g}" for name, value in json.loads(settings).items()
        )
        cells = [_cell(chosen, *column) for column in shown.values()]
        count = chosen["seed"].nunique()
        rows.append(
            f"| {dataset} | {methods.title(method)} | {named} | {count} | {' | '.join(cells)} |"
        )
    return rows


def _cell(table: pandas.DataFrame, metric: str, key: str, decimals: int) -> str:
    values = table[(table["metric"] == metric) & (table["key"] == key)]["value"]
    if not len(values):
        return ""
    spread = f" ± {values.std():.{decimals}f}" if len(values) > 1 else ""
    return f"{values.mean():.{decimals}f}{spread}"


if __name__ == "__main__":
    main()
