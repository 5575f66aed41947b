"""The TFDS builder of rendered_shapes3d, by TFDS's own test, and its path into the table."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from dlib_tf2.datasets import image_table, load, tfds_records
from dlib_tf2.datasets.builders.drawn import GridConfig
from dlib_tf2.datasets.builders.rendered_shapes3d import (
    rendered_shapes3d_dataset_builder as builders,
)
from dlib_tf2.datasets.renderers import rooms
from dlib_tf2.errors import UserError

TINY = GridConfig(
    name="tiny",
    description="32 images.",
    grid=rooms.Grid(
        floor_hue=(3,), wall_hue=(0, 8), object_hue=(6,), scale=(2, 5), orientation=(4, 11)
    ),
)


class RenderedShapes3DTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's conformance test of a builder."""

    DATASET_CLASS = builders.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = [TINY]
    SPLITS = {"train": 32}
    EXAMPLE_DIR = "."


def use_tiny_grid(monkeypatch):
    """Puts a tiny grid in the place of config "small"; returns the dataset's name."""
    monkeypatch.setitem(rooms.GRIDS, "small", TINY.grid)
    config = GridConfig(name="small", description="Tiny.", grid=TINY.grid)
    # Computed from the list below when first read, and remembered: the true value must be read, and
    # put back, before the list changes.
    monkeypatch.setattr(builders.Builder, "builder_configs", {"small": config})
    monkeypatch.setattr(builders.Builder, "BUILDER_CONFIGS", [config])
    return "rendered_shapes3d/small"


def test_configs():
    assert {
        name: config.grid.space.size for name, config in builders.Builder.builder_configs.items()
    } == {"full": 480_000, "small": 30_000}


def test_records_hold_labels_and_values(tmp_path):
    builder = builders.Builder(config=TINY, data_dir=tmp_path)
    builder.download_and_prepare()
    records = list(builder.as_dataset(split="train").as_numpy_iterator())
    last = records[-1]
    assert {name: int(last[f"label_{name}"]) for name in TINY.grid.space.names} == dict(
        zip(TINY.grid.space.names, (0, 1, 0, 1, 3, 1), strict=True)
    )
    values = [float(last[f"value_{name}"]) for name in TINY.grid.space.names]
    np.testing.assert_allclose(
        values, [0.3, 0.8, 0.6, 0.75 + 0.5 * 5 / 7, 3, -30 + 60 * 11 / 14], rtol=1e-6
    )
    np.testing.assert_array_equal(last["image"], rooms.draw(3, 8, 6, 5, 3, 11))


def test_prepared_records_become_the_table(tmp_path, capfd):
    builder, space = builders.Builder(config=TINY, data_dir=tmp_path), TINY.grid.space
    info = image_table.TableInfo(
        space, space.names, (64, 64, 3), 255, "rendered_shapes3d/tiny/2.0.0"
    )
    table = image_table.open_or_build(
        tmp_path / "table", info, lambda: tfds_records.prepare(builder, space)
    )
    np.testing.assert_array_equal(table, np.concatenate(list(TINY.grid.blocks())))
    output = capfd.readouterr()
    assert output.out == ""
    assert "writing the records 32/32" in output.err


def test_load_opens_a_grid_by_its_name(tmp_path, monkeypatch):
    """The named dataset from builder to images, on a grid small enough for every run of the
    tests.
    """
    dataset = load(use_tiny_grid(monkeypatch), tmp_path)
    assert dataset.name == "rendered_shapes3d/small"
    assert dataset.observation_shape == (64, 64, 3)
    assert dataset.scale == 255
    assert (
        dataset.visible
        == dataset.space.names
        == ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
    )
    np.testing.assert_array_equal(dataset.images(np.array([17]))[0], rooms.draw(3, 8, 6, 2, 0, 11))
    encoded, decode = dataset.records(None, 2, 1)
    np.testing.assert_array_equal(decode(next(iter(encoded))), dataset.table[16])
    assert len(encoded) == 16


def test_unknown_config_is_one_line(tmp_path):
    with pytest.raises(
        UserError,
        match=(
            r"unknown config of rendered_shapes3d 'ful'; known: full, small; did you mean full\?"
        ),
    ):
        load("rendered_shapes3d/ful", tmp_path)


@pytest.mark.slow
def test_small_table_holds_what_the_renderer_draws(tmp_path):
    dataset = load("rendered_shapes3d/small", tmp_path)
    for block, images in enumerate(rooms.GRIDS["small"].blocks()):
        np.testing.assert_array_equal(dataset.table[240 * block : 240 * (block + 1)], images)
