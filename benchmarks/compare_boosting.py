"""How far scores by LightGBM's trees are from scikit-learn's, beside scikit-learn's own spread over
evaluation seeds.

    python benchmarks/compare_boosting.py                                        # two tables at
    1,000 rows: a few minutes
    python benchmarks/compare_boosting.py --points=10000 --tables=20 --output=boosting.jsonl
    --representation=runs/a/mean ...

Each table is scored three times: by scikit-learn under evaluation seeds 0 and 1, and by LightGBM's
trees under seed 0, which draws the same rows as scikit-learn's first. The scores are those of
`dci`, whose `informativeness_test` is the mean test accuracy of the downstream task at that number
of rows, and of `downstream_task` at a tenth of them. Tables are folders with representation.npz, or
synthetic. --tables: linear, saturated and folded codes in turn, factor sizes of three data sets in
turn, mixing, noise and number of codes drawn by number. --graded: ten codes from pure to fully
mixed with little noise, so that disentanglement goes from 1 to 0.1. On two cores scikit-learn takes
two to six minutes per table and seed at 10,000 rows.

Every score is a JSON line in --output; what it already holds is not computed again, so the command
can be killed and repeated. At the end all that the file holds of these tables is summed up, as a
JSON line and as the rows of docs/metrics.md: mean and largest absolute difference, and Spearman's
rank correlation over tables.
"""

import argparse
import json
import os
import pathlib
import time
from collections.abc import Iterator

import joblib
import numpy as np
from scipy.stats import spearmanr

from dlib_tf2 import seeds
from dlib_tf2.metrics._lightgbm import lightgbm_exact_gradient_boosting
from dlib_tf2.metrics._predictors import sklearn_gradient_boosting
from dlib_tf2.metrics.dci import dci
from dlib_tf2.metrics.downstream_task import downstream_task
from dlib_tf2.representations.representation import Representation

# smallNORB with its instances, Shapes3D, dSprites
SIZES = ((5, 10, 9, 18, 6), (10, 10, 10, 8, 4, 15), (3, 6, 40, 32, 32))
MIXING = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.5)  # share of every factor in every code
NOISE = (0.02, 0.05, 0.1, 0.2)  # in units of the code
RUNS = (("sklearn", 0), ("sklearn", 1), ("lightgbm_exact", 0))
CLASSIFIERS = {
    "sklearn": sklearn_gradient_boosting,
    "lightgbm_exact": lightgbm_exact_gradient_boosting,
}


def synthetic(number: int) -> Representation:
    """Table `number`: from a pure permutation of factors to full mixing, linear or not, with
    noise.
    """
    rng = np.random.default_rng(number)
    sizes = SIZES[number // 3 % len(SIZES)]
    factors = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    inputs = ((factors - factors.mean(axis=0)) / factors.std(axis=0)).astype(np.float32)
    num_codes = int(rng.choice([5, 8, 10]))
    spread = rng.uniform(0, 1)  # 0: each code follows one factor; 1: all factors alike
    weights = np.eye(len(sizes))[rng.integers(len(sizes), size=num_codes)].T * (1 - spread)
    weights += spread * rng.normal(size=weights.shape)
    codes = inputs @ weights.astype(np.float32)
    if number % 3 == 1:
        codes = np.tanh(codes)
    elif number % 3 == 2:
        codes = np.sin(2 * codes) + 0.3 * codes
    noise = (
        rng.uniform(0, 0.6) * rng.standard_normal(codes.shape, dtype=np.float32) * codes.std(axis=0)
    )
    dead = rng.random(num_codes) < 0.2
    codes = np.where(dead, 0.01 * rng.standard_normal(codes.shape, dtype=np.float32), codes + noise)
    return Representation(codes, factors, tuple("abcdef"[: len(sizes)]), sizes)


def graded(number: int) -> Representation:
    """Table `number` of those from pure to fully mixed, whose disentanglement goes from 1 to
    0.05.
    """
    rng = np.random.default_rng(1000 + number)
    sizes = SIZES[-1 - number % 3]
    factors = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    inputs = ((factors - factors.mean(axis=0)) / factors.std(axis=0)).astype(np.float32)
    weights = np.eye(len(sizes))[np.arange(10) % len(sizes)].T + MIXING[number % 8] * rng.normal(
        size=(len(sizes), 10)
    )
    codes = inputs @ weights.astype(np.float32)
    codes = np.tanh(codes) if number % 2 else codes
    codes += (
        NOISE[number // 2 % 4]
        * codes.std(axis=0)
        * rng.standard_normal(codes.shape, dtype=np.float32)
    )
    if number % 5:  # the last three are nearly dead
        codes[:, 7:] = 0.01 * rng.standard_normal((len(codes), 3), dtype=np.float32)
    return Representation(codes, factors, tuple("abcdef"[: len(sizes)]), sizes)


def tables(arguments: argparse.Namespace) -> Iterator[tuple[str, Representation]]:
    """Names and tables, the given ones first."""
    for folder in arguments.representation:
        yield folder, Representation.load(pathlib.Path(folder) / "representation.npz")
    for number in range(arguments.tables):
        yield f"synthetic_{number}", synthetic(number)
    for number in range(arguments.graded):
        yield f"graded_{number}", graded(number)


def score(table: Representation, backend: str, seed: int, points: int) -> dict[str, float]:
    """DCI at `points` training rows, and the downstream task at a tenth of them."""
    rows = {"num_test": points // 2, "classifier": CLASSIFIERS[backend]}
    arrays = table.codes, table.factors
    scores = dci(*arrays, seeds.generator(seed, "dci"), num_train=points, **rows)
    tenth = downstream_task(
        *arrays, seeds.generator(seed, "downstream_task"), num_train=[points // 10], **rows
    )
    kept = {
        key: scores[key]
        for key in (
            "disentanglement",
            "completeness",
            "informativeness_train",
            "informativeness_test",
        )
    }
    return kept | {f"downstream_{points // 10}": tenth[f"{points // 10}:mean_test_accuracy"]}


def summary(
    found: dict[tuple[str, str, int], dict[str, float]], names: list[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Differences over the tables that have all three runs."""
    complete = [name for name in names if all((name, *run) in found for run in RUNS)]
    result: dict[str, dict[str, dict[str, float]]] = {}
    for other in RUNS[1:]:
        title = "sklearn_against_itself" if other[0] == "sklearn" else f"{other[0]}_against_sklearn"
        result[title] = {}
        for key in found[complete[0], "sklearn", 0] if complete else ():
            first, second = (
                np.array([found[name, *run][key] for name in complete])
                for run in (("sklearn", 0), other)
            )
            ranked = len(complete) > 2 and np.ptp(first) > 0 and np.ptp(second) > 0
            ranks = float(spearmanr(first, second).statistic) if ranked else float("nan")
            differences = {
                "mean": np.abs(second - first).mean(),
                "largest": np.abs(second - first).max(),
                "signed": (second - first).mean(),
            }
            result[title][key] = {
                "tables": len(complete),
                **{k: round(float(v), 4) for k, v in differences.items()},
                "ranks": round(ranks, 4),
            }
    return result


def read(path: pathlib.Path, points: int) -> dict[tuple[str, str, int], dict[str, float]]:
    """The scores in a file; a line that a kill cut short is passed over, and computed again."""
    found = {}
    for text in path.read_text().splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if line["points"] == points:
            found[line["table"], line["backend"], line["seed"]] = line["scores"]
    return found


def _torn(path: pathlib.Path) -> bool:
    """Tells whether the last line has no end."""
    return path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0


def markdown(summed: dict[str, dict[str, dict[str, float]]]) -> str:
    """The rows of docs/metrics.md: LightGBM's trees against scikit-learn's, and these under another
    evaluation seed.
    """
    titles = ("LightGBM's trees", "scikit-learn, other seed")
    order = ("lightgbm_exact_against_sklearn", "sklearn_against_itself")
    rows = [f"| Score | Tables | {' | '.join(titles)} |", f"|{'---|' * (len(titles) + 2)}"]
    for key, entry in summed[order[0]].items():
        cells = [
            f"{one[key]['mean']:.4f}, {one[key]['largest']:.4f}, {one[key]['ranks']:.3f}"
            for one in map(summed.get, order)
            if one
        ]
        rows.append(f"| {key} | {entry['tables']} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Scores what is missing and sums up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--points", type=int, default=1000, help="training rows; half as many test rows"
    )
    parser.add_argument("--tables", type=int, default=2, help="synthetic tables")
    parser.add_argument("--graded", type=int, default=0, help="synthetic tables from pure to mixed")
    parser.add_argument(
        "--representation",
        action="append",
        default=[],
        help="folder with representation.npz; repeatable",
    )
    parser.add_argument("--output", default="", help="JSON lines, kept between runs")
    parser.add_argument("--workers", type=int, default=joblib.cpu_count())
    arguments = parser.parse_args()
    os.nice(10)
    path = pathlib.Path(arguments.output or os.devnull)
    found = read(path, arguments.points)
    names = []
    for name, table in tables(arguments):
        names.append(name)
        for backend, seed in RUNS:
            if (name, backend, seed) in found:
                continue
            begin = time.perf_counter()
            with joblib.parallel_config(
                backend="loky", n_jobs=arguments.workers, inner_max_num_threads=1
            ):
                found[name, backend, seed] = scores = score(table, backend, seed, arguments.points)
            line = {
                "table": name,
                "backend": backend,
                "seed": seed,
                "points": arguments.points,
                "scores": scores,
            }
            text = json.dumps(line | {"seconds": round(time.perf_counter() - begin, 1)})
            print(text, flush=True)
            with open(path, "a") as file:
                file.write("\n" * _torn(path) + text + "\n")
    summed = summary(found, names)
    print(json.dumps({"benchmark": "compare_boosting", "points": arguments.points, **summed}))
    print(markdown(summed))


if __name__ == "__main__":
    main()
