"""A cancel in each state that a run can be in, as a table: what is recorded, and what happens.

A model that streams, a tool that runs (on the loop, in a thread), one that is to be tried again,
and runs that are blocked, quarantined or over are in `test_cancel`; a tool in a process of its
own in `test_workers`; a run whose start waits in the inbox in `tests/processes/test_people`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    Finish,
    ModelError,
    ModelPart,
    ModelRequest,
    Retry,
    RunContext,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    TextDelta,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import (
    AlreadyDecided,
    AlreadyOver,
    AlreadyResumed,
    NotSuspended,
    ToolResultIgnored,
)
from outlive.projections import RunResult
from tests.support import Gate, Machine
from tests.support.people import DAY

pytestmark = pytest.mark.usefixtures("saved_every")

Noted = list[str]
"""What models, tools and functions were asked to do, and how that ended."""


async def for_ever(noted: Noted, what: str) -> None:
    """Do something that only a cancellation ends."""
    noted.append(what)
    try:
        await asyncio.get_running_loop().create_future()
    except (asyncio.CancelledError, GeneratorExit):
        noted.append(f"{what} is cut off")
        raise


class Named:
    """A model that fails, answers what is none, or answers for ever, and notes it."""

    def __init__(self, name: str, noted: Noted, *answers: str | Exception) -> None:
        self.name = name
        self._noted = noted
        self._answers = answers

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        if request.step == len(self._answers):
            await for_ever(self._noted, self.name)
        answer = self._answers[request.step]
        self._noted.append(f"{self.name} {request.step}")
        if isinstance(answer, Exception):
            raise answer
        yield TextDelta(answer)
        yield Finish()


def calling(*tools: Tool[..., Any], **more: Any) -> Agent:
    """An agent that calls these tools at once."""
    turns = [Turn(tool_calls=[ToolCall(each.name) for each in tools]), Turn("done")]
    return Agent("a", model=ScriptedModel(turns), tools=tools, **more)


def waits_for_another_try(noted: Noted) -> Agent:
    model = Named("main", noted, ModelError("busy", kind="rate_limit"))
    return Agent("a", model=model, model_retry=Retry(9, delay=60, jitter=0))


def has_fallen_back(noted: Noted) -> Agent:
    main = Named("main", noted, ModelError("wrong", kind="rejected"))
    return Agent("a", model=main, fallback_models=[Named("other", noted)])


@dataclass
class Number:
    number: int


def repairs_its_answer(noted: Noted) -> Agent:
    return Agent("a", model=Named("main", noted, "seven"), output_type=Number)


def asks_whether_to_stop(noted: Noted) -> Agent:
    @tool(read_only=True)
    async def look() -> None: ...

    return calling(look, stop_when=["enough"])


def waits_for_its_turn(noted: Noted) -> Agent:
    @tool(idempotent=True)
    async def first() -> None:
        await for_ever(noted, "first")

    @tool(idempotent=True)
    async def second() -> None:
        noted.append("second")

    return calling(first, second, tool_concurrency=1)


@tool(in_doubt="retry", requires_approval=True, approval_expires=600)
async def publish() -> None:
    """Publish something."""


def waits_for_consent(noted: Noted) -> Agent:
    return calling(publish)


def waits_for_two_answers(noted: Noted) -> Agent:
    @tool(in_doubt="retry")
    async def ask(ctx: ToolContext) -> None:
        noted.append(f"ask {ctx.attempt}")
        await asyncio.gather(ctx.suspend("left"), ctx.suspend("right"))
        noted.append("answered")

    return calling(ask)


async def answer_one(rt: Runtime) -> None:
    await rt.resume("r1", 1, suspension="left")


def waits_while_another_runs(noted: Noted) -> Agent:
    @tool(idempotent=True)
    async def work() -> None:
        await for_ever(noted, "work")

    return calling(publish, work)


def is_in_doubt(noted: Noted) -> Agent:
    @tool(destructive=True, timeout=2)
    async def wipe() -> None:
        await for_ever(noted, "wipe")

    return calling(wipe)


def has_asked_again_after_doubt(noted: Noted) -> Agent:
    @tool(destructive=True, timeout=2, retry=Retry(3, delay=60, jitter=0))
    async def wipe(ctx: ToolContext) -> None:
        if ctx.attempt == 1:
            await for_ever(noted, "wipe")
        noted.append(f"wipe {ctx.attempt}")
        raise ValueError

    return calling(wipe)


async def retry(rt: Runtime) -> None:
    await rt.resolve("r1", "0.0", retry=True)


@dataclass(frozen=True)
class Case:
    """A state, and how a run gets there in ten seconds."""

    name: str
    make: Callable[[Noted], Agent]
    last: str
    """The last events before the cancel: by them the run is in that state."""
    happened: str
    """What was noted until then, and of the cancel; a comma between."""
    meanwhile: Callable[[Runtime], Awaitable[object]] | None = None


CASES = [
    Case("a model to be tried again", waits_for_another_try, "model-call-failed", "main 0"),
    Case(
        "another model",
        has_fallen_back,
        "model-call-failed model-call-started",
        "main 0, other, other is cut off",
    ),
    Case(
        "an answer to be repaired",
        repairs_its_answer,
        "output-rejected model-call-started",
        "main 0, main, main is cut off",
    ),
    Case(
        "a function that says whether to stop",
        asks_whether_to_stop,
        "tool-call-started tool-call-completed",
        "enough, enough is cut off",
    ),
    Case(
        "a call that waits for its turn",
        waits_for_its_turn,
        "model-call-completed tool-call-started",
        "first, first is cut off",
    ),
    Case("consent", waits_for_consent, "approval-requested run-suspended", ""),
    Case(
        "two questions, one of them answered",
        waits_for_two_answers,
        "run-resumed run-suspended",
        "ask 1",
        answer_one,
    ),
    Case(
        "consent, and a tool that runs",
        waits_while_another_runs,
        "approval-requested tool-call-started",
        "work, work is cut off",
    ),
    Case("doubt", is_in_doubt, "tool-call-in-doubt run-suspended", "wipe, wipe is cut off"),
    Case(
        "another try after a doubt",
        has_asked_again_after_doubt,
        "tool-call-started tool-call-failed",
        "wipe, wipe is cut off, wipe 2",
        retry,
    ),
]


def functions(noted: Noted) -> dict[str, Callable[..., Any]]:
    async def enough(context: RunContext) -> bool:
        await for_ever(noted, "enough")
        return True

    return {"enough": enough}


async def get_there(rt: Runtime, case: Case) -> None:
    await rt.start("a", "go", run_id="r1")
    await asyncio.sleep(5)
    if case.meanwhile is not None:
        await case.meanwhile(rt)
    await asyncio.sleep(5)


async def cancel(rt: Runtime) -> RunResult:
    """Cancel, and see what callers are told, then and long after."""
    waiting = asyncio.ensure_future(rt.result("r1"))
    await asyncio.sleep(0)
    assert await rt.cancel("r1", "enough of it", by="me")
    result = await rt.result("r1")
    assert (await waiting).status in (result.status, "suspended")
    await asyncio.sleep(DAY)
    assert await rt.cancel("r1", "enough of it", by="me")
    for said in (
        rt.resume("r1", "another"),
        rt.approve("r1", "0.0"),
        rt.decline("r1", "0.0"),
        rt.resolve("r1", "0.0", error="no"),
    ):
        with pytest.raises((NotSuspended, AlreadyDecided, AlreadyResumed)):
            await said
    assert await rt.runs.pending() == []
    assert (await rt.runs.get("r1")).status == "cancelled"
    assert rt.live() == []
    return result


def check(machine: Machine, result: RunResult) -> None:
    assert result.status == "cancelled"
    assert result.error is not None
    assert (result.error.kind, result.error.message) == ("cancelled", "enough of it")
    assert machine.status("r1") is None, "nothing is owed, and nobody is to be woken"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_the_last_thing_that_happens(case: Case) -> None:
    noted: Noted = []
    machine, agent = Machine(), case.make(noted)

    async def body(rt: Runtime) -> RunResult:
        await get_there(rt, case)
        kinds = machine.kinds("r1")
        assert " ".join(kinds).endswith(case.last)
        result = await cancel(rt)
        assert machine.kinds("r1") == [*kinds, "run-cancelled"]
        return result

    check(machine, machine.run(body, agent, functions=functions(noted)))
    assert ", ".join(noted) == case.happened


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_after_a_crash_it_is_the_last_thing_that_happens_too(case: Case) -> None:
    noted: Noted = []
    machine, agent = Machine(), case.make(noted)
    machine.crash(lambda rt: get_there(rt, case), agent, functions=functions(noted))
    noted.clear()
    result = machine.run(cancel, agent, functions=functions(noted))
    check(machine, result)
    assert machine.kinds("r1")[-1] == "run-cancelled"
    began = [what for what in noted if not what.endswith("is cut off")]
    assert noted == [*began, *(f"{what} is cut off" for what in began)], "what began was cut off"


def test_a_thread_in_doubt_that_ends_after_the_cancel_is_recorded_as_late() -> None:
    with Gate() as gate:

        @tool(destructive=True, timeout=2)
        def burn(ctx: SyncToolContext) -> str:
            gate.wait()
            return "burnt"

        async def body(rt: Runtime) -> RunResult:
            run = await rt.start("a", "go", run_id="r1")
            assert (await run.result()).status == "suspended"
            await rt.cancel("r1")
            gate.open()
            await asyncio.sleep(DAY)
            assert rt.live() == []
            return await run.result()

        machine = Machine()
        assert machine.run(body, calling(burn)).status == "cancelled"
    assert machine.kinds("r1")[-2:] == ["run-cancelled", "tool-result-ignored"]
    (late,) = (event for event in machine.events("r1") if isinstance(event, ToolResultIgnored))
    assert (late.call_id, late.attempt, late.outcome) == ("0.0", 1, "completed")


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_what_is_over_stays_what_it_came_to(status: str) -> None:
    error = ModelError("no", kind="rejected") if status == "failed" else None

    async def body(rt: Runtime) -> RunResult:
        result = await (await rt.start("a", "go", run_id="r1")).result()
        with pytest.raises(AlreadyOver) as over:
            await rt.cancel("r1")
        assert (over.value.run_id, over.value.status) == ("r1", status)
        assert rt.live() == []
        assert await rt.result("r1") == result
        return result

    machine = Machine()
    result = machine.run(body, Agent("a", model=ScriptedModel([Turn("x", error=error)])))
    assert result.status == status
    assert "run-cancelled" not in machine.kinds("r1")
