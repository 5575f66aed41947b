"""Training steps/s of every method as a ratio to the plain VAE's, in one run.

Prints one JSON line. All are timed in turn, several rounds each, and compared by their best rounds.
No target: it says what a method costs. FactorVAE's discriminator alone has seven times the weights
of the plain VAE.
"""

import json
import time

from dlib_tf2.system import command

ROUNDS, STEPS, BATCH, NUM_LATENT = 4, 20, 64, 10


def main() -> None:
    command.import_tensorflow()
    import tensorflow as tf

    from dlib_tf2 import datasets
    from dlib_tf2.configuration import gin_utils

    data = datasets.load("rendered_sprites/small")
    methods = sorted(
        path.stem
        for path in (gin_utils.config_dir() / "models").glob("*.gin")
        if path.stem != "shared"
    )
    batches = tf.distribute.get_strategy().distribute_datasets_from_function(
        lambda _: data.train_batches(BATCH, 0)
    )
    iterator = iter(batches)
    engines = {method: make_engine(method, data) for method in methods}
    best = dict.fromkeys(methods, 0.0)
    for engine in engines.values():
        engine.train(iterator, 0, 2)
    for number in range(ROUNDS):
        for method, engine in engines.items():
            started = time.perf_counter()
            engine.train(iterator, 2 + number * STEPS, STEPS)
            best[method] = max(best[method], STEPS / (time.perf_counter() - started))
    ratios = {method: round(rate / best["vae"], 3) for method, rate in best.items()}
    print(
        json.dumps(
            {
                "benchmark": "methods",
                "batch": BATCH,
                "vae_steps_per_s": round(best["vae"], 2),
                "ratios_to_vae": ratios,
            }
        )
    )


def make_engine(method: str, data):
    """The engine of a method as its gin file describes it, on the default strategy."""
    import gin
    import tensorflow as tf

    from dlib_tf2.configuration import gin_utils
    from dlib_tf2.training.engine import Engine

    gin_utils.parse([f"models/{method}.gin"])
    parts = {
        name: gin.get_configurable(gin.query_parameter(f"train.{name}").selector)
        for name in ("model", "encoder", "decoder", "optimizer")
    }
    networks = (parts[name](data.observation_shape, NUM_LATENT) for name in ("encoder", "decoder"))
    model = parts["model"](*networks)
    optimizers = {}
    for name, part in model.parts(()).items():
        with gin.config_scope(name):
            optimizers[name] = parts["optimizer"]()
        optimizers[name].build(part.variables)
    return Engine(tf.distribute.get_strategy(), model, optimizers, data, 0, BATCH)


if __name__ == "__main__":
    main()
