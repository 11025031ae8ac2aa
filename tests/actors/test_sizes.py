"""What is too large to be stored is refused before it becomes an event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    Finish,
    IfIdle,
    ModelPart,
    ModelRequest,
    ReasoningDelta,
    Runtime,
    ScriptedModel,
    TextDelta,
    ToolCall,
    ToolCallPart,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import (
    EventTooLarge,
    ToolCallCompleted,
    ToolCallFailed,
    ToolStepCompleted,
    run_stream,
)
from outlive.projections import RunResult
from tests.support import Machine, events_of
from tests.support.threads import all_texts

LIMIT = 200_000

echo = Agent("echo", model=EchoModel())


@pytest.fixture(autouse=True)
def lower_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outlive.events.sizes.MAX_VALUE_BYTES", LIMIT)
    monkeypatch.setattr("outlive.events.store.MAX_PAYLOAD_BYTES", LIMIT + 10_000)


@tool(read_only=True)
async def produce(size: int) -> str:
    """Return that many characters."""
    return "x" * size


@tool(read_only=True)
async def step(ctx: ToolContext, size: int) -> str:
    """Make a step of that many characters, and a small one after it."""

    def large() -> str:
        return "x" * size

    try:
        await ctx.step("large", large)
    except EventTooLarge:
        return await ctx.step("small", lambda: "too large", result_type=str)
    return "it fits"


@tool(read_only=True)
async def careless(ctx: ToolContext, size: int) -> str:
    """Make a step of that many characters."""
    return await ctx.step("large", lambda: "x" * size, result_type=str)


def played(name: str, size: int) -> tuple[Machine, RunResult]:
    script = [Turn(tool_calls=[ToolCall(name, {"size": size})]), Turn(text="done")]
    agent = Agent("a", model=ScriptedModel(script), tools=[produce, step, careless])
    machine = Machine()
    return machine, machine.run(lambda rt: rt.run("a", "go", run_id="r"), agent)


def test_a_result_that_just_fits_is_recorded() -> None:
    machine, result = played("produce", LIMIT - 10)
    assert result.output == "done"
    (completed,) = [
        event for event in events_of(machine.log, "r") if isinstance(event, ToolCallCompleted)
    ]
    assert completed.result == "x" * (LIMIT - 10)


@pytest.mark.parametrize("name", ["produce", "careless"])
def test_a_result_or_step_that_is_too_large_fails_the_call_and_the_model_is_told(name: str) -> None:
    machine, result = played(name, LIMIT + 1)
    assert result.output == "done"
    (failed,) = [
        event for event in events_of(machine.log, "r") if isinstance(event, ToolCallFailed)
    ]
    assert failed.error.kind == "too_large"
    assert failed.error.exception == "EventTooLarge"
    assert "200,000" in failed.error.message


def test_a_step_that_is_too_large_raises_in_the_tool_and_the_tool_goes_on() -> None:
    machine, result = played("step", LIMIT + 1)
    assert result.output == "done"
    steps = [event for event in events_of(machine.log, "r") if isinstance(event, ToolStepCompleted)]
    assert [one.key for one in steps] == ["small"]


class Large:
    """A model whose answer is too large in one way."""

    name = "large"

    def __init__(self, *parts: ModelPart) -> None:
        self._parts = parts

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        for part in self._parts:
            yield part
        yield Finish()


@pytest.mark.parametrize(
    "parts",
    [
        [TextDelta("x" * (LIMIT + 1))],
        [TextDelta("ü" * (LIMIT // 2)), TextDelta("more")],
        [TextDelta("x" * 1_000)] * 201,
        [ReasoningDelta("x" * (LIMIT // 2)), TextDelta("x" * (LIMIT // 2))],
        [ToolCallPart(name="produce", arguments={"size": "x" * LIMIT})],
        [ToolCallPart(name="produce", arguments={"size": 1})] * 1_000,
    ],
    ids=["one part", "not ASCII", "many parts", "two kinds", "arguments", "many calls"],
)
def test_an_answer_that_is_too_large_is_a_failed_model_call(parts: list[ModelPart]) -> None:
    machine = Machine()
    agent = Agent("a", model=Large(*parts), tools=[produce])
    result = machine.run(lambda rt: rt.run("a", "go", run_id="r"), agent)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.kind == "too_large"


@pytest.mark.parametrize("where", ["input", "metadata", "both"])
def test_a_start_that_is_too_large_is_refused_at_the_door(where: str) -> None:
    size = LIMIT // 2 if where == "both" else LIMIT
    input = "x" * size if where != "metadata" else "x"
    metadata = {"k": "x" * size} if where != "input" else {}

    async def work(rt: Runtime) -> None:
        with pytest.raises(EventTooLarge) as refused:
            await rt.start(echo, input, run_id="r", metadata=metadata)
        assert refused.value.size_bytes > refused.value.limit_bytes == LIMIT
        assert rt.log.version(run_stream("r")) == 0

    Machine().run(work, echo)


def test_a_late_result_that_a_thread_cannot_keep_is_told_in_short() -> None:
    @tool(read_only=True, background=True)
    async def crawl() -> str:
        await asyncio.sleep(60)
        return "x" * (LIMIT * 2 // 3)  # It is stored twice: as it was signalled, and as it is kept.

    turns = [Turn(tool_calls=[ToolCall("crawl")]), Turn("begun")]

    async def late(rt: Runtime) -> list[str]:
        await rt.run("a", "go", run_id="r", thread_id="t", resource_id="u")
        await asyncio.sleep(100)
        return await all_texts(rt)

    said = Machine().run(late, Agent("a", model=ScriptedModel(turns), tools=[crawl]))
    assert said[-1].startswith("Background task r:0.0 (tool crawl) succeeded: xxx")
    assert len(said[-1]) <= 2_000


def test_a_run_ends_however_large_what_it_has_not_read() -> None:
    """Its thread is to keep it: what is too much for that is told to the next run."""
    slow = Agent("a", model=ScriptedModel(lambda _: Turn("so", delay=1.0)), max_steps=1)

    async def signal(rt: Runtime) -> list[str]:
        await rt.start("a", "go", run_id="r", thread_id="t", resource_id="u")
        for said in "xyz":
            await rt.signal(said * (LIMIT // 2 - 500), thread_id="t", if_idle=IfIdle("persist"))
        await asyncio.sleep(10)
        assert (await rt.threads.get("t")).status == "idle"
        return [text.removeprefix("<notification>")[0] for text in await all_texts(rt)]

    assert Machine().run(signal, slow) == ["g", "s", "x", "y", "z", "s"]


def test_long_values_survive_in_a_folder(tmp_path: Path) -> None:
    async def work() -> None:
        for _ in range(2):
            async with Runtime(tmp_path, agents=[echo]) as rt:
                result = await rt.run(echo, "x" * 150_000, run_id="r")
                assert result.output == "x" * 150_000

    asyncio.run(work())
