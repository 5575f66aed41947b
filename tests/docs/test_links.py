"""No link of a page is broken, and no page is missing from the README, the index or the site."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name != "README.md")
ALL = [*ROOT.glob("*.md"), DOCS / "README.md", DOCS / "api" / "README.md", *PAGES]


def text_of(page):
    """A page without its code, in which brackets are no links."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


def anchors(page):
    """What can stand behind # in a link to a page."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page):
    """The (path, anchor) of the links of a page that stay in the repository."""
    found = re.findall(r"\]\(([^)\s]*)\)", text_of(page))
    return [
        (
            page.parent / target.partition("#")[0] if target[0] != "#" else page,
            target.partition("#")[2],
        )
        for target in found
        if not re.match(r"[a-z]+:", target)
    ]


def linked(page):
    return {target.resolve() for target, _ in links(page)}


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_broken(page):
    for target, anchor in links(page):
        assert target.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(target), f"{target} has no heading {anchor}"


def test_the_readme_and_the_index_lead_to_every_page():
    assert len(PAGES) > 15
    top = {path for path in PAGES if path.parent == DOCS}
    index = DOCS / "README.md"
    assert top - linked(index) == set()
    assert {*top, index} - linked(ROOT / "README.md") == set()
    assert set(PAGES) - top - linked(DOCS / "api" / "README.md") == set()


def test_the_site_has_every_page_once():
    nav = (ROOT / "mkdocs.yml").read_text().split("\nnav:\n")[1]
    names = re.findall(r"[\w/]+\.md", nav)
    assert sorted(names) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
