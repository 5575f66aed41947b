"""Tables that the metric tests share: the synthetic codes behind the published check values, and a
small grid.
"""

import numpy as np
import pytest

from dlib_tf2.metrics import _rows, common

DSPRITES_SIZES = (3, 6, 40, 32, 32)


def full_grid(sizes):
    return np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)


def standardised(factors):
    return (factors - factors.mean(axis=0)) / factors.std(axis=0)


@pytest.fixture(scope="session")
def dsprites_grid():
    """All 737,280 combinations of five factors with the sizes of dSprites."""
    factors = full_grid(DSPRITES_SIZES).astype(np.int32)
    factors.setflags(write=False)
    return factors


@pytest.fixture(scope="session")
def reference_codes(dsprites_grid):
    """Ten codes of each kind on that grid: five standardised factors with five nearly dead codes;
    independent noise; zeros.
    """
    rng, n = np.random.default_rng(7), len(dsprites_grid)
    codes = {
        "ideal": np.concatenate([standardised(dsprites_grid), rng.normal(0, 0.01, (n, 5))], axis=1),
        "noise": rng.standard_normal((n, 10), dtype=np.float32),
        "const": np.zeros((n, 10)),
    }
    return {name: array.astype(np.float32) for name, array in codes.items()}


@pytest.fixture(scope="session")
def rotated_codes():
    """A function of a seed: 20,000 rows of five standardised factors and five noise codes, turned
    by one random rotation.
    """

    def make(seed):
        rng = np.random.default_rng(seed)
        factors = np.stack([rng.integers(size, size=20_000) for size in DSPRITES_SIZES], axis=1)
        rotation = np.linalg.qr(rng.normal(size=(10, 10)))[0]
        codes = (
            np.concatenate([standardised(factors), rng.normal(size=(20_000, 5))], axis=1) @ rotation
        )
        return codes.astype(np.float32), factors

    return make


@pytest.fixture
def small_table():
    """A full grid of 3 x 4 x 2 points, ten times, with codes that follow the factors under a little
    noise, and one of pure noise.
    """
    factors = np.tile(full_grid((3, 4, 2)), (10, 1))
    rng = np.random.default_rng(3)
    codes = np.concatenate(
        [
            standardised(factors) + rng.normal(0, 0.05, factors.shape),
            rng.normal(size=(len(factors), 1)),
        ],
        axis=1,
    )
    assert _rows.is_full_grid(common.check_table(codes, factors)[1])
    return codes.astype(np.float32), factors
