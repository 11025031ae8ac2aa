"""One view of the owner's: follows the log, folds, commits, and is built anew when it has to be.

What is on disk, wherever the process dies: rows and checkpoint are one transaction, so the view
is the fold of the log up to its checkpoint, and the next process folds what follows it. What
was folded and not committed is folded again. Nothing is ever acknowledged on account of a
view, so it is committed late: a second after a change, or at 5,000 changed rows.

Folding is done on the event loop, between other things; the disk is waited for in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar, TypeVarTuple

from outlive.events import (
    Event,
    Fenced,
    LogClosed,
    LogFailed,
    LogReader,
    OutliveError,
    Position,
    Record,
    Subscription,
    ViewFailed,
)
from outlive.events.logger import get_logger
from outlive.projections.turn import let_others_go_on
from outlive.projections.views.pages import Pages
from outlive.projections.views.projection import Projection
from outlive.projections.views.rows import Rows, ViewRows
from outlive.projections.views.store import Checkpoint, Damaged, Store, Unusable

_log = get_logger()

_COMMIT_AFTER: Final = 1.0  # seconds from a change: each flush competes with those of the log
_COMMIT_AT: Final = 5_000  # rows
_COMMIT_RECORDS: Final = 10_000  # that changed nothing: they are not to be read again and again
_AGAIN_AFTER: Final = 1.0  # seconds after its files could not be used
_PATIENCE: Final = 0.5  # seconds in which that is not worth a word: who had them lets go of them
_SOON: Final = 0.05  # seconds after which that is looked at again
_REST: Final = 0.01  # seconds in which records collect, if there were many in the last batch:
_MANY: Final = 64  # what is kept until all views have it costs caches and the garbage collector;
_LONG_REST: Final = 0.05  # the same, if there were fewer: woken seldom, it costs less
_LULL_WITHIN: Final = 0.02  # then, for so long, until the log waits for its disk
_PAGE: Final = 512  # records read at a time while it catches up:
_BUSY: Final = 0.001  # where the others have had the loop for so many seconds since,
_BEHIND: Final = 20  # the next page comes after so many times as long as this one took.
_GIVES_WAY: Final = 10.0  # After so many seconds, or for who waits, it hurries:
_LARGE_PAGE: Final = 8_192  # beside a thousand runs a smaller one takes longer to come than to fill
_SLICE: Final = 256  # records folded at a time
_TURN: Final = 0.002  # seconds of folding, after which the loop gets its turn;
_SHARE: Final = 0.1  # more, if that is no more than this share of what others have just had,
_LONGEST_TURN: Final = 0.02  # up to this

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class FollowedView:
    """A projection at work, from `start` to `close`, on the running event loop.

    `open_store` is called with whether a new store is to be begun, whatever is there.
    `waits` tells whether the store waits for a disk: then that is done in a thread. Views with
    the same `pages` catch up one at a time.
    """

    def __init__(
        self,
        projection: Projection,
        log: LogReader,
        open_store: Callable[[bool], Store],
        *,
        waits: bool,
        pages: Pages | None = None,
    ) -> None:
        self._projection = projection
        self._name = projection.name
        self._wanted: Final = frozenset(projection.events)
        self._log = log
        self._open_store = open_store
        self._waits = waits
        self._pages = pages or Pages(log)
        self._loop = asyncio.get_running_loop()
        self._store: Store | None = None
        self._rows: Rows | None = None
        self._position = self._before = Position(0)
        self._hash = b""
        self._uncommitted = 0  # records
        self._left_at = 0.0  # when it had last folded, by the loop's time
        self._hurries_at = 0.0  # when it has come after others for long enough
        self._waiting: list[tuple[Position, asyncio.Future[None]]] = []
        self._trouble: OutliveError | None = None  # told to who asks
        self._broken: OutliveError | None = None  # ends the following
        self._unusable_since: float | None = None
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._commit: asyncio.Task[None] | None = None
        self._resting: asyncio.Future[None] | None = None
        self._records: Subscription[Record] | None = None

    @property
    def at(self) -> Position:
        """The position that it has been folded up to."""
        return self._position

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits until it gets further."""
        return bool(self._waiting)

    def start(self) -> None:
        """Begin to follow the log."""
        self._task = self._loop.create_task(self._run())

    async def reach(self, head: Position) -> ViewRows:
        """Wait until it has been folded up to `head`, and return its rows as of then.

        Raises:
            ViewFailed: it stands still.
            LogClosed: it, or the log, was closed.
            Fenced: another process owns the log.
        """
        while True:
            if self._trouble is not None:
                raise self._trouble.with_traceback(None)
            if self._rows is not None and self._broken is None and self._position >= head:
                return self._rows.reading
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append((head, waiter))
            self._kick()
            await waiter

    def give_up(self, error: OutliveError) -> None:
        """Stop following; `_run` decides by the error what becomes of the view."""
        self._broken = self._broken or error
        if self._records is not None:
            self._records.end(self._broken)
        self._kick()

    def _kick(self) -> None:
        self._pages.end_rest()
        if self._resting is not None:
            _wake(self._resting)

    async def close(self) -> None:
        """Commit what was folded and let go of it. Who waits gets LogClosed. Twice is once."""
        closed = LogClosed("the view is closed")
        self._closing = True
        if self._trouble is None:
            self._stand_still(closed)
        self.give_up(closed)
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        fresh = False
        while not self._closing:
            try:
                await self._follow(fresh)
            except Damaged as error:
                again, fresh = fresh and not self._position, True
                _log.warning("view_damaged", view=self._name, error=str(error))
                await self._let_go(clean=False)
                if again:
                    await self._pause(error)
            except Unusable as error:
                fresh = fresh and self._store is None  # One that was begun is gone on with.
                await self._let_go(clean=False)
                await self._pause(error)
            except LogFailed as error:  # It cannot be read now: too many readers, for one.
                fresh = fresh and self._store is None
                await self._let_go(clean=True)
                await self._pause(error)
            except LogClosed as error:
                self._stand_still(error)
                await self._end()
                return
            except Fenced as error:  # Another process keeps the views now: it is to be asked.
                self._stand_still(error)
                await self._let_go(clean=True)
                return
            except Exception as error:  # noqa: BLE001  # the projection's own, or the log's
                self._fail(error)
                await self._let_go(clean=True)
                return
            else:
                raise AssertionError("a log is followed without an end")

    async def _follow(self, fresh: bool) -> None:
        self._broken = None
        if self._closing:
            raise LogClosed("the view is closed")
        store = self._store = await self._aside(self._open, fresh)
        self._rows = Rows(store)
        there = store.checkpoint
        self._position, self._before, self._hash = there.position, there.before, there.hash
        if not self._closing:
            self._trouble = None
        self._answer()
        await self._catch_up()
        self._unusable_since = None
        async with self._log.follow_all(after=self._position) as records:
            self._records = records
            try:
                if self._broken is not None:
                    raise self._broken
                while True:
                    batch = await records.batch()
                    if records.lacks(self._wanted):  # Most views want none of a batch.
                        self._pass(batch)
                    else:
                        await self._fold_all(batch)
                    await self._rest(len(batch))
            finally:
                self._records = None

    def _open(self, fresh: bool) -> Store:
        """Open the store; one that has got to where this log has never been is of no use."""
        store = self._open_store(fresh)
        there = store.checkpoint
        if there.position and not self._is_in_log(there):
            store.close()
            raise Damaged(f"its checkpoint {there.position} is not in this log")
        return store

    def _is_in_log(self, there: Checkpoint) -> bool:
        if there.position > self._log.head:
            return False
        found = self._log.read_all(after=there.before, limit=1)
        return not (found and found[0].position == there.position and found[0].hash != there.hash)

    async def _catch_up(self) -> None:
        """Fold what is in the log, by pages that are read aside."""
        self._hurries_at = self._loop.time() + _GIVES_WAY
        while True:
            async with self._pages.turn(self):
                at_end = await self._fold_page()
                while not at_end and self._broken is None and self._pages.comes_first(self):
                    at_end = await self._fold_page()
            if self._broken is not None:
                raise self._broken
            if at_end:
                return  # What has come since then is read by who follows.

    async def _fold_page(self) -> bool:
        """Fold the next page; return whether it ends where the log did."""
        began, head = self._loop.time(), self._log.head
        page = self._pages.at_hand(self._position)
        new = not page
        if new:
            limit = _LARGE_PAGE if self._hurries else _PAGE
            page = await self._aside(self._pages.read, self._position, limit)
        await self._fold_all(page)
        at_end = not page or self._position >= head
        if new and not at_end and not self._hurries:
            await self._come_after_others(self._loop.time() - began)
        return at_end

    @property
    def _hurries(self) -> bool:
        """Whether it has come after others for long enough, or somebody waits."""
        waiting = self._waiting or self._pages.waited_for
        return bool(waiting) or self._loop.time() >= self._hurries_at

    async def _come_after_others(self, took: float) -> None:
        """Wait with the next page while there is other work, unless somebody waits for one.

        After a crash there is most to read, and a thousand runs go on at that very moment.
        """
        if not self._waits:
            return  # What is in memory only was read already, or is a simulation's.
        began = self._loop.time()
        await let_others_go_on()
        now = self._loop.time()
        if now - began > _BUSY and not self._hurries and self._broken is None:
            await self._pages.rest(min(took * _BEHIND, self._hurries_at - now))

    async def _fold_all(self, records: Sequence[Record]) -> None:
        """Fold a batch; where that takes long, between what else there is to do.

        Beside a thousand runs a turn of the loop takes a tenth of a second. With a fixed number
        of records in each, a view would fall behind what they write and read the log instead.
        """
        time = self._loop.time
        until = time() + _turn(time() - self._left_at)
        for start in range(0, len(records), _SLICE):
            if start and (left_at := time()) >= until:
                await self._breathe()
                until = time() + _turn(time() - left_at)
            if self._broken is None:
                self._fold(records[start : start + _SLICE])
        self._left_at = time()

    def _fold(self, records: Sequence[Record]) -> None:
        rows = self._rows
        assert rows is not None
        wanted = wanted_of(records, self._wanted)
        if wanted:
            try:
                self._projection.apply(wanted, rows)
            except BaseException:
                self._rows = None  # Half a batch is in them: nobody may see or commit that.
                raise
        self._pass(records)

    def _pass(self, records: Sequence[Record]) -> None:
        """Records are behind it: they are in its rows, or nothing in them is for it."""
        rows = self._rows
        assert rows is not None
        self._before = records[-2].position if len(records) > 1 else self._position
        self._position, self._hash = records[-1].position, records[-1].hash
        self._uncommitted += len(records)
        if self._waiting:
            self._answer()
        if self._timer is None:
            if self._commit is None and (rows.dirty or self._uncommitted > _COMMIT_RECORDS):
                self._timer = self._loop.call_later(_COMMIT_AFTER, self._begin_commit)
        elif len(rows.dirty) >= _COMMIT_AT:
            self._begin_commit()

    async def _rest(self, folded: int) -> None:
        """Let records collect for a moment, unless somebody waits for them."""
        if not self._waits and folded < _SLICE:
            return  # To wait for the next record is rest enough, and nothing is gained by more.
        if not self._waits or self._waiting or self._broken is not None:
            await self._breathe()
        else:
            await self._sleep(_REST if folded >= _MANY else _LONG_REST)
            if not self._waiting and self._broken is None:
                await self._sleep(_LULL_WITHIN, or_lull_of=self._records)

    async def _sleep(
        self, seconds: float, *, or_lull_of: Subscription[Record] | None = None
    ) -> None:
        """Wait, unless somebody kicks."""
        self._resting = self._loop.create_future()
        timer = self._loop.call_later(seconds, _wake, self._resting)
        if or_lull_of is not None:
            or_lull_of.at_lull(partial(_wake, self._resting))
        try:
            await self._resting
        finally:
            self._resting = None
            timer.cancel()

    async def _breathe(self) -> None:
        """Let the others have a turn, and wait where the disk cannot keep up."""
        if self._broken is not None:
            return
        if self._commit is not None and self._rows and len(self._rows.dirty) >= 2 * _COMMIT_AT:
            await asyncio.shield(self._commit)
        await let_others_go_on()

    def _begin_commit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._commit is None and self._broken is None:
            self._commit = self._loop.create_task(self._commit_changes())

    async def _commit_changes(self) -> None:
        try:
            if self._rows is not None:
                await self._write()
        except OutliveError as error:
            self.give_up(error)
        except Exception as error:  # noqa: BLE001  # a row that cannot be encoded, for one
            self.give_up(failed_by(self._name, error))
        finally:
            self._commit = None
        if self._rows is not None and self._rows.dirty and self._timer is None:
            self._timer = self._loop.call_later(_COMMIT_AFTER, self._begin_commit)

    async def _write(self) -> None:
        rows, store = self._rows, self._store
        assert rows is not None
        assert store is not None
        here = Checkpoint(position=self._position, before=self._before, hash=self._hash)
        self._uncommitted = 0
        changes = rows.take()
        try:
            await self._aside(store.commit, changes, here)
        except BaseException:
            rows.put_back(changes)  # At the end it is tried once more, with what came after.
            raise
        rows.settled()

    async def _end(self) -> None:
        """Commit the last changes and close the store in good order."""
        if self._commit is not None:
            await asyncio.gather(self._commit, return_exceptions=True)
        clean = True
        due = self._store is not None and self._position != self._store.checkpoint.position
        if due and self._rows is not None:
            try:
                await self._write()
            except Exception as error:  # noqa: BLE001  # the next process folds it again
                clean = False
                _log.warning("view_not_committed", view=self._name, error=str(error))
        await self._let_go(clean=clean)

    async def _let_go(self, *, clean: bool) -> None:
        if self._commit is not None:
            await asyncio.gather(self._commit, return_exceptions=True)
        if self._timer is not None:  # After that: a commit that ends sets the next one.
            self._timer.cancel()
            self._timer = None
        store, self._store, self._rows = self._store, None, None
        self._position = self._before = Position(0)
        if store is not None:
            await self._aside(lambda: store.close(clean=clean))

    async def _pause(self, error: OutliveError) -> None:
        """Its files cannot be used: say so to who asks, and try again a little later.

        For a moment nothing is said: when a process becomes the owner, its own queries of
        before may still have the files open.
        """
        if self._unusable_since is None:
            self._unusable_since = self._loop.time()
        if self._trouble is None and self._loop.time() < self._unusable_since + _PATIENCE:
            soon: asyncio.Future[None] = self._loop.create_future()
            self._loop.call_later(_SOON, _wake, soon)
            await soon
            return
        if self._trouble is None:
            _log.error("view_unusable", view=self._name, error=str(error))
            self._stand_still(ViewFailed(self._name, str(error)))
        if not self._closing:
            await self._sleep(_AGAIN_AFTER)

    def _fail(self, error: Exception) -> None:
        failed = error
        if not isinstance(failed, ViewFailed):
            failed = failed_by(self._name, error)
            failed.__cause__ = error
        _log.error("view_failed", view=self._name, after=self._position, reason=failed.reason)
        self._stand_still(failed)

    def _stand_still(self, error: OutliveError) -> None:
        self._trouble = error
        self._answer()

    def _answer(self) -> None:
        """Wake those whose position was reached, or all when there is trouble."""
        left: list[tuple[Position, asyncio.Future[None]]] = []
        for head, waiter in self._waiting:
            if self._trouble is not None or self._position >= head:
                _wake(waiter)
            elif not waiter.done():
                left.append((head, waiter))
        self._waiting = left

    async def _aside(self, work: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Do what waits for a disk in a thread; what does not, here."""
        if not self._waits:
            return work(*arguments)
        return await self._loop.run_in_executor(None, work, *arguments)


def _turn(others_s: float) -> float:
    """Return for how long it may fold, after the others have had their turn for so long."""
    return min(max(_TURN, _SHARE * others_s), _LONGEST_TURN)


def failed_by(view: str, error: Exception) -> ViewFailed:
    """Return what tells that a view stands still because of an error."""
    return ViewFailed(view, f"{type(error).__name__}: {error}")


def wanted_of(records: Sequence[Record], wanted: frozenset[type[Event]]) -> list[Record]:
    """Return the records that hold an event of a type that is wanted."""
    none = wanted.isdisjoint
    return [
        record
        for record in records
        if record.events[0].__class__ in wanted or not none(map(type, record.events))
    ]


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
