"""Our TFDS builders by TFDS's own test, and every downloaded dataset from file to table: what its
images and factors must be.
"""

import functools
import gzip
import os
import pathlib
import tarfile
import tempfile
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from dlib_tf2.datasets import downloaded, load, loading
from dlib_tf2.datasets.builders.cars3d.cars3d_dataset_builder import Builder as Cars3dBuilder
from dlib_tf2.datasets.builders.mpi3d.mpi3d_dataset_builder import Builder as Mpi3dBuilder
from dlib_tf2.datasets.builders.scream.scream_dataset_builder import Builder as ScreamBuilder
from dlib_tf2.datasets.families import cars3d, dsprites, mpi3d, scream
from dlib_tf2.datasets.formats import resize
from dlib_tf2.datasets.named import shapes3d, smallnorb
from dlib_tf2.errors import DlibError, UserError
from tests.datasets import fakes


class OnSmallGrid:
    """Gives TFDS's conformance test files that `fakes` writes."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._small = fakes.small_grids()
        cls._small.__enter__()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.EXAMPLE_DIR = folder.name
        cls.write(pathlib.Path(folder.name))

    @classmethod
    def tearDownClass(cls):
        cls._small.__exit__(None, None, None)
        super().tearDownClass()


class Cars3dTest(OnSmallGrid, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Cars3dBuilder
    SPLITS = {"train": 24}
    write = staticmethod(fakes.write_cars3d)


class Mpi3dTest(OnSmallGrid, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Mpi3dBuilder
    BUILDER_CONFIG_NAMES_TO_TEST = ["toy"]
    SPLITS = {"train": 96}
    write = staticmethod(functools.partial(fakes.write_mpi3d, kind="toy"))


class ScreamTest(OnSmallGrid, tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = ScreamBuilder
    SPLITS = {"train": 1}
    write = staticmethod(fakes.write_scream)


def test_true_sizes():
    """The grids of the reference, whatever small ones the tests use."""
    sizes = {
        "dsprites": dsprites.SPACE,
        "shapes3d": shapes3d.SPACE,
        "smallnorb": smallnorb.SPACE,
        "cars3d": cars3d.SPACE,
    }
    counts = {"dsprites": 737_280, "shapes3d": 480_000, "smallnorb": 48_600, "cars3d": 17_568}
    assert {name: space.size for name, space in sizes.items()} == counts
    assert [space.size for space in mpi3d.SPACES] == [460_800, 1_036_800]
    assert [space.sizes for space in mpi3d.SPACES] == [
        (4, 4, 2, 3, 3, 40, 40),
        (6, 6, 2, 3, 3, 40, 40),
    ]


@pytest.mark.parametrize(
    "space, factors, index",
    [
        (dsprites.SPACE, [0, 5, 0, 3, 27], 204_923),
        (dsprites.SPACE, [1, 3, 21, 18, 4], 390_724),
        (dsprites.SPACE, [2, 0, 24, 12, 26], 516_506),
        (dsprites.SPACE, [1, 4, 0, 3, 27], 409_723),  # of dsprites_noshape, its hidden shape 1
        (cars3d.SPACE, [0, 15, 117], 2862),
        (mpi3d.SPACES[0], [0, 3, 1, 0, 1, 19, 21], 103_181),
        (shapes3d.SPACE, [5, 0, 3, 3, 3, 7], 241_672),
    ],
)
def test_codes_of_the_reference(space, factors, index):
    assert space.to_index(np.array([factors])) == index
    np.testing.assert_array_equal(space.to_factors(np.array([index])), [factors])


def test_bases_of_the_reference():
    assert dsprites.SPACE.bases == (245_760, 40_960, 1024, 32, 1)
    assert smallnorb.SPACE.bases == (9720, 972, 108, 6, 1)
    assert cars3d.SPACE.bases == (4392, 183, 1)
    assert mpi3d.SPACES[0].bases == (115_200, 28_800, 14_400, 4800, 1600, 40, 1)
    assert mpi3d.SPACES[1].bases == (172_800, 28_800, 14_400, 4800, 1600, 40, 1)
    assert shapes3d.SPACE.bases == (48_000, 4800, 480, 60, 15, 1)


def test_tfds_own_builders_name_file_size_and_hash():
    files = {
        file.name: file
        for module in (dsprites, shapes3d, smallnorb)
        for file in module.RECIPE.files()
    }
    assert files[fakes.DSPRITES_FILE].size == 28_024_106
    assert (
        files["3dshapes.h5"].sha256
        == "0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785"
    )
    assert len(smallnorb.RECIPE.files()) == 6
    assert all(
        len(file.sha256) == 64 and file.url.startswith("https://") for file in files.values()
    )


def test_addresses_and_reported_hashes_of_mpi3d_and_cars3d():
    address = "https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/mpi3d_{}.npz"
    for kind, md5, corrupted in (
        ("toy", "55889cb7c7dfc655d6e0277beee88868", None),
        ("realistic", "59a6225b88b635365f70c91b3e52f70f", None),
        ("real", None, "0f33f609918fb5c97996692f91129802"),
    ):
        (file,) = mpi3d.recipe(kind).files()
        assert (file.url, file.md5, file.corrupted_md5) == (address.format(kind), md5, corrupted)
    (file,) = cars3d.RECIPE.files()
    assert file.md5 == "4e866a7919c1beedf53964e6f7a23686"


def test_images_that_need_no_change_arrive_unchanged(fake_data_dir):
    expected = {
        "dsprites_full": fakes.dsprites_images(),
        "shapes3d": fakes.shapes3d_images(),
        **{f"mpi3d_{kind}": fakes.mpi3d_images(kind) for kind in fakes.MPI3D_EDITIONS},
    }
    for name, images in expected.items():
        np.testing.assert_array_equal(load(name, fake_data_dir).table, images, err_msg=name)
    assert [load(f"mpi3d_{kind}", fake_data_dir).space.sizes[:2] for kind in ("toy", "real")] == [
        (2, 2),
        (3, 3),
    ]


def lanczos_by_hand(image, size):
    """The definition: each output pixel is a normalised Lanczos-3 window over the input, rows then
    columns, each rounded and cut.
    """
    factor = len(image) / size
    centres = (np.arange(size)[:, None] + 0.5) * factor
    distance = (np.arange(len(image)) + 0.5 - centres) / factor
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    for axis in (1, 0):
        image = np.clip(
            np.round(np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)), 0, 255
        )
    return image


def test_smallnorb_is_the_left_camera_of_both_splits_shrunk_with_lanczos(fake_data_dir):
    dataset = load("smallnorb", fake_data_dir)
    assert dataset.space.names == ("category", "instance", "elevation", "azimuth", "lighting")
    assert dataset.visible == ("category", "elevation", "azimuth", "lighting")
    for index in (0, 37, 95):
        by_hand = lanczos_by_hand(fakes.norb_images()[index, :, :, 0].astype(np.float64), 64)
        # Pillow computes with fixed point
        assert np.abs(dataset.table[index, :, :, 0] - by_hand).max() <= 1
    # Overshoot beyond black and white is cut, not wrapped round.
    assert (dataset.table[:, 30:34] == 0).any()
    assert (dataset.table[:, 30:34] == 255).any()


def test_hosts_without_python_shrink_alike(fake_data_dir):
    images = fakes.norb_images()[:4]
    ours = np.stack([resize.lanczos_tensor(image, 64).numpy() for image in images])
    assert np.abs(ours.astype(int) - resize.lanczos(images, 64)).max() <= 1


def test_cars_are_in_factor_order_and_numbered_by_sorted_name(fake_data_dir):
    dataset, images = load("cars3d", fake_data_dir), fakes.car_images()
    for elevation, azimuth, car in ((0, 0, 0), (1, 2, 3), (1, 0, 2)):
        index = int(dataset.space.to_index(np.array([[elevation, azimuth, car]]))[0])
        expected = np.asarray(
            Image.fromarray(images[index]).resize((64, 64), Image.Resampling.LANCZOS)
        )
        np.testing.assert_array_equal(dataset.table[index], expected)


def test_the_scream_fits_into_350_by_274(fake_data_dir):
    table, info = downloaded.open_table(scream.RECIPE, fake_data_dir, "scream_dsprites")
    assert info.shape == (274, 205, 3)  # 300 wide and 400 high: the height is what limits it
    gradient = np.linspace(0, 255, 274)
    assert np.abs(table[0, :, 100, 1] - gradient).max() < 6
    assert np.abs(table[0, 100, :, 0] - np.linspace(0, 255, 205)).max() < 6


def test_abstract_sprites_are_coloured_masks(fake_data_dir):
    dataset, sprites = (
        load("abstract_dsprites", fake_data_dir),
        load("dsprites_full", fake_data_dir),
    )
    assert dataset.space.sizes == (5, 6, *sprites.space.sizes)
    factors = dataset.space.to_factors(np.arange(0, dataset.space.size, 7))
    images = dataset.images(np.arange(0, dataset.space.size, 7)) / 255
    masks = sprites.images(sprites.space.to_index(factors[:, 2:]))
    greys = np.array([0, 0.25, 0.5, 0.75, 1])[factors[:, 0]][:, None, None, None]
    colours = {0: (0.9096, 0.5883, 0.3658), 5: (0.9082, 0.5511, 0.7494)}
    for number, colour in colours.items():
        rows = factors[:, 1] == number
        expected = masks[rows] * np.array(colour) + (1 - masks[rows]) * greys[rows]
        assert np.abs(images[rows] - expected).max() < 0.5 / 255 + 1e-4
    orientations = dataset.space.to_factors(dataset.table_index())[:, 4]
    # drawn for each row, from all of them
    assert np.bincount(orientations).min() > 0.7 * len(orientations) / 4
    drawn = np.concatenate(
        [batch["image"].numpy() for batch in dataset.train_batches(64, seed=0).take(4)]
    )
    corners = {int(image.min()) for image in drawn}
    assert len(corners) > 4


def test_training_draws_from_the_whole_coloured_grid_as_images_says(fake_data_dir):
    import tensorflow as tf

    dataset = load("abstract_dsprites", fake_data_dir)
    rows = np.random.default_rng(0).integers(0, dataset.space.size, 200)
    computed = dataset.table.gatherer(tf.constant(dataset.table.base))(tf.constant(rows)).numpy()
    np.testing.assert_array_equal(computed, dataset.images(rows))


# Damage: (recipe, how its files are written, what is said).
def truncated(write, name):
    def damage(folder):
        write(folder)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


def norb_with_wrong_labels(folder):
    fakes.write_smallnorb(folder)
    name = f"{fakes.NORB_FILES[0]}-cat.mat.gz"
    (folder / name).write_bytes(gzip.compress(fakes.norb_matrix(np.zeros(48, np.int32))))


def too_few_npz(folder):
    np.savez(folder / "mpi3d_toy.npz", images=np.zeros((95, 64, 64, 3), np.uint8))


def flipped_npz(folder):
    fakes.write_mpi3d(folder, "toy", compress=False)
    path = folder / "mpi3d_toy.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def other_shapes3d(folder):
    import h5py

    with h5py.File(folder / "3dshapes.h5", "w") as file:
        file["images"], file["labels"] = np.zeros((144, 32, 32, 3), np.uint8), np.zeros((144, 6))


def repeated_shapes3d(folder):
    import h5py

    fakes.write_shapes3d(folder)
    with h5py.File(folder / "3dshapes.h5", "r+") as file:
        file["labels"][7] = file["labels"][8]


def large_member(name):
    """An archive that ends where the content of a large member would begin: who reads or skips it
    meets another error.
    """

    def damage(folder):
        member = tarfile.TarInfo(name)
        member.size = 9_000_000_000
        (folder / fakes.CARS_FILE).write_bytes(gzip.compress(member.tobuf()))

    return damage


DAMAGES = [
    (
        "dsprites_full",
        truncated(fakes.write_dsprites, fakes.DSPRITES_FILE),
        r"hdf5 cannot be read \(.*truncated file.*remove it and get it again",
    ),
    (
        "dsprites_full",
        lambda folder: fakes.write_shapes3d(folder, fakes.DSPRITES_FILE),
        "holds no array 'latents/classes'; it is another file",
    ),
    (
        "shapes3d",
        other_shapes3d,
        r"expected 'images' as uint8 \[n, 64, 64, 3\], got uint8 \[144, 32, 32, 3\]",
    ),
    (
        "shapes3d",
        repeated_shapes3d,
        r"1 grid cells came more than once \(.*\) and 1 grid cells came never",
    ),
    (
        "smallnorb",
        truncated(fakes.write_smallnorb, f"{fakes.NORB_FILES[0]}-dat.mat.gz"),
        "smallnorb in .* cannot be read .* truncated or damaged",
    ),
    (
        "smallnorb",
        norb_with_wrong_labels,
        r"24 grid cells came more than once \(.*\) and 24 grid cells came never",
    ),
    (
        "cars3d",
        lambda folder: fakes.write_cars3d(folder, leave_out=3),
        r"holds 1 .mat files of cars, expected 4: 3 are missing; get it again",
    ),
    (
        "cars3d",
        lambda folder: fakes.write_cars3d(folder, broken={"im": np.zeros((2, 2))}),
        r"'im' as uint8 \[128, 128, 3, 3, 2\], got float64",
    ),
    (
        "cars3d",
        truncated(fakes.write_cars3d, fakes.CARS_FILE),
        "cars3d in .* cannot be read .* truncated or damaged: remove them",
    ),
    (
        "cars3d",
        lambda folder: fakes.write_cars3d(
            folder, others=[("other/cars/car_002_mesh.mat", b"MATLAB")]
        ),
        (
            "holds more than one car of the name car_002_mesh.mat; it is damaged or another file:"
            " get it again from http"
        ),
    ),
    (
        "cars3d",
        large_member("data/cars/car_000_mesh.mat"),
        "holds data/cars/car_000_mesh.mat with 9,000,000,000 bytes, expected at most 200,",
    ),
    (
        "cars3d",
        large_member("data/movie.avi"),
        (
            "holds data/movie.avi with 9,000,000,000 bytes, expected at most 200,000,000; it is"
            " another"
        ),
    ),
    (
        "mpi3d_toy",
        too_few_npz,
        r"mpi3d_toy.npz holds 95 images, expected 96 or 216; it is damaged or another file",
    ),
    (
        "mpi3d_toy",
        truncated(lambda folder: fakes.write_mpi3d(folder, "toy"), "mpi3d_toy.npz"),
        r"mpi3d_toy.npz cannot be read \(File is not a zip",
    ),
    ("mpi3d_toy", flipped_npz, r"mpi3d_toy.npz cannot be read \(Bad CRC-32"),
    (
        "mpi3d_toy",
        lambda folder: np.savez(folder / "mpi3d_toy.npz", pictures=np.zeros(3)),
        "holds pictures.npy, expected an array 'images'",
    ),
    (
        "mpi3d_toy",
        lambda folder: np.savez(folder / "mpi3d_toy.npz", images=np.zeros(3)),
        r"'images' is float64 \[3\] in C order",
    ),
    (
        "mpi3d_toy",
        lambda folder: np.savez(
            folder / "mpi3d_toy.npz", images=np.zeros((96, 32, 32, 3), np.uint8)
        ),
        r"holds images \[32, 32, 3\]",
    ),
    (
        "scream_dsprites",
        lambda folder: fakes.write_scream(folder, size=(80, 400)),
        "The_Scream.jpg has 55 x 274 pixels, no room for a crop",
    ),
    (
        "scream_dsprites",
        lambda folder: (folder / "The_Scream.jpg").write_bytes(b"<html>"),
        "scream in .* cannot be read .*cannot identify image",
    ),
]


@pytest.mark.parametrize("name, damage, text", DAMAGES)
def test_damaged_files_are_one_line_and_leave_nothing(tmp_path, name, damage, text):
    manual_dir, data_dir = tmp_path / "manual", tmp_path / "data"
    manual_dir.mkdir()
    recipe = loading._module(name).RECIPES[-1]
    with fakes.small_grids() as patch:
        damage(manual_dir)
        fakes.register_checksums(patch, manual_dir)
        with pytest.raises(DlibError, match=text) as caught:
            downloaded.prepare(recipe, data_dir, manual_dir)
    assert "\n" not in str(caught.value)
    assert not list(data_dir.glob("dlib_tables/**/images.npy"))
    assert not list(data_dir.glob("**/*.tmp"))


def repair(patch, folder):
    fakes.write_smallnorb(folder)
    fakes.register_checksums(patch, folder)


def test_a_repaired_file_is_read_after_a_failed_preparation(tmp_path, capsys):
    """The bad file makes records, but no table: labels are wrong."""
    manual_dir, data_dir = tmp_path / "manual", tmp_path / "data"
    manual_dir.mkdir()
    with fakes.small_grids() as patch:
        norb_with_wrong_labels(manual_dir)
        fakes.register_checksums(patch, manual_dir)
        with pytest.raises(DlibError, match="grid cells came more than once"):
            downloaded.prepare(smallnorb.RECIPE, data_dir, manual_dir)
        assert not (data_dir / "smallnorb" / "2.0.0").exists()
        repair(patch, manual_dir)
        dataset = loading.prepare("smallnorb", data_dir, manual_dir)
    assert "are made again" not in capsys.readouterr().err
    np.testing.assert_array_equal(dataset.table, resize.lanczos(fakes.norb_images(), 64))


@pytest.mark.parametrize("on_record", [True, False])
def test_bad_records_that_an_earlier_attempt_left_are_made_again(tmp_path, capsys, on_record):
    from dlib_tf2.datasets import source_files, tfds_records

    manual_dir, data_dir = tmp_path / "manual", tmp_path / "data"
    manual_dir.mkdir()
    with fakes.small_grids() as patch:
        norb_with_wrong_labels(manual_dir)
        fakes.register_checksums(patch, manual_dir)
        tfds_records.write(smallnorb.RECIPE.builder(data_dir), manual_dir)
        if on_record:
            source_files.keep(
                data_dir / "dlib_tables" / "smallnorb" / "2.0.0", sorted(manual_dir.iterdir())
            )
        repair(patch, manual_dir)
        dataset = loading.prepare("smallnorb", data_dir, manual_dir)
    text = (
        ".mat.gz has changed since the records of smallnorb/2.0.0 were made from it"
        if on_record
        else "grid cells came more than once"
    )
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "are made again" in line]
    assert text in line
    np.testing.assert_array_equal(dataset.table, resize.lanczos(fakes.norb_images(), 64))


def test_a_changed_file_of_a_prepared_set_is_said_not_to_be_read(tmp_path, capsys):
    manual_dir, data_dir = tmp_path / "manual", tmp_path / "data"
    manual_dir.mkdir()
    folder, path = (
        data_dir / "dlib_tables" / "mpi3d" / "toy" / "1.0.0",
        manual_dir / "mpi3d_toy.npz",
    )

    def again():
        capsys.readouterr()
        np.testing.assert_array_equal(
            loading.prepare("mpi3d_toy", data_dir, manual_dir).table, fakes.mpi3d_images("toy")
        )
        return [line for line in capsys.readouterr().err.splitlines() if "not read now" in line]

    with fakes.small_grids():
        fakes.write_mpi3d(manual_dir, "toy")
        assert again() == again() == []
        os.utime(path, (1, 1))  # touched, or copied: the content is the same
        assert again() == []
        path.write_bytes(path.read_bytes() + b"x")
        anew = f"delete {folder} and {data_dir}/mpi3d/toy/1.0.0, and run again"
        text = (
            "mpi3d/toy/1.0.0 was prepared from different content of mpi3d_toy.npz, which is not"
            f" read now; to prepare it from {manual_dir}, "
        )
        assert again() == [text + anew]
        (folder / "sources.json").unlink()
        (line,) = again()
        assert line.startswith(
            "mpi3d/toy/1.0.0 was prepared by an older version, which kept no record of its files,"
            " and is not read now"
        )
        assert line.endswith(anew)


def test_a_table_damaged_in_the_middle_is_prepared_again_from_the_records(
    fake_files, tmp_path, capsys
):
    with fakes.small_grids():
        loading.prepare("mpi3d_toy", tmp_path, fake_files[0])
        path = tmp_path / "dlib_tables" / "mpi3d" / "toy" / "1.0.0" / "images.npy"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        capsys.readouterr()
        dataset = loading.prepare("mpi3d_toy", tmp_path)
    text = capsys.readouterr().err
    assert (
        f"{path} is damaged: rows 0..95 have changed since it was built; it is built"
        " again\n" in text
    )
    assert "writing the records" not in text
    np.testing.assert_array_equal(dataset.table, fakes.mpi3d_images("toy"))


def test_the_challenge_file_is_taken_under_its_own_name(tmp_path):
    with fakes.small_grids():
        fakes.write_mpi3d(tmp_path, "toy", "sim_toy_64x_ordered_without_heldout_factors.npz")
        dataset = loading.prepare("mpi3d_toy", tmp_path / "data", tmp_path)
    assert dataset.space == fakes.MPI3D_SPACES[0]


def test_a_wrong_checksum_is_refused_before_anything_is_made(tmp_path):
    fakes.write_dsprites(tmp_path)
    with (
        fakes.small_grids(),
        pytest.raises(
            DlibError,
            match="hdf5 has .* bytes, expected 28,024,106; it is damaged or another edition",
        ),
    ):
        loading.prepare("dsprites_full", tmp_path / "data", tmp_path)
    assert not list((tmp_path / "data").glob("dsprites*"))


def test_the_space_needed_is_said_beforehand(tmp_path, capsys, monkeypatch):
    with pytest.raises(
        UserError,
        match=(
            r"lacks 1 of 1 files; .* 3dshapes.h5 \(268 MB\) from"
            r" https://storage.googleapis.com/3d-shapes"
        ),
    ):
        downloaded.prepare(shapes3d.RECIPE, tmp_path / "data", tmp_path)
    assert "needs about 8.3 GB under" in capsys.readouterr().err
    monkeypatch.setattr(
        downloaded.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=5 * 10**9)
    )
    with pytest.raises(
        DlibError,
        match=(
            r"needs about 8.6 GB under .* \(268 MB for the download, 2.4 GB .*; 5.0 GB are free;"
            r" free some"
        ),
    ):
        downloaded.prepare(shapes3d.RECIPE, tmp_path / "data")


def test_a_damaged_table_is_said_and_prepared_again_from_the_records(fake_files, tmp_path):
    manual_dir, _ = fake_files
    with fakes.small_grids():
        loading.prepare("mpi3d_toy", tmp_path, manual_dir)
        table = tmp_path / "dlib_tables" / "mpi3d" / "toy" / "1.0.0" / "images.npy"
        table.write_bytes(table.read_bytes()[:-1])
        with pytest.raises(
            UserError,
            match=(
                r"mpi3d_toy is not prepared in .* \(images.npy has 1,179,775 bytes, expected"
                r" 1,179,776\); run: dlib"
            ),
        ):
            load("mpi3d_toy", tmp_path)
        dataset = loading.prepare("mpi3d_toy", tmp_path, tmp_path / "nothing is read from here")
    np.testing.assert_array_equal(dataset.table, fakes.mpi3d_images("toy"))
