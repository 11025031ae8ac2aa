"""What has become of a heartbeat's instants: in pages, from the last to the first."""

from __future__ import annotations

import asyncio

from outlive.events import (
    Event,
    FireClaimed,
    FireDeferred,
    FireEnded,
    FireResumed,
    FireScheduled,
    FireSkipped,
    FireSuspended,
    HeartbeatFired,
    HeartbeatPaused,
    InstantsPassed,
    MemoryLog,
    Recorded,
    StreamId,
    Version,
    heartbeat_stream,
)
from outlive.events.ids import NO_VERSION
from outlive.projections.heartbeats import FirePage, read_fires

STREAM = heartbeat_stream("hb_h")


class CountingLog(MemoryLog):
    """A log that counts the events that are read."""

    count = 0

    def read(
        self, stream: StreamId, *, after: Version = NO_VERSION, limit: int = 1_000
    ) -> list[Recorded]:
        found = super().read(stream, after=after, limit=limit)
        self.count += len(found)
        return found


def log_of(*events: Event) -> CountingLog:
    log = CountingLog()
    log.append(STREAM, events, expected_version=Version(0)).result(5)
    return log


def fired(fire: int, *more: Event) -> list[Event]:
    return [
        FireClaimed(fire=fire, due_ns=fire * 10),
        HeartbeatFired(fire=fire, due_ns=fire * 10, run_id=f"h:{fire}"),
        *more,
    ]


def ended(fire: int) -> FireEnded:
    return FireEnded(fire=fire, outcome="succeeded")


def many(first: int = 1, last: int = 400) -> list[Event]:
    return [event for fire in range(first, last + 1) for event in fired(fire, ended(fire))]


def told(page: FirePage) -> list[tuple[int | None, str, str | None]]:
    return [(one.fire, one.decision, one.outcome) for one in page.fires]


def test_others_have_their_turn_while_a_long_history_is_looked_through() -> None:
    async def turns_meanwhile() -> int:
        looking = asyncio.ensure_future(read_fires(log_of(*many()), STREAM, decision="missed"))
        turns = 0
        while not looking.done():
            await asyncio.sleep(0)
            turns += 1
        assert looking.result() == FirePage(fires=())
        return turns

    assert asyncio.run(turns_meanwhile()) > 4  # 1,200 events, a page of 256 at a time


def test_for_a_page_far_back_no_more_is_read_than_what_tells_how_it_has_ended() -> None:
    log = log_of(*many())
    page = asyncio.run(read_fires(log, STREAM, limit=2, cursor="8"))
    assert told(page) == [(2, "fired", "succeeded"), (1, "fired", "succeeded")]
    assert log.count <= 300


def test_a_page_far_back_tells_what_came_much_later() -> None:
    waits, claim = FireSuspended(fire=3), FireClaimed(fire=4, due_ns=40)
    events = [*many(1, 1), *fired(2), *fired(3, waits), claim, FireDeferred(due_ns=50)]
    cursor = str(len(events) + 1)

    def page(*later: Event) -> list[tuple[int | None, str, str | None]]:
        log = log_of(*events, *many(5), *later)
        return told(asyncio.run(read_fires(log, STREAM, cursor=cursor)))

    first = (1, "fired", "succeeded")
    goes_on = (2, "fired", "running")
    assert page() == [(4, "claimed", None), (3, "fired", "suspended"), goes_on, first]
    skipped = FireSkipped(due_ns=40, fire=4, reason="prepare")
    assert page(skipped, FireResumed(fire=3), ended(2)) == [
        (3, "fired", "running"),
        (2, "fired", "succeeded"),
        first,
    ]
    assert page(skipped, FireResumed(fire=3), FireSuspended(fire=3), ended(3))[0] == (
        3,
        "fired",
        "succeeded",
    )


def test_an_instant_that_has_waited_and_was_passed_over_is_told_once() -> None:
    passed = InstantsPassed(decision="skipped", first_ns=20, last_ns=90, count=8, reason="paused")
    waits: list[Event] = [
        FireScheduled(due_ns=20),
        FireDeferred(due_ns=20),
    ]
    after: list[Event] = [passed, HeartbeatPaused()]
    log = log_of(*fired(1), *waits)
    assert told(asyncio.run(read_fires(log, STREAM)))[0] == (None, "waiting", None)
    log = log_of(*fired(1), *waits, *after)
    assert told(asyncio.run(read_fires(log, STREAM))) == [
        (None, "skipped", None),
        (1, "fired", "running"),
    ]
    assert told(asyncio.run(read_fires(log, STREAM, cursor="5"))) == [(1, "fired", "running")]


def test_an_instant_that_waits_does_so_still_when_somebody_has_fired_at_the_same_one() -> None:
    by_hand = HeartbeatFired(fire=2, due_ns=20, kind="manual", run_id="m")
    log = log_of(*fired(1), FireDeferred(due_ns=20), by_hand)
    assert told(asyncio.run(read_fires(log, STREAM)))[:2] == [
        (2, "fired", "running"),
        (None, "waiting", None),
    ]
