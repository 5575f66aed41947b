"""Downloaded datasets: prepared once, from files to TFDS records to the table, then only opened."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlib_tf2.datasets import image_table, source_files, table_check, tfds_records
from dlib_tf2.datasets.download import RemoteFile, check_all, fetch, find_all, to_come
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.image_table import TableInfo, format_bytes
from dlib_tf2.errors import DlibError, UserError, few
from dlib_tf2.system.locks import own_turn
from dlib_tf2.system.paths import AnyPath, RemotePath

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a downloaded dataset is made.

    Attributes:
        source: name/config/version of the records, "dsprites/2.0.0"; its name is that of the TFDS
            builder.
        info: what the table holds, given the builder, whose records exist.
        table_bytes: approximate size of the table.
        record_bytes: approximate size of the records, with what is extracted on the way.
        remote: the files that one of our builders reads; empty for a builder of TFDS, which knows
            its files and their checksums.
        adapt: changes a builder of TFDS so that it needs less memory; the records stay the same.
        labels: {factor: feature of the records}, where that is not "label_<factor>".
        transform: from the images of the records to those of the table, uint8 [n, h, w, c].
        transform_one: the same for one image, in TensorFlow operations, for hosts without Python.
    """

    source: str
    info: Callable[[tfds.core.DatasetBuilder], TableInfo]
    table_bytes: int
    record_bytes: int
    remote: tuple[RemoteFile, ...] = ()
    adapt: Callable[[tfds.core.DatasetBuilder], None] | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    transform: Callable[[np.ndarray], np.ndarray] | None = None
    transform_one: Callable[[tf.Tensor], tf.Tensor] | None = None

    def files(self) -> tuple[RemoteFile, ...]:
        """What is downloaded."""
        return self.remote or tuple(
            RemoteFile(info.filename, url, int(info.size), info.checksum)
            for url, info in sorted(self.tfds_class().url_infos.items())
        )

    def tfds_class(self) -> type[tfds.core.DatasetBuilder]:
        """The builder of TFDS itself."""
        return tfds_records.builder_class(self.source, "tensorflow_datasets.datasets")

    def builder(self, data_dir: str | os.PathLike) -> tfds.core.DatasetBuilder:
        """The builder of the records."""
        if self.remote:
            return tfds_records.builder(self.source, data_dir)
        builder = self.tfds_class()(data_dir=data_dir)
        if self.adapt:
            self.adapt(builder)
        return builder


def open_dataset(
    recipe: Recipe, name: str, config: str, data_dir: pathlib.Path
) -> GroundTruthDataset:
    """Opens a prepared dataset.

    Args:
        recipe: of the dataset, or of one that it is computed from.
        name: of the dataset.
        config: must be empty.
        data_dir: where datasets are kept.

    Raises:
        UserError: there is a config, or the dataset is not prepared.
    """
    no_config(name, config)
    table, info = open_table(recipe, data_dir, name)
    return GroundTruthDataset(
        name,
        info.space,
        info.visible,
        table,
        info.scale,
        lambda folder, num_hosts, host: tfds_records.share(
            recipe.builder(folder or data_dir), num_hosts, host, recipe.transform_one
        ),
    )


def no_config(name: str, config: str) -> None:
    """Refuses a config for a dataset that has none."""
    if config:
        raise UserError(f"{name} has no configs, got {name}/{config}; write {name}")


def open_table(recipe: Recipe, data_dir: AnyPath, name: str) -> tuple[np.ndarray, TableInfo]:
    """Opens the table of a prepared dataset.

    Args:
        recipe: of the dataset, or of one that it is computed from.
        data_dir: where datasets are kept.
        name: the name that the user gave.

    Raises:
        UserError: it is not prepared there; the message names the command that prepares it.
    """
    opened = image_table.open_built(
        image_table.table_folder(data_dir, recipe.source), recipe.source
    )
    if isinstance(opened, str):
        reason = f" ({opened})" if opened else ""
        remedy = f"run: dlib_prepare_data --dataset={name} --data_dir={data_dir}"
        if isinstance(data_dir, RemotePath):
            remedy = (
                f"run dlib_prepare_data --dataset={name} --data_dir=DIR with a local DIR, and copy"
                f" all that it holds to {data_dir}"
            )
        where = data_dir if data_dir.exists() else f"{data_dir}, which does not exist"
        raise UserError(f"{name} is not prepared in {where}{reason}; {remedy}")
    return opened


def prepare(recipe: Recipe, data_dir: pathlib.Path, manual_dir: pathlib.Path | None = None) -> None:
    """Gets the files, writes the records, builds the table; verifies what is already there.

    A damaged table is built again. Records that make no table are removed. If an earlier call wrote
    them, they are written again, so that a file that was repaired meanwhile is read.

    Args:
        recipe: of the dataset.
        data_dir: where datasets are kept. Files are downloaded to the folder in which TFDS expects
            files that the user put there, so that both are read in the same way.
        manual_dir: a folder with the files; then nothing is downloaded.

    Raises:
        UserError: files are missing in `manual_dir`, or a folder cannot be read or written.
        DlibError: a download fails, a file is damaged, or the disk is full.
    """
    folder = image_table.table_folder(data_dir, recipe.source)
    opened = image_table.open_built(folder, recipe.source)
    if not isinstance(opened, str) and table_check.renew(opened[0], recipe.source):
        if manual_dir:
            _say_unread(recipe, data_dir, manual_dir, folder)
    else:
        with image_table.permitted(folder, "write"):
            image_table.announce(folder)
            folder.mkdir(parents=True, exist_ok=True)
        with own_turn(folder, recipe.source, ".prepare.lock"):
            _prepare(recipe, data_dir, manual_dir, folder)
    _say(f"{recipe.source} is prepared in {data_dir}")


def _prepare(
    recipe: Recipe, data_dir: pathlib.Path, manual_dir: pathlib.Path | None, folder: pathlib.Path
) -> None:
    builder = recipe.builder(data_dir)
    if (
        manual_dir
        and tfds_records.is_written(builder)
        and (other := source_files.changed(folder, _found(recipe, manual_dir)))
    ):
        _say(
            f"{other[0]} has changed since the records of {recipe.source} were made from it; they"
            " are made again"
        )
        tfds_records.remove(builder)
    while True:
        fresh = not tfds_records.is_written(builder)
        if fresh:
            _write_records(recipe, builder, data_dir, manual_dir, folder)
        try:
            _build_table(recipe, builder, data_dir, folder)
            break
        except image_table.DamagedSource as error:
            tfds_records.remove(builder)
            source_files.forget(folder)  # a file that makes no table binds nothing
            if fresh:
                raise
            _say(f"{error}: the records are made again")


def _write_records(
    recipe: Recipe,
    builder: tfds.core.DatasetBuilder,
    data_dir: pathlib.Path,
    manual_dir: pathlib.Path | None,
    folder: pathlib.Path,
) -> None:
    files, downloads = recipe.files(), data_dir / "downloads" / "manual"
    Needs.of(recipe, files, data_dir, manual_dir).check(recipe.source, data_dir)
    if manual_dir:
        find_all(files, manual_dir)
    else:
        for file in files:
            fetch(source_files.bound(file, folder), downloads)
    source_files.forget(folder)
    tfds_records.write(builder, manual_dir or downloads)
    source_files.keep(folder, _found(recipe, manual_dir or downloads))


def _build_table(
    recipe: Recipe, builder: tfds.core.DatasetBuilder, data_dir: pathlib.Path, folder: pathlib.Path
) -> None:
    info = recipe.info(builder)
    image_table.open_or_build(
        folder,
        info,
        lambda: tfds_records.read(builder, info.space, recipe.labels, recipe.transform),
        data_dir=data_dir,
    )


def _found(recipe: Recipe, folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of a recipe that are in a folder."""
    return [path for file in recipe.files() if (path := file.found_in(folder)) is not None]


def _say_unread(
    recipe: Recipe, data_dir: pathlib.Path, manual_dir: pathlib.Path, folder: pathlib.Path
) -> None:
    """Says that files are not read if a dataset was prepared from different ones."""
    files = _found(recipe, manual_dir)
    other = source_files.changed(folder, files)
    anew = (
        f"to prepare it from {manual_dir}, delete {folder} and {data_dir / recipe.source}, and run"
        " again"
    )
    if other:
        names = few([path.name for path in other])
        _say(
            f"{recipe.source} was prepared from different content of {names}, which is not read"
            f" now; {anew}"
        )
    elif other is None and files:
        _say(
            f"{recipe.source} was prepared by an older version, which kept no record of its files,"
            f" and is not read now; {anew}"
        )


def plan(
    recipes: Sequence[Recipe], data_dir: pathlib.Path, manual_dir: pathlib.Path | None
) -> Needs:
    """What several recipes need together.

    Raises:
        UserError: files of any of them are missing in `manual_dir`.
    """
    needs, wanted = Needs(), {}
    for recipe in {recipe.source: recipe for recipe in recipes}.values():
        folder = image_table.table_folder(data_dir, recipe.source)
        if not isinstance(image_table.open_built(folder, recipe.source), str):
            continue
        files = () if tfds_records.is_written(recipe.builder(data_dir)) else recipe.files()
        wanted.update({file.name: file for file in files})
        needs += Needs.of(recipe, files, data_dir, manual_dir)
    if manual_dir and wanted:
        check_all(list(wanted.values()), manual_dir)
    return needs


@dataclasses.dataclass(frozen=True)
class Needs:
    """Disk space in bytes, and the names of files whose size is not known."""

    download: int = 0
    records: int = 0
    table: int = 0
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        files: Sequence[RemoteFile],
        data_dir: pathlib.Path,
        manual_dir: pathlib.Path | None,
    ) -> Needs:
        """What one recipe needs to make its records from `files`; if there are none, the records
        exist.
        """
        sizes = (
            {}
            if manual_dir
            else {file.name: to_come(file, data_dir / "downloads" / "manual") for file in files}
        )
        unknown = tuple(name for name, size in sizes.items() if size is None)
        return cls(
            sum(filter(None, sizes.values())),
            recipe.record_bytes if files else 0,
            recipe.table_bytes,
            unknown,
        )

    def __add__(self, other: Needs) -> Needs:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Needs(*(mine + theirs for mine, theirs in pairs))

    def check(self, what: str, data_dir: pathlib.Path) -> None:
        """Prints how much space is needed.

        Raises:
            DlibError: less is free.
        """
        parts = {
            "the download": self.download,
            "the records": self.records,
            "the table": self.table,
        }
        needed, free = sum(parts.values()), shutil.disk_usage(_existing(data_dir)).free
        shown = ", ".join(
            f"{format_bytes(size)} for {part}" for part, size in parts.items() if size
        )
        more = (
            f", and {', '.join(self.unknown)}, whose size is not known here" if self.unknown else ""
        )
        line = (
            f"{what}: needs about {format_bytes(needed)} under {data_dir} ({shown}{more});"
            f" {format_bytes(free)} are free"
        )
        if needed > free:
            raise DlibError(f"{line}; free some space or choose another data_dir")
        _say(line)


def _existing(folder: pathlib.Path) -> pathlib.Path:
    return next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
