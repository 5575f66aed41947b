"""Datasets that this package draws: nothing is downloaded, the table is made on first use."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from dlib_tf2.datasets import image_table
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.ground_truth import GroundTruthDataset

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


class Grid(Protocol):
    """What a renderer draws under one config."""

    @property
    def space(self) -> FactorSpace:
        """Its factors."""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How a dataset is drawn.

    Attributes:
        name: of the TFDS builder.
        version: of the pictures.
        grids: the grid of each config; the first is the default.
        shape: height, width, channels of an image.
        scale: the pixel value that means white.
        record_bytes: of one record on the disk, about.
        builder: returns the class of the TFDS builder, which loads TensorFlow.
    """

    name: str
    version: str
    grids: Mapping[str, Grid]
    shape: tuple[int, int, int]
    scale: int
    record_bytes: int
    builder: Callable[[], type[tfds.core.DatasetBuilder]]

    def source(self, config: str) -> str:
        """What the table of a config is kept under: name/config/version."""
        return f"{self.name}/{config}/{self.version}"


def open_dataset(
    drawing: Drawing,
    config: str,
    data_dir: pathlib.Path,
    name: str = "",
) -> GroundTruthDataset:
    """Opens a drawn dataset; draws it first if that was not done yet.

    Args:
        drawing: what is drawn.
        config: one of its grids, or "" for the default.
        data_dir: where datasets are kept.
        name: of the dataset that is opened, without config; that of the drawing by default.
    """
    config = config or next(iter(drawing.grids))
    space, source = drawing.grids[config].space, drawing.source(config)
    info = image_table.TableInfo(space, space.names, drawing.shape, drawing.scale, source)

    def builder(folder: pathlib.Path | str) -> tfds.core.DatasetBuilder:
        return drawing.builder()(config=config, data_dir=folder)

    def rows() -> image_table.Rows:
        from dlib_tf2.datasets import tfds_records

        return tfds_records.prepare(builder(data_dir), space)

    def records(folder: str | None, num_hosts: int, host: int):
        from dlib_tf2.datasets import tfds_records

        return tfds_records.share(builder(folder or data_dir), num_hosts, host)

    folder = image_table.table_folder(data_dir, source)
    extra_bytes = space.size * drawing.record_bytes
    table = image_table.open_or_build(folder, info, rows, extra_bytes, data_dir)
    opened = f"{name or drawing.name}/{config}"
    return GroundTruthDataset(opened, space, space.names, table, info.scale, records)
