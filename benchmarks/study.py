"""Seconds of one model of a study by step and by metric, and what dlib_sweep adds to each model
beside dlib_reproduce one after the other.

    python benchmarks/study.py --models=2 --steps=200

Both sides run the same models of rendered_study, cut to a few steps, in the same run; prints one
JSON line.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from dlib_tf2 import reproduce
from dlib_tf2.studies import run_folder

BIN = pathlib.Path(__file__).parents[1] / "bin"


def run(command: str, *flags: str) -> float:
    """Wall seconds of a command."""
    started = time.perf_counter()
    subprocess.run([sys.executable, str(BIN / command), *flags], check=True, capture_output=True)
    return time.perf_counter() - started


def by_step(folders: list[pathlib.Path]) -> dict[str, float]:
    """Mean seconds of each step of these models."""
    seconds = [(run_folder.read_json(folder / "done.json") or {})["seconds"] for folder in folders]
    return {name: round(statistics.mean(one[name] for one in seconds), 2) for name in seconds[0]}


def by_metric(folders: list[pathlib.Path]) -> dict[str, float]:
    """Mean seconds of each metric, over models and representations."""
    found: dict[str, list[float]] = {}
    for folder in folders:
        for path in folder.glob("scores/*/*/results.json"):
            found.setdefault(path.parent.name, []).append(json.loads(path.read_text())["seconds"])
    return {name: round(statistics.mean(seconds), 2) for name, seconds in sorted(found.items())}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=2)
    parser.add_argument(
        "--steps", type=int, default=200, help="updates of each model; 3,000 in the study"
    )
    parser.add_argument("--data_dir", default=None)
    arguments = parser.parse_args()
    reproduce.check([], ["rendered_sprites/small"], arguments.data_dir)
    flags = ["--study=rendered_study", f"--gin_bindings=STEPS = {arguments.steps}"]
    flags += [f"--data_dir={arguments.data_dir}"] if arguments.data_dir else []
    with tempfile.TemporaryDirectory() as folder:
        alone, together = pathlib.Path(folder) / "alone", pathlib.Path(folder) / "together"
        one_by_one = sum(
            run("dlib_reproduce", *flags, f"--model_num={n}", f"--output_dir={alone}")
            for n in range(arguments.models)
        )
        cores = f"--cpus_per_run={os.cpu_count()}"
        sweep = run(
            "dlib_sweep",
            *flags,
            f"--models=0:{arguments.models}",
            f"--output_dir={together}",
            "--workers=1",
            cores,
        )
        done = run("dlib_reproduce", *flags, "--model_num=0", f"--output_dir={alone}")
        folders = [alone / str(number) for number in range(arguments.models)]
        steps, metrics = by_step(folders), by_metric(folders)
    figures = {
        "models": arguments.models,
        "steps": arguments.steps,
        "seconds_per_model": round(one_by_one / arguments.models, 2),
        "by_step": steps,
        "by_metric": metrics,
        "sweep_seconds_per_model": round(sweep / arguments.models, 2),
        "sweep_overhead_seconds_per_model": round((sweep - one_by_one) / arguments.models, 2),
        "sweep_ratio": round(sweep / one_by_one, 3),
        "finished_model_seconds": round(done, 2),
        "finished_ratio": round(done * arguments.models / one_by_one, 4),
    }
    print(json.dumps({"benchmark": "study", **figures, "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
