"""Whatever continues a run refuses other images under the same name, and damaged images."""

import json
import pathlib

import gin
import numpy as np
import pytest
from PIL import Image

from dlib_tf2 import datasets, postprocess, train
from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets import stream
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.records import results

TINY = str(pathlib.Path(__file__).parents[1] / "tiny.gin")
SIZES = {"shape": 4, "place": 6}


@pytest.fixture(autouse=True)
def no_gin_left():
    yield
    gin.clear_config()


def pictures(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (24, 16, 16, 1), dtype=np.uint8)


def one_pixel(images):
    changed = images.copy()
    changed[13, 8, 8, 0] ^= 1
    return changed


class Arrays:
    """own_arrays/mine, in a folder."""

    name = "own_arrays/mine"

    def __init__(self, folder):
        self._folder = folder
        np.save(folder / "sizes.npy", np.array(list(SIZES.values())))
        self.bindings = [
            f"own_arrays.images = '{folder}/images.npy'",
            f"own_arrays.factor_sizes = '{folder}/sizes.npy'",
        ]

    def write(self, images):
        np.save(self._folder / "images.npy", images)


class Images:
    """own_images/mine, in a folder; its CSV stays the same."""

    name = "own_images/mine"

    def __init__(self, folder):
        self._folder = folder
        grid = np.stack(np.unravel_index(np.arange(24), tuple(SIZES.values())), axis=1)
        lines = [f"{row}.png,{shape},{place}" for row, (shape, place) in enumerate(grid)]
        (folder / "factors.csv").write_text("\n".join(["file,shape,place", *lines]))
        self.bindings = [f"own_images.folder = '{folder}'", f"own_images.factors = {SIZES}"]

    def write(self, images):
        for row, image in enumerate(images):
            Image.fromarray(image[..., 0]).save(self._folder / f"{row}.png")


@pytest.fixture
def own(request, tmp_path):
    (tmp_path / "source").mkdir()
    source = getattr(request, "param", Arrays)(tmp_path / "source")
    source.write(pictures())
    return source


@pytest.fixture
def steps(tmp_path, own, monkeypatch):
    """Two functions that run train (steps, **arguments) and postprocess (**arguments) on `own`."""

    # or the stream's graph takes a second to build
    monkeypatch.setattr(stream, "_STEPS_PER_GATHER", 1)

    def parse(*bindings):
        kind = own.name.split("/")[0]
        settings = [
            f"DATASET = '{own.name}'",
            *own.bindings,
            "BATCH_SIZE = 8",
            "train.eval_steps = 1",
        ]
        gin_utils.parse([TINY, f"datasets/{kind}.gin"], [*settings, *bindings])

    def train_steps(count, **arguments):
        parse(f"STEPS = {count}")
        return train.train(tmp_path / "model", data_dir=tmp_path / "data", **arguments)

    def encode(**arguments):
        parse("postprocess.representations = ['mean']")
        postprocess.postprocess(
            tmp_path / "model", tmp_path / "codes", tmp_path / "data", **arguments
        )

    return train_steps, encode


def test_other_images_under_the_name_are_refused_and_the_same_ones_go_on(own, steps, tmp_path):
    train_steps, encode = steps
    train_steps(2)
    encode()
    before = {path: path.read_bytes() for path in tmp_path.glob("codes/**/*") if path.is_file()}
    known = datasets.load(own.name, tmp_path / "data").fingerprint()
    for folder in ("model", "codes", "codes/mean"):
        assert results.label(results.read_step(tmp_path / folder), "images_fingerprint") == known, (
            folder
        )
    own.write(one_pixel(pictures()))
    text = (
        rf"model was trained on other images than {own.name} holds now \(fingerprint {known[:12]}"
        r" there and \w{12} here\); restore them,"
    )
    for count in (2, 3):  # a finished run as well as one that would go on
        with pytest.raises(
            UserError,
            match=text + " choose another --model_dir, or --overwrite to delete that run\n",
        ):
            train_steps(count)
    with pytest.raises(UserError, match=text + " or train the model again\n"):
        encode(overwrite=True)
    assert {
        path: path.read_bytes() for path in tmp_path.glob("codes/**/*") if path.is_file()
    } == before
    own.write(pictures())
    assert train_steps(3)["steps"] == 3
    encode(overwrite=True)


def test_runs_of_older_versions_know_only_the_name(own, steps, tmp_path):
    train_steps, encode = steps
    train_steps(2)
    for name, forget in (
        ("identity.json", lambda content: content.pop("train.images_fingerprint")),
        ("results.json", lambda content: content["labels"].pop("images_fingerprint")),
    ):
        content = json.loads((tmp_path / "model" / name).read_text())
        forget(content)
        (tmp_path / "model" / name).write_text(json.dumps(content))
    own.write(one_pixel(pictures()))
    encode()
    known = results.read_step(tmp_path / "codes")["labels"]["images_fingerprint"]
    assert known == datasets.load(own.name, tmp_path / "data").fingerprint()
    assert train_steps(3)["steps"] == 3


@pytest.mark.parametrize("own", [Images], indirect=True)
def test_other_images_of_a_folder_and_a_table_damaged_in_the_middle_are_refused(
    own, steps, tmp_path
):
    train_steps, encode = steps
    train_steps(2)
    known = datasets.load(own.name, tmp_path / "data").fingerprint()
    own.write(one_pixel(pictures()))
    with pytest.raises(
        UserError, match=f"model was trained on other images than {own.name} holds now"
    ):
        train_steps(3)
    own.write(pictures())
    assert datasets.load(own.name, tmp_path / "data").fingerprint() == known
    table = tmp_path / "data" / "dlib_tables" / "own_images" / "mine" / "images.npy"
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    text = (
        f"{table} is damaged: rows 0..23 have changed since it was built; run:"
        " dlib_prepare_data --dataset=own_images/mine"
    )
    for refused in (lambda: train_steps(3), lambda: train_steps(3, overwrite=True), encode):
        with pytest.raises(DlibError, match=text) as caught:
            refused()
        assert caught.value.exit_code == 1
    assert (tmp_path / "model" / "results.json").exists()
    assert not (tmp_path / "codes" / "posterior.npz").exists()
    # with its gin file it is built again
    assert datasets.loading.prepare(own.name, tmp_path / "data").fingerprint() == known
