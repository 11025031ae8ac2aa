"""HTML to what a reader takes from a page: its title, its text under headings, its links."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

import msgspec

_BLOCK_TAGS: Final = (
    "address article blockquote body br caption center dd details dialog div dl dt fieldset "
    "figcaption figure form hr html legend li main ol option p section summary table tbody td "
    "tfoot th thead tr ul"
)
_FURNITURE_TAGS: Final = (
    "aside button footer header nav noscript pre script select style svg table template textarea"
)
"""Not prose: navigation, code, tables of fragments."""
_BLOCKS: Final = frozenset(_BLOCK_TAGS.split())
_FURNITURE: Final = frozenset(_FURNITURE_TAGS.split())
_HEADINGS: Final = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_SPACE: Final = re.compile(r"\s+")


class Passage(msgspec.Struct, frozen=True):
    """A paragraph or list item, and the heading it stands under."""

    heading: str
    text: str


class Content(msgspec.Struct, frozen=True):
    """What was found in a page. `links` are as written, in order, each once."""

    title: str
    passages: tuple[Passage, ...]
    links: tuple[str, ...]


def read_html(text: str) -> Content:
    """Return the content of an HTML page. Any text is taken, however broken; raises nothing.

    Where the page marks its main part (`<main>`, else `<article>`), only that is read. Links
    are taken from everywhere.
    """
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.content()


class _Reader(HTMLParser):
    """Collects text between block-level tags; inline tags are passed over."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._buffer: list[str] = []
        self._inside: list[str] = []  # open tags that matter, innermost last
        self._heading = ""
        self._term = ""
        self._title = ""
        self._first_heading = ""
        self._links: dict[str, None] = {}
        self._found: dict[str, list[Passage]] = {"": [], "article": [], "main": []}
        self._permalink = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of a link, and of where the text that follows stands."""
        attributes = dict(attrs)
        if tag == "a":
            href = attributes.get("href")
            if href:
                self._links.setdefault(href)
            self._permalink = "headerlink" in (attributes.get("class") or "")
        if tag in _BLOCKS or tag in _HEADINGS or tag in _FURNITURE:
            self._flush()
        innermost = self._inside[-1] if self._inside else ""
        ends = innermost in _HEADINGS or innermost == "dt"
        if ends and (tag in _BLOCKS or tag in _HEADINGS):
            self._inside.pop()  # It holds no blocks: its end was left out.
        if tag in _HEADINGS or tag in _FURNITURE or tag in ("title", "main", "article", "dt"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """End a block. An end without a start is passed over."""
        if tag == "a":
            self._permalink = False
        if tag in _BLOCKS or tag in _HEADINGS or tag in _FURNITURE or tag == "title":
            self._flush()
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Take text."""
        if not self._permalink:
            self._buffer.append(data)

    def close(self) -> None:
        """Take what is left."""
        super().close()
        self._flush()

    def _flush(self) -> None:
        text = _SPACE.sub(" ", "".join(self._buffer)).strip()
        self._buffer.clear()
        if not text:
            return
        innermost = self._inside[-1] if self._inside else ""
        if innermost == "title":
            self._title = self._title or text
        elif innermost in _HEADINGS and "nav" not in self._inside:
            self._heading, self._term = text, ""
            self._first_heading = self._first_heading or text
        elif any(tag in _FURNITURE for tag in self._inside):
            return
        elif innermost == "dt":
            self._term = text
        else:
            part = next((mark for mark in ("main", "article") if mark in self._inside), "")
            told = f"{self._term}: {text}" if self._term else text
            self._found[part].append(Passage(self._heading, told))
            self._term = ""

    def content(self) -> Content:
        """Return what was found."""
        passages = self._found["main"] or self._found["article"] or self._found[""]
        return Content(
            title=self._first_heading or self._title,
            passages=tuple(passages),
            links=tuple(self._links),
        )
