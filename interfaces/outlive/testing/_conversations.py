"""What must hold between threads, the runs on them and what is said, as the log has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from outlive.events import (
    Event,
    ModelCallStarted,
    OpenEntry,
    Record,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunSignalled,
    RunStarted,
    SignalDropped,
    SignalReceived,
    StreamId,
    ThreadRunAsked,
    ThreadRunClaimed,
    ThreadRunReleased,
    ThreadRunWithdrawn,
    run_stream,
    thread_stream,
)
from outlive.testing._listener import Listener

_ENDS: Final = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}
_AT_REST: Final = ("suspended", "blocked", "quarantined")


class Conversations(Listener):
    """Follows records, and knows who is active on which thread, and who has heard what."""

    def __init__(self) -> None:
        super().__init__()
        self._active: dict[StreamId, StreamId] = {}  # by thread: the run that has claimed it
        self._released: set[StreamId] = set()
        self._withdrawn: set[StreamId] = set()
        self._begun: set[StreamId] = set()
        self._ends: dict[StreamId, str] = {}
        self._owed: dict[str, StreamId] = {}  # by signal: the run that it may begin
        self._told: dict[StreamId, list[str]] = {}  # by run: signals that no call has seen yet
        self._read: set[str] = set()

    def _claimed(self, record: Record, event: ThreadRunClaimed) -> None:
        stream, run = record.stream, run_stream(event.run_id)
        if stream in self._active:
            self._wrong(
                "one run a thread", f"{run} has claimed {stream}, which is {self._active[stream]}'s"
            )
        self._active[stream] = run

    def _released_by(self, record: Record, event: ThreadRunReleased) -> None:
        self._release(record.stream, run_stream(event.run_id), event.status)

    def _taken_back(self, _: Record, event: ThreadRunWithdrawn) -> None:
        self._withdrawn.add(run_stream(event.run_id))
        self._owed.pop(event.run_id, None)

    def _began(self, record: Record, event: RunStarted) -> None:
        stream, place = record.stream, event.thread
        self._begun.add(stream)
        if self._owed:
            for signal_id, run in self._owed.items():
                if run == stream:
                    self._tell(stream, signal_id)
        if stream in self._told and any(isinstance(it, RunCancelled) for it in record.events):
            # It was cancelled before it began: the thread keeps what it was to hear.
            self._read.update(self._told.pop(stream))
        if place is None or stream in self._withdrawn:
            return
        if self._active.get(thread_stream(place.thread_id)) != stream:
            self._wrong("a run works on a thread that is its", f"{stream}: {place.thread_id}")

    def _ended(self, record: Record, event: RunCompleted | RunFailed | RunCancelled) -> None:
        self._ends[record.stream] = _ENDS[type(event)]

    def _received(self, _: Record, event: SignalReceived) -> None:
        if event.action not in ("delivered", "queued", "woken"):
            return
        # What is to wake nobody may be kept, or dropped.
        if event.if_idle.behaviour == "wake" and not event.coalesced_into:
            self._owed[event.signal_id] = run_stream(event.run_id)

    def _asked(self, _: Record, event: ThreadRunAsked) -> None:
        if event.delivered_to:
            self._owed[event.run_id] = run_stream(event.run_id)

    def _dropped(self, _: Record, event: SignalDropped) -> None:
        self._owed.pop(event.signal_id, None)

    def _signalled(self, record: Record, event: RunSignalled) -> None:
        self._tell(record.stream, event.signal_id)

    def _called(self, record: Record, event: ModelCallStarted) -> None:
        if event.attempt == 1:
            self._read.update(self._told.pop(record.stream, ()))

    def _tell(self, run: StreamId, signal_id: str) -> None:
        told = self._told.setdefault(run, [])
        if signal_id in self._read or signal_id in told:
            self._wrong("a signal is read once", f"{signal_id} is told to {run}")
        told.append(signal_id)

    def _release(self, thread: StreamId, run: StreamId, status: str) -> None:
        if self._active.get(thread) != run or run in self._released:
            self._wrong("a run releases its thread once", f"{run} releases {thread}")
        if status != "refused" and self._ends.get(run) != status:
            ended = self._ends.get(run, "open")
            self._wrong("a run is what its thread heard", f"{run}: {status}, it is {ended}")
        self._released.add(run)
        self._active.pop(thread, None)

    HEARS: ClassVar[Mapping[type[Event], Callable[[Any, Record, Any], None]]] = {
        ThreadRunClaimed: _claimed,
        ThreadRunReleased: _released_by,
        ThreadRunWithdrawn: _taken_back,
        RunStarted: _began,
        RunCompleted: _ended,
        RunFailed: _ended,
        RunCancelled: _ended,
        SignalReceived: _received,
        ThreadRunAsked: _asked,
        SignalDropped: _dropped,
        RunSignalled: _signalled,
        ModelCallStarted: _called,
    }

    def problem(self) -> tuple[str, str] | None:
        """Return a rule that does not hold, and where."""
        return self._problem

    def unread(self, rows: Mapping[StreamId, OpenEntry]) -> tuple[str, str] | None:
        """Return a signal that nobody has read, though nothing goes on any more."""
        if any(row.kind == "thread" for row in rows.values()):
            return None  # Somebody is at rest there, and may read it later.
        for signal_id in self._owed:
            if signal_id not in self._read:
                return "a signal that was taken is read", f"{signal_id} was read by nobody"
        return None

    def waits_for_one_at_rest(self, stream: StreamId, rows: Mapping[StreamId, OpenEntry]) -> bool:
        """Whether a thread is that of a run which waits for a person, or stands still.

        Or which waits for such a one itself.
        """
        row = rows.get(stream)
        if row is None or row.kind != "thread":
            return False
        run = rows.get(self._active.get(stream, stream))
        return run is not None and run.status in (*_AT_REST, "waiting")
