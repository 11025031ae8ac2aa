"""`outlive demo`: puts the site, the folder, the story and the screen together.

A run that was left unfinished in the folder of `--data`, its question perhaps open, is gone on
with.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Coroutine, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from outlive.cli._demo.aim import AT_WORK
from outlive.cli._demo.asking import ask_for_consent, somebody_is_there
from outlive.cli._demo.fetch import NotASite, origin_of
from outlive.cli._demo.folder import Left, demo_folder, left_in
from outlive.cli._demo.model import MODEL_SAYS, Wish, ask
from outlive.cli._demo.moments import Begun
from outlive.cli._demo.screens import JsonScreen, PlainScreen, Screen
from outlive.cli._demo.story import Story
from outlive.cli._demo.web_server import SiteServer, is_page
from outlive.cli._demo.worker import Job, Setting
from outlive.cli._exit import FAILED, OK, Wrong

T = TypeVar("T")

QUESTION: Final = "How does a long job recover from a crash without repeating an effect?"
HANDBOOK: Final = Path(__file__).parent / "site"

_Source: TypeAlias = tuple[str, str, SiteServer | None]
"""The address of a site, what to call it, and its server if that is ours."""
_PAUSE: Final = 0.25  # seconds after each page of a task: polite, and time to be killed in
_ANSWER_TIME: Final = 2.5  # seconds: time to be killed in, again


def play_demo(
    *,
    source: str | None,
    question: str | None,
    data: Path | None,
    keep: bool,
    kill: bool,
    max_pages: int,
    approve: bool,
    json: bool,
) -> int:
    """Play the demo and return 0 if everything that should hold did.

    Raises:
        Wrong: an option that cannot be, or a worker that could not work.
    """
    asked_for = " ".join((question if question is not None else QUESTION).split())
    if not asked_for:
        raise Wrong("--question is empty")
    if max_pages < 1:
        raise Wrong(f"--max-pages is 1 or more, not {max_pages}")
    if keep and data is not None:
        raise Wrong("--keep is for the temporary folder; the one in --data is kept anyway")
    left = left_in(data) if data is not None else None
    if left is not None and (source is not None or question is not None):
        raise Wrong(
            f"in {str(data)!r} run {left.run_id!r} is not over: it goes on without --source and "
            "--question"
        )
    if left is not None and approve and not left.wish.publish_to:
        raise Wrong(f"in {str(data)!r} run {left.run_id!r} is not over, and not to publish")
    with ExitStack() as stack:
        plan = stack.enter_context(
            _rest(left)
            if left is not None
            else _plan(source, asked_for, approve=approve, max_pages=max_pages)
        )
        folder = stack.enter_context(demo_folder(data, keep=keep))
        screen = stack.enter_context(_screen(json=json))
        kills = AT_WORK + approve if kill and left is None else 0
        screen.tell(
            Begun(
                at_ms=0,
                run_id=plan.run_id,
                question=plan.wish.question,
                site=plan.wish.site,
                title=plan.title,
                served=plan.server is not None,
                model=MODEL_SAYS,
                data=str(folder),
                kept=keep or data is not None,
                kills=kills,
                max_pages=plan.setting.max_pages,
                publish_to=plan.wish.publish_to,
                goes_on=left is not None,
            )
        )
        job = Job(
            data=str(folder),
            run_id=plan.run_id,
            input=plan.input,
            setting=plan.setting,
            pause=_PAUSE,
            answer_time=_ANSWER_TIME,
        )
        story = Story(
            job,
            kills=kills,
            complaints=stack.enter_context(tempfile.TemporaryFile()),
            tell=screen.tell,
            server=plan.server,
            publish=bool(plan.wish.publish_to),
            before=None if left is None else left.owner,
            consent=ask_for_consent if not json and somebody_is_there() else None,
        )
        report, course = asyncio.run(_interruptible(story.play()))
        screen.finish(report, course)
    return OK if report.ok else FAILED


class _Plan(NamedTuple):
    """What is to be played. `server` is that of the site, if it is ours."""

    run_id: str
    input: str
    wish: Wish
    setting: Setting
    title: str
    server: SiteServer | None


@contextmanager
def _plan(
    source: str | None, question: str, *, approve: bool, max_pages: int
) -> Generator[_Plan, None, None]:
    """Yield the plan of a new run; its site is served meanwhile, if it is a folder."""
    run_id = f"demo-{secrets.token_hex(3)}"
    publish_to = str(Path.cwd() / f"{run_id}.md") if approve else ""
    with _site(source) as (site, title, server):
        served = None if server is None else str(server.folder)
        yield _Plan(
            run_id,
            ask(question, site, publish_to),
            Wish(question, site, publish_to),
            Setting(max_pages=max_pages, served=served),
            title,
            server,
        )


@contextmanager
def _rest(left: Left) -> Generator[_Plan, None, None]:
    """Yield the plan for the rest of a run; its site is served again, if there is more to read."""
    folder, site = left.setting.served, left.wish.site
    with ExitStack() as stack:
        server: SiteServer | None = None
        if folder is not None and not left.asked:
            port = int(origin_of(site).rpartition(":")[2])
            try:
                server = stack.enter_context(SiteServer(Path(folder), port=port))
            except OSError as error:
                raise Wrong(
                    f"the site of run {left.run_id!r} cannot be served again at {site}: "
                    f"{error.strerror}",
                    code=FAILED,
                ) from None
        title = "read before" if left.asked else "read in part"
        yield _Plan(left.run_id, left.input, left.wish, left.setting, title, server)


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
        yield server.url, title, server


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
