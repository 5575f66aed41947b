"""Training steps/s of the engine over plain PyTorch: the same networks, batch, loss and optimizer,
in the same run.

Needs what benchmarks/requirements-pytorch.txt lists; without it, it says so and measures nothing.
Prints one JSON line. PyTorch runs in a process of its own, since two thread pools in one process
would disturb each other, and is idle while the engine is timed. It gets its data from memory; the
engine reads its stream. PyTorch's forms are eager, channels-last and torch.compile; they and the
engine are timed in turn, several rounds each, and compared by their best rounds. Target: ratio to
the fastest form >= 1.1.
"""

import importlib.util
import json
import subprocess
import sys
import time

ROUNDS, STEPS, BATCH, NUM_LATENT = 4, 40, 64, 10
FORMS = ("eager", "channels_last", "compiled")


def main() -> None:
    if importlib.util.find_spec("torch") is None:
        message = "PyTorch is not installed: pip install -r benchmarks/requirements-pytorch.txt"
        print(json.dumps({"benchmark": "pytorch_vae", "skipped": message}))
        return
    other = subprocess.Popen(
        [sys.executable, __file__, "torch"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        compare(other)
    finally:
        other.kill()
        other.wait()


def compare(other: subprocess.Popen) -> None:
    from dlib_tf2.system import command

    command.import_tensorflow()
    import tensorflow as tf
    from methods import make_engine

    from dlib_tf2 import datasets

    data = datasets.load("rendered_sprites/small")
    engine = make_engine("vae", data)
    iterator = iter(
        tf.distribute.get_strategy().distribute_datasets_from_function(
            lambda _: data.train_batches(BATCH, 0)
        )
    )
    engine.train(iterator, 0, 2)
    best = dict.fromkeys(("engine", *FORMS), 0.0)
    for number in range(ROUNDS):
        started = time.perf_counter()
        engine.train(iterator, 2 + number * STEPS, STEPS)
        best["engine"] = max(best["engine"], STEPS / (time.perf_counter() - started))
        for form in FORMS:
            print(form, file=other.stdin, flush=True)
            best[form] = max(best[form], float(other.stdout.readline()))
    rates = {f"{name}_steps_per_s": round(rate, 2) for name, rate in best.items()}
    ratio = best["engine"] / max(best[form] for form in FORMS)
    print(
        json.dumps(
            {
                "benchmark": "pytorch_vae",
                "batch": BATCH,
                **rates,
                "ratio": round(ratio, 3),
                "target": 1.1,
            }
        )
    )


def serve_torch() -> None:
    """Times one round of a form for each line on stdin that names it, and answers with its
    steps/s.
    """
    import torch

    runs = {form: make_torch(form, torch) for form in FORMS}
    for line in sys.stdin:
        # An idle pool of this process must not take the engine's cores: between two rounds it
        # sleeps in this read.
        print(runs[line.strip()](), flush=True)


def make_torch(form: str, torch):
    """A function that makes STEPS updates of the study's VAE in PyTorch and returns its steps/s."""
    from torch import nn

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            channels, kernels = (1, 32, 32, 64, 64), (4, 4, 2, 2)
            layers = []
            for before, after, kernel in zip(channels[:-1], channels[1:], kernels, strict=True):
                layers += [
                    nn.Conv2d(before, after, kernel, 2, padding=(kernel - 2) // 2),
                    nn.ReLU(),
                ]
            self.encoder = nn.Sequential(
                *layers,
                nn.Flatten(),
                nn.Linear(1024, 256),
                nn.ReLU(),
                nn.Linear(256, 2 * NUM_LATENT),
            )
            layers = [
                nn.Linear(NUM_LATENT, 256),
                nn.ReLU(),
                nn.Linear(256, 1024),
                nn.ReLU(),
                nn.Unflatten(1, (64, 4, 4)),
            ]
            for before, after in ((64, 64), (64, 32), (32, 32)):
                layers += [nn.ConvTranspose2d(before, after, 4, 2, padding=1), nn.ReLU()]
            self.decoder = nn.Sequential(*layers, nn.ConvTranspose2d(32, 1, 4, 2, padding=1))

        def forward(self, image):
            mean, log_variance = self.encoder(image).chunk(2, dim=1)
            logits = self.decoder(mean + torch.exp(log_variance / 2) * torch.randn_like(mean))
            reconstruction = nn.functional.binary_cross_entropy_with_logits(
                logits, image, reduction="sum"
            ) / len(image)
            return (
                reconstruction
                + 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(dim=1).mean()
            )

    torch.manual_seed(0)
    layout = torch.channels_last if form == "channels_last" else torch.contiguous_format
    model = VAE().to(memory_format=layout)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == 309_204 + 381_313, count  # the study's encoder and decoder
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, eps=1e-8)
    loss_of = torch.compile(model) if form == "compiled" else model
    image = (torch.rand(BATCH, 1, 64, 64) < 0.1).float().to(memory_format=layout)

    def steps(count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            loss_of(image).backward()
            optimizer.step()
        return count / (time.perf_counter() - started)

    steps(3)
    return lambda: steps(STEPS)


if __name__ == "__main__":
    serve_torch() if sys.argv[1:] == ["torch"] else main()
