"""rendered_shapes3d: a TFDS builder that draws its images instead of downloading them."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from dlib_tf2.datasets.formats import png
from dlib_tf2.datasets.renderers import rooms
from dlib_tf2.system.progress import Progress


@dataclasses.dataclass(kw_only=True)
class RoomsConfig(tfds.core.BuilderConfig):
    """Which grid is drawn.

    Attributes:
        grid: the values of each factor.
    """

    grid: rooms.Grid = dataclasses.field(default_factory=rooms.Grid)


class Builder(tfds.core.GeneratorBasedBuilder):
    """RGB 64x64 rooms: a cube, cylinder, sphere or capsule at every hue, scale and orientation of
    the grid.
    """

    VERSION = tfds.core.Version(rooms.VERSION)
    RELEASE_NOTES = {
        "2.0.0": "Room, sizes and brightness are those of published pictures of 3D Shapes.",
        "1.0.0": "Initial release: a corner in the middle, darker colours, sizes 0.5 to 1.",
    }
    BUILDER_CONFIGS = [
        RoomsConfig(
            name="full",
            description="The whole 3D Shapes grid: 480,000 images.",
            grid=rooms.GRIDS["full"],
        ),
        RoomsConfig(
            name="small",
            description="Every 2nd hue, every 2nd scale: 30,000 images.",
            grid=rooms.GRIDS["small"],
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        space = self.builder_config.grid.space
        labels = {
            f"label_{name}": tfds.features.ClassLabel(num_classes=size)
            for name, size in zip(space.names, space.sizes, strict=True)
        }
        values = {f"value_{name}": tfds.features.Scalar(np.float32) for name in space.names}
        image = tfds.features.Image(
            shape=(rooms.IMAGE_SIZE, rooms.IMAGE_SIZE, 3), encoding_format="png"
        )
        # Written in grid order: nothing is gained by shuffling a grid, and the table is then filled
        # from front to back.
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"image": image, **labels, **values}),
            supervised_keys=None,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        return {"train": self._generate_examples(self.builder_config.grid)}

    def _generate_examples(self, grid: rooms.Grid) -> Iterator[tuple[int, dict[str, Any]]]:
        keys = [
            "image",
            *(f"label_{name}" for name in rooms.FACTORS),
            *(f"value_{name}" for name in rooms.FACTORS),
        ]
        progress, first = (
            Progress(
                f"rendered_shapes3d/{self.builder_config.name}: writing the records",
                grid.space.size,
            ),
            0,
        )
        for images in grid.blocks():
            factors = grid.space.to_factors(np.arange(first, first + len(images)))
            rows = zip(images, factors.tolist(), grid.values(factors).tolist(), strict=True)
            for index, (image, labels, values) in enumerate(rows, start=first):
                yield index, dict(zip(keys, [png.encode(image), *labels, *values], strict=True))
            first += len(images)
            progress.advance(len(images))
        progress.finish()
