"""`outlive demo`: puts the site, the folder, the story and the screen together."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from outlive.cli._demo.agent import AGENT_ID
from outlive.cli._demo.fetch import NotASite, origin_of
from outlive.cli._demo.model import MODEL_SAYS
from outlive.cli._demo.moments import Begun
from outlive.cli._demo.screens import JsonScreen, PlainScreen, Screen
from outlive.cli._demo.story import Story
from outlive.cli._demo.web_server import Counts, SiteServer, is_page
from outlive.cli._demo.worker import Job
from outlive.cli._exit import FAILED, OK, Wrong
from outlive.events import LmdbReader, LogNotFound

T = TypeVar("T")

QUESTION: Final = "How does a long job recover from a crash without repeating an effect?"
HANDBOOK: Final = Path(__file__).parent / "site"

_Source: TypeAlias = tuple[str, str, Callable[[], Counts] | None]
"""The address of a site, what to call it, and the server's counts if the server is ours."""
_PAUSE: Final = 0.12  # seconds between two pages: polite, and time to be killed in
_ANSWER_TIME: Final = 2.5  # seconds: time to be killed in, again


def play_demo(
    *,
    source: str | None,
    question: str | None,
    data: Path | None,
    keep: bool,
    kill: bool,
    max_pages: int,
    json: bool,
) -> int:
    """Play the demo and return 0 if everything that should hold did.

    Raises:
        Wrong: an option that cannot be, or a worker that could not work.
    """
    question = " ".join((question if question is not None else QUESTION).split())
    if not question:
        raise Wrong("--question is empty")
    if max_pages < 1:
        raise Wrong(f"--max-pages is 1 or more, not {max_pages}")
    if keep and data is not None:
        raise Wrong("--keep is for the temporary folder; the one in --data is kept anyway")
    with ExitStack() as stack:
        site, title, counts = stack.enter_context(_site(source))
        folder = stack.enter_context(_folder(data, keep=keep))
        run_id = f"demo-{secrets.token_hex(3)}"
        screen = stack.enter_context(_screen(json=json))
        screen.tell(
            Begun(
                at_ms=0,
                run_id=run_id,
                question=question,
                site=site,
                title=title,
                served=counts is not None,
                model=MODEL_SAYS,
                data=str(folder),
                kept=keep or data is not None,
                kills=2 if kill else 0,
                max_pages=max_pages,
            )
        )
        job = Job(
            data=str(folder),
            run_id=run_id,
            question=question,
            site=site,
            max_pages=max_pages,
            pause=_PAUSE,
            answer_time=_ANSWER_TIME,
        )
        complaints = stack.enter_context(tempfile.TemporaryFile())
        story = Story(job, kill=kill, complaints=complaints, tell=screen.tell, counts=counts)
        report, line = asyncio.run(_interruptible(story.play()))
        screen.finish(report, line)
    return OK if report.ok else FAILED


@contextmanager
def _site(source: str | None) -> Generator[_Source, None, None]:
    """Yield the site, and serve it meanwhile if it is a folder."""
    if source is not None and source.startswith(("http://", "https://")):
        try:
            origin_of(source)
        except NotASite as error:
            raise Wrong(str(error)) from None
        yield source, "a running site", None
        return
    folder = HANDBOOK if source is None else Path(source)
    if not folder.is_dir():
        raise Wrong(f"--source {source!r} is no folder, and no address that begins with http://")
    if not any(is_page(path) for path in folder.rglob("*")):
        raise Wrong(f"there is no HTML page in the folder {source!r}")
    title = "The Long Job Handbook" if source is None else folder.resolve().name
    with SiteServer(folder) as server:
        yield server.url, title, server.counts


@contextmanager
def _folder(data: Path | None, *, keep: bool) -> Generator[Path, None, None]:
    """Yield the folder of the log; a temporary one is removed in the end."""
    if data is not None:
        _refuse_runs_of_others(data)
        yield data
        return
    folder = Path(tempfile.mkdtemp(prefix="outlive-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _refuse_runs_of_others(data: Path) -> None:
    """The demo's worker goes on with all that is unfinished in its log: only its own, please."""
    try:
        log = LmdbReader(data)
    except LogNotFound:
        return
    try:
        agents = {entry.summary.get("agent_id", "") for _, entry in log.open_entries()}
    finally:
        log.close()
    if agents - {AGENT_ID}:
        raise Wrong(f"{str(data)!r} holds unfinished runs of other agents: choose another folder")


def _screen(*, json: bool) -> Screen:
    if json:
        return JsonScreen()
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from outlive.cli._demo.live_screen import LiveScreen

        return LiveScreen()
    return PlainScreen()


async def _interruptible(play: Coroutine[Any, Any, T]) -> T:
    """Let SIGTERM and SIGHUP end the play as Ctrl-C does: with everything cleaned up."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await play
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
