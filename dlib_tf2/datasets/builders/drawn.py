"""The base of the TFDS builders that draw their images instead of downloading them."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from dlib_tf2.datasets.builders import records
from dlib_tf2.datasets.renderers.drawing import Drawing, Grid


@dataclasses.dataclass(kw_only=True)
class GridConfig(tfds.core.BuilderConfig):
    """Which grid is drawn.

    Attributes:
        grid: the values of each factor.
    """

    grid: Grid


def configs(grids: Mapping[str, Grid], **descriptions: str) -> list[GridConfig]:
    """A config for each described grid."""
    return [
        GridConfig(name=name, description=description, grid=grids[name])
        for name, description in descriptions.items()
    ]


class DrawnBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Draws the grid of its config. A subclass declares what it draws, and TFDS's own attributes:
    VERSION, RELEASE_NOTES, BUILDER_CONFIGS.
    """

    DRAWING: Drawing

    def _info(self) -> tfds.core.DatasetInfo:
        # Written in grid order: nothing is gained by shuffling a grid, and the table is then filled
        # from front to back.
        return self.dataset_info_from_configs(
            features=records.features(
                self.builder_config.grid.space, self.DRAWING.shape, with_values=True
            ),
            supervised_keys=None,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        return {"train": self._generate_examples(self.builder_config.grid)}

    def _generate_examples(self, grid: Grid) -> Iterator[tuple[int, dict[str, Any]]]:
        name = f"{self.name}/{self.builder_config.name}"
        return records.in_grid_order(name, grid.space, grid.blocks(), grid.values)
