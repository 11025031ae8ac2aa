"""The life of a run, as its caller sees it: started, observed, at rest."""

from __future__ import annotations

import asyncio
import gc
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    Finish,
    ModelPart,
    ModelRequest,
    RandomIds,
    Runtime,
    ScriptedModel,
    TextDelta,
    ToolCall,
    Turn,
    tool,
)
from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.owner_side import OwnerSide
from outlive.actors.seat import Role
from outlive.events import (
    AgentNotFound,
    CorruptLog,
    Event,
    InvalidDefinition,
    InvalidId,
    InvalidOffset,
    LmdbLog,
    LogClosed,
    MemoryLog,
    NotFound,
    OutliveError,
    Recorded,
    RunExists,
    RunNotFound,
    RunStarted,
    RunUnsuccessful,
    UnserialisableValue,
    Usage,
    Value,
    Version,
    run_stream,
)
from outlive.projections import AssistantMessage, TextReset, ToolMessage, UserMessage
from tests.support import (
    CountedIds,
    Gate,
    Machine,
    clock,
    events_of,
    open_runtime,
    run_virtual,
    tag,
    tags,
)


class Silent:
    """A model that never answers."""

    name = "silent"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        await asyncio.get_running_loop().create_future()
        yield Finish()


@tool(read_only=True)
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(read_only=True)
def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


SCRIPT = [
    Turn(
        text="Let me see. ",
        tool_calls=[ToolCall("add", {"a": 2, "b": 3}), ToolCall("shout", {"text": "hey"})],
        usage=Usage(input_tokens=10, output_tokens=2),
    ),
    Turn(text="It is 5 and HEY.", usage=Usage(input_tokens=20, output_tokens=4)),
]

echo = Agent("echo", model=EchoModel())
silent = Agent("silent", model=Silent())
worker = Agent("worker", model=ScriptedModel(SCRIPT), tools=[add, shout])
slow = Agent("slow", model=ScriptedModel([Turn(text="one two three", delay=10)]))


async def collect(records: AsyncIterator[Recorded]) -> list[Recorded]:
    return [recorded async for recorded in records]


# -- the main path --


def test_a_run_goes_from_its_input_over_its_tools_to_its_output() -> None:
    machine = Machine()
    result = machine.run(lambda rt: rt.run("worker", "add, please", run_id="r1"), worker)

    assert (result.run_id, result.status, result.finish_reason) == ("r1", "completed", "stop")
    assert result.output == result.unwrap() == "It is 5 and HEY."
    assert result.usage == Usage(input_tokens=30, output_tokens=6)
    assert (result.steps, result.error) == (2, None)
    assert [type(message) for message in result.messages] == [
        UserMessage,
        AssistantMessage,
        ToolMessage,
        ToolMessage,
        AssistantMessage,
    ]
    assert result.messages[2] == ToolMessage(call_id=worker_call(0), name="add", result=5)
    assert result.messages[3] == ToolMessage(call_id=worker_call(1), name="shout", result="HEY")


def worker_call(index: int) -> Any:
    return f"0.{index}"


def test_the_result_of_one_step_and_the_intent_of_the_next_are_one_commit() -> None:
    machine = Machine()
    machine.run(lambda rt: rt.run("worker", "add, please", run_id="r1"), worker)
    commits = [tags(record.events) for record in machine.log.read_all()]
    assert commits[0] == ["run-started", "model-call-started"]
    assert [
        "model-call-completed",
        "tool-call-started",
        "tool-call-started",
    ] in commits
    assert ["tool-call-completed", "model-call-started"] in commits
    assert commits[-1] == ["model-call-completed", "run-completed"]


def test_a_finished_run_has_left_the_open_table() -> None:
    machine = Machine()
    machine.run(lambda rt: rt.run("worker", "hi"), worker)
    assert machine.log.open_entries() == []


def test_a_finished_run_has_left_memory_and_needs_no_garbage_collector_for_that() -> None:
    def actors() -> int:
        return sum(type(it) is EventSourcedActor for it in gc.get_objects())

    async def body(rt: Runtime) -> tuple[int, int]:
        before = actors()
        run = await rt.start("worker", "add, please")
        during = actors() - before
        await run.result()
        await asyncio.sleep(0)  # Its last commit is being delivered still.
        return during, actors() - before

    gc.collect()
    gc.disable()
    try:
        assert Machine().run(body, worker) == (1, 0)
    finally:
        gc.enable()


def test_the_input_is_durable_before_the_model_is_called() -> None:
    seen: list[list[str]] = []
    machine = Machine()

    def script(request: ModelRequest) -> Turn:
        seen.append(tags(events_of(machine.log, request.run_id)))
        return Turn("ok")

    machine.run(lambda rt: rt.run("a", "hi"), Agent("a", model=ScriptedModel(script)))
    assert seen == [["run-started", "model-call-started"]]


def test_a_call_is_durable_before_its_tool_is_called() -> None:
    seen: list[list[str]] = []
    machine = Machine()

    @tool(read_only=True)
    async def look() -> None:
        seen.append(tags(events_of(machine.log, "r1"))[-2:])

    agent = Agent(
        "a", model=ScriptedModel([Turn(tool_calls=[ToolCall("look")]), Turn("ok")]), tools=[look]
    )
    machine.run(lambda rt: rt.run("a", "hi", run_id="r1"), agent)
    assert seen == [["model-call-completed", "tool-call-started"]]


def test_a_run_goes_on_when_nobody_holds_it_or_waits_for_it() -> None:
    machine = Machine()

    async def body(rt: Runtime) -> None:
        await rt.start("slow", "hi", run_id="r1")
        await asyncio.sleep(60)

    machine.run(body, slow)
    assert machine.kinds("r1")[-1] == "run-completed"


def test_runs_of_one_runtime_go_on_beside_each_other() -> None:
    async def body(rt: Runtime) -> float:
        before = clock().seconds
        results = await asyncio.gather(*(rt.run("slow", f"hi {n}") for n in range(50)))
        assert {result.status for result in results} == {"completed"}
        return clock().seconds - before

    assert Machine().run(body, slow) == 30.0


def test_an_agent_is_named_by_its_id_or_by_itself() -> None:
    async def body(rt: Runtime) -> list[str]:
        return [(await rt.run(agent, "hi")).output for agent in ("echo", echo)]

    assert Machine().run(body, echo) == ["hi", "hi"]


def test_ids_are_drawn_if_none_is_given() -> None:
    async def body(rt: Runtime) -> list[str]:
        return [(await rt.start("echo", "hi")).id for _ in range(3)]

    assert Machine().run(body, echo) == ["run1", "run2", "run3"]
    drawn = {RandomIds().run_id() for _ in range(1_000)}
    assert len(drawn) == 1_000
    assert all(re.fullmatch("[a-z2-7]{16}", run_id) for run_id in drawn)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_draws_ids_of_its_own() -> None:
    RandomIds().run_id()  # Some are drawn ahead.
    child, parent = os.pipe()
    process = os.fork()
    if not process:
        os.write(parent, RandomIds().run_id().encode())
        os._exit(0)
    os.waitpid(process, 0)
    theirs = os.read(child, 100).decode()
    assert theirs not in {RandomIds().run_id() for _ in range(100)}
    os.close(child)
    os.close(parent)


def test_metadata_is_kept_with_the_run() -> None:
    machine = Machine()
    metadata: dict[str, Value] = {"who": ["me", 1, None], "when": {"day": 2.5}}
    machine.run(lambda rt: rt.run("echo", "hi", run_id="r1", metadata=metadata), echo)
    assert machine.events("r1")[0] == RunStarted(agent_id="echo", input="hi", metadata=metadata)


def test_reaching_the_last_step_completes_the_run_and_says_so() -> None:
    agent = Agent(
        "a",
        model=ScriptedModel(lambda _: Turn(tool_calls=[ToolCall("add", {"a": 1, "b": 1})])),
        tools=[add],
        max_steps=3,
    )
    result = Machine().run(lambda rt: rt.run("a", "hi"), agent)
    assert (result.status, result.finish_reason, result.steps) == ("completed", "max_steps", 3)


def test_a_failed_run_says_why_and_unwrapping_it_raises() -> None:
    agent = Agent("a", model=ScriptedModel([Turn("so far", error=ConnectionError("gone"))]))
    result = Machine().run(lambda rt: rt.run("a", "hi"), agent)
    assert result.status == "failed"
    assert result.error is not None
    assert (result.error.kind, result.error.exception) == ("unavailable", "ConnectionError")
    with pytest.raises(RunUnsuccessful, match="gone") as caught:
        result.unwrap()
    assert caught.value.status == "failed"


def test_runs_that_are_over_leave_nothing_in_memory() -> None:
    async def body(rt: Runtime) -> None:
        await asyncio.gather(*(rt.run("worker", "hi") for _ in range(200)))
        await asyncio.sleep(1)
        side = rt._open.side  # pyright: ignore[reportPrivateUsage]
        assert isinstance(side, OwnerSide)
        assert len(side._effects) == 0  # pyright: ignore[reportPrivateUsage]
        assert not side._runs._residents  # pyright: ignore[reportPrivateUsage]
        assert not rt._observers  # pyright: ignore[reportPrivateUsage]

    Machine().run(body, worker)


# -- starting twice --


def test_the_same_start_again_is_the_same_run_and_other_input_or_metadata_is_refused() -> None:
    machine = Machine()

    async def body(rt: Runtime) -> None:
        for _ in range(2):
            await rt.start("slow", "hi", run_id="r1", metadata={"a": 1, "b": 2})
            await rt.start(slow, "hi", run_id="r1", metadata={"b": 2, "a": 1})
            for agent, input, metadata in (
                ("slow", "ho", {"a": 1, "b": 2}),
                ("slow", "hi", {"a": 1}),
                ("slow", "hi", None),
                ("echo", "hi", {"a": 1, "b": 2}),
            ):
                with pytest.raises(RunExists) as refused:
                    await rt.start(agent, input, run_id="r1", metadata=metadata)
                assert refused.value.run_id == "r1"
            await rt.result("r1")  # and once more when it is over

    machine.run(body, slow, echo)
    machine.run(body, slow, echo)  # and in a fresh runtime
    assert machine.kinds("r1").count("run-started") == 1
    assert machine.log.open_entries() == []


def test_a_start_that_many_make_at_once_is_one_run() -> None:
    machine = Machine()

    async def body(rt: Runtime) -> None:
        starts = [rt.run("worker", "hi", run_id="r1") for _ in range(50)]
        others = [rt.start("worker", "ho", run_id="r1") for _ in range(50)]
        results = await asyncio.gather(*starts, *others, return_exceptions=True)
        assert len({str(result) for result in results[:50]}) == 1
        assert all(isinstance(result, RunExists) for result in results[50:])

    machine.run(body, worker)
    assert machine.kinds("r1").count("run-started") == 1


def test_a_start_while_the_run_waits_to_be_recovered_is_the_same_run() -> None:
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        for number in range(100):
            await rt.start("echo", f"hi {number}", run_id=f"r{number}")

    machine.crash(begin, Agent("echo", model=Silent()))

    async def body(rt: Runtime) -> None:
        with pytest.raises(RunExists):
            await rt.start("echo", "something else", run_id="r99")
        run = await rt.start("echo", "hi 98", run_id="r98")
        assert (await run.result()).output == "hi 98"
        assert (await rt.result("r99")).output == "hi 99"

    machine.run(body, echo)
    for number in (98, 99):
        kinds = machine.kinds(f"r{number}")
        assert kinds.count("run-started") == kinds.count("run-recovered") == 1


# -- what is refused at the door --


def test_an_agent_that_is_not_registered_is_refused_with_those_that_are() -> None:
    async def body(rt: Runtime) -> None:
        with pytest.raises(AgentNotFound, match="'echo', 'slow'") as refused:
            await rt.start("ghost", "hi")
        assert refused.value.known == ("echo", "slow")
        with pytest.raises(AgentNotFound):
            await rt.start(Agent("echo", model=EchoModel()), "hi")
        assert rt.log.head == 0

    Machine().run(body, echo, slow)


@pytest.mark.parametrize(
    "run_id", ["", " ", " x", "x ", "a\nb", "a\x00b", "x" * 201, "é" * 101, "\ud800", 5, b"x"]
)
def test_an_id_that_can_name_nothing_is_refused_everywhere(run_id: Any) -> None:
    async def body(rt: Runtime) -> None:
        with pytest.raises(InvalidId):
            await rt.start("echo", "hi", run_id=run_id)
        with pytest.raises(InvalidId):
            await rt.result(run_id)
        with pytest.raises(InvalidId):
            await anext(rt.observe(run_id))
        assert rt.log.head == 0

    Machine().run(body, echo)


@pytest.mark.parametrize("run_id", ["x" * 200, "é" * 100, "run-1", "a/b c", "日本", "-"])
def test_any_printable_text_of_200_bytes_is_an_id(run_id: str) -> None:
    machine = Machine()

    async def body(rt: Runtime) -> None:
        assert (await rt.run("echo", "hi", run_id=run_id)).run_id == run_id
        assert len(await collect(rt.observe(run_id))) == 4

    machine.run(body, echo)


@pytest.mark.parametrize(
    ("input", "metadata", "error"),
    [
        (5, None, TypeError),
        (None, None, TypeError),
        (b"hi", None, TypeError),
        ("\ud800", None, UnserialisableValue),
        ("hi", {"x": object()}, UnserialisableValue),
        ("hi", {"x": "\ud800"}, UnserialisableValue),
        ("hi", {"x": 2**64}, UnserialisableValue),
        ("hi", 5, TypeError),
    ],
)
def test_input_and_metadata_that_cannot_be_stored_are_refused_before_anything_is_written(
    input: Any, metadata: Any, error: type[Exception]
) -> None:
    async def body(rt: Runtime) -> None:
        with pytest.raises(error):
            await rt.start("echo", input, run_id="r1", metadata=metadata)
        assert rt.log.head == 0
        with pytest.raises(RunNotFound):
            await rt.result("r1")

    Machine().run(body, echo)


def test_an_empty_input_is_an_input() -> None:
    result = Machine().run(lambda rt: rt.run("echo", ""), echo)
    assert (result.status, result.output) == ("completed", "")


def test_an_unknown_run_is_answered_at_once() -> None:
    async def body(rt: Runtime) -> None:
        with pytest.raises(RunNotFound) as refused:
            await rt.result("ghost")
        assert refused.value.run_id == "ghost"
        with pytest.raises(NotFound):
            await anext(rt.observe("ghost"))
        with pytest.raises(NotFound):
            await anext(rt.observe("ghost", after=3))

    Machine().run(body, echo)


def test_a_runtime_that_cannot_work_is_refused_at_construction() -> None:
    wrong: list[dict[str, Any]] = [
        {"agents": [echo, Agent("echo", model=EchoModel())]},
        {"agents": ["echo"]},
        {"max_recoveries": -1},
        {"max_recoveries": "5"},
        {"lease": 0.1},
        {"lease": "5"},
        {"lease": None},
    ]
    for options in wrong:
        with pytest.raises(InvalidDefinition):
            Runtime(None, **options)


def test_a_runtime_is_used_while_it_is_open_and_entered_once() -> None:
    async def body() -> None:
        runtime = open_runtime(echo)
        with pytest.raises(LogClosed):
            await runtime.start("echo", "hi")
        async with runtime:
            with pytest.raises(OutliveError, match="entered once"):
                await runtime.__aenter__()
            await runtime.run("echo", "hi", run_id="r1")
        for refused in (
            runtime.start("echo", "hi"),
            runtime.result("r1"),
        ):
            with pytest.raises(LogClosed):
                await refused
        with pytest.raises(LogClosed):
            runtime.observe("r1")
        await runtime.close()
        with pytest.raises(OutliveError, match="entered once"):
            await runtime.__aenter__()

    run_virtual(body())


# -- observing --


def test_an_observer_sees_everything_in_order_once_and_ends_with_the_run() -> None:
    async def body(rt: Runtime) -> None:
        run = await rt.start("worker", "hi", run_id="r1")
        live = await collect(run.events())
        assert [recorded.version for recorded in live] == list(range(1, len(live) + 1))
        assert [recorded.event for recorded in live] == events_of(machine.log, "r1")
        assert tag(live[-1].event) == "run-completed"
        assert await collect(rt.observe("r1")) == live, "and the same when it is over"

    machine = Machine()
    machine.run(body, worker)


def test_any_number_may_observe_at_the_same_time_from_any_point() -> None:
    async def body(rt: Runtime) -> None:
        run = await rt.start("slow", "hi", run_id="r1")
        early = [asyncio.ensure_future(collect(run.events())) for _ in range(100)]
        await asyncio.sleep(15)
        late = [asyncio.ensure_future(collect(rt.observe("r1"))) for _ in range(100)]
        middle = [asyncio.ensure_future(collect(rt.observe("r1", after=2))) for _ in range(100)]
        everything = await early[0]
        for observer in (*early, *late):
            assert await observer == everything
        for observer in middle:
            assert await observer == everything[2:]

    Machine().run(body, slow)


def test_an_observer_may_go_on_from_any_version_also_of_a_finished_run() -> None:
    async def body(rt: Runtime) -> None:
        await rt.run("worker", "hi", run_id="r1")
        everything = await collect(rt.observe("r1"))
        for after in range(len(everything) + 1):
            assert await collect(rt.observe("r1", after=after)) == everything[after:]

    Machine().run(body, worker)


def test_an_observer_that_stands_at_the_head_of_a_running_run_waits_for_what_comes() -> None:
    async def body(rt: Runtime) -> None:
        await rt.start("slow", "hi", run_id="r1")
        found = await collect(rt.observe("r1", after=2))
        assert found[0].version == 3
        assert clock().seconds == 30.0

    Machine().run(body, slow)


@pytest.mark.parametrize("after", [-1, 5, 2**40, 1.0, None])
def test_a_version_that_was_never_handed_out_is_refused(after: int) -> None:
    async def body(rt: Runtime) -> None:
        await rt.run("echo", "hi", run_id="r1")
        with pytest.raises(InvalidOffset) as refused:
            await anext(rt.observe("r1", after=after))
        assert (refused.value.after, refused.value.head) == (after, 4)

    Machine().run(body, echo)


def test_a_named_reader_of_the_runtimes_log_goes_on_where_it_saved(tmp_path: Path) -> None:
    async def opened(count: int) -> list[int]:
        found: list[int] = []
        async with Runtime(tmp_path / "data", agents=[echo]) as rt:
            await rt.run("echo", "hi", run_id="r1")
            async with rt.subscription("books") as records:
                for _ in range(count):
                    found.append((await anext(records)).position)
                await records.save()
            events = rt.subscription("one", stream=run_stream("r1"))
            assert (await anext(events)).version == 1
        with pytest.raises(LogClosed):
            [_ async for _ in events]
        with pytest.raises(LogClosed):
            rt.subscription("books")
        return found

    assert [asyncio.run(opened(1)), asyncio.run(opened(1))] == [[1], [2]]


def test_an_observer_that_leaves_touches_nobody() -> None:
    async def body(rt: Runtime) -> None:
        run = await rt.start("slow", "hi", run_id="r1")
        staying = asyncio.ensure_future(collect(run.events()))
        async for _ in run.events():
            break
        events = run.events()
        await anext(events)
        await events.aclose()
        cancelled = asyncio.ensure_future(collect(run.events()))
        await asyncio.sleep(1)
        cancelled.cancel()
        assert (await run.result()).status == "completed"
        assert tag((await staying)[-1].event) == "run-completed"

    Machine().run(body, slow)


def test_a_slow_observer_misses_nothing() -> None:
    words = " ".join(f"w{number}" for number in range(3_000))
    agent = Agent("a", model=ScriptedModel([Turn(text=words, delay=0.03)]))

    async def body(rt: Runtime) -> None:
        run = await rt.start("a", "hi", run_id="r1")
        versions: list[int] = []
        async for recorded in run.events():
            versions.append(recorded.version)
            if recorded.version == 3:
                await run.result()
        assert versions == list(range(1, len(versions) + 1))
        assert len(versions) > 2_000

    Machine().run(body, agent)


@pytest.mark.parametrize("back", [0, 1])
def test_an_observer_of_a_finished_run_ends_also_when_a_late_result_was_recorded_after_the_end(
    back: int,
) -> None:
    machine = Machine()
    machine.run(lambda rt: rt.run("echo", "hi", run_id="r1"), echo)
    late_result(machine.log, "r1")

    async def body(rt: Runtime) -> None:
        head = rt.log.version(run_stream("r1"))
        async with asyncio.timeout(60):
            await collect(rt.observe("r1", after=head - back))

    machine.run(body, echo)


def late_result(log: MemoryLog, run_id: str) -> None:
    from outlive.events import CallId, ToolResultIgnored

    stream = run_stream(run_id)
    log.append(
        stream,
        [ToolResultIgnored(call_id=CallId("0.0"))],
        expected_version=log.version(stream),
    ).result()


# -- text --


def test_text_comes_as_the_model_streams_it_and_adds_up_to_the_answers() -> None:
    async def body(rt: Runtime) -> None:
        run = await rt.start("slow", "hi")
        pieces: list[tuple[float, str | TextReset]] = []
        async for piece in run.text():
            pieces.append((clock().seconds, piece))
        assert [piece for _, piece in pieces] == ["one two ", "three"]
        assert pieces[0][0] == 20.025

    Machine().run(body, slow)


def test_text_of_an_answer_in_one_part_comes_at_once() -> None:
    async def body(rt: Runtime) -> list[str | TextReset]:
        run = await rt.start("echo", "hi there")
        return [piece async for piece in run.text()]

    assert Machine().run(body, echo) == ["hi there"]


def test_text_says_when_an_answer_that_was_cut_off_begins_anew() -> None:
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        await rt.start("slow", "hi", run_id="r1")
        await asyncio.sleep(25)

    machine.crash(begin, slow)

    async def body(rt: Runtime) -> list[str | TextReset]:
        run = await rt.start("slow", "hi", run_id="r1")
        return [piece async for piece in run.text()]

    assert machine.run(body, slow) == ["one two ", TextReset(), "one two ", "three"]


def test_text_of_several_answers_comes_one_after_the_other() -> None:
    async def body(rt: Runtime) -> str:
        run = await rt.start("worker", "hi")
        return "".join([str(piece) async for piece in run.text()])

    assert Machine().run(body, worker) == "Let me see. It is 5 and HEY."


# -- waiting for the result --


def test_a_wait_for_the_result_may_be_bounded_and_the_run_goes_on() -> None:
    async def body(rt: Runtime) -> None:
        run = await rt.start("slow", "hi")
        with pytest.raises(TimeoutError):
            await run.result(timeout=5)
        assert clock().seconds == 5.0
        with pytest.raises(TimeoutError):
            await rt.result(run.id, timeout=0)
        assert (await run.result(timeout=60)).status == "completed"
        assert clock().seconds == 30.0
        assert (await run.result(timeout=0.001)).status == "completed"

    Machine().run(body, slow)


def test_any_number_may_wait_for_the_result_and_leave_again() -> None:
    async def body(rt: Runtime) -> None:
        run = await rt.start("slow", "hi")
        waiting = [asyncio.ensure_future(run.result()) for _ in range(20)]
        await asyncio.sleep(1)
        for leaving in waiting[::2]:
            leaving.cancel()
        results = await asyncio.gather(*waiting[1::2])
        assert len(results) == 10
        assert len({str(result) for result in results}) == 1

    Machine().run(body, slow)


def test_the_result_of_a_finished_run_is_the_same_in_every_process() -> None:
    machine = Machine()
    first = machine.run(lambda rt: rt.run("worker", "hi", run_id="r1"), worker)
    assert machine.run(lambda rt: rt.result("r1"), worker) == first
    assert machine.run(lambda rt: rt.result("r1")) == first, "its agent need not be registered"


# -- closing --


def test_who_waits_when_the_runtime_closes_is_told_and_the_run_goes_on_at_the_next_opening() -> (
    None
):
    machine = Machine()

    async def body() -> list[object]:
        runtime = open_runtime(slow, log=machine.log)
        async with runtime:
            run = await runtime.start("slow", "hi", run_id="r1")
            waiting = [asyncio.ensure_future(run.result()) for _ in range(3)]
            waiting.append(asyncio.ensure_future(run.result(timeout=1_000)))
            await asyncio.sleep(15)
        return list(await asyncio.gather(*waiting, return_exceptions=True))

    told = run_virtual(body(), clock=machine.clock)
    assert [type(error) for error in told] == [LogClosed] * 4
    assert machine.status("r1") == "running"

    machine.log = machine.log.reopened(clean=True)
    result = machine.run(lambda rt: rt.result("r1"), slow)
    assert (result.status, result.output) == ("completed", "one two three")
    recovered = [event for event in machine.events("r1") if tag(event) == "run-recovered"]
    assert [getattr(event, "clean", None) for event in recovered] == [True]


def test_observers_are_told_when_the_runtime_closes_its_own_log() -> None:
    async def body() -> None:
        async with open_runtime(slow) as runtime:
            run = await runtime.start("slow", "hi")
            observer = asyncio.ensure_future(collect(run.events()))
            reader = asyncio.ensure_future(anext(run.text()))
            await asyncio.sleep(1)
        for waiting in (observer, reader):
            with pytest.raises(LogClosed):
                await waiting

    run_virtual(body())


def test_observers_are_told_when_the_runtime_closes_also_if_the_log_was_given_to_it() -> None:
    async def body() -> None:
        async with open_runtime(slow, log=MemoryLog(clock=clock())) as runtime:
            run = await runtime.start("slow", "hi")
            observer = asyncio.ensure_future(collect(run.events()))
            await asyncio.sleep(1)
        with pytest.raises(LogClosed):
            await asyncio.wait_for(observer, 60)

    run_virtual(body())


def test_closing_waits_six_seconds_at_most_for_tools_that_do_not_let_go() -> None:
    @tool(read_only=True)
    async def stubborn() -> str:
        for _ in range(100):
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue
        return "late"

    agent = Agent(
        "a", model=ScriptedModel([Turn(tool_calls=[ToolCall("stubborn")] * 8)]), tools=[stubborn]
    )

    async def body() -> None:
        log = MemoryLog(clock=clock())
        async with open_runtime(agent, log=log) as runtime:
            await runtime.start("a", "hi")
            await asyncio.sleep(5)
            head = log.head
        assert clock().seconds == 11.0
        await asyncio.sleep(200)
        assert log.head == head, "what ends after the close is not written"

    run_virtual(body())


def test_nothing_begins_after_the_close() -> None:
    begun: list[str] = []

    @tool(read_only=True)
    async def first(text: str) -> str:
        ended.set()
        return text

    def script(request: ModelRequest) -> Turn:
        begun.append(f"model {request.step}")
        return Turn(tool_calls=[ToolCall("first", {"text": "x"})]) if not request.step else Turn()

    agent = Agent("a", model=ScriptedModel(script), tools=[first])
    machine = Machine()

    async def body(rt: Runtime) -> None:
        await rt.start("a", "hi", run_id="r1")
        await ended.wait()  # its result is on its way

    ended = asyncio.Event()
    machine.run(body, agent)
    assert begun == ["model 0"]
    assert machine.run(lambda rt: rt.result("r1"), agent).status == "completed"


class Converting:
    """A model whose connection says ConnectionError when it is cancelled."""

    name = "converting"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        yield TextDelta("so far ")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            raise ConnectionError("closed") from None
        yield TextDelta("so good")
        yield Finish()


def test_a_model_that_raises_something_else_when_it_is_cancelled_does_not_fail_the_run() -> None:
    machine = Machine()

    async def body(rt: Runtime) -> None:
        await rt.start("a", "hi", run_id="r1")
        await asyncio.sleep(1)

    agent = Agent("a", model=Converting())
    machine.run(body, agent)
    assert machine.kinds("r1")[-1] == "model-call-started"
    assert machine.run(lambda rt: rt.result("r1"), agent).output == "so far so good"


def test_a_tool_that_raises_something_else_when_it_is_cancelled_is_taken_up_again() -> None:
    @tool(read_only=True)
    async def fetch() -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            raise ConnectionError("closed") from None
        return "page"

    script = [Turn(tool_calls=[ToolCall("fetch")]), Turn("done")]
    agent = Agent("a", model=ScriptedModel(script), tools=[fetch])
    machine = Machine()

    async def body(rt: Runtime) -> None:
        await rt.start("a", "hi", run_id="r1")
        await asyncio.sleep(1)

    machine.run(body, agent)
    result = machine.run(lambda rt: rt.result("r1"), agent)
    assert result.messages[2] == ToolMessage(call_id=worker_call(0), name="fetch", result="page")


def test_closing_waits_no_longer_for_threads_either() -> None:
    with Gate() as gate:

        @tool(read_only=True)
        def stuck() -> str:
            gate.wait()
            return "late"

        script = [Turn(tool_calls=[ToolCall("stuck")]), Turn("done")]
        agent = Agent("a", model=ScriptedModel(script), tools=[stuck])

        async def body() -> None:
            async with open_runtime(agent) as runtime:
                await runtime.start("a", "hi")
                await asyncio.sleep(1)
            assert clock().seconds <= 7.0

        run_virtual(body())


@pytest.mark.parametrize("role", ["auto", "owner", "visitor", "standby"])
def test_a_folder_whose_file_is_damaged_is_refused_whatever_the_role(
    tmp_path: Path, role: Role
) -> None:
    """LMDB would trust the file, and the process could die of it."""
    log = LmdbLog(tmp_path)
    events = [RunStarted(agent_id="a", input=str(number)) for number in range(300)]
    log.append(run_stream("x"), events, expected_version=Version(0)).result(5)
    log.close()
    file = tmp_path / "log" / "data.mdb"
    content = bytearray(file.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 + 12] ^= 0xFF  # where the pointers to its rows end
    file.write_bytes(content)

    async def body() -> None:
        with pytest.raises(CorruptLog, match=r"data\.mdb"):
            async with Runtime(tmp_path, role=role):
                raise AssertionError

    asyncio.run(body())


def test_a_runtime_that_cannot_begin_lets_go_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise CorruptLog("the open table", "test")

    async def body() -> None:
        with monkeypatch.context() as patched:
            patched.setattr("outlive.actors.addresses.Addresses.bring_in_all", fails)
            with pytest.raises(CorruptLog):
                await Runtime(tmp_path, agents=[echo]).__aenter__()
        async with Runtime(tmp_path, agents=[echo]) as runtime:
            assert (await runtime.run("echo", "hi")).output == "hi"

    asyncio.run(body())


def test_what_a_folder_holds_is_found_by_the_next_runtime(tmp_path: Path) -> None:
    async def first() -> None:
        async with Runtime(tmp_path, agents=[worker, silent]) as runtime:
            await runtime.run("worker", "hi", run_id="r1")
            await runtime.start("silent", "hi", run_id="r2")

    async def second() -> None:
        spoken = Agent("silent", model=EchoModel())
        async with Runtime(str(tmp_path), agents=[spoken]) as runtime:
            assert (await runtime.result("r1")).output == "It is 5 and HEY."
            assert (await runtime.result("r2")).output == "hi"
            assert [recorded.version for recorded in await collect(runtime.observe("r2"))][-1] > 4

    asyncio.run(first())
    asyncio.run(second())


def test_two_runtimes_may_live_in_one_process() -> None:
    async def body() -> None:
        async with open_runtime(echo) as one, open_runtime(echo) as two:
            await one.run("echo", "hi", run_id="r1")
            with pytest.raises(RunNotFound):
                await two.result("r1")
            assert (await two.run("echo", "ho", run_id="r1")).output == "ho"

    run_virtual(body())


def test_a_runtime_has_clock_and_ids_of_its_own_unless_they_are_given() -> None:
    async def body() -> list[Event]:
        async with Runtime(None, agents=[echo]) as runtime:
            run = await runtime.start("echo", "hi")
            assert re.fullmatch("[a-z2-7]{16}", run.id)
            assert repr(run) == f"<Run {run.id}>"
            return [recorded.event for recorded in await collect(run.events())]

    assert len(asyncio.run(body())) == 4
    assert CountedIds().run_id() == "run1"
