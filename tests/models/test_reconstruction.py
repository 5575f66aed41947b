"""The Bernoulli loss against the study's check value, SciPy and TensorFlow Probability."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import tensorflow_probability as tfp

from dlib_tf2.models.reconstruction import bernoulli_loss

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 4, (3, 8, 6, 2)).astype(np.float32)


def test_check_value_of_zero_logits():
    image = RNG.random((2, 64, 64, 1), dtype=np.float32)
    assert bernoulli_loss(image, tf.zeros([2, 64, 64, 1])).numpy() == pytest.approx(
        [2839.131] * 2, rel=2e-6
    )


def test_sums_over_pixels_and_channels_as_tfp_does():
    image = RNG.integers(0, 2, LOGITS.shape).astype(np.float32)
    expected = -tfp.distributions.Independent(
        tfp.distributions.Bernoulli(logits=LOGITS), 3
    ).log_prob(image)
    assert expected.shape == (3,)
    assert bernoulli_loss(image, LOGITS).numpy() == pytest.approx(expected.numpy(), rel=1e-5)


def test_images_between_0_and_1():
    image = RNG.random(LOGITS.shape, dtype=np.float32)
    log_white, log_black = scipy.special.log_expit(LOGITS), scipy.special.log_expit(-LOGITS)
    expected = -(image * log_white + (1 - image) * log_black).sum(axis=(1, 2, 3))
    assert bernoulli_loss(image, LOGITS).numpy() == pytest.approx(expected, rel=1e-5)


def test_large_logits_stay_finite():
    image = np.array([1, 0], np.float32).reshape(2, 1, 1, 1)
    logits = np.full((2, 1, 1, 1), 1000, np.float32)
    assert bernoulli_loss(image, logits).numpy() == pytest.approx([0, 1000])
