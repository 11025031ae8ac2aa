"""An append on its way: what is to be written, and a future of `Committed`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from outlive.events.errors import OutliveError
from outlive.events.event import Event
from outlive.events.ids import Position, StreamId, Version


class OpenEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A row of the open table: an entity that has not come to its end, or still owes something.

    Recovery, timers and lists of open things read these rows; nothing scans history.
    """

    kind: str
    status: str
    wake_at_ns: int | None = None  # when it wants to be woken next
    owes: bool = False  # an effect is outstanding: it must be taken up when the log is opened
    reason: str = ""  # why it stands still
    try_again: bool = False  # quarantined, but another release may be able to read it
    summary: dict[str, str] = {}  # what lists show of it
    over: bool = False  # it has come to its end, and only has messages to deliver


class Committed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The commit is durable."""

    position: Position
    first_version: Version
    last_version: Version
    recorded_at_ns: int


Deliver: TypeAlias = Callable[[Callable[[], None]], object]
"""Runs a callback where the log's user wants it: `loop.call_soon_threadsafe`, for one."""

_settling: Final = threading.Lock()


class Commit(msgspec.Struct, kw_only=True, eq=False):
    """One append: handed to the writer, settled once with `Committed` or an error.

    Callbacks run where the log delivers (`EventLog.deliver_on`), those of one stream in the
    order of the appends.
    """

    stream: StreamId
    events: Sequence[Event]
    expected_version: Version
    recorded_at_ns: int
    payload: bytes = b""
    commit_id: bytes | None = None
    cause: Position | str | None = None
    correlation_id: str | None = None
    command_id: str | None = None
    reply: bytes | None = None
    snapshot: bytes | UnsetType | None = None
    entry: OpenEntry | UnsetType | None = UNSET
    outcome: Committed | None = None
    error: OutliveError | None = None
    _callback: Callable[[Commit], None] | None = None
    _delivered: bool = False
    _waiter: threading.Event | None = None
    _futures: list[asyncio.Future[None]] | None = None

    @property
    def settled(self) -> bool:
        """Whether its outcome is known."""
        return self.outcome is not None or self.error is not None

    def then(self, callback: Callable[[Commit], None]) -> None:
        """Call `callback` with this commit once it is settled; at once if it has been."""
        with _settling:
            if not self._delivered:
                assert self._callback is None, "a commit has one callback"
                self._callback = callback
                return
        callback(self)

    def result(self, timeout: float | None = None) -> Committed:
        """Block until it is settled and return the outcome. Not for use on an event loop.

        Raises:
            TimeoutError: not settled within `timeout` seconds.
            WrongExpectedVersion: and the other errors of an append.
        """
        with _settling:
            if not self._delivered and self._waiter is None:
                self._waiter = threading.Event()
            waiter = self._waiter
        if waiter is not None and not waiter.wait(timeout):
            raise TimeoutError(f"no commit within {timeout} s")
        return self._unwrap()

    def __await__(self) -> Generator[object, None, Committed]:
        """Wait for the outcome on the running event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with _settling:
            if not self._delivered:
                if self._futures is None:
                    self._futures = [future]
                else:
                    self._futures.append(future)
            else:
                future.set_result(None)
        yield from future
        return self._unwrap()

    def _unwrap(self) -> Committed:
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome

    def deliver(self) -> None:
        """Run the callback and wake who waits. For logs: once, after it was settled."""
        with _settling:
            self._delivered = True
            callback, waiter, futures = self._callback, self._waiter, self._futures
            self._callback = self._futures = None
        if waiter is not None:
            waiter.set()
        if futures is not None:
            here = _running_loop()
            for future in futures:
                loop = future.get_loop()
                if loop is here:
                    _wake(future)  # Spares a write to the loop's own pipe for each commit.
                elif not loop.is_closed():
                    loop.call_soon_threadsafe(_wake, future)
        if callback is not None:
            callback(self)


def deliver_all(commits: Sequence[Commit], deliver: Deliver) -> None:
    """Hand the settled commits to their callbacks, in order, in one delivery."""

    def run() -> None:
        first: Exception | None = None
        for commit in commits:
            try:
                commit.deliver()
            except Exception as error:  # noqa: BLE001  # the others must hear of theirs
                first = first or error
        if first is not None:
            raise first

    deliver(run)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def at_once(callback: Callable[[], None]) -> None:
    """Deliver on the thread that settles."""
    callback()
