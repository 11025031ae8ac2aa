"""An actor that fails is rebuilt by what recovers it after a crash, and in the end given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import Agent, Runtime, ScriptedModel, ToolCall, Turn, tool
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.actors.run import entity
from outlive.actors.run.commands import CompleteToolCall, RunCommand
from outlive.actors.run.decide import decide
from outlive.actors.run.submitted import DecisionRequest, encode_request
from outlive.events import (
    ApprovalGranted,
    CallId,
    CorruptLog,
    Event,
    InvalidDefinition,
    LmdbVisitor,
    LogClosed,
    MailboxFull,
    NotQuarantined,
    OpenEntry,
    Position,
    RunEvent,
    RunNotFound,
    RunState,
    Version,
    WrongExpectedVersion,
    run_stream,
)
from outlive.projections import RunResult
from tests.actors.conftest import Logs
from tests.actors.test_addresses import ONE, TWO, House, events, memory, play, written
from tests.support import SECOND, START_NS, LaggingLog, Machine, ScriptedLog, clock, run_virtual
from tests.support.people import agent, begin, publish
from tests.support.tally import (
    Added,
    Command,
    Cursed,
    Do,
    FakeWorld,
    Look,
    Performed,
    Slept,
    Tally,
    TallyEntity,
    Wanted,
)

UNLUCKY = Do(Added(by=13))


class Mad(BaseException):
    """Nothing that anybody expects."""


ERRORS = [ValueError("x"), SystemExit(3), GeneratorExit(), KeyboardInterrupt(), Mad()]


class Moody(TallyEntity):
    """Fails to decide about unlucky commands, as often as the test says."""

    def __init__(self, times: int, error: BaseException | None = None) -> None:
        self.times = times
        self.error = error or ValueError("not today")

    def decide(self, state: Tally, command: Command) -> tuple[Event, ...]:
        if command == UNLUCKY and self.times:
            self.times -= 1
            raise self.error
        return super().decide(state, command)


class Clumsy(FakeWorld):
    """Fails to begin an effect, or to note a commit, as often as the test says."""

    def __init__(self, *, perform: int = 0, commit: int = 0) -> None:
        super().__init__()
        self.performs, self.commits = perform, commit

    def perform(self, effect: str, cause: Position) -> None:
        if self.performs:
            self.performs -= 1
            raise SystemExit("dropped it")
        super().perform(effect, cause)

    def committed(self, events: Sequence[Event], version: Version) -> None:
        if self.commits and events and self.begun_at == 0 and self.resets:
            self.commits -= 1
            raise OSError("no pencil")
        super().committed(events, version)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_command_that_fails_is_tried_again_by_a_rebuilt_actor_and_not_lost(
    error: BaseException, logs: Logs
) -> None:
    async def body(house: House) -> None:
        house.kind.entity = Moody(1, error)
        await house.ask(ONE, Do(Wanted(effect="a")))
        here = house.at(ONE)
        broken = here.actor
        broken.tell(UNLUCKY)
        broken.tell(Do(Added(by=2)))
        waiting = house.all.outcome(ONE)
        await asyncio.sleep(1)

        assert here.actor is not broken
        assert house.at(ONE) is here
        assert house.kind.running == [frozenset()], "by the same command as after a crash"
        assert events(house.log, ONE)[1:] == [Added(by=1), Added(by=13), Added(by=2)]
        assert not waiting.done(), "who waits waits on"
        assert [entry["failures"] for entry in logs if entry["event"] == "entity_broken"] == [1]

    play(body)


def test_the_others_go_on_meanwhile() -> None:
    async def body(house: House) -> None:
        house.kind.entity = Moody(99)
        house.at(ONE).actor.tell(UNLUCKY)
        for number in range(10):
            assert len((await house.ask(TWO, Do(Added(by=number)))).history) == number + 1
            await asyncio.sleep(1)

    play(body)


def test_each_rebuild_waits_longer_and_the_fifth_failure_at_a_point_is_the_last() -> None:
    async def body(house: House) -> None:
        entity = house.kind.entity = Moody(99)
        await house.ask(ONE, Do(Added(by=1)))
        house.at(ONE).actor.tell(UNLUCKY)
        waiting = house.all.outcome(ONE)
        at: list[float] = []
        left = 99
        while not waiting.done():
            await asyncio.sleep(0.05)
            if entity.times != left:
                left = entity.times
                at.append(clock().seconds)
        waits = [later - sooner for sooner, later in pairwise(at)]
        assert len(at) == 5
        assert waits == sorted(waits)
        assert waits[-1] > 10 * waits[0]

        _, status = await waiting
        row = house.standing(ONE)
        assert (status, row.status) == ("quarantined", "quarantined")
        assert row.reason == ("failed 5 times without getting any further: ValueError: not today")
        assert house.log.open_entry(ONE) == row

    play(body)


def test_failures_are_counted_anew_once_the_entity_gets_further() -> None:
    async def body(house: House) -> None:
        house.kind.getting_further = lambda state: sum(by == 13 for by in state.history)
        entity = house.kind.entity = Moody(0)
        await house.ask(ONE, Do(Added(by=1)))
        for _ in range(4):
            entity.times = 4
            house.at(ONE).actor.tell(UNLUCKY)
            await asyncio.sleep(60)
        assert house.at(ONE).actor.state.history.count(13) == 4

    play(body)


def test_who_asks_while_the_actor_is_broken_is_answered_by_the_next_one() -> None:
    async def body(house: House) -> None:
        house.kind.entity = Moody(1)
        house.at(ONE).actor.tell(UNLUCKY)
        await asyncio.sleep(0)
        asked = house.at(ONE).actor.ask(Look())
        sent = house.send(ONE, Do(Added(by=2)))
        assert house.all.live()[0].busy
        assert (await asked).history == (13,)
        assert (await sent).history == (13, 2)

    play(body)


def test_who_asks_while_the_actor_is_broken_for_good_is_told_so() -> None:
    async def body(house: House) -> None:
        house.kind.entity = Moody(99)
        await house.ask(ONE, Do(Added(by=1)))
        house.at(ONE).actor.tell(UNLUCKY)
        await asyncio.sleep(0)
        asked = house.at(ONE).actor.ask(Look())
        with pytest.raises(MailboxClosed):
            await asked

    play(body)


def test_closing_while_an_actor_is_broken_tells_who_waits() -> None:
    async def body(house: House) -> None:
        entity = house.kind.entity = Moody(99)
        house.at(ONE).actor.tell(UNLUCKY)
        await asyncio.sleep(0)
        waiting = house.all.outcome(ONE)
        asked = house.at(ONE).actor.ask(Look())
        house.all.close(LogClosed("bye"))
        with pytest.raises(LogClosed):
            await waiting
        with pytest.raises(MailboxClosed):
            await asked
        await asyncio.sleep(60)
        assert entity.times == 98, "nothing is rebuilt any more"

    play(body)


@pytest.mark.parametrize("world", [Clumsy(perform=1), Clumsy(commit=1)])
def test_what_fails_after_a_commit_is_answered_and_rebuilt(world: Clumsy) -> None:
    async def body(house: House) -> None:
        house.kind.make_world = lambda: world
        house.kind.recovery = Do(Performed(effect="a"), Wanted(effect="b"))
        assert (await house.ask(ONE, Do(Wanted(effect="a")))).owed == ("a",)
        await asyncio.sleep(1)
        assert house.at(ONE).actor.state.owed == ("b",)
        assert world.done[-1] == "+b"

    play(body)


def test_what_never_can_be_begun_is_quarantined_and_the_commit_stands() -> None:
    async def body(house: House) -> None:
        house.kind.make_world = lambda: Clumsy(perform=99)
        house.kind.again = lambda state: Do(Wanted(effect=f"a{len(state.owed)}"))
        await house.ask(ONE, Do(Wanted(effect="a0")))
        _, status = await house.all.outcome(ONE)
        assert status == "quarantined"
        assert "SystemExit: dropped it" in house.standing(ONE).reason

    play(body)


def test_a_recovery_that_fails_is_tried_again_too() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True)

    async def body(house: House) -> None:
        house.kind.entity = Moody(3)
        house.kind.recovery = UNLUCKY
        asked = house.at(ONE).actor.ask(Look())
        assert (await asked).history == (13,)

    play(body, log)


def test_effects_run_on_while_the_actor_is_rebuilt_and_their_outcomes_are_recorded_once() -> None:
    async def body(house: House) -> None:
        house.kind.entity = Moody(1)
        house.kind.recovery = Look()
        await house.ask(ONE, Do(Wanted(effect="a")))

        async def effect() -> None:
            await asyncio.sleep(0.05)
            house.effects.conclude(ONE, "a", Do(Performed(effect="a")))

        house.effects.start(ONE, "a", effect, failed=lambda _: None)
        house.at(ONE).actor.tell(UNLUCKY)
        await asyncio.sleep(5)
        assert house.kind.running == [frozenset({"a"})]
        assert house.at(ONE).actor.state.owed == ()

    play(body)


def test_a_rebuilt_actor_reads_the_stream_only_once_the_old_ones_commits_are_settled() -> None:
    async def body() -> None:
        house = House(LaggingLog(memory(), 30.0))
        house.kind.entity = Moody(1)
        first = house.at(ONE).actor.ask(Do(Added(by=1)))
        house.at(ONE).actor.tell(UNLUCKY)
        assert (await first).history == (1,)
        await asyncio.sleep(100)
        assert house.at(ONE).actor.state.history == (1, 13)

    run_virtual(body())


def test_what_was_refused_while_the_actor_was_broken_is_decided_by_the_next_one() -> None:
    async def body() -> None:
        log = ScriptedLog(memory())
        house = House(log)
        house.kind.entity = Moody(1)
        here = house.at(ONE)
        log.intrude(ONE, Added(by=7), Added(by=8))
        refused = here.actor.ask(Do(Added(by=1)))
        again = here.actor.ask(Do(Added(by=2)))
        here.actor.tell(UNLUCKY)
        await asyncio.sleep(0)
        log.settle_all()
        with pytest.raises(WrongExpectedVersion):
            await refused
        await asyncio.sleep(1)
        log.settle_all()
        assert (await again).history == (7, 8, 2)
        assert here.actor.state.history == (7, 8, 2, 13)
        assert here.actor.state.history[0] == 7

    run_virtual(body())


def test_one_that_is_given_up_is_brought_in_as_it_is_only_once_its_commits_are_settled() -> None:
    async def body() -> None:
        log = LaggingLog(memory(), 30.0)
        written(log.inner, ONE, Added(by=1), status="quarantined", reason="no luck")
        house = House(log)
        house.kind.entity = Moody(1)

        async def do(event: Event) -> Tally:
            while True:
                try:
                    return await house.all.at_as_it_is(ONE).actor.ask(Do(event))
                except MailboxClosed:
                    continue  # As those do who are asked from outside.

        here = house.all.at_as_it_is(ONE)
        first = here.actor.ask(Do(Added(by=2)))
        here.actor.tell(UNLUCKY)
        await asyncio.sleep(0.001)  # It is broken, and its commit is on its way.
        others = await asyncio.gather(do(Added(by=3)), do(Added(by=4)))
        assert [state.history for state in (await first, *others)] == [
            (1, 2),
            (1, 2, 3),
            (1, 2, 3, 4),
        ]
        assert events(log, ONE) == [Added(by=by) for by in (1, 2, 3, 4)]
        assert house.standing(ONE).reason == "no luck"

    run_virtual(body())


def test_one_that_is_released_while_it_is_given_up_stands_still_until_that_is_done() -> None:
    async def body() -> None:
        log = ScriptedLog(memory())
        written(log.inner, ONE, Added(by=1), status="quarantined", reason="no luck")
        house = House(log)
        house.kind.entity = Moody(1)
        here = house.all.at_as_it_is(ONE)
        here.actor.tell(Do(Added(by=2)))
        here.actor.tell(UNLUCKY)
        await asyncio.sleep(0.001)  # It is broken, and its commit is on its way.
        released = house.all.release(ONE)
        assert isinstance(released, LoopFuture)
        log.settle()
        with pytest.raises(MailboxClosed):
            await released
        log.settle_all()
        row = log.open_entry(ONE)
        assert row is not None
        assert (row.status, row.reason) == ("quarantined", "no luck")

        released = house.all.release(ONE)
        await asyncio.sleep(0.001)
        log.settle_all()
        assert isinstance(released, LoopFuture)
        assert (await released).history == (1, 2, 1)

    run_virtual(body())


def test_one_whose_row_cannot_be_read_when_it_is_given_up_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(house: House) -> None:
        def fail(_: object) -> None:
            raise CorruptLog("a row", "a bit flipped")

        entity = house.kind.entity = Moody(99)
        waiting = house.all.outcome(ONE)
        house.at(ONE).actor.tell(UNLUCKY)
        await asyncio.sleep(8)
        with monkeypatch.context() as damage:
            damage.setattr(house.log, "open_entry", fail)
            await asyncio.sleep(100)
        assert house.all.resident(ONE) is None
        with pytest.raises(CorruptLog):
            await waiting
        entity.times = 0
        assert (await house.ask(ONE, Do(Added(by=1)))).history == (1,)

    play(body)


# -- released --


def test_a_released_entity_is_recovered_and_goes_on() -> None:
    async def body(house: House) -> None:
        entity = house.kind.entity = Moody(99)
        await house.ask(ONE, Do(Wanted(effect="a")))
        assert house.all.release(ONE) is None, "it is not quarantined"
        house.at(ONE).actor.tell(UNLUCKY)
        await house.all.outcome(ONE)
        assert house.standing(ONE).status == "quarantined"

        entity.times = 0
        released = house.all.release(ONE)
        assert isinstance(released, LoopFuture)
        assert (await released).history[-1] == 1
        assert house.kind.released == [False] * 4 + [True]
        assert (await house.ask(ONE, Look())).history[-1] == 1
        row = house.log.open_entry(ONE)
        assert row is not None
        assert row.status == "open"

    play(body)


def test_what_cannot_be_read_is_quarantined_again_when_it_is_released() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), Cursed(), owes=True)

    async def body(house: House) -> None:
        house.all.bring_in_all(log.open_entries())
        still = house.all.release(ONE)
        assert isinstance(still, OpenEntry)
        assert (still.status, still.reason) == ("quarantined", "cursed")
        assert house.standing(ONE) == still

    play(body, log)


def test_a_release_by_command_is_answered_in_the_commit_that_it_causes() -> None:
    log = memory()
    written(log, ONE, Wanted(effect="a"), owes=True, status="quarantined")

    async def body(house: House) -> None:
        released = house.all.release(ONE, command_id="c1")
        assert isinstance(released, LoopFuture)
        await released
        (recovered,) = log.read(ONE)[1:]
        assert (recovered.event, recovered.cause) == (Added(by=1), "c1")

    play(body, log)


def test_a_released_entity_that_has_nothing_to_recover_from_stands_still_no_more() -> None:
    log = memory()
    written(log, ONE, Slept(until_ns=START_NS + 60 * SECOND), owes=False, status="quarantined")

    async def body(house: House) -> None:
        house.kind.recovery = Look()
        released = house.all.release(ONE)
        assert isinstance(released, LoopFuture)
        await released
        row = log.open_entry(ONE)
        assert row is not None
        assert (row.status, row.wake_at_ns) == ("open", START_NS + 60 * SECOND)
        await asyncio.sleep(61)
        assert events(log, ONE)[-1] == Added(by=100)

    play(body, log)


# -- how much may wait --


def test_a_full_mailbox_refuses_callers_and_takes_what_is_ours() -> None:
    async def body(house: House) -> None:
        here = house.at(ONE)
        asked = [here.actor.ask(Do(Added(by=number))) for number in range(3)]
        with pytest.raises(MailboxFull) as refused:
            here.actor.ask(Look())
        assert refused.value.limit == 3
        here.actor.tell(Do(Added(by=8)))
        ours = house.send(ONE, Do(Added(by=9)))
        assert (await ours).history == (0, 1, 2, 8, 9)
        assert all([await reply for reply in asked])
        assert (await house.ask(ONE, Look())).history[-1] == 9, "there is room again"

    play(body, mailbox_limit=3)


def test_what_is_decided_and_not_yet_durable_counts_as_waiting() -> None:
    async def body() -> None:
        house = House(LaggingLog(memory(), 5.0), mailbox_limit=2)
        here = house.at(ONE)
        asked = [here.actor.ask(Do(Added(by=number))) for number in range(2)]
        await asyncio.sleep(1)
        assert here.actor.mailbox.empty()
        with pytest.raises(MailboxFull):
            here.actor.ask(Look())
        for reply in asked:
            await reply
        await house.ask(ONE, Look())

    run_virtual(body())


def test_messages_of_ours_fill_a_mailbox_too() -> None:
    async def body(house: House) -> None:
        here = house.at(ONE)
        for number in range(5):
            here.actor.tell(Do(Added(by=number)))
        with pytest.raises(MailboxFull):
            here.actor.ask(Look())
        await asyncio.sleep(0)
        assert (await here.actor.ask(Look())).history == (0, 1, 2, 3, 4)

    play(body, mailbox_limit=5)


def test_one_full_mailbox_is_no_others() -> None:
    async def body(house: House) -> None:
        house.at(ONE).actor.ask(Do(Added(by=1)))
        with pytest.raises(MailboxFull):
            house.at(ONE).actor.ask(Look())
        await house.ask(TWO, Do(Added(by=1)))

    play(body, mailbox_limit=1)


# -- runs --


@tool(read_only=True)
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


worker = Agent(
    "worker",
    model=ScriptedModel([Turn(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Turn("done")]),
    tools=[add],
)


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What deciding about a tool's result raises, in turn."""
    errors: list[BaseException] = []

    def decide_badly(state: RunState, command: RunCommand) -> tuple[RunEvent, ...]:
        if isinstance(command, CompleteToolCall) and errors:
            raise errors.pop()
        return decide(state, command)

    monkeypatch.setattr(entity.RUN, "decide", decide_badly)
    return errors


def test_a_run_whose_actor_failed_calls_no_tool_twice(fails: list[BaseException]) -> None:
    fails += ERRORS[:4]

    async def body(rt: Runtime) -> RunResult:
        return await rt.run("worker", "add", run_id="one")

    machine = Machine()
    assert machine.run(body, worker).output == "done"
    assert not fails
    happened = [type(event).__name__ for event in machine.events("one")]
    assert happened.count("ToolCallStarted") == 1
    assert happened.count("ToolCallCompleted") == 1


def test_a_quarantined_run_is_released_in_another_process(fails: list[BaseException]) -> None:
    fails += [ValueError("a bug")] * 5
    machine = Machine()

    async def fail(rt: Runtime) -> None:
        with pytest.raises(RunNotFound):
            await rt.release("one")
        run = await rt.start("worker", "add", run_id="one")
        with pytest.raises(NotQuarantined) as refused:
            await rt.release("one")
        assert refused.value.status == "running"
        result = await run.result()
        assert result.status == "quarantined"
        assert result.error is not None
        assert "ValueError: a bug" in result.error.message
        assert (await rt.runs.get("one")).status == "quarantined"

    async def release(rt: Runtime) -> None:
        await asyncio.sleep(1)
        assert (await rt.result("one")).status == "quarantined"
        assert await rt.release("one")
        assert (await rt.result("one")).output == "done"
        with pytest.raises(NotQuarantined, match="it is completed"):
            await rt.release("one")

    machine.run(fail, worker)
    machine.run(release, worker)


def test_a_run_that_was_taken_up_too_often_gets_one_more_chance_when_it_is_released() -> None:
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        await rt.start("hung", "x", run_id="one")
        await asyncio.sleep(1)

    never = Agent("hung", model=ScriptedModel([Turn("late", delay=1e6)]))
    for _ in range(2):
        machine.crash(begin, never, max_recoveries=1)

    async def release(rt: Runtime) -> None:
        assert (await rt.result("one")).status == "quarantined"
        await rt.release("one")
        assert (await rt.result("one")).output == "done"

    machine.run(release, Agent("hung", model=ScriptedModel([Turn("done")])), max_recoveries=1)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, None])
def test_a_mailbox_limit_that_cannot_hold_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidDefinition, match="mailbox_limit"):
        Runtime(None, mailbox_limit=limit)


def test_more_callers_than_a_mailbox_holds_are_refused_and_the_others_are_answered() -> None:
    async def body() -> None:
        async with Runtime(None, agents=[worker], clock=clock(), mailbox_limit=3) as rt:
            calls = (rt.start("worker", "x", run_id="one") for _ in range(9))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            refused = [it for it in answers if isinstance(it, MailboxFull)]
            assert len(refused) == 6
            assert (await rt.result("one")).output == "done"

    run_virtual(body())


def test_what_lies_in_the_inbox_waits_there_until_there_is_room(tmp_path: Path) -> None:
    """Who has put it there may be gone, and was told that it will be carried out."""
    a = agent([publish], *[ToolCall("publish", {"text": str(number)}) for number in range(5)])

    async def ask() -> None:
        async with Runtime(tmp_path, agents=[a]) as rt:
            assert (await begin(rt)).status == "suspended"

    def agree() -> None:
        visitor = LmdbVisitor(tmp_path)
        for number in range(5):
            request = DecisionRequest(call_id=CallId(f"0.{number}"), granted=True)
            visitor.submit(f"command-{number}", run_stream("r1"), encode_request(request))
        visitor.close()

    async def carry_out() -> list[str]:
        async with Runtime(tmp_path, agents=[a], mailbox_limit=1) as rt:
            events = [one.event async for one in rt.observe("r1")]
        return [event.call_id for event in events if isinstance(event, ApprovalGranted)]

    asyncio.run(ask())
    agree()
    assert asyncio.run(carry_out()) == ["0.0", "0.1", "0.2", "0.3", "0.4"]


def test_an_outcome_recorded_by_an_actor_that_broke_leaves_no_effect_behind() -> None:
    async def body() -> None:
        house = House(LaggingLog(memory(), 1.0))
        house.kind.entity = Moody(1)
        house.kind.recovery = Look()
        await house.ask(ONE, Do(Wanted(effect="a")))

        async def effect() -> None:
            await asyncio.get_running_loop().create_future()

        house.effects.start(ONE, "a", effect, failed=lambda _: None)
        house.at(ONE).actor.tell(Do(Performed(effect="a")))
        house.at(ONE).actor.tell(UNLUCKY)
        await asyncio.sleep(30)
        assert house.kind.worlds[0].done == ["+a", "-a"]

    run_virtual(body())
