"""The TFDS builder of rendered_sprites, by TFDS's own test, and its path into the table."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from dlib_tf2.datasets import image_table, tfds_records
from dlib_tf2.datasets.builders.drawn import GridConfig
from dlib_tf2.datasets.builders.rendered_sprites import rendered_sprites_dataset_builder as builders
from dlib_tf2.datasets.renderers import sprites
from dlib_tf2.errors import DlibError

TINY = GridConfig(
    name="tiny",
    description="12 images.",
    grid=sprites.Grid(scale=(5,), orientation=(2,), x_position=(0, 31), y_position=(4, 9)),
)


def use_tiny_grid(monkeypatch):
    """Puts a grid of 72 sprites in the place of config "small"."""
    grid = sprites.Grid(scale=(1, 5), orientation=(0, 2, 9), x_position=(0, 31), y_position=(4, 9))
    monkeypatch.setitem(sprites.GRIDS, "small", grid)
    config = GridConfig(name="small", description="Tiny.", grid=grid)
    # Computed from the list below when first read, and remembered: the true value must be read, and
    # put back, before the list changes.
    monkeypatch.setattr(builders.Builder, "builder_configs", {"small": config})
    monkeypatch.setattr(builders.Builder, "BUILDER_CONFIGS", [config])


class RenderedSpritesTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's conformance test of a builder."""

    DATASET_CLASS = builders.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = [TINY]
    SPLITS = {"train": 12}
    EXAMPLE_DIR = "."


def test_configs():
    assert {
        name: config.grid.space.size for name, config in builders.Builder.builder_configs.items()
    } == {"full": 737_280, "small": 36_864}


def test_records_hold_labels_and_values(tmp_path):
    builder = builders.Builder(config=TINY, data_dir=tmp_path)
    builder.download_and_prepare()
    records = list(builder.as_dataset(split="train").as_numpy_iterator())
    last = records[-1]
    assert {name: int(last[f"label_{name}"]) for name in TINY.grid.space.names} == dict(
        zip(TINY.grid.space.names, (2, 0, 0, 1, 1), strict=True)
    )
    values = [float(last[f"value_{name}"]) for name in TINY.grid.space.names]
    np.testing.assert_allclose(values, [3, 1, 2 * 2 * np.pi / 39, 1, 9 / 31], rtol=1e-6)
    np.testing.assert_array_equal(
        last["image"],
        sprites.draw("heart", 1.0, sprites.ANGLES[2], sprites.CENTRES[[31]], sprites.CENTRES[[9]])[
            0, 0, :, :, None
        ],
    )


def test_prepared_records_become_the_table(tmp_path, capfd):
    builder, space = builders.Builder(config=TINY, data_dir=tmp_path), TINY.grid.space
    info = image_table.TableInfo(space, space.names, (64, 64, 1), 1, "rendered_sprites/tiny/2.0.0")
    table = image_table.open_or_build(
        tmp_path / "table", info, lambda: tfds_records.prepare(builder, space)
    )
    np.testing.assert_array_equal(table, np.concatenate(list(TINY.grid.blocks())))
    output = capfd.readouterr()
    assert output.out == ""
    assert "writing the records 12/12" in output.err


def test_small_table_holds_what_the_renderer_draws(data_dir):
    from dlib_tf2.datasets import load

    dataset = load("rendered_sprites/small", data_dir)
    for block, images in enumerate(sprites.GRIDS["small"].blocks()):
        if block % 29 == 0:
            np.testing.assert_array_equal(dataset.table[256 * block : 256 * (block + 1)], images)


WRITE_WITH_LITTLE_ROOM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from dlib_tf2.datasets import tfds_records
from dlib_tf2.errors import DlibError
from tests.datasets.test_rendered_sprites import TINY, builders
try:
    next(tfds_records.prepare(builders.Builder(config=TINY, data_dir=sys.argv[1]), TINY.grid.space))
except DlibError as error:
    print(error)
"""


def test_records_that_cannot_be_written_are_one_line(tmp_path):
    command = [sys.executable, "-c", WRITE_WITH_LITTLE_ROOM, str(tmp_path)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    child = subprocess.run(
        command,
        cwd=pathlib.Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.fullmatch(
        r"cannot write the records of rendered_sprites to .*File too large; free space or choose"
        r" another data_dir\n",
        child.stdout,
    )
    assert not list(tmp_path.glob("**/incomplete*"))


def test_damaged_records_are_one_line(tmp_path):
    builder = builders.Builder(config=TINY, data_dir=tmp_path)
    assert sum(len(index) for _, index in tfds_records.prepare(builder, TINY.grid.space)) == 12
    (record_file,) = tmp_path.glob("**/*.tfrecord*")
    record_file.write_bytes(record_file.read_bytes()[:-50])
    with pytest.raises(
        DlibError,
        match=(
            r"the records of rendered_sprites are damaged \(.*\); remove .*/tiny/2.0.0 and prepare"
            r" it again"
        ),
    ) as caught:
        list(tfds_records.prepare(builder, TINY.grid.space))
    assert "\n" not in str(caught.value)
