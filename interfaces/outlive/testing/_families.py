"""What must hold between runs and their child runs, as the log has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outlive.events import (
    ChildRunEnded,
    ChildRunStarted,
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

_ENDS: Final = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}
_AT_REST: Final = ("suspended", "blocked", "quarantined")


class Families:
    """Follows records, and knows who works for whom."""

    def __init__(self) -> None:
        self._calls: dict[StreamId, ParentCall] = {}  # by child: the call that was recorded for it
        self._children: dict[StreamId, list[StreamId]] = {}  # by parent, in the order of the calls
        self._begun: dict[StreamId, ParentCall | None] = {}
        self._ends: dict[StreamId, str] = {}
        self._answered: dict[StreamId, str] = {}  # by child: how its parent has heard that it ended
        self._problem: tuple[str, str] | None = None

    def hear(self, record: Record) -> None:
        """Take a record, in order."""
        stream = record.stream
        for event in record.events:
            match event:
                case RunStarted(parent=parent):
                    self._begun[stream] = parent
                    if parent is not None and self._calls.get(stream) != parent:
                        self._wrong("a child run works for a call", f"{stream}: {parent}")
                case ChildRunStarted(run_id=run_id, call_id=call_id):
                    child = run_stream(run_id)
                    if child in self._calls:
                        self._wrong("a call has one child run", f"{child} is started twice")
                    call = ParentCall(run_id=RunId(id_of(stream)), call_id=call_id)
                    self._calls[child] = call
                    self._children.setdefault(stream, []).append(child)
                case ChildRunEnded():
                    self._answer(run_stream(event.run_id), event)
                case RunCompleted() | RunFailed() | RunCancelled():
                    self._ends[stream] = _ENDS[type(event)]
                case _:
                    pass

    def _answer(self, child: StreamId, event: ChildRunEnded) -> None:
        if child in self._answered:
            self._wrong("a child run is heard of once", f"{child} has ended twice for its parent")
        if event.message is not None and self._ends.get(child) != event.status:
            ended = self._ends.get(child, "open")
            self._wrong("a child run is what its parent heard", f"{child}: {event}, it is {ended}")
        self._answered[child] = event.status

    def _wrong(self, rule: str, detail: str) -> None:
        self._problem = self._problem or (rule, detail)

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
