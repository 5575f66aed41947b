"""The report as one HTML page that works offline: drawings and styles inline, no script."""

import html
import pathlib
import re
from collections.abc import Sequence, Sized

import pandas as pd

from dlib_tf2.report import methods
from dlib_tf2.report.exhibit import Exhibit, cells, standing
from dlib_tf2.report.sections import Sampling
from dlib_tf2.report.tidy import Scores

_MOST_ROWS = 60  # of a table of numbers on the page; the file has all
_STYLE = pathlib.Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_TO = (3, 5, 8, 99)  # most columns of the kinds of tables that the styles know

Section = tuple[str, Sequence[tuple[Exhibit, str | None]]]


def render(scores: Scores, made: Sequence[Section], sampling: Sampling) -> str:
    """The page: what it is made from and what is missing, then each section with its figures and
    tables.
    """
    name = scores.study or "runs outside of a study"
    body = "\n".join(
        _section(scores, number, heading, shown) for number, (heading, shown) in enumerate(made, 1)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Disentanglement report: {html.escape(name)}</title>
<style>
{_STYLE}</style>
</head>
<body>
<div class="page">
<nav aria-label="Contents">
{_contents(made)}
</nav>
<main>
<h1>Disentanglement report: {html.escape(name)}</h1>
{_opening(scores, sampling)}
{body}
</main>
</div>
</body>
</html>
"""


def inline(svg: str, name: str, title: str) -> str:
    """A drawing that can stand in a page with others: without an XML header, and with only the
    identifiers that it uses, each made unique by the drawing's name.
    """
    svg = svg[svg.index("<svg") :]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(
        r'\s\bid="([^"]+)"',
        lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "",
        svg,
    )
    svg = re.sub(r'(href="#|url\(#)([^")]+)', rf"\g<1>{name}-\2", svg)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    # it would reach every other element of the page
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.S)
    return svg.replace(
        "<svg",
        f'<svg role="img" aria-label="{html.escape(title)}" stroke-linejoin="round"'
        ' stroke-linecap="butt"',
        1,
    )


def _contents(made: Sequence[Section]) -> str:
    lines = []
    for number, (heading, shown) in enumerate(made, 1):
        lines.append(f"<p>{number}. {html.escape(heading)}</p>")
        lines += [f'<a href="#{item.name}">{html.escape(item.title)}</a>' for item, _ in shown]
    return "\n".join(lines)


def _opening(scores: Scores, sampling: Sampling) -> str:
    """What the report is made from, how much of the study that is, and what is mixed."""
    models, spanned = scores.models, len(cells(scores))
    expected = scores.expected
    whole = (
        f"of {expected:,} of the study"
        if expected is not None
        else f"of {spanned:,} of the datasets, settings and seeds that occur in this table"
    )
    facts = [
        (f"{len(models):,}", f"model{_s(models)}, {whole}"),
        (f"{len(scores.datasets)}", f"dataset{_s(scores.datasets)}: {', '.join(scores.datasets)}"),
        (
            f"{len(scores.methods)}",
            f"method{_s(scores.methods)}: {', '.join(map(methods.title, scores.methods))}",
        ),
        (f"{models['seed'].nunique()}", f"seed{_s(models['seed'].unique())}"),
        (" / ".join(f"{steps:,}" for steps in scores.steps) or "unknown", "training updates"),
    ]
    absent = (
        ", and the models of the study that it has nothing of in <a"
        ' href="numbers/absent.csv">numbers/absent.csv</a>'
    )
    absent = absent if len(scores.absent) else ""
    items = "\n".join(
        f"<li><b>{html.escape(number)}</b><span>{html.escape(text)}</span></li>"
        for number, text in facts
    )
    notes = "".join(
        f'<p class="note">{html.escape(note)}</p>'
        for note in [*_whole_or_part(scores), *scores.notes]
    )
    return f"""<p class="lead">The analysis of Locatello et al., <i>Challenging Common Assumptions
in the Unsupervised Learning of Disentangled Representations</i> (ICML 2019), of the models in one
results table. What the paper found stands beside each figure for comparison; it speaks of 12,600
models trained for 300,000 steps on seven datasets. Metrics and accuracies are those of mean codes,
except where sampled ones are named.</p>
<ul class="facts">
{items}
</ul>
{notes}
<p class="standing">Intervals: percentile bootstrap over models, {sampling.bootstrap:,} samples;
odds: {sampling.draws:,} draws; both from the seed {sampling.seed}. Models of one setting or seed
are not independent of each other, so that true uncertainty is larger. A table of all models and
their scores is in <a href="numbers/models.csv">numbers/models.csv</a>, what is missing of the
datasets, settings and seeds that occur in this table in
<a href="numbers/missing.csv">numbers/missing.csv</a>{absent}.</p>
<details><summary>What computed each score ({len(scores.measured):,} rows)</summary>
{_table(scores.measured)}</details>"""


def _whole_or_part(scores: Scores) -> list[str]:
    """Sentences on the scores and models of the study that are missing."""
    found = len(scores.models)
    of = scores.models[[*scores.metrics, *scores.others]].notna().sum()
    if len(of) and of.min() < found:
        fewest = f"fewest: {of.idxmin()}, {of.min():,}"
        whole = int(scores.models[list(of.index)].notna().all(axis=1).sum())
        return [
            (
                f"{whole:,} of the {found:,} models in this table have every metric that some model"
                f" has ({fewest})."
            ),
            *_of_study(scores),
        ]
    return _of_study(scores)


def _of_study(scores: Scores) -> list[str]:
    found, spanned = len(scores.models), len(cells(scores))
    if scores.expected is not None and found < scores.expected:
        percent = min(100 * found / scores.expected, 99.9)  # a part is never rounded to the whole
        return [
            f"This is a part of the study: {found:,} of {scores.expected:,} models"
            f" ({percent:.3g} %)."
        ]
    if found < spanned:
        return [
            f"This table has gaps: {found:,} of the {spanned:,} models that its own datasets,"
            " settings and seeds span are there."
        ]
    if scores.expected is None:
        return [
            "The size of the whole study is not known here: a model whose dataset, setting or seed"
            " does not occur in the table does not count as missing."
        ]
    return []


def _section(
    scores: Scores, number: int, heading: str, shown: Sequence[tuple[Exhibit, str | None]]
) -> str:
    items = "\n".join(_exhibit(scores, item, svg) for item, svg in shown)
    return f'<h2 id="section-{number}">{number}. {html.escape(heading)}</h2>\n{items}'


def _exhibit(scores: Scores, item: Exhibit, svg: str | None) -> str:
    parts = [f'<section class="exhibit" id="{item.name}">', f"<h3>{html.escape(item.title)}</h3>"]
    parts.append(f'<p class="reading">{html.escape(item.reading)}</p>')
    if svg is not None:
        parts.append(f'<div class="figure">{inline(svg, item.name, item.title)}</div>')
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in item.notes]
    if item.table is not None:
        parts.append(_table(item.table))
    elif svg is None and not item.notes:
        absent = [name for name in item.needs if name not in scores.models]
        why = f"no model has {', '.join(absent)}" if absent else "it has no rows for it"
        parts.append(f'<p class="nothing">Not estimable from this table: {html.escape(why)}.</p>')
    if item.needs:
        parts.append(
            '<p class="standing"><b>Models behind it:</b>'
            f" {html.escape(standing(scores, item))}</p>"
        )
    links = [f'<a href="numbers/{item.name}.csv">numbers/{item.name}.csv</a>']
    if svg is not None:
        links.append(f'<a href="figures/{item.name}.svg">figures/{item.name}.svg</a>')
    parts.append(
        f"<details><summary>Numbers ({len(item.numbers):,}"
        f" rows)</summary>{_table(item.numbers)}<p>{', '.join(links)}</p></details>"
    )
    return "\n".join([*parts, "</section>"])


def _table(table: pd.DataFrame) -> str:
    """The first rows of a table; text to the left, numbers to the right."""
    if table.empty:
        return "<p>No rows.</p>"
    text = [
        not pd.api.types.is_numeric_dtype(table[name]) and not _like_numbers(table[name])
        for name in table
    ]
    kinds = [' class="text"' if is_text else "" for is_text in text]
    names = [html.escape(str(name).replace("_", " ")) for name in table]
    head = "".join(f"<th{kind}>{name}</th>" for name, kind in zip(names, kinds, strict=True))
    rows = []
    for row in table.head(_MOST_ROWS).itertuples(index=False):
        row_cells = []
        for value, kind, name in zip(row, kinds, names, strict=True):
            shown = _value(value)
            if shown == "not estimable":
                kind = kind[:-1] + ' missing"' if kind else ' class="missing"'
            row_cells.append(f'<td{kind} data-label="{name}">{html.escape(shown)}</td>')
        rows.append(f"<tr>{''.join(row_cells)}</tr>")
    more = (
        f"<p>The first {_MOST_ROWS} of {len(table):,} rows.</p>" if len(table) > _MOST_ROWS else ""
    )
    most = next(most for most in _TO if len(names) <= most)
    return (
        '<div class="scroll"><table'
        f' class="to{most}"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"</table></div>{more}"
    )


def _value(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return "not estimable"
    # an empty text means that the record has no value
    return f"{value:.4g}" if isinstance(value, float) else str(value) or "–"


def _like_numbers(column: pd.Series) -> bool:
    return all(re.match(r"-?[\d,.]+|not estimable|about|–", str(value)) for value in column)


def _s(values: Sized) -> str:
    return "" if len(values) == 1 else "s"
