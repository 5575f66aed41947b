"""What every dataset must do; a new file in `named/` is found by itself.

A dataset that is downloaded is prepared from a file of its true format on a small grid: `fakes.py`
needs a writer for it.
"""

import gin
import numpy as np
import pytest

from dlib_tf2.datasets import load, loading
from dlib_tf2.errors import UserError
from tests.datasets import fakes, test_rendered_sprites
from tests.datasets.own.test_own_data import write_arrays, write_images
from tests.datasets.test_rendered_shapes3d import use_tiny_grid


def open_variant(request, folder, kind):
    """A variant of the rendered sprites on a tiny grid: (name, data_dir)."""
    test_rendered_sprites.use_tiny_grid(request.getfixturevalue("monkeypatch"))
    name = f"{kind}_rendered_sprites/small"
    if kind == "scream":
        fakes.write_scream(folder)
        loading.prepare(name, folder / "data", folder)
    return name, folder / "data"


# Not downloaded: how each is opened on a small grid, given the fixtures' request.
OTHERS = {
    "rendered_sprites": lambda request, folder: (
        "rendered_sprites/small",
        request.getfixturevalue("data_dir"),
    ),
    "rendered_shapes3d": lambda request, folder: (
        use_tiny_grid(request.getfixturevalue("monkeypatch")),
        folder,
    ),
    **{
        f"{kind}_rendered_sprites": lambda request, folder, kind=kind: open_variant(
            request, folder, kind
        )
        for kind in ("color", "noisy", "abstract", "scream")
    },
    "own_images": lambda request, folder: (write_images(folder / "images"), folder),
    "own_arrays": lambda request, folder: (write_arrays(folder / "arrays"), folder),
}
NAMES = loading.known_names()


@pytest.fixture(params=NAMES)
def opened(request, tmp_path):
    """(name, data_dir, dataset) of each dataset in turn."""
    if request.param in OTHERS:
        name, folder = OTHERS[request.param](request, tmp_path)
    else:
        name, folder = request.param, request.getfixturevalue("fake_data_dir")
    yield name, folder, load(name, folder)
    gin.clear_config()


def test_every_downloaded_dataset_has_a_fake():
    recipes = {
        recipe.source
        for name in loading.downloaded_names()
        for recipe in loading._module(name).RECIPES
    }
    assert {source.rsplit("/", 1)[0] for source in recipes} == set(fakes.WRITERS)
    assert set(NAMES) == {*loading.downloaded_names(), *OTHERS}
    assert len(NAMES) >= 16


def test_conformance(opened):
    name, folder, dataset = opened
    space = dataset.space
    assert dataset.name == name
    assert set(dataset.visible) <= set(space.names)
    assert [space.names.index(factor) for factor in dataset.visible] == sorted(
        space.names.index(factor) for factor in dataset.visible
    )
    everything = np.arange(space.size)
    np.testing.assert_array_equal(space.to_index(space.to_factors(everything)), everything)

    # The table stream: each of its grid points once, in order, with the images that `images` gives.
    index = dataset.table_index()
    kept = [number for number, factor in enumerate(space.names) if factor not in dataset.drawn_once]
    kept_sizes = np.array(space.sizes)[kept]
    cells = np.ravel_multi_index(tuple(space.to_factors(index)[:, kept].T), tuple(kept_sizes))
    np.testing.assert_array_equal(cells, np.arange(np.prod(kept_sizes)))
    batches = list(dataset.table_batches(100).as_numpy_iterator())
    images, points = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_array_equal(points, index)
    some = np.random.default_rng(0).permutation(len(index))[:50]
    np.testing.assert_array_equal(images[some], dataset.images(index[some]))

    assert images.shape == (len(index), *dataset.observation_shape)
    assert images.dtype == (np.float32 if dataset.nuisance else np.uint8)
    assert images.min() >= 0
    assert 0.5 * dataset.scale < images.max() <= dataset.scale
    assert dataset.visible_factors(index).shape == (len(index), len(dataset.visible))

    # Two opens agree byte for byte, whatever the batch size.
    again = list(load(name, folder).table_batches(37).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate([part for part, _ in again]), images)

    # Training: the stored images of random grid points, which `augment` makes into what a model
    # sees.
    (batch,) = dataset.train_batches(8, seed=1).take(1)
    assert batch["image"].shape == (8, *dataset.stored_shape)
    assert batch["image"].dtype == np.uint8
    seen = dataset.augment(
        np.float32(batch["image"]) / np.float32(dataset.scale), np.array([1, 2]), batch["position"]
    )
    assert tuple(seen.shape) == (8, *dataset.observation_shape)
    assert float(np.min(seen)) >= 0
    assert float(np.max(seen)) <= 1
    np.testing.assert_array_equal(
        dataset.sample_index(np.random.default_rng(3), 4),
        dataset.sample_index(np.random.default_rng(3), 4),
    )

    for wrong in (np.array([space.size]), np.array([-1])):
        with pytest.raises(ValueError, match=f"outside the grid; its range is 0..{space.size - 1}"):
            dataset.images(wrong)


@pytest.mark.parametrize("name", loading.downloaded_names())
def test_records_serve_hosts_without_python(name, fake_data_dir):
    dataset = load(name, fake_data_dir)
    if name == "abstract_dsprites":
        with pytest.raises(
            UserError,
            match="abstract_dsprites has no TFDS records, which hosts without Python read",
        ):
            dataset.record_batches(8, 0)
        return
    (batch,) = dataset.record_batches(8, seed=0, num_hosts=2, host=1).take(1)
    assert batch["image"].shape == (4, *dataset.stored_shape)
    np.testing.assert_array_equal(batch["position"], [4, 5, 6, 7])
    near = (
        np.abs(batch["image"].numpy()[:, None].astype(int) - dataset.table[:][None].astype(int))
        .max(axis=(2, 3, 4))
        .min(axis=1)
    )
    assert near.max() <= 1, "an image of the stream is none of the table's"


def test_records_of_drawn_variants_are_those_of_the_sprites(tmp_path, monkeypatch):
    test_rendered_sprites.use_tiny_grid(monkeypatch)
    dataset = load("noisy_rendered_sprites/small", tmp_path)
    (batch,) = dataset.record_batches(8, seed=0, num_hosts=2, host=1).take(1)
    assert batch["image"].shape == (4, 64, 64, 1)
    assert (
        (batch["image"].numpy()[:, None] == dataset.table[None])
        .all(axis=(2, 3, 4))
        .any(axis=1)
        .all()
    )


@pytest.mark.parametrize("name", loading.downloaded_names())
def test_what_is_not_prepared_says_the_command_that_prepares_it(name, tmp_path, fake_data_dir):
    command = f"run: dlib_prepare_data --dataset={name} --data_dir={tmp_path}"
    with pytest.raises(UserError) as caught:
        load(name, tmp_path)
    assert str(caught.value) == f"{name} is not prepared in {tmp_path}; {command}"
    with pytest.raises(UserError, match=f"{name} has no configs, got {name}/small; write {name}"):
        load(f"{name}/small", fake_data_dir)
