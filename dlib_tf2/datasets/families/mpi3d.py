"""MPI3D (Gondal et al. 2019): a robot arm with an object, as toy rendering, realistic rendering and
photograph.
"""

from __future__ import annotations

import pathlib
from typing import Any

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.download import RemoteFile
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
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
FILES = {kind: f"mpi3d_{kind}.npz" for kind in ("toy", "realistic", "real")}
CHALLENGE_FILES = {
    "toy": ("sim_toy_64x_ordered_without_heldout_factors.npz",),
    "realistic": ("sim_realistic_64x_ordered_without_heldout_factors.npz",),
    "real": (),
}
URL = "https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/"
# The authors publish none; these are what others report. The file of `real` was replaced in 2025.
MD5 = {"toy": "55889cb7c7dfc655d6e0277beee88868", "realistic": "59a6225b88b635365f70c91b3e52f70f"}
CORRUPTED_MD5 = {"real": "0f33f609918fb5c97996692f91129802"}


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
    file = RemoteFile(
        FILES[kind],
        URL + FILES[kind],
        at_most=largest * 64 * 64 * 3 + 10_000,
        other_names=CHALLENGE_FILES[kind],
        md5=MD5.get(kind),
        corrupted_md5=CORRUPTED_MD5.get(kind),
    )

    def builder(data_dir: pathlib.Path | str) -> Any:
        from dlib_tf2.datasets.builders.mpi3d.mpi3d_dataset_builder import Builder

        return Builder(config=kind, data_dir=data_dir)

    def info(builder: Any) -> TableInfo:
        return TableInfo(
            space_of(builder.info.splits["train"].num_examples, source), NAMES, SHAPE, 255, source
        )

    return downloaded.Recipe(
        source,
        lambda: (file,),
        builder,
        info,
        table_bytes=largest * 64 * 64 * 3,
        record_bytes=largest * 7000,
    )


def variant(
    name: str, config: str, data_dir: pathlib.Path, made_by: downloaded.Recipe
) -> GroundTruthDataset:
    """Opens the dataset `name`, which has no configs."""
    downloaded.no_config(name, config)
    table, info = downloaded.open_table(made_by, data_dir, name)
    return GroundTruthDataset(
        name, info.space, info.visible, table, info.scale, made_by.records(data_dir)
    )
