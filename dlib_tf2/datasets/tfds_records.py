"""The records of TFDS builders: find a builder, prepare its records, read them as table rows, share
them between hosts.

TensorFlow and TFDS are imported inside the functions on purpose: opening a table needs neither, and
they take many seconds to load. For the same reason a builder is found by its name, not imported.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import numpy as np

from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.image_table import DamagedSource
from dlib_tf2.errors import DlibError, first_line

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds

_READ_BATCH = 1024
# of records that TFDS holds in memory before it writes files; its default is 1 GB
_SHUFFLE_BYTES = 128 << 20


def builder_class(
    source: str, package: str = "dlib_tf2.datasets.builders"
) -> type[tfds.core.DatasetBuilder]:
    """The class of a TFDS builder.

    Args:
        source: name/config/version or name/version of the records.
        package: holds the builder as TFDS lays builders out: <name>/<name>_dataset_builder.py.
    """
    name = source.partition("/")[0]
    return importlib.import_module(f"{package}.{name}.{name}_dataset_builder").Builder


def builder(source: str, data_dir: str | os.PathLike) -> tfds.core.DatasetBuilder:
    """One of our builders, under the config that `source` names."""
    _, *config, _ = source.split("/")
    return builder_class(source)(config=config[0] if config else None, data_dir=data_dir)


def prepare(
    builder: tfds.core.DatasetBuilder, space: FactorSpace
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Writes the records if they are missing, then reads them; see `write` and `read`."""
    write(builder)
    yield from read(builder, space)


def write(builder: tfds.core.DatasetBuilder, manual_dir: pathlib.Path | None = None) -> None:
    """Writes the records if they are missing; first removes what an unfinished attempt left.

    Args:
        builder: of the dataset.
        manual_dir: holds the files that the builder reads, under their original names.

    Raises:
        DlibError: the source files are damaged, or the records cannot be written.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
    # TFDS prints to stdout, which is for the results of a command, and its bars know no total.
    tfds.display_progress_bar(enable=False)
    try:
        _remove_unfinished(builder)
        with redirect_stdout(io.StringIO()), _small_shuffle_buffer(builder):
            builder.download_and_prepare(download_config=config)
    except DlibError:
        raise
    except (
        tf.errors.OpError,
        RuntimeError,
    ) as error:  # how TFDS reports a file that cannot be written, a full disk above all
        remedy = "free space or choose another data_dir"
        raise DlibError(
            f"cannot write the records of {builder.name} to {builder.data_dir}:"
            f" {first_line(error)}; {remedy}"
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _damaged_source(builder, manual_dir, error) from error
        raise DlibError(
            f"cannot write the records of {builder.name}: {error.strerror}; free space or choose"
            " another data_dir"
        ) from error
    # Readers of npz, HDF5, MATLAB, NORB, gzip and tar files share no base class for damage.
    except Exception as error:
        raise _damaged_source(builder, manual_dir, error) from error
    finally:
        tfds.display_progress_bar(enable=True)


def is_written(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether the records exist."""
    return os.path.exists(os.path.join(builder.data_dir, "dataset_info.json"))


def remove(builder: tfds.core.DatasetBuilder) -> None:
    """Removes the records."""
    shutil.rmtree(os.fspath(builder.data_dir), ignore_errors=True)


def read(
    builder: tfds.core.DatasetBuilder,
    space: FactorSpace,
    labels: Mapping[str, str] | None = None,
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reads all records of all splits.

    Args:
        builder: a prepared builder with a feature "image".
        space: the full grid.
        labels: the feature that holds each factor of `space`; "label_<factor>" by default.
        transform: applied to images uint8 [n, h, w, c].

    Yields:
        uint8 images [n, h, w, c] and their grid indices [n], in the order of the records.

    Raises:
        DamagedSource: the records are damaged.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features = [(labels or {}).get(name, f"label_{name}") for name in space.names]
    try:
        records = builder.as_dataset(
            split="all", read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        )
        records = records.map(
            lambda record: (record["image"], [record[feature] for feature in features])
        ).batch(_READ_BATCH)
        for images, factors in records.as_numpy_iterator():
            yield images if transform is None else transform(images), space.to_index(factors)
    except (tf.errors.OpError, ValueError) as error:
        remedy = f"remove {builder.data_dir} and prepare it again"
        raise DamagedSource(
            f"the records of {builder.name} are damaged ({first_line(error)}); {remedy}"
        ) from error


def share(
    builder: tfds.core.DatasetBuilder,
    num_hosts: int,
    host: int,
    transform: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tuple[tf.data.Dataset, Callable]:
    """One host's share of the prepared records, in their order, with images still encoded.

    Records are divided, not files, so that any number of hosts works.

    Returns:
        The encoded images, and the function that decodes one of them to uint8 [h, w, c];
        `transform` is its last step.
    """
    import tensorflow_datasets as tfds

    records = builder.as_dataset(
        split=tfds.even_splits("all", num_hosts)[host],
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(
            interleave_cycle_length=1, try_autocache=False, skip_prefetch=True
        ),
    )
    decode = builder.info.features["image"].decode_example
    return records.map(lambda record: record["image"]), (
        decode if transform is None else lambda image: transform(decode(image))
    )


@contextlib.contextmanager
def _small_shuffle_buffer(builder: tfds.core.DatasetBuilder) -> Iterator[None]:
    """Limits the memory that TFDS uses to shuffle a large split, for which it has no setting.

    Without shuffling its files on disk would not help: all records go to the first one, which is
    then read and sorted as a whole.
    """
    from tensorflow_datasets.core import shuffle

    before = shuffle.MAX_MEM_BUFFER_SIZE
    if not builder.info.disable_shuffling:
        shuffle.MAX_MEM_BUFFER_SIZE = _SHUFFLE_BYTES
    try:
        yield
    finally:
        shuffle.MAX_MEM_BUFFER_SIZE = before


def _remove_unfinished(builder: tfds.core.DatasetBuilder) -> None:
    """Removes the folder that a killed attempt left: TFDS would write another one beside it. The
    caller holds the lock.
    """
    final = pathlib.Path(os.fspath(builder.data_dir))
    for folder in final.parent.glob(f"incomplete.*_{final.name}"):
        shutil.rmtree(folder, ignore_errors=True)


def _damaged_source(
    builder: tfds.core.DatasetBuilder, manual_dir: pathlib.Path | None, error: Exception
) -> DlibError:
    what = (
        f"the files of {builder.name} in {manual_dir} cannot be read ({type(error).__name__}:"
        f" {first_line(error)})"
    )
    return DlibError(f"{what}; they are truncated or damaged: remove them and get them again")
