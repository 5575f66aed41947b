"""A study of tiny models in the current folder, as a user adds one: a file."""

import gin
import pytest

TINY_STUDY = """
from dlib_tf2.studies import Study, product, strengths

FIXED = (
    "import tiny_networks",
    "train.encoder = @tiny_encoder",
    "train.decoder = @tiny_decoder",
    "NUM_LATENT = 2",
    "BATCH_SIZE = 32",
    "STEPS = 20",
    "train.eval_steps = 2",
    "train.save_steps = 10",
    "evaluate.metrics = ['mig', 'unsupervised']",
)
SETTINGS = (
    *strengths("beta_vae", "BETA", (1, 4), *FIXED),
    *strengths("beta_tc_vae", "BETA", (4,), *FIXED),
)
STUDY = Study(product(("rendered_sprites/small",), SETTINGS, range(4)), suite="fast")
"""


@pytest.fixture
def tiny_study(tmp_path, monkeypatch):
    """The name of a study of 12 tiny models that lies in the current folder, a new one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "tiny_study.py").write_text(TINY_STUDY)
    return "tiny_study"


@pytest.fixture(autouse=True)
def clean_gin():
    gin.clear_config()
    yield
    gin.clear_config()
