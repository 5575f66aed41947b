"""Trains every method at two strengths on the small sprites by the real commands, and prints the
tables of docs/methods.md.

    python docs/make_methods_table.py --output=output/methods

A run takes up to an hour or two on 2 CPU cores. What is already there is kept: the same command
goes on where it was stopped.
"""

import json
import pathlib
import subprocess
import sys

import numpy as np
from absl import app, flags

ROOT = pathlib.Path(__file__).parents[1]
STAGES = (500, 1000, 2000, 3000)  # updates; the run of one stage goes on from the one before
RUNS = (
    ("beta_vae", "BETA", 1.0),  # the plain VAE
    ("beta_vae", "BETA", 16.0),
    ("annealed_vae", "C_MAX", 10.0),
    ("annealed_vae", "C_MAX", 25.0),
    ("factor_vae", "GAMMA", 10.0),
    ("factor_vae", "GAMMA", 100.0),
    ("dip_vae_i", "LAMBDA_OD", 1.0),
    ("dip_vae_i", "LAMBDA_OD", 50.0),
    ("dip_vae_ii", "LAMBDA_OD", 1.0),
    ("dip_vae_ii", "LAMBDA_OD", 50.0),
    ("beta_tc_vae", "BETA", 4.0),
    ("beta_tc_vae", "BETA", 10.0),
)
# The quickstart's learning rate; a study's run is a hundred times as long at 1e-4.
SETTINGS = ("adam.learning_rate = 5e-4", "train.eval_steps = 100")
SCORES = (("mig", "mig"), ("factor_vae", "eval_accuracy"), ("dci", "disentanglement"))
flags.DEFINE_string("output", "output/methods", "folder of the runs")
flags.DEFINE_boolean("only_table", False, "print the tables of the runs that are finished")


def main(_) -> None:
    output = pathlib.Path(flags.FLAGS.output)
    if not flags.FLAGS.only_table:
        for method, macro, strength in RUNS:
            make_run(output / f"{method}_{strength:g}", method, f"{macro} = {strength}")
    finished = [
        run for run in RUNS if (folder_of(output, run) / "scores" / "scores.json").is_file()
    ]
    print(final_table(output, finished))
    print(path_table(output, finished))
    for run in finished:
        if run[0] == "annealed_vae":
            print(f"annealed_vae, {run[1]} {run[2]:g}: {annealed_sentence(folder_of(output, run))}")


def make_run(folder: pathlib.Path, method: str, strength: str) -> None:
    """Trains, encodes and scores one model; each stage is left alone once it is finished."""
    bindings = [
        strength,
        *SETTINGS,
        *([f"ITERATION_THRESHOLD = {STAGES[-1]}"] if method == "annealed_vae" else []),
    ]
    for steps in STAGES:
        codes = folder / f"codes_{steps}"
        if (codes / "sampled" / "results.json").is_file():
            continue
        command(
            "dlib_train",
            f"--gin_config=models/{method}.gin",
            f"--model_dir={folder / 'model'}",
            *bind(*bindings, f"STEPS = {steps}"),
        )
        command(
            "dlib_postprocess",
            f"--model_dir={folder / 'model'}",
            f"--output_dir={codes}",
            "--representations=mean,sampled",
        )
    command(
        "dlib_evaluate",
        f"--input_dir={folder / f'codes_{STAGES[-1]}' / 'mean'}",
        f"--output_dir={folder / 'scores'}",
        "--metrics=mig,factor_vae,dci",
        *bind("dci.num_train = 1000", "dci.num_test = 500"),
    )


def command(name: str, *arguments: str) -> None:
    print(f"{name} {' '.join(arguments)}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, ROOT / "bin" / name, *arguments], check=True, stdout=sys.stderr)


def bind(*bindings: str) -> list[str]:
    return [f"--gin_bindings={binding}" for binding in bindings]


def folder_of(output: pathlib.Path, run: tuple[str, str, float]) -> pathlib.Path:
    return output / f"{run[0]}_{run[2]:g}"


def stage(folder: pathlib.Path, steps: int) -> dict[str, float]:
    """What was measured after `steps` updates."""
    record = json.loads((folder / f"codes_{steps}" / "results.json").read_text())
    latent_kl = np.array(record["values"]["latent_kl"])
    return {
        "reconstruction": record["made_from"]["values"]["reconstruction_loss"],
        "kl": record["made_from"]["values"]["kl"],
        "units": int((latent_kl > 0.01).sum()),
        "tc_mean": gaussian_tc(folder / f"codes_{steps}" / "mean"),
        "tc_sampled": gaussian_tc(folder / f"codes_{steps}" / "sampled"),
    }


def gaussian_tc(folder: pathlib.Path) -> float:
    """Total correlation in nats of the Gaussian with the codes' covariance: -1/2 ln det of their
    correlation matrix.
    """
    with np.load(folder / "representation.npz", allow_pickle=False) as table:
        codes = table["codes"].astype(np.float64)
    return -0.5 * np.linalg.slogdet(np.corrcoef(codes.T))[1]


def final_table(output: pathlib.Path, runs: list) -> str:
    """One row per run: what the last stage measured, and the scores of its mean codes."""
    lines = [
        (
            "| Method | Strength | Reconstruction | KL | Units | TC mean | TC sampled | MIG |"
            " FactorVAE score | DCI |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        folder = folder_of(output, run)
        values = stage(folder, STAGES[-1])
        scores = json.loads((folder / "scores" / "scores.json").read_text())
        cells = [
            run[0],
            f"{run[1]} {run[2]:g}",
            f"{values['reconstruction']:.1f}",
            f"{values['kl']:.2f}",
            str(values["units"]),
        ]
        cells += [f"{values[name]:.2f}" for name in ("tc_mean", "tc_sampled")]
        cells += [f"{scores[metric][key]:.3f}" for metric, key in SCORES]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def path_table(output: pathlib.Path, runs: list) -> str:
    """One row per run: reconstruction, KL, units and both total correlations at each stage."""
    names = ("Reconstruction", "KL", "Units", "TC mean", "TC sampled")
    titles = [f"{name} at {', '.join(f'{steps:,}' for steps in STAGES)}" for name in names]
    lines = [f"| Method | Strength | {' | '.join(titles)} |", "|---|---|---|---|---|---|---|"]
    for run in runs:
        values = [stage(folder_of(output, run), steps) for steps in STAGES]
        cells = [
            " / ".join(f"{value[name]:.{digits}f}" for value in values)
            for name, digits in (
                ("reconstruction", 0),
                ("kl", 1),
                ("units", 0),
                ("tc_mean", 2),
                ("tc_sampled", 2),
            )
        ]
        lines.append(f"| {run[0]} | {run[1]} {run[2]:g} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def annealed_sentence(folder: pathlib.Path) -> str:
    """How far the KL divergence of a batch was from the capacity: the summaries' means over 100
    updates of |KL - C|, by its term.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder / "model" / "summaries"), size_guidance={"tensors": 0})
    events.Reload()
    term, kl, capacity = (
        {event.step: float(make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)}
        for tag in ("term/annealed_kl", "kl", "capacity")
    )
    gamma = json.loads((folder / "model" / "results.json").read_text())["config"][
        "AnnealedKL.gamma"
    ]
    gaps = {step: value / gamma for step, value in sorted(term.items())}
    worst = max(gaps, key=gaps.get)
    late = [gap for step, gap in gaps.items() if step > STAGES[0]]
    return (
        f"|KL - C|, as means over 100 updates, is {np.mean(list(gaps.values())):.2f} nats on"
        f" average over the path, at most {gaps[worst]:.2f} (the 100 updates before {worst:,}), and"
        f" at most {max(late):.2f} after update {STAGES[0]:,}; C ends at"
        f" {capacity[max(capacity)]:.1f}, KL at {kl[max(kl)]:.1f}"
    )


if __name__ == "__main__":
    app.run(main)
