"""What the tests of the command line share."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    Finish,
    ModelPart,
    ModelRequest,
    Runtime,
    ScriptedModel,
    TextDelta,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.cli._app import run
from outlive.cli._demo.brief import Source
from outlive.cli._demo.html import read_html
from outlive.cli._exit import OK
from outlive.events import Usage

HANDBOOK = Path(__file__).parents[2] / "interfaces/outlive/cli/_demo/site"


def outlive(*arguments: str, pause: float | None = None) -> list[str]:
    """Return the command line that runs `outlive` in a process of its own.

    It hears Ctrl-C as at a terminal, also where the tests run in the background of a shell,
    which has its processes ignore that signal. With `pause`, the demo rests so many seconds
    after each page: who has something to do with it meanwhile may be late.
    """
    lines = ["import signal", "signal.signal(signal.SIGINT, signal.default_int_handler)"]
    if pause is not None:
        lines += ["from outlive.cli._demo import command", f"command._PAUSE = {pause}"]
    lines += ["from outlive.cli import main", "main()"]
    return [sys.executable, "-c", "; ".join(lines), *arguments]


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what `outlive`, run within this process, prints; it has to end well."""
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(run(arguments))
    assert (ended.value.code or 0) == OK
    return capsys.readouterr().out


def start(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pause: float | None = None,
) -> subprocess.Popen[str]:
    """Start `outlive` in a process of its own, its output to be read line by line."""
    return subprocess.Popen(
        outlive(*arguments, pause=pause),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )


class AtTerminal:
    """`outlive` at a terminal of its own, of 100 by 40 characters. Use it in `with`.

    `shown` is what it has shown so far, with its colours and moves of the cursor.
    """

    def __init__(
        self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self._terminal, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (40, 100))
        self.process = subprocess.Popen(
            outlive(*arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env={**os.environ, "TERM": "xterm-256color", **(env or {})},
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""
        self._looked_to = 0

    def __enter__(self) -> AtTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        os.close(self._terminal)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._terminal, f"{line}\n".encode())

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._terminal, key)

    def until(self, text: str, *, within: float = 60) -> None:
        """Wait until it shows a text, after the last one that was waited for."""
        while text not in self.shown[self._looked_to :]:
            assert self._read(within), f"it has ended without {text!r}: {self.shown}"
        self._looked_to = self.shown.index(text, self._looked_to) + len(text)

    def end(self, *, within: float = 60) -> int:
        """Wait until it has ended, and return its exit code."""
        while self._read(within):
            pass
        return self.process.wait(within)

    def _read(self, within: float) -> bool:
        assert select.select([self._terminal], [], [], within)[0], f"it is silent: {self.shown}"
        try:
            read = os.read(self._terminal, 65_536)
        except OSError:  # Nobody is left at the other end.
            return False
        self.shown += read.decode(errors="replace")
        return bool(read)


def objects(text: str) -> list[dict[str, Any]]:
    """Return the objects of lines of JSON; each line is one."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(one, dict) for one in found)
    return found


def handbook() -> list[Source]:
    """Return the pages of the handbook, by name."""
    pages: list[Source] = []
    for file in sorted(HANDBOOK.glob("*.html")):
        content = read_html(file.read_text(encoding="utf-8"))
        pages.append(Source(content.title, f"http://site/{file.name}", content.passages))
    return pages


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def write_site(folder: Path, pages: Mapping[str, str]) -> Path:
    """Write files into a new folder."""
    for name, text in pages.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def page(title: str, *paragraphs: str, links: Sequence[str] = ()) -> str:
    """Return an HTML page."""
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    anchors = "".join(f'<a href="{link}">{link}</a>' for link in links)
    return f"<html><title>{title}</title><main><h1>{title}</h1>{body}{anchors}</main></html>"


@tool(read_only=True)
async def fingerprint(text: str, ctx: ToolContext) -> bytes:
    """Return some bytes."""
    await ctx.progress(done=1, total=1, note="done")
    return await ctx.step("bytes", str.encode, text, result_type=bytes)


def agent() -> Agent:
    """Return an agent whose run has a tool call with bytes, and an answer in two deltas."""
    turns = [
        Turn(tool_calls=[ToolCall("fingerprint", {"text": "\x00\x01"})]),
        Turn("All \x1b[31mdone\x1b[0m.", usage=Usage(input_tokens=7, output_tokens=2)),
    ]
    return Agent("writer", model=ScriptedModel(turns), tools=[fingerprint])


async def make_run(data: Path, run_id: str, *, agent: Agent) -> None:
    """Let a run happen in a log."""
    async with Runtime(data, agents=[agent]) as rt:
        await rt.run(agent, "Take the fingerprint.", run_id=run_id)


class Gated:
    """A model that answers when a gate is open."""

    name = "gated"

    def __init__(self, gate: asyncio.Event) -> None:
        self._gate = gate

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        await self._gate.wait()
        yield TextDelta(f"{request.run_id} may go.")
        yield Finish()
