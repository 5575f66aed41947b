"""Files of the true formats of the downloaded datasets, on small grids, and what they must
become.
"""

import contextlib
import gzip
import hashlib
import io
import pathlib
import tarfile

import numpy as np
import pytest
import scipy.io
from PIL import Image

from dlib_tf2.datasets import FactorSpace, downloaded, loading
from dlib_tf2.datasets.families import cars3d, dsprites, mpi3d
from dlib_tf2.datasets.named import shapes3d, smallnorb

SPACES = {
    "dsprites": FactorSpace(dsprites.SPACE.names, (3, 2, 4, 2, 3)),
    "shapes3d": FactorSpace(shapes3d.SPACE.names, (2, 3, 2, 2, 2, 3)),
    "smallnorb": FactorSpace(smallnorb.SPACE.names, (2, 4, 2, 3, 2)),
    "cars3d": FactorSpace(cars3d.SPACE.names, (2, 3, 4)),
}
# Two editions, as the challenge's and the final files are.
MPI3D_SPACES = (
    FactorSpace(mpi3d.NAMES, (2, 2, 2, 1, 3, 2, 2)),
    FactorSpace(mpi3d.NAMES, (3, 3, 2, 1, 3, 2, 2)),
)
MPI3D_EDITIONS = {"toy": 0, "realistic": 1, "real": 1}
NORB_FILES = (
    "smallnorb-5x46789x9x18x6x2x96x96-training",
    "smallnorb-5x01235x9x18x6x2x96x96-testing",
)
DSPRITES_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5"
CARS_FILE = "nips2015-analogy-data.tar.gz"


def pictures(count, channels, size=64, top=255, seed=0):
    """Random pictures made of 8 x 8 blocks, each different from the others: uint8 [count, size,
    size, channels].
    """
    blocks = np.random.default_rng(seed).integers(
        0, top + 1, (count, size // 8, size // 8, channels), dtype=np.uint8
    )
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


def dsprites_images():
    return pictures(SPACES["dsprites"].size, 1, top=1)


def shapes3d_images():
    return pictures(SPACES["shapes3d"].size, 3, seed=1)


def norb_images():
    """Grey 96 x 96 pictures with edges of 0 and 255, which make a Lanczos filter overshoot."""
    return pictures(SPACES["smallnorb"].size, 1, size=96, top=1, seed=2) * 255


def car_images():
    return pictures(SPACES["cars3d"].size, 3, size=128, seed=3)


def mpi3d_images(kind):
    return pictures(MPI3D_SPACES[MPI3D_EDITIONS[kind]].size, 3, seed=4 + len(kind))


def write_dsprites(folder, name=DSPRITES_FILE):
    import h5py

    space = SPACES["dsprites"]
    factors = space.to_factors(np.arange(space.size))
    with h5py.File(folder / name, "w") as file:
        file.create_dataset(
            "imgs", data=dsprites_images()[..., 0], chunks=(7, 64, 64), compression="gzip"
        )
        # colour in front
        file["latents/classes"] = np.column_stack([np.zeros(space.size, np.int64), factors])
        file["latents/values"] = np.column_stack([np.ones(space.size), factors / 10])


def write_shapes3d(folder, name="3dshapes.h5"):
    import h5py

    space = SPACES["shapes3d"]
    with h5py.File(folder / name, "w") as file:
        file.create_dataset(
            "images", data=shapes3d_images(), chunks=(5, 64, 64, 3), compression="gzip"
        )
        # Values, not their numbers; angles are negative first.
        file["labels"] = space.to_factors(np.arange(space.size)) * [0.1, 0.1, 0.1, 0.07, 1, 30] + [
            0,
            0,
            0,
            0.75,
            0,
            -30,
        ]


def norb_matrix(array):
    """The format of the NORB files: magic, rank, at least three sizes, data; little-endian."""
    magic = {np.dtype(np.uint8): 0x1E3D4C55, np.dtype(np.int32): 0x1E3D4C54}[array.dtype]
    sizes = [*array.shape, *[1] * (3 - array.ndim)]
    return (
        np.array([magic, array.ndim, *sizes], "<i4").tobytes()
        + np.ascontiguousarray(array).tobytes()
    )


def write_smallnorb(folder):
    """Training holds the later half of the instances, testing the first, both in mixed order;
    azimuths are even numbers.
    """
    space, rng = SPACES["smallnorb"], np.random.default_rng(0)
    factors, images = space.to_factors(np.arange(space.size)), norb_images()
    later = factors[:, 1] >= space.sizes[1] // 2
    for name, chosen in zip(NORB_FILES, (later, ~later), strict=True):
        rows = rng.permutation(np.flatnonzero(chosen))
        # left and right camera
        both = np.stack([images[rows, :, :, 0], 255 - images[rows, :, :, 0]], axis=1)
        info = (factors[rows][:, 1:] * [1, 1, 2, 1]).astype(np.int32)
        for part, array in (
            ("dat", both),
            ("cat", factors[rows, 0].astype(np.int32)),
            ("info", info),
        ):
            (folder / f"{name}-{part}.mat.gz").write_bytes(gzip.compress(norb_matrix(array)))


def write_cars3d(folder, leave_out=0, broken=None, others=()):
    """The archive, cars in reverse order, beside a list, another data set, and what a Mac adds."""
    elevations, azimuths, objects = SPACES["cars3d"].sizes
    images = car_images().reshape(elevations, azimuths, objects, 128, 128, 3)
    with tarfile.open(folder / CARS_FILE, "w:gz") as archive:
        for car in reversed(range(leave_out, objects)):
            content = io.BytesIO()
            pixels = np.moveaxis(images[:, :, car], (0, 1), (4, 3))  # [h, w, 3, azimuth, elevation]
            scipy.io.savemat(
                content, broken or {"im": pixels, "mask": pixels[:, :, 0]}, do_compression=True
            )
            add(archive, f"data/cars/car_{car:03d}_mesh.mat", content.getvalue())
            add(archive, f"data/cars/._car_{car:03d}_mesh.mat", b"Mac OS X")
        add(archive, "data/cars/list.txt", b"car_000_mesh\n")
        add(archive, "data/sprites/sprites_1.mat", b"MATLAB 5.0 MAT-file")
        for name, content in others:
            add(archive, name, content)


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_mpi3d(folder, kind, name=None, compress=True):
    save = np.savez_compressed if compress else np.savez
    save(folder / (name or f"mpi3d_{kind}.npz"), images=mpi3d_images(kind))


def write_scream(folder, name="The_Scream.jpg", size=(300, 400)):
    width, height = size
    pixels = np.stack(np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height)), axis=-1)
    # [h, w, 3]
    picture = np.concatenate([pixels, np.full((height, width, 1), 100)], axis=-1).astype(np.uint8)
    Image.fromarray(picture).save(folder / name, quality=95)


WRITERS = {
    "dsprites": write_dsprites,
    "shapes3d": write_shapes3d,
    "smallnorb": write_smallnorb,
    "cars3d": write_cars3d,
    "scream": write_scream,
    **{
        f"mpi3d/{kind}": lambda folder, kind=kind: write_mpi3d(folder, kind)
        for kind in MPI3D_EDITIONS
    },
}


@contextlib.contextmanager
def small_grids():
    """Makes the builders expect the small grids; what is prepared stays readable afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (dsprites, "dsprites"),
            (shapes3d, "shapes3d"),
            (smallnorb, "smallnorb"),
            (cars3d, "cars3d"),
        ):
            patch.setattr(module, "SPACE", SPACES[name])
        patch.setattr(mpi3d, "SPACES", MPI3D_SPACES)
        patch.setattr(downloaded.Needs, "check", lambda *_: None)  # which goes by the true sizes
        yield patch


def register_checksums(patch, folder):
    """Makes TFDS's own builders expect the files that are in `folder`."""
    from tensorflow_datasets.core.download.checksums import UrlInfo

    for module in (dsprites, shapes3d, smallnorb):
        infos = module.RECIPE.tfds_class().url_infos
        for url, info in list(infos.items()):
            path = pathlib.Path(folder) / info.filename
            if path.exists():
                content = path.read_bytes()
                patch.setitem(
                    infos,
                    url,
                    UrlInfo(len(content), hashlib.sha256(content).hexdigest(), info.filename),
                )


def prepare_all(manual_dir, data_dir, names=None):
    """Writes the files of all datasets that are downloaded, or of those named, and prepares
    them.
    """
    names = names or loading.downloaded_names()
    for source in {
        recipe.source.rsplit("/", 1)[0]
        for name in names
        for recipe in loading._module(name).RECIPES
    }:
        WRITERS[source](manual_dir)
    with small_grids() as patch:
        register_checksums(patch, manual_dir)
        for name in names:
            loading.prepare(name, data_dir, manual_dir)
