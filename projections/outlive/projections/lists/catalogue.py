"""Asking a view for one of what it holds, or for lists, with what the open table knows of it."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from outlive.events import LogReader, OpenEntry, StreamId
from outlive.events.ids import id_of
from outlive.projections.lists.kept import ListedRow, Lists, list_key
from outlive.projections.lists.span import (
    Cursors,
    Order,
    Span,
    check_limit,
    check_text,
    span,
)
from outlive.projections.turn import let_others_go_on
from outlive.projections.views.rows import ViewRows
from outlive.projections.views.runner import Views


class Told(Protocol):
    """What is told of one."""

    @property
    def status(self) -> str:
        """What it does, or how it has ended."""
        ...


_PAGE: Final = 512  # rows that are looked at before others have their turn

T = TypeVar("T")
RowT = TypeVar("RowT", bound=ListedRow)
ToldT = TypeVar("ToldT", bound=Told)
ToldT_co = TypeVar("ToldT_co", bound=Told, covariant=True)
RowT_contra = TypeVar("RowT_contra", bound=ListedRow, contravariant=True)


class Tell(Protocol[RowT_contra, ToldT_co]):
    """Puts together what the view and the open table know."""

    def __call__(self, id: str, row: RowT_contra, entry: OpenEntry | None, /) -> ToldT_co:
        """Return what is told of it."""
        ...


class Catalogue(Generic[RowT, ToldT]):
    """What a log knows of its entities of one kind, by the view of them.

    Answers hold all that was in the log when they were asked for. What is open, and why it
    stands still, is read from the log's open table.

    Args:
        log: the log.
        views: of that log.
        lists: what the view keeps.
        view: its name.
        statuses: all that there are, and those of them that are `open_statuses`.
        tell: puts together what is known of one.
        hidden: statuses of those that are in a list only when it is of that status.
    """

    def __init__(
        self,
        log: LogReader,
        views: Views,
        lists: Lists[RowT],
        *,
        view: str,
        statuses: Sequence[str],
        open_statuses: Sequence[str],
        tell: Tell[RowT, ToldT],
        hidden: Collection[str] = (),
    ) -> None:
        self._log = log
        self._views = views
        self._lists = lists
        self._view = view
        self._statuses = statuses
        self._open_statuses = open_statuses
        self._tell = tell
        self._hidden = hidden

    async def get(self, stream: StreamId) -> ToldT | None:
        """Return what is known of one; None if the view has not heard of it.

        Raises:
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        entry = self._log.open_entry(stream)  # Before the view, which then knows no less.
        key = stream.encode()

        def find(rows: ViewRows) -> ToldT | None:
            row = rows.get(key, self._lists.row)
            return None if row is None else self._tell(id_of(stream), row, entry)

        return await self._views.read(self._view, find)

    async def row(self, stream: StreamId) -> RowT | None:
        """Return the view's row of one; None if it has not heard of it. Raises as `get`."""
        key = stream.encode()
        return await self._views.read(self._view, lambda rows: rows.get(key, self._lists.row))

    async def list(
        self,
        *,
        status: str | None,
        fields: Mapping[str, str | None],
        since: datetime | None,
        until: datetime | None,
        order: Order,
        limit: int,
        cursor: str | None,
    ) -> tuple[tuple[ToldT, ...], str | None]:
        """Return a page, and the cursor of the next one, None if there is none.

        Args:
            status: None: whatever they do.
            fields: those of a row that must be this; None: they may be anything.
            since, until: when they began; with a zone.
            order: which come first.
            limit: 1 to 1,000.
            cursor: of the page before.

        Raises:
            ValueError: an unknown status or order, a time without a zone, a limit that is none.
            TypeError: a time that is none.
            InvalidId: a field that is no text.
            InvalidCursor: no page of this log, in this order, has handed out this cursor.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        if status is not None and status not in self._statuses:
            known = ", ".join(self._statuses)
            raise ValueError(f"a {self._lists.kind}'s status is {known}, not {status!r}")
        check_limit(limit)
        wanted = {name: value for name, value in fields.items() if value is not None}
        for name, value in wanted.items():
            check_text(name, value)
        part = span(since, until, order)
        cursors = Cursors(self._log.log_id, f"{self._view} {order}")
        if cursor is not None:
            part = part.beyond(cursors.open(cursor))
        opened = status is not None and status in self._open_statuses
        # Before the view: each of these is in the view then, unless it has no events.
        entries = self._open_entries() if status is None or opened else {}

        def page(rows: ViewRows) -> builtins.list[tuple[bytes, ToldT]]:
            if opened:
                ids = [id for id, entry in entries.items() if entry.status == status]
                found = self._of_open(rows, ids, wanted, part)
            else:
                ended = wanted if status is None else {**wanted, "status": status}
                found = self._of_list(rows, ended, part)
            told = ((row.when, self._tell(id, row, entries.get(id))) for id, row in found)
            fits = (one for one in told if self._fits(one[1].status, status))
            return builtins.list(islice(fits, limit + 1))

        chosen = await self._views.read(self._view, page)
        more = len(chosen) > limit
        return (
            tuple(one for _, one in chosen[:limit]),
            cursors.seal(chosen[limit - 1][0]) if more else None,
        )

    def _fits(self, status: str, asked: str | None) -> bool:
        return status not in self._hidden if asked is None else status == asked

    async def each(
        self, fields: Mapping[str, str], pick: Callable[[str, RowT], T | None]
    ) -> builtins.list[T]:
        """Return what `pick` makes of each one with these values, the oldest first.

        Others have their turn meanwhile. What has begun since this was called may be missing.

        Args:
            fields: those of a row that must be this.
            pick: given the id and the row. None is left out.

        Raises:
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        found: builtins.list[T] = []
        part = span(None, None, "oldest")
        while True:

            def look(rows: ViewRows, part: Span = part) -> tuple[builtins.list[T], bytes | None]:
                page = builtins.list(islice(self._of_list(rows, fields, part), _PAGE))
                picked = [one for id, row in page if (one := pick(id, row)) is not None]
                return picked, page[-1][1].when if len(page) == _PAGE else None

            picked, place = await self._views.read(self._view, look)
            found += picked
            if place is None:
                return found
            part = part.beyond(place)
            await let_others_go_on()

    def _open_entries(self) -> dict[str, OpenEntry]:
        return {
            id_of(stream): entry
            for stream, entry in self._log.open_entries()
            if entry.kind == self._lists.kind
        }

    def _row_of(self, rows: ViewRows, id: str) -> RowT | None:
        return rows.get(f"{self._lists.kind}-{id}".encode(), self._lists.row)

    def _of_list(
        self, rows: ViewRows, wanted: Mapping[str, str], part: Span
    ) -> Iterator[tuple[str, RowT]]:
        """Yield the rows of a list that have these values, in order."""
        fields = self._lists.choose(wanted)
        prefix = list_key(fields, tuple(wanted[field] for field in fields))
        rest = {name: value for name, value in wanted.items() if name not in fields}
        start, end = prefix + part.first, prefix + part.last
        for _, id in rows.scan(str, start=start, end=end, reverse=part.newest):
            row = self._row_of(rows, id)
            if row is not None and _has(row, rest):
                yield id, row

    def _of_open(
        self, rows: ViewRows, ids: Sequence[str], wanted: Mapping[str, str], part: Span
    ) -> Iterator[tuple[str, RowT]]:
        """Yield the rows of these, which the open table has, in order."""
        found: builtins.list[tuple[bytes, str, RowT]] = []
        for id in ids:
            row = self._row_of(rows, id)
            if row is None or row.ended_at_ns is not None or not _has(row, wanted):
                continue
            if part.first <= row.when < part.last:
                found.append((row.when, id, row))
        found.sort(reverse=part.newest, key=lambda item: item[0])
        for _, id, row in found:
            yield id, row


def _has(row: ListedRow, wanted: Mapping[str, str]) -> bool:
    return all(getattr(row, name) == value for name, value in wanted.items())
