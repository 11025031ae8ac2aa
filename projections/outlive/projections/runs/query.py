"""Asking for runs, in the process that owns the log and in any other."""

from __future__ import annotations

import builtins
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import Final

from outlive.events import InvalidCursor, InvalidId, LogReader, RunId, RunNotFound, run_stream
from outlive.events.ids import id_of
from outlive.projections.pending import Pending, pending_of
from outlive.projections.run_summary import read_run
from outlive.projections.runs.info import (
    OPEN_STATUSES,
    RUN_STATUSES,
    RunInfo,
    RunPage,
    nanoseconds,
    run_info,
)
from outlive.projections.runs.view import (
    RunRow,
    RunsView,
    list_key,
    run_key,
    when_key,
)
from outlive.projections.views.rows import ViewRows
from outlive.projections.views.runner import Views

MOST: Final = 1_000
_WHEN_BYTES: Final = 16
_CHECK_BYTES: Final = 5
_AFTER_ALL: Final = b"\xff" * _WHEN_BYTES

Found = tuple[bytes, str, RunRow]
"""A run in the order of a list: its key by time, its id and its row."""


class RunsQuery:
    """What a log knows of its runs: one of them by its id, or lists of them.

    Answers hold all that was in the log when they were asked for, whoever wrote it. Which runs
    stand still, and why, is read from the log's open table.
    """

    def __init__(
        self,
        log: LogReader,
        views: Views,
        *,
        submitted: Callable[[RunId], RunInfo | None] = lambda _: None,
    ) -> None:
        """Ask `views` of `log`; `submitted` tells of a run whose start nobody has taken up yet."""
        self._log = log
        self._views = views
        self._submitted = submitted

    async def get(self, run_id: str) -> RunInfo:
        """Return what is known of a run; of one that waits for an owner, what it was started with.

        Raises:
            RunNotFound: at once, when there is no such run.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        stream = run_stream(run_id)
        if not self._log.version(stream):
            waiting = self._submitted(RunId(run_id))
            if waiting is not None:
                return waiting
            if not self._log.version(stream):  # It may have begun just now.
                raise RunNotFound(run_id)
        entry = self._log.open_entry(stream)  # Before the view, which then knows no less.
        key = run_key(run_id)

        def find(rows: ViewRows) -> RunInfo | None:
            row = rows.get(key, RunRow)
            return None if row is None else run_info(run_id, row, entry)

        found = await self._views.read(RunsView.name, find)
        if found is None:
            raise RunNotFound(run_id)
        return found

    async def list(
        self,
        *,
        status: str | None = None,
        agent_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """Return runs, those that started last first.

        Pages are stable: a run that starts meanwhile is on none of the pages that follow, and
        no run is on two of them. One whose status changes meanwhile may be on none of a list
        by status.

        Args:
            status: only runs that are `running`, `waiting`, `suspended`, `blocked`, `quarantined`,
                `completed`, `failed` or `cancelled`.
            agent_id: only runs of this agent.
            since: only runs that started then or later. Times have a time zone.
            until: only runs that started before then.
            limit: 1 to 1,000 runs.
            cursor: where to go on: the `cursor` of the page before, with the same filters.

        Raises:
            ValueError: an unknown status, a time without a zone, a limit that is none.
            TypeError: a time that is none.
            InvalidId: `agent_id` is no text.
            InvalidCursor: no page of this log has handed out this cursor.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        if status is not None and status not in RUN_STATUSES:
            raise ValueError(f"a run's status is {', '.join(RUN_STATUSES)}, not {status!r}")
        if type(limit) is not int or not 1 <= limit <= MOST:
            raise ValueError(f"a limit is 1 to {MOST:,}, not {limit!r}")
        if agent_id is not None:
            _check_text(agent_id)
        first = b"" if since is None else when_key(nanoseconds(since, "since"), 0)
        last = _AFTER_ALL if until is None else when_key(nanoseconds(until, "until"), 0)
        if cursor is not None:
            last = min(last, self._opened(cursor))
        # Before the view: each of these runs is in the view then, unless it has no events.
        entries = {
            id_of(stream): entry
            for stream, entry in (
                self._log.open_entries() if status is None or status in OPEN_STATUSES else ()
            )
            if entry.kind == "run"
        }

        def page(rows: ViewRows) -> RunPage:
            if status in OPEN_STATUSES:
                open_ids = [id for id, entry in entries.items() if entry.status == status]
                found = _open_runs(rows, open_ids, agent_id, first, last)
            else:
                found = _listed(rows, list_key(status=status, agent_id=agent_id), first, last)
            chosen = list(islice(found, limit + 1))
            more = len(chosen) > limit
            return RunPage(
                runs=tuple(
                    run_info(run_id, row, entries.get(run_id)) for _, run_id, row in chosen[:limit]
                ),
                cursor=self._sealed(chosen[limit - 1][0]) if more else None,
            )

        return await self._views.read(RunsView.name, page)

    async def pending(self, *, limit: int = 100) -> builtins.list[Pending]:
        """Return what waits for a person, in all runs: the run that began first comes first.

        Of a run that waits for several things all are returned, so there may be a few more than
        `limit`. Answer them and ask again for the rest.

        Args:
            limit: 1 to 1,000.

        Raises:
            ValueError: a limit that is none.
            CorruptLog, NewerFormat, UnknownEvent: a run that waits cannot be read.
        """
        if type(limit) is not int or not 1 <= limit <= MOST:
            raise ValueError(f"a limit is 1 to {MOST:,}, not {limit!r}")
        found: builtins.list[Pending] = []
        for stream, entry in self._log.open_entries():
            if entry.kind != "run" or "waiting_for" not in entry.summary:
                continue
            run_id = id_of(stream)
            found += pending_of(run_id, read_run(self._log, run_id))
            if len(found) >= limit:
                break
        return found

    def _sealed(self, when: bytes) -> str:
        return urlsafe_b64encode(when + self._check(when)).decode()

    def _opened(self, cursor: str) -> bytes:
        try:
            data = urlsafe_b64decode(cursor)
        except (Base64Error, ValueError, TypeError):
            data = b""
        when = data[:_WHEN_BYTES]
        if len(data) != _WHEN_BYTES + _CHECK_BYTES or data[_WHEN_BYTES:] != self._check(when):
            raise InvalidCursor(f"{cursor!r} is no cursor of this log: pass one of a page back")
        return when

    def _check(self, when: bytes) -> bytes:
        key = self._log.log_id.encode()[:64]
        return blake2b(when, key=key, digest_size=_CHECK_BYTES).digest()


def _check_text(agent_id: object) -> None:
    if not isinstance(agent_id, str):
        raise InvalidId(f"an id of an agent is text, not {type(agent_id).__name__}")
    try:
        agent_id.encode()
    except UnicodeEncodeError:
        raise InvalidId(f"{agent_id!r} is no id of an agent: it is not valid Unicode") from None


def _listed(rows: ViewRows, prefix: bytes, first: bytes, last: bytes) -> Iterator[Found]:
    """Yield the runs of a list from `first` to before `last`, the last ones first."""
    found = rows.scan(str, start=prefix + first, end=prefix + last, reverse=True)
    for key, run_id in found:
        row = rows.get(run_key(run_id), RunRow)
        if row is not None:
            yield key[len(prefix) :], run_id, row


def _open_runs(
    rows: ViewRows,
    run_ids: Sequence[str],
    agent_id: str | None,
    first: bytes,
    last: bytes,
) -> Iterator[Found]:
    """Yield these runs, which the open table has, the last ones first."""
    found: list[Found] = []
    for run_id in run_ids:
        row = rows.get(run_key(run_id), RunRow)
        if row is None or row.ended_at_ns is not None:
            continue
        when = when_key(row.started_at_ns, row.first_position)
        if first <= when < last and agent_id in (None, row.agent_id):
            found.append((when, run_id, row))
    found.sort(reverse=True, key=lambda item: item[0])
    yield from found
