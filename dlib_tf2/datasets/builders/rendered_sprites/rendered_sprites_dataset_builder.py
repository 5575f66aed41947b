"""rendered_sprites: a TFDS builder that draws its images instead of downloading them."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from dlib_tf2.datasets.formats import png
from dlib_tf2.datasets.renderers import sprites
from dlib_tf2.system.progress import Progress


@dataclasses.dataclass(kw_only=True)
class SpritesConfig(tfds.core.BuilderConfig):
    """Which grid is drawn.

    Attributes:
        grid: the values of each factor.
    """

    grid: sprites.Grid = dataclasses.field(default_factory=sprites.Grid)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Binary 64x64 sprites: square, ellipse, heart, at every scale, orientation and position of the
    grid.
    """

    VERSION = tfds.core.Version(sprites.VERSION)
    RELEASE_NOTES = {
        "2.0.0": "The outlines are those of dSprites.",
        "1.0.0": "Initial release, with rounder sizes and another heart.",
    }
    BUILDER_CONFIGS = [
        SpritesConfig(
            name="full",
            description="The whole dSprites grid: 737,280 images.",
            grid=sprites.GRIDS["full"],
        ),
        SpritesConfig(
            name="small",
            description="Every 5th orientation, every 2nd position: 36,864 images.",
            grid=sprites.GRIDS["small"],
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
            shape=(sprites.IMAGE_SIZE, sprites.IMAGE_SIZE, 1), encoding_format="png"
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

    def _generate_examples(self, grid: sprites.Grid) -> Iterator[tuple[int, dict[str, Any]]]:
        keys = [
            "image",
            *(f"label_{name}" for name in sprites.FACTORS),
            *(f"value_{name}" for name in sprites.FACTORS),
        ]
        progress, first = (
            Progress(
                f"rendered_sprites/{self.builder_config.name}: writing the records", grid.space.size
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
