"""Once the pages are written: every link of theirs inside the site leads to a file and a place in it, and nothing that a page shows
or runs comes from elsewhere. Links to other sites are not followed: the build has no network.
"""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

ELSEWHERE = ("http:", "https:", "//")
NO_FILE = (*ELSEWHERE, "mailto:", "data:", "javascript:")

# What a browser loads by itself; a link waits for a click.
LOADED = {"script", "img", "source", "video", "audio", "iframe", "embed", "object", "link"}
NOT_LOADED = {
    "canonical",
    "search",
    "index",
    "genindex",
    "next",
    "prev",
    "author",
    "help",
}  # of <link rel=...>


class Page(HTMLParser):
    """The places of a page, what it links to, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        for name in ("href", "src", "data", "poster"):
            if not given.get(name):
                continue
            self.links.add(given[name])
            if tag in LOADED and given.get("rel") not in NOT_LOADED:
                self.loads.add(given[name])


def check(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir).resolve()
    pages = {path: Page(path) for path in sorted(out.rglob("*.html")) if "_static" not in path.parts}
    for path, page in pages.items():
        where = path.relative_to(out)
        for target in sorted(page.loads):
            if target.startswith(ELSEWHERE):
                logger.warning("%s loads %s, which is not part of the site", where, target)
        for target in sorted(page.links):
            if target.startswith(NO_FILE):
                continue
            file, place = urldefrag(target)
            found = (path.parent / unquote(file.split("?")[0])).resolve() if file else path
            if not found.exists():
                logger.warning("%s links to %s, which is not there", where, target)
            elif place and found in pages and unquote(place) not in pages[found].places:
                logger.warning("%s links to %s, but there is no such place in that page", where, target)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True}
