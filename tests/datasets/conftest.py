"""What the tests of the datasets room share."""

import numpy as np
import pytest

from dlib_tf2.datasets import FactorSpace, image_table

SPACE = FactorSpace(("colour", "size", "place"), (2, 3, 4))
INFO = image_table.TableInfo(SPACE, ("colour", "place"), (5, 6, 3), 255, "synthetic/tiny/1.0.0")


def synthetic_images(index):
    """Images that name their row: every pixel of row i is 10 * i."""
    return np.broadcast_to(
        (10 * np.asarray(index)).astype(np.uint8)[:, None, None, None], (len(index), *INFO.shape)
    )


@pytest.fixture
def synthetic_rows():
    """Yields every grid point once, in mixed order and in batches of uneven size."""
    order = np.random.default_rng(0).permutation(SPACE.size)
    return lambda: ((synthetic_images(index), index) for index in np.split(order, [5, 6, 17]))
