"""What must hold between runs and their child runs, as the log has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from outlive.events import (
    ChildRunEnded,
    ChildRunStarted,
    Event,
    OpenEntry,
    ParentCall,
    Record,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunId,
    RunStarted,
    RunState,
    StreamId,
    run_stream,
)
from outlive.events.ids import id_of
from outlive.testing._listener import Listener

_ENDS: Final = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}
_AT_REST: Final = ("suspended", "blocked", "quarantined")


class Families(Listener):
    """Follows records, and knows who works for whom."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[StreamId, ParentCall] = {}  # by child: the call that was recorded for it
        self._children: dict[StreamId, list[StreamId]] = {}  # by parent, in the order of the calls
        self._begun: dict[StreamId, ParentCall | None] = {}
        self._ends: dict[StreamId, str] = {}
        self._answered: dict[StreamId, str] = {}  # by child: how its parent has heard that it ended

    def _began(self, record: Record, event: RunStarted) -> None:
        stream, parent = record.stream, event.parent
        self._begun[stream] = parent
        if parent is not None and self._calls.get(stream) != parent:
            self._wrong("a child run works for a call", f"{stream}: {parent}")

    def _called(self, record: Record, event: ChildRunStarted) -> None:
        child = run_stream(event.run_id)
        if child in self._calls:
            self._wrong("a call has one child run", f"{child} is started twice")
        call = ParentCall(run_id=RunId(id_of(record.stream)), call_id=event.call_id)
        self._calls[child] = call
        self._children.setdefault(record.stream, []).append(child)

    def _ended(self, record: Record, event: RunCompleted | RunFailed | RunCancelled) -> None:
        self._ends[record.stream] = _ENDS[type(event)]

    def _answer(self, _: Record, event: ChildRunEnded) -> None:
        child = run_stream(event.run_id)
        if child in self._answered:
            self._wrong("a child run is heard of once", f"{child} has ended twice for its parent")
        if event.message is not None and self._ends.get(child) != event.status:
            ended = self._ends.get(child, "open")
            self._wrong("a child run is what its parent heard", f"{child}: {event}, it is {ended}")
        self._answered[child] = event.status

    HEARS: ClassVar[Mapping[type[Event], Callable[[Any, Record, Any], None]]] = {
        RunStarted: _began,
        ChildRunStarted: _called,
        ChildRunEnded: _answer,
        RunCompleted: _ended,
        RunFailed: _ended,
        RunCancelled: _ended,
    }

    def problem(self, states: Mapping[StreamId, object]) -> tuple[str, str] | None:
        """Return a rule that does not hold, and where; `states` are those that have changed."""
        for stream, state in states.items():
            if not isinstance(state, RunState) or not state.over or state.mail.outbox:
                continue
            for child in self._children.get(stream, ()):
                if child in self._begun and child not in self._ends:
                    self._wrong("no child run is left over", f"{child} is open, {stream} is over")
        return self._problem

    def waits_for_one_at_rest(self, stream: StreamId, rows: Mapping[StreamId, OpenEntry]) -> bool:
        """Whether a run waits for child runs, one of which waits for a person or stands still.

        Or which waits for such a one itself.
        """
        row = rows.get(stream)
        if row is None or row.status != "waiting":
            return False
        left = [child for child in self._children.get(stream, ()) if child not in self._answered]
        return any(
            child in rows
            and (rows[child].status in _AT_REST or self.waits_for_one_at_rest(child, rows))
            for child in left
        )
