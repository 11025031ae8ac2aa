"""What models and tools are given besides messages: instructions, context, settings, options."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    ModelError,
    ModelRequest,
    RunContext,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import (
    InvalidDefinition,
    ModelCallCompleted,
    ModelCallFailed,
    RunExists,
    RunStarted,
    UnserialisableValue,
)
from outlive.projections import RunResult
from tests.support import Machine


class Asked:
    """A script that keeps the requests, and calls a tool in each of its first steps."""

    def __init__(self, *tools: str) -> None:
        self.requests: list[ModelRequest] = []
        self._tools = tools

    def __call__(self, request: ModelRequest) -> Turn:
        self.requests.append(request)
        if request.step < len(self._tools):
            return Turn(tool_calls=[ToolCall(self._tools[request.step])])
        return Turn("done", delay=0.1)


@tool(read_only=True)
async def whose(ctx: ToolContext) -> str:
    """Tell for whom this is done."""
    return str(ctx.request_context["user"])


@tool(read_only=True)
def whose_in_thread(ctx: SyncToolContext) -> str:
    """Tell it from a thread."""
    return str(ctx.request_context["user"])


async def told(context: RunContext) -> str:
    await asyncio.sleep(0.01)
    return f"You serve {context.request_context.get('user')!r} in step {context.step}."


def run(agent: Agent, **options: Any) -> tuple[RunResult, Machine]:
    machine = Machine()
    return machine.run(lambda rt: rt.run("a", "hi", run_id="r1", **options), agent), machine


def test_the_context_of_a_request_reaches_tools_and_instructions_and_is_stored() -> None:
    asked = Asked("whose", "whose_in_thread")
    agent = Agent(
        "a", model=ScriptedModel(asked), tools=[whose, whose_in_thread], instructions=told
    )
    result, machine = run(agent, request_context={"user": "Ada", "tags": (1, 2)})
    assert [m.text for m in result.messages if m.text == "Ada"] == ["Ada", "Ada"]
    assert [request.instructions for request in asked.requests] == [
        f"You serve 'Ada' in step {step}." for step in range(3)
    ]
    started = machine.events("r1")[0]
    assert isinstance(started, RunStarted)
    assert started.request_context == {"user": "Ada", "tags": [1, 2]}


def test_a_plain_function_will_do_for_instructions_and_sees_the_run() -> None:
    asked = Asked("whose")

    def instructions(context: RunContext) -> str:
        return f"{context.agent_id} {context.deps} {len(context.messages)} {context.metadata}"

    agent = Agent("a", model=ScriptedModel(asked), tools=[whose], instructions=instructions)

    async def body(rt: Runtime) -> RunResult:
        return await rt.run("a", "hi", metadata={"k": 1}, request_context={"user": "Ada"})

    Machine().run(body, agent, deps="d")
    assert [request.instructions for request in asked.requests] == [
        "a d 1 {'k': 1}",
        "a d 3 {'k': 1}",
    ]


def no_text(context: RunContext) -> Any:
    return context.step


def broken(context: RunContext) -> str:
    raise LookupError(context.step)


def unstorable(context: RunContext) -> str:
    return f"{context.step} \ud800"


@pytest.mark.parametrize("wrong", [no_text, broken, unstorable])
def test_instructions_that_cannot_be_made_fail_the_run(wrong: Any) -> None:
    result, machine = run(Agent("a", model=EchoModel(), instructions=wrong))
    assert result.error is not None
    assert (result.status, result.error.kind) == ("failed", "instructions")
    assert machine.kinds("r1")[-2:] == ["model-call-failed", "run-failed"]


def test_settings_and_options_reach_the_model() -> None:
    asked = Asked()
    agent = Agent("a", model=ScriptedModel(asked), model_settings={"temperature": 0.5})
    run(agent, provider_options={"openai": {"tier": "flex"}})
    (request,) = asked.requests
    assert request.settings == {"temperature": 0.5}
    assert request.provider_options == {"openai": {"tier": "flex"}}


def sent(agent: Agent, **options: Any) -> list[str]:
    """Return the digests of what was sent, from the log."""
    _, machine = run(agent, **options)
    return [
        event.request_digest
        for event in machine.events("r1")
        if isinstance(event, ModelCallCompleted | ModelCallFailed)
    ]


def test_what_was_sent_is_recorded_by_its_digest_where_it_may_differ() -> None:
    assert sent(Agent("a", model=EchoModel(), instructions="fixed")) == [""]
    asked = Asked("whose")
    steps = sent(
        Agent("a", model=ScriptedModel(asked), tools=[whose], instructions=told),
        request_context={"user": "Ada"},
    )
    assert len(set(steps)) == 2
    assert all(len(digest) == 32 for digest in steps)
    plain = Agent("a", model=EchoModel())
    options = [sent(plain, provider_options={"n": n})[0] for n in (1, 1, 2)]
    assert options[0] == options[1] != options[2]
    warm = Agent("a", model=EchoModel(), model_settings={"temperature": 1})
    assert sent(warm)[0] not in ("", options[0])


def test_a_call_that_failed_was_sent_as_well() -> None:
    model = ScriptedModel(
        lambda request: Turn(error=ModelError(kind="timeout") if request.attempt == 1 else None)
    )
    digests = sent(Agent("a", model=model, instructions=told))
    assert len(digests) == 2
    assert digests[0] == digests[1] != ""


def test_all_of_it_is_there_after_a_crash() -> None:
    asked = Asked("whose")
    agent = Agent("a", model=ScriptedModel(asked), tools=[whose], instructions=told)
    machine = Machine()

    async def start(rt: Runtime) -> None:
        options: dict[str, Any] = {"provider_options": {"n": 1}, "request_context": {"user": "Ada"}}
        await (await rt.start("a", "hi", run_id="r1", **options)).result()

    machine.crash(start, agent, commits=3)
    machine.run(lambda rt: rt.result("r1"), agent)
    last = asked.requests[-1]
    assert (last.instructions, last.provider_options) == ("You serve 'Ada' in step 1.", {"n": 1})


def test_a_start_with_other_options_is_another_start() -> None:
    async def body(rt: Runtime) -> None:
        first = await rt.start("a", "hi", run_id="r1", request_context={"user": "Ada"})
        again = await rt.start("a", "hi", run_id="r1", request_context={"user": "Ada"})
        assert first.id == again.id
        others: list[dict[str, Any]] = [
            {},
            {"request_context": {"user": "Bob"}},
            {"request_context": {"user": "Ada"}, "provider_options": {"n": 1}},
            {"provider_options": {"user": "Ada"}},
        ]
        for other in others:
            with pytest.raises(RunExists):
                await rt.start("a", "hi", run_id="r1", **other)

    Machine().run(body, Agent("a", model=EchoModel()))


def test_what_cannot_be_stored_is_refused() -> None:
    for wrong in ({"model_settings": {"f": print}}, {"model_settings": [1]}, {"instructions": 3}):
        with pytest.raises(InvalidDefinition):
            Agent("a", model=EchoModel(), **wrong)  # pyright: ignore[reportArgumentType]

    async def body(rt: Runtime) -> None:
        with pytest.raises(TypeError, match="request_context of a run is a mapping"):
            await rt.start("a", "hi", request_context=[])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(UnserialisableValue):
            await rt.start("a", "hi", provider_options={"f": print})

    Machine().run(body, Agent("a", model=EchoModel()))
