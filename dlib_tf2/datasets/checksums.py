"""Checksums of the blocks of a table, and the fingerprint by which a run recognises its images.

They detect damage and mistakes, not attacks. Each row has a CRC-32, computed when the row arrives,
so that rows may arrive in any order; a block, or all rows, have the SHA-256 of their CRC-32s. One
core computes about 2 GB/s.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dlib_tf2.errors import few

# a table of 12.7 GB has 190 blocks: table.json stays small, and opening fast
_BLOCK_BYTES = 64 << 20
_PIECE_BYTES = 16 << 20


def of_rows(images: np.ndarray, done: Callable[[int], None] = lambda count: None) -> np.ndarray:
    """The CRC-32 of each row: uint32 [n].

    Args:
        images: [n, ...], contiguous; nothing is copied.
        done: called with the number of rows that were read since the last call.
    """
    rows = images.reshape(len(images), -1)  # [n, bytes]
    sums = np.empty(len(rows), np.uint32)
    piece = max(1, _PIECE_BYTES // max(1, rows[:1].nbytes))
    for first in range(0, len(rows), piece):
        part = rows[first : first + piece]
        sums[first : first + len(part)] = np.fromiter(map(zlib.crc32, part), np.uint32, len(part))
        done(len(part))
    return sums


def of_blocks(sums: np.ndarray, row_bytes: int) -> dict[str, Any]:
    """The checksums that a table keeps: {"rows": number in a block, "sha256": [of each block]}."""
    rows = max(1, _BLOCK_BYTES // row_bytes)
    return {"rows": rows, "sha256": _of_blocks(sums, rows)}


def damage(sums: np.ndarray, kept: Mapping[str, Any]) -> str:
    """Names the rows of the blocks that have changed; "" if none has.

    Args:
        sums: of the rows now, uint32 [n].
        kept: what `of_blocks` returned when the table was built.
    """
    rows, found = kept["rows"], _of_blocks(sums, kept["rows"])
    if len(found) != len(kept["sha256"]):
        return f"it has {len(found):,} blocks of checksums, expected {len(kept['sha256']):,}"
    bad = [
        number
        for number, (now, then) in enumerate(zip(found, kept["sha256"], strict=True))
        if now != then
    ]
    if not bad:
        return ""
    spans = [f"{number * rows:,}..{min((number + 1) * rows, len(sums)) - 1:,}" for number in bad]
    return f"rows {few(spans)} have changed since it was built"


def fingerprint(sums: np.ndarray, *about: Any) -> str:
    """The SHA-256 of the rows' checksums and of all else that determines the images, as JSON."""
    rows = hashlib.sha256(sums.astype("<u4").tobytes()).hexdigest()
    return hashlib.sha256(json.dumps([rows, *about]).encode()).hexdigest()


def _of_blocks(sums: np.ndarray, rows: int) -> list[str]:
    content = sums.astype("<u4")
    return [
        hashlib.sha256(content[first : first + rows].tobytes()).hexdigest()
        for first in range(0, len(content), rows)
    ]
