"""What this room asks of a TFDS builder: prepare the records, read them as table rows, and share them between hosts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import numpy as np

from dlib_tf2.datasets.factor_space import FactorSpace

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
    """
    import tensorflow_datasets as tfds

    # TFDS announces its work on stdout, which belongs to the command's results, and with bars that know no total.
    tfds.display_progress_bar(enable=False)
    try:
        with redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    finally:
        tfds.display_progress_bar(enable=True)
    labels = [f"label_{name}" for name in space.names]
    records = builder.as_dataset(
        split="all",
        decoders=tfds.decode.PartialDecoding({"image": True, **dict.fromkeys(labels, True)}),
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    for batch in records.batch(_READ_BATCH).as_numpy_iterator():
        yield batch["image"], space.to_index(np.stack([batch[label] for label in labels], axis=1))


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
