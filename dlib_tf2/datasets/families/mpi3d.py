"""MPI3D (Gondal et al. 2019): a robot arm with an object, as toy rendering, realistic rendering and
photograph.
"""

from __future__ import annotations

from typing import Any

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.download import RemoteFile
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.image_table import TableInfo
from dlib_tf2.errors import DlibError

NAMES = (
    "object_color",
    "object_shape",
    "object_size",
    "camera_height",
    "background_color",
    "horizontal_axis",
    "vertical_axis",
)
# The files of the 2019 challenge have four colours and four shapes, the final ones six of each.
SPACES = (FactorSpace(NAMES, (4, 4, 2, 3, 3, 40, 40)), FactorSpace(NAMES, (6, 6, 2, 3, 3, 40, 40)))
SHAPE = (64, 64, 3)
URL = "https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/"


def _file(kind: str, **known: Any) -> RemoteFile:
    name = f"mpi3d_{kind}.npz"
    return RemoteFile(name, URL + name, at_most=SPACES[-1].size * 64 * 64 * 3 + 10_000, **known)


# The authors publish no checksums; these are what others report. Other names are those of the 2019
# challenge. The file of `real` was replaced in 2025.
FILES = {
    "toy": _file(
        "toy",
        other_names=("sim_toy_64x_ordered_without_heldout_factors.npz",),
        md5="55889cb7c7dfc655d6e0277beee88868",
    ),
    "realistic": _file(
        "realistic",
        other_names=("sim_realistic_64x_ordered_without_heldout_factors.npz",),
        md5="59a6225b88b635365f70c91b3e52f70f",
    ),
    "real": _file("real", corrupted_md5="0f33f609918fb5c97996692f91129802"),
}


def space_of(count: int, what: str) -> FactorSpace:
    """The grid of a file with `count` images.

    Raises:
        DlibError: no edition has that many.
    """
    for space in SPACES:
        if space.size == count:
            return space
    known = " or ".join(f"{space.size:,}" for space in SPACES)
    raise DlibError(
        f"{what} holds {count:,} images, expected {known}; it is damaged or another file: get it"
        f" again from {URL}"
    )


def recipe(kind: str) -> downloaded.Recipe:
    """How "toy", "realistic" or "real" is made."""
    source, largest = f"mpi3d/{kind}/1.0.0", SPACES[-1].size

    def info(builder: Any) -> TableInfo:
        space = space_of(builder.info.splits["train"].num_examples, source)
        return TableInfo(space, NAMES, SHAPE, 255, source)

    return downloaded.Recipe(
        source,
        info,
        table_bytes=largest * 64 * 64 * 3,
        record_bytes=largest * 7000,
        remote=(FILES[kind],),
    )
