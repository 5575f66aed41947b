"""The records of our builders: an image, a label for each factor, and the factors' values where
they are known.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from dlib_tf2.datasets.download import RemoteFile
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.formats import png
from dlib_tf2.system.progress import Progress


def features(
    space: FactorSpace, shape: tuple[int | None, ...], with_values: bool = False
) -> tfds.features.FeaturesDict:
    """The features of a record: "image", "label_<factor>", and "value_<factor>" if asked for."""
    labels = {
        f"label_{name}": tfds.features.ClassLabel(num_classes=size)
        for name, size in zip(space.names, space.sizes, strict=True)
    }
    values = {f"value_{name}": tfds.features.Scalar(np.float32) for name in space.names}
    image = tfds.features.Image(shape=shape, encoding_format="png")
    return tfds.features.FeaturesDict({"image": image, **labels, **(values if with_values else {})})


def in_grid_order(
    name: str,
    space: FactorSpace,
    blocks: Iterable[np.ndarray],
    values: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of images that come in grid order.

    Args:
        name: of what is written, for the progress line.
        space: the grid.
        blocks: all images, uint8 [n, h, w, c] at a time.
        values: from factors [n, k] to their physical values [n, k].

    Yields:
        (grid index, record).
    """
    keys = ["image", *(f"label_{factor}" for factor in space.names)]
    keys += [f"value_{factor}" for factor in space.names] if values else []
    progress, first = Progress(f"{name}: writing the records", space.size), 0
    for images in blocks:
        factors = space.to_factors(np.arange(first, first + len(images)))
        columns = factors.tolist(), *([values(factors).tolist()] if values else [])
        for index, (image, *numbers) in enumerate(zip(images, *columns, strict=True), first):
            content = png.encode(image), *itertools.chain(*numbers)
            yield index, dict(zip(keys, content, strict=True))
        first += len(images)
        progress.advance(len(images))
    progress.finish()


def instructions(dataset: str, url: str) -> str:
    """What TFDS tells a person who uses a builder without `dlib_prepare_data`."""
    return (
        f"`dlib_prepare_data --dataset={dataset} --data_dir=DIR` downloads the file from {url};"
        " by hand, put it here under its own name."
    )


def path_of(file: RemoteFile, dl_manager: tfds.download.DownloadManager) -> Any:
    """Where a file, or another edition of it, lies; its own name if it is missing, so that opening
    it says so.
    """
    return file.found_in(dl_manager.manual_dir) or dl_manager.manual_dir / file.name
