"""Small texts for a terminal: safe, short, with units."""

from __future__ import annotations

import json
import sys
from typing import Final

import msgspec
from rich.console import Console, RenderableType

_PIPE_WIDTH: Final = 80


def printable(text: str, *, limit: int = 0) -> str:
    """Return a text in one line that cannot steer a terminal, cut at `limit` characters.

    What models and tools wrote is shown to people: escape sequences in it are made visible.
    """
    line = " ".join(text.split())
    if limit and len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return "".join(map(_visible, line))


def printable_lines(text: str) -> str:
    """Return a text of several lines that cannot steer a terminal."""
    lines = text.splitlines()
    return "\n".join("".join(map(_visible, line.expandtabs(4))) for line in lines)


def exact_json(value: object) -> str:
    """Return a value as JSON that cannot steer a terminal, whole: what a person decides about."""
    return "".join(map(_escaped, msgspec.json.encode(value).decode()))


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else json.dumps(char)[1:-1]


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() else char.encode("unicode_escape").decode()


def duration(elapsed_ms: float | None) -> str:
    """Return a length of time for people: `3 ms`, `1.25 s`, `2 min 05 s`, `3 h 20 min`."""
    if elapsed_ms is None:
        return "-"
    if elapsed_ms < 1_000:
        return f"{elapsed_ms:.0f} ms"
    seconds = elapsed_ms / 1_000
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 page`, `24 pages`, `1,200 words`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def console() -> Console:
    """Return a console on stdout; without a terminal it is plain."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_PIPE_WIDTH, color_system=None, legacy_windows=False)


def put(out: Console, *parts: RenderableType) -> None:
    """Print; in a file or pipe without spaces at the ends of lines."""
    if out.is_terminal:
        out.print(*parts, sep="\n")
        return
    with out.capture() as captured:
        out.print(*parts, sep="\n")
    lines = captured.get().splitlines()
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))
