"""Names in gin text are looked up before anything is imported: mistakes are refused early, and
nothing right is refused.
"""

import pathlib
import re

import no_tensorflow
import pytest

from dlib_tf2 import studies
from dlib_tf2.configuration import gin_utils
from dlib_tf2.errors import UserError

REPO = pathlib.Path(__file__).parents[2]
GIN_FILES = sorted(
    path.relative_to(REPO / "gin_configs").as_posix()
    for path in (REPO / "gin_configs").rglob("*.gin")
)
# what a file leaves to those that include it
MACROS = [
    'DATASET = "x"',
    "NUM_LATENT = 1",
    "STEPS = 1",
    "BATCH_SIZE = 1",
    "SEED = 0",
    "SAMPLER = None",
]


@pytest.mark.parametrize("name", GIN_FILES)
def test_every_shipped_file_passes(name):
    used = set(re.findall(r"%(\w+)", (gin_utils.config_dir() / name).read_text()))
    missing = [macro for macro in MACROS if macro.split()[0] in used]
    alone = name in ("models/shared.gin", "models/labels.gin")
    gin_utils.GinText([name], missing if alone else [])


@pytest.mark.parametrize("name", studies.known_names())
def test_every_setting_of_a_study_passes(name):
    study = studies.find(name)
    # one model of each: datasets and seeds are macros
    settings = {one.setting: one for one in study.configurations}
    assert len(settings) >= 6
    for setting, one in settings.items():
        gin_utils.GinText([f"models/{setting.method}.gin", *study.gin_config], one.bindings)


@pytest.mark.parametrize(
    "binding, message",
    [
        ("train.stepz = 3", "doesn't have a parameter named 'stepz'.*did you mean .*steps"),
        ("trian.steps = 3", "No configurable matching 'trian'.*did you mean .*train"),
        ("train.model = @VEA", "No configurable matching reference '@VEA'.*did you mean VAE"),
        (
            "VAE.regularizer = [@BetaKL(), @BetaKI()]",
            "No configurable matching reference '@BetaKI.*did you mean .*BetaKL",
        ),
        (
            "import dlib_tf2.regularizers.beta_kll",
            "No module named 'dlib_tf2.regularizers.beta_kll'.*did you mean .*beta_kl",
        ),
    ],
)
def test_an_unknown_name_is_refused_before_tensorflow(run_command, tmp_path, binding, message):
    without_tensorflow = no_tensorflow.environment(tmp_path)
    with pytest.raises(UserError, match=message):
        gin_utils.GinText(["models/beta_vae.gin"], [binding])
    flags = (
        "--gin_config=models/beta_vae.gin",
        f"--gin_bindings={binding}",
        f"--model_dir={tmp_path / 'run'}",
    )
    code, out, err = run_command("dlib_train", *flags, environment=without_tensorflow)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_an_unknown_dataset_is_refused_before_tensorflow(run_command, tmp_path):
    flags = (
        "--gin_config=models/beta_vae.gin",
        '--gin_bindings=DATASET = "dsprites_fll"',
        f"--model_dir={tmp_path / 'run'}",
    )
    code, _, err = run_command(
        "dlib_train", *flags, environment=no_tensorflow.environment(tmp_path)
    )
    assert code == 2
    assert "unknown dataset 'dsprites_fll'" in err
    assert "did you mean dsprites_full?" in err


def test_a_study_on_an_unknown_dataset_is_refused_before_tensorflow(run_command, tmp_path):
    flags = (
        "--study=rendered_study",
        "--model_num=0",
        f"--output_dir={tmp_path / 'out'}",
        "--set",
        "DATASET=cars4d",
    )
    code, _, err = run_command(
        "dlib_reproduce", *flags, environment=no_tensorflow.environment(tmp_path)
    )
    assert code == 2
    assert "unknown dataset 'cars4d'" in err
    assert not (tmp_path / "out").exists()


def test_what_other_modules_register_is_left_to_gin(tmp_path, monkeypatch):
    (tmp_path / "mine.gin").write_text(
        "import my_module\ninclude 'models/beta_vae.gin'\ntrain.encoder ="
        " @my_encoder\nmy_encoder.width = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    gin_utils.GinText(["mine.gin"], [])  # the module is not even there: nothing is imported


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_mark_of_some_editors_before_the_text_is_left_out(tmp_path, monkeypatch, mark):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner.gin").write_bytes(mark + b"STEPS = 77\n")
    (tmp_path / "outer.gin").write_bytes(
        mark + b"include 'models/beta_vae.gin'\ninclude 'inner.gin'\n"
    )
    assert gin_utils.GinText(["outer.gin"]).value("train.steps") == 77
    gin_utils.parse(["metrics/mig.gin", "inner.gin"])
    assert "STEPS = 77" in gin_utils.resolved_text()
