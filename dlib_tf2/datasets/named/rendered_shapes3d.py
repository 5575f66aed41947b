"""rendered_shapes3d: an object in a coloured room on the 3D Shapes grid, drawn by this package.

It stands in for 3D Shapes where that cannot be downloaded; it is not 3D Shapes.
"""

import pathlib

from dlib_tf2.datasets import image_table
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.loading import unknown
from dlib_tf2.datasets.renderers import rooms
from dlib_tf2.errors import UserError

_RECORD_BYTES = 2100  # of one record on the disk, about


def dataset(config: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens config "full" (480,000 images, the default) or "small" (30,000 images, the same six factors)."""
    config = config or "full"
    if config not in rooms.GRIDS:
        raise UserError(unknown("config of rendered_shapes3d", config, rooms.GRIDS))
    space = rooms.GRIDS[config].space
    source = f"rendered_shapes3d/{config}/{rooms.VERSION}"
    info = image_table.TableInfo(space, space.names, (rooms.IMAGE_SIZE, rooms.IMAGE_SIZE, 3), 255, source)

    def builder(folder: pathlib.Path | str):
        from dlib_tf2.datasets.builders.rendered_shapes3d.rendered_shapes3d_dataset_builder import Builder

        return Builder(config=config, data_dir=folder)

    def rows() -> image_table.Rows:
        from dlib_tf2.datasets import tfds_records

        return tfds_records.prepare(builder(data_dir), space)

    def records(folder: str | None, num_hosts: int, host: int):
        from dlib_tf2.datasets import tfds_records

        return tfds_records.share(builder(folder or data_dir), num_hosts, host)

    table = image_table.open_or_build(image_table.table_folder(data_dir, source), info, rows, space.size * _RECORD_BYTES)
    return GroundTruthDataset(f"rendered_shapes3d/{config}", space, space.names, table, info.scale, records)
