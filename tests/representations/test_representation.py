"""The representation table: its checks, its file, and the representations derived from a
posterior.
"""

import dataclasses
import itertools
import pickle

import gin
import numpy as np
import pytest

from dlib_tf2 import seeds
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.representations import representation, rotation  # noqa: F401  registers its own
from dlib_tf2.representations.representation import Posterior, Representation

FACTORS = np.array(list(itertools.product(range(2), range(3))))
NAMES, SIZES = ("shape", "x"), (2, 3)


@pytest.fixture
def posterior():
    rng = np.random.default_rng(0)
    return Posterior(rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), FACTORS, NAMES, SIZES)


@pytest.fixture
def table():
    return Representation(np.arange(24.0).reshape(6, 4), FACTORS, NAMES, SIZES)


def test_round_trip(tmp_path, table, posterior):
    for original in (table, posterior):
        path = tmp_path / "folder" / "table.npz"
        original.save(path)
        loaded = type(original).load(path)
        for name in original.__dataclass_fields__:
            old, new = getattr(original, name), getattr(loaded, name)
            np.testing.assert_array_equal(old, new)
            assert type(old) is type(new)
        assert (loaded.factor_names, loaded.factor_sizes) == (NAMES, SIZES)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["table.npz"]


HELD_OUT = np.array([False, True, False, False, True, True])


def test_a_mask_of_held_out_rows_is_kept_and_none_is_not_written(tmp_path, table, posterior):
    for original in (table, posterior):
        path = tmp_path / "table.npz"
        original.save(path)
        assert "held_out" not in np.load(path, allow_pickle=False).files
        assert type(original).load(path).held_out is None  # as a file of an older version has none
        masked = dataclasses.replace(original, held_out=HELD_OUT)
        masked.save(path)
        loaded = type(original).load(path)
        assert loaded.held_out.dtype == np.bool_
        assert loaded.held_out.tolist() == HELD_OUT.tolist()


@pytest.mark.parametrize(
    "mask, found",
    [
        (HELD_OUT[:5], r"bool and shape \(5,\)"),
        (HELD_OUT[:, None], r"bool and shape \(6, 1\)"),
        (HELD_OUT.astype(np.int8), r"int8 and shape \(6,\)"),
    ],
)
def test_what_is_no_mask_of_the_rows_is_refused(table, posterior, mask, found):
    for original in (table, posterior):
        with pytest.raises(UserError, match=rf"held_out has dtype {found}, expected bool \(6,\)"):
            dataclasses.replace(original, held_out=mask)


def test_derived_representations_keep_the_mask_and_repeat_it_as_the_rows(posterior):
    masked = dataclasses.replace(posterior, held_out=HELD_OUT)
    gin.bind_parameter("sampled_representation.min_rows", 13)
    try:
        sampled = representation.derive(masked, "sampled", 0)
    finally:
        gin.clear_config()
    assert sampled.held_out.tolist() == 3 * HELD_OUT.tolist()
    rows_of = {tuple(row) for row in FACTORS[HELD_OUT].tolist()}
    assert {tuple(row) for row in sampled.factors[sampled.held_out].tolist()} == rows_of
    for name in ("mean", "rotated", "whitened"):
        assert representation.derive(masked, name, 0).held_out.tolist() == HELD_OUT.tolist()
        assert representation.derive(posterior, name, 0).held_out is None


def test_dtypes(table, posterior):
    assert (table.codes.dtype, table.factors.dtype) == (np.float32, np.int32)
    assert (posterior.mean.dtype, posterior.log_variance.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"codes": np.zeros((5, 4))}, "codes have 5 rows and factors 6"),
        ({"codes": np.zeros(6)}, r"codes have shape \(6,\), expected \[rows, columns\]"),
        ({"codes": np.zeros((6, 0))}, r"codes have shape \(6, 0\)"),
        (
            {"codes": np.array([[0.0]] * 5 + [[np.nan]])},
            r"NaN or infinity in 1 places \(first: row 5, column 0\)",
        ),
        ({"codes": np.full((6, 1), 1e200)}, "NaN or infinity in 6 places"),
        ({"codes": np.full((6, 1), "a")}, "codes have dtype <U1, expected real numbers"),
        ({"factors": FACTORS + 1}, "factor shape runs from 1 to 2, expected 0 to 1"),
        ({"factors": FACTORS - 1}, "factor shape runs from -1 to 0, expected 0 to 1"),
        ({"factors": FACTORS + 2**40}, "factor shape runs from 1099511627776"),
        ({"factors": FACTORS * 1.0}, "factors have dtype float64, expected integers"),
        ({"factor_names": ("shape",)}, "factors have 2 columns for 1 names and 2 sizes"),
        ({"factor_sizes": (2, 2)}, "factor x runs from 0 to 2, expected 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(table, change, message):
    content = {name: getattr(table, name) for name in table.__dataclass_fields__}
    with pytest.raises(UserError, match=message):
        Representation(**(content | change))


def test_mean_and_log_variance_must_match():
    with pytest.raises(UserError, match=r"mean has shape \(6, 4\) and log_variance \(6, 3\)"):
        Posterior(np.zeros((6, 4)), np.zeros((6, 3)), FACTORS, NAMES, SIZES)


def test_every_truncation_is_noticed(tmp_path, table):
    path = tmp_path / "representation.npz"
    table.save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(
            DlibError,
            match=r"representation.npz is damaged .*; make it again with dlib_postprocess",
        ):
            Representation.load(path)


def test_a_flipped_bit_is_noticed(tmp_path, table):
    path = tmp_path / "representation.npz"
    table.save(path)
    content = bytearray(path.read_bytes())
    content[content.index(table.codes.tobytes()) + 9] ^= 4
    path.write_bytes(content)
    with pytest.raises(DlibError, match="is damaged"):
        Representation.load(path)


def test_foreign_and_missing_files_are_refused(tmp_path, posterior):
    path = tmp_path / "file"
    with pytest.raises(UserError, match="does not exist; make it again with dlib_postprocess"):
        Representation.load(path)
    posterior.save(path)
    with pytest.raises(UserError, match="is not a representation table of this version"):
        Representation.load(path)
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DlibError, match="damaged or not an .npz table"):
        Representation.load(path)
    path.write_bytes(pickle.dumps({"codes": 1}))
    with pytest.raises(DlibError, match="damaged or not an .npz table"):
        Representation.load(path)
    np.savez(tmp_path / "pickled.npz", codes=np.array([{}], dtype=object))
    with pytest.raises(DlibError, match="damaged or not an .npz table"):
        Representation.load(tmp_path / "pickled.npz")


def test_arrays_of_any_origin_are_numbered(tmp_path):
    table = Representation.from_arrays(
        [[1.0], [2.0], [3.0]], np.array([[-7.0, 5], [40, 5], [-7, 6]])
    )
    assert table.factors.tolist() == [[0, 0], [1, 0], [0, 1]]
    assert (table.factor_names, table.factor_sizes) == (("factor_0", "factor_1"), (2, 2))
    assert Representation.from_arrays([1, 2], [3, 4]).codes.shape == (2, 1)
    with pytest.raises(UserError, match="factors have dtype float64, expected integers"):
        Representation.from_arrays([1, 2], [0.5, 1])
    with pytest.raises(UserError, match="codes have 2 rows and factors 3"):
        Representation.from_arrays([1, 2], [0, 1, 2])


def test_array_files(tmp_path):
    np.save(tmp_path / "codes.npy", np.arange(6.0))
    np.savez(tmp_path / "both.npz", codes=np.arange(6.0), factors=FACTORS)
    np.savez(tmp_path / "one.npz", labels=FACTORS)
    np.savez(tmp_path / "two.npz", a=FACTORS, b=FACTORS)
    for codes, factors in (("codes.npy", "both.npz"), ("both.npz", "one.npz")):
        np.testing.assert_array_equal(
            representation.load_arrays(tmp_path / codes, tmp_path / factors).factors, FACTORS
        )
    with pytest.raises(UserError, match="holds arrays .* and none named factors"):
        representation.load_arrays(tmp_path / "codes.npy", tmp_path / "two.npz")
    with pytest.raises(UserError, match="the codes file .*missing.npy does not exist"):
        representation.load_arrays(tmp_path / "missing.npy", tmp_path / "one.npz")
    whole = (tmp_path / "codes.npy").read_bytes()
    for length in (0, 5, 100, len(whole) - 1):
        (tmp_path / "codes.npy").write_bytes(whole[:length])
        with pytest.raises(
            UserError,
            match=(
                r"codes.npy is damaged or holds no plain numpy array .*save it again with"
                r" numpy.save"
            ),
        ):
            representation.load_arrays(tmp_path / "codes.npy", tmp_path / "one.npz")


def test_mean_is_the_mean_once(posterior):
    table = representation.derive(posterior, "mean", seed=0)
    np.testing.assert_array_equal(table.codes, posterior.mean)
    np.testing.assert_array_equal(table.factors, FACTORS)
    assert table.factor_names == NAMES


def test_sampled_repeats_the_grid_with_the_posteriors_moments(posterior):
    table = representation.derive(posterior, "sampled", seed=0)
    draws = -(-500_000 // 6)
    assert table.codes.shape == (draws * 6, 4)
    assert table.codes.dtype == np.float32
    np.testing.assert_array_equal(table.factors[6 * 17 : 6 * 18], FACTORS)
    codes = table.codes.reshape(draws, 6, 4)  # [draws, n, d]
    deviation = np.exp(posterior.log_variance / 2)
    assert (abs(codes.mean(axis=0) - posterior.mean) / deviation).max() < 5 / np.sqrt(draws)
    np.testing.assert_allclose(codes.std(axis=0), deviation, rtol=5 / np.sqrt(2 * draws))
    noise = ((codes - posterior.mean) / deviation).reshape(draws, 24)
    assert abs(np.corrcoef(noise.T) - np.eye(24)).max() < 6 / np.sqrt(draws)


def test_sampled_depends_on_the_seed_alone(posterior):
    one, same, other = (
        representation.derive(posterior, "sampled", seed).codes for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert abs(one - other).max() > 1


def test_a_large_grid_is_drawn_once():
    mean = np.zeros((500_000, 1), np.float32)
    assert representation.sampled_representation(mean, mean, np.random.default_rng(0)).shape == (
        500_000,
        1,
    )
    assert representation.sampled_representation(
        mean[1:], mean[1:], np.random.default_rng(0)
    ).shape == (999_998, 1)


def test_representations_are_found_by_name(posterior):
    with pytest.raises(
        UserError,
        match=r"no representation 'modal'; the known ones are (\w+, )*mean, (\w+, )*sampled",
    ):
        representation.derive(posterior, "modal", seed=0)

    with gin.unlock_config():

        @gin.register(module="test_representation")
        def halved_representation(mean, log_variance, rng):
            return mean / 2

    np.testing.assert_array_equal(
        representation.derive(posterior, "halved", seed=0).codes, posterior.mean / 2
    )


def test_named_generators_differ_by_seed_and_name_and_stay_the_same_for_ever():
    draws = {
        (seed, name): seeds.generator(seed, name).integers(2**32)
        for seed in (0, 1)
        for name in ("mig", "dci")
    }
    assert len(set(draws.values())) == 4
    assert draws[0, "mig"] == PINNED


# seeds.generator(0, "mig").integers(2**32): a change would silently change every score
PINNED = 2124495621


def test_an_encrypted_file_is_one_line(tmp_path):
    path = tmp_path / "codes.npz"
    np.savez(path, codes=np.zeros((3, 2)), factors=np.zeros((3, 1), int))
    content = bytearray(path.read_bytes())
    # the flags of each member, in both places
    for mark, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        while start >= 0:
            content[start + flag] |= 1
            start = content.find(mark, start + 1)
    path.write_bytes(content)
    with pytest.raises(DlibError, match="codes.npz .*encrypted"):
        representation.load_arrays(path, None)
    with pytest.raises(DlibError, match="codes.npz .*encrypted"):
        representation.Representation.load(path)
