"""The fingerprint of images: the same wherever they lie, another one for other images of the same
name.
"""

import dataclasses
import json
import shutil

import gin
import numpy as np
import pytest

from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets import FactorSpace, GroundTruthDataset, load, nuisance
from dlib_tf2.datasets.table_check import DamagedTable


@pytest.fixture
def data():
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1), dtype=np.uint8)
    return GroundTruthDataset(
        "set",
        FactorSpace(("shape", "place"), (4, 6)),
        ("shape", "place"),
        images,
        255,
        records=None,
    )


def other_pixel(data):
    table = data.table.copy()
    table[13, 4, 4, 0] ^= 1
    return dataclasses.replace(data, table=table)


def test_whatever_changes_an_image_changes_it(data):
    grid, half = FactorSpace(("shape", "place"), (6, 4)), FactorSpace(("shape", "place"), (5, 6))
    others = [
        data,
        other_pixel(data),
        dataclasses.replace(data, table=data.table[::-1].copy()),
        dataclasses.replace(data, table=data.table.reshape(24, 4, 16, 1)),
        dataclasses.replace(data, scale=1),
        dataclasses.replace(data, space=grid),
        dataclasses.replace(data, space=half, cells=np.arange(24)),
        dataclasses.replace(data, space=half, cells=np.arange(2, 26)),
        dataclasses.replace(data, nuisance=nuisance.colour()),
        dataclasses.replace(data, nuisance=nuisance.noise(8, 8)),
        dataclasses.replace(
            data, nuisance=nuisance.picture_background(np.zeros((20, 20, 3), np.uint8), 8, 8)
        ),
        dataclasses.replace(
            data, nuisance=nuisance.picture_background(np.ones((20, 20, 3), np.uint8), 8, 8)
        ),
    ]
    found = [other.fingerprint() for other in others]
    assert len(set(found)) == len(others)
    assert {len(value) for value in found} == {64}


def test_name_and_hidden_factors_have_no_part_in_it(data):
    other = dataclasses.replace(data, name="other", visible=("place",), table=data.table.copy())
    assert other.fingerprint() == data.fingerprint()


def test_sets_on_one_table(fake_data_dir):
    names = (
        "dsprites_full",
        "dsprites_noshape",
        "color_dsprites",
        "noisy_dsprites",
        "scream_dsprites",
        "abstract_dsprites",
    )
    found = {name: load(name, fake_data_dir).fingerprint() for name in names}
    # the same images, another factor hidden
    assert found["dsprites_full"] == found["dsprites_noshape"]
    assert len(set(found.values())) == 5


@pytest.fixture
def arrays(tmp_path):
    """Writes the arrays of own_arrays/mine, and opens it."""

    def write(images):
        np.save(tmp_path / "images.npy", images)
        np.save(tmp_path / "sizes.npy", np.array([4, 6]))
        lines = [
            f"own_arrays.{name} = '{tmp_path / file}.npy'"
            for name, file in (("images", "images"), ("factor_sizes", "sizes"))
        ]
        gin_utils.parse(["datasets/own_arrays.gin"], lines)
        return load("own_arrays/mine", tmp_path / "data")

    yield write
    gin.clear_config()


def test_own_arrays(arrays, data):
    before = arrays(data.table).fingerprint()
    assert before == data.fingerprint()  # shape, not names
    assert arrays(other_pixel(data).table).fingerprint() != before
    assert arrays(data.table > 100).fingerprint() != before
    assert arrays(data.table).fingerprint() == before


def test_it_does_not_depend_on_checksums_but_meets_damage(fake_data_dir, tmp_path):
    shutil.copytree(
        fake_data_dir / "dlib_tables" / "mpi3d" / "toy", tmp_path / "dlib_tables" / "mpi3d" / "toy"
    )
    folder = tmp_path / "dlib_tables" / "mpi3d" / "toy" / "1.0.0"
    before = load("mpi3d_toy", fake_data_dir).fingerprint()
    assert load("mpi3d_toy", tmp_path).fingerprint() == before
    content = bytearray((folder / "images.npy").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "images.npy").write_bytes(content)
    text = (
        "damaged: rows 0..95 have changed since it was built; run: dlib_prepare_data"
        f" --dataset=mpi3d_toy --data_dir={tmp_path}"
    )
    with pytest.raises(DamagedTable, match=text):
        load("mpi3d_toy", tmp_path).fingerprint()
    older = {
        key: value
        for key, value in json.loads((folder / "table.json").read_text()).items()
        if key != "checksums"
    }
    (folder / "table.json").write_text(json.dumps(older))
    # without checksums, the images are what they are
    assert load("mpi3d_toy", tmp_path).fingerprint() != before
