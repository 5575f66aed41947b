"""The folder of a finished training run, written in a moment: tiny networks with random weights and
the record that training writes.
"""

import time

import keras
import numpy as np
from tiny_networks import tiny_decoder, tiny_encoder

from dlib_tf2.records import results
from dlib_tf2.system.folders import claim_folder


def write_run(folder, data, num_latent=3, seed=0, steps=7, **labels):
    """Writes a run on `data` (a GroundTruthDataset); weights and record are functions of `seed` and
    `steps`.
    """
    claim_folder(folder, "train")
    rng = np.random.default_rng(seed)
    for name, make in (("encoder", tiny_encoder), ("decoder", tiny_decoder)):
        network = make(data.observation_shape, num_latent)
        network.set_weights([rng.normal(0, 0.5, weight.shape) for weight in network.get_weights()])
        network.save(folder / f"{name}.keras")
    labels = {
        "dataset": data.name,
        "method": "beta_vae",
        "hyperparameters": {"beta": 4.0},
        "seed": seed,
        **labels,
    }
    return results.write_step(
        folder,
        "train",
        {"steps": steps, "loss": 1.0},
        started=time.time(),
        labels=labels,
        config_text="",
    )


def load_encoder(folder):
    """The encoder of a run, for encodings that are made without the package: images in 0..1 ->
    (mean, log_variance).
    """
    network = keras.saving.load_model(folder / "encoder.keras")
    return lambda images: tuple(network.predict(images, verbose=0))
