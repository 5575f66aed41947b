"""What this room asks of a TFDS builder: prepare the records, read them as table rows, and share them between hosts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import numpy as np

from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.errors import DlibError

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds

_READ_BATCH = 1024


def prepare(builder: tfds.core.DatasetBuilder, space: FactorSpace) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Prepares the records where that was not done yet, then reads them all.

    Args:
        builder: a builder with the features "image" and "label_<factor>" for every factor of `space`.
        space: the full grid.

    Yields:
        uint8 images [n, h, w, c] and their grid indices [n], in the order of the records.

    Raises:
        DlibError: the records cannot be written, or are damaged.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    _write(builder)
    labels = [f"label_{name}" for name in space.names]
    try:
        records = builder.as_dataset(split="all", read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False))
        records = records.map(lambda record: (record["image"], [record[label] for label in labels])).batch(_READ_BATCH)
        for images, factors in records.as_numpy_iterator():
            yield images, space.to_index(factors)
    except (tf.errors.OpError, ValueError) as error:
        remedy = f"remove {builder.data_dir} and prepare it again"
        raise DlibError(f"the records of {builder.name} are damaged ({_first_line(error)}); {remedy}") from error


def share(builder: tfds.core.DatasetBuilder, num_hosts: int, host: int) -> tuple[tf.data.Dataset, Callable]:
    """One host's share of the prepared records, in their order, with images still encoded.

    Shares are cut by record, not by file, so any number of hosts works whatever the number of files.

    Returns:
        The encoded images, and the function that decodes one of them to uint8 [h, w, c].
    """
    import tensorflow_datasets as tfds

    records = builder.as_dataset(
        split=tfds.even_splits("all", num_hosts)[host],
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, skip_prefetch=True),
    )
    return records.map(lambda record: record["image"]), builder.info.features["image"].decode_example


def _write(builder: tfds.core.DatasetBuilder) -> None:
    """Writes the records where that was not done yet; TFDS itself removes what a failed attempt left."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    # TFDS announces its work on stdout, which belongs to the command's results, and with bars that know no total.
    tfds.display_progress_bar(enable=False)
    try:
        with redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except (tf.errors.OpError, RuntimeError) as error:  # how TFDS reports a file that cannot be written, a full disk above all
        remedy = "free space or choose another data_dir"
        raise DlibError(f"cannot write the records of {builder.name} to {builder.data_dir}: {_first_line(error)}; {remedy}") from error
    finally:
        tfds.display_progress_bar(enable=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
