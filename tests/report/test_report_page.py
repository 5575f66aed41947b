"""The command and its page: whole and part of a study, its structure as HTML, its files, and how a
browser takes it.
"""

import dataclasses
import html
import html.parser
import json
import re
import shutil
import subprocess
import warnings
import xml.etree.ElementTree

import matplotlib.figure
import no_tensorflow
import pandas as pd
import pytest
import synthetic

from dlib_tf2.errors import UserError
from dlib_tf2.report import build as building
from dlib_tf2.report import page, tidy
from dlib_tf2.report.build import Sampling, build

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
FLAGS += [
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=3000",
    "--window-size=1400,3000",
]
FIGURES = {
    "agreement",
    "coverage",
    "dependence_mi",
    "dependence_tc",
    "downstream",
    "efficiency_gbt",
    "efficiency_lr",
    "score_against_strength",
    "transfer",
    "unsupervised",
    "variance",
    "violins_by_method",
    "violins_by_strength_cars3d",
    "violins_by_strength_shapes3d",
}


class Outline(html.parser.HTMLParser):
    """What a page refers to and defines, and whether its elements are closed."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.tags, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values[name] for name in ("href", "src", "xlink:href") if name in values]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def unlabelled(page):
    """A page without the names of columns that its cells carry for narrow windows."""
    return re.sub(r' data-label="[^"]*"', "", page)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The report of a part of a made-up study on two datasets, by the command, where TensorFlow
    cannot be loaded.
    """
    folder = tmp_path_factory.mktemp("report")
    table = synthetic.table(
        datasets=("cars3d", "shapes3d"), seeds=3, methods=("beta_vae", "factor_vae", "dip_vae_i")
    )
    table = table[
        ~((table["method"] == "dip_vae_i") & (table["strength"] == 5) & (table["seed"] == 1))
    ]
    table.to_parquet(folder / "results.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def report(folder, run_command, tmp_path_factory):
    flags = [
        f"--results={folder / 'results.parquet'}",
        f"--output_dir={folder / 'out'}",
        "--expected_models=108",
        "--bootstrap=200",
    ]
    blocked = no_tensorflow.environment(tmp_path_factory.mktemp("blocked"))
    code, out, err = run_command("dlib_report", *flags, environment=blocked)
    assert (code, err) == (0, "")
    assert out == f"{folder / 'out'}/report.html: 106 models of synthetic_study\n"
    return folder / "out"


@pytest.fixture(scope="module")
def text(report):
    return (report / "report.html").read_text()


def plain(text):
    """The text of a page without its tables of numbers and drawings."""
    return html.unescape(
        " ".join(
            re.sub(
                r"<[^>]+>", " ", re.sub(r"<(svg|table|style).*?</\1>", "", text, flags=re.S)
            ).split()
        )
    )


def test_every_figure_is_a_drawing_and_a_table_of_numbers(report):
    assert {path.stem for path in (report / "figures").iterdir()} == FIGURES
    assert {path.stem for path in (report / "numbers").iterdir()} == FIGURES | {
        "selection",
        "missing",
        "models",
    }
    for path in (report / "figures").iterdir():
        root = xml.etree.ElementTree.parse(path).getroot()
        assert root.tag.endswith("svg")
        assert len(list(root.iter("{http://www.w3.org/2000/svg}text"))) > 10
    for path in (report / "numbers").iterdir():
        assert len(pd.read_csv(path)) > 0, path
    assert len(pd.read_csv(report / "numbers" / "models.csv")) == 106
    assert pd.read_csv(report / "numbers" / "missing.csv")["lacks"].tolist() == ["model"] * 2


def test_the_page_stands_alone(report, text):
    outline = Outline(text)
    assert outline.open == []
    assert outline.tags.count("svg") == len(FIGURES)
    assert "script" not in outline.tags
    assert len(outline.ids) == len(set(outline.ids))
    assert FIGURES | {"selection"} <= set(outline.ids)
    assert outline.tags.count("section") == len(FIGURES) + 1
    for link in outline.links:
        if link.startswith("#"):
            assert link[1:] in outline.ids, link
        elif not link.startswith("data:"):
            assert (report / link).is_file(), link
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    for used in re.findall(r"url\(#([^)]+)\)", text):
        assert used in outline.ids
    assert "@import" not in text


def test_the_page_says_that_it_is_a_part_and_of_what(text):
    said = plain(text)
    assert "106 models, of 108 of the study" in said
    assert "This is a part of the study: 106 of 108 models (98.1 %)." in said
    assert said.count("Models behind it:") == len(FIGURES)  # all but the coverage itself
    assert (
        "106 of the 108 models of synthetic_study; 2 are missing; within the table's own settings"
        " and seeds 2 lack" in said
    )
    assert "cars3d DIP-VAE-I λ = 5: 1" in said
    assert (
        "53 of the 54 models on cars3d of the settings and seeds that occur in this table" in said
    )
    assert "2 of 36 settings have fewer than 3 seeds and are not used." in said
    assert "300,000 training updates" in said


def test_the_table_of_variances_and_odds_is_on_the_page(report, text):
    text, odds = unlabelled(text), pd.read_csv(report / "numbers" / "selection.csv").iloc[0]
    assert (
        f"<td>{100 * odds['probability']:.1f} ± {100 * odds['standard_error']:.1f}"
        " %</td><td>10,000</td><td>80.7 %</td>" in text
    )
    variance = pd.read_csv(report / "numbers" / "variance.csv").iloc[0]
    assert (
        f'<td class="text">BetaVAE</td><td>{variance["models"]}</td>'
        f"<td>{100 * variance['method_r2']:.1f}"
        " %</td>" in text
    )


@pytest.mark.parametrize("metric", ["train", "unsupervised", "downstream_task_logistic_regression"])
def test_models_that_have_none_of_the_papers_metrics_make_a_report_too(metric, tmp_path):
    table = synthetic.table(datasets=("cars3d",), seeds=2, methods=("beta_vae", "factor_vae"))
    table[table["metric"] == metric].to_csv(tmp_path / "results.csv", index=False)
    scores = build(tmp_path / "results.csv", tmp_path / "out", sampling=Sampling(100, 100, 0))
    assert len(scores.models) == 24
    assert "24 models" in plain((tmp_path / "out" / "report.html").read_text())


def test_settings_without_a_strength_and_models_that_lack_scores_are_shown_and_said(tmp_path):
    table = synthetic.table(datasets=("cars3d",), seeds=3, methods=("beta_vae",))
    table["hyperparameters"] = [
        json.dumps({"beta": strength, "gamma": 1}) for strength in table["strength"]
    ]
    table = table.assign(hyperparameter="beta+gamma", strength=float("nan"))
    table[(table["metric"] != "mig") | (table["seed"] == 0)].to_csv(
        tmp_path / "results.csv", index=False
    )
    build(tmp_path / "results.csv", tmp_path / "out", sampling=Sampling(100, 100, 0))
    coverage = pd.read_csv(tmp_path / "out" / "numbers" / "coverage.csv")
    assert coverage[["rank", "models"]].to_numpy().tolist() == [[rank, 3] for rank in range(6)]
    assert [json.loads(text)["beta"] for text in coverage["setting"]] == [1, 2, 4, 6, 8, 16]
    said = plain((tmp_path / "out" / "report.html").read_text())
    assert (
        "6 of the 18 models in this table have every metric that some model has (fewest: MIG, 6)."
        in said
    )


def test_the_same_table_gives_the_same_files_and_old_ones_go(report, tmp_path):
    small = synthetic.table(datasets=("cars3d",), seeds=1)
    small[
        small["model_num"].isin([0, 8, 13]) & small["metric"].isin(["mig", "dci", "train"])
    ].to_csv(tmp_path / "small.csv", index=False)
    shutil.copytree(report, tmp_path / "again")
    mine = [
        tmp_path / "again" / name for name in ("figures/mine.svg", "numbers/notes.txt", "notes.md")
    ]
    for path in mine:
        path.write_text("mine")
    for name in ("out", "again"):
        build(
            tmp_path / "small.csv",
            tmp_path / name,
            expected=lambda study: 12600,
            sampling=Sampling(100, 100, 0),
        )
    for path in mine:  # what a user put there stays
        assert path.read_text() == "mine"
        path.unlink()
    names, again = (
        sorted(
            path.relative_to(tmp_path / name)
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        )
        for name in ("out", "again")
    )
    assert again == names
    assert [
        name
        for name in names
        if (tmp_path / "out" / name).read_bytes() != (tmp_path / "again" / name).read_bytes()
    ] == []

    left = {path.stem for path in (tmp_path / "out" / "figures").iterdir()}
    assert left == {
        "agreement",
        "coverage",
        "score_against_strength",
        "unsupervised",
        "violins_by_method",
        "violins_by_strength_cars3d",
    }
    said = plain((tmp_path / "out" / "report.html").read_text())
    assert "This is a part of the study: 3 of 12,600 models (0.0238 %)." in said
    assert "Not estimable from this table: no model has TC (sampled), TC (mean)." in said
    assert "Not estimable: the table holds a single dataset." in said
    assert "No interval for 4 of 4 correlations" in said
    assert "Models behind it: none; no model has MI (sampled) or MI (mean)." in said
    assert "no model has BetaVAE, FactorVAE, Modularity or SAP" in said


def test_one_model_of_a_known_study_is_said_to_be_one_of_all(tmp_path, run_command):
    table = synthetic.table(datasets=("rendered_sprites/small",), seeds=1, methods=("beta_vae",))
    one = table[(table["model_num"] == 0) & table["metric"].isin(["mig", "train"])].assign(
        study="rendered_study"
    )
    one.to_csv(tmp_path / "results.csv", index=False)
    code, out, _ = run_command(
        "dlib_report", f"--results={tmp_path / 'results.csv'}", f"--output_dir={tmp_path / 'out'}"
    )
    assert (code, out) == (0, f"{tmp_path / 'out'}/report.html: 1 model of rendered_study\n")
    said = plain((tmp_path / "out" / "report.html").read_text())
    assert (
        "Models behind it: 1 of the 54 models of rendered_study on rendered_sprites/small; 53 are"
        " missing;" in said
    )
    assert "Models behind it: 1 of the 108 models of rendered_study; 107 are missing;" in said
    assert "what is missing of the datasets, settings and seeds that occur in this table in" in said
    assert (
        "Metrics and accuracies are those of mean codes, except where sampled ones are named."
        in said
    )
    code, out, _ = run_command(
        "dlib_report",
        f"--results={tmp_path / 'results.csv'}",
        f"--output_dir={tmp_path / 'out'}",
        "--expected_models=7",
    )
    said = plain((tmp_path / "out" / "report.html").read_text())
    assert code == 0
    assert "This is a part of the study: 1 of 7 models (14.3 %)." in said
    assert len(pd.read_csv(tmp_path / "out" / "numbers" / "absent.csv")) == 107


def test_all_but_one_are_not_the_whole(tmp_path):
    synthetic.table(datasets=("cars3d",), seeds=3, methods=("beta_vae",)).to_parquet(
        tmp_path / "results.parquet"
    )
    build(tmp_path / "results.parquet", tmp_path / "out", size=19, sampling=Sampling(100, 100, 0))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "This is a part of the study: 18 of 19 models (94.7 %)." in plain(page)
    # MIG fits no classifier
    assert (
        '<td class="text">mig</td><td class="text">mean</td><td class="text">–</td>'
        in unlabelled(page)
    )


@pytest.mark.parametrize("found, share", [(12599, "99.9 %"), (12000, "95.2 %"), (1, "0.00794 %")])
def test_a_part_is_never_rounded_to_the_whole(found, share):
    scores = tidy.prepare(
        synthetic.table(datasets=("cars3d",), seeds=1, methods=("beta_vae",)), size=12600
    )
    models = pd.concat([scores.models] * (1 + found // 6))[:found]
    said = plain(page.render(dataclasses.replace(scores, models=models), [], Sampling(100, 100, 0)))
    assert f"This is a part of the study: {found:,} of 12,600 models ({share})." in said


def test_names_cannot_break_the_page(tmp_path):
    table = synthetic.table(datasets=('<u>"&$x^2$',), seeds=1, methods=("beta_vae",))
    table = table[table["metric"].isin(["mig", "dci"])].assign(
        study="<script>alert(1)</script>", method='m"<u>'
    )
    table.to_csv(tmp_path / "results.csv", index=False)
    build(tmp_path / "results.csv", tmp_path / "out", sampling=Sampling(100, 100, 0))
    text = (tmp_path / "out" / "report.html").read_text()
    outline = Outline(text)
    assert outline.open == []
    assert not {"script", "u"} & set(outline.tags)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert len(list((tmp_path / "out" / "figures").glob("violins_by_strength_*.svg"))) == 1


def test_inline_drawings_keep_their_references():
    svg = (
        '<?xml?><svg id="a"><style type="text/css">*{x}</style><path id="p"/><use xlink:href="#p"'
        ' clip-path="url(#c)"/></svg>'
    )
    shown = page.inline(svg, "fig", 'A "title"')
    assert shown.startswith('<svg role="img" aria-label="A &quot;title&quot;"')
    assert 'id="fig-p"' in shown
    assert 'href="#fig-p" clip-path="url(#fig-c)"' in shown
    assert "style" not in shown


def test_bad_input_is_one_line(folder, tmp_path, run_command):
    def said(*flags):
        code, out, err = run_command("dlib_report", *flags)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        return err

    assert "does not exist; make it with" in said(
        f"--results={tmp_path / 'no.csv'}", f"--output_dir={tmp_path / 'out'}"
    )
    (tmp_path / "mine.txt").write_text("mine")
    assert "holds files that dlib_tf2 did not write" in said(
        f"--results={folder / 'results.parquet'}", f"--output_dir={tmp_path}"
    )
    with pytest.raises(UserError, match="no scores of the study 'x'"):
        build(folder / "results.parquet", tmp_path / "out", study="x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt"]


@pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium; the page's structure is tested without it"
)
def test_a_browser_shows_every_figure_and_says_nothing(report, tmp_path):
    probe = (
        "<script>addEventListener('load', () => { document.title ="
        " [...document.querySelectorAll('svg')].map("
        + "svg => svg.getBoundingClientRect()).filter(box => box.width > 200 && box.height >"
        " 100).length + ' drawn, ' + (document.documentElement.scrollWidth -"
        " document.documentElement.clientWidth) + ' too wide' })</script></body>"
    )
    copy = report.parent / "probe.html"
    copy.write_text((report / "report.html").read_text().replace("</body>", probe))
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}", "--dump-dom", copy.as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert f"<title>{len(FIGURES)} drawn, 0 too wide</title>" in done.stdout
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]


WIDTHS = (360, 414, 600, 768, 961, 1024, 1200, 1300, 1440, 1600)
MEASURE = """<script>addEventListener('load', () => {
  const frame = document.querySelector('iframe'), page = frame.contentDocument, found = [];
  for (const details of page.querySelectorAll('details')) details.open = true;
  for (const width of WIDTHS) {
    frame.style.width = width + 'px';
    const beyond = page.documentElement.scrollWidth - page.documentElement.clientWidth;
    if (beyond) found.push(width + ': page by ' + beyond);
    for (const card of page.querySelectorAll('section.exhibit, .facts li, main > details, nav')) {
      const edge = card.getBoundingClientRect().right + 1;
      for (const part of card.querySelectorAll('*:not(svg *)'))
        if (part.getBoundingClientRect().right > edge)
          found.push(width + ': ' + (card.id || card.tagName) + ' ' + part.tagName);
    }
  }
  document.title = 'measured ' + WIDTHS.length + '; ' + found.slice(0, 9).join(', ');
});</script>"""


@pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium; the page's structure is tested without it"
)
def test_nothing_is_wider_than_its_card_at_any_width(report, tmp_path):
    page = html.escape((report / "report.html").read_text())
    probe = report.parent / "widths.html"
    script = MEASURE.replace("WIDTHS", str(list(WIDTHS)))
    probe.write_text(
        '<!DOCTYPE html><title>none</title><iframe style="height: 3000px; border: 0"'
        f' srcdoc="{page}"></iframe>{script}'
    )
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path}",
            "--window-size=1700,3000",
            "--dump-dom",
            probe.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert f"<title>measured {len(WIDTHS)}; </title>" in done.stdout


def test_names_in_other_scripts_are_no_warning():
    # The fonts of this machine may not have them; the reader's browser does.
    figure = matplotlib.figure.Figure()
    figure.text(0.5, 0.5, "\u65b9\u6cd5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "\u65b9\u6cd5" in building._svg(figure)
