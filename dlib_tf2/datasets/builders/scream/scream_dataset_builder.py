"""scream: a TFDS builder of one picture, from which the backgrounds of scream_dsprites are cut."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dlib_tf2.datasets.builders import records
from dlib_tf2.datasets.families import dsprites, scream
from dlib_tf2.errors import DlibError


class Builder(tfds.core.GeneratorBasedBuilder):
    """Edvard Munch, "The Scream", shrunk to at most 350 x 274 pixels."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = records.instructions("scream_dsprites", scream.FILE.url)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=records.features(scream.SPACE, (None, None, 3)), supervised_keys=None
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {"train": self._generate_examples(records.path_of(scream.FILE, dl_manager))}

    def _generate_examples(self, path: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        with path.open("rb") as file:
            picture = Image.open(file)
            # Before any conversion: a JPEG is then decoded at a fraction of its size. Pixels differ
            # a little between Pillow versions.
            picture.thumbnail(scream.BOX)
            image = np.asarray(picture.convert("RGB"))
        if min(image.shape[0] - dsprites.SHAPE[0], image.shape[1] - dsprites.SHAPE[1]) < 1:
            raise DlibError(
                f"{path} has {image.shape[1]} x {image.shape[0]} pixels, no room for a crop of 64 x"
                " 64; get it again"
            )
        yield 0, {"image": image, "label_picture": 0}
