"""The study's Adam."""

import keras
import numpy as np
import pytest

from dlib_tf2.models.optimizers import adam


def test_adam_has_the_constants_of_the_study():
    config = adam().get_config()
    constants = {name: config[name] for name in ("learning_rate", "beta_1", "beta_2", "epsilon")}
    assert constants == pytest.approx(
        {"learning_rate": 1e-4, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}, rel=1e-6
    )
    assert not config["amsgrad"]
    assert config["weight_decay"] is config["clipnorm"] is config["ema_overwrite_frequency"] is None


def test_adam_moves_as_the_paper_says():
    weight, optimizer = keras.Variable([1.0, -2.0]), adam(learning_rate=0.1)
    expected, first, second = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t, gradient in enumerate(np.array([[1e-7, 3.0], [-2e-8, 1.0], [5e-8, -4.0]]), start=1):
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [weight])
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        # "epsilon hat" (section 2 of the paper): epsilon is added before the bias of the second
        # moment is corrected.
        expected -= 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * first / (np.sqrt(second) + 1e-8)
    assert weight.numpy() == pytest.approx(expected, rel=1e-4)
