"""Result files and table rows per second that dlib_aggregate_results reads, on generated records of
a study's shape and size.

    python benchmarks/aggregate.py --models=2000

Prints one JSON line; 21 files per model: the training record and 20 scores, each with its whole
history. Target: 40,000 files in a minute.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from dlib_tf2.records import results

METRICS = {
    "beta_vae": 4,
    "dci": 8,
    "factor_vae": 4,
    "mig": 2,
    "modularity_explicitness": 6,
    "sap": 3,
    "unsupervised": 4,
}
TASKS = {"downstream_task_logistic_regression": 60, "downstream_task_boosted_trees": 60}
REPRESENTATIONS = ("mean", "sampled")


def history(folder: pathlib.Path) -> dict:
    """The record of a postprocessed model, by the real writer, so that its size is right."""
    config = "\n".join(f"train.parameter_{i} = 'value {i}'" for i in range(60))
    labels = {
        "study": "study",
        "model_num": 0,
        "dataset": "dsprites",
        "method": "beta_vae",
        "hyperparameters": {"beta": 4.0},
        "seed": 0,
    }
    values = dict.fromkeys(
        ("loss", "reconstruction_loss", "kl", "elbo", "regularizer", "term/kl"), 0.123456789
    ) | {"steps": 300000}
    train = results.write_step(
        folder,
        "train",
        values,
        started=time.time(),
        labels={**labels, "num_latent": 10},
        config_text=config,
    )
    posterior = results.write_step(
        folder, "postprocess", {"rows": 737280}, started=time.time(), previous=train, config_text=""
    )
    labels = {"representation": "mean"}
    return results.write_step(
        folder,
        "postprocess",
        {"rows": 737280},
        started=time.time(),
        previous=posterior,
        labels=labels,
        config_text="",
    )


def generate(folder: pathlib.Path, models: int) -> tuple[int, int]:
    """Writes the tree of a study: (files, bytes)."""
    encoded = history(folder / "template")
    for path in (folder / "template").iterdir():
        path.unlink()
    files = size = 0
    for number in range(models):
        train = json.loads(json.dumps(encoded["made_from"]["made_from"]))
        train["labels"] |= {
            "model_num": number,
            "seed": number % 50,
            "hyperparameters": {"beta": 1.0 + number // 50},
        }
        train["folder"] = f"/study/{number}/model"
        records = {"model": train}
        for representation in REPRESENTATIONS:
            codes = {
                **encoded,
                "labels": {"representation": representation},
                "made_from": {**encoded["made_from"], "made_from": train},
            }
            for metric, keys in {
                **METRICS,
                **(TASKS if representation == "mean" else {}),
                "irs": 3,
                "mcc": 3,
            }.items():
                values = {f"key_{key}": 0.1234567890123 + key for key in range(keys)}
                labels = {"metric": metric, "evaluation_seed": 0, "codes_sha256": "0" * 64}
                config = {f"{metric}.parameter_{i}": 10000 for i in range(4)} | {
                    f"{metric}.classifier": "@sklearn_gradient_boosting"
                }
                own = {
                    "step": "evaluate",
                    "values": values,
                    "config": config,
                    "labels": labels,
                    "made_from": codes,
                }
                records[f"scores/{representation}/{metric}"] = {**codes, **own}
        for name, record in records.items():
            path = folder / str(number) / name / "results.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
            files, size = files + 1, size + path.stat().st_size
    return files, size


def main() -> None:
    """Generates, measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        files, size = generate(tree, arguments.models)
        code = (
            "import sys; from dlib_tf2 import aggregate_results\n"
            "print(len(aggregate_results.aggregate(*sys.argv[1:])))"
        )
        command = [sys.executable, "-c", code, str(tree), f"{folder}/results.parquet"]
        started = time.perf_counter()
        rows = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        seconds = time.perf_counter() - started
    figures = {
        "files": files,
        "megabytes": round(size / 1e6),
        "rows": rows,
        "seconds": round(seconds, 2),
    }
    rates = {"files_per_s": round(files / seconds), "rows_per_s": round(rows / seconds)}
    print(
        json.dumps(
            {
                "benchmark": "aggregate",
                **figures,
                **rates,
                "cores": os.cpu_count(),
                "target_files_per_s": round(40000 / 60),
            }
        )
    )


if __name__ == "__main__":
    main()
