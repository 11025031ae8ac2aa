"""Scenarios of what an agent can do besides calling tools: retries, ends, shapes, parts."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from outlive.actors import (
    Agent,
    ImagePart,
    ModelError,
    ModelRequest,
    Retry,
    RunContext,
    ScriptedModel,
    StopAfterSteps,
    StopOnTool,
    TextPart,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.actors.run_context import Functions
from outlive.actors.stopping import StopWhen
from outlive.projections import UserMessage
from outlive.testing import Client, World
from tests.testing.scenarios import Case, look, one_run, slow


def model_retried(world: World) -> list[Agent]:
    """The provider is busy twice, then it answers; each time it says half of it."""

    def answer(request: ModelRequest) -> Turn:
        busy = world.count("busy")
        if busy < 2:
            world.record("busy", f"{busy}")
            return Turn("half an ", error=ModelError(kind="rate_limit", retry_after=300))
        return Turn("half an hour later")

    return [Agent("agent", model=ScriptedModel(answer), model_retry=Retry(2, delay=5))]


def waiting_for_hours(world: World) -> list[Agent]:
    """Whatever it waits for takes hours, and nothing of it is in memory meanwhile."""

    @tool(in_doubt="retry", retry=Retry(3, delay=7_200, max_delay=20_000))
    async def closed(ctx: ToolContext, shop: str) -> str:
        """Be closed twice."""
        if ctx.deps.count(shop, ctx.idempotency_key) < 2:
            ctx.deps.record(shop, ctx.idempotency_key)
            raise ConnectionError("closed")
        return f"{shop} is open"

    def answer(request: ModelRequest) -> Turn:
        if request.step == 1 and world.count("busy") < 2:
            world.record("busy", f"{world.count('busy')}")
            return Turn("a moment", error=ModelError(kind="rate_limit", retry_after=10_000))
        if request.step == 0:
            return Turn(tool_calls=[ToolCall("closed", {"shop": shop}) for shop in ("a", "b")])
        return Turn("bought")

    model = ScriptedModel(answer)
    return [Agent("agent", model=model, tools=[closed], model_retry=Retry(2, delay=5))]


async def patient(client: Client) -> object:
    """Ask for the result now and then; somebody else waits for it all the time."""
    run_id = await client.start("agent", "shop", run_id="one")
    for _ in range(3):
        with suppress(TimeoutError):
            async with asyncio.timeout(5_000):
                await client.result(run_id)
    result = await client.result(run_id)
    return result.status, result.output, [message.text for message in result.messages[2:4]]


def another_model(world: World) -> list[Agent]:
    first = ScriptedModel([Turn(error=ModelError("no", kind="unavailable"))], name="first")
    second = ScriptedModel([Turn("I am here", delay=0.03)], name="second")
    return [Agent("agent", model=first, fallback_models=[second], model_retry=1)]


def no_model_left(world: World) -> list[Agent]:
    first = ScriptedModel([Turn("so", error=ModelError("no", kind="rejected"))], name="first")
    second = ScriptedModel([Turn("far", error=TimeoutError("late"))], name="second")
    return [Agent("agent", model=first, fallback_models=[second], model_retry=1)]


def stopping(world: World) -> list[Agent]:
    """The model would go on for ever, but a tool says that it is done."""
    answer = Turn(
        "on", tool_calls=[ToolCall("look", {"what": "a"}), ToolCall("slow", {"seconds": 1})]
    )
    model = ScriptedModel(lambda _: answer)
    conditions: list[StopWhen] = [StopAfterSteps(7), StopOnTool("slow")]
    return [Agent("agent", model=model, tools=[look, slow], stop_when=conditions)]


@tool(in_doubt="retry")
async def serve(ctx: ToolContext) -> str:
    """Serve whoever asks."""
    ctx.deps.record("served", ctx.idempotency_key)
    return f"served {ctx.request_context['user']!r}"


def with_options(world: World) -> list[Agent]:
    """What the answer says is what the model was told."""

    async def instructions(run: RunContext) -> str:
        await asyncio.sleep(0.05)
        return f"step {run.step} for {run.request_context['user']!r}"

    def answer(request: ModelRequest) -> Turn:
        calls = [ToolCall("serve")] if request.step == 0 else []
        (first, *_) = request.messages
        assert isinstance(first, UserMessage)
        return Turn(f"{request.instructions} {request.provider_options} {first}", tool_calls=calls)

    return [Agent("agent", model=ScriptedModel(answer), tools=[serve], instructions=instructions)]


async def one_with_options(client: Client) -> object:
    picture = ImagePart(media_type="image/png", data=b"0123456789" * 7_000)
    run_id = await client.start(
        "agent",
        [TextPart("look at it"), picture],
        run_id="one",
        request_context={"user": "Ada"},
        provider_options={"tier": 1},
    )
    result = await client.result(run_id)
    return result.status, result.output


class Report(msgspec.Struct):
    """What is wanted."""

    words: int
    title: str = "none"


def shaped(world: World) -> list[Agent]:
    turns = [
        Turn(tool_calls=[ToolCall("look", {"what": "a"})]),
        Turn("three words, I think", delay=0.03),
        Turn('{"words": 3}', delay=0.03),
    ]
    return [Agent("agent", model=ScriptedModel(turns), tools=[look], output_type=Report)]


def never_shaped(world: World) -> list[Agent]:
    return [Agent("agent", model=ScriptedModel(lambda _: Turn("well")), output_type=Report)]


async def one_report(client: Client) -> object:
    result = await client.run("agent", "do it", run_id="one")
    return result.status, result.data


async def enough(context: RunContext) -> bool:
    await asyncio.sleep(0.2)
    context.deps.record("asked", f"{context.step}")
    return context.step == 3


def asking_a_function(world: World) -> list[Agent]:
    model = ScriptedModel(lambda _: Turn(tool_calls=[ToolCall("look", {"what": "a"})]))
    return [Agent("agent", model=model, tools=[look], stop_when=["enough"])]


FUNCTIONS: Functions = {"enough": enough}
CASES = [
    Case("model retried", model_retried, one_run),
    Case("hours between two tries", waiting_for_hours, patient, second_crashes=1),
    Case("another model", another_model, one_run),
    Case("no model left", no_model_left, one_run, second_crashes=1),
    Case("stop on a tool", stopping, one_run, second_crashes=1),
    Case("stop when a function says so", asking_a_function, one_run, second_crashes=2),
    Case("context, options and parts", with_options, one_with_options, second_crashes=1),
    Case("an answer of a type", shaped, one_report, second_crashes=1),
    Case("an answer that never fits", never_shaped, one_report),
]
