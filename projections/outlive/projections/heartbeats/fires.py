"""What has become of the instants at which a heartbeat was due: read from its end backwards."""

from __future__ import annotations

import math
from collections.abc import Container
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from outlive.events import (
    Event,
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
from outlive.projections.turn import let_others_go_on

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


async def read_fires(
    log: LogReader,
    stream: StreamId,
    *,
    decision: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> FirePage:
    """Return decisions of a heartbeat, the last ones first.

    However much has to be looked through for them, others on the loop have their turn meanwhile.

    Raises:
        ValueError: a limit or a decision that is none.
        InvalidCursor: no page has handed out this cursor.
    """
    check_limit(limit)
    if decision is not None and decision not in ("fired", "skipped", "coalesced", "missed"):
        raise ValueError(f"a decision is fired, skipped, coalesced or missed, not {decision!r}")
    head = log.version(stream)
    upto = head if cursor is None else _version_of(cursor, head) - 1
    told, later = _Told(), _Later(log, stream, Version(upto))
    found: list[FireInfo] = []
    while upto > 0 and len(found) <= limit:
        start = Version(max(upto - _PAGE, 0))
        for recorded in reversed(log.read(stream, after=start, limit=upto - start)):
            if cursor is not None:
                await later.complete(told, recorded.event)
            info = told.hear(recorded)
            if info is not None and (decision is None or info.decision == decision):
                found.append(info)
        upto = start
        await let_others_go_on()
    page = found[:limit]
    more = len(found) > limit
    return FirePage(fires=tuple(page), cursor=str(page[-1].version) if more else None)


def _version_of(cursor: str, head: Version) -> int:
    given = cursor if isinstance(cursor, str) else ""  # type: ignore[redundant-expr]  # pyright: ignore[reportUnnecessaryIsInstance]
    if not given.isascii() or not given.isdigit() or not 0 < int(given) <= head:
        raise InvalidCursor(f"{cursor!r} is no cursor of this list: pass one of a page back")
    return int(cursor)


class _Told:
    """What was heard of fires, from the last event to the first."""

    def __init__(self) -> None:
        self.ends: dict[int, FireEnded] = {}
        self.goes_on: dict[int, str] = {}  # what was heard last of those without an end
        self.decided: set[int] = set()  # fires
        self.instants: set[int] = set()  # decided, of those that have waited

    def hear(self, recorded: Recorded) -> FireInfo | None:
        event = recorded.event
        match event:
            case FireEnded():
                self.ends.setdefault(event.fire, event)
            case FireSuspended():
                self.goes_on.setdefault(event.fire, "suspended")
            case FireResumed():
                self.goes_on.setdefault(event.fire, "running")
            case HeartbeatFired():
                self.decided.add(event.fire)
                self._decide(event)
                return self._fired(recorded, event)
            case FireSkipped():
                if event.fire is not None:
                    self.decided.add(event.fire)
                self._decide(event)
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
                self.instants.add(event.first_ns)  # It may have waited; those after it have not.
                return _info(
                    recorded,
                    event.decision,
                    event.first_ns,
                    last_due_at=utc(event.last_ns),
                    count=event.count,
                    reason=event.reason,
                )
            case FireClaimed() if event.fire not in self.decided:
                self._decide(event)
                return _info(recorded, "claimed", event.due_ns, fire=event.fire, kind=event.kind)
            case FireDeferred() if event.due_ns not in self.instants:
                return _info(recorded, "waiting", event.due_ns)
            case _:
                pass
        return None

    def _decide(self, event: HeartbeatFired | FireSkipped | FireClaimed) -> None:
        if event.kind == "schedule":
            self.instants.add(event.due_ns)

    def _fired(self, recorded: Recorded, event: HeartbeatFired) -> FireInfo:
        end = self.ends.pop(event.fire, None)
        run_id = event.run_id
        if end is not None and event.thread_id and not end.told_by_itself:
            run_id = end.run_id
        outcome = self.goes_on.pop(event.fire, "running")
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


class _Later:
    """What came after a page, read only as far as something on it has not come to its end."""

    def __init__(self, log: LogReader, stream: StreamId, after: Version) -> None:
        self._log = log
        self._stream = stream
        self._begin = self._after = after
        self._new: float = math.inf  # fires from this one on were claimed later
        self._ends: dict[int, FireEnded] = {}
        self._goes_on: dict[int, str] = {}
        self._decided: set[int] = set()

    async def complete(self, told: _Told, event: Event) -> None:
        """Have `told` know what came later of what this event says."""
        match event:
            case HeartbeatFired(fire=fire) if fire not in told.ends:
                await self._read_until(fire, self._ends)
                if fire in self._ends:
                    told.ends[fire] = self._ends[fire]
                elif fire in self._goes_on:
                    told.goes_on[fire] = self._goes_on[fire]
            case FireClaimed(fire=fire) if fire not in told.decided:
                await self._read_until(fire, self._decided)
                told.decided |= self._decided & {fire}
            case FireDeferred(due_ns=due_ns) if due_ns not in told.instants:
                if await self._decides(due_ns):
                    told.instants.add(due_ns)
            case _:
                pass

    async def _read_until(self, fire: int, known: Container[int]) -> None:
        while fire not in known:
            page = self._log.read(self._stream, after=self._after, limit=_PAGE)
            if not page:
                return
            for recorded in page:
                self._hear(recorded.event)
            self._after = page[-1].version
            await let_others_go_on()

    def _hear(self, event: Event) -> None:
        match event:
            case FireClaimed():
                self._new = min(self._new, event.fire)
            case HeartbeatFired(fire=fire) | FireSkipped(fire=int(fire)) if fire < self._new:
                self._decided.add(fire)
            case FireEnded() if event.fire < self._new:
                self._ends[event.fire] = event
            case FireSuspended() if event.fire < self._new:
                self._goes_on[event.fire] = "suspended"
            case FireResumed() if event.fire < self._new:
                self._goes_on[event.fire] = "running"
            case _:
                pass

    async def _decides(self, due_ns: int) -> bool:
        """Whether an instant that has waited has its decision by now. One at a time does."""
        after = self._begin
        while page := self._log.read(self._stream, after=after, limit=_PAGE):
            told = _Told()
            for recorded in page:
                told.hear(recorded)
            if due_ns in told.instants:
                return True
            after = page[-1].version
            await let_others_go_on()
        return False


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
