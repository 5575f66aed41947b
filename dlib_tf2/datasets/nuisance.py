"""Nuisance: the random change that a stochastic dataset makes to an image, as a function of the
image and of uniform numbers.

Training draws the numbers anew for every image, on the device; the table stream draws them once per
row, by a fixed seed.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    # TensorFlow, and `replicas` which needs it, are otherwise imported inside the functions on
    # purpose: opening a dataset must not load them.
    import tensorflow as tf

# of the one draw that tables, pictures and representations share; any number would do
TABLE_SEED = 20190613


@dataclasses.dataclass(frozen=True)
class Nuisance:
    """A pixel rule and the numbers it takes.

    Attributes:
        uniforms: the shape of the independent U[0, 1) numbers that one image takes.
        channels: of the images it returns.
        apply: (image float32 [b, h, w, c] in 0..1, uniforms float32 [b, *uniforms]) -> float32 [b,
            h, w, channels] in 0..1; TensorFlow operations that compile with XLA, each row by
            itself.
        rule: names the rule and what it holds; part of the fingerprint of the images.
    """

    uniforms: tuple[int, ...]
    channels: int
    apply: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    rule: str = ""

    def augment(self, image: tf.Tensor, seed: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        """The images of a training step, which depend only on the seed and on each row's position
        in the global batch.

        Every replica draws the numbers of the whole global batch and gathers its own, so that the
        number of replicas does not matter.

        Args:
            image: float32 [b, h, w, c] in 0..1.
            seed: int [2].
            position: int32 [b], rows of the global batch.

        Returns:
            float32 [b, h, w, channels] in 0..1.
        """
        import tensorflow as tf

        from dlib_tf2.replicas import num_replicas

        uniforms = tf.gather(
            _uniform([position.shape[0] * num_replicas(), *self.uniforms], seed), position
        )
        return self.apply(image, uniforms)

    def of_rows(self, image: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """The images of grid points, each with its own fixed draw, however they are batched.

        Args:
            image: float32 [n, h, w, c] in 0..1.
            index: int64 [n], grid points.

        Returns:
            float32 [n, h, w, channels] in 0..1.
        """
        import tensorflow as tf

        def draw(row: tf.Tensor) -> tf.Tensor:
            return _uniform(self.uniforms, tf.stack([tf.constant(TABLE_SEED, tf.int64), row]))

        uniforms = tf.map_fn(
            draw,
            tf.cast(index, tf.int64),
            fn_output_signature=tf.TensorSpec(self.uniforms, tf.float32),
        )
        return self.apply(image, uniforms)


def _uniform(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """U[0, 1) in steps of 2^-23, so that 0.5 + u / 2 stays below 1 too; made from integers, since
    XLA draws other floats.
    """
    import tensorflow as tf

    bits = tf.random.stateless_uniform(
        shape, seed=seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32)), tf.float32) * 2.0**-23


def colour() -> Nuisance:
    """Each sprite in its own random colour, U[0.5, 1) per channel; the background stays 0."""
    return Nuisance(
        (3,),
        3,
        lambda image, uniforms: image * (0.5 + 0.5 * uniforms[:, None, None, :]),
        "colour 1",
    )


def noise(height: int, width: int) -> Nuisance:
    """U[0, 1) added to every pixel and channel, cut at 1: the sprite stays 1, the background is the
    noise.
    """

    def apply(image: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        return tf.minimum(image + uniforms, 1.0)

    return Nuisance((height, width, 3), 3, apply, "noise 1")


def picture_background(picture: np.ndarray, height: int, width: int) -> Nuisance:
    """A random, tinted crop of a picture behind the image; on the sprite its colours are inverted.

    Background b = (crop + tint) / 2 with a tint U[0, 1) per image and channel; where the image is
    1, 1 - b. Crops begin at the rows 0 .. H - height - 1 and the columns 0 .. W - width - 1: the
    last possible place is left out, as in the study's code.

    Args:
        picture: uint8 [H, W, 3], larger than an image on both sides.
        height: of an image.
        width: of an image.
    """
    rows, columns = picture.shape[0] - height, picture.shape[1] - width
    # [h, w], pixels of the first crop
    inside = (np.arange(height)[:, None] * picture.shape[1] + np.arange(width)).astype(np.int32)

    def apply(image: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        pixels = tf.cast(tf.constant(picture.reshape(-1, 3)), tf.float32) / 255.0  # [H * W, 3]
        # A number just below 1 times the count may round up to the count itself.
        row, column = (
            tf.minimum(tf.cast(uniforms[:, number] * float(count), tf.int32), count - 1)
            for number, count in ((0, rows), (1, columns))
        )
        first = row * picture.shape[1] + column  # [b]
        crop = tf.gather(pixels, first[:, None, None] + inside)  # [b, h, w, 3]
        background = (crop + uniforms[:, None, None, 2:]) / 2.0
        return tf.where(image > 0.5, 1.0 - background, background)

    return Nuisance((5,), 3, apply, f"picture 1 {hashlib.sha256(picture.tobytes()).hexdigest()}")
