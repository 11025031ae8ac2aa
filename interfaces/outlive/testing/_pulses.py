"""Heartbeats, as the log tells of them: each instant has one decision, and none is left out."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Final

from outlive.actors.heartbeat.decide import FAR_AHEAD_NS
from outlive.events import (
    FireClaimed,
    FireDeferred,
    FireScheduled,
    FireSkipped,
    HeartbeatFired,
    InstantsPassed,
    Record,
    StreamId,
)

_RULE = "an instant has one decision"
_NONE_LEFT_OUT = "no instant is left out"
_WANTED: Final = frozenset(
    {FireClaimed, FireDeferred, FireScheduled, FireSkipped, HeartbeatFired, InstantsPassed}
)


class Pulses:
    """Follows the decisions of all heartbeats."""

    def __init__(self) -> None:
        self._decided: dict[StreamId, list[tuple[int, int]]] = {}
        self._claimed: dict[StreamId, set[int]] = {}
        self._due: dict[StreamId, int | None] = {}
        self._problem: tuple[str, str] | None = None

    def hear(self, record: Record) -> None:
        """Take note of what has happened."""
        if _WANTED.isdisjoint(map(type, record.events)):
            return  # As nearly always: most is about runs.
        self._look_for_gaps(record)
        for event in record.events:
            match event:
                case HeartbeatFired(kind="schedule", due_ns=due_ns):
                    self._decide(record.stream, due_ns, due_ns)
                case FireSkipped(kind="schedule", due_ns=due_ns):
                    self._decide(record.stream, due_ns, due_ns)
                case InstantsPassed(first_ns=first_ns, last_ns=last_ns):
                    self._decide(record.stream, first_ns, last_ns)
                case FireClaimed(fire=fire):
                    claimed = self._claimed.setdefault(record.stream, set())
                    if fire in claimed:
                        self._problem = (_RULE, f"{record.stream} has claimed fire {fire} twice")
                    claimed.add(fire)
                case _:
                    pass

    def _look_for_gaps(self, record: Record) -> None:
        """What is decided next is what was due next, unless the schedule begins anew."""
        stream, first_ns = record.stream, None
        for event in record.events:
            match event:
                case FireClaimed(kind="schedule", due_ns=due_ns):
                    first_ns = due_ns if first_ns is None else first_ns
                case (
                    FireDeferred(due_ns=due_ns)
                    | FireSkipped(kind="schedule", due_ns=due_ns, fire=None)
                ):  # One that was claimed before, and is not wanted any more, was due then.
                    first_ns = due_ns if first_ns is None else first_ns
                case InstantsPassed(first_ns=passed_ns):
                    first_ns = passed_ns if first_ns is None else first_ns
                case FireScheduled(due_ns=due_ns, anchor_ns=anchor_ns):
                    before = self._due.get(stream)
                    if anchor_ns is None and before not in (first_ns, due_ns):
                        self._problem = (
                            _NONE_LEFT_OUT,
                            f"{stream} was due at {before}, and has decided {first_ns}",
                        )
                    self._due[stream] = due_ns
                    if anchor_ns is not None and due_ns is not None:
                        self._begin_again(stream, due_ns, record.recorded_at_ns)
                    return
                case _:
                    pass

    def _begin_again(self, stream: StreamId, due_ns: int, now_ns: int) -> None:
        """What a clock that was far ahead has decided does not hold once somebody says so."""
        ranges = self._decided.get(stream, [])
        if not ranges or ranges[-1][1] - now_ns <= FAR_AHEAD_NS:
            return
        while ranges and ranges[-1][1] >= due_ns:
            first_ns, _ = ranges.pop()
            if first_ns < due_ns:
                ranges.append((first_ns, due_ns - 1))

    def problem(self) -> tuple[str, str] | None:
        """Return the rule that does not hold, and where; None if all hold."""
        return self._problem

    def _decide(self, stream: StreamId, first_ns: int, last_ns: int) -> None:
        ranges = self._decided.setdefault(stream, [])
        at = bisect_left(ranges, (first_ns, last_ns))
        before = ranges[at - 1][1] if at else -1
        after = ranges[at][0] if at < len(ranges) else last_ns + 1
        if before >= first_ns or after <= last_ns:
            self._problem = (_RULE, f"{stream} has decided {first_ns} to {last_ns} before")
        insort(ranges, (first_ns, last_ns))
