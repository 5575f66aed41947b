"""cars3d: a TFDS builder that reads MATLAB files out of their archive."""

import io
import itertools
import pathlib
import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from dlib_tf2.datasets.builders import records
from dlib_tf2.datasets.families import cars3d
from dlib_tf2.datasets.formats import png, resize
from dlib_tf2.errors import DlibError
from dlib_tf2.system.progress import Progress

_SOURCE_SIZE = 128  # pixels, high and wide
_MOST_BYTES = 200_000_000  # of a member of the archive; a car has 5 MB


class Builder(tfds.core.GeneratorBasedBuilder):
    """183 car models, each from 24 azimuths and 4 elevations."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = records.instructions("cars3d", cars3d.FILE.url)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=records.features(cars3d.SPACE, cars3d.SHAPE),
            supervised_keys=None,
            homepage="https://www.scottreed.info",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {"train": self._generate_examples(records.path_of(cars3d.FILE, dl_manager))}

    def _generate_examples(self, path: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        space = cars3d.SPACE
        elevations, azimuths, num_objects = space.sizes
        keys = [f"label_{name}" for name in space.names]
        # By name: an archive's or a folder's own order would number the cars differently on every
        # machine.
        names = sorted(name for name, _ in _mat_files(path, read=False))
        objects = {name: number for number, name in enumerate(names)}
        if len(objects) < len(names):
            twice = next(one for one, two in itertools.pairwise(names) if one == two)
            raise DlibError(
                f"{path} holds more than one car of the name {twice}; it is damaged or another"
                f" file: get it again from {cars3d.FILE.url}"
            )
        if len(objects) != num_objects:
            missing = num_objects - len(objects)
            fault = f"{missing} are missing" if missing > 0 else f"{-missing} are too many"
            raise DlibError(
                f"{path} holds {len(objects)} .mat files of cars, expected {num_objects}: {fault};"
                f" get it again from {cars3d.FILE.url}"
            )
        progress = Progress("cars3d: writing the records", space.size)
        for name, content in _mat_files(path, read=True):
            pictures = _pictures(content, name, azimuths, elevations)
            angles = itertools.product(range(azimuths), range(elevations))
            for image, (azimuth, elevation) in zip(pictures, angles, strict=True):
                factors = elevation, azimuth, objects[name]
                labels = dict(zip(keys, factors, strict=True))
                yield (
                    int(space.to_index(np.array([factors]))[0]),
                    {"image": png.encode(image), **labels},
                )
            progress.advance(len(pictures))
        progress.finish()


def _mat_files(path: Any, read: bool) -> Iterator[tuple[str, bytes]]:
    """(name, content if `read`) of every MATLAB file in a folder `cars` of the archive, in the
    archive's order.

    Raises:
        DlibError: a member is so large, by its header, that it would fill the memory or take hours
            to skip.
    """
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|gz") as archive:
        for member in archive:
            name = pathlib.PurePosixPath(member.name)
            if member.size > _MOST_BYTES:
                size = f"{member.name} with {member.size:,} bytes, expected at most {_MOST_BYTES:,}"
                raise DlibError(
                    f"{path} holds {size}; it is another file: get it again from {cars3d.FILE.url}"
                )
            # Archives made on a Mac carry a companion "._name" for each file.
            if (
                member.isfile()
                and name.suffix == ".mat"
                and name.parent.name == "cars"
                and not name.name.startswith(".")
            ):
                stream = archive.extractfile(member) if read else None
                yield name.name, stream.read() if stream else b""


def _pictures(content: bytes, name: str, azimuths: int, elevations: int) -> np.ndarray:
    """All pictures of one car, azimuth slowest: uint8 [azimuths * elevations, 64, 64, 3]."""
    from scipy.io import loadmat

    arrays = loadmat(io.BytesIO(content), variable_names=["im"])
    expected = (_SOURCE_SIZE, _SOURCE_SIZE, 3, azimuths, elevations)
    if "im" not in arrays or arrays["im"].shape != expected or arrays["im"].dtype != np.uint8:
        got = (
            f"{arrays['im'].dtype} {list(arrays['im'].shape)}"
            if "im" in arrays
            else "no such array"
        )
        raise DlibError(
            f"{name} of {cars3d.FILE.name}: expected 'im' as uint8 {list(expected)}, got {got}; get"
            " the archive again"
        )
    pictures = np.moveaxis(arrays["im"], (3, 4), (0, 1))  # [azimuth, elevation, h, w, 3]
    return resize.lanczos(pictures.reshape(-1, *expected[:3]), cars3d.SHAPE[0])  # [n, h, w, 3]
