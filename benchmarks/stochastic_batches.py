"""How many images of the stochastic dSprites variants a device could be fed, as a multiple of what
one training step consumes.

    python benchmarks/stochastic_batches.py

Each variant runs its input stream and its nuisance, as the training step does; beside it, in turns,
the study's beta-VAE trains on the same dataset. Prints one JSON line for each variant.
"""

import argparse
import json
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from dlib_tf2.datasets import FactorSpace, GroundTruthDataset, nuisance
from dlib_tf2.datasets.families.sprite_variants import ColouredSprites
from dlib_tf2.datasets.renderers import sprites
from dlib_tf2.models.networks import conv_encoder, deconv_decoder
from dlib_tf2.models.optimizers import adam
from dlib_tf2.models.reconstruction import bernoulli_loss
from dlib_tf2.models.vae import VAE
from dlib_tf2.regularizers.beta_kl import BetaKL
from dlib_tf2.training.engine import Engine


def variants() -> dict[str, GroundTruthDataset]:
    """The four variants on the small grid of drawn sprites; a random picture stands in for the
    scream's.
    """
    grid = sprites.GRIDS["small"]
    table = np.concatenate(list(grid.blocks()))
    picture = np.random.default_rng(0).integers(0, 256, (274, 217, 3), dtype=np.uint8)
    kinds = {
        "color": nuisance.colour(),
        "noisy": nuisance.noise(64, 64),
        "scream": nuisance.picture_background(picture, 64, 64),
    }
    found = {
        name: GroundTruthDataset(name, grid.space, grid.space.names, table, 1, None, nuisance=kind)
        for name, kind in kinds.items()
    }
    space = FactorSpace(("background", "object", *grid.space.names), (5, 6, *grid.space.sizes))
    return {
        **found,
        "abstract": GroundTruthDataset(
            "abstract", space, space.names, ColouredSprites(table), 255, None
        ),
    }


def feeder(data: GroundTruthDataset, batch_size: int) -> Callable[[int], object]:
    """Runs stream and nuisance alone, and touches what comes out."""
    iterator = iter(data.train_batches(batch_size, seed=0))

    @tf.function
    def feed(steps: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0)
        for step in tf.range(steps):
            batch = next(iterator)
            image = data.augment(
                tf.cast(batch["image"], tf.float32) / data.scale,
                tf.stack([tf.constant(1, tf.int64), step]),
                batch["position"],
            )
            total += tf.reduce_max(image)
        return total

    return lambda steps: feed(tf.constant(steps, tf.int64)).numpy()


def trainer(data: GroundTruthDataset, batch_size: int) -> Callable[[int], object]:
    """Trains the study's beta-VAE."""
    keras.utils.set_random_seed(0)
    vae = VAE(
        conv_encoder(data.observation_shape, 10),
        deconv_decoder(data.observation_shape, 10),
        bernoulli_loss,
        BetaKL(4.0),
    )
    optimizer = adam()
    optimizer.build(vae.parts(())["vae"].variables)
    engine = Engine(
        tf.distribute.get_strategy(), vae, {"vae": optimizer}, data, seed=0, batch_size=batch_size
    )
    iterator = iter(data.train_batches(batch_size, seed=1))
    return lambda steps: engine.train(iterator, 0, steps)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--feed_steps", type=int, default=200)
    parser.add_argument("--train_steps", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    for name, data in variants().items():
        work = {
            "feed": (feeder(data, arguments.batch_size), arguments.feed_steps),
            "train": (trainer(data, arguments.batch_size), arguments.train_steps),
        }
        for run, _ in work.values():
            run(1)  # traces the function
        best = dict.fromkeys(work, float("inf"))
        for _ in range(arguments.turns):
            for kind, (run, steps) in work.items():
                start = time.perf_counter()
                run(steps)
                best[kind] = min(best[kind], (time.perf_counter() - start) / steps)
        rates = {
            f"{kind}_images_per_second": round(arguments.batch_size / seconds)
            for kind, seconds in best.items()
        }
        ratio = round(best["train"] / best["feed"], 1)
        print(
            json.dumps(
                {
                    "benchmark": "stochastic_batches",
                    "dataset": name,
                    "batch_size": arguments.batch_size,
                    **rates,
                    "ratio": ratio,
                }
            )
        )


if __name__ == "__main__":
    main()
