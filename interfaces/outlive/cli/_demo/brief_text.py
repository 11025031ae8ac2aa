"""A brief on a terminal: headings, bullets, bold words and citations."""

from __future__ import annotations

import re
from typing import Final

from rich.console import Console
from rich.text import Text

from outlive.cli._text import printable

_BOLD: Final = re.compile(r"\*\*(.+?)\*\*")
_CITED: Final = re.compile(r"\[\d+\]")
_ITEM: Final = re.compile(r"(?:- |\d+\. )")


def brief_lines(markdown: str, width: int) -> list[Text]:
    """Return a brief, or the beginning of one, as lines of at most `width` columns."""
    console = Console(width=width)
    found: list[Text] = []
    for line in markdown.splitlines():
        found.extend(_wrapped(printable(line), console, width))
    return found


def _wrapped(line: str, console: Console, width: int) -> list[Text]:
    if line.startswith("# "):
        return list(Text(line[2:], style="bold underline").wrap(console, width))
    if line.startswith("## "):
        return list(Text(line[3:], style="bold cyan").wrap(console, width))
    item = _ITEM.match(line)
    if item is None:
        return list(_styled(line).wrap(console, width)) or [Text()]
    mark = "• " if item[0] == "- " else item[0]
    lines = list(_styled(line[item.end() :]).wrap(console, max(width - len(mark), 10)))
    for at, text in enumerate(lines):
        text.pad_left(len(mark))
        if at == 0:
            lines[at] = Text.assemble((mark, "dim"), text[len(mark) :])
    return lines


def _styled(text: str) -> Text:
    if text.count("**") % 2:
        text += "**"  # The rest of it has not come in yet.
    made, at = Text(), 0
    for bold in _BOLD.finditer(text):
        made.append(text[at : bold.start()])
        made.append(bold[1], style="bold")
        at = bold.end()
    made.append(text[at:])
    made.highlight_regex(_CITED, "cyan")
    return made
