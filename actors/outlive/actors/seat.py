"""Which role this process has on a folder, and how it gets from one to the other.

    auto      the owner, if nobody is; else a visitor that stands by
    owner     the owner, or an error
    visitor   a visitor, for good
    standby   a visitor that stands by, and leaves a free folder to others for a moment first

One who stands by looks ten times a second whether the owner is there. When it has died or is
frozen, it takes over. An owner that was frozen and wakes up is told by the log that it is not
the owner any more; its actors are stopped, and if it may, it stands by from then on. Who reads
or follows does not notice any of it.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args

from outlive.actors.logs import told
from outlive.actors.owner_side import OwnerSide
from outlive.actors.visitor_side import VisitorSide
from outlive.events import (
    EventLog,
    Fenced,
    InvalidDefinition,
    LmdbLog,
    LmdbVisitor,
    LogClosed,
    LogError,
    LogInUse,
    LogNotFound,
    OutliveError,
    WriterStuck,
)
from outlive.events.logger import get_logger
from outlive.projections import ViewRows

_log = get_logger()

Role: TypeAlias = Literal["auto", "owner", "visitor", "standby"]
Side: TypeAlias = OwnerSide | VisitorSide

T = TypeVar("T")

_LOOK_AFTER_S: Final = 0.1
_STUCK_AFTER_S: Final = 0.5
_FROZEN_LOOKS: Final = 3  # one look may come just before the owner renews its lease


def check_role(role: str) -> None:
    """Raise InvalidDefinition unless there is such a role."""
    if role not in get_args(Role):
        raise InvalidDefinition(f"a role is one of {', '.join(get_args(Role))}, not {role!r}")


_seats: Final = weakref.WeakKeyDictionary[EventLog, "weakref.ref[Seat]"]()
"""Who works on logs that were handed in."""


class Seat:
    """A process's place on a folder. All of it on one event loop."""

    def __init__(
        self,
        role: Role,
        *,
        lease: float,
        own: Callable[[], LmdbLog],
        visit: Callable[[], LmdbVisitor],
        stay: Callable[[LmdbLog], LmdbVisitor],
        owning: Callable[[EventLog], OwnerSide],
        visiting: Callable[[LmdbVisitor], VisitorSide],
    ) -> None:
        """Prepare to open a folder, or with `take` to use a log that is open.

        `own` and `visit` open the folder, `stay` makes a visitor of one who was the owner.
        """
        self._role = role
        self._lease = lease
        self._own, self._visit, self._stay = own, visit, stay
        self._owning, self._visiting = owning, visiting
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._side: Side | None = None
        self._changed: asyncio.Future[None] = self._loop.create_future()
        self._changing: asyncio.Task[None] | None = None
        self._standby: Standby | None = None
        self._closing = False
        self._ended: OutliveError | None = None
        self._door = threading.Lock()  # between the thread that opens and those who leave it
        self._opening: asyncio.Future[Any] | None = None
        self._opened: LmdbLog | LmdbVisitor | None = None

    @property
    def side(self) -> Side:
        """What this process does now. Raises LogClosed before it is open."""
        if self._side is None or self._closing:
            raise LogClosed("the runtime is not open: use it in `async with`")
        return self._side

    @property
    def works(self) -> bool:
        """Whether it has not begun to close, and has a loop on which it can do something."""
        return not (self._closing or self._loop.is_closed())

    @property
    def role(self) -> Literal["owner", "visitor"]:
        """The role at this moment."""
        return "owner" if isinstance(self.side, OwnerSide) else "visitor"

    async def after(self, side: Side, error: OutliveError) -> Side:
        """Return what follows on a side that has failed with `error`; raise that if nothing."""
        while True:
            if self._closing or self._ended is not None:
                raise error
            if self.side is not side:
                return self.side
            stays = self._role != "owner" and isinstance(error, Fenced)
            if not stays and self._changing is None:
                raise error
            await asyncio.shield(self._changed)

    async def read(self, view: str, work: Callable[[ViewRows], T]) -> T:
        """Return what `work` makes of the rows of a view, whatever the role. See `Views.read`."""
        side = self.side
        while True:
            try:
                return await side.views.read(view, work)
            except LogError as error:
                side = await self.after(side, error)

    async def open(self) -> None:
        """Open the folder in the role that it gives. Raises LogError."""
        self._opening = self._loop.run_in_executor(None, self._open_unless_closed)
        try:
            opened = await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            self._opening.add_done_callback(_looked_at)
            self._leave()
            raise
        try:
            if self._closing:
                raise _closed_meanwhile()
            if isinstance(opened, LmdbLog):
                self.take(opened)
            else:
                self._be_visitor(opened)
        except BaseException:
            await self._loop.run_in_executor(None, opened.close)
            raise

    def _open_unless_closed(self) -> LmdbLog | LmdbVisitor:
        opened = self._open()
        with self._door:
            if not self._closing:
                self._opened = opened
                return opened
        opened.close()
        raise _closed_meanwhile()

    def _leave(self) -> None:
        """Nobody waits any more for the folder to be opened: the thread that does is not stopped.

        What it opens must not stay open: an owner that nobody acts for would keep all others out.
        """
        with self._door:
            self._closing = True
            opened = self._opened
        if opened is not None:
            self._opening = self._loop.run_in_executor(None, opened.close)

    def _open(self) -> LmdbLog | LmdbVisitor:
        while not self._closing:
            if self._role in ("auto", "owner"):
                try:
                    return self._own()
                except LogInUse:
                    if self._role == "owner":
                        raise
            try:
                return self._visit()
            except LogNotFound:
                if self._role == "visitor":
                    raise
                self._make()
        raise _closed_meanwhile()

    def _make(self) -> None:
        """Make the log that there is not, for one who only stands by."""
        try:
            self._own().close()
        except LogInUse:
            threading.Event().wait(_LOOK_AFTER_S)  # Another one is making it.

    def take(self, log: EventLog, *, given: bool = False) -> None:
        """Be the owner of a log; one that is not `given` is kept for this loop alone.

        Raises:
            OutliveError: it was given to another runtime, too, which works on it.
        """
        if given:
            _check_free(log)
        self._side = self._context.copy().run(self._owning, log)  # Else that of who stood by.
        if given:
            _seats[log] = weakref.ref(self)
        if isinstance(log, LmdbLog):
            log.on_failure(lambda error: self._hear(log, error))
            if not given:
                log.keep_while(lambda: not self._loop.is_closed())
        self._tell()

    def _be_visitor(self, log: LmdbVisitor) -> None:
        self._side = self._visiting(log)
        if self._role != "visitor":
            wait_s = self._lease if self._role == "standby" else 0.0
            self._standby = Standby(self._loop, log, self._lease, wait_s, self._promote)
            self._standby.start()
        self._tell()

    def _tell(self) -> None:
        """The side has changed."""
        self._changing = None
        self._changed.set_result(None)
        self._changed = self._loop.create_future()

    def _promote(self, log: LmdbLog) -> None:
        """The one who stands by has taken over."""
        if self._closing:
            return  # `close` finds it with the one who stood by.
        _log.info("took_over", epoch=log.epoch, clean=log.clean)
        self._standby = None
        visitor = self.side
        try:
            if isinstance(visitor, VisitorSide):
                visitor.views.close()  # A process has a view's file open once.
            self.take(log)
        except Exception as error:  # noqa: BLE001  # nobody else hears of it
            _log.error("owning_failed", error=told(error))
            self._changing = self._loop.create_task(self._let_go(log, error))

    async def _let_go(self, log: LmdbLog, error: Exception) -> None:
        """Leave to others what this process has taken over and cannot act on."""
        ended = LogClosed(f"the log could not be taken over: {told(error)}")
        try:
            await self.side.close(ended)
            await self._loop.run_in_executor(None, log.step_down)
        except Exception as failed:  # noqa: BLE001  # nobody may be left waiting for a role
            _log.error("stepping_down_failed", error=told(failed))
        self._end(ended)
        log.end_following(ended)

    def _hear(self, log: LmdbLog, error: LogError) -> None:
        """The log cannot be written any more. On its writer's thread."""
        try:
            self._loop.call_soon_threadsafe(self._lose, log, error)
        except RuntimeError:  # The loop is closed: nobody is left who could be told.
            threading.Thread(target=log.close, name="outlive-close", daemon=True).start()

    def _lose(self, log: LmdbLog, error: LogError) -> None:
        if not self._closing:
            self._changing = self._loop.create_task(self._demote(log, error))

    async def _demote(self, log: LmdbLog, error: LogError) -> None:
        """Stop the actors; stand by, if another owner is the reason.

        If the store has failed, this process is done with the log: it lets go of it, so that
        another one may take over that has more luck.
        """
        _log.error("ownership_lost", error=told(error))
        try:
            await self.side.close(error)
            if isinstance(error, Fenced) and self._role != "owner":
                self._be_visitor(await self._loop.run_in_executor(None, self._stay, log))
                return
            await self._loop.run_in_executor(None, log.step_down)
        except Exception as failed:  # noqa: BLE001  # nobody may be left waiting for a role
            _log.error("stepping_down_failed", error=told(failed))
        self._end(error)
        log.end_following(error)

    def _end(self, error: OutliveError) -> None:
        self._ended = error
        self._tell()

    async def close(
        self, error: OutliveError, *, patience: float = 0.0
    ) -> EventLog | LmdbVisitor | None:
        """Stop what this process does; return the log, which is still open.

        As its owner it gives tools that run `patience` seconds to end.
        """
        if self._side is None:
            with self._door:
                self._closing = True
            if self._opening is not None:
                with suppress(Exception):  # told to who opens it
                    await asyncio.shield(self._opening)
            return None
        if self._changing is not None:
            await asyncio.shield(self._changing)
        self._closing = True
        side = self._side
        log: EventLog | LmdbVisitor = side.log
        if self._standby is not None:
            taken = await self._loop.run_in_executor(None, self._standby.stop)
            log = taken or log
        if isinstance(side, OwnerSide) and self._ended is None:
            await side.close(error, patience=patience)
        else:
            await side.close(error)
        if not self._changed.done():
            self._changed.set_result(None)
        return log


def _check_free(log: EventLog) -> None:
    """See that nobody works on a log that was handed in: no lock of a folder does."""
    before = _seats.get(log)
    other = None if before is None else before()
    if other is not None and other.works:
        raise OutliveError(
            "another runtime works on this log already: share that runtime, or give each a log "
            "of its own"
        )


def told_later(_: LogError) -> None:
    """Hear that a log has failed before there is a side to stop: `take` is told again.

    A process may be frozen in between, and find another owner when it goes on. Without somebody
    to call, the log would end its followers with that.
    """


def _looked_at(future: asyncio.Future[Any]) -> None:
    """Nobody waits for it: that is no reason for asyncio to complain of its error."""
    if not future.cancelled():
        future.exception()


def _closed_meanwhile() -> LogClosed:
    return LogClosed("the runtime was closed while it was being opened")


class Standby:
    """The thread of one who stands by, until it has taken over or is stopped.

    `taken` is called on the loop. Where that is closed there is nobody to act, so nothing is
    taken over, or let go of again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: LmdbVisitor,
        lease: float,
        wait_s: float,
        taken: Callable[[LmdbLog], None],
    ) -> None:
        self._loop = loop
        self._log = log
        self._lease = lease
        self._patience = int(wait_s / _LOOK_AFTER_S)
        self._taken = taken
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outlive-standby", daemon=True)
        self._owned: LmdbLog | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> LmdbLog | None:
        """End it; return the log that it has taken over, if it just did. Blocks."""
        self._stopped.set()
        self._thread.join()
        return self._owned

    def _run(self) -> None:
        frozen = free = 0
        told_before = ""
        while not self._stopped.wait(_LOOK_AFTER_S):
            if self._loop.is_closed():
                return
            try:
                state = self._log.owner()
                frozen = frozen + 1 if state == "frozen" else 0
                free = free + 1 if state == "none" else 0
                if not free and state == "alive":
                    self._patience = 0  # There was an owner: when it goes, it is our turn.
                if frozen < _FROZEN_LOOKS and (not free or free <= self._patience):
                    continue
                self._owned = self._log.take_over(lease=self._lease, on_failure=told_later)
            except LogInUse:
                continue
            except LogClosed:
                return
            except Exception as error:  # noqa: BLE001  # a full disk, say: it may go well later
                if str(error) != told_before:
                    told_before = str(error)
                    stuck = isinstance(error, WriterStuck)
                    _log.error("writer_stuck" if stuck else "not_taken_over", reason=told(error))
                self._stopped.wait(_STUCK_AFTER_S)
            else:
                self._hand_over(self._owned)
                return

    def _hand_over(self, log: LmdbLog) -> None:
        try:
            self._loop.call_soon_threadsafe(self._taken, log)
        except RuntimeError:  # It was closed just now.
            with suppress(OutliveError):
                log.close()
