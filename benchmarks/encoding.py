"""Images/s of postprocessing's encoding pass over a bare forward pass of the same encoder at its
best batch size.

Prints one JSON line; both are timed in turn in the same run. Target: ratio >= 0.9.
"""

import json
import pathlib
import tempfile
import time

from dlib_tf2.system import command

ROUNDS, BATCHES = 3, (256, 512, 1024)


def main() -> None:
    command.import_tensorflow()
    import numpy as np
    import tensorflow as tf

    from dlib_tf2 import datasets, postprocess
    from dlib_tf2.models.networks import conv_encoder

    data = datasets.load("rendered_sprites/small")
    encoder = conv_encoder((64, 64, 1), 10)
    with tempfile.TemporaryDirectory() as folder, command.hold_stderr():
        encoder.save(pathlib.Path(folder) / "encoder.keras")
        bare = {}
        for batch in BATCHES:
            images = tf.constant(np.asarray(data.images(np.arange(batch)), np.float32))
            forward = tf.function(lambda image: encoder(image))
            forward(images)
            bare[batch] = lambda images=images, forward=forward, batch=batch: [
                forward(images) for _ in range(data.space.size // batch)
            ]
        best, ours = {}, []
        for _ in range(ROUNDS):
            for batch, run in bare.items():
                started = time.perf_counter()
                run()
                rate = data.space.size // batch * batch / (time.perf_counter() - started)
                best[batch] = max(best.get(batch, 0), rate)
            started = time.perf_counter()
            postprocess.encode_all(folder, data, 1024)
            ours.append(data.space.size / (time.perf_counter() - started))
    batch = max(best, key=best.get)
    figures = {
        "images_per_s": round(max(ours)),
        "bare_images_per_s": round(best[batch]),
        "bare_batch": batch,
    }
    print(
        json.dumps(
            {
                "benchmark": "encoding",
                **figures,
                "ratio": round(max(ours) / best[batch], 3),
                "target": 0.9,
            }
        )
    )


if __name__ == "__main__":
    main()
