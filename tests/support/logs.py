"""Logs that do what a test says: die after a commit, settle when told to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Required, TypedDict, Unpack, overload

from msgspec import UnsetType

from outlive.events import (
    Commit,
    Committed,
    Compacted,
    Event,
    LogError,
    LogFailed,
    MemoryLog,
    NamedSubscription,
    OpenEntry,
    OutliveError,
    Position,
    Record,
    Recorded,
    SavedOffset,
    Snapshot,
    StreamId,
    Submitted,
    Subscription,
    Version,
    WrongExpectedVersion,
    run_stream,
)
from outlive.events.commit import at_once, deliver_all
from outlive.events.recall import Recalled, recall_by_parts


class _Around:
    """A log that is another one, but for what a subclass does differently."""

    def __init__(self, inner: MemoryLog) -> None:
        self.inner = inner

    @property
    def log_id(self) -> str:
        return self.inner.log_id

    @property
    def epoch(self) -> int:
        return self.inner.epoch

    @property
    def clean(self) -> bool:
        return self.inner.clean

    @property
    def head(self) -> Position:
        return self.inner.head

    @property
    def trouble(self) -> OutliveError | None:
        return self.inner.trouble

    def version(self, stream: StreamId) -> Version:
        return self.inner.version(stream)

    def read(
        self, stream: StreamId, *, after: Version = Version(0), limit: int = 1_000
    ) -> list[Recorded]:
        return self.inner.read(stream, after=after, limit=limit)

    def read_all(self, *, after: Position = Position(0), limit: int = 1_000) -> list[Record]:
        return self.inner.read_all(after=after, limit=limit)

    def follow(self, stream: StreamId, *, after: Version = Version(0)) -> Subscription[Recorded]:
        return self.inner.follow(stream, after=after)

    def follow_all(self, *, after: Position = Position(0)) -> Subscription[Record]:
        return self.inner.follow_all(after=after)

    @overload
    def subscription(self, name: str) -> NamedSubscription[Record]: ...

    @overload
    def subscription(self, name: str, *, stream: StreamId) -> NamedSubscription[Recorded]: ...

    def subscription(
        self, name: str, *, stream: StreamId | None = None
    ) -> NamedSubscription[Record] | NamedSubscription[Recorded]:
        if stream is None:
            return self.inner.subscription(name)
        return self.inner.subscription(name, stream=stream)

    def offsets(self) -> list[SavedOffset]:
        return self.inner.offsets()

    def forget(self, name: str) -> bool:
        return self.inner.forget(name)

    def open_entry(self, stream: StreamId) -> OpenEntry | None:
        return self.inner.open_entry(stream)

    def open_entries(self) -> list[tuple[StreamId, OpenEntry]]:
        return self.inner.open_entries()

    def snapshot(self, stream: StreamId) -> Snapshot | None:
        return self.inner.snapshot(stream)

    def recall(self, stream: StreamId, *, limit: int = 1_000) -> Recalled:
        return recall_by_parts(self, stream, limit)

    def compact(self, *, before: datetime | None = None) -> Compacted:
        return self.inner.compact(before=before)

    def close(self) -> None:
        self.inner.close()

    def deliver_on(self, deliver: Callable[[Callable[[], None]], object]) -> None:
        self.inner.deliver_on(deliver)

    def on_failure(self, callback: Callable[[LogError], None]) -> None:
        self.inner.on_failure(callback)

    def on_submitted(self, callback: Callable[[list[Submitted]], None]) -> None:
        self.inner.on_submitted(callback)

    def submitted(self) -> list[Submitted]:
        return self.inner.submitted()

    def _write(self, commit: Commit) -> None:
        """Write a commit that was kept back, and settle it."""
        written = self.inner.append(
            commit.stream,
            commit.events,
            expected_version=commit.expected_version,
            commit_id=commit.commit_id,
            cause=commit.cause,
            correlation_id=commit.correlation_id,
            command_id=commit.command_id,
            reply=commit.reply,
            snapshot=commit.snapshot,
            entry=commit.entry,
        )
        commit.outcome, commit.error = written.outcome, written.error


class Wish(TypedDict, total=False):
    """The optional arguments of `EventLog.append`."""

    expected_version: Required[Version]
    commit_id: bytes | None
    cause: Position | str | None
    correlation_id: str | None
    command_id: str | None
    reply: bytes | None
    snapshot: bytes | UnsetType | None
    entry: OpenEntry | UnsetType | None


def _commit(stream: StreamId, events: Sequence[Event], wish: Wish) -> Commit:
    return Commit(stream=stream, events=tuple(events), recorded_at_ns=0, **wish)


class MortalLog(_Around):
    """The log of a process that dies after its `commits`-th commit.

    The last commit is durable. With `acknowledged` the process has heard of it and acts on it
    until it wants to write again; without, it dies before it hears. `dead` is set then, and
    nothing is written or acknowledged any more.
    """

    def __init__(self, inner: MemoryLog, commits: int, *, acknowledged: bool = True) -> None:
        super().__init__(inner)
        self._left = commits
        self._acknowledged = acknowledged
        self._is_dead = False
        self.dead = asyncio.Event()
        if commits == 0:
            self._die()

    def append(self, stream: StreamId, events: Sequence[Event], **wish: Unpack[Wish]) -> Commit:
        if self._left == 0 or self._is_dead:
            self._die()
            return _commit(stream, events, wish)
        self._left -= 1
        if self._left == 0 and not self._acknowledged:
            self.inner.deliver_on(lambda callback: None)
            self._die()
        return self.inner.append(stream, events, **wish)

    def _die(self) -> None:
        self._is_dead = True
        self.dead.set()


class ScriptedLog(_Around):
    """A log whose commits settle when the test says so, oldest first."""

    def __init__(self, inner: MemoryLog | None = None) -> None:
        super().__init__(MemoryLog() if inner is None else inner)
        self.waiting: deque[Commit] = deque()
        self.appended: list[tuple[Event, ...]] = []

    def deliver_on(self, deliver: Callable[[Callable[[], None]], object]) -> None:
        """Commits are delivered by `settle`, where the test stands."""

    def append(self, stream: StreamId, events: Sequence[Event], **wish: Unpack[Wish]) -> Commit:
        commit = _commit(stream, events, wish)
        self.waiting.append(commit)
        self.appended.append(tuple(events))
        return commit

    def settle(self) -> Committed | None:
        """Write the oldest commit, or refuse it if its version does not fit; then tell."""
        commit = self.waiting.popleft()
        self._write(commit)
        commit.deliver()
        return commit.outcome

    def settle_all(self) -> None:
        while self.waiting:
            self.settle()

    def fail(self, error: OutliveError) -> None:
        """Refuse the oldest commit."""
        commit = self.waiting.popleft()
        commit.error = error
        commit.deliver()

    def intrude(self, stream: StreamId, *events: Event) -> None:
        """Somebody else appends first."""
        self.inner.append(stream, events, expected_version=self.inner.version(stream)).result()

    def refused(self) -> WrongExpectedVersion:
        """Return what an append gets when somebody appended first."""
        return WrongExpectedVersion("", 0, 0)


class LaggingLog(_Around):
    """A log that writes what has queued up every `lag` seconds of the running loop's time.

    What is still in the queue when the process dies was never written.
    """

    def __init__(self, inner: MemoryLog, lag: float) -> None:
        super().__init__(inner)
        self._lag = lag
        self._queue: list[Commit] = []
        self._deliver: Callable[[Callable[[], None]], object] = at_once

    def deliver_on(self, deliver: Callable[[Callable[[], None]], object]) -> None:
        self._deliver = deliver

    def append(self, stream: StreamId, events: Sequence[Event], **wish: Unpack[Wish]) -> Commit:
        if not self._queue:
            asyncio.get_running_loop().call_later(self._lag, self._flush)
        commit = _commit(stream, events, wish)
        self._queue.append(commit)
        return commit

    def _flush(self) -> None:
        batch, self._queue = self._queue, []
        for commit in batch:
            self._write(commit)
        deliver_all(batch, self._deliver)


class FailingLog(_Around):
    """A log that fails after so many commits, until it is `repaired`."""

    def __init__(self, inner: MemoryLog, commits: int, *, reads: bool = False) -> None:
        super().__init__(inner)
        self._left = commits
        self._reads = reads
        self.repaired = False
        self._deliver: Callable[[Callable[[], None]], object] = at_once

    @property
    def _fails(self) -> bool:
        return self._left <= 0 and not self.repaired

    def deliver_on(self, deliver: Callable[[Callable[[], None]], object]) -> None:
        self._deliver = deliver
        self.inner.deliver_on(deliver)

    def read(
        self, stream: StreamId, *, after: Version = Version(0), limit: int = 1_000
    ) -> list[Recorded]:
        if self._fails and self._reads:
            raise LogFailed("the disk is gone")
        return super().read(stream, after=after, limit=limit)

    def append(self, stream: StreamId, events: Sequence[Event], **wish: Unpack[Wish]) -> Commit:
        if self._fails:
            commit = _commit(stream, events, wish)
            commit.error = LogFailed("the disk is gone")
            deliver_all([commit], self._deliver)
            return commit
        self._left -= 1
        return self.inner.append(stream, events, **wish)


def events_of(log: MemoryLog | _Around, run_id: str) -> list[Event]:
    """Return the events of a run."""
    return [recorded.event for recorded in log.read(run_stream(run_id), limit=10_000)]
