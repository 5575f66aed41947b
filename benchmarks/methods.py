"""Training steps/s of every method as a ratio to beta-VAE's at equal images per step, in one run.

Prints one JSON line. All are timed in turn, several rounds each, and compared by their best rounds.
A step encodes 64 images: a pair method reads 32 pairs, a labelled one 32 images and 32 labelled
ones. `drawing` is the time of a method's input alone, as a part of its step; the target is 0.05. No
target for steps/s: it says what a method costs. FactorVAE's discriminator alone has seven times the
weights of a VAE.
"""

import json
import time

from dlib_tf2.system import command

ROUNDS, STEPS, DRAWN, IMAGES, NUM_LATENT = 3, 10, 320, 64, 10


def main() -> None:
    command.import_tensorflow()

    from dlib_tf2 import datasets
    from dlib_tf2.configuration import gin_utils

    data = datasets.load("rendered_sprites/small")
    methods = sorted(
        path.stem
        for path in (gin_utils.config_dir() / "models").glob("*.gin")
        if "no runnable file" not in path.read_text()
    )
    made = {method: make_engine(method, data) for method in methods}
    best, drawing = dict.fromkeys(methods, 0.0), {}
    for method, (engine, batches) in made.items():
        iterator = iter(batches)
        engine.train(iterator, 0, 2)
        started = time.perf_counter()
        for _ in range(DRAWN):
            next(iterator)
        drawing[method] = (time.perf_counter() - started) / DRAWN
    for number in range(ROUNDS):
        for method, (engine, batches) in made.items():
            iterator = iter(batches)
            next(iterator)  # the first batch waits for the first block
            started = time.perf_counter()
            engine.train(iterator, 2 + number * STEPS, STEPS)
            best[method] = max(best[method], STEPS / (time.perf_counter() - started))
    print(
        json.dumps(
            {
                "benchmark": "methods",
                "images_per_step": IMAGES,
                "beta_vae_steps_per_s": round(best["beta_vae"], 2),
                "ratios_to_beta_vae": {
                    method: round(rate / best["beta_vae"], 3) for method, rate in best.items()
                },
                "drawing": {
                    method: round(seconds * best[method], 4) for method, seconds in drawing.items()
                },
            }
        )
    )


def make_engine(method: str, data):
    """The engine of a method as its gin file describes it, on the default strategy, and its
    batches.
    """
    import gin
    import tensorflow as tf

    from dlib_tf2.configuration import gin_utils
    from dlib_tf2.models.terms import with_terms
    from dlib_tf2.training.engine import Engine

    gin_utils.parse([f"models/{method}.gin"])
    bound = gin.get_bindings("train")
    networks = (bound[name](data.observation_shape, NUM_LATENT) for name in ("encoder", "decoder"))
    model, draws, terms = bound["model"](*networks), bound["sampler"](data), bound.get("terms", ())
    whole = with_terms(model, terms, NUM_LATENT, draws.sizes)
    batch = IMAGES // sum(name in draws.images for name in whole.inputs)
    optimizers = {}
    for name, part in whole.parts(()).items():
        with gin.config_scope(name):
            optimizers[name] = bound["optimizer"]()
        optimizers[name].build(part.variables)
    strategy = tf.distribute.get_strategy()
    batches = strategy.distribute_datasets_from_function(
        lambda _: data.train_batches(batch, 0, draws=draws, names=whole.inputs)
    )
    return Engine(strategy, whole, optimizers, data, 0, batch, draws=draws), batches


if __name__ == "__main__":
    main()
