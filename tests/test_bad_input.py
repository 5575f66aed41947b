"""The real commands, given mistakes: one line with the remedy, exit code, nothing touched.

Most run where TensorFlow cannot be loaded, which shows that a refusal does not wait for it.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import time

import no_tensorflow
import numpy as np
import pytest

from dlib_tf2.configuration import gin_utils
from dlib_tf2.records import results
from dlib_tf2.representations.representation import Representation
from dlib_tf2.system import locks
from dlib_tf2.system.folders import claim_folder

REPO = pathlib.Path(__file__).parents[1]
# What tells the reader what to do; every refusal holds one of these.
REMEDY = re.compile(
    r"--help|did you mean|known: |choose another|correct the name|expected |add --gin_bindings|"
    r"close the bracket|the files define no macro|finish it with|name the one|delete it and|"
    r"name the folder|make it again|must (?:be|describe)|free space"
)


@pytest.fixture(scope="module")
def without_tensorflow(tmp_path_factory):
    return no_tensorflow.environment(tmp_path_factory.mktemp("no_tensorflow"))


@pytest.fixture
def refused(run_command, without_tensorflow):
    """Runs a command that must refuse without TensorFlow: the message after the command's name."""

    def message(*arguments, code=2):
        return one_line(arguments[0], run_command(*arguments, environment=without_tensorflow), code)

    return message


def one_line(command, outcome, code):
    """The message of a refusal: one line on stderr, with a remedy, and the right exit code."""
    number, out, err = outcome
    assert (number, out) == (code, ""), err
    assert err.startswith(f"{command}: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert REMEDY.search(err), f"no remedy in {err!r}"
    return err.removeprefix(f"{command}: ").rstrip("\n")


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def thesis(tmp_path):
    """A folder that is not ours."""
    folder = tmp_path / "thesis"
    (folder / "chapter").mkdir(parents=True)
    (folder / "chapter" / "text").write_text("years of work")
    return folder


@pytest.fixture
def finished(tmp_path):
    """A folder that holds the record of a step: (step) -> folder."""

    def write(step):
        folder = claim_folder(tmp_path / step, step)
        results.write_step(folder, step, {"steps": 1}, started=time.time(), config_text="")
        return folder

    return write


TRAIN = ("dlib_train", "--model_dir=run", "--gin_config=models/beta_vae.gin")
POSTPROCESS = ("dlib_postprocess", "--model_dir=run", "--output_dir=out")
EVALUATE = ("dlib_evaluate", "--codes=codes.npy", "--factors=factors.npy", "--output_dir=out")


class TestFlags:
    @pytest.mark.parametrize(
        "arguments, expected",
        [
            (("dlib_train",), "missing required flag --gin_config, --model_dir;"),
            (TRAIN[:2], "missing required flag --gin_config;"),
            (("dlib_train", "--model_dir=", TRAIN[2]), "missing required flag --model_dir;"),
            (("dlib_postprocess", "--output_dir=out"), "missing required flag --model_dir;"),
            (("dlib_evaluate",), "missing required flag --output_dir;"),
            (
                ("dlib_evaluate", "--output_dir=out"),
                "missing required flag: give either --input_dir, or --codes and --factors;",
            ),
            (
                (*TRAIN, "--modeldir=x"),
                "Unknown command line flag 'modeldir'. Did you mean: model_dir",
            ),
            ((*TRAIN, "models/vae.gin"), "unexpected argument 'models/vae.gin'"),
            ((*TRAIN, "--overwrite=maybe"), "flag --overwrite=maybe:"),
            (
                (*TRAIN, "--strategy=mirored"),
                (
                    "flag --strategy=mirored: value should be one of"
                    " <default|mirrored|multi_worker|tpu>"
                ),
            ),
            ((*TRAIN, "--cpu_replicas=0"), "flag --cpu_replicas=0: 0 is not a positive integer"),
        ],
    )
    def test_a_mistake_in_the_flags(self, refused, arguments, expected):
        assert refused(*arguments).startswith(expected)


class TestGin:
    @pytest.mark.parametrize(
        "command",
        [TRAIN, POSTPROCESS, (*EVALUATE, "--metrics=mig")],
        ids=lambda command: command[0],
    )
    def test_every_command_refuses_the_same_mistakes(self, refused, tmp_path, command):
        message = refused(*command, "--gin_config=models/beta_vaee.gin")
        assert message.startswith("gin file 'models/beta_vaee.gin' not found in the current folder")
        assert str(REPO / "gin_configs") in message
        assert "did you mean models/beta_vae.gin" in message

        (tmp_path / "unset.gin").write_text("some.size = %SIZE\n")
        message = refused(*command, f"--gin_config={tmp_path / 'unset.gin'}")
        assert (
            message
            == 'macro %SIZE, which some.size uses, is not set; add --gin_bindings="SIZE = ..."'
        )

        assert refused(*command, "--gin_bindings=STEPP = 5").startswith(
            "no parsed gin file defines the macro STEPP; "
        )
        assert "Failed to parse token 'word'" in refused(
            *command, "--gin_bindings=some.name = word"
        )
        assert "unfinished statement in --gin_bindings" in refused(
            *command, "--gin_bindings=some.name = [1,"
        )

    @pytest.mark.parametrize(
        "binding, close",
        [("STEP = 5", "STEPS"), ("BETTA = 5", "BETA"), ("DATSET = 'x'", "DATASET")],
    )
    def test_a_mistyped_macro_names_the_close_ones(self, refused, binding, close):
        message = refused(*TRAIN, f"--gin_bindings={binding}")
        assert message.startswith(
            f"no parsed gin file defines the macro {binding.split()[0]}; did you mean {close}"
        )

    def test_a_missing_include_is_named(self, refused, tmp_path):
        (tmp_path / "mine.gin").write_text('include "models/gone.gin"\n')
        message = refused(*TRAIN, f"--gin_config={tmp_path / 'mine.gin'}")
        assert message.startswith("gin file 'models/gone.gin' not found")
        assert message.endswith(f"(included by {tmp_path / 'mine.gin'})")

    def test_syntax_is_shown_with_file_and_line(self, refused, tmp_path):
        (tmp_path / "mine.gin").write_text("# mine\ntrain.steps := 5\n")
        assert refused(*TRAIN, f"--gin_config={tmp_path / 'mine.gin'}").startswith(
            f"gin: {tmp_path / 'mine.gin'}, line 2"
        )

    def test_an_unknown_name_or_parameter_without_tensorflow(self, refused):
        message = refused(*EVALUATE, "--metrics=mig", "--gin_bindings=mig.bins = 5")
        assert message.startswith("gin: Configurable 'mig' doesn't have a parameter named 'bins'")
        assert message.endswith("did you mean num_bins?")
        message = refused(*EVALUATE, "--metrics=mig", "--gin_bindings=migg.num_bins = 5")
        assert message.startswith("gin: No configurable matching 'migg'")
        assert "did you mean mig" in message

    @pytest.mark.parametrize(
        "binding, message",
        [
            ("STEPS = 'x'", "train.steps must be a whole number, got 'x'"),
            ("SEED = True", "train.seed must be a whole number, got True"),
            ("train.seed = @adam", "train.seed must be a whole number, got '@adam'"),
            ("train.save_minutes = 'x'", "train.save_minutes must be a number, got 'x'"),
            ("train.save_steps = 2.5", "train.save_steps must be a whole number or None, got 2.5"),
            ("train.labels = 3", 'train.labels must be a dictionary such as {"beta": 4.0} or None'),
            ("train.encoder = 'VAE'", "train.encoder must be a reference such as @conv_encoder"),
        ],
    )
    def test_a_value_of_another_kind_without_tensorflow(self, refused, binding, message):
        assert message in refused(*TRAIN, f"--gin_bindings={binding}")

    def test_only_the_value_that_counts_must_be_of_the_right_kind(self):
        later = ["STEPS = 'x'", "STEPS = 5", "train.save_steps = None", "train.encoder = @adam()"]
        gin_utils.GinText(["models/beta_vae.gin"], later)


class TestFolders:
    @pytest.mark.parametrize("overwrite", ["--nooverwrite", "--overwrite"])
    def test_a_folder_that_is_not_ours_is_refused_and_untouched(
        self, refused, thesis, finished, overwrite
    ):
        before, run = files(thesis), finished("train")
        for command in (
            ("dlib_train", TRAIN[2], f"--model_dir={thesis}", overwrite),
            ("dlib_postprocess", f"--model_dir={run}", f"--output_dir={thesis}", overwrite),
        ):
            message = refused(*command)
            assert (
                message
                == f"{thesis} holds files that dlib_tf2 did not write (no .dlib_tf2 in it); choose"
                " another folder or empty it yourself"
            )
        assert files(thesis) == before

    @pytest.mark.parametrize("name", ["text", "text/below"])
    def test_a_file_in_the_place_of_a_folder(self, refused, thesis, name):
        path = thesis / "chapter" / name
        expected = (
            f"{thesis / 'chapter' / 'text'} is a file, not a folder; choose another output folder"
        )
        assert refused("dlib_train", TRAIN[2], f"--model_dir={path}") == expected

    def test_a_name_that_is_too_long(self, refused, tmp_path):
        assert refused(
            "dlib_train", TRAIN[2], f"--model_dir={tmp_path / ('x' * 300)}", code=2
        ).startswith("File name too long: ")

    def test_names_and_folders_of_the_dataset_commands(self, refused, thesis, tmp_path):
        draw = ("dlib_visualize_dataset", "--dataset=rendered_sprites/small")
        assert refused(draw[0], "--dataset=nope", f"--output_dir={tmp_path / 'new'}").startswith(
            "unknown dataset 'nope'; known: "
        )
        assert "holds files that dlib_tf2 did not write" in refused(*draw, f"--output_dir={thesis}")
        said = refused(
            "dlib_prepare_data", "--dataset=dsprites_full", f"--manual_dir={tmp_path / 'nowhere'}"
        )
        assert (
            said == f"--manual_dir={tmp_path / 'nowhere'} is not a folder; name the one that holds"
            " the original files"
        )
        assert not (tmp_path / "new").exists()

    def test_a_model_folder_without_a_finished_run(self, refused, tmp_path, finished):
        missing, unfinished = tmp_path / "missing", claim_folder(tmp_path / "unfinished", "train")
        for folder in (missing, unfinished):
            message = refused(
                "dlib_postprocess", f"--model_dir={folder}", f"--output_dir={tmp_path / 'out'}"
            )
            assert (
                message == f"{folder} holds no finished training run; finish it with dlib_train"
                f" --model_dir={folder}"
            )
        other = finished("posterior")
        message = refused(
            "dlib_postprocess", f"--model_dir={other}", f"--output_dir={tmp_path / 'out'}"
        )
        assert (
            message
            == f"{other} was written by the step 'posterior', not by dlib_train; name the folder of"
            " a training run"
        )
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("overwrite", ["--nooverwrite", "--overwrite"])
    def test_a_folder_of_another_step_is_not_mixed_up(self, refused, finished, overwrite):
        model, codes = finished("train"), finished("posterior")
        before = files(model.parent)
        message = refused(
            "dlib_postprocess", f"--model_dir={model}", f"--output_dir={model}", overwrite
        )
        assert (
            message
            == f"{model} holds the results of the step 'train', not of 'posterior'; choose another"
            " output folder"
        )
        message = refused("dlib_train", TRAIN[2], f"--model_dir={codes}", overwrite)
        assert (
            message
            == f"{codes} holds the results of the step 'posterior', not of 'train'; choose another"
            " output folder"
        )
        assert files(model.parent) == before

    def test_a_damaged_record(self, refused, finished, tmp_path):
        path = finished("train") / "results.json"
        path.write_bytes(path.read_bytes()[:50])
        message = refused(
            "dlib_postprocess",
            f"--model_dir={path.parent}",
            f"--output_dir={tmp_path / 'out'}",
            code=1,
        )
        assert message.startswith(f"{path} is damaged (")
        assert message.endswith("; delete it and run the step again")

    @pytest.mark.parametrize("overwrite", ["--nooverwrite", "--overwrite"])
    def test_a_folder_where_a_run_is_at_work(self, refused, finished, overwrite):
        folder = finished("train")
        with locks.only_process(folder):
            message = refused("dlib_train", TRAIN[2], f"--model_dir={folder}", overwrite)
        assert message.startswith(f"another process is at work in {folder} (process {os.getpid()} ")


class TestTables:
    @pytest.fixture
    def table(self, tmp_path):
        factors = np.stack(np.unravel_index(np.arange(60), (3, 4, 5)), axis=1)
        codes = factors + np.random.default_rng(0).normal(0, 0.1, factors.shape)
        np.save(tmp_path / "codes.npy", codes)
        np.save(tmp_path / "factors.npy", factors)
        Representation(codes, factors, ("a", "b", "c"), (3, 4, 5)).save(
            tmp_path / "codes" / "representation.npz"
        )
        return tmp_path

    @pytest.fixture
    def evaluate(self, refused, table):
        return lambda *flags, **options: refused(
            "dlib_evaluate", "--metrics=mig", f"--output_dir={table / 'out'}", *flags, **options
        )

    def test_codes_and_factors_of_different_length(self, evaluate, table):
        np.save(table / "short.npy", np.load(table / "factors.npy")[:-1])
        message = evaluate(f"--codes={table / 'codes.npy'}", f"--factors={table / 'short.npy'}")
        assert (
            message
            == "codes have 60 rows and factors 59; row i of both must describe the same example"
        )

    def test_a_truncated_table(self, evaluate, table):
        path = table / "codes" / "representation.npz"
        path.write_bytes(path.read_bytes()[:-100])
        message = evaluate(f"--input_dir={table / 'codes'}", code=1)
        assert message.startswith(f"{path} is damaged")
        assert message.endswith("make it again with dlib_postprocess")

    def test_a_full_disk(self, run_command, without_tensorflow, table, small_disk):
        with contextlib.suppress(OSError), open(small_disk / "filling", "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        flags = [f"--input_dir={table / 'codes'}", f"--output_dir={small_disk / 'out'}"]
        code, _, err = run_command(
            "dlib_evaluate", "--metrics=mig", *flags, environment=without_tensorflow
        )
        assert code == 1
        assert err.count("\n") == 1
        assert "No space left on device; free space or choose another folder" in err


@pytest.fixture(scope="module")
def run(run_command, tiny_flags, tmp_path_factory):
    """A finished run of two steps: (model_dir, stdout, stderr)."""
    folder = tmp_path_factory.mktemp("run") / "model"
    code, out, err = run_command(*tiny_flags(folder, "STEPS = 2"))
    assert code == 0, err
    return folder, out, err


@pytest.fixture(scope="module")
def outcomes(start_command, tiny_flags, run, tmp_path_factory):
    """(exit code, stdout, stderr) of commands that run side by side, by name."""
    folder, new = run[0], tmp_path_factory.mktemp("new")
    before = {**files(folder), ".lock": b""}
    started = {
        "dry run": start_command(*tiny_flags(new / "dry", "STEPS = 7"), "--dry_run"),
        "another configuration": start_command(*tiny_flags(folder, "STEPS = 2", "BETA = 1.0")),
        "unknown dataset": start_command(*tiny_flags(new / "data", 'DATASET = "rendered_sprite"')),
    }
    finished = {name: command.finish() for name, command in started.items()}
    assert {**files(folder), ".lock": b""} == before  # the lock names the last process that held it
    assert list(new.iterdir()) == []
    return finished


class TestWithTensorflow:
    """The few mistakes that show only once TensorFlow is loaded, on one run of the commands."""

    def test_a_run_is_quiet_and_prints_where_its_pictures_are(self, run):
        folder, out, err = run
        assert out.splitlines()[-2:] == [
            f"{folder}/pictures/reconstructions.png",
            f"{folder}/pictures/traversals.png",
        ]
        assert all(
            (folder / "pictures" / name).read_bytes().startswith(b"\x89PNG")
            for name in ("reconstructions.png", "traversals.png")
        )
        # no noise of TensorFlow's start
        assert [line.split()[0] for line in err.splitlines()] == ["step", "evaluation"]

    def test_the_configuration_of_a_run_parses_again_to_what_its_record_holds(self, run):
        folder = run[0]
        record = results.read_step(folder)
        gin_utils.parse([str(folder / "config.gin")])
        assert (
            json.loads(json.dumps(gin_utils.typed_bindings(gin_utils.resolved_text())))
            == record["config"]
        )
        kept = [record["config"][name] for name in ("train.steps", "BetaKL.beta", "train.encoder")]
        assert kept == [2, 4.0, "@tiny_encoder"]
        shutil.copy(folder / "config.gin", folder.parent / "again.gin")
        # its macros can still be overridden
        gin_utils.parse([str(folder.parent / "again.gin")], ["STEPS = 9"])
        assert gin_utils.typed_bindings(gin_utils.resolved_text())["train.steps"] == 9

    def test_a_dry_run_prints_the_resolved_configuration_and_writes_nothing(self, outcomes):
        code, out, err = outcomes["dry run"]
        assert (code, err) == (0, "")
        assert gin_utils.typed_bindings(out)["train.steps"] == 7

    def test_a_folder_of_another_configuration_names_what_differs(self, outcomes, run):
        message = one_line("dlib_train", outcomes["another configuration"], 2)
        assert message.startswith(
            f"{run[0]} holds another configuration (BetaKL.beta is 4.0 there and 1.0 here); choose"
            " another --model_dir"
        )

    def test_an_unknown_dataset_names_the_known_ones(self, outcomes):
        message = one_line("dlib_train", outcomes["unknown dataset"], 2)
        assert message.startswith("unknown dataset 'rendered_sprite'; known: ")
        assert message.endswith("; did you mean rendered_sprites?")
