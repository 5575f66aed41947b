"""What the tests of the datasets room share."""

import pathlib

import numpy as np
import pytest

from dlib_tf2.datasets import FactorSpace, image_table, load

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


@pytest.fixture(scope="session")
def data_dir():
    """A data folder that outlives the tests, with rendered_sprites/small prepared in it."""
    folder = pathlib.Path(__file__).parents[2] / ".cache" / "data"
    load("rendered_sprites/small", folder)
    return folder


@pytest.fixture(scope="session")
def fake_files(tmp_path_factory):
    """(manual_dir, data_dir): every downloaded dataset, from files of the true format on small
    grids, prepared once.
    """
    from tests.datasets import fakes

    manual_dir, data_dir = tmp_path_factory.mktemp("manual"), tmp_path_factory.mktemp("fake_data")
    fakes.prepare_all(manual_dir, data_dir)
    return manual_dir, data_dir


@pytest.fixture(scope="session")
def fake_data_dir(fake_files):
    """The data_dir of `fake_files`."""
    return fake_files[1]
