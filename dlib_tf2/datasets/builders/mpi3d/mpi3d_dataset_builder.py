"""mpi3d: a TFDS builder that streams the images out of their archive."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from dlib_tf2.datasets.builders import records
from dlib_tf2.datasets.families import mpi3d
from dlib_tf2.datasets.formats import npz
from dlib_tf2.errors import DlibError

_BLOCK_ROWS = 1024


class Builder(tfds.core.GeneratorBasedBuilder):
    """A robot arm with an object: colour, shape and size of the object, camera, background, and the
    arm's two axes.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=kind, description=f"{file.name} of the authors.")
        for kind, file in mpi3d.FILES.items()
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = records.instructions("mpi3d_toy", mpi3d.URL)

    def _info(self) -> tfds.core.DatasetInfo:
        # The largest edition's: in the challenge's files colour and shape have four values.
        return self.dataset_info_from_configs(
            features=records.features(mpi3d.SPACES[-1], mpi3d.SHAPE),
            supervised_keys=None,
            homepage="https://github.com/rr-learning/disentanglement_dataset",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        path = records.path_of(mpi3d.FILES[self.builder_config.name], dl_manager)
        return {"train": self._generate_examples(path)}

    def _generate_examples(self, path: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        shape = npz.member_shape(path, "images")
        if shape[1:] != mpi3d.SHAPE:
            raise DlibError(
                f"{path} holds images {list(shape[1:])}, expected {list(mpi3d.SHAPE)}; it is"
                " another file: get it again"
            )
        return records.in_grid_order(
            f"mpi3d/{self.builder_config.name}",
            mpi3d.space_of(shape[0], str(path)),
            npz.blocks(path, "images", _BLOCK_ROWS),
        )
