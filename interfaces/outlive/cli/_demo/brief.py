"""A brief: what some pages say to a question, in their own sentences, with sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from outlive.cli._demo.extract import Library, Sentence
from outlive.cli._demo.html import Passage
from outlive.cli._demo.words import terms_of

_SUMMARY: Final = 4
_SECTIONS: Final = 4
_A_SECTION: Final = 3  # sentences; more where there are few sections
_BULLETS: Final = 8
_OF_A_PAGE: Final = 2
_CLOSE: Final = 0.4
"""A page whose score is a smaller share of the best page's is about something else."""


class Source(msgspec.Struct, frozen=True):
    """A page that a brief may quote."""

    title: str
    url: str
    passages: tuple[Passage, ...]


def write_brief(question: str, sources: Sequence[Source]) -> str:
    """Return a brief in Markdown: summary, sections, and the list of the sources it cites.

    Every sentence is one of a source, and carries its number: `[2]`. A source is listed only if
    it is cited. The same question and sources give the same text.
    """
    library = Library([(source.title, source.passages) for source in sources])
    asked = library.question(question)
    scores, pages = library.rank(asked)
    close = {page for page, score in enumerate(pages) if score >= _CLOSE * max(pages)}
    near = [sentence for sentence in library.sentences if sentence.page in close]
    summary = library.pick(near, scores, _SUMMARY, a_page=_OF_A_PAGE, a_passage=1)
    if not summary:
        return _nothing_found(question, sources)
    sections = _sections(library, scores, pages, summary)
    return _Writer(question, sources).write(library, summary, sections)


def _sections(
    library: Library, scores: Sequence[float], pages: Sequence[float], summary: Sequence[Sentence]
) -> list[list[Sentence]]:
    """Pick the best pages, and of each some sentences that the summary does not have."""
    close = [page for page, score in enumerate(pages) if score >= _CLOSE * max(pages)]
    order = sorted(close, key=lambda page: (-pages[page], page))
    a_section = max(_A_SECTION, _BULLETS // max(len(close), 1))
    told = list(summary)
    sections: list[list[Sentence]] = []
    for page in order:
        candidates = [s for s in library.sentences if s.page == page and s not in told]
        section = library.pick(candidates, scores, a_section, besides=told, a_passage=1)
        if len(section) > 1 and len(sections) < _SECTIONS:
            sections.append(sorted(section, key=lambda sentence: sentence.place))
            told += section
    return sections


def _nothing_found(question: str, sources: Sequence[Source]) -> str:
    titles = "\n".join(f"- {source.title} ({source.url})" for source in sources[:12])
    more = f"\n- and {len(sources) - 12} more" if len(sources) > 12 else ""
    return (
        f"# {question}\n\n"
        "None of the pages has a sentence with words of this question.\n\n"
        f"What was read:\n\n{titles}{more}\n"
    )


class _Writer:
    """Sets a brief, and numbers the sources in the order in which they are first cited."""

    def __init__(self, question: str, sources: Sequence[Source]) -> None:
        self._question = question
        self._sources = sources
        self._numbers: dict[int, int] = {}

    def write(
        self, library: Library, summary: Sequence[Sentence], sections: Sequence[Sequence[Sentence]]
    ) -> str:
        lines = [f"# {self._question}", "", " ".join(self._cited(s) for s in summary), ""]
        for section in sections:
            lines += [f"## {self._sources[section[0].page].title}", ""]
            for sentence in section:
                about = self._about(sentence)
                lines.append(f"- {about}{self._cited(sentence)}")
            lines.append("")
        unknown = [
            word
            for word in dict.fromkeys(self._question.replace("?", " ").split())
            if (terms := terms_of(word)) and not any(library.knows(term) for term in terms)
        ]
        if unknown:
            lines += [f"On no page: {', '.join(unknown)}.", ""]
        lines += ["## Sources", ""]
        for page, number in self._numbers.items():
            source = self._sources[page]
            lines.append(f"{number}. {source.title}, {source.url}")
        return "\n".join(lines) + "\n"

    def _about(self, sentence: Sentence) -> str:
        title = self._sources[sentence.page].title
        return "" if sentence.heading in ("", title) else f"**{sentence.heading}:** "

    def _cited(self, sentence: Sentence) -> str:
        number = self._numbers.setdefault(sentence.page, len(self._numbers) + 1)
        return f"{sentence.text} [{number}]"
