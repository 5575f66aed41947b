"""Theorem 1: the rotation, the whitening, and the bijection of the uniform cube that mixes
everything and changes no distribution.
"""

import numpy as np
import pytest
from scipy.stats import kstest, ortho_group

from dlib_tf2.configuration import gin_utils
from dlib_tf2.errors import UserError
from dlib_tf2.representations import representation
from dlib_tf2.representations.representation import Posterior
from dlib_tf2.representations.rotation import (
    mix_uniforms,
    random_rotation,
    whiten,
    whitened_rotation,
)

GRID = np.stack(np.unravel_index(np.arange(12 * 10 * 8), (12, 10, 8)), axis=1)


@pytest.mark.parametrize("num_codes", [1, 2, 5, 10, 64])
def test_a_rotation_is_one_and_has_no_zero_entry(num_codes):
    for seed in range(5):
        rotation = random_rotation(num_codes, np.random.default_rng(seed))
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(num_codes), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert np.abs(rotation).min() >= 0.1 * num_codes**-2.5


def test_rotations_are_drawn_uniformly():
    ours = np.array([random_rotation(3, np.random.default_rng(seed))[0, 0] for seed in range(2000)])
    theirs = ortho_group.rvs(3, size=2000, random_state=1)[:, 0, 0]
    # The uniform distribution has an entry uniform on [-1, 1]; what is near 0 is left out.
    assert kstest(ours, theirs).pvalue > 1e-3
    assert kstest(theirs, "uniform", args=(-1, 2)).pvalue > 1e-3


def test_whitening_gives_unit_covariance_and_keeps_constant_codes_at_zero():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(5000, 4)) @ rng.normal(size=(4, 4)) * [1, 1e-2, 5, 1] + [3, 0, -7, 100]
    white = whiten(codes.astype(np.float32))
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(4), atol=1e-3)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-4)
    with_constant = whiten(
        np.concatenate([codes, np.full((5000, 1), 4.0)], axis=1).astype(np.float32)
    )
    np.testing.assert_allclose(with_constant[:, :4], white, atol=1e-3)
    assert np.abs(with_constant[:, 4]).max() < 1e-6
    assert (whiten(np.zeros((10, 3), np.float32)) == 0).all()


def test_whitening_uncorrelated_codes_only_scales_them():
    codes = (GRID * [1.0, 3.0, 0.1]).astype(np.float32)
    np.testing.assert_allclose(
        whiten(codes), (GRID - GRID.mean(axis=0)) / GRID.std(axis=0), atol=1e-4
    )


def test_the_bijection_keeps_the_uniform_distribution_and_mixes_every_coordinate():
    rng = np.random.default_rng(0)
    rotation = random_rotation(4, rng)
    uniforms = rng.uniform(size=(20_000, 4))
    mixed = mix_uniforms(uniforms, rotation)
    for code in mixed.T:
        assert kstest(code, "uniform").pvalue > 1e-3
    for first in range(4):
        # still independent: uniform on the unit square, cut into 16 x 16 cells
        for second in range(first):
            cells = np.histogram2d(mixed[:, first], mixed[:, second], 16, [[0, 1], [0, 1]])[0]
            chi_square = ((cells - 20_000 / 256) ** 2 / (20_000 / 256)).sum()
            assert abs(chi_square - 255) < 5 * np.sqrt(2 * 255)
    np.testing.assert_allclose(mix_uniforms(mixed, rotation.T), uniforms, atol=1e-9)  # a bijection


def test_every_partial_derivative_of_the_bijection_is_non_zero():
    rng = np.random.default_rng(1)
    rotation, step = random_rotation(4, rng), 1e-6
    points = rng.uniform(0.02, 0.98, size=(200, 4))
    outputs = mix_uniforms(points, rotation)
    for factor in range(4):
        shifted = points.copy()
        shifted[:, factor] += step
        derivative = (mix_uniforms(shifted, rotation) - outputs) / step  # [points, outputs]
        assert np.abs(derivative).min() > 1e-6
        assert (np.sign(derivative) == np.sign(rotation[factor])).all()


def test_any_array_of_codes_can_be_turned():
    # float64, as arrays from elsewhere are
    codes = GRID * [1.0, 3.0, 0.1] + np.random.default_rng(1).normal(size=GRID.shape)
    before, rotated = codes.copy(), whitened_rotation(codes, np.random.default_rng(0))
    np.testing.assert_array_equal(codes, before)
    np.testing.assert_allclose(
        rotated, whiten(codes) @ random_rotation(3, np.random.default_rng(0)), atol=1e-5
    )
    np.testing.assert_allclose(np.cov(rotated.T, ddof=0), np.eye(3), atol=1e-3)
    np.testing.assert_array_equal(
        rotated, whitened_rotation(codes.astype(np.float32).tolist(), np.random.default_rng(0))
    )
    with pytest.raises(UserError, match="codes hold NaN"):
        whitened_rotation(np.full((4, 2), np.nan), np.random.default_rng(0))


def test_the_twins_come_from_the_postprocessing_stages_own_function():
    gin_utils.parse([], ["import dlib_tf2.representations.rotation"])
    mean = np.random.default_rng(0).normal(size=(960, 3)).astype(np.float32) * [1, 2, 0.1]
    posterior = Posterior(mean, np.zeros_like(mean), GRID, ("a", "b", "c"), (12, 10, 8))
    white, rotated = (
        representation.derive(posterior, name, seed=0).codes for name in ("whitened", "rotated")
    )
    np.testing.assert_allclose(np.cov(rotated.T, ddof=0), np.eye(3), atol=1e-3)
    rotation = np.linalg.lstsq(white, rotated, rcond=None)[0]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
    assert np.abs(rotation).min() > 0.1 * 3**-2.5 - 1e-3
    np.testing.assert_array_equal(
        rotated, representation.derive(posterior, "rotated", seed=0).codes
    )
    assert not np.allclose(rotated, representation.derive(posterior, "rotated", seed=1).codes)
