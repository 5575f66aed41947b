"""Datasets whose files come from elsewhere: from files to TFDS records to the table, prepared once,
then opened at once.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlib_tf2.datasets import image_table, source_files, table_check
from dlib_tf2.datasets.download import RemoteFile, check_all, fetch, find_all, to_come
from dlib_tf2.datasets.hash_record import record
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
        source: name/config/version of the records, "dsprites/2.0.0".
        files: what is downloaded; called late, since TFDS knows the checksums of its own datasets.
        builder: data_dir -> the TFDS builder.
        info: what the table holds, from the builder whose records are written.
        table_bytes: size of the table, about.
        record_bytes: size of the records, about, with what is extracted on the way.
        labels: the feature of the records that holds a factor, where it is not "label_<factor>".
        transform: from the images of the records to those of the table, uint8 [n, h, w, c].
        transform_one: the same for one image, in TensorFlow operations, for hosts without Python.
    """

    source: str
    files: Callable[[], Sequence[RemoteFile]]
    builder: Callable[[pathlib.Path | str], tfds.core.DatasetBuilder]
    info: Callable[[tfds.core.DatasetBuilder], TableInfo]
    table_bytes: int
    record_bytes: int
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    transform: Callable[[np.ndarray], np.ndarray] | None = None
    transform_one: Callable[[tf.Tensor], tf.Tensor] | None = None

    def records(
        self, data_dir: pathlib.Path
    ) -> Callable[[str | None, int, int], tuple[tf.data.Dataset, Callable]]:
        """What `GroundTruthDataset.records` asks for."""

        def share(
            folder: str | None, num_hosts: int, host: int
        ) -> tuple[tf.data.Dataset, Callable]:
            from dlib_tf2.datasets import tfds_records

            return tfds_records.share(
                self.builder(folder or data_dir), num_hosts, host, self.transform_one
            )

        return share


def tfds_files(builder: type[tfds.core.DatasetBuilder]) -> tuple[RemoteFile, ...]:
    """The files of one of TFDS's own builders, as its checksums file lists them."""
    return tuple(
        RemoteFile(info.filename, url, int(info.size), info.checksum)
        for url, info in sorted(builder.url_infos.items())
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
        name: what the user asked for.

    Raises:
        UserError: it is not prepared there; the message is the command that prepares it.
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
    """Gets the files, writes the records, builds the table; what is there already is verified.

    A table that is damaged is built again. Records that make no table are removed, and if they are
    not of this call they are written again: a file that was repaired after a failure is read.

    Args:
        recipe: of the dataset.
        data_dir: where datasets are kept. Files are downloaded into the folder in which TFDS looks
            for files that a person put there, so that there is one way from files to records.
        manual_dir: the folder of files that a person put there; then nothing is downloaded.

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
        try:
            image_table.announce(folder)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot write {folder}: {error.strerror}; change its permissions or choose another"
                " data_dir"
            ) from error
        with own_turn(folder, recipe.source, ".prepare.lock"):
            _prepare(recipe, data_dir, manual_dir, folder)
    _say(f"{recipe.source} is prepared in {data_dir}")


def _prepare(
    recipe: Recipe, data_dir: pathlib.Path, manual_dir: pathlib.Path | None, folder: pathlib.Path
) -> None:
    from dlib_tf2.datasets import tfds_records

    builder, downloads = recipe.builder(data_dir), data_dir / "downloads" / "manual"
    if (
        manual_dir
        and tfds_records.is_written(builder)
        and (other := source_files.changed(folder, _found(recipe, manual_dir)))
    ):
        _say(
            f"{other[0]} has changed since the records of {recipe.source} were made of it; they are"
            " made again"
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
            if fresh:
                raise
            _say(f"{error}: the records were there, and are made again")
    # A hash binds once its file has become a table, not before.
    there = [] if manual_dir else _found(recipe, downloads)
    if there and source_files.changed(folder, there) == []:
        record(recipe.files(), downloads)


def _write_records(
    recipe: Recipe,
    builder: tfds.core.DatasetBuilder,
    data_dir: pathlib.Path,
    manual_dir: pathlib.Path | None,
    folder: pathlib.Path,
) -> None:
    from dlib_tf2.datasets import tfds_records

    files, downloads = recipe.files(), data_dir / "downloads" / "manual"
    Needs.of(recipe, files, data_dir, manual_dir).check(recipe.source, data_dir)
    if manual_dir:
        find_all(files, manual_dir)
    else:
        for file in files:
            fetch(file, downloads)
    source_files.forget(folder)
    tfds_records.write(builder, manual_dir or downloads)
    source_files.keep(folder, _found(recipe, manual_dir or downloads))


def _build_table(
    recipe: Recipe, builder: tfds.core.DatasetBuilder, data_dir: pathlib.Path, folder: pathlib.Path
) -> None:
    from dlib_tf2.datasets import tfds_records

    info = recipe.info(builder)
    rows = tfds_records.read
    image_table.open_or_build(
        folder,
        info,
        lambda: rows(builder, info.space, recipe.labels, recipe.transform),
        data_dir=data_dir,
    )


def _found(recipe: Recipe, folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of a recipe that are in a folder."""
    return [path for file in recipe.files() if (path := file.found_in(folder)) is not None]


def _say_unread(
    recipe: Recipe, data_dir: pathlib.Path, manual_dir: pathlib.Path, folder: pathlib.Path
) -> None:
    """Says so where a person gave other files than those that a set was prepared from."""
    files = _found(recipe, manual_dir)
    other = source_files.changed(folder, files)
    anew = (
        f"to prepare it from {manual_dir}, delete {folder} and {data_dir / recipe.source}, and run"
        " again"
    )
    if other:
        names = few([path.name for path in other])
        _say(
            f"{recipe.source} was prepared from other content of {names}, which is not read now;"
            f" {anew}"
        )
    elif other is None and files:
        _say(
            f"{recipe.source} was prepared by an older version, which kept no record of its files,"
            f" and is not read now; {anew}"
        )


def plan(
    recipes: Sequence[Recipe], data_dir: pathlib.Path, manual_dir: pathlib.Path | None
) -> Needs:
    """What several recipes need together, before any of them is begun.

    Raises:
        UserError: files of any of them are missing in `manual_dir`.
    """
    from dlib_tf2.datasets import tfds_records

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
    """Bytes on the disk, and the names of files whose size is not known."""

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
        """What one recipe needs, whose records are to be made from `files`, or are there if there
        are none.
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
        """Says what all takes.

        Raises:
            DlibError: it is more than is free.
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
