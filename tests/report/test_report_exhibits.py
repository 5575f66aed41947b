"""Figures and tables against what was put into a made-up study, and against the same numbers taken
another way.
"""

import dataclasses

import matplotlib
import numpy as np
import pandas as pd
import pytest
import synthetic
from scipy import stats

from dlib_tf2.report import style, tidy
from dlib_tf2.report.agreement import agreement
from dlib_tf2.report.coverage import coverage
from dlib_tf2.report.dependence import dependence
from dlib_tf2.report.downstream import downstream, efficiency
from dlib_tf2.report.methods import methods
from dlib_tf2.report.sections import Sampling, sections
from dlib_tf2.report.selection import score_cube, selection
from dlib_tf2.report.strengths import score_against_strength
from dlib_tf2.report.transfer import transfer
from dlib_tf2.report.unsupervised import unsupervised
from dlib_tf2.report.variance import variance
from dlib_tf2.report.violins import violins_by_method, violins_by_strength

METRICS = ["BetaVAE", "FactorVAE", "MIG", "DCI", "Modularity", "SAP"]


@pytest.fixture(autouse=True)
def drawn_in_the_reports_style():
    with matplotlib.rc_context(style.RC):
        yield


@pytest.fixture(scope="module")
def scores():
    return tidy.prepare(synthetic.table(datasets=("cars3d", "shapes3d"), seeds=5))


@pytest.fixture(scope="module")
def three_models():
    table = synthetic.table(datasets=("cars3d",), seeds=1)
    return tidy.prepare(table[table["model_num"].isin([0, 8, 13]) & (table["metric"] != "sap")])


def panels(figure):
    return [axis for axis in figure.axes if axis.get_visible()]


def test_dependence_has_the_medians_and_the_trends_that_were_put_in(scores):
    shown = dependence(scores, "TC")
    assert len(panels(shown.figure)) == 4
    assert len(panels(shown.figure)[0].lines) == 6
    numbers = shown.numbers.set_index(["dataset", "method", "setting", "score"]).sort_index()
    models = scores.models
    cell = models[(models["dataset"] == "cars3d") & (models["setting"] == "γ = 30")]["TC (mean)"]
    row = numbers.loc["cars3d", "factor_vae", "γ = 30", "TC (mean)"]
    assert row[["models", "median", "min"]].tolist() == [5, cell.median(), cell.min()]
    medians = numbers["median"].sort_index()
    assert (
        medians.loc["shapes3d", "beta_vae", "β = 16"] < medians.loc["shapes3d", "beta_vae", "β = 1"]
    ).to_dict() == {
        "TC (sampled)": True,
        "TC (mean)": False,
    }
    assert "AnnealedVAE" in shown.reading


def test_coverage_counts_seeds():
    table = synthetic.table(datasets=("cars3d",), seeds=3)
    part = table[
        ~((table["method"] == "dip_vae_i") & (table["strength"] == 5) & (table["seed"] > 0))
    ]
    numbers = coverage(tidy.prepare(part)).numbers.set_index(["method", "setting"])
    assert numbers.loc[("dip_vae_i", "λ = 5"), ["seeds_in_table", "models"]].tolist() == [3, 1]
    assert (numbers["models"] == 3).sum() == 35


def test_agreement_is_scipys_spearman(scores):
    shown = agreement(scores, 100, 0)
    assert len(panels(shown.figure)) == 2
    numbers = shown.numbers.set_index(["dataset", "left", "right"])
    models = scores.models[scores.models["dataset"] == "shapes3d"]
    expected = stats.spearmanr(models["MIG"], models["SAP"]).statistic
    assert numbers.loc["shapes3d", "MIG", "SAP"][["rho", "n"]].tolist() == pytest.approx(
        [expected, 180]
    )
    assert len(numbers) == 2 * 36
    assert (numbers["low"] < numbers["high"]).sum() >= 2 * 30
    assert numbers.loc["cars3d", "Modularity", "MIG"]["rho"] < 0  # its loading is negative
    texts = [text.get_text() for text in panels(shown.figure)[1].texts]
    assert f"{round(100 * expected)}" in texts


def test_a_metric_where_lower_is_better_is_marked_and_agrees_with_what_it_mirrors():
    table = synthetic.table(datasets=("cars3d",), seeds=2)
    rows = table[table["metric"] == "mig"]
    mirrored = rows.assign(
        metric="fairness",
        function="fairness",
        key="mean_fairness:mean_pred:mean_sens",
        value=-rows["value"],
    )
    scores = tidy.prepare(pd.concat([table, mirrored]))
    shown = agreement(scores, 100, 0)
    rho = shown.numbers.set_index(["left", "right"])["rho"]
    assert rho["MIG", "fairness, lower is better"] == pytest.approx(1)
    assert rho["fairness, lower is better", "SAP"] == pytest.approx(rho["MIG", "SAP"])
    assert "fairness, lower is better" in [
        text.get_text() for text in panels(shown.figure)[0].get_yticklabels()
    ]
    assert "enters with its sign turned" in shown.reading
    assert "fairness (mean_fairness:mean_pred:mean_sens)" in shown.reading
    assert shown.behind == 72
    assert "sign turned" not in downstream(scores, 100, 0).reading  # no score in it is turned


def test_violins_show_every_group(scores):
    by_method, by_strength = violins_by_method(scores), violins_by_strength(scores, "cars3d")
    assert len(panels(by_method.figure)) == 12
    assert all(len(axis.collections) == 6 for axis in panels(by_method.figure))  # a violin each
    assert len(panels(by_strength.figure)) == 36
    assert [label.get_text() for label in panels(by_strength.figure)[0].get_xticklabels()] == [
        "1",
        "2",
        "4",
        "6",
        "8",
        "16",
    ]
    # five seeds are points
    assert all(len(axis.collections) == 0 for axis in panels(by_strength.figure))
    numbers = by_method.numbers.set_index(["dataset", "method", "score"])
    models = scores.models[
        (scores.models["dataset"] == "cars3d") & (scores.models["method"] == "dip_vae_ii")
    ]
    assert numbers.loc["cars3d", "dip_vae_ii", "MIG"][["models", "quartile_3"]].tolist() == [
        30,
        models["MIG"].quantile(0.75),
    ]
    assert (by_strength.dataset, by_strength.title) == ("cars3d", "Scores by strength on cars3d")
    assert set(by_strength.numbers["dataset"]) == {"cars3d"}


def test_settings_that_more_than_a_strength_names_are_labelled_by_their_rank():
    table = synthetic.table(datasets=("cars3d",), seeds=2, methods=("beta_vae", "factor_vae"))
    beta = table["method"] == "beta_vae"
    wide = table["hyperparameters"].str.replace("}", ', "width": 20}')
    table = table.assign(
        hyperparameters=table["hyperparameters"].mask(beta, wide),
        strength=table["strength"].mask(beta),
    )
    first, second = panels(violins_by_strength(tidy.prepare(table), "cars3d").figure)[::6]
    assert ([label.get_text() for label in first.get_xticklabels()], first.get_xlabel()) == (
        list("123456"),
        "rank of the setting",
    )
    assert ([label.get_text() for label in second.get_xticklabels()][-1], second.get_xlabel()) == (
        "100",
        "γ",
    )


def test_settings_that_lack_seeds_of_one_metric_alone_are_said():
    table = synthetic.table(datasets=("cars3d",), seeds=3)
    # a strength of five methods
    table = table[~((table["metric"] == "mig") & (table["seed"] == 2) & (table["strength"] == 10))]
    shown = variance(tidy.prepare(table))
    assert shown.notes == [
        "For single metrics more settings have fewer than 3 seeds and are not used: MIG 5 of 36."
    ]
    assert shown.numbers.set_index("metric").loc[["MIG", "SAP"], "models"].tolist() == [93, 108]


def test_equal_scores_make_no_violin_and_missing_ones_a_word(scores):
    figure, axes = style.grid([""], ["x"], 2, 2)
    style.violins(
        axes[0, 0],
        [
            ("same", np.full(20, 0.5), "red"),
            ("none", np.array([np.nan]), "red"),
            ("two", np.array([1.0, 2.0]), "red"),
        ],
    )
    assert len(axes[0, 0].collections) == 0
    assert [text.get_text() for text in axes[0, 0].texts] == ["none"]


def test_variance_finds_the_shares_that_were_put_in():
    table = synthetic.table(datasets=[f"d{i}" for i in range(6)], seeds=20)
    shown = variance(tidy.prepare(table))
    numbers = shown.numbers
    assert list(numbers["models"].unique()) == [720]
    assert numbers["method_adjusted"].mean() == pytest.approx(0.37, abs=0.04)
    assert numbers["setting_adjusted"].mean() == pytest.approx(0.59, abs=0.03)
    np.testing.assert_allclose(numbers["setting_null"], 35 / 719)
    np.testing.assert_allclose(numbers["method_null"], 5 / 719)
    np.testing.assert_allclose(numbers["seed_share"], 1 - numbers["setting_r2"])
    assert shown.table.iloc[-1]["Dataset"] == "mean"
    assert shown.table.iloc[-1]["Method: R²"] == f"{100 * numbers['method_r2'].mean():.1f} %"


def test_variance_uses_settings_with_three_seeds_only(scores):
    models = scores.models
    few = (models["method"] == "beta_vae") & (models["seed"] > 1)
    none = (models["dataset"] == "shapes3d") & (models["seed"] > 1)
    shown = variance(dataclasses.replace(scores, models=models[~few & ~none]))
    numbers = shown.numbers.set_index(["dataset", "metric"])
    assert numbers.loc["cars3d", "MIG"][["models", "settings"]].tolist() == [150, 30]
    assert numbers.loc["shapes3d", "MIG"]["models"] == 0
    assert np.isnan(numbers.loc["shapes3d", "MIG"]["seed_share"])
    assert shown.notes == [
        "42 of 72 settings have fewer than 3 seeds and are not used.",
        "Not estimable for 6 of 12 pairs of dataset and metric: too few settings with 3 seeds.",
    ]
    assert (shown.table.iloc[6:12]["Seed (rest)"] == "not estimable").all()


def test_transfer_correlates_settings_and_models(scores):
    shown = transfer(scores, 100, 0)
    assert len(panels(shown.figure)) == 6
    numbers = shown.numbers.set_index(["unit", "metric", "left", "right"])
    wide = scores.models.pivot_table(index=["method", "setting"], columns="dataset", values="DCI")
    row = numbers.loc["settings", "DCI", "cars3d", "shapes3d"]
    assert row[["rho", "n"]].tolist() == pytest.approx(
        [stats.spearmanr(wide["cars3d"], wide["shapes3d"]).statistic, 36]
    )
    assert numbers.loc["models", "DCI", "cars3d", "shapes3d"]["n"] == 180


def test_selection_is_drawn_from_the_cube_of_scores(scores):
    cube = score_cube(scores)
    assert cube.shape == (6, 2, 36, 5)
    assert np.isfinite(cube).all()
    models = scores.models
    best = models[(models["dataset"] == "shapes3d") & (models["seed"] == 3)]["SAP"].max()
    assert cube[5, 1, :, 3].max() == best
    shown = selection(scores, 2000, 0)
    assert shown.numbers["draws"].tolist() == [2000] * 4
    odds = shown.numbers.set_index(["same_metric", "same_dataset"])["probability"]
    assert odds[True, True] > 0.75  # setting explains 59 %
    assert odds[True, False] == pytest.approx(0.5, abs=0.2)  # nothing was put in that transfers
    assert shown.table["Paper"].tolist() == ["80.7 %", "59.3 %", "about 62.6 %", "54.9 %"]
    assert (
        shown.table.iloc[0]["Wins over a random choice"]
        == f"{100 * odds[True, True]:.1f} ± {100 * shown.numbers['standard_error'][0]:.1f} %"
    )
    pd.testing.assert_frame_equal(selection(scores, 2000, 0).numbers, shown.numbers)


def test_unsupervised_and_downstream_take_their_rows_and_columns(scores):
    shown = unsupervised(scores, 100, 0).numbers
    assert list(shown["left"].unique()) == [
        "Reconstruction, lower is better",
        "TC (sampled), lower is better",
        "KL, lower is better",
        "ELBO",
    ]
    one = shown[(shown["dataset"] == "cars3d") & (shown["right"] == "MIG")].set_index("left")["rho"]
    models = scores.models[scores.models["dataset"] == "cars3d"]
    for name, sign in (("KL", -1), ("ELBO", 1)):
        expected = sign * stats.spearmanr(models[name], models["MIG"]).statistic
        assert one[f"{name}, lower is better" if sign < 0 else name] == pytest.approx(expected)
    assert list(shown["right"].unique()) == METRICS
    tasks = downstream(scores, 100, 0).numbers
    assert list(tasks["left"].unique()) == METRICS
    assert list(tasks["right"].unique())[-2:] == ["Efficiency (LR)", "Efficiency (GBT)"]
    assert len(tasks) == 2 * 6 * 10
    accuracy = tasks[(tasks["left"] == "FactorVAE") & (tasks["right"] == "GBT10000")]
    assert (accuracy["low"] > 0.4).all()  # both carry what all metrics share


def test_efficiency_plots_every_model(scores):
    shown = efficiency(scores, "GBT")
    assert (
        sum(
            len(points.get_offsets())
            for axis in panels(shown.figure)[:6]
            for points in axis.collections
        )
        == 6 * 180
    )
    assert len(shown.numbers) == 360
    assert list(shown.numbers.columns) == [
        "dataset",
        "method",
        "setting",
        "seed",
        *METRICS,
        "Efficiency (GBT)",
    ]


def test_lines_go_through_the_medians(scores):
    shown = score_against_strength(scores)
    models = scores.models
    mig = panels(shown.figure)[2]
    first = (
        models[(models["dataset"] == "cars3d") & (models["method"] == "beta_vae")]
        .groupby("rank")["MIG"]
        .median()
    )
    np.testing.assert_allclose(mig.lines[0].get_ydata(), first)
    assert [label.get_text() for label in mig.get_xticklabels()] == ["1", "2", "3", "4", "5", "6"]


def test_three_models_make_every_exhibit_and_nothing_is_invented(three_models):
    made = {
        item.name: item
        for _, makers in sections(three_models, Sampling(100, 100, 0))
        for item in (make() for make in makers)
    }
    assert len(made) == 14
    assert made["selection"].table["Wins over a random choice"].tolist() == ["not estimable"] * 4
    assert made["selection"].notes[0].endswith("here: 5 metrics, 1 dataset, 3 settings, 1 seed.")
    assert made["transfer"].figure is None
    assert made["transfer"].notes == ["Not estimable: the table holds a single dataset."]
    assert made["variance"].figure is None
    assert (made["variance"].table.iloc[:, 3:] == "not estimable").all(axis=None)
    assert made["agreement"].numbers[["low", "high"]].isna().all(axis=None)
    cells = [text.get_text() for text in panels(made["agreement"].figure)[0].texts]
    assert len(cells) == 25
    assert all(text.startswith("(") for text in cells)  # correlations of three models get no colour
    assert made["agreement"].notes == [
        "No interval for 25 of 25 correlations, which have fewer than 10 pairs; these are in"
        " brackets."
    ]


def test_only_models_that_an_exhibit_is_made_from_stand_behind_it():
    def behind(table):
        scores = tidy.prepare(table)
        return {
            item.name: item.behind
            for _, makers in sections(scores, Sampling(100, 100, 0))
            for item in (make() for make in makers)
        }

    table = synthetic.table(
        datasets=("cars3d", "shapes3d"), seeds=3, methods=("beta_vae", "dip_vae_i")
    )
    mig = table[table["metric"] == "mig"]
    counts = behind(mig)
    assert {name for name, count in counts.items() if count} == {
        "agreement",
        "violins_by_method",
        "violins_by_strength_cars3d",
        "violins_by_strength_shapes3d",
        "variance",
        "score_against_strength",
        "transfer",
        "selection",
    }
    assert (counts["variance"], counts["selection"], counts["violins_by_strength_cars3d"]) == (
        72,
        72,
        36,
    )
    # Two seeds are too few for R2; one dataset has nothing to transfer to; one seed has none to be
    # tested on.
    counts = behind(mig[mig["seed"] < 2])
    assert (counts["variance"], counts["score_against_strength"], counts["transfer"]) == (0, 48, 48)
    counts = behind(mig[(mig["seed"] < 1) & (mig["dataset"] == "cars3d")])
    assert (counts["transfer"], counts["selection"], counts["agreement"]) == (0, 0, 12)
    # A setting with two seeds, and one that only one dataset has, are not used where the others
    # are.
    rare = (mig["strength"] == 16) & (mig["dataset"] == "shapes3d")
    counts = behind(mig[~rare | (mig["seed"] < 2)])
    assert (counts["variance"], counts["violins_by_method"]) == (69, 71)
    assert behind(mig[~rare])["transfer"] == 66


def test_unknown_methods_and_long_names_are_drawn():
    table = synthetic.table(datasets=("rendered_shapes3d/small",), seeds=2, methods=("beta_vae",))
    mine = table.assign(method="my_method", run="m" + table["model_num"].astype(str))
    scores = tidy.prepare(pd.concat([table, mine]))
    assert scores.methods == ["beta_vae", "my_method"]
    shown = methods([*synthetic.METHODS, "my_method"])
    mine = shown.pop("my_method")
    assert (mine.title, mine.short) == ("my_method", "my_method")
    assert mine.colour not in [method.colour for method in shown.values()]
    figure = score_against_strength(scores).figure
    title = panels(figure)[-1].texts[0].get_text()
    assert title == "rendered_\nshapes3d/small"
