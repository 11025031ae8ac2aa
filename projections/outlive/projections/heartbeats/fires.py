"""What has become of the instants at which a heartbeat was due: read from its end backwards."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from outlive.events import (
    Failure,
    FireClaimed,
    FireDeferred,
    FireEnded,
    FireResumed,
    FireSkipped,
    FireSuspended,
    HeartbeatFired,
    InstantsPassed,
    InvalidCursor,
    LogReader,
    Recorded,
    StreamId,
    Usage,
    Version,
)
from outlive.events.heartbeat import FireKind
from outlive.projections.lists import check_limit, utc

_PAGE: Final = 256

Decision: TypeAlias = Literal["fired", "skipped", "coalesced", "missed", "claimed", "waiting"]


class FireInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What has become of an instant, or of `count` instants in a row, to `last_due_at`.

    `decision` is `fired`, `skipped`, `coalesced` or `missed`; before there is one, it is `claimed`
    (a function is asked what is to be done) or `waiting` (for the end of what was fired before).
    `reason` says why it was not fired. What was fired is a run or a task, and `outcome` is how
    that has ended: `succeeded`, `failed`, `aborted`, `timed_out`, `suspended` while it waits for
    a person, `running` while it goes on. With a `thread_id` it was signalled there: `run_id` is the
    run that this has begun, or, where it has begun none, the one that was told, and `outcome` is
    then `delivered`, `queued`, `persisted` or `discarded`. `duration` is from when it was fired.
    Times are in UTC.
    """

    fire: int | None
    decision: Decision
    kind: FireKind
    due_at: datetime
    last_due_at: datetime
    count: int
    decided_at: datetime
    reason: str
    run_id: str | None
    task_id: str | None
    thread_id: str | None
    outcome: str | None
    error: Failure | None
    usage: Usage
    duration: timedelta | None
    version: Version


class FirePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some decisions, the last ones first; `cursor` leads to those before, if there are any."""

    fires: tuple[FireInfo, ...]
    cursor: str | None = None


def read_fires(
    log: LogReader,
    stream: StreamId,
    *,
    decision: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> FirePage:
    """Return decisions of a heartbeat, the last ones first.

    Raises:
        ValueError: a limit or a decision that is none.
        InvalidCursor: no page has handed out this cursor.
    """
    check_limit(limit)
    if decision is not None and decision not in ("fired", "skipped", "coalesced", "missed"):
        raise ValueError(f"a decision is fired, skipped, coalesced or missed, not {decision!r}")
    head = log.version(stream)
    upto = head if cursor is None else _version_of(cursor, head) - 1
    told = _Told()
    found: list[FireInfo] = []
    if upto < head:
        _hear_the_rest(log, stream, told, upto, head)
    while upto > 0 and len(found) <= limit:
        start = Version(max(upto - _PAGE, 0))
        for recorded in reversed(log.read(stream, after=start, limit=upto - start)):
            info = told.hear(recorded)
            if info is not None and (decision is None or info.decision == decision):
                found.append(info)
        upto = start
    page = found[:limit]
    more = len(found) > limit
    return FirePage(fires=tuple(page), cursor=str(page[-1].version) if more else None)


def _hear_the_rest(log: LogReader, stream: StreamId, told: _Told, upto: int, head: Version) -> None:
    """Hear what came later: how the fires of this page have ended."""
    after = Version(upto)
    later: list[Recorded] = []
    while page := log.read(stream, after=after, limit=_PAGE):
        later += page
        after = page[-1].version
    for recorded in reversed(later):
        told.hear(recorded)


def _version_of(cursor: str, head: Version) -> int:
    given = cursor if isinstance(cursor, str) else ""  # type: ignore[redundant-expr]  # pyright: ignore[reportUnnecessaryIsInstance]
    if not given.isascii() or not given.isdigit() or not 0 < int(given) <= head:
        raise InvalidCursor(f"{cursor!r} is no cursor of this list: pass one of a page back")
    return int(cursor)


class _Told:
    """What was heard of fires, from the last event to the first."""

    def __init__(self) -> None:
        self._ends: dict[int, FireEnded] = {}
        self._goes_on: dict[int, str] = {}  # what was heard last of those without an end
        self._decided: set[int] = set()  # fires
        self._instants: set[int] = set()  # decided, of those that have waited

    def hear(self, recorded: Recorded) -> FireInfo | None:
        event = recorded.event
        match event:
            case FireEnded():
                self._ends.setdefault(event.fire, event)
            case FireSuspended():
                self._goes_on.setdefault(event.fire, "suspended")
            case FireResumed():
                self._goes_on.setdefault(event.fire, "running")
            case HeartbeatFired():
                self._decided.add(event.fire)
                self._instants.add(event.due_ns)
                return self._fired(recorded, event)
            case FireSkipped():
                if event.fire is not None:
                    self._decided.add(event.fire)
                self._instants.add(event.due_ns)
                return _info(
                    recorded,
                    "skipped",
                    event.due_ns,
                    fire=event.fire,
                    kind=event.kind,
                    reason=event.reason,
                    error=event.error,
                )
            case InstantsPassed():
                return _info(
                    recorded,
                    event.decision,
                    event.first_ns,
                    last_due_at=utc(event.last_ns),
                    count=event.count,
                    reason=event.reason,
                )
            case FireClaimed() if event.fire not in self._decided:
                self._instants.add(event.due_ns)
                return _info(recorded, "claimed", event.due_ns, fire=event.fire, kind=event.kind)
            case FireDeferred() if event.due_ns not in self._instants:
                return _info(recorded, "waiting", event.due_ns)
            case _:
                pass
        return None

    def _fired(self, recorded: Recorded, event: HeartbeatFired) -> FireInfo:
        end = self._ends.pop(event.fire, None)
        run_id = event.run_id
        if end is not None and event.thread_id and not end.told_by_itself:
            run_id = end.run_id
        outcome = self._goes_on.pop(event.fire, "running")
        return _info(
            recorded,
            "fired",
            event.due_ns,
            fire=event.fire,
            kind=event.kind,
            run_id=run_id or None,
            task_id=event.task_id or None,
            thread_id=event.thread_id or None,
            outcome=outcome if end is None else end.outcome,
            error=None if end is None else end.error,
            usage=Usage() if end is None else end.usage,
            duration=None if end is None else timedelta(milliseconds=end.elapsed_ms),
        )


def _info(recorded: Recorded, decision: Decision, due_ns: int, **more: object) -> FireInfo:
    said: dict[str, object] = {
        "fire": None,
        "kind": "schedule",
        "last_due_at": utc(due_ns),
        "count": 1,
        "reason": "",
        "run_id": None,
        "task_id": None,
        "thread_id": None,
        "outcome": None,
        "error": None,
        "usage": Usage(),
        "duration": None,
        **more,
    }
    return FireInfo(
        decision=decision,
        due_at=utc(due_ns),
        decided_at=utc(recorded.recorded_at_ns),
        version=recorded.version,
        **said,  # type: ignore[arg-type]
    )
