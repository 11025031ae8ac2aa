"""`outlive heartbeats list | show | fires | upcoming`: read beside the owner of the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from rich.table import Table
from rich.text import Text

from outlive.actors.heartbeat.control import upcoming_of
from outlive.actors.heartbeat.inputs import heartbeat_id
from outlive.cli._asking import answer_of, require_begun
from outlive.cli._exit import OK, complain
from outlive.cli._json import plain, print_json
from outlive.cli._listing import Line, print_list, print_page, short_span
from outlive.cli._pending_text import once_more
from outlive.cli._render_parts import failure
from outlive.cli._text import console, printable, put
from outlive.events import LmdbReader, Value, heartbeat_stream
from outlive.projections import (
    FireInfo,
    FirePage,
    HeartbeatInfo,
    HeartbeatPage,
    HeartbeatsQuery,
    HeartbeatsView,
    Views,
)
from outlive.projections.lists import Order

T = TypeVar("T")
_STYLE: Final = {
    "active": "bold green",
    "paused": "yellow",
    "blocked": "bold red",
    "quarantined": "bold red",
    "fired": "green",
    "missed": "red",
    "succeeded": "green",
}
_BAD: Final = ("failed", "timed_out", "aborted")


class HeartbeatFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What `heartbeats show` shows."""

    heartbeat: HeartbeatInfo
    upcoming: tuple[datetime, ...]
    fires: tuple[FireInfo, ...]


def _asked(
    data: Path, ask: Callable[[HeartbeatsQuery], Awaitable[T]], *, id: str | None = None
) -> T:
    def work(log: LmdbReader, views: Views) -> Coroutine[Any, Any, T]:
        async def answer() -> T:
            if id is not None:
                require_begun(log, heartbeat_stream(heartbeat_id(id)), f"heartbeat {id!r}")
            return await ask(HeartbeatsQuery(log, views, id_of=heartbeat_id))

        return answer()

    return answer_of(data, HeartbeatsView(), work)


def list_heartbeats(
    data: Path,
    *,
    status: str | None,
    agent_id: str | None,
    tool: str | None,
    name: str | None,
    thread_id: str | None,
    resource_id: str | None,
    order: Order,
    limit: int,
    cursor: str | None,
    json: bool,
) -> int:
    """Print a page of heartbeats. Raises LogError, ViewError, Wrong."""

    async def ask(query: HeartbeatsQuery) -> HeartbeatPage:
        return await query.list(
            status=status,
            agent_id=agent_id,
            tool=tool,
            name=name,
            thread_id=thread_id,
            resource_id=resource_id,
            order=order,
            limit=limit,
            cursor=cursor,
        )

    page = _asked(data, ask)
    if json:
        print_page(page.heartbeats, page.cursor)
    elif page.heartbeats:
        lines = [
            Line(
                (
                    printable(one.id),
                    one.status,
                    printable(_what(one)),
                    _when(one),
                    _at(one.next_at),
                ),
                printable(one.reason or (one.last.outcome if one.last else "")),
                _STYLE.get(one.status, "dim"),
            )
            for one in page.heartbeats
        ]
        heads = ("heartbeat", "status", "runs", "when", "next, UTC")
        print_list(heads, "last", lines, numbers=(), cursor=page.cursor)
    else:
        complain("no heartbeats")
    return OK


def show_heartbeat(data: Path, id: str, *, json: bool) -> int:
    """Print what a heartbeat does. Raises HeartbeatNotFound, LogError, ViewError."""

    async def ask(query: HeartbeatsQuery) -> HeartbeatFacts:
        info = await query.get(id)
        return HeartbeatFacts(
            heartbeat=info,
            upcoming=tuple(await upcoming_of(query, id, 3)),
            fires=(await query.fires(id, limit=10)).fires,
        )

    facts = _asked(data, ask, id=id)
    if json:
        print_json(plain(facts))
        return OK
    out, info = console(), facts.heartbeat
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_column(style="dim", no_wrap=True)
    head.add_column(overflow="fold")
    head.add_row("heartbeat", Text(printable(info.id), style="bold"))
    head.add_row("status", Text(info.status, style=_STYLE.get(info.status, "dim")))
    rows = {
        "reason": info.reason,
        "name": info.name,
        "runs": _what(info),
        "thread": _thread(info),
        "attributes": _object(info.attributes),
        "prompt": info.prompt,
        "args": _object(info.args),
        "tools": "" if info.tools is None else ", ".join(info.tools) or "none",
        "when": _when(info),
        "starts": _at(info.starts_at),
        "ends": _at(info.ends_at),
        "max fires": str(info.max_fires or ""),
        "jitter": _span(info.jitter),
        "misfire": info.misfire if info.grace is None else f"{info.misfire}, {_grace(info.grace)}",
        "overlap": info.overlap,
        "timeout": _span(info.timeout),
        "max failures": str(info.max_failures or ""),
        "context": _object(info.request_context),
        "provider": _object(info.provider_options),
        "metadata": _object(info.metadata),
        "hook": info.hook or "",
        "next": ", ".join(f"{each:%Y-%m-%d %H:%M:%S}" for each in facts.upcoming),
        "failures": str(info.failures or ""),
    }
    for name, value in rows.items():
        if value:
            head.add_row(name, Text(printable(value)))
    put(out, head)
    if info.status == "quarantined":
        out.print(once_more("heartbeats", info.id, data), soft_wrap=True)
    if facts.fires:
        put(out, "\n[bold]Fires[/]")
        _print_fires(facts.fires, None)
    return OK


def list_fires(
    data: Path, id: str, *, decision: str | None, limit: int, cursor: str | None, json: bool
) -> int:
    """Print decisions of a heartbeat. Raises HeartbeatNotFound, LogError, Wrong."""

    async def ask(query: HeartbeatsQuery) -> FirePage:
        return await query.fires(id, decision=decision, limit=limit, cursor=cursor)

    page = _asked(data, ask, id=id)
    if json:
        print_page(page.fires, page.cursor)
    elif page.fires:
        _print_fires(page.fires, page.cursor)
    else:
        complain("no fires")
    return OK


def print_upcoming(data: Path, id: str, n: int, *, json: bool) -> int:
    """Print when a heartbeat fires next. Raises HeartbeatNotFound, LogError, Wrong."""

    async def ask(query: HeartbeatsQuery) -> list[datetime]:
        return await upcoming_of(query, id, n)

    for due in _asked(data, ask, id=id):
        if json:
            print_json({"at": plain(due)})
        else:
            print(f"{due:%Y-%m-%d %H:%M:%S}")
    return OK


def _print_fires(fires: tuple[FireInfo, ...], cursor: str | None) -> None:
    lines = [
        Line(
            (
                _at(one.due_at),
                one.decision,
                one.outcome or "",
                "" if one.duration is None else short_span(one.duration),
                printable(one.run_id or one.task_id or ""),
            ),
            printable(_note(one)),
            "red" if one.outcome in _BAD else _STYLE.get(one.decision, "dim"),
        )
        for one in fires
    ]
    heads = ("due, UTC", "decision", "outcome", "took", "run or task")
    print_list(heads, "why", lines, numbers=(3,), cursor=cursor)


def _note(fire: FireInfo) -> str:
    if fire.error is not None:
        return failure(fire.error)
    if fire.count > 1:
        return f"{fire.count:,} instants to {_at(fire.last_due_at)}"
    return fire.reason or ("by hand" if fire.kind == "manual" else "")


def _what(info: HeartbeatInfo) -> str:
    return f"tool {info.task}" if info.task is not None else info.agent_id


def _object(values: dict[str, Value]) -> str:
    return msgspec.json.encode(values).decode() if values else ""


def _span(length: timedelta | None) -> str:
    return short_span(length) if length else ""


def _grace(grace: timedelta) -> str:
    return f"not after {short_span(grace)}"


def _thread(info: HeartbeatInfo) -> str:
    if info.thread_id is None or info.if_active is None or info.if_idle is None:
        return ""
    does = f"active: {info.if_active.behaviour}, idle: {info.if_idle.behaviour}"
    return f"{info.thread_id} of {info.resource_id} ({does})"


def _when(info: HeartbeatInfo) -> str:
    if info.cron is not None:
        return f"{info.cron} {info.timezone}"
    if info.every is not None:
        return f"every {short_span(info.every)}"
    return f"at {_at(info.at)}"


def _at(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
