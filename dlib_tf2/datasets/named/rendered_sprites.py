"""rendered_sprites: binary sprites on the dSprites grid, drawn by this package.

It stands in for dSprites where that cannot be downloaded. It equals dSprites in nearly every
published picture that was compared; it was not compared with the file itself.
"""

import pathlib

from dlib_tf2.datasets import image_table
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.loading import unknown
from dlib_tf2.datasets.renderers import sprites
from dlib_tf2.errors import UserError

_RECORD_BYTES = 600  # of one record on the disk, about


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens config "full" (737,280 images, the default) or "small" (36,864 images, the same five factors)."""
    config = config or "full"
    if config not in sprites.GRIDS:
        raise UserError(unknown("config of rendered_sprites", config, sprites.GRIDS))
    space = sprites.GRIDS[config].space
    source = f"rendered_sprites/{config}/{sprites.VERSION}"
    info = image_table.TableInfo(space, space.names, (sprites.IMAGE_SIZE, sprites.IMAGE_SIZE, 1), 1, source)

    def builder(folder: pathlib.Path | str):
        from dlib_tf2.datasets.builders.rendered_sprites.rendered_sprites_dataset_builder import Builder

        return Builder(config=config, data_dir=folder)

    def rows() -> image_table.Rows:
        from dlib_tf2.datasets import tfds_records

        return tfds_records.prepare(builder(data_dir), space)

    def records(folder: str | None, num_hosts: int, host: int):
        from dlib_tf2.datasets import tfds_records

        return tfds_records.share(builder(folder or data_dir), num_hosts, host)

    table = image_table.open_or_build(image_table.table_folder(data_dir, source), info, rows, space.size * _RECORD_BYTES)
    return GroundTruthDataset(f"rendered_sprites/{config}", space, space.names, table, info.scale, records)
