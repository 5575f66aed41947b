"""mkdocs calls this for every page: links that leave docs/ lead nowhere on the site, so their text
is shown alone. tests/docs/test_links.py checks that their targets exist.
"""

import posixpath
import re
from typing import Any


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    folder = posixpath.dirname(page.file.src_uri)

    def shown(link: re.Match[str]) -> str:
        inside = not posixpath.normpath(posixpath.join(folder, link[2])).startswith("..")
        return link[0] if inside else link[1]

    return re.sub(r"\[([^\]]*)\]\(([^)#:\s]+)\)", shown, markdown)
