"""UDR: pair scores by hand, agreement and disagreement of made models, and the command on
folders.
"""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso

from dlib_tf2.configuration import gin_utils
from dlib_tf2.errors import ScoreWarning, UserError
from dlib_tf2.records import results
from dlib_tf2.representations.representation import Representation
from dlib_tf2.udr import lasso_relation, pair_score, rank_folders, spearman_relation, udr

FACTORS = np.stack(np.unravel_index(np.arange(8**4), (8,) * 4), axis=1)
KL = np.ones(4)


@pytest.fixture(scope="module")
def latents():
    return np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)


def run(codes, kl=None, seed=0, **parameters):
    return udr(
        codes,
        [np.ones(array.shape[1]) for array in codes] if kl is None else kl,
        np.random.default_rng(seed),
        **parameters,
    )


@pytest.mark.parametrize(
    "relation, expected",
    [
        (np.eye(10), 1.0),
        (np.ones((3, 3)), 1 / 3),
        (np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]), 2 / 3),
        (np.zeros((4, 4)), 0.0),
        (np.zeros((0, 4)), 0.0),
        # columns: 0.5 and 0, mean 0.25; the row: 0.25 / 0.5
        (np.array([[0.5, 0.0]]), 0.5 * (0.25 + 0.5)),
    ],
)
def test_pair_scores_by_hand(relation, expected):
    assert pair_score(relation) == pytest.approx(expected)


def test_the_lasso_of_equal_models_has_a_ceiling_of_nine_tenths(latents):
    order = [2, 0, 3, 1]
    twin = latents[:, order] * [1, -2, 0.1, 5]  # permuted, scaled, flipped
    ranking = run([latents, twin], num_data_points=2000)
    np.testing.assert_allclose(ranking.model_scores, 0.9, atol=0.005)
    np.testing.assert_allclose(ranking.relations[0, 1], 0.9 * np.eye(4)[:, order], atol=0.02)
    assert (
        0.85
        < run([latents, twin], num_data_points=2000, relation=spearman_relation).model_scores.min()
        <= 1
    )


def test_relations_equal_scikit_learn_and_scipy(latents):
    targets = latents @ np.random.default_rng(1).normal(size=(4, 3)) + 1
    expected = np.abs(Lasso(alpha=0.1).fit(latents, targets).coef_).T
    np.testing.assert_allclose(lasso_relation()(latents, targets), expected)
    np.testing.assert_allclose(
        lasso_relation()(latents, targets[:, :1]), expected[:, :1], atol=1e-6
    )
    expected = np.abs(spearmanr(latents, targets)[0][:4, 4:])
    np.testing.assert_allclose(
        spearman_relation()(latents.astype(float), targets), expected, atol=1e-12
    )


def test_unrelated_and_rotated_models_score_low_and_the_odd_one_out_is_last(latents):
    rng = np.random.default_rng(2)
    rotated = latents @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    alike = [latents, -latents[:, ::-1], latents[:, [1, 0, 2, 3]], latents * 3]
    ranking = run([*alike, rotated, rng.normal(size=latents.shape)])
    assert ranking.model_scores[:4].min() > 0.85
    assert ranking.model_scores[4] < 0.6
    assert ranking.model_scores[5] == pytest.approx(0, abs=0.05)
    assert ranking.pair_scores.shape == (6, 6)
    assert ranking.model_scores[0] == pytest.approx(np.median(ranking.pair_scores[1:, 0]))


def test_latents_of_low_kl_are_left_out_if_asked_for(latents):
    rng = np.random.default_rng(3)
    noisy = [
        np.concatenate([codes, rng.normal(size=(3000, 8))], axis=1)
        for codes in (latents, latents[:, ::-1])
    ]
    kl = [np.r_[np.ones(4), np.full(8, 0.01)]] * 2  # the threshold itself is not above it
    for relation in (lasso_relation, spearman_relation):
        ranking = run(noisy, kl, relation=relation)
        assert ranking.model_scores.min() > 0.8
        assert ranking.num_informative.tolist() == [4, 4]
        unfiltered = run(noisy, kl, relation=relation, filter_low_kl=False)
        # 4 of 12 rows and columns
        np.testing.assert_allclose(unfiltered.model_scores, ranking.model_scores / 3, rtol=1e-6)


def test_a_collapsed_model_and_constant_codes_score_zero(latents):
    for collapsed, kl in ((latents, np.zeros(4)), (np.zeros_like(latents), KL)):
        with pytest.warns(ScoreWarning, match="no latent of model 3 is informative and varies"):
            ranking = run([latents] * 3 + [collapsed], [KL, KL, KL, kl], relation=spearman_relation)
        assert ranking.model_scores[3] == 0
        assert ranking.model_scores[:3].min() > 0.85


def test_models_of_different_widths_are_ranked_whatever_their_order(latents):
    wide = np.concatenate(
        [latents, latents[:, :2] + 0.1 * np.random.default_rng(4).normal(size=(3000, 2))], axis=1
    )
    one, other = run([latents, wide, latents[:, :1]]), run([latents[:, :1], latents, wide])
    np.testing.assert_allclose(one.model_scores, other.model_scores[[1, 2, 0]], rtol=1e-9)
    assert one.relations[1, 0].shape == (6, 4)


def test_what_does_not_fit_is_refused(latents):
    with pytest.raises(UserError, match="got codes of 1 models"):
        run([latents])
    with pytest.raises(UserError, match="codes of model 1 have 10 rows, those of model 0 3000"):
        run([latents, latents[:10]])
    with pytest.raises(UserError, match=r"latent_kl of model 1 has shape \(3,\), expected \(4,\)"):
        run([latents, latents], [KL, KL[:3]])
    with pytest.raises(UserError, match="codes of model 1 hold NaN"):
        run([latents, np.full_like(latents, np.nan)])


@pytest.mark.parametrize("alpha", [-1, 0, float("nan"), "small"])
def test_a_lasso_without_a_penalty_is_refused(alpha):
    with pytest.raises(UserError, match="lasso_relation.alpha must be"):
        lasso_relation(alpha)


@pytest.fixture
def folders(tmp_path):
    """Three models' representation folders; the third is another model than the first two."""
    rng = np.random.default_rng(0)
    codes = FACTORS + rng.normal(0, 0.1, FACTORS.shape)
    made = {"a": codes, "b": -codes[:, ::-1], "c": codes @ np.linalg.qr(rng.normal(size=(4, 4)))[0]}
    for name, array in made.items():
        folder = tmp_path / name / "mean"
        Representation(array, FACTORS, tuple("wxyz"), (8,) * 4).save(folder / "representation.npz")
        posterior = {
            "step": "posterior",
            "values": {"latent_kl": [1.0] * 4},
            "labels": {"dataset": "toy"},
            "made_from": None,
        }
        results.write_step(
            folder,
            "postprocess",
            {},
            started=0.0,
            previous=posterior,
            labels={"representation": "mean"},
            config_text="",
        )
    return [str(tmp_path / name / "mean") for name in made]


def test_the_command_ranks_folders_and_keeps_the_ranking(folders, tmp_path, run_command):
    flags = ["dlib_udr", f"--input_dirs={','.join(folders)}", f"--output_dir={tmp_path / 'udr'}"]
    code, out, err = run_command(*flags)
    assert (code, err) == (0, "")
    assert folders[0] in out
    record = json.loads((tmp_path / "udr" / "results.json").read_text())
    scores = record["values"]["model_scores"]
    assert min(scores[:2]) > scores[2]
    assert record["labels"]["dataset"] == "toy"
    assert record["config"]["udr.relation"] == "@lasso_relation"
    assert record["config"]["lasso_relation.alpha"] == 0.1
    with np.load(tmp_path / "udr" / "relations.npz", allow_pickle=False) as relations:
        assert len(relations.files) == 6
        assert pair_score(relations["0_1"]) == pytest.approx(
            record["values"]["pairwise_disentanglement_scores"][0][1]
        )

    gin_utils.parse(["udr.gin"])
    written = (tmp_path / "udr" / "results.json").stat().st_mtime_ns
    assert rank_folders(folders, tmp_path / "udr", num_workers=1)["model_scores"] == scores
    assert (tmp_path / "udr" / "results.json").stat().st_mtime_ns == written
    with pytest.raises(UserError, match="holds a ranking of other models or parameters"):
        rank_folders(folders[:2], tmp_path / "udr", num_workers=1)
    assert (
        len(
            rank_folders(folders[:2], tmp_path / "udr", num_workers=1, overwrite=True)[
                "model_scores"
            ]
        )
        == 2
    )


def test_an_edited_relation_is_another_configuration(folders, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "own_relation.py"
    source = (
        "import gin\nimport numpy as np\n\n\n@gin.register\ndef own_relation():\n    return"
        " relate\n\n\n"
    )
    source += (
        "def relate(latents, targets):\n    return np.abs(latents.T @ targets) / len(latents)\n"
    )
    module.write_text(source)
    gin_utils.parse(["udr.gin"], ["import own_relation", "udr.relation = @own_relation"])
    scores = [
        rank_folders(folders, tmp_path / "udr", num_workers=1)["model_scores"] for _ in range(2)
    ]
    assert scores[0] == scores[1]
    module.write_text(source.replace("len(latents)", "2 / len(latents)"))
    with pytest.raises(
        UserError,
        match=rf"holds another ranking: the source of own_relation, {module}, has changed",
    ):
        rank_folders(folders, tmp_path / "udr", num_workers=1)


@pytest.mark.parametrize("relation, flags", [("lasso", ["--num_workers=2"]), ("spearman", [])])
def test_scores_are_the_same_on_any_number_of_workers(
    folders, tmp_path, run_command, relation, flags
):
    binding, dirs = f"udr.relation = @{relation}_relation", f"--input_dirs={','.join(folders)}"
    code, _, err = run_command(
        "dlib_udr", dirs, f"--output_dir={tmp_path / 'many'}", f"--gin_bindings={binding}", *flags
    )
    assert (code, err) == (0, "")
    gin_utils.parse(["udr.gin"], [binding])
    values = rank_folders(folders, tmp_path / "one", num_workers=1)
    assert json.loads((tmp_path / "many" / "results.json").read_text())["values"] == values
    assert values["pairwise_disentanglement_scores"][0][1] > 0.8


def test_a_users_mistake_ends_the_command_with_one_line(folders, tmp_path, run_command):
    flags = ["dlib_udr", f"--input_dirs={','.join(folders)}", f"--output_dir={tmp_path / 'udr'}"]
    code, _, err = run_command(*flags, "--gin_bindings=lasso_relation.alpha = -1")
    assert (code, err) == (
        2,
        "dlib_udr: lasso_relation.alpha must be a number of at least 0, got -1\n",
    )
    (tmp_path / "b" / "mean" / "results.json").unlink()
    code, _, err = run_command(*flags)
    assert code == 2
    assert err.count("\n") == 1
    assert "b/mean holds no results.json, the record of each latent's KL" in err


def test_folders_that_cannot_be_ranked_are_refused_in_one_line(folders, tmp_path):
    gin_utils.parse(["udr.gin"])
    with pytest.raises(UserError, match="1 input folders, expected at least two different ones"):
        rank_folders(folders[:1], tmp_path / "out")
    with pytest.raises(UserError, match="2 input folders, expected at least two different ones"):
        rank_folders([folders[0], folders[0] + "/"], tmp_path / "out")
    with pytest.raises(
        UserError, match=r"holds no representation.npz; name folders that dlib_postprocess wrote"
    ):
        rank_folders([*folders, tmp_path], tmp_path / "out")
    other = tmp_path / "other"
    Representation(FACTORS[::-1].astype(np.float32), FACTORS[::-1], tuple("wxyz"), (8,) * 4).save(
        other / "representation.npz"
    )
    results.write_step(other, "postprocess", {}, started=0.0, config_text="")
    with pytest.raises(UserError, match="shows other examples than"):
        rank_folders([*folders, other], tmp_path / "out")
    Representation(FACTORS.astype(np.float32), FACTORS, tuple("wxyz"), (8,) * 4).save(
        other / "representation.npz"
    )
    with pytest.raises(
        UserError, match="has no latent_kl; make the representation with dlib_postprocess"
    ):
        rank_folders([*folders, other], tmp_path / "out")


@pytest.mark.parametrize(
    "parameters, message",
    [
        (
            {"num_data_points": 100.5},
            "num_data_points must be a whole number of at least 2, got 100.5",
        ),
        ({"kl_threshold": float("nan")}, "kl_threshold must be a number of at least 0, got nan"),
        ({"filter_low_kl": "False"}, "filter_low_kl must be True or False, got 'False'"),
        (
            {"relation": "lasso"},
            "relation = 'lasso', expected @lasso_relation or @spearman_relation",
        ),
    ],
)
def test_parameters_of_another_kind_are_refused(parameters, message):
    with pytest.raises(UserError, match=message):
        run([np.eye(4), np.eye(4)], **parameters)
