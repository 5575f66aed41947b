"""The studies: every configuration against the closed formula and the published grids, and what
each says about a mistake.
"""

import itertools
import pathlib
import re

import gin
import pytest

from dlib_tf2.configuration import gin_utils, metric_config
from dlib_tf2.datasets.loading import check_name
from dlib_tf2.errors import UserError
from dlib_tf2.records import results
from dlib_tf2.studies import find, known_names, models_of
from dlib_tf2.studies.numbers import format_numbers, parse_numbers
from dlib_tf2.studies.plan import make_plan

# The published grid, typed from the paper's table, not from the code: method, gin parameter,
# values, what is fixed beside it.
GRID = [
    ("beta_vae", "BetaKL.beta", [1, 2, 4, 6, 8, 16], {}),
    (
        "factor_vae",
        "FactorVAE.gamma",
        [10, 20, 30, 40, 50, 100],
        {"FactorVAE.discriminator": "@fc_discriminator", "train.counts_per_update": 2},
    ),
    (
        "dip_vae_i",
        "DIP.lambda_od",
        [1, 2, 5, 10, 20, 50],
        {"DIP.lambda_d_factor": 10, "DIP.covariance": "@covariance_of_means"},
    ),
    (
        "dip_vae_ii",
        "DIP.lambda_od",
        [1, 2, 5, 10, 20, 50],
        {"DIP.lambda_d_factor": 1, "DIP.covariance": "@covariance_of_samples"},
    ),
    ("beta_tc_vae", "BetaTC.beta", [1, 2, 4, 6, 8, 10], {}),
    (
        "annealed_vae",
        "AnnealedKL.c_max",
        [5, 10, 25, 50, 75, 100],
        {"AnnealedKL.gamma": 1000, "AnnealedKL.iteration_threshold": 100000},
    ),
]
MACROS = {
    "beta_vae": "BETA",
    "factor_vae": "GAMMA",
    "dip_vae_i": "LAMBDA_OD",
    "dip_vae_ii": "LAMBDA_OD",
    "beta_tc_vae": "BETA",
} | {"annealed_vae": "C_MAX"}
SEVEN = [
    "dsprites_full",
    "color_dsprites",
    "noisy_dsprites",
    "scream_dsprites",
    "smallnorb",
    "cars3d",
    "shapes3d",
]
PUBLISHED = {
    "unsupervised_study_v1": (SEVEN, 50, 12600),
    "fairness_study_v1": (SEVEN, 50, 12600),
    "abstract_reasoning_study_v1": (["shapes3d", "abstract_dsprites"], 5, 360),
}
SHARED = {
    "train.num_latent": 10,
    "train.steps": 300000,
    "train.batch_size": 64,
    "train.eval_steps": 1000,
    "train.encoder": "@conv_encoder",
}
SHARED |= {
    "adam.learning_rate": 1e-4,
    "adam.beta_1": 0.9,
    "adam.beta_2": 0.999,
    "adam.epsilon": 1e-8,
    "train.decoder": "@deconv_decoder",
}
SHARED |= {"VAE.reconstruction_loss": "@bernoulli_loss"}
NINE = [
    "beta_vae",
    "dci",
    "downstream_task_boosted_trees",
    "downstream_task_logistic_regression",
    "factor_vae",
    "mig",
]
NINE += ["modularity_explicitness", "sap", "unsupervised"]


def shown(study, number):
    """(dataset, method, strength, seed) of a model."""
    dataset, (method, bindings), seed = find(study).configuration(number)
    macro, value = bindings[0].split(" = ")
    assert macro == MACROS[method]
    return dataset, method, float(value), seed


@pytest.mark.parametrize("study", PUBLISHED)
def test_every_configuration_has_its_published_number(study):
    datasets, seeds, total = PUBLISHED[study]
    assert len(find(study)) == len(models_of(study)) == total
    for (d, dataset), m, seed in itertools.product(enumerate(datasets), range(36), range(seeds)):
        method, _, values, _ = GRID[m // 6]
        number = 36 * seeds * d + seeds * m + seed
        assert shown(study, number) == (dataset, method, values[m % 6], seed)


@pytest.mark.parametrize(
    "study, number, expected",
    [
        ("unsupervised_study_v1", 437, ("dsprites_full", "factor_vae", 30, 37)),
        ("unsupervised_study_v1", 5555, ("scream_dsprites", "beta_vae", 6, 5)),
        ("unsupervised_study_v1", 8888, ("smallnorb", "annealed_vae", 50, 38)),
        ("unsupervised_study_v1", 12599, ("shapes3d", "annealed_vae", 100, 49)),
        ("fairness_study_v1", 437, ("dsprites_full", "factor_vae", 30, 37)),
        ("abstract_reasoning_study_v1", 200, ("abstract_dsprites", "beta_vae", 8, 0)),
        ("rendered_study", 0, ("rendered_sprites/small", "beta_vae", 1, 0)),
        ("rendered_study", 53, ("rendered_sprites/small", "annealed_vae", 100, 2)),
        ("rendered_study", 54, ("rendered_shapes3d/small", "beta_vae", 1, 0)),
    ],
)
def test_worked_examples(study, number, expected):
    assert shown(study, number) == expected


def test_rendered_study_has_three_of_the_published_strengths_of_each_method():
    configurations = find("rendered_study").configurations
    assert len(set(configurations)) == len(configurations) == 6 * 3 * 3 * 2
    for method, _, values, _ in GRID:
        found = {
            shown("rendered_study", number)[2]
            for number in range(108)
            if shown("rendered_study", number)[1] == method
        }
        assert len(found) == 3
        assert found <= set(values)


@pytest.mark.parametrize("suite", ["study", "fast"])
@pytest.mark.parametrize("study", [*PUBLISHED, "rendered_study"])
def test_every_distinct_configuration_parses_and_binds_the_published_values(study, suite):
    import dlib_tf2.postprocess  # noqa: F401  as dlib_reproduce does before it parses

    found = find(study)
    for number in [
        next(n for n, c in enumerate(found.configurations) if c.setting == s)
        for s in {c.setting for c in found.configurations}
    ]:
        plan = make_plan(study, number, suite)
        gin_utils.parse([*metric_config.files(list(plan.metrics)), *plan.files], plan.bindings)
        values = gin_utils.typed_bindings(gin_utils.resolved_text())
        dataset, method, strength, seed = shown(study, number)
        _, parameter, _, fixed = next(row for row in GRID if row[0] == method)
        expected = {
            parameter: strength,
            "train.dataset": dataset,
            "train.seed": seed,
            "train.method": method,
        }
        expected |= {
            "train.labels": {"study": study, "model_num": number},
            "postprocess.representations": ["mean", "sampled"],
        }
        expected |= fixed | SHARED if study in PUBLISHED else {"train.batch_size": 64}
        if method == "factor_vae":
            discriminator = {
                "learning_rate": 1e-4 if study in PUBLISHED else 5e-4,
                "beta_1": 0.5,
                "beta_2": 0.9,
            }
            expected |= {
                f"discriminator/adam.{name}": value for name, value in discriminator.items()
            }
        if study == "rendered_study":
            assert values["train.steps"] / values.get("train.counts_per_update", 1) == 3000
            assert values.get("AnnealedKL.iteration_threshold", 1000) == 1000
        assert {key: values.get(key) for key in expected} == expected
        assert list(plan.metrics) == (
            sorted([*NINE, "fairness"]) if study == "fairness_study_v1" else NINE
        )
        trees = "@lightgbm_exact_gradient_boosting"
        assert values["dci.classifier"] == trees
        if study == "fairness_study_v1":
            assert values["fairness.classifier"] == trees


def test_seeds_do_not_depend_on_number_or_method():
    plans = [make_plan("unsupervised_study_v1", number) for number in (7, 57, 1757)]
    assert {
        tuple(text for text in plan.bindings if "SEED" in text or "seed" in text) for plan in plans
    } == {("SEED = 7",)}
    assert not any(
        "evaluate.seed" in text or "postprocess.seed" in text
        for plan in plans
        for text in plan.bindings
    )


def test_a_fingerprint_is_that_of_number_bindings_and_gin_text(tiny_study, tmp_path):
    def fingerprint(number=0, changes=()):
        from dlib_tf2.studies import plan

        plan._digest.cache_clear()
        return make_plan(tiny_study, number, None, changes).fingerprint()

    first = fingerprint()
    assert first == fingerprint()
    assert (
        len(
            {
                first,
                fingerprint(1),
                fingerprint(0, ["STEPS = 30"]),
                fingerprint(0, ["STEPS = 30", "SEED = 4"]),
            }
        )
        == 4
    )
    (tmp_path / "models").mkdir()
    # a file that the method's includes; a local one wins
    shared = (gin_utils.config_dir() / "models" / "shared.gin").read_text()
    (tmp_path / "models" / "shared.gin").write_text(shared.replace("1e-4", "2e-4"))
    assert fingerprint() != first
    (tmp_path / "mine.gin").write_text("mig.num_train = 100")
    before = fingerprint(0, ["include 'mine.gin'"])
    (tmp_path / "mine.gin").write_text("mig.num_train = 200")
    assert fingerprint(0, ["include 'mine.gin'"]) != before


def test_a_plan_knows_the_dataset_that_a_binding_puts_in():
    assert make_plan("unsupervised_study_v1", 5555).dataset == "scream_dsprites"
    assert (
        make_plan(
            "unsupervised_study_v1", 5555, None, ['DATASET = "rendered_sprites/small"']
        ).dataset
        == "rendered_sprites/small"
    )


def test_the_bindings_of_the_page_replace_each_dsprites_dataset_by_its_rendered_twin():
    page = (pathlib.Path(__file__).parents[2] / "docs" / "studies.md").read_text()
    rows = re.findall(r"^\| (\d+):(\d+) \| ([\w-]*dSprites) \| `(DATASET = \S+)`", page, re.M)
    abstract = re.search(r"the models (\d+):(\d+) take `(abstract_\S+)`", page)
    found = [("unsupervised_study_v1", *row) for row in rows]
    last = ("abstract_reasoning_study_v1", abstract[1], abstract[2], "Abstract-dSprites")
    found.append((*last, f'DATASET = "{abstract[3]}"'))
    kinds = ("Color", "Noisy", "Scream", "Abstract")
    titles = ["dSprites", *(f"{kind}-dSprites" for kind in kinds)]
    assert [title for *_, title, _ in found] == titles
    for study, first, end, title, binding in found:
        prefix = title.lower().removesuffix("dsprites").replace("-", "_")
        twin = f"{prefix}rendered_sprites/full"
        ends = (int(first), int(end) - 1)
        datasets = [find(study).configuration(number).dataset for number in ends]
        assert datasets == [f"{prefix}dsprites{'' if prefix else '_full'}"] * 2
        assert make_plan(study, int(first), None, [binding]).dataset == twin
        check_name(twin)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ("rendered_studi", 0),
            (
                r"unknown study 'rendered_studi'; the known ones are abstract.*unsupervised.*"
                r"; did you mean rendered_study\?"
            ),
        ),
        (("../x", 0), "unknown study"),
        (("rendered_study", -1), r"model_num -1 is not in 0 \.\. 107, the 108 models"),
        (("unsupervised_study_v1", 12600), r"model_num 12600 is not in 0 \.\. 12599"),
        (("rendered_study", 0, "exact"), "no suite 'exact'; choose one of study, fast"),
        (
            ("rendered_study", 0, None, ["STEPZ = 1"]),
            "no parsed gin file defines the macro STEPZ; did you mean STEPS",
        ),
        (
            ("rendered_study", 0, None, ["evaluate.metrics = []"]),
            r"evaluate.metrics is \[\]; expected a list of names, such as",
        ),
    ],
)
def test_a_mistake_is_named(arguments, message):
    with pytest.raises(UserError, match=message):
        make_plan(*arguments)


def test_a_study_is_one_file(tiny_study, tmp_path):
    assert tiny_study in known_names()
    assert (
        str(find(tiny_study).configuration(11))
        == "beta_tc_vae (BETA = 4.0) on rendered_sprites/small, seed 3"
    )
    (tmp_path / "studies" / "empty.py").write_text("")
    (tmp_path / "studies" / "broken.py").write_text("import nowhere")
    with pytest.raises(
        UserError, match=r"empty.py defines no STUDY = Study\(...\) of at least one model"
    ):
        find("empty")
    with pytest.raises(
        UserError,
        match=r"broken.py fails: ModuleNotFoundError: No module named 'nowhere'; correct it",
    ):
        find("broken")
    assert models_of("of_somebody_else") is None
    row = {"model_num": 11, "dataset": "rendered_sprites/small", "method": "beta_tc_vae", "seed": 3}
    assert {
        key: value for key, value in models_of(tiny_study)[11].items() if key != "bindings"
    } == row
    assert models_of(tiny_study)[11]["bindings"].startswith("BETA = 4.0")


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("", range(12)),
        ("0:3", range(3)),
        ("5", [5]),
        ("7,0:2,1, 9:", [7, 0, 1, 9, 10, 11]),
        (":2", [0, 1]),
    ],
)
def test_numbers_are_read(text, numbers):
    assert parse_numbers(text, 12) == list(numbers)
    assert parse_numbers(format_numbers(numbers), 12) == sorted(numbers)


@pytest.mark.parametrize("text", ["0:13", "12", "-1", "3:3", "a", "1,,2", "0:1:2", "5:2"])
def test_other_numbers_are_refused(text):
    with pytest.raises(UserError, match="--models has"):
        parse_numbers(text, 12)


def test_labels_of_a_study_are_kept(tiny_train, tmp_path):
    tiny_train(
        tmp_path / "model", "train.labels = {'study': 'tiny_study', 'model_num': 3}", "STEPS = 1"
    )
    record = results.read_step(tmp_path / "model")
    assert (
        results.label(record, "study"),
        results.label(record, "model_num"),
        results.label(record, "seed"),
    ) == ("tiny_study", 3, 1)
    gin.clear_config()
    tiny_train(tmp_path / "model", "STEPS = 1")  # labels are no other configuration
