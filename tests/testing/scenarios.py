"""Scenarios of runs, each with its agents: what a crash sweep is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import settings

from outlive.actors import (
    Agent,
    BackgroundTasks,
    Retry,
    ScriptedModel,
    SyncToolContext,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.actors.run_context import EMPTY, Functions
from outlive.testing import Client, Outcome, Sweep, World, assert_survives_crashes

_EACH_DAY: Final = 100  # examples of a property; more of them are for the night


@dataclass(frozen=True)
class Case:
    """A scenario, its agents, and what is promised of it."""

    name: str
    agents: Callable[[World], Sequence[Agent]]
    play: Callable[[Client], Any]
    at_most_once: tuple[str, ...] = ()
    promise: Callable[[Outcome, Outcome], None] | None = None
    second_crashes: int = 3
    background_tasks: BackgroundTasks | None = None


def sweep(case: Case, *, functions: Functions = EMPTY, thorough: bool | None = None) -> Sweep:
    """Crash a case at each of its points; from day to day, with one second crash for each."""
    if thorough is None:
        thorough = settings().max_examples > _EACH_DAY
    return assert_survives_crashes(
        case.play,
        case.agents,
        functions=functions,
        at_most_once=case.at_most_once,
        promise=case.promise,
        second_crashes=case.second_crashes if thorough else 1,
        background_tasks=case.background_tasks,
    )


async def one_run(client: Client) -> object:
    result = await client.run("agent", "do it", run_id="one")
    return result.status, result.output


def _agent(*turns: Turn, tools: Sequence[Tool[..., Any]] = (), **more: Any) -> Agent:
    return Agent("agent", model=ScriptedModel(turns), tools=tools, **more)


def _calls(*calls: ToolCall, text: str = "") -> Turn:
    return Turn(text=text, tool_calls=calls)


@tool(in_doubt="retry")
async def look(ctx: ToolContext, what: str) -> str:
    """Look something up."""
    ctx.deps.record("look", ctx.idempotency_key)
    return f"{what} seen"


@tool(in_doubt="retry")
def pay(ctx: SyncToolContext, amount: int) -> int:
    """Pay, where a repeat is known by its key."""
    return int(ctx.deps.put("pay", ctx.idempotency_key, amount))


def single(world: World) -> list[Agent]:
    return [_agent(_calls(ToolCall("look", {"what": "a"})), Turn(text="it is so"), tools=[look])]


def sync(world: World) -> list[Agent]:
    return [_agent(_calls(ToolCall("pay", {"amount": 3})), Turn(text="paid"), tools=[pay])]


@tool(in_doubt="retry")
async def slow(ctx: ToolContext, seconds: float) -> float:
    """Take some time."""
    await asyncio.sleep(seconds)
    ctx.deps.record("slow", ctx.idempotency_key)
    return seconds


def parallel(world: World) -> list[Agent]:
    calls = [
        ToolCall("look", {"what": "a"}),
        ToolCall("slow", {"seconds": 2.0}),
        ToolCall("pay", {"amount": 1}),
        ToolCall("slow", {"seconds": 1.0}),
        ToolCall("look", {"what": "b"}),
    ]
    return [
        _agent(_calls(*calls), Turn(text="all done"), tools=[look, slow, pay], tool_concurrency=3)
    ]


@tool(in_doubt="retry")
async def crawl(ctx: ToolContext, pages: int) -> int:
    """Fetch pages, each once."""

    async def fetch(number: int) -> int:
        await asyncio.sleep(0.2)
        ctx.deps.record("fetch", ctx.key_for(f"page {number}"))
        return number * 10

    total = 0
    for number in range(pages):
        total += await ctx.step(f"page {number}", fetch, number)
    return total


@tool(in_doubt="retry")
def crawl_in_thread(ctx: SyncToolContext, pages: int) -> int:
    """Fetch pages in a thread."""

    def fetch(number: int) -> int:
        ctx.deps.record("fetch", ctx.key_for(f"page {number}"))
        return number * 10

    return sum(ctx.step(f"page {n}", fetch, n) for n in range(pages))


def steps(world: World) -> list[Agent]:
    calls = [ToolCall("crawl", {"pages": 3}), ToolCall("crawl_in_thread", {"pages": 2})]
    return [_agent(_calls(*calls), Turn(text="read"), tools=[crawl, crawl_in_thread])]


@tool(in_doubt="retry")
async def count(ctx: ToolContext, to: int) -> int:
    """Count, and say how far it is."""
    for number in range(to):
        await ctx.progress(done=number, total=to, note=f"at {number}")
        await asyncio.sleep(0.3)
    return to


def progress(world: World) -> list[Agent]:
    return [_agent(_calls(ToolCall("count", {"to": 6})), Turn(text="counted"), tools=[count])]


def retrying(world: World) -> list[Agent]:
    @tool(in_doubt="retry", retry=Retry(3, delay=60.0, max_delay=600.0))
    async def flaky(ctx: ToolContext) -> str:
        """Fail twice."""
        if ctx.deps.count("flaky", ctx.idempotency_key) < 2:
            ctx.deps.record("flaky", ctx.idempotency_key)
            raise ConnectionError("not now")
        ctx.deps.record("worked", ctx.idempotency_key)
        return "in the end"

    return [_agent(_calls(ToolCall("flaky")), Turn(text="well"), tools=[flaky])]


def timing_out(world: World) -> list[Agent]:
    @tool(in_doubt="retry", timeout=30.0)
    async def forever(ctx: ToolContext) -> str:
        """Never come back."""
        ctx.deps.record("forever", ctx.idempotency_key)
        await asyncio.sleep(1e6)
        return "never"

    return [_agent(_calls(ToolCall("forever")), Turn(text="gave up"), tools=[forever])]


def failing_tool(world: World) -> list[Agent]:
    @tool(read_only=True)
    async def broken(ctx: ToolContext) -> str:
        """Fail."""
        raise ValueError("it is broken")

    return [_agent(_calls(ToolCall("broken")), Turn(text="I see"), tools=[broken])]


def failing_model(world: World) -> list[Agent]:
    return [_agent(Turn(text="as I was", error=ConnectionError("no model")))]


def cut_off(world: World) -> list[Agent]:
    return [_agent(Turn(text="one two three four", delay=0.03, cut_off=True))]


def streaming(world: World) -> list[Agent]:
    return [_agent(Turn(text="one two three four five six", delay=0.03))]


async def observed(client: Client) -> object:
    run_id = await client.start("agent", "do it", run_id="one")
    last = [type(event).__name__ async for event in client.observe(run_id)][-1]
    return last, (await client.result(run_id)).output


def in_doubt_fails(world: World) -> list[Agent]:
    @tool(in_doubt="fail")
    async def launch(ctx: ToolContext) -> str:
        """Launch, never twice."""
        ctx.deps.record("launch", ctx.idempotency_key)
        await asyncio.sleep(1)
        return "launched"

    return [_agent(_calls(ToolCall("launch")), Turn(text="so be it"), tools=[launch])]


def ends_well(calm: Outcome, stormy: Outcome) -> None:
    """A launch may have been cut off; the run goes on knowing that."""
    result = stormy.results["one"]
    assert (result.status, result.output) == ("completed", "so be it")


def two_agents(world: World) -> list[Agent]:
    model = ScriptedModel([_calls(ToolCall("slow", {"seconds": 0.5})), Turn(text="done")])
    return [Agent("first", model=model, tools=[slow]), Agent("second", model=model, tools=[slow])]


async def two_runs(client: Client) -> object:
    first, second = await asyncio.gather(
        client.run("first", "a", run_id="a"), client.run("second", "b", run_id="b")
    )
    again = await client.start("first", "a", run_id="a")
    return first.output, second.output, again


CASES = [
    Case("single tool", single, one_run),
    Case("sync tool, idempotent sink", sync, one_run),
    Case("parallel tools", parallel, one_run, second_crashes=1),
    Case("steps", steps, one_run, second_crashes=1),
    Case("progress", progress, one_run),
    Case("retry", retrying, one_run),
    Case("timeout", timing_out, one_run),
    Case("failing tool", failing_tool, one_run),
    Case("failing model", failing_model, one_run),
    Case("cut-off stream", cut_off, one_run),
    Case("streaming, observed", streaming, observed),
    Case("observed over crashes", single, observed),
    Case("in doubt: fail", in_doubt_fails, one_run, ("launch",), ends_well),
    Case("two runs at once", two_agents, two_runs, second_crashes=1),
]
