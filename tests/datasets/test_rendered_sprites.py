"""The TFDS builder of rendered_sprites, by TFDS's own test, and its path into the table."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from dlib_tf2.datasets import image_table, tfds_records
from dlib_tf2.datasets.builders.rendered_sprites import rendered_sprites_dataset_builder as builders
from dlib_tf2.datasets.renderers import sprites
from dlib_tf2.errors import DlibError

TINY = builders.SpritesConfig(
    name="tiny", description="12 images.", grid=sprites.Grid(scale=(5,), orientation=(2,), x_position=(0, 31), y_position=(4, 9))
)


class RenderedSpritesTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's conformance test of a builder."""

    DATASET_CLASS = builders.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = [TINY]
    SPLITS = {"train": 12}
    EXAMPLE_DIR = "."


def test_configs():
    assert {name: config.grid.space.size for name, config in builders.Builder.builder_configs.items()} == {"full": 737_280, "small": 36_864}


def test_png_round_trip():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    np.testing.assert_array_equal(tf.io.decode_png(builders.encode_png(image), channels=1), image)


def test_records_hold_labels_and_values(tmp_path):
    builder = builders.Builder(config=TINY, data_dir=tmp_path)
    builder.download_and_prepare()
    records = list(builder.as_dataset(split="train").as_numpy_iterator())
    last = records[-1]
    assert {name: int(last[f"label_{name}"]) for name in sprites.FACTORS} == dict(zip(sprites.FACTORS, (2, 0, 0, 1, 1), strict=True))
    values = [float(last[f"value_{name}"]) for name in sprites.FACTORS]
    np.testing.assert_allclose(values, [3, 1, 2 * 2 * np.pi / 39, 1, 9 / 31], rtol=1e-6)
    np.testing.assert_array_equal(
        last["image"], sprites.draw("heart", 1.0, sprites.ANGLES[2], sprites.CENTRES[[31]], sprites.CENTRES[[9]])[0, 0, :, :, None]
    )


def test_prepared_records_become_the_table(tmp_path, capfd):
    builder, space = builders.Builder(config=TINY, data_dir=tmp_path), TINY.grid.space
    info = image_table.TableInfo(space, space.names, (64, 64, 1), 1, "rendered_sprites/tiny/1.0.0")
    table = image_table.open_or_build(tmp_path / "table", info, lambda: tfds_records.prepare(builder, space))
    np.testing.assert_array_equal(table, np.concatenate(list(TINY.grid.blocks())))
    output = capfd.readouterr()
    assert output.out == ""
    assert "writing the records: 12 of 12" in output.err


def test_small_table_holds_what_the_renderer_draws(data_dir):
    from dlib_tf2.datasets import load

    dataset = load("rendered_sprites/small", data_dir)
    for block, images in enumerate(sprites.GRIDS["small"].blocks()):
        if block % 29 == 0:
            np.testing.assert_array_equal(dataset.table[256 * block : 256 * (block + 1)], images)


def test_unwritable_records_are_one_line(tmp_path):
    (tmp_path / "rendered_sprites").write_text("a file where a folder should be")
    builder = builders.Builder(config=TINY, data_dir=tmp_path)
    with pytest.raises((DlibError, OSError)):
        next(iter(tfds_records.prepare(builder, TINY.grid.space)))
