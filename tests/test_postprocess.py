"""The grid is encoded once, in order; results are kept, resumed, checked for damage or refused."""

import dataclasses
import json
import shutil
import warnings

import gin
import keras
import numpy as np
import pytest
from finished_run import load_encoder, write_run

from dlib_tf2 import datasets, postprocess
from dlib_tf2.configuration import gin_utils
from dlib_tf2.errors import DlibError, UserError
from dlib_tf2.records import results
from dlib_tf2.representations import representation
from dlib_tf2.representations.representation import Posterior, Representation

FEW_ROWS = "sampled_representation.min_rows = 100"  # 5 draws of 24 grid points


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_data):
    folder = tmp_path_factory.mktemp("run") / "model"
    write_run(folder, tiny_data)
    return folder


@pytest.fixture(autouse=True)
def data(tiny_data, monkeypatch):
    """The dataset "tiny" can be loaded; what was parsed is forgotten after each test."""
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: {"tiny": tiny_data}[name])
    yield tiny_data
    gin.clear_config()


@pytest.fixture
def make(model, tmp_path):
    """Runs the stage: (*bindings, output, **arguments) -> output folder."""

    def run(*bindings, output="out", model_dir=model, **arguments):
        gin_utils.parse([], [FEW_ROWS, *bindings])
        postprocess.postprocess(model_dir, tmp_path / output, **arguments)
        return tmp_path / output

    return run


@pytest.fixture(scope="module")
def made_once(model, tiny_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "out"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(datasets, "load", lambda name, data_dir: tiny_data)
        gin_utils.parse([], [FEW_ROWS])
        postprocess.postprocess(model, folder)
    return folder


@pytest.fixture
def made(made_once, tmp_path):
    """The output folder of a run that has finished; `make()` would make the same."""
    return shutil.copytree(made_once, tmp_path / "out")


@pytest.fixture
def never_encode(monkeypatch):
    return lambda: monkeypatch.setattr(
        postprocess, "encode_all", lambda *arguments: pytest.fail("nothing is to be encoded")
    )


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def direct(model, data):
    """(mean, log_variance) of every grid point, made without the stage."""
    return load_encoder(model)(
        data.images(np.arange(data.space.size)).astype(np.float32) / data.scale
    )


@pytest.mark.parametrize("batch_size", [5, 24, 100])
def test_each_grid_point_is_encoded_in_grid_order(make, model, data, batch_size):
    folder = make(representations=["mean"], batch_size=batch_size)
    posterior = Posterior.load(folder / "posterior.npz")
    mean, log_variance = direct(model, data)
    np.testing.assert_allclose(posterior.mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(posterior.log_variance, log_variance, rtol=1e-5, atol=1e-6)
    assert len(np.unique(posterior.mean, axis=0)) == 24
    assert posterior.factors.tolist() == [
        [shape, place] for shape in range(4) for place in range(6)
    ]
    assert (posterior.factor_names, posterior.factor_sizes) == (("shape", "place"), (4, 6))


def test_the_mean_representation_is_the_posterior_mean(made):
    posterior, table = (
        Posterior.load(made / "posterior.npz"),
        Representation.load(made / "mean" / "representation.npz"),
    )
    assert table.codes.tobytes() == posterior.mean.tobytes()
    assert table.factors.tobytes() == posterior.factors.tobytes()


def test_sampled_codes_are_fresh_draws_of_the_posterior(make):
    folder = make("sampled_representation.min_rows = 4800", representations=["sampled"])
    posterior, table = (
        Posterior.load(folder / "posterior.npz"),
        Representation.load(folder / "sampled" / "representation.npz"),
    )
    assert table.codes.shape == (4800, 3)
    assert table.factors.tobytes() == np.tile(posterior.factors, (200, 1)).tobytes()
    noise = (table.codes.reshape(200, 24, 3) - posterior.mean) / np.exp(posterior.log_variance / 2)
    assert abs(noise.mean()) < 0.03  # 14,400 standard normals: 0.008 each
    assert abs(noise.std() - 1) < 0.03
    assert np.abs(noise.std(axis=0) - 1).max() < 0.3  # of each grid point and latent: 0.05 each
    assert len(np.unique(noise)) > 14_000


def test_the_number_of_draws_is_rounded_up(made):
    assert len(Representation.load(made / "sampled" / "representation.npz").codes) == 120


def test_sampled_depends_on_the_seed_alone_and_mean_on_nothing(make):
    first, again, other = (
        make(output="a", seed=1),
        make(output="b", seed=1, batch_size=7),
        make(output="c", seed=2),
    )
    codes = {
        (folder.name, name): Representation.load(folder / name / "representation.npz").codes
        for folder in (first, again, other)
        for name in ("mean", "sampled")
    }
    np.testing.assert_allclose(codes["a", "sampled"], codes["b", "sampled"], atol=1e-5)
    assert np.abs(codes["a", "sampled"] - codes["c", "sampled"]).max() > 0.1
    assert codes["a", "mean"].tobytes() == codes["c", "mean"].tobytes()


def test_images_are_divided_by_the_value_of_white(make, model, data, monkeypatch):
    white = dataclasses.replace(data, table=data.table * 255, scale=255)
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: white)
    np.testing.assert_allclose(
        Posterior.load(make() / "posterior.npz").mean, direct(model, data)[0], rtol=1e-5, atol=1e-6
    )


def test_hidden_factors_are_encoded_but_not_scored(make, data, monkeypatch):
    monkeypatch.setattr(
        datasets, "load", lambda name, data_dir: dataclasses.replace(data, visible=("place",))
    )
    table = Representation.load(make() / "mean" / "representation.npz")
    assert (table.factor_names, table.factor_sizes) == (("place",), (6,))
    assert table.factors.ravel().tolist() == list(range(6)) * 4


MASK = np.arange(24) % 5 == 1  # grid points 1, 6, 11, 16, 21


def write_held_out_run(folder, data, mask=MASK):
    """A run whose training held out the rows of `mask`, as training records it."""
    write_run(folder, data)
    np.save(folder / "held_out.npy", mask)
    record = results.read_step(folder)
    record["sha256"] = {"held_out.npy": results.file_hash(folder / "held_out.npy")}
    results.write_json(folder / "results.json", record)
    return folder


def test_tables_mark_the_rows_that_training_held_out(make, tmp_path, data):
    folder = make(model_dir=write_held_out_run(tmp_path / "run", data))
    posterior = Posterior.load(folder / "posterior.npz")
    assert posterior.held_out.tolist() == MASK.tolist()
    assert posterior.factors[posterior.held_out].tolist() == [
        [0, 1],
        [1, 0],
        [1, 5],
        [2, 4],
        [3, 3],
    ]
    held_out = {
        name: Representation.load(folder / name / "representation.npz").held_out.tolist()
        for name in ("mean", "sampled")
    }
    assert held_out == {"mean": MASK.tolist(), "sampled": 5 * MASK.tolist()}
    counts = [
        results.read_step(folder / part)["values"]["held_out_rows"]
        for part in (".", "mean", "sampled")
    ]
    assert counts == [5, 5, 25]


def test_without_held_out_rows_tables_and_records_are_as_before(made):
    assert Posterior.load(made / "posterior.npz").held_out is None
    assert "held_out_rows" not in results.read_step(made)["values"]
    assert "held_out_rows" not in results.read_step(made / "mean")["values"]


def test_the_mask_of_an_incomplete_grid_has_its_rows(make, tmp_path, data, monkeypatch):
    cells = np.arange(24)[::2]  # grid points 0, 2, 4, ...
    part = dataclasses.replace(data, table=data.table[:12], cells=cells)
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: part)
    mask = np.arange(12) == 3  # its fourth row: grid point 6
    folder = make(model_dir=write_held_out_run(tmp_path / "run", data, mask))
    posterior = Posterior.load(folder / "posterior.npz")
    assert posterior.held_out.tolist() == mask.tolist()
    assert posterior.factors[posterior.held_out].tolist() == [[1, 0]]


def test_where_hidden_factors_are_drawn_once_the_mask_is_read_by_grid_point(
    make, tmp_path, data, monkeypatch
):
    part = dataclasses.replace(data, visible=("shape",), drawn_once=("place",))
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: part)
    folder = make(model_dir=write_held_out_run(tmp_path / "run", data))
    held_out = Posterior.load(folder / "posterior.npz").held_out
    assert len(held_out) == 4
    assert held_out.tolist() == MASK[part.table_index()].tolist()


def remove(folder):
    (folder / "held_out.npy").unlink()


def edit(folder):
    np.save(folder / "held_out.npy", ~MASK)


def shorten(folder):
    write_mask(folder, MASK[:-1])


def number(folder):
    write_mask(folder, MASK.astype(np.int64))


def damage(folder):
    write_mask(folder, MASK, cut=10)


def write_mask(folder, mask, cut=0):
    """Another file under its own hash, as if training had written it."""
    np.save(path := folder / "held_out.npy", mask)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])
    record = results.read_step(folder)
    record["sha256"] = {"held_out.npy": results.file_hash(path)}
    results.write_json(folder / "results.json", record)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (remove, "is missing, which says what rows training held out"),
        (edit, "is not the file that training wrote: its bytes have changed"),
        (shorten, r"is no mask of the rows of tiny \(held_out.npy has .*\(23,\), .*\(24,\)"),
        (number, r"is no mask of the rows of tiny \(held_out.npy has dtype int64"),
        (damage, "is no mask of the rows of tiny"),
    ],
)
def test_a_mask_that_is_not_the_training_s_is_refused(make, tmp_path, data, spoil, message):
    spoil(write_held_out_run(tmp_path / "run", data))
    remedy = "; put it back, or train the model again in a new folder"
    with pytest.raises(DlibError, match=rf"^\S*held_out.npy {message}.*{remedy}\n  In call to"):
        make(model_dir=tmp_path / "run")  # the second line is gin's, and not printed
    assert not (tmp_path / "out" / "posterior.npz").exists()


def test_everything_is_float32_whatever_the_policy(make, model, data):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        folder = make()
    finally:
        keras.config.set_dtype_policy(before)
    posterior = Posterior.load(folder / "posterior.npz")
    np.testing.assert_allclose(posterior.mean, direct(model, data)[0], rtol=1e-5, atol=1e-6)
    for path in folder.rglob("*.npz"):
        arrays = np.load(path, allow_pickle=False)
        assert {
            arrays[name].dtype for name in ("mean", "log_variance", "codes") if name in arrays.files
        } == {np.dtype(np.float32)}


def test_records_tell_what_was_made_from_what(make, model, data):
    folder = make(seed=3)
    posterior, sampled = results.read_step(folder), results.read_step(folder / "sampled")
    mean, log_variance = direct(model, data)
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).mean(axis=0)
    assert posterior["values"]["grid_points"] == 24
    np.testing.assert_allclose(posterior["values"]["latent_kl"], kl, rtol=1e-4)
    assert sampled["values"] == {"rows": 120, "num_latent": 3, "seed": 3, "min_rows": 100}
    assert sampled["config"]["sampled_representation.min_rows"] == 100
    assert [record["step"] for record in results.history(sampled)] == [
        "postprocess",
        "posterior",
        "train",
    ]
    assert results.label(sampled, "dataset") == "tiny"
    assert results.label(sampled, "hyperparameters") == {"beta": 4.0}
    assert results.label(sampled, "representation") == "sampled"
    gin_utils.parse([str(folder / "sampled" / "config.gin")])
    assert gin_utils.typed_bindings(gin_utils.resolved_text())["postprocess.batch_size"] == 1024


def test_a_rerun_does_nothing(make, made, never_encode, capsys):
    before = files(made)
    never_encode()
    folder = make()
    assert files(folder) == before
    assert capsys.readouterr() == (
        f"{folder}/mean is there; nothing to do\n{folder}/sampled is there; nothing to do\n",
        "",
    )


def test_another_representation_is_derived_without_encoding_again(make, never_encode):
    folder = make(representations=["mean"])
    assert not (folder / "sampled").exists()
    never_encode()
    make(representations=["mean", "sampled"])
    assert results.is_complete(folder / "sampled")


@pytest.mark.parametrize(
    "bindings, arguments, message",
    [
        ([], {"seed": 1}, "was made with seed 0, not 1"),
        (["sampled_representation.min_rows = 200"], {}, "was made with min_rows 100, not 200"),
    ],
)
def test_codes_of_another_configuration_are_refused_and_kept(
    make, made, bindings, arguments, message
):
    before = files(made)
    with pytest.raises(
        UserError, match=rf"{message}; choose another --output_dir, or use --overwrite"
    ):
        make(*bindings, representations=["sampled"], **arguments)
    assert files(made) == before


@pytest.mark.parametrize("part", ["posterior.npz", "mean/representation.npz"])
def test_codes_that_took_the_place_of_others_are_made_again(make, made, capsys, part):
    before = Representation.load(made / "mean" / "representation.npz").codes
    kind = Posterior if part == "posterior.npz" else Representation
    table = kind.load(made / part)
    changed = {"mean": table.mean + 1} if kind is Posterior else {"codes": table.codes + 1}
    dataclasses.replace(table, **changed).save(made / part)
    make()
    assert (
        f"{part} is not the file that dlib_postprocess wrote: making it again"
        in capsys.readouterr().err
    )
    np.testing.assert_array_equal(
        Representation.load(made / "mean" / "representation.npz").codes, before
    )


def test_an_edited_representation_is_refused_and_kept(make, never_encode, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "own_codes.py"
    source = (
        "import gin\n\n\n@gin.register\ndef doubled_representation(mean, log_variance, rng):\n   "
        " return 2 * mean\n"
    )
    module.write_text(source)
    before = files(make("import own_codes", representations=["doubled"]))
    never_encode()
    assert files(make("import own_codes", representations=["doubled"])) == before
    module.write_text(source.replace("2 *", "3 *"))
    with pytest.raises(UserError, match=rf"the source of own_codes, {module}, has changed"):
        make("import own_codes", representations=["doubled"])
    assert files(tmp_path / "out") == before


def test_a_posterior_that_is_made_anew_renews_the_representations(make, model, tmp_path):
    folder = make(representations=["mean"])
    before = (folder / "mean" / "representation.npz").stat().st_mtime_ns
    (folder / "posterior.npz").write_bytes(b"damaged")
    make(representations=["mean"])
    assert json.dumps(results.read_step(folder / "mean")["made_from"]) == json.dumps(
        results.read_step(folder)
    )
    assert (folder / "mean" / "representation.npz").stat().st_mtime_ns > before


def test_another_model_is_refused_unless_it_may_overwrite(make, made, tmp_path, data):
    folder = made
    before = files(folder)
    write_run(tmp_path / "other", data, seed=1)
    with pytest.raises(
        UserError,
        match=(
            r"out was made from .*model as trained at .*, not from this model as it is now"
            r" \(.*other"
        ),
    ):
        make(model_dir=tmp_path / "other")
    assert files(folder) == before
    make(model_dir=tmp_path / "other", overwrite=True)
    np.testing.assert_allclose(
        Posterior.load(folder / "posterior.npz").mean,
        direct(tmp_path / "other", data)[0],
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_model_that_was_trained_further_is_another_one(make, model, data, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    write_run(copy, data)
    make(model_dir=copy)
    write_run(copy, data, steps=14)
    with pytest.raises(UserError, match="not from this model as it is now"):
        make(model_dir=copy)


def test_an_interruption_after_the_posterior_is_resumed_from_it(make, never_encode, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(
            representation, "derive", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            make()
    never_encode()
    folder = make()
    assert results.is_complete(folder / "mean")
    assert results.is_complete(folder / "sampled")


def test_an_interruption_before_a_record_makes_that_part_again(make, made_once, monkeypatch):
    for stopped_at in (1, 2, 3):
        calls = []

        def write_step(
            *arguments, number=stopped_at, calls=calls, write=results.write_step, **others
        ):
            calls.append(arguments)
            if len(calls) == number:
                raise KeyboardInterrupt
            return write(*arguments, **others)

        with monkeypatch.context() as patched:
            patched.setattr(results, "write_step", write_step)
            with pytest.raises(KeyboardInterrupt):
                make(output=f"stopped_at_{stopped_at}")
        folder = make(output=f"stopped_at_{stopped_at}")
        tables = {name: content for name, content in files(folder).items() if name.endswith(".npz")}
        assert len(tables) == 3
        assert all(
            np.load(folder / name)["factors"].shape == np.load(made_once / name)["factors"].shape
            for name in tables
        )
        assert set(files(folder)) == set(files(made_once))


@pytest.mark.parametrize("part", [0, 0.6, 0.999])
def test_a_truncated_posterior_is_said_and_made_again(make, made, capsys, part):
    folder = made
    before, path = Posterior.load(folder / "posterior.npz"), folder / "posterior.npz"
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    make()
    assert "posterior.npz is damaged" in capsys.readouterr().err
    assert Posterior.load(path).mean.tobytes() == before.mean.tobytes()


@pytest.mark.parametrize("part", [0, 0.6, 0.999])
def test_a_truncated_representation_is_said_and_made_again(make, made, never_encode, capsys, part):
    path = made / "sampled" / "representation.npz"
    before = path.read_bytes()
    path.write_bytes(before[: int(part * len(before))])
    never_encode()
    make()
    err = capsys.readouterr().err
    assert "representation.npz is damaged" in err
    assert err.endswith("making it again\n")
    assert path.read_bytes() == before


def test_a_representation_whose_file_is_gone_is_made_again(make, made, never_encode):
    (made / "mean" / "representation.npz").unlink()
    never_encode()
    make()
    assert len(Representation.load(made / "mean" / "representation.npz").codes) == 24


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"representations": ["mean", "meen"]},
            r"no representation 'meen'; the known ones are (\w+, )*mean, (\w+, )*sampled",
        ),
        (
            {"representations": "mean"},
            r"postprocess.representations is 'mean'; expected a list of names, such as \['mean'\]",
        ),
        ({"representations": []}, r"postprocess.representations is \[\]; expected a list of names"),
        (
            {"representations": [3]},
            r"postprocess.representations is \[3\]; expected a list of names",
        ),
        ({"seed": -1}, "a seed must be a whole number of at least 0, got -1"),
        ({"seed": 0.5}, "a seed must be a whole number of at least 0, got 0.5"),
        ({"batch_size": 0}, "postprocess.batch_size must be a whole number of at least 1, got 0"),
        (
            {"model_dir": "nowhere"},
            "nowhere holds no finished training run; finish it with dlib_train --model_dir=nowhere",
        ),
    ],
)
def test_a_mistake_is_refused_before_anything_is_encoded(
    make, never_encode, arguments, message, tmp_path
):
    if "batch_size" not in arguments:
        never_encode()
    with pytest.raises(UserError, match=message):
        make(**arguments)
    assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_folder_of_the_model_is_no_output_folder(make, data, tmp_path, overwrite):
    write_run(tmp_path / "runs" / "model", data)
    before = files(tmp_path)
    with pytest.raises(
        UserError, match="holds the results of the step 'train', not of 'posterior'"
    ):
        make(output="runs/model", model_dir=tmp_path / "runs" / "model", overwrite=overwrite)
    assert files(tmp_path) == before


def test_overwriting_does_not_delete_a_model_inside_the_output_folder(make, made, data, tmp_path):
    folder = made
    write_run(folder / "model", data)
    before = files(folder)
    with pytest.raises(UserError, match=r"--overwrite would delete .*model, which is in use"):
        make(model_dir=folder / "model", overwrite=True)
    assert files(folder) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_refused_and_untouched(make, tmp_path, overwrite):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis").write_text("years of work")
    with pytest.raises(UserError, match="did not write"):
        make(overwrite=overwrite)
    assert files(tmp_path / "out") == {"thesis": b"years of work"}


def test_an_encoder_for_other_images_is_refused(make, data, monkeypatch):
    larger = dataclasses.replace(data, table=np.zeros((24, 32, 32, 1), np.uint8))
    monkeypatch.setattr(datasets, "load", lambda name, data_dir: larger)
    with pytest.raises(
        UserError, match=r"the encoder in .* takes images \(16, 16, 1\), tiny has \(32, 32, 1\)"
    ):
        make()


@pytest.mark.parametrize(
    "bias, message",
    [(1000.0, "the model has diverged"), (np.nan, "log_variance hold NaN or infinity")],
)
def test_a_diverged_model_is_said_without_warnings_and_leaves_no_results(
    make, model, data, tmp_path, bias, message
):
    copy = shutil.copytree(model, tmp_path / "copy")
    encoder = keras.saving.load_model(copy / "encoder.keras")
    layer = encoder.get_layer("log_variance")
    layer.set_weights([layer.get_weights()[0], np.full(3, bias)])
    encoder.save(copy / "encoder.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DlibError, match=message):
            make(model_dir=copy)
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_a_full_disk_keeps_what_is_whole(make, small_disk, never_encode):
    with pytest.raises(
        DlibError,
        match=r"cannot write .*sampled/representation.npz: No space left on device; free space",
    ):
        make("sampled_representation.min_rows = 200000", output=small_disk / "out")
    assert results.is_complete(small_disk / "out" / "mean")
    assert not results.is_complete(small_disk / "out" / "sampled")
    assert not list(small_disk.rglob("*.tmp"))
    never_encode()
    make(output=small_disk / "out")
    assert (
        json.loads((small_disk / "out" / "sampled" / "results.json").read_text())["values"]["rows"]
        == 120
    )
