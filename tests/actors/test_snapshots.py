"""Saved states: they change nothing but how much of a stream is read."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlive.actors import (
    Agent,
    BackgroundTasks,
    EchoModel,
    ToolCall,
    ToolContext,
    Turn,
    snapshots,
    tool,
)
from outlive.actors.abandoned import AbandonedThreads
from outlive.actors.effects import EffectTable
from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.mail import Post
from outlive.actors.run.world import RunWorld
from outlive.actors.runtime import Runtime
from outlive.actors.scripted import ScriptedModel
from outlive.actors.snapshots import StateCodec, UnfitState, codec_of, state_now
from outlive.actors.surroundings import Surroundings
from outlive.actors.task.desk import Desk
from outlive.actors.thread.check import check_thread_request
from outlive.actors.thread.submitted import RenameThreadRequest, SignalRequest
from outlive.actors.workers.processes import ProcessWorkers
from outlive.events import (
    CallId,
    CorruptLog,
    Event,
    InvalidDefinition,
    MemoryLog,
    ModelCallCompleted,
    ModelCallStarted,
    OpenEntry,
    OtherResource,
    Recorded,
    RequestedToolCall,
    RunStarted,
    Signal,
    Snapshot,
    StreamId,
    ToolCallCompleted,
    UserMessage,
    Version,
    run_stream,
)
from outlive.projections import messages_of
from tests.actors.conftest import Logs
from tests.support import FailingLog, Machine, ScriptedLog, clock, open_runtime, run_virtual
from tests.support.tally import (
    TALLY_CODEC,
    Added,
    Command,
    Do,
    Ended,
    FakeWorld,
    Performed,
    Slept,
    Tally,
    TallyEntity,
    Wanted,
)

STREAM: Final = StreamId("tally-1")
STORED: Final = codec_of(TallyEntity())


class Counting(ScriptedLog):
    """A log that counts the events that were read of it, and may have lost its snapshots."""

    def __init__(self, inner: MemoryLog, *, lost: bool = False) -> None:
        super().__init__(inner)
        self.events_read = 0
        self.lost = lost

    def read(
        self, stream: StreamId, *, after: Version = Version(0), limit: int = 1_000
    ) -> list[Recorded]:
        found = super().read(stream, after=after, limit=limit)
        self.events_read += len(found)
        return found

    def snapshot(self, stream: StreamId) -> Snapshot | None:
        return None if self.lost else super().snapshot(stream)


def loaded(
    log: ScriptedLog, *, every: int = 3, entity: TallyEntity | None = None
) -> EventSourcedActor[Tally, Command, str]:
    actor = EventSourcedActor[Tally, Command, str](
        STREAM,
        entity or TallyEntity(),
        log,
        FakeWorld(),
        wake_at=lambda _, __: None,
        idle=lambda _: None,
        broken=lambda _, error: None,
        save_every=every,
    )
    actor.load()
    actor.run()
    return actor


async def do(actor: EventSourcedActor[Tally, Command, str], *events: Event) -> None:
    actor.tell(Do(*events))
    for _ in range(3):
        await asyncio.sleep(0)


def memory() -> MemoryLog:
    return MemoryLog(codec=TALLY_CODEC)


def snapshot(log: ScriptedLog, data: bytes, version: int) -> None:
    """Put a snapshot of an open stream into a log, of a version that it has."""
    kept = log.inner.store.snapshots
    kept[STREAM] = Snapshot(Version(version), log.inner.head, data)
    open_row = OpenEntry(kind="tally", status="open", owes=True)
    log.inner.append(
        STREAM, (), expected_version=log.inner.version(STREAM), entry=open_row
    ).result()


EVENTS: Final = st.one_of(
    st.builds(Added, by=st.integers(-3, 3)),
    st.builds(Wanted, effect=st.sampled_from("ab")),
    st.builds(Performed, effect=st.sampled_from("ab")),
    st.builds(Slept, until_ns=st.none() | st.integers(0, 9)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(EVENTS, min_size=1, max_size=3), max_size=8), st.integers(1, 5))
def test_at_every_prefix_a_saved_state_and_the_tail_are_the_fold_of_the_log(
    commits: list[list[Event]], every: int
) -> None:
    async def play() -> None:
        log = Counting(memory())
        live = loaded(log, every=every)
        for events in commits:
            await do(live, *events)
            log.settle()
            with_saved, without = loaded(log), loaded(Counting(log.inner, lost=True))
            assert (with_saved.state, with_saved.version) == (live.state, live.version)
            assert (without.state, without.version) == (live.state, live.version)
            for reader in (log, Counting(log.inner, lost=True)):
                assert state_now(reader, STREAM, TallyEntity()) == live.state

    run_virtual(play())


def test_a_state_is_saved_whenever_its_stream_has_grown_enough() -> None:
    async def play() -> None:
        log = Counting(memory())
        actor = loaded(log, every=3)
        saved: list[bool] = []
        for count in (1, 1, 1, 1, 2, 5, 1):
            await do(actor, *[Added(by=1)] * count)
            saved.append(log.waiting[-1].snapshot is not None)
        assert saved == [False, False, True, False, True, True, False]
        log.settle_all()

        # when: it is loaded, then the count begins at what was saved last
        log.events_read = 0
        actor = loaded(log, every=3)
        assert log.events_read == 1
        await do(actor, Added(by=1))
        await do(actor, Added(by=1))
        assert [commit.snapshot is not None for commit in log.waiting] == [False, True]

    run_virtual(play())


def test_an_entity_that_ends_is_not_saved() -> None:
    async def play() -> None:
        log = Counting(memory())
        actor = loaded(log, every=1)
        await do(actor, Added(by=1))
        await do(actor, Ended())
        assert [commit.snapshot is not None for commit in log.waiting] == [True, False]
        log.settle_all()
        assert log.snapshot(STREAM) is None

    run_virtual(play())


class Lasting(TallyEntity):
    """One that may go on when nothing is going on any more."""

    @property
    def lasts(self) -> bool:
        return True


def test_one_that_may_go_on_keeps_its_saved_state_when_nothing_goes_on() -> None:
    async def play() -> None:
        log = Counting(memory())
        entity = Lasting()
        actor = loaded(log, every=2, entity=entity)
        for event in (Added(by=1), Added(by=2), Ended(), Added(by=3), Added(by=4)):
            await do(actor, event)
        log.settle_all()
        assert log.open_entry(STREAM) is None
        log.events_read = 0
        assert loaded(log, every=2, entity=entity).state == actor.state
        assert log.events_read == 1

    run_virtual(play())


def test_a_refused_write_takes_its_saved_state_with_it() -> None:
    async def play() -> None:
        log = Counting(memory())
        actor = loaded(log, every=2)
        await do(actor, Added(by=1), Added(by=2))
        log.intrude(STREAM, Added(by=9))
        log.settle()
        assert log.snapshot(STREAM) is None
        log.settle_all()
        assert actor.state.history == (9, 1, 2)
        assert loaded(log).state == actor.state
        found = log.snapshot(STREAM)
        assert found is not None
        assert STORED.decode(found.data) == actor.state

    run_virtual(play())


class LaterEdition(TallyEntity):
    @property
    def edition(self) -> int:
        return 2


WRONG: Final = STORED.encode(Tally(history=(666,)))


@pytest.mark.parametrize(
    ("data", "entity"),
    [
        (WRONG, LaterEdition()),
        (b"", TallyEntity()),
        (WRONG[:15], TallyEntity()),
        (bytes(16) + WRONG[16:], TallyEntity()),
        (WRONG[:16], TallyEntity()),
        (WRONG[:-1], TallyEntity()),
        (WRONG[:16] + msgspec.msgpack.encode({"history": "x"}), TallyEntity()),
        (WRONG[:16] + b"\x91" * 9_999, TallyEntity()),
    ],
)
def test_a_saved_state_that_does_not_fit_is_ignored_and_logged(
    data: bytes, entity: TallyEntity, logs: Logs
) -> None:
    async def play() -> None:
        log = Counting(memory())
        log.intrude(STREAM, Added(by=1), Added(by=2))
        snapshot(log, data, 2)
        assert loaded(log, entity=entity).state.history == (1, 2)
        assert [entry["event"] for entry in logs] == ["snapshot_ignored"]
        assert state_now(log, STREAM, entity).history == (1, 2)

    run_virtual(play())


def test_a_saved_state_that_is_ahead_of_its_stream_is_ignored() -> None:
    async def play() -> None:
        log = Counting(memory())
        log.intrude(STREAM, Added(by=1))
        snapshot(log, WRONG, 2)
        assert loaded(log).state.history == (1,)

    run_virtual(play())


def test_a_change_of_the_schema_is_another_edition() -> None:
    class Before(msgspec.Struct):
        count: int = 0

    class After(msgspec.Struct):
        count: int = 0
        more: str = ""

    data = StateCodec(Before, 1).encode(Before(count=3))
    assert StateCodec(Before, 1).decode(data) == Before(count=3)
    with pytest.raises(UnfitState, match="another edition"):
        StateCodec(After, 1).decode(data)


# -- runs --

STEPS: Final = 2_500


def hanging(stuck: bool) -> Agent:
    """An agent whose second tool call comes after thousands of steps of the first."""

    @tool(idempotent=True)
    async def walk(ctx: ToolContext) -> int:
        for number in range(STEPS):
            await ctx.step(str(number), int)
        return STEPS

    @tool(in_doubt="fail")
    async def wait(n: int) -> int:
        if stuck:
            await asyncio.get_running_loop().create_future()
        return n

    turns = [Turn(tool_calls=[ToolCall("walk")]), Turn(tool_calls=[ToolCall("wait", {"n": 7})])]
    return Agent("walker", model=ScriptedModel([*turns, Turn("home")]), tools=[walk, wait])


def interrupted() -> Machine:
    """A machine whose process died in the second tool call."""
    machine = Machine()

    async def body(rt: Runtime) -> None:
        await rt.start("walker", "go", run_id="r1")
        await asyncio.sleep(1)

    machine.crash(body, hanging(True))
    assert machine.kinds("r1")[-1] == "tool-call-started"
    return machine


def test_a_long_run_is_loaded_by_reading_its_tail_alone() -> None:
    machine = interrupted()
    log = CountingReads(machine.log)
    length = log.version(run_stream("r1"))
    assert length > STEPS

    async def play() -> tuple[int, str]:
        async with open_runtime(hanging(False), log=log) as rt:
            at_load = log.events_read
            assert 0 < at_load <= snapshots.EVERY_EVENTS
            result = await rt.result("r1")
            # then: what came before is read once, for the model, with the recovery's 3 events
            assert log.events_read == at_load + length + 3
            return result.steps, result.output

    assert run_virtual(play(), clock=machine.clock) == (3, "home")


def test_of_a_long_thread_that_was_idle_the_tail_alone_is_read() -> None:
    async def play() -> list[int]:
        log = CountingReads(MemoryLog(clock=clock()))
        read: list[int] = []
        async with open_runtime(Agent("a", model=EchoModel()), log=log) as rt:
            await rt.threads.create(thread_id="t", resource_id="u", agent="a")
            for size in (10, 1_990, 1_000):
                for _ in range(size // 10):
                    said = [UserMessage(text="x")] * 10
                    await rt.threads.append("t", said)
                await asyncio.sleep(1)  # It has left memory.
                log.events_read = 0
                sent = await rt.signal("hear", thread_id="t")
                await rt.result(sent.run_id or "")
                read.append(log.events_read)
                log.events_read = 0  # As by a process that does not have it in memory.
                check_thread_request(log, "t", RenameThreadRequest(title="long"))
                read.append(log.events_read)
                with pytest.raises(OtherResource):
                    check_thread_request(log, "t", signalled("v"))
        return read

    short, _, *long = run_virtual(play())
    assert max(long) <= short + snapshots.EVERY_EVENTS + 64


def signalled(resource_id: str) -> SignalRequest:
    return SignalRequest(
        signal_id="s", signal=Signal(text="x"), run_id="w", resource_id=resource_id
    )


class CountingReads(FailingLog):
    """A log that counts what is read of it; `bad_before` is the version from which it is whole."""

    def __init__(self, inner: MemoryLog, *, bad_before: int = 0, lost: bool = False) -> None:
        super().__init__(inner, 10_000)
        self.events_read = 0
        self._bad_before = bad_before
        self._lost = lost

    def read(
        self, stream: StreamId, *, after: Version = Version(0), limit: int = 1_000
    ) -> list[Recorded]:
        if after < self._bad_before:
            raise CorruptLog("record 1", "it was not what was written")
        found = super().read(stream, after=after, limit=limit)
        self.events_read += len(found)
        return found

    def snapshot(self, stream: StreamId) -> Snapshot | None:
        return None if self._lost else super().snapshot(stream)


@pytest.mark.parametrize("needed_at", range(1, 6))
@pytest.mark.parametrize("begun_at", range(6))
def test_what_was_not_shown_is_read_when_needed_and_nothing_is_noted_twice(
    begun_at: int, needed_at: int
) -> None:
    # given: five events are durable, and the world was shown those beyond `begun_at`, to some of
    # which it has not come yet
    call = RequestedToolCall(call_id=CallId("0.0"), name="look")
    events: list[Event] = [
        RunStarted(agent_id="a", input="hi"),
        ModelCallStarted(model="m"),
        ModelCallCompleted(text="well", tool_calls=(call,)),
        ToolCallCompleted(call_id=call.call_id, result="seen"),
        ModelCallCompleted(step=1, text="done"),
    ]
    log = MemoryLog()
    log.append(run_stream("r1"), events, expected_version=Version(0))

    async def play() -> None:
        post = Post()
        surroundings = Surroundings(
            post=post,
            log=log,
            tools={},
            agents={},
            plans={},
            desk=Desk(BackgroundTasks(), {}, log=log, post=post, clock=clock()),
            effects=EffectTable(asyncio.get_running_loop()),
            clock=clock(),
            executor=ThreadPoolExecutor(1),
            abandoned=AbandonedThreads(),
            workers=ProcessWorkers(None),
            deps=None,
            functions={},
        )
        world = RunWorld(run_stream("r1"), surroundings)
        world.reset(Version(begun_at))
        for version in range(begun_at + 1, 6):
            if version == needed_at:
                assert world.transcript.all() == messages_of(events[: version - 1])
            world.committed(events[version - 1 : version], Version(version))
        assert world.transcript.all() == messages_of(events)

    run_virtual(play())


@pytest.mark.parametrize("lost", [False, True], ids=["with", "without"])
def test_a_run_comes_to_the_same_with_and_without_its_saved_state(lost: bool) -> None:
    machine = interrupted()
    log = CountingReads(machine.log, lost=lost)

    async def play() -> Any:
        async with open_runtime(hanging(False), log=log) as rt:
            result = await rt.result("r1")
            return result.status, result.output, [type(one) for one in result.messages]

    status, output, messages = run_virtual(play(), clock=machine.clock)
    assert (status, output, len(messages)) == ("completed", "home", 6)


def test_a_run_whose_beginning_is_damaged_is_quarantined_when_it_needs_it() -> None:
    machine = interrupted()
    log = CountingReads(machine.log, bad_before=1)

    async def play() -> tuple[str, str]:
        async with open_runtime(hanging(False), log=log) as rt:
            result = await rt.result("r1")
            assert result.error is not None
            return result.status, result.error.message

    status, reason = run_virtual(play(), clock=machine.clock)
    assert status == "quarantined"
    assert "not what was written" in reason


def test_a_runtime_is_told_how_often_to_save() -> None:
    log = MemoryLog()

    async def play(save_every: int) -> Snapshot | None:
        async with Runtime(None, agents=[hanging(True)], log=log, save_every=save_every) as rt:
            run = await rt.start("walker", "go")
            return log.snapshot(run_stream(run.id))

    assert asyncio.run(play(3)) is None
    saved = asyncio.run(play(2))
    assert saved is not None
    assert saved.version == 2


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True])
def test_saving_after_no_number_of_events_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidDefinition, match="save_every is 1 or more events"):
        Runtime(None, save_every=wrong)


def test_a_process_may_die_after_every_commit_with_states_saved_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "EVERY_EVENTS", 1)
    echo = Agent("echo", model=EchoModel())

    async def body(rt: Runtime) -> str:
        return (await rt.run("echo", "hi", run_id="r1")).output

    for commits in range(6):
        machine = Machine()
        machine.crash(body, echo, commits=commits)
        assert machine.run(body, echo) == "hi"
