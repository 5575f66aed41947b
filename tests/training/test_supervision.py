"""Pairs, labels and distributions in training: what a run records, resumes and refuses."""

import json

import keras
import numpy as np
import pytest

from dlib_tf2 import train
from dlib_tf2.configuration import gin_utils
from dlib_tf2.datasets import load
from dlib_tf2.errors import UserError
from dlib_tf2.postprocess import postprocess
from dlib_tf2.records import results
from dlib_tf2.udr import rank_folders

TINY = (
    "import tiny_networks",
    "train.encoder = @tiny_encoder",
    "train.decoder = @tiny_decoder",
    "NUM_LATENT = 6",
    "BATCH_SIZE = 8",
    "STEPS = 6",
    "train.eval_steps = 2",
    "adam.learning_rate = 1e-3",
)
HELD_OUT = "distributions/rendered_sprites_sqr2tx.gin"


@pytest.fixture
def trained(data_dir):
    def run(folder, method, *bindings, files=(), **arguments):
        gin_utils.parse([f"models/{method}.gin", *files], [*TINY, *bindings])
        return train.train(folder, data_dir=data_dir, **arguments)

    return run


def weights(folder):
    return [
        weight
        for name in ("encoder", "decoder")
        for weight in keras.saving.load_model(folder / f"{name}.keras", compile=False).get_weights()
    ]


@pytest.mark.parametrize("method", ["ada_gvae", "slow_vae", "s2_beta_vae"])
def test_a_run_goes_on_as_if_it_had_never_stopped(trained, tmp_path, method):
    labels = ("NUM_LABELLED = 20", "LABEL_TERM = @L2Labels()") if method == "s2_beta_vae" else ()
    trained(tmp_path / "stopped", method, *labels, "STEPS = 3")
    values = trained(tmp_path / "stopped", method, *labels)
    assert trained(tmp_path / "whole", method, *labels) == values
    for ours, theirs in zip(
        weights(tmp_path / "stopped"), weights(tmp_path / "whole"), strict=True
    ):
        assert ours.tobytes() == theirs.tobytes()


def test_a_run_with_held_out_rows_says_which_and_how_they_are_reconstructed(
    trained, tmp_path, data_dir
):
    values = trained(tmp_path / "run", "ada_gvae", files=[HELD_OUT])
    data = load("rendered_sprites/small", data_dir)
    held_out = np.load(tmp_path / "run" / "held_out.npy", allow_pickle=False)
    factors = data.space.to_factors(np.arange(data.space.size))
    half = data.space.sizes[3] // 2
    np.testing.assert_array_equal(held_out, (factors[:, 0] == 0) & (factors[:, 3] >= half))
    assert values["held_out/reconstruction_loss"] > 0
    assert values["held_out/reconstruction_loss"] != values["reconstruction_loss"]
    # of the same single images, as those that training draws
    assert values["drawn/reconstruction_loss"] > 0
    assert values["held_out/elbo"] == pytest.approx(
        -values["held_out/reconstruction_loss"] - values["held_out/kl"], rel=1e-6
    )
    record = results.read_step(tmp_path / "run")
    assert record["values"] == values
    assert "held_out.npy" in record["sha256"]
    facts = record["labels"]["sampler"]
    assert facts["rows"] == int((~held_out).sum())
    assert facts["entropy"] == pytest.approx(np.log(facts["rows"]))
    assert facts["distribution"].startswith("held out: shape == 0")


def test_a_correlated_run_records_r_and_mutual_information(trained, tmp_path):
    trained(tmp_path / "run", "vae", files=["distributions/rendered_sprites_x_y.gin"])
    facts = results.read_step(tmp_path / "run")["labels"]["sampler"]
    assert 0.9 < facts["correlation:x_position,y_position"] < 1
    assert facts["mutual_information:x_position,y_position"] > 0.9
    assert not (tmp_path / "run" / "held_out.npy").exists()


def test_validation_scores_are_those_of_the_labelled_rows(trained, tmp_path):
    values = trained(tmp_path / "run", "supervised", "NUM_LABELLED = 60")
    names = {name.removeprefix("validation/") for name in values if name.startswith("validation/")}
    assert {"mig", "sap", "dci_disentanglement", "dci_completeness"} < names
    assert "unified/mutual_information_matrix.mig" in names
    assert values["validation/mig"] == values["validation/unified/mutual_information_matrix.mig"]
    facts = results.read_step(tmp_path / "run")["labels"]["sampler"]
    assert (facts["labelled_train"], facts["labelled_validation"]) == (54, 6)
    # without rows to test on there are no accuracies
    other = trained(
        tmp_path / "other",
        "supervised",
        "NUM_LABELLED = 60",
        "LabelledSampler.train_fraction = 1.0",
    )
    assert "validation/mig" in other
    assert "validation/sap" not in other


def test_codes_without_a_trained_posterior_have_a_mean_only(trained, tmp_path, data_dir):
    trained(tmp_path / "run", "supervised", "NUM_LABELLED = 20")
    arguments = {"output_dir": tmp_path / "codes", "data_dir": data_dir}
    with pytest.raises(UserError, match="sampled codes mean nothing; use --representations=mean"):
        postprocess(tmp_path / "run", **arguments)
    postprocess(tmp_path / "run", **arguments, representations=["mean"])
    with pytest.raises(UserError, match="KL of its latents says nothing of which are in use"):
        rank_folders([tmp_path / "codes" / "mean", tmp_path / "codes"], tmp_path / "udr")


def test_the_same_labels_whatever_the_unlabelled_images_are(trained, tmp_path):
    labels = ("NUM_LABELLED = 20", "LABELLER = @partial_labeller")
    trained(tmp_path / "run", "s2_beta_vae", *labels)
    facts = results.read_step(tmp_path / "run")["labels"]["sampler"]
    assert len(facts["labelled_factors"]) == 2


@pytest.mark.parametrize(
    "method, bindings, message",
    [
        (
            "ada_gvae",
            ["train.sampler = @UniformSampler()"],
            "PairVAE reads pairs of images, which UniformSampler does not give; bind"
            r" train.sampler = @PairSampler\(\) or @TransitionSampler\(\)",
        ),
        (
            "s2_beta_vae",
            ["train.sampler = @PairSampler()"],
            "XentLabels reads labelled_image, labelled_point, label, which PairSampler does not"
            r" give; bind train.sampler = @LabelledSampler\(\)",
        ),
        (
            "factor_vae",
            ["FactorVAE.second_batch = True", "train.sampler = @PairSampler()"],
            "FactorVAE reads a second, independent image, and PairSampler gives pairs",
        ),
        ("ada_gvae", ["K = 6"], "PairSampler.k is 6, but rendered_sprites/small has 5 visible"),
        ("gvae", ["NUM_LATENT = 3"], "5 factors need as many codes, and there are 3"),
        ("s2_beta_vae", ["NUM_LATENT = 3"], "5 labels need as many codes, and there are 3"),
        ("s2_beta_vae", ["NUM_LABELLED = 1000000"], "only .* rows of rendered_sprites/small"),
        (
            "vae",
            [
                "import dlib_tf2.datasets.distributions",
                "SAMPLER = @WeightedSampler()",
                "WeightedSampler.distribution = @GridDistribution()",
                "GridDistribution.parts = [@first()]",
                "first.n = 5",
            ],
            "more than the 5 images of rendered_sprites/small left by .the first 5 grid points.",
        ),
        (
            "ada_gvae",
            ["PairVAE.pair_term = @SlowTerm"],
            r"PairVAE.pair_term must be a call of a term, such as @SlowTerm\(\)",
        ),
        ("ada_gvae", ["PairVAE.pair_term = @BetaKL()"], "must take two posteriors.*got BetaKL"),
        ("ada_gvae", ["train.sampler = @PairSampler"], r"such as @PairSampler\(\) with its"),
        ("vae", ["SAMPLER = 'pairs'"], "must be a call of a sampler.*got 'pairs'"),
        ("s2_beta_vae", ["LABEL_TERM = @L2Labels"], r"such as \[@XentLabels\(\)\] with its"),
        ("s2_beta_vae", ["train.terms = @L2Labels()"], "must be a list of calls of terms"),
        (
            "s2_beta_vae",
            ["train.terms = [@XentLabels(), @XentLabels()]", "NUM_LABELLED = 20"],
            "two terms called xent",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(trained, tmp_path, method, bindings, message):
    with pytest.raises(UserError, match=message):
        trained(tmp_path / "run", method, *bindings)
    assert not (tmp_path / "run").exists()


def test_where_records_are_streamed_only_uniform_draws_are_allowed(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "needs_records", lambda strategy: True)
    for method, sampler in (("ada_gvae", "PairSampler"), ("s2_beta_vae", "LabelledSampler")):
        with pytest.raises(UserError, match=f"train.sampler is {sampler}, but the hosts of this"):
            trained(tmp_path / "run", method)


def test_a_run_of_an_older_version_without_these_parameters_goes_on(trained, tmp_path):
    trained(tmp_path / "run", "vae", "STEPS = 3")
    path = tmp_path / "run" / "identity.json"
    identity = json.loads(path.read_text())
    assert not [name for name in identity if "ampler" in name]
    for name in ("train.terms", "VAE.detach"):
        del identity[name]
    path.write_text(json.dumps(identity))
    assert trained(tmp_path / "run", "vae")["steps"] == 6


def test_a_distribution_that_the_model_overrides_is_refused(data_dir, tmp_path):
    gin_utils.parse([HELD_OUT, "models/vae.gin"], TINY)
    with pytest.raises(UserError, match="give the distribution's file after the model's"):
        train.train(tmp_path / "run", data_dir=data_dir)


def test_a_lost_mask_is_written_again(trained, tmp_path, capfd):
    values = trained(tmp_path / "run", "vae", files=[HELD_OUT])
    (tmp_path / "run" / "held_out.npy").unlink()
    assert trained(tmp_path / "run", "vae", files=[HELD_OUT]) == values
    assert "held_out.npy missing or damaged: written again" in capfd.readouterr().err
    assert (tmp_path / "run" / "held_out.npy").is_file()


def test_pairs_that_do_not_differ_are_warned_of(trained, tmp_path, capfd):
    narrow = ["distributions/any_random.gin"]
    trained(tmp_path / "run", "ada_gvae", "FRACTION = 0.99", "K = 1", files=narrow)
    assert "of the pairs both images are one" in capfd.readouterr().err
    assert results.read_step(tmp_path / "run")["labels"]["sampler"]["identical_pairs"] > 0.05
