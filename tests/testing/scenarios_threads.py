"""Scenarios of runs that share a thread."""

from __future__ import annotations

import asyncio

from outlive.actors import (
    Agent,
    Background,
    History,
    ModelRequest,
    Runtime,
    ScriptedModel,
    ToolCall,
    ToolContext,
    ToSummarize,
    Turn,
    tool,
)
from outlive.events import AlreadyOver, HistoryCondensed, thread_stream
from outlive.projections import AssistantMessage, UserMessage
from outlive.testing import Client, Outcome, World
from tests.testing.scenarios import Case

THREAD = "talk"


def _echo(request: ModelRequest) -> Turn:
    """Say what was said so far: so a message that is lost, or there twice, shows."""
    heard = [one.text for one in request.messages if isinstance(one, UserMessage)]
    return Turn(" ".join(heard), delay=0.5)


def talking(world: World) -> list[Agent]:
    return [Agent("agent", model=ScriptedModel(_echo))]


async def _ask(client: Client, said: str, **more: object) -> str:
    return await client.start(
        "agent",
        said,
        run_id=said,
        thread_id=THREAD,
        resource_id="somebody",
        **more,  # type: ignore[arg-type]
    )


async def _said(client: Client) -> list[str]:
    """Return what was said on the thread once nothing goes on on it any more."""
    while (await client.call(lambda rt: rt.threads.get(THREAD))).status != "idle":
        await client.sleep(0.2)
    messages = await client.call(lambda rt: rt.threads.messages(THREAD))
    return [
        one.message.text
        for one in messages
        if isinstance(one.message, UserMessage | AssistantMessage)
    ]


async def one_after_the_other(client: Client) -> list[str]:
    for said in ("one", "two", "three"):
        await _ask(client, said)
    for run_id in ("three", "one", "two"):
        await client.result(run_id)
    return await _said(client)


async def one_is_taken_back(client: Client) -> list[str]:
    for said in ("one", "two", "three"):
        await _ask(client, said)
    try:
        await client.cancel("two", "enough")
    except AlreadyOver:
        return ["too late"]  # A crash has taken so long.
    for run_id in ("one", "two", "three"):
        await client.result(run_id)
    return await _said(client)


@tool(in_doubt="fail")
async def send(ctx: ToolContext) -> str:
    """Do what must not be repeated."""
    ctx.deps.record("send", ctx.idempotency_key)
    return f"sent for {ctx.resource_id} on {ctx.thread_id}"


def sending(world: World) -> list[Agent]:
    def answer(request: ModelRequest) -> Turn:
        if request.step == 0:
            return Turn(tool_calls=[ToolCall("send")], delay=0.2)
        return Turn("done")

    return [Agent("agent", model=ScriptedModel(answer), tools=[send])]


async def two_that_send(client: Client) -> int:
    for said in ("one", "two"):
        await _ask(client, said)
    for said in ("one", "two"):
        await client.result(said)
    return len(await _said(client))


def the_same_was_said(calm: Outcome, crashed: Outcome) -> None:
    """In whatever process: each message once, in order."""
    assert crashed.returned == calm.returned, f"{crashed.returned}, without a crash {calm.returned}"


def in_time_or_too_late(calm: Outcome, crashed: Outcome) -> None:
    """What was taken back was never said; unless a crash took so long that it had begun."""
    assert crashed.returned in (
        calm.returned,
        ["one", "one", "two", "three", "one two three"],
        ["too late"],
    )


async def told_meanwhile(client: Client) -> list[str]:
    """Signals that come while a run works, just before it ends, and after it."""
    await _ask(client, "one")
    for number in range(3):
        await client.signal(f"s{number}", thread_id=THREAD, idempotency_key=str(number))
        await client.sleep(0.3)
    await client.signal("other", thread_id=THREAD, agent="other", idempotency_key="other")
    return sorted(one for one in await _said(client) if one.startswith("<"))


@tool(in_doubt="retry", background=Background(on_complete="append"))
async def crawl() -> str:
    """Take longer than the run."""
    await asyncio.sleep(4)
    return "crawled"


def leaving(world: World) -> list[Agent]:
    turns = [Turn(tool_calls=[ToolCall("crawl")]), Turn("begun", delay=0.5)]
    return [Agent("agent", model=ScriptedModel(turns), tools=[crawl])]


async def a_late_result(client: Client) -> list[str]:
    await _ask(client, "one")

    async def enqueue(rt: Runtime) -> str:
        return await rt.tasks.enqueue(
            "crawl", agent="agent", idempotency_key="k", thread_id=THREAD, resource_id="somebody"
        )

    await client.call(enqueue)
    while len(results := [one for one in await _said(client) if "crawled" in one]) < 2:
        await client.sleep(1)
    return sorted(one.partition(" (")[2] for one in results)


def two_agents(world: World) -> list[Agent]:
    return [*talking(world), Agent("other", model=ScriptedModel([Turn("seen", delay=0.5)]))]


def condensing(world: World) -> list[Agent]:
    """Return one that sees little, and condenses the rest so that all of it can be told."""

    async def condense(part: ToSummarize) -> str:
        await asyncio.sleep(0.3)
        said = [one.text for one in part.messages if isinstance(one, UserMessage)]
        return " ".join([part.summary, *said]).strip()

    history = History(max_messages=1, summarize=condense)
    return [Agent("agent", model=ScriptedModel(_echo), history=history)]


async def a_long_talk(client: Client) -> object:
    """Return what was said in the end, and what was condensed when: each part of it once."""
    for said in ("one", "two"):
        await _ask(client, said)
        await client.result(said)

    async def condensed(rt: Runtime) -> list[tuple[int, str]]:
        events = [recorded.event for recorded in rt.log.read(thread_stream(THREAD))]
        done = [event for event in events if isinstance(event, HistoryCondensed)]
        return [(event.messages, event.text) for event in done if event.error is None]

    return await _said(client), await client.call(condensed)


THREADS = [
    Case("a long talk", condensing, a_long_talk, promise=the_same_was_said),
    Case("one after the other", talking, one_after_the_other, promise=the_same_was_said),
    Case("one is taken back", talking, one_is_taken_back, promise=in_time_or_too_late),
    Case(
        "each sends once",
        sending,
        two_that_send,
        at_most_once=("send",),
        promise=the_same_was_said,
    ),
    Case("late results", leaving, a_late_result, promise=the_same_was_said),
    Case("signals", two_agents, told_meanwhile, promise=the_same_was_said),
]
