"""Training steps/s of the engine over a bare TensorFlow loop of the same network, batch and
optimizer on data in memory.

Prints one JSON line. The two are timed in turn, several rounds each, and compared by their best
rounds. Target: ratio >= 0.95.
"""

import json
import time

from dlib_tf2.system import command

ROUNDS, STEPS, BATCH = 5, 40, 64


def main() -> None:
    command.import_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf

    from dlib_tf2 import datasets
    from dlib_tf2.models.networks import conv_encoder, deconv_decoder
    from dlib_tf2.models.optimizers import adam
    from dlib_tf2.models.reconstruction import bernoulli_loss
    from dlib_tf2.models.vae import VAE
    from dlib_tf2.regularizers.beta_kl import BetaKL
    from dlib_tf2.training.engine import Engine

    data = datasets.load("rendered_sprites/small")
    strategy = tf.distribute.get_strategy()
    vae = VAE(
        conv_encoder((64, 64, 1), 10), deconv_decoder((64, 64, 1), 10), bernoulli_loss, BetaKL(4.0)
    )
    optimizer = adam()
    optimizer.build(vae.parts(())["vae"].variables)
    engine = Engine(strategy, vae, {"vae": optimizer}, data, 0, BATCH)
    batches = strategy.distribute_datasets_from_function(
        lambda context: data.train_batches(BATCH, 0)
    )
    iterator = iter(batches)

    encoder, decoder = conv_encoder((64, 64, 1), 10), deconv_decoder((64, 64, 1), 10)
    variables = encoder.trainable_variables + decoder.trainable_variables
    bare_optimizer = keras.optimizers.Adam(1e-4, epsilon=1e-8)
    bare_optimizer.build(variables)
    images = tf.constant(np.asarray(data.images(np.arange(BATCH) * 500), np.float32))

    @tf.function
    def bare(count):
        for _ in tf.range(count):
            with tf.GradientTape() as tape:
                mean, log_variance = encoder(images)
                z = mean + tf.exp(log_variance / 2) * tf.random.normal(tf.shape(mean))
                rec = tf.reduce_sum(
                    tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=decoder(z)),
                    axis=[1, 2, 3],
                )
                kl = 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_variance) - log_variance - 1, axis=1)
                loss = tf.reduce_mean(rec + 4.0 * kl)
            bare_optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

    engine.train(iterator, 0, 2)
    bare(tf.constant(2))
    step, rates = 2, {"engine": [], "bare": []}
    for _ in range(ROUNDS):
        started = time.perf_counter()
        engine.train(iterator, step, STEPS)
        rates["engine"].append(STEPS / (time.perf_counter() - started))
        step += STEPS
        started = time.perf_counter()
        bare(tf.constant(STEPS))
        rates["bare"].append(STEPS / (time.perf_counter() - started))
    best = {name: max(values) for name, values in rates.items()}
    figures = {
        "engine_steps_per_s": round(best["engine"], 2),
        "bare_steps_per_s": round(best["bare"], 2),
    }
    ratio = round(best["engine"] / best["bare"], 3)
    print(
        json.dumps(
            {"benchmark": "training", "batch": BATCH, **figures, "ratio": ratio, "target": 0.95}
        )
    )


if __name__ == "__main__":
    main()
