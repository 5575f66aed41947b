"""A PNG encoder for small pictures, several times faster than a general one: encoding takes most of
the time of preparing a drawn dataset.
"""

import struct
import zlib

import numpy as np

_COLOUR_TYPES = {1: 0, 3: 2}  # channels -> grey, RGB


def encode(image: np.ndarray) -> bytes:
    """Encodes one picture without loss.

    Args:
        image: uint8 [h, w, c], one channel (grey) or three (RGB).

    Returns:
        The content of a PNG file.
    """
    height, width, channels = image.shape
    # Each line opens with its filter type: 0, none. On flat and drawn pictures the filters for
    # photographs gain nothing.
    lines = np.zeros((height, 1 + width * channels), np.uint8)
    lines[:, 1:] = image.reshape(height, width * channels)
    chunks = (
        # 8 bits a channel
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 3 if channels == 3 else 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
