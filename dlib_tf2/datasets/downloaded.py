"""Datasets whose files come from elsewhere: from files to TFDS records to the table, prepared once, then opened at once."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlib_tf2.datasets import image_table
from dlib_tf2.datasets.download import RemoteFile, fetch, find_all
from dlib_tf2.datasets.image_table import TableInfo, format_bytes
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.paths import RemotePath

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

    def records(self, data_dir: pathlib.Path) -> Callable[[str | None, int, int], tuple[tf.data.Dataset, Callable]]:
        """What `GroundTruthDataset.records` asks for."""

        def share(folder: str | None, num_hosts: int, host: int) -> tuple[tf.data.Dataset, Callable]:
            from dlib_tf2.datasets import tfds_records

            return tfds_records.share(self.builder(folder or data_dir), num_hosts, host, self.transform_one)

        return share


def tfds_files(builder: type[tfds.core.DatasetBuilder]) -> tuple[RemoteFile, ...]:
    """The files of one of TFDS's own builders, as its checksums file lists them."""
    return tuple(RemoteFile(info.filename, url, int(info.size), info.checksum) for url, info in sorted(builder.url_infos.items()))


def no_config(name: str, config: str) -> None:
    """Refuses a config for a dataset that has none."""
    if config:
        raise UserError(f"{name} has no configs, got {name}/{config}; write {name}")


def open_table(recipe: Recipe, data_dir: pathlib.Path, name: str) -> tuple[np.ndarray, TableInfo]:
    """Opens the table of a prepared dataset.

    Args:
        recipe: of the dataset, or of one that it is computed from.
        data_dir: where datasets are kept.
        name: what the user asked for.

    Raises:
        UserError: it is not prepared there; the message is the command that prepares it.
    """
    opened = image_table.open_built(image_table.table_folder(data_dir, recipe.source), recipe.source)
    if isinstance(opened, str):
        reason = f" ({opened})" if opened else ""
        remedy = f"run: dlib_prepare_data --dataset={name} --data_dir={data_dir}"
        if isinstance(data_dir, RemotePath):
            remedy = f"run dlib_prepare_data --dataset={name} --data_dir=DIR with a local DIR, and copy all that it holds to {data_dir}"
        raise UserError(f"{name} is not prepared in {data_dir}{reason}; {remedy}")
    return opened


def prepare(recipe: Recipe, data_dir: pathlib.Path, manual_dir: pathlib.Path | None = None) -> None:
    """Gets the files, writes the records, builds the table; what is there already is left alone.

    Args:
        recipe: of the dataset.
        data_dir: where datasets are kept. Files are downloaded into the folder in which TFDS looks for files that a person put there,
            so that there is one way from files to records.
        manual_dir: the folder of files that a person put there; then nothing is downloaded.

    Raises:
        UserError: files are missing in `manual_dir`, or a folder cannot be read or written.
        DlibError: a download fails, a file is damaged, or the disk is full.
    """
    folder = image_table.table_folder(data_dir, recipe.source)
    if isinstance(image_table.open_built(folder, recipe.source), str):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write {folder}: {error.strerror}; change its permissions or choose another data_dir") from error
        with image_table.lock(folder, recipe.source, ".prepare.lock"):
            _prepare(recipe, data_dir, manual_dir, folder)
    _say(f"{recipe.source} is prepared in {data_dir}")


def _prepare(recipe: Recipe, data_dir: pathlib.Path, manual_dir: pathlib.Path | None, folder: pathlib.Path) -> None:
    from dlib_tf2.datasets import tfds_records

    builder = recipe.builder(data_dir)
    if not tfds_records.is_written(builder):
        files, downloads = recipe.files(), data_dir / "downloads" / "manual"
        _check_space(recipe, data_dir, [] if manual_dir else [file for file in files if file.found_in(downloads) is None])
        if manual_dir:
            find_all(files, manual_dir)
        else:
            for file in files:
                fetch(file, downloads)
        tfds_records.write(builder, manual_dir or downloads)
    info = recipe.info(builder)
    rows = tfds_records.read
    image_table.open_or_build(folder, info, lambda: rows(builder, info.space, recipe.labels, recipe.transform))


def _check_space(recipe: Recipe, data_dir: pathlib.Path, missing: Sequence[RemoteFile]) -> None:
    """Says beforehand what everything together takes, and refuses where that is more than is free."""
    # What an interrupted download left is not counted out: the little that this overstates it by does no harm.
    download = sum(file.size or file.at_most for file in missing)
    unknown = [file.name for file in missing if not (file.size or file.at_most)]
    parts = {"the download": download, "the records": recipe.record_bytes, "the table": recipe.table_bytes}
    needed, free = sum(parts.values()), shutil.disk_usage(data_dir).free
    shown = ", ".join(f"{format_bytes(size)} for {what}" for what, size in parts.items() if size)
    more = f", and {', '.join(unknown)}, whose size is not known here" if unknown else ""
    what = f"{recipe.source}: needs about {format_bytes(needed)} under {data_dir} ({shown}{more}); {format_bytes(free)} are free"
    if needed > free:
        raise DlibError(f"{what}; free some space or choose another data_dir")
    _say(what)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
