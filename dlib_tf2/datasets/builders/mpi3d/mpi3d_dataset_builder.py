"""mpi3d: a TFDS builder that streams the images out of their archive."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from dlib_tf2.datasets.families import mpi3d
from dlib_tf2.datasets.formats import npz, png
from dlib_tf2.errors import DlibError
from dlib_tf2.system.progress import Progress

_BLOCK_ROWS = 1024


@dataclasses.dataclass(kw_only=True)
class Mpi3dConfig(tfds.core.BuilderConfig):
    """Which of the three recordings.

    Attributes:
        files: names of the file, in order of preference.
    """

    files: tuple[str, ...] = ()


class Builder(tfds.core.GeneratorBasedBuilder):
    """A robot arm with an object: colour, shape and size of the object, camera, background, and the
    arm's two axes.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS = [
        Mpi3dConfig(
            name=kind,
            description=f"{file} of the authors.",
            files=(file, *mpi3d.CHALLENGE_FILES[kind]),
        )
        for kind, file in mpi3d.FILES.items()
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "`dlib_prepare_data --dataset=mpi3d_toy --data_dir=DIR` (or mpi3d_realistic, mpi3d_real)"
        f" downloads the file from {mpi3d.URL}; by hand, put it here under its own name."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        # The largest edition's: in the challenge's files colour and shape have four values.
        sizes = zip(mpi3d.NAMES, mpi3d.SPACES[-1].sizes, strict=True)
        labels = {
            f"label_{name}": tfds.features.ClassLabel(num_classes=size) for name, size in sizes
        }
        image = tfds.features.Image(shape=mpi3d.SHAPE, encoding_format="png")
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"image": image, **labels}),
            supervised_keys=None,
            homepage="https://github.com/rr-learning/disentanglement_dataset",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        folder = dl_manager.manual_dir
        paths = [folder / name for name in self.builder_config.files if (folder / name).exists()]
        if not paths:
            raise DlibError(
                f"{folder} holds no {' or '.join(self.builder_config.files)};"
                f" {self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        return {"train": self._generate_examples(paths[0])}

    def _generate_examples(self, path: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        shape = npz.member_shape(path, "images")
        if shape[1:] != mpi3d.SHAPE:
            raise DlibError(
                f"{path} holds images {list(shape[1:])}, expected {list(mpi3d.SHAPE)}; it is"
                " another file: get it again"
            )
        space, first = mpi3d.space_of(shape[0], str(path)), 0
        keys = ["image", *(f"label_{name}" for name in mpi3d.NAMES)]
        progress = Progress(f"mpi3d/{self.builder_config.name}: writing the records", space.size)
        for block in npz.blocks(path, "images", _BLOCK_ROWS):
            factors = space.to_factors(np.arange(first, first + len(block)))
            for row, (image, labels) in enumerate(zip(block, factors.tolist(), strict=True)):
                yield first + row, dict(zip(keys, [png.encode(image), *labels], strict=True))
            first += len(block)
            progress.advance(len(block))
        progress.finish()
