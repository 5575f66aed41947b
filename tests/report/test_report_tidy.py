"""From the tidy table to one row per model: what is chosen, what is left out, and that the page's
notes say so.
"""

import json

import numpy as np
import pandas as pd
import pytest
import synthetic

from dlib_tf2.configuration import declaration
from dlib_tf2.errors import UserError
from dlib_tf2.report import scores as known
from dlib_tf2.report import tidy
from dlib_tf2.report.exhibit import Exhibit, cells, missing, standing

METRICS = tuple(score.name for score in known.METRICS)


@pytest.fixture(scope="module")
def table():
    return synthetic.table(datasets=("cars3d", "shapes3d"), seeds=3)


def whole(size):
    """A study of `size` models on each of three datasets."""
    return [
        {"model_num": size * d + n, "dataset": name}
        for d, name in enumerate(("cars3d", "shapes3d", "norb"))
        for n in range(size)
    ]


def value(table, number, metric, key, representation="mean"):
    rows = (table["model_num"] == number) & (table["metric"] == metric) & (table["key"] == key)
    if representation:
        rows &= table["representation"] == representation
    return table.loc[rows, "value"].item()


def test_every_score_of_the_paper_is_found(table):
    scores = tidy.prepare(table)
    assert scores.study == "synthetic_study"
    assert len(scores.models) == 216
    assert scores.metrics == METRICS
    assert scores.notes == []
    assert scores.steps == (300000,)
    models = scores.models.merge(
        table.drop_duplicates("model_num")[["dataset", "method", "strength", "seed", "model_num"]]
    )
    row = models[models["model_num"] == 130].squeeze()
    expected = {
        "DCI": value(table, 130, "dci", "disentanglement"),
        "TC (sampled)": value(table, 130, "unsupervised", "gaussian_total_correlation", "sampled"),
        "MI (mean)": value(table, 130, "unsupervised", "mutual_info_score"),
        "ELBO": value(table, 130, "train", "elbo", None),
        "LR1000": value(
            table, 130, "downstream_task_logistic_regression", "1000:mean_test_accuracy"
        ),
        "GBT10": value(table, 130, "downstream_task_boosted_trees", "10:mean_test_accuracy"),
    }
    assert row[list(expected)].to_dict() == expected
    assert row["Efficiency (GBT)"] == row["GBT100"] / row["GBT10000"]
    # the paper's order
    assert scores.methods == [
        "beta_vae",
        "factor_vae",
        "beta_tc_vae",
        "dip_vae_i",
        "dip_vae_ii",
        "annealed_vae",
    ]


def test_settings_are_ranked_within_their_method(table):
    models = tidy.prepare(table).models
    ranks = models.drop_duplicates(["method", "setting"]).set_index(["method", "setting"])["rank"]
    assert ranks["beta_vae"].to_dict() == {
        "β = 1": 0,
        "β = 2": 1,
        "β = 4": 2,
        "β = 6": 3,
        "β = 8": 4,
        "β = 16": 5,
    }
    assert ranks["factor_vae"]["γ = 100"] == 5


def test_a_method_without_a_strength_and_one_with_two_have_settings_too(table):
    part = table[(table["method"] == "beta_vae") & (table["strength"] <= 2)].copy()
    plain, double = part["strength"] == 1, part["strength"] == 2
    part.loc[plain, ["method", "hyperparameter", "hyperparameters", "strength"]] = [
        "vae",
        "",
        "{}",
        np.nan,
    ]
    part.loc[double, ["hyperparameter", "hyperparameters", "strength"]] = [
        "a+b",
        '{"a": 1, "b": 2}',
        np.nan,
    ]
    scores = tidy.prepare(part)
    assert scores.models.drop_duplicates("method").set_index("method")["setting"].to_dict() == {
        "vae": "–",
        "beta_vae": '{"a": 1, "b": 2}',
    }
    assert set(scores.models["rank"]) == {0}
    other = part[double.to_numpy()].assign(hyperparameters='{"a": 10, "b": 2}')
    ranks = (
        tidy.prepare(pd.concat([part, other]))
        .models.drop_duplicates("setting")
        .set_index("setting")["rank"]
    )
    assert ranks.to_dict() == {"–": 0, '{"a": 1, "b": 2}': 0, '{"a": 10, "b": 2}': 1}


def test_one_study_is_chosen_and_the_others_are_named(table):
    other = table[table["dataset"] == "cars3d"].assign(study="small_study", dataset="toy")
    loose = other[other["method"] == "beta_vae"].assign(study=pd.NA)
    both = pd.concat([table, other, loose])
    scores = tidy.prepare(both, expected={"synthetic_study": 12600}.get)
    assert (scores.study, scores.expected, scores.datasets) == (
        "synthetic_study",
        12600,
        ["cars3d", "shapes3d"],
    )
    assert scores.notes == [
        (
            "In the table but not in this report: 108 models of the study small_study; choose with"
            " --study."
        ),
        (
            "In the table but not in this report: 18 models of runs outside of a study; choose with"
            " --study."
        ),
    ]
    assert len(tidy.prepare(both, study="small_study").models) == 108
    assert len(tidy.prepare(both, study="").models) == 18
    with pytest.raises(
        UserError, match="scores of the study 'nope', only of 'synthetic_study', 'small_study', ''"
    ):
        tidy.prepare(both, study="nope")


def test_trees_of_two_implementations_are_never_mixed(table):
    fast = synthetic.table(datasets=("cars3d",), seeds=3, backend="lightgbm", random_state=1)
    fast = fast[
        fast["backend"].astype("string").str.contains("gradient_boosting", na=False)
    ].assign(run=pd.NA)
    both = pd.concat([table, fast]).assign(run=pd.NA)
    scores = tidy.prepare(both)
    pd.testing.assert_frame_equal(
        scores.models[["DCI", "GBT10"]], tidy.prepare(table).models[["DCI", "GBT10"]]
    )
    assert scores.notes == [
        "Scores of 108 models from boosted trees of lightgbm are left out, because those of sklearn"
        " are shown and the two are not comparable; choose with --backend."
    ]
    other = tidy.prepare(both, backend="lightgbm").models
    assert other["DCI"].notna().sum() == other["GBT10"].notna().sum() == 108
    assert other["MIG"].notna().all()  # fits no trees
    assert other["LR10"].notna().all()
    with pytest.raises(UserError, match="no scores from trees of 'lightgbm', only of 'sklearn'"):
        tidy.prepare(table, backend="lightgbm")


def test_models_of_different_distributions_are_never_mixed(table):
    part = table.assign(distribution="held out: shape == 2", finished="2027")
    scores = tidy.prepare(pd.concat([table, part]))
    pd.testing.assert_frame_equal(scores.models, tidy.prepare(table).models)
    (note,) = scores.notes
    assert "trained on another distribution over the grid (held out: shape == 2) are left" in note
    assert tidy.prepare(part).notes == [
        "Every model here was trained on a part of the grid: held out: shape == 2."
    ]


def test_scores_of_different_rows_are_never_mixed(table):
    scored = table["metric"] != "train"
    one = table[scored & (table["dataset"] == "cars3d") & (table["metric"] != "mig")]
    part = one.assign(rows="held_out", value=9.0, finished="2027")
    whole = table.assign(rows=np.where(scored, "all", None))
    for rest in (whole, table):  # older tables do not say that they are of all rows
        scores = tidy.prepare(pd.concat([rest, part]))
        pd.testing.assert_frame_equal(scores.models, tidy.prepare(table).models)
        assert scores.notes == [
            "Scores of 108 models of the rows held_out of a representation are left out: this"
            " report shows those of the rows all, and the two are not comparable."
        ]
    # one kind for all metrics: of two parts, that of most models
    train = one[one["seed"] == 0].assign(rows="train", value=8.0)
    scores = tidy.prepare(pd.concat([table[~scored], part, train]))
    assert scores.models["DCI"].max() == scores.models["DCI"].min() == 9
    assert scores.notes == [
        "Every score here is of the rows held_out of a representation, not of all.",
        "Scores of 36 models of the rows train of a representation are left out: this report shows"
        " those of the rows held_out, and the two are not comparable.",
    ]


def test_of_several_configurations_of_a_metric_the_most_frequent_is_taken(table):
    quick = table[(table["metric"] == "dci") & (table["seed"] == 0)].assign(
        settings="quickdci", value=9.0, finished="2027"
    )
    scores = tidy.prepare(pd.concat([table, quick]))
    assert scores.models["DCI"].max() < 1
    assert scores.notes == [
        "dci was computed with 2 classifiers, configurations or evaluation seeds; scores of 72"
        " models with others than the most frequent (sklearn_gradient_boosting, settings abcd1234,"
        " seed 0) are left out."
    ]


def test_linear_classifiers_of_two_kinds_are_not_mixed(table):
    linear = table["backend"] == "sklearn_newton_logistic_regression_cv"
    multinomial = table.assign(
        backend=table["backend"].mask(linear, "sklearn_multinomial_logistic_regression_cv"),
        value=0.999,
    )
    scores = tidy.prepare(
        pd.concat(
            [table[~linear | (table["seed"] > 0)], multinomial[linear & (table["seed"] == 0)]]
        )
    )
    assert scores.models["LR10000"].max() < 0.999
    assert scores.models["LR10000"].isna().sum() == 72
    assert any(
        note.startswith("downstream_task was computed with 2 classifiers")
        and "(sklearn_newton_logistic_regression_cv, settings" in note
        for note in scores.notes
    )


def test_models_that_differ_in_more_than_the_strength_are_settings_of_their_own(table):
    first = table[(table["method"] == "beta_vae") & (table["dataset"] == "cars3d")]
    wide = first.assign(model_num=first["model_num"] + 1000, num_latent=20)
    design = [
        {
            "model_num": number,
            "dataset": "cars3d",
            "bindings": f"BETA = {strength}, NUM_LATENT = {10 + 10 * (number >= 1000)}",
        }
        for part in (first, wide)
        for number, strength in part.drop_duplicates("model_num")[
            ["model_num", "strength"]
        ].itertuples(index=False)
    ]
    scores = tidy.prepare(pd.concat([first, wide]), expected=lambda study: design)
    assert len(scores.models) == scores.expected == 36
    names = scores.models.sort_values("rank")["setting"].unique().tolist()
    assert len(names) == 12
    assert names[:3] == [
        "BETA = 1.0, NUM_LATENT = 10",
        "BETA = 1.0, NUM_LATENT = 20",
        "BETA = 2.0, NUM_LATENT = 10",
    ]
    assert not any("Further training runs" in note for note in scores.notes)
    with pytest.raises(
        UserError,
        match="differ in other settings, and only the study's file says which; run in the folder",
    ):
        tidy.prepare(pd.concat([first, wide]))


def test_a_model_that_was_trained_twice_counts_once(table):
    again = table[(table["model_num"] < 5) & (table["metric"].isin(["mig", "train"]))].assign(
        run="again", value=7.0
    )
    scores = tidy.prepare(pd.concat([again, table]))
    assert len(scores.models) == 216
    assert scores.models["MIG"].max() < 1
    assert scores.notes == [
        "Further training runs of models that are already counted are left out: 5."
    ]


@pytest.mark.parametrize("run", ["again", pd.NA])
def test_a_trial_with_other_settings_never_replaces_the_studys_own_model(table, run):
    own = table.assign(changes=pd.NA)
    first = own["model_num"] == own["model_num"].min()
    trial = own[first].assign(run=run, changes="STEPS = 10", steps=10, finished="2027", value=7.0)
    others = own[~first]
    own = own[~first | (own["metric"] != "sap")]  # even though the trial has more scores
    scores = tidy.prepare(pd.concat([own, trial]))
    pd.testing.assert_frame_equal(scores.models, tidy.prepare(own).models)
    assert scores.notes == [
        "Further training runs of models that are already counted are left out: 1, 1 of them made"
        " with other settings than the study's own."
    ]
    # a trial that is the only run is shown, and named
    alone = tidy.prepare(pd.concat([others, trial]))
    assert len(alone.models) == 216
    assert alone.models["MIG"].max() == 7
    assert alone.notes[0] == "Made with other settings than the study's own: 1 model: STEPS = 10."


def test_mixed_versions_and_trainings_are_said(table):
    mixed = table.copy()
    mixed.loc[mixed["seed"] == 1, ["tensorflow", "steps", "num_latent"]] = ["2.19.0", 3000, 6]
    mixed.loc[(mixed["seed"] == 2) & (mixed["metric"] == "mig"), "version"] = "0.2.0"
    assert tidy.prepare(mixed).notes == [
        "Mixed versions of dlib_tf2 (scores): 0.1.0, 0.2.0.",
        "Mixed versions of TensorFlow: 2.19.0, 2.21.0.",
        (
            "Different numbers of training updates are mixed within a method: AnnealedVAE (3,000,"
            " 300,000), β-TCVAE (3,000, 300,000), β-VAE (3,000, 300,000), DIP-VAE-I (3,000,"
            " 300,000), DIP-VAE-II (3,000, 300,000), FactorVAE (3,000, 300,000)."
        ),
        "Models of different numbers of latent dimensions are mixed: 6, 10.",
    ]
    others = table.assign(keras="3.15", lightgbm="4.7", numpy="2.4")
    others.loc[others["seed"] == 1, ["keras", "lightgbm", "numpy"]] = ["3.9", "4.5", "1.26"]
    assert tidy.prepare(others).notes == [
        "Mixed versions of Keras: 3.15, 3.9.",
        "Mixed versions of LightGBM: 4.5, 4.7.",
        "Mixed versions of NumPy: 1.26, 2.4.",
    ]
    halved = table.assign(steps=table["steps"].mask(table["method"] == "factor_vae", 150000))
    assert tidy.prepare(halved).notes == []  # as the published study has it


@pytest.mark.parametrize("text", [pd.NA, "{}"])
def test_models_of_a_table_that_gives_no_hyperparameters_are_told_apart_by_their_strength(
    table, text
):
    first = table[table["method"].isin(["beta_vae", "factor_vae"])]
    blank = first.assign(
        hyperparameters=first["hyperparameters"].mask(first["method"] == "beta_vae", text)
    )
    scores = tidy.prepare(blank)
    assert scores.notes == []
    pd.testing.assert_frame_equal(scores.models, tidy.prepare(first).models)
    unnamed = tidy.prepare(blank.assign(hyperparameter=pd.NA)).models
    assert unnamed.loc[unnamed["method"] == "beta_vae", "setting"].unique().tolist() == [
        f"strength = {n}" for n in (1, 2, 4, 6, 8, 16)
    ]
    plain = (
        blank[blank["method"] == "beta_vae"]
        .query("strength == 1")
        .assign(strength=np.nan, hyperparameter=pd.NA, method="vae")
    )
    assert tidy.prepare(plain).models["setting"].tolist() == ["–"] * 6
    with pytest.raises(
        UserError,
        match='several strengths of beta_vae with the hyperparameters {"beta": 7}; correct one',
    ):
        tidy.prepare(first.assign(hyperparameters='{"beta": 7.0}'))


def test_equal_numbers_are_equal_settings_and_close_ones_are_not(table):
    first = table[table["method"] == "beta_vae"]
    as_int = first.assign(hyperparameters=first["hyperparameters"].str.replace(".0}", "}"))
    mixed = first.assign(
        hyperparameters=as_int["hyperparameters"].where(
            first["seed"] == 0, first["hyperparameters"]
        )
    )
    pd.testing.assert_frame_equal(tidy.prepare(mixed).models, tidy.prepare(first).models)
    close = first[first["strength"] <= 2].copy()
    close["strength"] += 1234566
    close["hyperparameters"] = [json.dumps({"beta": value}) for value in close["strength"]]
    assert tidy.prepare(close).models["setting"].unique().tolist() == ["β = 1234567", "β = 1234568"]
    two = first[first["strength"] <= 2].assign(strength=1.0)
    two["hyperparameters"] = [
        json.dumps({"beta": 1, "width": value})
        for value in first.loc[first["strength"] <= 2, "strength"]
    ]
    assert tidy.prepare(two).models["setting"].unique().tolist() == [
        '{"beta": 1, "width": 1}',
        '{"beta": 1, "width": 2}',
    ]


def test_the_configuration_of_most_models_is_taken_not_that_of_most_keys(table):
    keys = [
        table[table["metric"] == "mig"].assign(
            key=f"discrete_mi_{n}", settings="longmig0", value=7.0
        )
        for n in range(5)
    ]
    long = pd.concat(
        [*keys, table[table["metric"] == "mig"].assign(settings="longmig0", value=7.0)]
    )
    few = long["seed"] == 0
    scores = tidy.prepare(
        pd.concat([table[(table["metric"] != "mig") | (table["seed"] > 0)], long[few]])
    )
    assert scores.models["MIG"].notna().sum() == 144
    assert scores.models["MIG"].max() < 1
    assert "scores of 72 models with others than the most frequent" in scores.notes[0]


def test_a_table_of_sampled_codes_alone_is_said_to_be_one(table):
    scores = tidy.prepare(table[table["metric"] == "mig"].assign(representation="sampled"))
    assert scores.metrics == ()
    assert scores.notes == [
        "The table has no scores of mean codes, and the report shows metrics of no other codes;"
        " its representations: sampled."
    ]


def test_metrics_that_the_paper_does_not_have_join_by_their_headline(table):
    rows = table[table["metric"] == "mig"]
    extra = [
        rows.assign(metric=name, function=function, key=key, value=sign * rows["value"])
        for name, function, key, sign in (
            ("mcc", "mcc", "num_factors_scored", 0),
            ("mcc", "mcc", "mcc_pearson", 1),
            ("quick", "infomec", "modularity", 0),
            ("quick", "infomec", "explicitness", 1),
            ("fairness", "fairness", "mean_fairness", 0),
            ("fairness", "fairness", "mean_fairness:mean_pred:mean_sens", -1),
            ("jemmig", "jemmig", "jemmig", 0),  # lower is better, and not what jemmig declares
            ("mine", "mine", "num_rows", 0),
            ("mine", "mine", "something", 1),
            ("yours", "scope/yours", "1:yours", 1),
        )
    ]
    scores = tidy.prepare(pd.concat([table, *extra]))
    assert scores.others == ("fairness", "infomec", "mcc", "mine")
    for name, sign in (("fairness", -1), ("infomec", 1), ("mcc", 1), ("mine", 1)):
        assert (scores.models[name] == sign * scores.models["MIG"]).all()
    assert scores.labels["fairness"] == "fairness, lower is better"
    assert not {"mcc", "mine", "MIG", "ELBO"} & set(scores.labels)
    directed = scores.directed(["fairness", "MIG", "KL", "ELBO"])
    expected = [scores.models["MIG"], scores.models["MIG"], -scores.models["KL"]]
    assert [directed[name].tolist() for name in ("fairness", "MIG", "KL")] == [
        values.tolist() for values in expected
    ]
    assert directed["ELBO"].equals(scores.models["ELBO"])


@pytest.mark.parametrize("declared", [True, False])
def test_a_metric_is_shown_as_its_own_file_declares(table, declared, monkeypatch, tmp_path):
    higher = f"Headline(key='error', higher_is_better={not declared}, low=0, high=1, random=0.5"
    (tmp_path / "new_metric.py").write_text(f"HEADLINE = {higher}, cost='instant')\n")
    monkeypatch.setattr(declaration, "_METRICS", tmp_path)
    rows = table[table["metric"] == "mig"].assign(metric="new", function="new_metric")
    scores = tidy.prepare(
        pd.concat([table, rows.assign(key="new_metric"), rows.assign(key="error", value=0.5)])
    )
    assert set(scores.models["new_metric"]) == {0.5}
    assert ("new_metric" in scores.labels) == declared


def test_scores_that_are_not_finite_are_missing(table):
    holes = table.copy()
    holes.loc[
        (holes["key"] == "gaussian_total_correlation") & (holes["representation"] == "mean"),
        "value",
    ] = np.inf
    holes.loc[(holes["metric"] == "mig") & (holes["seed"] == 1), "value"] = np.nan
    scores = tidy.prepare(holes)
    assert "TC (mean)" not in scores.models
    assert scores.models["MIG"].isna().sum() == 72


def test_what_is_missing_is_counted_against_the_tables_own_design(table):
    part = table[
        ~((table["method"] == "beta_vae") & (table["seed"] == 2) & (table["dataset"] == "cars3d"))
    ]
    part = part[~((part["metric"] == "sap") & (part["model_num"] == 200))]
    scores = tidy.prepare(part[part["metric"] != "mig"])
    assert len(cells(scores)) == 216
    found = missing(scores, METRICS)
    assert found["lacks"].value_counts().to_dict() == {"model": 6, "SAP": 1}
    assert found[found["lacks"] == "model"]["setting"].tolist() == [
        f"β = {beta}" for beta in (1, 2, 4, 6, 8, 16)
    ]

    def said_of(scores, needs, behind, dataset=None):
        return standing(
            scores, Exhibit("", "", "", pd.DataFrame(), needs, dataset=dataset, behind=behind)
        )

    said = said_of(scores, METRICS, 210)
    assert (
        said
        == "210 of the 216 models of the datasets, settings and seeds that occur in this table; no"
        " model has MIG; within the table's own settings and seeds 7 lack a score or are not"
        " there (cars3d β-VAE β = 1: 1; cars3d β-VAE β = 2: 1; cars3d β-VAE β = 4: 1; and 4 more"
        " settings; all in numbers/missing.csv)."
    )
    assert said_of(scores, ("MIG",), 0) == "none; no model has MIG."
    assert (
        said_of(scores, ("DCI",), 108, "shapes3d")
        == "108 of the 108 models on shapes3d of the settings and seeds that occur in this table."
    )
    known_size = tidy.prepare(part, expected=lambda study: 12600)
    assert said_of(known_size, ("DCI",), 210).startswith(
        "210 of the 12,600 models of synthetic_study; 12,390 are missing; within"
    )
    assert said_of(known_size, ("DCI",), 200).startswith(
        "200 of the 12,600 models of synthetic_study; 12,390 are missing; 10 more in the table have"
        " no part in it; within"
    )
    parts = tidy.prepare(part, expected=lambda study: whole(1800))
    assert parts.expected == 5400
    assert (
        said_of(parts, ("DCI",), 108, "shapes3d")
        == "108 of the 1,800 models of synthetic_study on shapes3d; 1,692 are missing."
    )
    assert known_size.absent.empty
    numbered = tidy.prepare(part.assign(model_num=7), expected=lambda study: whole(70))
    assert numbered.absent["model_num"].tolist() == [n for n in range(210) if n != 7]
    assert (
        numbered.expected
        == tidy.prepare(
            part.assign(model_num=7), expected=lambda study: whole(70), size=210
        ).expected
        == 210
    )
    larger = tidy.prepare(part, expected=lambda study: whole(1800), size=7000)
    assert (larger.expected, larger.expected_on["shapes3d"], len(larger.absent)) == (
        7000,
        1800,
        5400 - 210,
    )
    unnumbered = tidy.prepare(part.drop(columns="model_num"), expected=lambda study: whole(1800))
    assert unnumbered.absent.empty
    assert unnumbered.notes == [
        "Not every model has a model_num: the report cannot list the models of the study that are"
        " absent."
    ]
    small = tidy.prepare(part, expected=lambda study: 3)
    assert small.expected is None
    assert (
        "The study should have 3 models, and the table holds 210: what is missing cannot be"
        " counted." in small.notes
    )
    assert (
        said_of(known_size, ("DCI",), 0)
        == "none; it cannot be estimated from what this table holds."
    )


@pytest.mark.parametrize(
    "name, text, message",
    [
        (
            "none.csv",
            None,
            ".*none.csv does not exist; make it with dlib_aggregate_results --output=",
        ),
        ("table.xlsx", "", "must end in .parquet, .csv, .json"),
        ("empty.csv", "", "cannot be read"),
        (
            "other.csv",
            "a,b\n1,2\n",
            "has no column dataset, method, hyperparameters, seed, strength, representation,"
            " metric, key, value",
        ),
        ("half.parquet", "PAR1 and then no more", "cannot be read"),
        ("half.json", '[{"dataset": "toy", ', "cannot be read"),
        ("scalar.json", "3", "cannot be read"),
        (
            "head.csv",
            "dataset,method,hyperparameters,strength,seed,representation,metric,key,value\n",
            "holds no scores",
        ),
        (
            "text.csv",
            "dataset,method,hyperparameters,strength,seed,representation,metric,key,value\nd,m,{},1,0,mean,mig,mig,high\n",
            "a column value that holds other things than numbers",
        ),
        (
            "steps.csv",
            "dataset,method,hyperparameters,strength,seed,representation,metric,key,value,steps\nd,m,{},1,0,mean,mig,mig,1,a\n",
            "a column steps that holds other things than numbers",
        ),
        (
            "seed.csv",
            "dataset,method,hyperparameters,strength,seed,representation,metric,key,value\nd,m,{},1,0.5,mean,mig,mig,1\n",
            "a column seed with fractions; it must hold whole numbers",
        ),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        tidy.read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_scores_of_no_trained_model_are_refused(table):
    with pytest.raises(UserError, match="holds no scores of a trained model"):
        tidy.prepare(table.assign(method=pd.NA))
    half = table.assign(method=table["method"].where(table["dataset"] == "cars3d", None))
    assert (
        tidy.prepare(half)
        .notes[0]
        .startswith(f"{(table['dataset'] != 'cars3d').sum():,} rows name no method")
    )


@pytest.mark.parametrize("ending", [".csv", ".json", ".parquet"])
def test_columns_without_a_value_and_texts_like_numbers_are_read(tmp_path, ending):
    table = synthetic.table(datasets=("3",), seeds=2, methods=("beta_vae",))
    table = table[table["metric"].isin(["mig", "train"])].assign(
        backend=pd.NA, study=pd.NA, settings="12345678", run="1e5", version="1.10"
    )
    path = tmp_path / f"results{ending}"
    if ending == ".json":
        path.write_text(
            json.dumps(table.astype(object).where(table.notna(), None).to_dict("records"))
        )
    else:
        getattr(table, f"to_{ending[1:]}")(path, index=False)
    scores = tidy.prepare(tidy.read(path))
    assert (scores.study, scores.datasets, scores.metrics, len(scores.models)) == (
        "",
        ["3"],
        ("MIG",),
        12,
    )
    assert scores.measured["settings"].tolist() == ["12345678", "12345678"]
    np.testing.assert_allclose(
        np.sort(scores.models["MIG"]), np.sort(table[table["metric"] == "mig"]["value"]), rtol=1e-14
    )
