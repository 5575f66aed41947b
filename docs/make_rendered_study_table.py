"""Prints the table of docs/rendered_study.md from docs/rendered_study/results.parquet: one row per
setting, means over its seeds.

python docs/make_rendered_study_table.py
"""

import pathlib

from dlib_tf2.report import methods, tidy
from dlib_tf2.report.scores import METRICS

RESULTS = pathlib.Path(__file__).parent / "rendered_study" / "results.parquet"
# Heading: (score of the report, decimals).
COLUMNS = {
    "Reconstruction": ("Reconstruction", 1),
    "KL": ("KL", 1),
    "TC sampled": ("TC (sampled)", 2),
    "TC mean": ("TC (mean)", 2),
    **{
        score.name: (score.name, 3 if score.name in ("MIG", "DCI", "SAP") else 2)
        for score in METRICS
    },
    "Accuracy": ("GBT10000", 2),
}


def main() -> None:
    scores = tidy.prepare(tidy.read(RESULTS))
    print(f"{len(scores.models)} models\n")
    for dataset in scores.datasets:
        print(
            f"{dataset}\n\n| Method | Setting | Seeds | {' | '.join(COLUMNS)}"
            f" |\n|{'---|' * (3 + len(COLUMNS))}"
        )
        for method in scores.methods:
            chosen = scores.models[
                (scores.models["dataset"] == dataset) & (scores.models["method"] == method)
            ]
            for (_, setting), models in chosen.groupby(["rank", "setting"]):
                cells = [
                    f"{models[name].mean():.{decimals}f}" for name, decimals in COLUMNS.values()
                ]
                print(
                    f"| {methods.title(method)} | {setting} | {models['seed'].nunique()} |"
                    f" {' | '.join(cells)} |"
                )


if __name__ == "__main__":
    main()
