"""Where entities live: brought in when needed, let go when at rest, or standing still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import pytest

from outlive.actors.addresses import Addresses
from outlive.actors.effects import EffectTable
from outlive.actors.entity import Exhausted, World
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.actors.residents import Resident
from outlive.actors.timers import Timers
from outlive.actors.waiters import StandsStill
from outlive.events import (
    Event,
    LogClosed,
    MemoryLog,
    OpenEntry,
    Position,
    Refused,
    StreamId,
    WrongExpectedVersion,
)
from tests.support import (
    SECOND,
    START_NS,
    LaggingLog,
    ScriptedLog,
    clock,
    run_virtual,
    virtual_loop,
)
from tests.support.tally import (
    TALLY_CODEC,
    Added,
    Command,
    Cursed,
    Do,
    Ended,
    FakeWorld,
    Look,
    Performed,
    Refuse,
    Slept,
    Tally,
    TallyEntity,
    WakeUp,
    Wanted,
)

ONE, TWO = StreamId("tally-1"), StreamId("tally-2")
AnyLog = MemoryLog | ScriptedLog | LaggingLog


class TallyKind:
    """`Kind` of tallies. What is missing, and what recovery does, the test says."""

    name = "tally"

    def __init__(self) -> None:
        self.worlds: list[FakeWorld] = []
        self.missing_now = ""
        self.outdated_now = False
        self.recovery: Command = Do(Added(by=1))
        self.again: Callable[[Tally], Command] | None = None
        self.entity: TallyEntity = TallyEntity()
        self.running: list[frozenset[str]] = []
        self.released: list[bool] = []
        self.make_world: Callable[[], FakeWorld] = FakeWorld
        self.getting_further: Callable[[Tally], int] = lambda _: 0

    def world(self, stream: StreamId) -> FakeWorld:
        self.worlds.append(self.make_world())
        return self.worlds[-1]

    def missing(self, state: Tally) -> str:
        return self.missing_now if state.begun and not state.over else ""

    def recover(self, state: Tally, running: frozenset[str], *, released: bool) -> Command:
        self.running.append(running)
        self.released.append(released)
        return self.recovery if self.again is None else self.again(state)

    def point(self, state: Tally) -> int:
        return self.getting_further(state)

    def outdated(self, state: Tally) -> bool:
        return self.outdated_now

    def wake(self, now_ns: int) -> Command:
        return WakeUp(now_ns)

    def outcome(
        self, stream: StreamId, state: Tally, world: World[str], entry: OpenEntry | None
    ) -> tuple[Tally, str]:
        return state, "" if entry is None else entry.status


class House:
    """Addresses of tallies over a log."""

    def __init__(self, log: AnyLog, *, mailbox_limit: int = 10_000) -> None:
        self.log = log
        log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
        self.kind = TallyKind()
        self.reasons: list[str] = []
        self.effects = EffectTable(asyncio.get_running_loop())
        self.timers = Timers(clock(), self._wake)
        self.all = Addresses[Tally, Command, str, tuple[Tally, str]](
            self.kind, log, self.effects, self.timers, mailbox_limit=mailbox_limit
        )

    def _wake(self, stream: StreamId, now_ns: int) -> None:
        self.all.wake(stream, now_ns)

    def at(self, stream: StreamId) -> Resident[Tally, Command, str, tuple[Tally, str]]:
        found = self.all.at(stream)
        assert isinstance(found, Resident)
        return found

    def standing(self, stream: StreamId) -> OpenEntry:
        found = self.all.at(stream)
        assert isinstance(found, OpenEntry)
        return found

    async def ask(self, stream: StreamId, command: Command) -> Tally:
        return await self.at(stream).actor.ask(command)

    def send(self, stream: StreamId, command: Command) -> LoopFuture[Tally]:
        reply = LoopFuture[Tally]()
        self.all.send(stream, command, reply=reply, cause=Position(1))
        return reply


def play(
    body: Callable[[House], Awaitable[None]],
    log: MemoryLog | None = None,
    *,
    mailbox_limit: int = 10_000,
) -> None:
    async def run() -> None:
        await body(House(log or memory(), mailbox_limit=mailbox_limit))

    run_virtual(run())


def memory() -> MemoryLog:
    return MemoryLog(codec=TALLY_CODEC)


def written(log: MemoryLog, stream: StreamId, *events: Event, **row: object) -> None:
    given = {"status": "open", **row}
    entry = OpenEntry(kind="tally", **given) if row else None  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    log.append(stream, events, expected_version=log.version(stream), entry=entry).result()


# -- coming in, and leaving --


def test_an_entity_is_brought_in_once_and_leaves_when_it_is_over() -> None:
    async def body(house: House) -> None:
        here = house.at(ONE)
        assert house.at(ONE) is here
        waiting = house.all.outcome(ONE)
        await house.ask(ONE, Do(Wanted(effect="a")))
        assert house.all.resident(ONE) is here
        assert not waiting.done()

        await house.ask(ONE, Do(Ended()))
        await asyncio.sleep(0)
        assert house.all.resident(ONE) is None
        state, status = await waiting
        assert (state.over, status) == (True, "")

    play(body)


def in_seconds(seconds: float) -> Slept:
    return Slept(until_ns=START_NS + int(seconds * SECOND))


def test_who_waits_for_an_instant_leaves_memory_and_comes_back_when_it_is_due() -> None:
    async def body(house: House) -> None:
        house.at(ONE)
        waiting = house.all.outcome(ONE)
        await house.ask(ONE, Do(in_seconds(3_600)))
        assert house.all.resident(ONE) is None
        assert house.all.live() == []
        assert house.timers.at(ONE) == START_NS + 3_600 * SECOND

        await asyncio.sleep(3_599)
        assert house.all.resident(ONE) is None
        await asyncio.sleep(2)
        assert events(house.log, ONE)[1:] == [Slept(until_ns=None), Added(by=100)]
        assert not waiting.done(), "it is not over"

        await house.ask(ONE, Do(Ended()))
        state, _ = await waiting
        assert state.history == (100,)
        assert len(house.kind.running) == 0, "there was nothing to recover from"

    play(body)


def test_who_is_woken_soon_stays() -> None:
    async def body(house: House) -> None:
        here = house.at(ONE)
        await house.ask(ONE, Do(in_seconds(4)))
        await house.ask(TWO, Do(in_seconds(6)))
        await asyncio.sleep(3)
        assert house.all.resident(ONE) is here
        assert house.all.resident(TWO) is None
        await asyncio.sleep(4)
        assert [len(events(house.log, stream)) for stream in (ONE, TWO)] == [3, 3]

    play(body)


def test_who_has_to_wait_for_its_turn_after_that_leaves_then() -> None:
    async def body(house: House) -> None:
        await house.ask(ONE, Do(in_seconds(2)))
        house.all.passed(ONE)
        assert house.all.resident(ONE) is None

        asked = house.at(ONE).actor.ask(Do(Wanted(effect="a")))
        house.all.passed(ONE)
        assert (await asked).owed == ("a",)
        house.all.passed(ONE)
        assert house.all.resident(ONE) is not None, "it owes something"
        house.all.passed(TWO)
        assert house.all.resident(TWO) is None

    play(body)


def test_an_effect_that_goes_on_though_it_is_of_no_use_keeps_its_entity_in_memory() -> None:
    async def body(house: House) -> None:
        ends = asyncio.get_running_loop().create_future()

        async def effect() -> None:
            await ends  # as one that is in a thread, which nobody can stop

        await house.ask(ONE, Do(Wanted(effect="a")))
        waiting = house.all.outcome(ONE)
        house.effects.start(ONE, "a", effect, failed=lambda _: None)
        house.effects.settle(ONE, "a", abandon=True)
        await house.ask(ONE, Do(Performed(effect="a"), in_seconds(3_600)))
        await asyncio.sleep(60)
        assert house.all.resident(ONE) is not None
        await house.ask(ONE, Do(Ended()))
        assert (await waiting)[0].over, "nobody waits for it"
        assert house.all.resident(ONE) is not None
        assert (await house.all.outcome(ONE))[0].over

        ends.set_result(None)
        await asyncio.sleep(1)
        assert house.all.resident(ONE) is None

    play(body)


def test_who_was_only_looked_at_leaves_again() -> None:
    log = memory()
    written(log, ONE, in_seconds(3_600), wake_at_ns=START_NS + 3_600 * SECOND)

    async def body(house: House) -> None:
        house.at(ONE)
        await asyncio.sleep(0)
        assert house.all.resident(ONE) is None
        assert house.timers.at(ONE) == START_NS + 3_600 * SECOND

    play(body, log)


def test_who_waits_for_one_that_is_suspended_is_told_although_it_has_messages_to_deliver() -> None:
    """Whoever these are for may never hear them."""

    class Waits(TallyEntity):
        def open_entry(self, state: Tally) -> OpenEntry | None:
            entry = super().open_entry(state)
            return None if entry is None else msgspec.structs.replace(entry, status="suspended")

    async def body(house: House) -> None:
        house.kind.entity = Waits()
        await house.ask(ONE, Do(Wanted(effect="a message")))
        state, _ = await house.all.outcome(ONE)
        assert state.owed == ("a message",)
        assert [one.stream for one in house.all.live()] == [ONE]

    play(body)


def test_who_waits_for_one_that_has_left_is_told_that_it_cannot_come_back() -> None:
    async def body(house: House) -> None:
        await house.ask(ONE, Do(in_seconds(3_600)))
        waiting = house.all.outcome(ONE)
        log.append(ONE, [Cursed()], expected_version=log.version(ONE))
        await asyncio.sleep(3_500)
        assert not waiting.done()
        with pytest.raises(StandsStill, match="quarantined: cursed"):
            await waiting

    log = memory()
    play(body, log)


def test_who_waits_for_one_that_has_left_hears_that_all_is_closed() -> None:
    async def body(house: House) -> None:
        await house.ask(ONE, Do(in_seconds(3_600)))
        waiting = house.all.outcome(ONE)
        house.all.close(LogClosed("closed"))
        with pytest.raises(LogClosed):
            await waiting

    play(body)


def test_an_entity_that_never_began_leaves_again() -> None:
    async def body(house: House) -> None:
        with pytest.raises(Refused):
            await house.ask(ONE, Refuse())
        await asyncio.sleep(0)
        assert house.all.resident(ONE) is None

    play(body)


def test_an_entity_that_is_over_may_be_asked_and_leaves_again() -> None:
    log = memory()
    written(log, ONE, Added(by=1), Ended())

    async def body(house: House) -> None:
        assert (await house.ask(ONE, Look())).over
        await asyncio.sleep(0)
        assert house.all.resident(ONE) is None
        assert house.log.open_entries() == []

    play(body, log)


def test_what_owes_something_is_recovered_before_it_takes_any_other_command() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True)

    async def body(house: House) -> None:
        await house.ask(ONE, Do(Added(by=2)))
        assert events(log, ONE)[1:] == [Added(by=1), Added(by=2)]
        assert house.kind.running == [frozenset()]

    play(body, log)


def events(log: AnyLog, stream: StreamId) -> list[Event]:
    return [recorded.event for recorded in log.read(stream)]


def test_opening_brings_in_what_owes_something_and_watches_the_clock_for_the_others() -> None:
    log = memory()
    due_ns = START_NS + 10 * SECOND
    written(log, ONE, Wanted(effect="a"), owes=True)
    written(log, TWO, Slept(until_ns=due_ns), wake_at_ns=due_ns)
    quiet = StreamId("tally-3")
    written(log, quiet, Added(by=1), summary={"x": "y"})

    async def body(house: House) -> None:
        house.all.bring_in_all(log.open_entries())
        assert house.all.resident(ONE) is not None
        assert house.all.resident(TWO) is None
        await asyncio.sleep(9.9)
        assert house.all.resident(TWO) is None
        await asyncio.sleep(0.2)
        assert house.at(TWO).actor.state.history == (100,)
        assert house.all.resident(quiet) is None

    play(body, log)


def test_many_are_brought_in_a_few_at_a_time() -> None:
    log = memory()
    streams = [StreamId(f"tally-{number}") for number in range(100)]
    for stream in streams:
        written(log, stream, Wanted(effect="a"), owes=True)

    async def body(house: House) -> None:
        house.all.bring_in_all(log.open_entries())
        assert 0 < sum(house.all.resident(stream) is not None for stream in streams) < 100
        for _ in range(10):
            await asyncio.sleep(0)
        assert all(house.all.resident(stream) is not None for stream in streams)

    play(body, log)


# -- standing still --


def test_what_misses_something_is_blocked_until_it_has_it() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True)

    async def body(house: House) -> None:
        house.kind.missing_now = "no hammer"
        row = house.standing(ONE)
        assert (row.status, row.reason, row.owes) == ("blocked", "no hammer", True)
        assert log.open_entry(ONE) == row
        with pytest.raises(MailboxClosed):
            await house.send(ONE, Look())

        house.kind.missing_now = ""
        assert (await house.ask(ONE, Look())).history == (1,)
        found = log.open_entry(ONE)
        assert found is not None
        assert found.status == "open"

    play(body, log)


def test_what_is_blocked_with_an_instant_that_is_past_does_not_ring_for_ever() -> None:
    log = memory()
    written(log, ONE, Slept(until_ns=START_NS), wake_at_ns=START_NS)

    async def body(house: House) -> None:
        house.kind.missing_now = "no hammer"
        house.all.bring_in_all(log.open_entries())
        await asyncio.sleep(120)
        assert len(house.kind.worlds) == 1

    play(body, log)


def test_what_is_exhausted_is_quarantined_and_who_waits_is_told() -> None:
    class Tired(TallyEntity):
        def decide(self, state: Tally, command: Command) -> tuple[Event, ...]:
            if isinstance(command, Refuse):
                raise Exhausted("too often")
            return super().decide(state, command)

    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True)

    async def body(house: House) -> None:
        house.kind.entity = Tired()
        house.kind.recovery = Refuse()
        house.at(ONE)
        waiting = house.all.outcome(ONE)
        _, status = await waiting
        assert status == "quarantined"
        row = house.standing(ONE)
        assert (row.status, row.reason) == ("quarantined", "too often")
        assert log.open_entry(ONE) == row

    play(body, log)


def test_what_cannot_be_folded_is_quarantined_and_the_others_are_brought_in() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), Cursed(), owes=True)
    written(log, TWO, Wanted(effect="a"), owes=True)

    async def body(house: House) -> None:
        house.all.bring_in_all(log.open_entries())
        assert house.standing(ONE).status == "quarantined"
        assert (await house.ask(TWO, Look())).history == (1,)

    play(body, log)


def test_what_breaks_is_quarantined_and_its_effects_are_given_up() -> None:
    async def body(house: House) -> None:
        await house.ask(ONE, Do(Wanted(effect="a")))
        waiting = house.all.outcome(ONE)

        async def effect() -> None:
            await asyncio.get_running_loop().create_future()

        house.effects.start(ONE, "a", effect, failed=lambda _: None)
        house.at(ONE).actor.tell(Do(Cursed()))
        _, status = await waiting
        assert status == "quarantined"
        assert "ValueError: cursed" in house.standing(ONE).reason
        assert house.kind.worlds[0].done == ["+a", "-a"]
        assert events(house.log, ONE) == [Wanted(effect="a")] + 4 * [Added(by=1)]

    play(body)


@pytest.mark.parametrize("ends", [Do(Added(by=2)), Do(Wanted(effect="b"))])
def test_what_breaks_while_a_commit_is_on_its_way_is_quarantined_in_its_row_too(
    ends: Command,
) -> None:
    async def body() -> None:
        log = LaggingLog(memory(), 1.0)
        house = House(log)
        await house.ask(ONE, Do(Added(by=1)))
        durable = house.at(ONE).actor.ask(ends)
        house.at(ONE).actor.tell(Do(Cursed()))
        await durable
        await asyncio.sleep(60)
        assert house.standing(ONE).status == "quarantined"
        row = log.open_entry(ONE)
        assert row is not None
        assert row.status == "quarantined"
        assert "+b" not in house.kind.worlds[0].done, "a quarantined entity starts no effects"

    run_virtual(body())


def test_quarantine_is_for_good_in_this_process() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True)

    async def body(house: House) -> None:
        house.at(ONE).actor.tell(Do(Cursed()))
        await asyncio.sleep(60)
        for _ in range(3):
            assert house.standing(ONE).status == "quarantined"
            with pytest.raises(MailboxClosed):
                await house.send(ONE, Look())

    play(body, log)


# -- a command to one that stands still --


@pytest.mark.parametrize("command", [Look(), Refuse(), Do(Added(by=5))])
@pytest.mark.parametrize("status", ["quarantined", "blocked"])
def test_what_stands_still_does_so_again_after_a_message_that_did_not_end_it(
    status: str, command: Command
) -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True, status=status)

    async def body(house: House) -> None:
        house.kind.missing_now = "no wits" if status == "blocked" else ""
        house.all.bring_in_all(log.open_entries())
        assert house.standing(ONE).status == status
        reply = LoopFuture[Tally]()
        house.all.deliver(ONE, command, reply=reply, ends=True)
        with suppress(Refused):
            await reply
        await asyncio.sleep(0.01)
        assert house.standing(ONE).status == status
        row = log.open_entry(ONE)
        assert row is not None
        assert (row.status, row.owes) == (status, True)
        assert house.kind.worlds[0].done == []

    play(body, log)


def test_what_was_held_back_stays_so_until_it_goes_on() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True, status="quarantined")

    async def body(house: House) -> None:
        house.all.bring_in_all(log.open_entries())
        waits, looks = LoopFuture[Tally](), LoopFuture[Tally]()
        house.all.deliver(ONE, Do(Added(by=7)), reply=waits)
        house.all.deliver(ONE, Look(), reply=looks, ends=True)
        assert (await looks).history == ()
        await asyncio.sleep(0.01)
        assert events(log, ONE) == [Wanted(effect="a")]
        assert house.all.release(ONE) is not None
        assert (await waits).history == (1, 7)

    play(body, log)


def test_what_was_held_back_is_told_to_one_that_is_over_now() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True, status="quarantined")

    async def body(house: House) -> None:
        house.all.bring_in_all(log.open_entries())
        waits, ends = LoopFuture[Tally](), LoopFuture[Tally]()
        house.all.deliver(ONE, Look(), reply=waits)
        house.all.deliver(ONE, Do(Ended()), reply=ends, ends=True)
        assert (await ends).over
        assert (await waits).over
        await asyncio.sleep(0.01)
        assert house.all.live() == []

    play(body, log)


def test_what_was_taken_back_is_not_told_when_it_goes_on() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True, status="quarantined")

    async def body(house: House) -> None:
        house.all.bring_in_all(log.open_entries())
        back, waits = LoopFuture[Tally](), LoopFuture[Tally]()
        house.all.deliver(ONE, Do(Added(by=7)), reply=back)
        house.all.deliver(ONE, Do(Added(by=8)), reply=waits)
        house.all.take_back(ONE, back)
        house.all.take_back(TWO, back)
        assert house.all.release(ONE) is not None
        assert (await waits).history == (1, 8)

    play(body, log)


def test_what_never_began_has_no_row_any_more_once_that_is_told_otherwise() -> None:
    log = memory()
    written(log, ONE, owes=True, status="quarantined")

    async def body(house: House) -> None:
        house.all.bring_in_all(log.open_entries())
        reply = LoopFuture[Tally]()
        house.all.deliver(ONE, Look(), reply=reply, ends=True)
        assert not (await reply).begun
        await asyncio.sleep(0.01)
        assert log.open_entry(ONE) is None

    play(body, log)


def test_what_lacks_nothing_any_more_goes_on_with_all_that_is_to_be_settled() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True, status="blocked")

    async def body(house: House) -> None:
        house.kind.missing_now = "no wits"
        house.all.bring_in_all(log.open_entries())
        house.standing(ONE)
        reply = LoopFuture[Tally]()
        house.all.deliver(ONE, Do(Added(by=5)), reply=reply, ends=True)
        house.kind.missing_now = ""
        assert (await reply).history == (5,)
        assert (await house.ask(ONE, Look())).history == (5, 1)
        row = log.open_entry(ONE)
        assert row is not None
        assert row.status == "open"

    play(body, log)


# -- sending --


def test_a_command_finds_the_entity_wherever_its_actor_is_by_now() -> None:
    async def body(house: House) -> None:
        await house.send(ONE, Do(Wanted(effect="a")))
        await house.send(ONE, Do(Ended()))
        await asyncio.sleep(0)
        assert house.all.resident(ONE) is None
        assert (await house.send(ONE, Do(Added(by=9)))).history == (9,)
        assert [recorded.cause for recorded in house.log.read(ONE)] == [1, 1, 1]

    play(body)


def test_an_effect_that_runs_is_told_to_the_recovery_of_an_actor_brought_in_anew() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True)

    async def body(house: House) -> None:
        async def effect() -> None:
            await asyncio.get_running_loop().create_future()

        house.effects.start(ONE, "a", effect, failed=lambda _: None)
        house.at(ONE)
        assert house.kind.running == [frozenset({"a"})]

    play(body, log)


def test_how_an_effect_ended_is_kept_until_an_actor_has_recorded_it() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True)

    async def body(house: House) -> None:
        house.kind.recovery = Look()

        async def effect() -> None:
            house.effects.conclude(ONE, "a", Do(Performed(effect="a")))

        house.effects.start(ONE, "a", effect, failed=lambda _: None)
        await asyncio.sleep(1)
        assert house.effects.outcomes(ONE) == [Do(Performed(effect="a"))]
        assert (await house.ask(ONE, Look())).owed == ()

    play(body, log)


def test_what_is_outdated_is_told_so_although_it_owes_nothing() -> None:
    log = memory()
    written(log, ONE, Slept(until_ns=START_NS + 99 * SECOND), wake_at_ns=START_NS + 99 * SECOND)

    async def body(house: House) -> None:
        house.kind.outdated_now = True
        assert (await house.ask(ONE, Look())).history == (1,)

    play(body, log)


def test_closing_tells_who_waits_and_drops_what_comes_later() -> None:
    async def body(house: House) -> None:
        await house.ask(ONE, Do(Added(by=1)))
        waiting = house.all.outcome(ONE)
        house.all.close(LogClosed("bye"))
        with pytest.raises(LogClosed):
            await waiting
        with pytest.raises(MailboxClosed):
            await house.send(ONE, Look())
        house.all.send(ONE, Do(Added(by=2)))
        await asyncio.sleep(1)
        assert events(house.log, ONE) == [Added(by=1)]

    play(body)


def test_a_commit_on_its_way_is_still_answered_after_the_close_and_starts_nothing() -> None:
    async def body() -> None:
        house = House(LaggingLog(memory(), 1.0))
        asked = house.send(ONE, Do(Wanted(effect="a")))
        await asyncio.sleep(0.5)
        house.all.close(LogClosed("bye"))
        assert (await asked).owed == ("a",)
        assert house.kind.worlds[0].done == []

    run_virtual(body())


def test_a_refused_write_is_survived_by_the_entity_in_place() -> None:
    async def body() -> None:
        log = ScriptedLog(memory())
        house = House(log)
        here = house.at(ONE)
        log.intrude(ONE, Added(by=7), Wanted(effect="a"))
        refused = here.actor.ask(Do(Performed(effect="x")))
        await asyncio.sleep(0)
        log.settle()
        with pytest.raises(WrongExpectedVersion):
            await refused
        assert house.at(ONE) is here
        again = here.actor.ask(Look())
        assert (await again).history == (7,)

    run_virtual(body())


def test_it_is_made_on_the_loop_it_lives_on() -> None:
    async def body(house: House) -> None:
        await house.ask(ONE, Do(Added(by=1)))
        assert virtual_loop().unhandled == []

    play(body)
