"""Seconds and peak memory of preparing a downloaded dataset: records, table, opening; and plain
iteration over the records beside it.

    python benchmarks/prepare_table.py                       # parts of dSprites and MPI3D, seconds
    python benchmarks/prepare_table.py --dataset=dsprites --full    # 737,280 images
    python benchmarks/prepare_table.py --dataset=mpi3d --full       # 1,036,800 images: 12.7 GB of
    archive, as much again of table
    python benchmarks/prepare_table.py --dataset=shapes3d --dataset=smallnorb --full

The benchmark makes the file in its true layout (HDF5 with compressed chunks, an npz archive, NORB
matrices), then prepares it in a process of its own. Prints one JSON line for each dataset.
"""

import argparse
import gzip
import hashlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator

import numpy as np

NAMES = {
    "dsprites": "dsprites_full",
    "mpi3d": "mpi3d_real",
    "shapes3d": "shapes3d",
    "smallnorb": "smallnorb",
}


def use_grid(dataset: str, positions: int) -> None:
    """Makes the dataset's grid smaller: `positions` values of each of the last two factors."""
    from dlib_tf2.datasets import FactorSpace
    from dlib_tf2.datasets.families import dsprites, mpi3d

    if dataset == "dsprites":
        dsprites.SPACE = FactorSpace(
            dsprites.SPACE.names, (*dsprites.SPACE.sizes[:3], positions, positions)
        )
    else:
        mpi3d.SPACES = (
            FactorSpace(mpi3d.NAMES, (*mpi3d.SPACES[-1].sizes[:5], positions, positions)),
        )


def write_dsprites(folder: pathlib.Path) -> int:
    """The HDF5 file with drawn sprites; returns its images."""
    import h5py

    from dlib_tf2.datasets.families import dsprites
    from dlib_tf2.datasets.renderers import sprites

    space, (file,) = dsprites.SPACE, dsprites.RECIPE.files()
    factors = space.to_factors(np.arange(space.size))
    with h5py.File(folder / file.name, "w") as out:
        images = out.create_dataset(
            "imgs",
            (space.size, 64, 64),
            np.uint8,
            chunks=(1024, 64, 64),
            compression="gzip",
            compression_opts=1,
        )
        step = 32 // space.sizes[-1]
        grid = sprites.Grid(
            x_position=tuple(range(0, 32, step)), y_position=tuple(range(0, 32, step))
        )
        first = 0
        for block in grid.blocks():
            images[first : first + len(block)] = block[..., 0]
            first += len(block)
        out["latents/classes"] = np.column_stack([np.zeros(space.size, np.int64), factors])
        out["latents/values"] = np.column_stack([np.ones(space.size), factors / 10])
    return space.size


def write_shapes3d(folder: pathlib.Path) -> int:
    """The HDF5 file with smooth, slightly noisy pictures; returns its images."""
    import h5py

    from dlib_tf2.datasets.named import shapes3d

    space, (file,) = shapes3d.SPACE, shapes3d.RECIPE.files()
    with h5py.File(folder / file.name, "w") as out:
        shape = (space.size, *shapes3d.SHAPE)
        images = out.create_dataset(
            "images",
            shape,
            np.uint8,
            chunks=(1000, *shapes3d.SHAPE),
            compression="gzip",
            compression_opts=1,
        )
        for first, block in smooth_pictures(space.size, 1000):
            images[first : first + len(block)] = block
        out["labels"] = space.to_factors(np.arange(space.size)) * [0.1, 0.1, 0.1, 0.07, 1, 30]
    return space.size


def write_smallnorb(folder: pathlib.Path) -> int:
    """The six NORB matrices, two cameras, compressed; returns the images of one camera."""
    from dlib_tf2.datasets.named import smallnorb

    def write(name: str, magic: int, shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> None:
        with gzip.open(folder / name, "wb", compresslevel=1) as out:
            out.write(
                np.array([magic, len(shape), *shape, *[1] * (3 - len(shape))], "<i4").tobytes()
            )
            for block in blocks:
                out.write(np.ascontiguousarray(block).tobytes())

    space = smallnorb.SPACE
    factors = space.to_factors(np.arange(space.size))
    first_toys = factors[:, 1] < space.sizes[1] // 2
    for part, chosen in (
        ("5x46789x9x18x6x2x96x96-training", ~first_toys),
        ("5x01235x9x18x6x2x96x96-testing", first_toys),
    ):
        name, rows = f"smallnorb-{part}-", np.flatnonzero(chosen)
        pictures = (
            block[..., :2].repeat(2, axis=1)[:, :96].repeat(2, axis=2)[:, :, :96]
            for _, block in smooth_pictures(len(rows), 1000)
        )
        write(
            f"{name}dat.mat.gz",
            0x1E3D4C55,
            (len(rows), 2, 96, 96),
            (block.transpose(0, 3, 1, 2) for block in pictures),
        )
        write(f"{name}cat.mat.gz", 0x1E3D4C54, (len(rows),), [factors[rows, 0].astype("<i4")])
        write(
            f"{name}info.mat.gz",
            0x1E3D4C54,
            (len(rows), 4),
            [(factors[rows][:, 1:] * [1, 1, 2, 1]).astype("<i4")],
        )
    return space.size


def smooth_pictures(size: int, rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first, uint8 [rows, 64, 64, 3]) of `size` pictures, which compress about as real ones do."""
    rng = np.random.default_rng(0)
    smooth = (
        rng.integers(30, 220, (64, 4, 4, 3), dtype=np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    )
    for first in range(0, size, rows):
        pictures = smooth[rng.integers(0, 64, min(rows, size - first))]
        yield first, pictures + rng.integers(0, 4, pictures.shape, dtype=np.uint8)


def write_mpi3d(folder: pathlib.Path) -> int:
    """The archive with smooth, slightly noisy pictures, written block by block; returns its
    images.
    """
    from dlib_tf2.datasets.families import mpi3d

    size = mpi3d.SPACES[-1].size
    with (
        zipfile.ZipFile(folder / mpi3d.FILES["real"], "w") as archive,
        archive.open("images.npy", "w", force_zip64=True) as out,
    ):
        np.lib.format.write_array_header_1_0(
            out, {"descr": "|u1", "fortran_order": False, "shape": (size, 64, 64, 3)}
        )
        for _, block in smooth_pictures(size, 1024):
            out.write(block.tobytes())
    return size


WRITERS = {
    "dsprites": write_dsprites,
    "mpi3d": write_mpi3d,
    "shapes3d": write_shapes3d,
    "smallnorb": write_smallnorb,
}


def prepare(dataset: str, folder: pathlib.Path) -> None:
    """Prepares in this process and prints what it took."""
    from dlib_tf2.system import command

    command.import_tensorflow()
    from dlib_tf2.datasets import load, loading, tfds_records
    from dlib_tf2.datasets.image_table import table_folder

    name, data_dir = NAMES[dataset], folder / "data"
    module = loading._module(name)
    (recipe,) = module.RECIPES
    if dataset != "mpi3d":  # TFDS must expect the files that were made
        infos = recipe.tfds_class().url_infos
        for url, info in list(infos.items()):
            path = folder / info.filename
            with open(path, "rb") as file:
                infos[url] = type(info)(
                    path.stat().st_size,
                    hashlib.file_digest(file, "sha256").hexdigest(),
                    info.filename,
                )
    times, start = {}, time.perf_counter()
    tfds_records.write(recipe.builder(data_dir), folder)
    times["records_seconds"] = time.perf_counter() - start
    start = time.perf_counter()
    loading.prepare(name, data_dir, folder)
    times["table_seconds"] = time.perf_counter() - start
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    data = load(name, data_dir)
    times["open_seconds"] = time.perf_counter() - start
    builder = recipe.builder(data_dir)
    start = time.perf_counter()
    for _ in builder.as_dataset(split="all").as_numpy_iterator():
        pass
    times["plain_tfds_iteration_seconds"] = time.perf_counter() - start
    table_bytes = (table_folder(data_dir, recipe.source) / "images.npy").stat().st_size
    records_bytes = sum(path.stat().st_size for path in pathlib.Path(builder.data_dir).iterdir())
    measured = {key: round(value, 4) for key, value in times.items()}
    sizes = {
        "images": len(data.table),
        "peak_bytes": peak,
        "table_bytes": table_bytes,
        "records_bytes": records_bytes,
    }
    print(json.dumps({"benchmark": "prepare_table", "dataset": name, **measured, **sizes}))


def main() -> None:
    """Makes the files, then measures in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset", choices=sorted(NAMES), action="append", help="default: dsprites and mpi3d"
    )
    parser.add_argument("--full", action="store_true", help="the true size")
    parser.add_argument(
        "--positions",
        type=int,
        help="values of each of the last two factors, instead; default 8 (dsprites), 6 (mpi3d)",
    )
    parser.add_argument("--folder", help="where to work; needs the dataset's size three times over")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for dataset in arguments.dataset or ["dsprites", "mpi3d"]:
        if not arguments.full and dataset not in ("dsprites", "mpi3d"):
            parser.error(f"{dataset} is measured at its true size only: add --full")
        if not arguments.full:
            use_grid(dataset, arguments.positions or {"dsprites": 8, "mpi3d": 6}[dataset])
        if arguments.child:
            prepare(dataset, pathlib.Path(arguments.child))
            continue
        if arguments.folder:
            pathlib.Path(arguments.folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            WRITERS[dataset](pathlib.Path(folder))
            flags = [
                f"--dataset={dataset}",
                f"--child={folder}",
                *(["--full"] if arguments.full else []),
            ]
            flags += [f"--positions={arguments.positions}"] if arguments.positions else []
            child = subprocess.run(
                [sys.executable, __file__, *flags],
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ,
                check=True,
            )
            print(child.stdout.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
