"""own_arrays: a dataset from two .npy files, the images in grid order and the sizes of the factors.
Images are mapped, not copied.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import gin
import numpy as np

from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.own import data
from dlib_tf2.errors import UserError

_LOOK_ROWS = 1024


@gin.register
def own_arrays(
    images: str = gin.REQUIRED,
    factor_sizes: str = gin.REQUIRED,
    factor_names: Sequence[str] = (),
    hidden: Sequence[str] = (),
) -> dict[str, Any]:
    """Defines a dataset by two arrays.

    Args:
        images: .npy file of uint8 [n, h, w] or [n, h, w, c], white is 255; or of bool, white is
            True. In grid order, the first factor slowest.
        factor_sizes: .npy file of integers [k]; their product is n.
        factor_names: k names; factor_0, factor_1, ... by default.
        hidden: names of factors that are not scored.

    Returns:
        The definition, as JSON holds it, paths absolute.
    """
    data.check_texts("own_arrays", images=images, factor_sizes=factor_sizes)
    data.check_names("own_arrays.hidden", hidden)
    data.check_names("own_arrays.factor_names", factor_names)
    paths = {
        "images": str(pathlib.Path(images).expanduser().resolve()),
        "factor_sizes": str(pathlib.Path(factor_sizes).expanduser().resolve()),
    }
    return {**paths, "factor_names": list(factor_names), "hidden": list(hidden)}


def open_dataset(name: str, data_dir: pathlib.Path) -> GroundTruthDataset:
    """Opens "own_arrays/<name>".

    Raises:
        UserError: there is no definition, or the files do not fit together.
    """
    folder = data.folder_of("own_arrays", name, data_dir)
    definition, given = data.definition("own_arrays", folder)
    images = data.load_array(pathlib.Path(definition["images"]), "own_arrays.images")
    sizes = data.load_array(pathlib.Path(definition["factor_sizes"]), "own_arrays.factor_sizes")
    if (
        images.dtype not in (np.uint8, np.bool_)
        or images.ndim not in (3, 4)
        or not images.size
        or not images.flags.c_contiguous
    ):
        got = f"{images.dtype} {list(images.shape)}" + (
            "" if images.flags.c_contiguous else " in Fortran order"
        )
        raise UserError(
            f"{definition['images']}: expected uint8 or bool [n, h, w] or [n, h, w, c] in C order,"
            f" got {got}; convert it"
        )
    if (
        sizes.ndim != 1
        or not np.issubdtype(sizes.dtype, np.integer)
        or not len(sizes)
        or sizes.min() < 1
    ):
        raise UserError(
            f"{definition['factor_sizes']}: expected integers [k] of at least 1, got {sizes.dtype}"
            f" {list(sizes.shape)}; save k sizes"
        )
    names = definition["factor_names"] or [f"factor_{number}" for number in range(len(sizes))]
    space, visible = data.space_and_visible(
        names, sizes.tolist(), definition["hidden"], "own_arrays"
    )
    if space.size != len(images):
        raise UserError(
            f"{definition['images']} holds {len(images):,} images, the sizes {list(space.sizes)}"
            f" make {space.size:,} grid points; arrays must be whole grids (a folder of images with"
            " a CSV, own_images, may be incomplete)"
        )
    _check_white(images, definition["images"])
    if given:
        data.keep(folder, definition)
    table = images if images.ndim == 4 else images[..., None]  # [n, h, w, c]
    scale = 1 if images.dtype == np.bool_ else 255
    return GroundTruthDataset(
        f"own_arrays/{name}", space, visible, table.view(np.uint8), scale, records=None
    )


def _check_white(images: np.ndarray, path: str) -> None:
    """Refuses 0/1 images in uint8, as in the file of dSprites: with white at 255 they would be
    almost black.

    Runs at each opening, since the file may have changed; reads one block unless that is black.
    """
    if images.dtype == np.uint8 and all(
        images[first : first + _LOOK_ROWS].max() <= 1 for first in range(0, len(images), _LOOK_ROWS)
    ):
        raise UserError(
            f"{path} holds only 0 and 1, but white is 255 in uint8; save images.astype(bool), in"
            " which white is True"
        )
