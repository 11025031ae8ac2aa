"""What must hold between threads, the runs on them and what is said, as the log has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outlive.events import (
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

_ENDS: Final = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}
_AT_REST: Final = ("suspended", "blocked", "quarantined")


class Conversations:
    """Follows records, and knows who is active on which thread, and who has heard what."""

    def __init__(self) -> None:
        self._active: dict[StreamId, StreamId] = {}  # by thread: the run that has claimed it
        self._released: set[StreamId] = set()
        self._withdrawn: set[StreamId] = set()
        self._begun: set[StreamId] = set()
        self._ends: dict[StreamId, str] = {}
        self._owed: dict[str, StreamId] = {}  # by signal: the run that it may begin
        self._told: dict[StreamId, list[str]] = {}  # by run: signals that no call has seen yet
        self._read: set[str] = set()
        self._problem: tuple[str, str] | None = None

    def hear(self, record: Record) -> None:
        """Take a record, in order."""
        stream = record.stream
        for event in record.events:
            match event:
                case ThreadRunClaimed(run_id=run_id):
                    run = run_stream(run_id)
                    if stream in self._active:
                        self._wrong(
                            "one run a thread",
                            f"{run} has claimed {stream}, which is {self._active[stream]}'s",
                        )
                    self._active[stream] = run
                case ThreadRunReleased(run_id=run_id, status=status):
                    self._release(stream, run_stream(run_id), status)
                case ThreadRunWithdrawn(run_id=run_id):
                    self._withdrawn.add(run_stream(run_id))
                    self._owed.pop(run_id, None)
                case RunStarted(thread=place):
                    self._begun.add(stream)
                    for signal_id, run in self._owed.items():
                        if run == stream:
                            self._tell(stream, signal_id)
                    if any(isinstance(other, RunCancelled) for other in record.events):
                        # It was cancelled before it began: the thread keeps what it was to hear.
                        self._read.update(self._told.pop(stream, ()))
                    if place is None or stream in self._withdrawn:
                        continue
                    if self._active.get(thread_stream(place.thread_id)) != stream:
                        self._wrong(
                            "a run works on a thread that is its", f"{stream}: {place.thread_id}"
                        )
                case RunCompleted() | RunFailed() | RunCancelled():
                    self._ends[stream] = _ENDS[type(event)]
                case SignalReceived(action="delivered" | "queued" | "woken"):
                    # What is to wake nobody may be kept, or dropped.
                    if event.if_idle.behaviour == "wake" and not event.coalesced_into:
                        self._owed[event.signal_id] = run_stream(event.run_id)
                case ThreadRunAsked(run_id=run_id) if event.delivered_to:
                    self._owed[run_id] = run_stream(run_id)
                case SignalDropped(signal_id=signal_id):
                    self._owed.pop(signal_id, None)
                case RunSignalled(signal_id=signal_id):
                    self._tell(stream, signal_id)
                case ModelCallStarted(attempt=1):
                    self._read.update(self._told.pop(stream, ()))
                case _:
                    pass

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

    def _wrong(self, rule: str, detail: str) -> None:
        self._problem = self._problem or (rule, detail)

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
