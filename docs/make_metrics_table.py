#!/usr/bin/env python3
"""Makes the tables of docs/metrics.md: what every metric says of codes whose worth is known, and
what it costs.

python docs/make_metrics_table.py --output=metrics.jsonl                     suites/all.gin, an hour
on one core python docs/make_metrics_table.py --output=metrics.jsonl --suite=study
suites/study.gin too, on perfect codes beside dead ones python docs/make_metrics_table.py
--output=metrics.jsonl --only_table        prints the rows of what is there

Every score is a JSON line in --output; what it holds already is not computed again. One process,
one thread, so that CPU seconds compare.
"""

import argparse
import json
import pathlib
import time

import gin
import joblib
import numpy as np

from dlib_tf2.configuration import declaration, gin_utils, metric_config
from dlib_tf2.metrics import repeats
from dlib_tf2.representations.representation import Representation

SIZES = (3, 6, 40, 32, 32)  # shape, scale, orientation, x, y of dSprites
KINDS = ("perfect", "beside dead", "rotated", "noise", "constant")
# Metrics that are read by more than the key that they declare.
KEYS = {
    "dci": ("disentanglement", "completeness", "informativeness_test"),
    "dci_es": ("explicitness", "informativeness"),
    "infomec": ("modularity", "compactness", "explicitness"),
    "jemmig": ("jemmig_normalized", "jemmig"),
    "mcc": ("mcc_pearson", "mcc_spearman", "linear_r2"),
    "med": ("med", "med_completeness", "med_top_k"),
    "modularity_explicitness": ("modularity", "explicitness_test"),
    "readout_transfer": (
        "ridge_r2",
        "logistic_regression_accuracy",
        "boosted_trees_accuracy",
    ),
    "reduced_downstream_task": (
        "1000:mean_test_accuracy_reduced_factor",
        "1000:mean_test_accuracy_other_factors",
    ),
    "rmig": ("rmig_normalized", "rmig"),
    "strong_downstream_task": ("1000:mean_test_accuracy", "1000:strong_generalization_gap"),
    "unified_scores": (
        "mutual_information_matrix.dci_disentanglement",
        "importance_gbt_matrix.mig",
        "accuracy_svm_matrix.modularity",
    ),
    "unsupervised": (
        "gaussian_total_correlation",
        "gaussian_wasserstein_correlation_norm",
        "mutual_information",
    ),
}


def make_table(kind: str) -> Representation:
    """Codes of one kind on the full grid of dSprites' factors, the same at every call."""
    rng = np.random.default_rng(7)
    factors = np.stack(np.unravel_index(np.arange(np.prod(SIZES)), SIZES), axis=1)
    perfect = ((factors - factors.mean(axis=0)) / factors.std(axis=0)).astype(np.float32)
    noise = rng.standard_normal((len(factors), 10), dtype=np.float32)
    rotation = np.linalg.qr(rng.normal(size=(10, 10)))[0].astype(np.float32)
    codes = {
        "perfect": lambda: perfect,
        "beside dead": lambda: np.concatenate([perfect, np.float32(0.01) * noise[:, :5]], axis=1),
        "rotated": lambda: np.concatenate([perfect, noise[:, :5]], axis=1) @ rotation,
        "noise": lambda: noise,
        "constant": lambda: np.zeros_like(noise),
    }
    return Representation.from_arrays(codes[kind](), factors)


def score(name: str, table: Representation) -> dict[str, float]:
    """The numbers of one metric that the table shows, by the values of its gin file, as
    `dlib_evaluate` computes them with seed 0.
    """
    found = repeats.score(metric_config.resolve(name), table, seed=0, num_repeats=1, line=name)
    return {key: found[key] for key in keys(name)}


def keys(name: str) -> tuple[str, ...]:
    """The keys that a metric is read by: those of `KEYS`, else the one that it declares."""
    declared = declaration.of_metric(name)
    return KEYS.get(name, (declared.key if declared else name,))


def parse(suite: str) -> list[str]:
    """Reads a suite and the gin files of its metrics; returns their names."""
    gin_utils.parse([f"suites/{suite}.gin"])
    names = declaration.expanded(gin.query_parameter("evaluate.metrics"))
    gin_utils.parse_more(metric_config.files(names))
    return names


def rows(lines: list[dict]) -> str:
    """The Markdown rows: scores by kind, and CPU seconds on codes beside dead ones in units of
    `mig`'s, of the suites there are.
    """
    found = {(line["suite"], line["metric"], line["kind"]): line for line in lines}
    text = []
    for name in sorted({line["metric"] for line in lines if line["suite"] == "all"}):
        costs = []
        for suite in ("all", "study"):
            line, unit = (found.get((suite, metric, "beside dead")) for metric in (name, "mig"))
            costs.append(
                two_digits(line["cpu_seconds"] / unit["cpu_seconds"]) if line and unit else ""
            )
        for number, key in enumerate(keys(name)):
            cells = [
                (
                    cell(found[("all", name, kind)]["scores"][key])
                    if ("all", name, kind) in found
                    else ""
                )
                for kind in KINDS
            ]
            text.append(
                f"| {f'`{name}`' if number == 0 else ''} | `{key}` | {' | '.join(cells)} |"
                f" {' | '.join(costs)} |"
            )
            costs = ["", ""]
    return "\n".join(text)


def two_digits(value: float) -> str:
    """Two significant digits without an exponent: 180, 9.3."""
    return f"{float(f'{value:.2g}'):g}"


def cell(value: float) -> str:
    """Three decimals, or what is left of a smaller number; no negative zero."""
    return (
        f"{value:.3f}".replace("-0.000", "0.000")
        if abs(value) >= 0.001 or abs(value) < 0.00005
        else f"{value:.4f}"
    )


def read(path: pathlib.Path) -> list[dict]:
    """The lines of the file; none before it exists."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def main() -> None:
    """Computes what is missing and prints the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", required=True, help="JSON lines, kept between runs")
    parser.add_argument("--suite", default="all", choices=["all", "study"])
    parser.add_argument(
        "--kinds",
        default="",
        help="separated by commas; all, or perfect codes beside dead ones for the study's suite",
    )
    parser.add_argument(
        "--metrics", default="", help="separated by commas; all of the suite by default"
    )
    parser.add_argument("--only_table", action="store_true")
    arguments = parser.parse_args()
    path = pathlib.Path(arguments.output)
    done = {(line["suite"], line["metric"], line["kind"]) for line in read(path)}
    kinds = (
        arguments.kinds.split(",")
        if arguments.kinds
        else KINDS
        if arguments.suite == "all"
        else ("beside dead",)
    )
    for kind in () if arguments.only_table else kinds:
        names, table = parse(arguments.suite), make_table(kind)
        for name in arguments.metrics.split(",") if arguments.metrics else names:
            if (arguments.suite, name, kind) in done:
                continue
            begin = time.process_time()
            with joblib.parallel_config(backend="loky", n_jobs=1, inner_max_num_threads=1):
                scores = score(name, table)
            line = {"suite": arguments.suite, "metric": name, "kind": kind, "scores": scores}
            with open(path, "a") as file:
                file.write(
                    json.dumps(line | {"cpu_seconds": round(time.process_time() - begin, 3)}) + "\n"
                )
    print(rows(read(path)))


if __name__ == "__main__":
    main()
