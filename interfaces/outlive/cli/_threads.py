"""`outlive threads list | show | watch`: read beside whatever process owns the log."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from rich.table import Table
from rich.text import Text

from outlive.cli._asking import answer_of, opened, require_begun
from outlive.cli._exit import OK, complain
from outlive.cli._json import plain, print_json, recorded_object
from outlive.cli._listing import Line, instant, now, print_list, print_page, short_span
from outlive.cli._pending_text import once_more
from outlive.cli._render import event_line
from outlive.cli._render_threads import who, words
from outlive.cli._text import console, counted, printable, printable_lines, put
from outlive.events import LmdbReader, LogReader, SystemClock, thread_stream
from outlive.projections import (
    ThreadInfo,
    ThreadMessage,
    ThreadPage,
    ThreadsQuery,
    ThreadsView,
    ViewReader,
    Views,
)
from outlive.projections.lists import MOST, Order

_HEADS: Final = ("thread", "status", "resource", "created", "last", "messages")
_NUMBERS: Final = (3, 4, 5)  # columns that are flush right
_NAME_CHARS: Final = 24
_STYLE: Final = {"active": "bold cyan", "idle": "green"}
_PIPE_LINE: Final = 200


class ThreadFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What `threads show` shows."""

    thread: ThreadInfo
    messages: tuple[ThreadMessage, ...]


def list_threads(
    data: Path,
    *,
    resource_id: str | None,
    since: str | None,
    until: str | None,
    order: Order,
    limit: int,
    cursor: str | None,
    json: bool,
) -> int:
    """Print a page of threads. Raises LogError, ViewError, Wrong."""
    clock = SystemClock()
    bounds = instant(since, "--since", clock), instant(until, "--until", clock)

    def ask(log: LogReader, views: Views) -> Coroutine[object, object, ThreadPage]:
        return ThreadsQuery(log, views).list(
            resource_id=resource_id,
            since=bounds[0],
            until=bounds[1],
            order=order,
            limit=limit,
            cursor=cursor,
        )

    page = answer_of(data, ThreadsView(), ask)
    if json:
        print_page(page.threads, page.cursor)
    elif page.threads:
        at = now(clock)
        lines = [Line(_cells(one, at), printable(one.title), _style(one)) for one in page.threads]
        print_list(_HEADS, "title", lines, numbers=_NUMBERS, cursor=page.cursor)
    else:
        complain("no threads")
    return OK


def show_thread(data: Path, thread_id: str, *, after: int, json: bool) -> int:
    """Print a thread and what was said on it. Raises ThreadNotFound, LogError, ViewError, Wrong."""

    async def ask(log: LmdbReader, views: Views) -> ThreadFacts:
        require_begun(log, thread_stream(thread_id), f"thread {thread_id!r}")
        threads = ThreadsQuery(log, views)
        info, said = await threads.get(thread_id), list[ThreadMessage]()
        seen = after
        while page := await threads.messages(thread_id, after=seen, limit=MOST):
            said += page
            seen = page[-1].version
        return ThreadFacts(thread=info, messages=tuple(said))

    facts = answer_of(data, ThreadsView(), ask)
    if json:
        print_json(plain(facts))
        return OK
    out = console()
    put(out, _head(facts.thread))
    if facts.thread.status == "quarantined":
        out.print(once_more("threads", thread_id, data), soft_wrap=True)
    for one in facts.messages:
        name = Text(f"\n{who(one.message)}", style="bold")
        name.append(f"  {one.at:%Y-%m-%d %H:%M:%S} UTC, version {one.version}", style="dim")
        out.print(name, soft_wrap=True)
        out.print(Text(printable_lines(words(one.message))), soft_wrap=not out.is_terminal)
    return OK


def watch_thread(data: Path, thread_id: str, *, after: int, json: bool) -> int:
    """Print what happens on a thread, then live. Raises ThreadNotFound, InvalidOffset, LogError."""
    with opened(data) as log:
        require_begun(log, thread_stream(thread_id), f"thread {thread_id!r}")
        asyncio.run(_watch(log, data, thread_id, after=after, json=json))
    return OK


async def _watch(log: LmdbReader, data: Path, thread_id: str, *, after: int, json: bool) -> None:
    views = ViewReader(log, [ThreadsView()], folder=data / "views", clock=SystemClock())
    out = console()
    width = out.width if out.is_terminal else _PIPE_LINE
    try:
        async with aclosing(ThreadsQuery(log, views).observe(thread_id, after=after)) as events:
            async for recorded in events:
                if json:
                    print_json(recorded_object(recorded))
                else:
                    out.print(event_line(recorded, width=width), soft_wrap=True)
                    out.file.flush()
    finally:
        views.close()


def _cells(thread: ThreadInfo, at: datetime) -> tuple[str, ...]:
    return (
        printable(thread.thread_id),
        thread.status,
        printable(thread.resource_id, limit=_NAME_CHARS),
        f"{short_span(at - thread.created_at)} ago",
        f"{short_span(at - thread.updated_at)} ago",
        f"{thread.messages:,}",
    )


def _style(thread: ThreadInfo) -> str:
    return _STYLE.get(thread.status, "bold yellow")


def _head(thread: ThreadInfo) -> Table:
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_column(style="dim", no_wrap=True)
    head.add_column(overflow="fold")
    head.add_row("thread", Text(printable(thread.thread_id), style="bold"))
    head.add_row("status", Text(thread.status, style=_style(thread)))
    fork = thread.forked_from
    for name, value in (
        ("reason", thread.reason),
        ("title", thread.title),
        ("resource", thread.resource_id),
        ("agent", thread.agent_id),
        ("active run", thread.run_id),
        ("waiting runs", ", ".join(thread.queued)),
        ("forked from", None if fork is None else f"{fork.thread_id} at {fork.version}"),
    ):
        if value:
            head.add_row(name, Text(printable(value)))
    head.add_row("created", f"{thread.created_at:%Y-%m-%d %H:%M:%S} UTC")
    head.add_row("said", counted(thread.messages, "message"))
    head.add_row("events", f"{thread.version:,}")
    return head
