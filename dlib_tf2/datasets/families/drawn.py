"""Opens the datasets that this package draws: the table is made on first use."""

import pathlib

from dlib_tf2.datasets import image_table, tfds_records
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.renderers.drawing import Drawing


def open_dataset(
    drawing: Drawing, config: str, data_dir: pathlib.Path, name: str
) -> GroundTruthDataset:
    """Opens a drawn dataset; draws it first if that was not done yet.

    Args:
        drawing: what is drawn.
        config: one of its grids, or "" for the default.
        data_dir: where datasets are kept.
        name: of the dataset that is opened, without config.
    """
    config = config or next(iter(drawing.grids))
    space, source = drawing.grids[config].space, drawing.source(config)
    table = image_table.open_or_build(
        image_table.table_folder(data_dir, source),
        image_table.TableInfo(space, space.names, drawing.shape, drawing.scale, source),
        lambda: tfds_records.prepare(tfds_records.builder(source, data_dir), space),
        space.size * drawing.record_bytes,
        data_dir,
    )
    return GroundTruthDataset(
        f"{name}/{config}",
        space,
        space.names,
        table,
        drawing.scale,
        lambda folder, num_hosts, host: tfds_records.share(
            tfds_records.builder(source, folder or data_dir), num_hosts, host
        ),
    )
