"""Shrinks pictures with an antialiased Lanczos filter, rounded and cut to 8 bits.

For cars this is the study's own reduction. The study shrank small NORB without the cut to 0..255,
so that values overshoot a little there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


def lanczos(images: np.ndarray, size: int) -> np.ndarray:
    """Resizes squares.

    Args:
        images: uint8 [n, s, s, c], one channel or three.
        size: of the result.

    Returns:
        uint8 [n, size, size, c].
    """
    from PIL import Image

    flat = images[..., 0] if images.shape[-1] == 1 else images
    small = [
        np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS))
        for image in flat
    ]
    return np.stack(small).reshape(len(images), size, size, images.shape[-1])


def lanczos_tensor(image: tf.Tensor, size: int) -> tf.Tensor:
    """The same for one image [s, s, c] in TensorFlow operations; a pixel may differ by one from
    Pillow's fixed-point arithmetic.
    """
    import tensorflow as tf

    # Rows, then columns, each rounded and cut, as Pillow does it.
    for shape in ([image.shape[0], size], [size, size]):
        image = tf.image.resize(
            tf.cast(image, tf.float32), shape, method="lanczos3", antialias=True
        )
        image = tf.clip_by_value(tf.round(image), 0.0, 255.0)
    return tf.cast(image, tf.uint8)
