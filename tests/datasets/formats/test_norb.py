"""NORB matrices: read as TFDS reads them, in blocks, and refused in one line where they are
something else.
"""

import gzip
import re

import numpy as np
import pytest
from tensorflow_datasets.datasets.smallnorb.smallnorb_dataset_builder import read_binary_matrix

from dlib_tf2.datasets.formats import norb
from dlib_tf2.errors import DlibError
from tests.datasets.fakes import norb_matrix


@pytest.mark.parametrize(
    "shape, dtype",
    [((1100, 2, 5, 5), np.uint8), ((1100, 4), np.int32), ((7,), np.int32), ((512,), np.int32)],
)
def test_blocks_are_what_tfds_reads(tmp_path, shape, dtype):
    matrix = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    path = tmp_path / "matrix"
    path.write_bytes(gzip.compress(norb_matrix(matrix)))
    (tmp_path / "extracted").write_bytes(norb_matrix(matrix))
    assert [len(block) for block in norb.blocks(path, shape[1:])][:-1] == [512] * (
        (shape[0] - 1) // 512
    )
    whole = norb.whole(path, shape[1:])
    np.testing.assert_array_equal(whole, read_binary_matrix(tmp_path / "extracted"))
    np.testing.assert_array_equal(whole, matrix)


@pytest.mark.parametrize(
    "content, text",
    [
        (b"", r"expected a NORB matrix of rows \[4\], got the magic number 0x0; get it again"),
        (b"<html>no matrix</html>", "got the magic number 0x6d74683c"),
        (norb_matrix(np.zeros((3, 5), np.int32)), r"got int32 \[3, 5\]"),
        (
            norb_matrix(np.zeros((3, 4), np.int32))[:-1],
            "is truncated after about 0 of 3 rows: remove it and get it again",
        ),
    ],
)
def test_other_files_are_one_line(tmp_path, content, text):
    path = tmp_path / "matrix"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DlibError, match=f"{re.escape(str(path))} .*{text}") as caught:
        norb.whole(path, (4,))
    assert "\n" not in str(caught.value)
