"""The documentation is run: a ```python block is a whole script, unless marked ```python no-run.

Each block runs in a process and an empty folder of its own, as a reader would paste it into a file.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKDOWN = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
TIMEOUT_S = 60

FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)\n"
    r"(?P<body>.*?)"
    r"^[ \t]*(?P=fence)[`~]*[ \t]*(?:\n|\Z)",
    re.MULTILINE | re.DOTALL,
)
HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
LINK = re.compile(
    r"\]\(\s*<?(?P<inline>[^)\s>]+)>?[^)]*\)"
    r"|^[ ]{0,3}\[[^\]]+\]:[ \t]*<?(?P<reference>[^\s>]+)"
    r"|\b(?:href|src)=[\"'](?P<html>[^\"']+)[\"']",
    re.MULTILINE,
)


class Block(NamedTuple):
    line: int
    code: str
    marks: tuple[str, ...]


def python_blocks(text: str) -> Iterator[Block]:
    for fence in FENCE.finditer(text):
        language, *marks = fence["info"].split() or [""]
        if language.lower() in {"python", "python3", "py"}:
            line = text.count("\n", 0, fence.start("body")) + 1
            # Blank lines before the code make a traceback show the line in the document.
            indent = re.compile(rf"^{fence['indent']}", re.MULTILINE)
            yield Block(line, "\n" * (line - 1) + indent.sub("", fence["body"]), tuple(marks))


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    seen: dict[str, int] = {}
    for heading in HEADING.findall(FENCE.sub("", text)):
        words = re.sub(r"\]\([^)]*\)", "]", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        seen[slug] = seen.get(slug, -1) + 1
        if seen[slug]:
            seen[f"{slug}-{seen[slug]}"] = 0
    return seen.keys() | set(re.findall(r"\b(?:id|name)=[\"']([^\"']+)[\"']", text))


def broken_links(document: Path) -> list[str]:
    """Return the relative links of `document` that lead nowhere."""
    text = document.read_text(encoding="utf-8")
    prose = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", FENCE.sub("", text))
    broken: list[str] = []
    for match in LINK.finditer(prose):
        link = match["inline"] or match["reference"] or match["html"]
        if re.match(r"[a-z][a-z0-9+.-]*:|//", link, re.IGNORECASE):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = document.parent / path if path else document
        if not target.exists():
            broken.append(link)
        elif anchor and target.suffix == ".md":
            known = anchors(target.read_text(encoding="utf-8"))
            broken.extend([link] if anchor not in known else [])
    return broken


BLOCKS = [
    pytest.param(block, id=f"{document.relative_to(ROOT).as_posix()}:{block.line}")
    for document in DOCUMENTS
    for block in python_blocks(document.read_text(encoding="utf-8"))
    if block.marks != ("no-run",)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_python_block_runs(block: Block, tmp_path: Path) -> None:
    assert not block.marks, "the one mark there is: ```python no-run"
    script = tmp_path / "script" / "example.py"
    script.parent.mkdir()
    script.write_text(block.code, encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    "document", [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in MARKDOWN]
)
def test_relative_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_blocks_are_found_with_their_line_and_mark() -> None:
    text = (
        "# Title\n"
        "```python\nprint(1)\n```\n"
        "```text\n```python\n```\n"
        "- item\n\n  ~~~py no-run\n  if x:\n      ...\n  ~~~\n"
        "````markdown\n```python\nquoted\n```\n````\n"
        "```python"
    )
    assert list(python_blocks(text)) == [
        Block(3, "\n\nprint(1)\n", ()),
        Block(11, "\n" * 10 + "if x:\n    ...\n", ("no-run",)),
    ]


def test_links_are_followed_to_the_file_and_its_heading(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# The `log`, in short\n## Again\n## Again\n")
    document = tmp_path / "index.md"
    document.write_text(
        "## Here\n"
        "[a](other.md) [b](other.md#the-log-in-short) [c](#here) [d](https://example.org/x)\n"
        "[e](other.md#again-1) ![f](missing.png 'title') [g](other.md#nowhere) [h][ref]\n"
        "`[i](code.md)` <img src='gone.svg'>\n```\n[j](fenced.md)\n```\n"
        "[ref]: absent.md\n"
    )
    assert broken_links(document) == ["missing.png", "other.md#nowhere", "gone.svg", "absent.md"]
