"""Scenarios of runs whose model calls tools in the background."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from outlive.actors import (
    Agent,
    Background,
    BackgroundTasks,
    EchoModel,
    ModelRequest,
    Retry,
    Runtime,
    ScriptedModel,
    TaskHooks,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    UntilIdle,
    tool,
)
from outlive.events import AlreadyOver, BackgroundResultReceived, TaskNotFound, run_stream
from outlive.projections import AssistantMessage, TaskInfo, ToolMessage, UserMessage
from outlive.testing import Client, Outcome, World
from tests.support.threads import all_texts
from tests.testing.scenarios import Case, one_run


@tool(in_doubt="retry", background=True)
async def crawl(ctx: ToolContext, seconds: float) -> str:
    """Take a long time, in the background."""
    await asyncio.sleep(seconds)
    ctx.deps.record("crawl", ctx.idempotency_key)
    return f"crawled for {seconds} s"


@tool(in_doubt="retry")
async def rest(seconds: float) -> str:
    """Take some time, in the foreground."""
    await asyncio.sleep(seconds)
    return "rested"


@tool(in_doubt="retry", background=Background(mode="awaited", retry=Retry(2, delay=3)))
async def awaited(ctx: ToolContext, failures: int) -> str:
    """Fail so many times, then succeed."""
    if ctx.attempt <= failures:
        raise ConnectionError("busy")
    return "at last"


def _told(request: ModelRequest) -> list[str]:
    """Return what the model has been told of its calls, in the order of the calls."""
    answers: dict[str, str] = {}
    for message in request.messages:
        if not isinstance(message, AssistantMessage) and (call_id := _call_of(message)):
            answers[call_id] = message.text
    return [answers[call_id] for call_id in sorted(answers) if answers[call_id] != "rested"]


def _call_of(message: UserMessage | ToolMessage) -> str:
    return message.call_id or ""


def _patient(*calls: ToolCall, tools: list[Tool[..., Any]], **more: Any) -> Agent:
    """Makes the calls, then rests until none of them is only queued, and says what came of them."""

    def answer(request: ModelRequest) -> Turn:
        if request.step == 0:
            return Turn(tool_calls=list(calls))
        told = _told(request)
        if any(text.startswith("queued") for text in told):
            return Turn(tool_calls=[ToolCall("rest", {"seconds": 3.0})])
        return Turn(" / ".join(told))

    return Agent("agent", model=ScriptedModel(answer), tools=[*tools, rest], **more)


def deferred(world: World) -> list[Agent]:
    calls = [ToolCall("crawl", {"seconds": 2.0}), ToolCall("crawl", {"seconds": 5.0})]
    return [_patient(*calls, tools=[crawl])]


def waited_for(world: World) -> list[Agent]:
    calls = [ToolCall("awaited", {"failures": 1}), ToolCall("rest", {"seconds": 1.0})]
    return [_patient(*calls, tools=[awaited])]


def the_same_is_told(calm: Outcome, crashed: Outcome) -> None:
    """At which step a result arrives may differ; what the model hears may not."""
    assert crashed.returned == calm.returned, f"{crashed.returned}, without a crash {calm.returned}"
    for run_id, expected in calm.results.items():
        found = crashed.results[run_id]
        assert (found.status, found.output) == (expected.status, expected.output)
        ids = [message.call_id for message in found.messages if isinstance(message, UserMessage)]
        assert len(set(ids)) == len(ids), "a result is told once"


ONE_SLOT = BackgroundTasks(global_concurrency=1)


def three(world: World) -> list[Agent]:
    calls = [ToolCall("crawl", {"seconds": seconds}) for seconds in (1.0, 2.0, 1.5)]
    return [_patient(*calls, tools=[crawl])]


@tool(in_doubt="fail", background=Background(retry=2))
async def send(ctx: ToolContext) -> str:
    """Do what must not be repeated."""
    ctx.deps.record("send", ctx.idempotency_key)
    await asyncio.sleep(1)
    return "sent"


def sender(world: World) -> list[Agent]:
    return [_patient(ToolCall("send", {}), tools=[send])]


def sent_or_in_doubt(calm: Outcome, crashed: Outcome) -> None:
    result = crashed.results["one"]
    assert result.status == "completed"
    assert result.output == calm.results["one"].output or "(in_doubt)" in result.output


@tool(in_doubt="retry", background=Background(mode="awaited"))
async def read(ctx: ToolContext) -> str:
    """Read pages, one a step, and ask which one it was in between."""

    async def page(number: int) -> int:
        await asyncio.sleep(1)
        ctx.deps.record("page", ctx.key_for(str(number)))
        return number

    first = await ctx.step("page-1", page, 1)
    await ctx.progress(done=1, total=2)
    more = await ctx.suspend("more", {"after": first}, answer_type=int)
    return f"pages {first} and {await ctx.step('page-2', page, more)}"


def reader(world: World) -> list[Agent]:
    return [_patient(ToolCall("read", {}), tools=[read])]


async def answered(client: Client) -> object:
    run_id = await client.start("agent", "do it", run_id="one")
    while True:
        with suppress(TaskNotFound):
            info = await client.call(lambda rt: rt.tasks.get("one:0.0"))
            if info.questions:
                break
        await client.sleep(0.5)
    await client.tasks.resume("one:0.0", 2, key="more")
    result = await client.result(run_id)
    return result.status, result.output


def busy(world: World) -> list[Agent]:
    return [_patient(ToolCall("crawl", {"seconds": 5.0}), tools=[crawl])]


@tool(in_doubt="retry", background=True)
async def linger() -> None:
    """Take a long time, and change nothing."""
    await asyncio.sleep(60)


def lingering(world: World) -> list[Agent]:
    return [_patient(ToolCall("linger", {}), tools=[linger])]


async def cancelled(client: Client) -> object:
    run_id = await client.start("agent", "do it", run_id="one")
    await client.sleep(2)
    with suppress(AlreadyOver):
        await client.cancel(run_id, "enough")
    status = (await client.result(run_id)).status
    await client.sleep(60)
    with suppress(TaskNotFound):  # It was taken back before it began.
        assert (await client.call(lambda rt: rt.tasks.get("one:0.0"))).over
    return status


def either_over(calm: Outcome, crashed: Outcome) -> None:
    """A run that is cancelled late is completed."""
    assert crashed.returned in ("cancelled", "completed")


async def enqueued(client: Client) -> object:
    async def enqueue() -> str:
        args = {"seconds": 3.0}
        return await client.tasks.enqueue("crawl", args, agent="agent", idempotency_key="once")

    task_id = await enqueue()
    assert await enqueue() == task_id
    (info,) = await client.tasks.wait(task_id)
    return info.status, info.result


@tool(in_doubt="retry", background=True)
async def enter(ctx: ToolContext) -> str:
    """Enter, if somebody has opened the door."""
    if not ctx.deps.count("opened"):
        raise ConnectionError("the door is closed")
    ctx.deps.record("entered", ctx.idempotency_key)
    return "entered"


@tool(in_doubt="retry", background=True)
async def knock(ctx: ToolContext) -> str:
    """Wait for a while before the door, and try to enter."""
    await asyncio.sleep(1.0)
    return await enter.fn(ctx)


def hooked(world: World) -> list[Agent]:
    """Agent and tools want to know how tasks end."""

    def noted(info: TaskInfo) -> None:
        world.record("noted", f"{info.task_id} {info.status}")

    async def told(info: TaskInfo) -> None:
        await asyncio.sleep(1)
        world.put("told", f"{info.task_id} {info.status}", info.attempt)

    def refuses(info: TaskInfo) -> None:
        world.record("asked in vain", f"{info.task_id} {info.status}")
        raise RuntimeError("not interested")

    all_ends = TaskHooks(on_task_complete=told, on_task_failed=noted, on_task_cancelled=noted)
    waits = Tool(
        linger.fn,
        in_doubt="retry",
        background=True,
        task_hooks=TaskHooks(on_task_cancelled=refuses),
    )
    tools: list[Tool[..., Any]] = [enter, waits]
    return [Agent("agent", model=EchoModel(), tools=tools, task_hooks=all_ends)]


async def tried_once_more(client: Client) -> object:
    task_id = await client.tasks.enqueue("enter", agent="agent", idempotency_key="one")
    (before,) = await client.tasks.wait(task_id)
    client.world.put("opened", "door", None)
    await client.tasks.retry(task_id, by="the porter")
    (after,) = await client.tasks.wait(task_id)
    return before.status, after.status, after.result


def locked_out(world: World) -> list[Agent]:
    """Answers before its task has failed, also where both were cut off: the task takes longer."""
    turns = [Turn(tool_calls=[ToolCall("knock")]), Turn("It has begun.")]
    return [Agent("agent", model=ScriptedModel(turns), tools=[knock])]


async def told_to_the_thread(client: Client) -> object:
    run_id = await client.start("agent", "go in", run_id="one", thread_id="t", resource_id="u")
    await client.result(run_id)
    (before,) = await client.tasks.wait("one:0.0")
    client.world.put("opened", "door", None)
    await client.tasks.retry("one:0.0")
    (after,) = await client.tasks.wait("one:0.0")

    while len(told := await client.call(all_texts)) < 6:
        await client.sleep(0.5)
    await client.sleep(5.0)  # It is said once.
    assert await client.call(all_texts) == told
    return before.status, after.status, sorted(told)


async def for_the_runtime(client: Client) -> object:
    """Have a tool called that is the runtime's own."""
    task_id = await client.tasks.enqueue("crawl", {"seconds": 1.0}, idempotency_key="one")
    (info,) = await client.tasks.wait(task_id)
    return info.status, info.agent_id, info.result


async def called_off(client: Client) -> object:
    task_id = await client.tasks.enqueue("linger", agent="agent", idempotency_key="one")
    await client.sleep(2)
    await client.tasks.cancel(task_id, "enough")
    (info,) = await client.tasks.wait(task_id)
    return info.status


def idle(world: World) -> list[Agent]:
    """Says what it has been told each time that it is asked."""
    calls = [ToolCall("crawl", {"seconds": 2.0}), ToolCall("crawl", {"seconds": 5.0})]

    def answer(request: ModelRequest) -> Turn:
        return Turn(" / ".join(_told(request))) if request.step else Turn(tool_calls=calls)

    return [Agent("agent", model=ScriptedModel(answer), tools=[crawl])]


async def until_idle(client: Client) -> object:
    run_id = await client.start("agent", "do it", run_id="one", until_idle=True)
    result = await client.result(run_id)
    return result.status, result.output


async def after_the_last(client: Client) -> object:
    policy = UntilIdle(react="all")
    run_id = await client.start("agent", "do it", run_id="one", until_idle=policy)
    result = await client.result(run_id)
    return result.status, result.output, result.steps


@tool(in_doubt="retry")
async def consent(ctx: ToolContext) -> str:
    """Ask a person, in the foreground."""
    return str(await ctx.suspend("sure", answer_type=str))


def in_between(world: World) -> list[Agent]:
    """Waits for a person while its task goes on, and ends."""
    return [_brief(ToolCall("crawl", {"seconds": 2.0}), ToolCall("consent"))]


def _brief(*calls: ToolCall) -> Agent:
    """Makes the calls, and says of how many it has been told the result."""

    def answer(request: ModelRequest) -> Turn:
        results = [text for text in _told(request) if not text.startswith("queued")]
        return Turn(f"{len(results)} told") if request.step else Turn(tool_calls=calls)

    return Agent("agent", model=ScriptedModel(answer), tools=[crawl, consent])


def two_at_last(world: World) -> list[Agent]:
    return [_brief(*[ToolCall("crawl", {"seconds": seconds}) for seconds in (2.0, 5.0)])]


async def told_to(client: Client, run_id: str) -> list[str]:
    """Wait until a run has been told of a task, and return all that it was told."""

    async def received(rt: Runtime) -> list[str]:
        events = [recorded.event for recorded in rt.log.read(run_stream(run_id))]
        return [event.status for event in events if isinstance(event, BackgroundResultReceived)]

    while not (told := await client.call(received)):
        await client.sleep(0.5)
    return told


async def answered_late(client: Client) -> object:
    run_id = await client.start("agent", "do it", run_id="one")
    while not any(item.key == "sure" for item in await client.pending()):
        await client.sleep(0.5)
    await told_to(client, "one")
    await client.resume(run_id, "yes", suspension="sure")
    result = await client.result(run_id)
    return result.status, result.output


def hasty(world: World) -> list[Agent]:
    """Answers before its task has ended."""
    turns = [Turn(tool_calls=[ToolCall("crawl", {"seconds": 5.0})]), Turn("It has begun.")]
    return [Agent("agent", model=ScriptedModel(turns), tools=[crawl])]


async def told_when_over(client: Client) -> object:
    result = await client.run("agent", "do it", run_id="one")
    told = await told_to(client, "one")
    (task,) = await client.call(lambda rt: rt.tasks.wait("one:0.0"))
    return result.status, result.output, task.status, told


@tool(in_doubt="retry", background=Background(mode="awaited", timeout=2))
async def stubborn() -> str:
    """Go on although its time is up."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(3)
    return "too late"


def deaf(world: World) -> list[Agent]:
    return [_patient(ToolCall("stubborn"), tools=[stubborn])]


TASKS = [
    Case("a run until idle", idle, until_idle, promise=the_same_is_told),
    Case("deferred tasks", deferred, one_run, promise=the_same_is_told),
    Case(
        "a task that is waited for, and tried again",
        waited_for,
        one_run,
        promise=the_same_is_told,
    ),
    Case(
        "three tasks and one slot",
        three,
        one_run,
        promise=the_same_is_told,
        background_tasks=ONE_SLOT,
        second_crashes=1,
    ),
    Case(
        "a task that must not be repeated",
        sender,
        one_run,
        at_most_once=("send",),
        promise=sent_or_in_doubt,
    ),
    Case("a task that asks a person", reader, answered, promise=the_same_is_told),
    Case("a run that is cancelled with its task", lingering, cancelled, promise=either_over),
    Case("a task that no model asked for", busy, enqueued),
    Case(
        "a run until idle that is told after the last result",
        two_at_last,
        after_the_last,
        promise=the_same_is_told,
        second_crashes=1,
    ),
    Case(
        "a result for a run that waits for a person",
        in_between,
        answered_late,
        promise=the_same_is_told,
        second_crashes=1,
    ),
    Case("a result for a run that is over", hasty, told_when_over, second_crashes=1),
    Case(
        "a task that ignores its deadline",
        deaf,
        one_run,
        promise=the_same_is_told,
        second_crashes=1,
    ),
    Case("a task that is tried once more, with hooks", hooked, tried_once_more),
    Case("a task that is called off, with hooks", hooked, called_off),
    Case("a thread that is told of each try", locked_out, told_to_the_thread),
]
