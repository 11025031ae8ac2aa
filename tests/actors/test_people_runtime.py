"""Runs that wait for people, as their users see them: asked, answered, agreed to, resolved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pytest

from outlive.actors import (
    Agent,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import (
    AlreadyDecided,
    AlreadyResumed,
    AmbiguousSuspension,
    ApprovalDenied,
    ApprovalGranted,
    ArgumentsChanged,
    InvalidResumeValue,
    NotSuspended,
    RunNotFound,
    RunResumed,
    SuspensionNotFound,
    ToolCallCompleted,
    ToolCallInDoubt,
    ToolCallResolved,
    ToolCallStarted,
    ToolResultIgnored,
    run_stream,
)
from outlive.projections import Pending, RunResult, ToolMessage
from tests.actors.conftest import Logs
from tests.support import Gate, Machine, clock, open_runtime, run_virtual, tag

pytestmark = pytest.mark.usefixtures("saved_every")

DAY: Final = 24 * 3600
AnyTool = Tool[..., Any]


def agent(tools: Sequence[AnyTool], *calls: ToolCall, id: str = "a") -> Agent:
    """An agent that makes these calls in one step, and then says that it is done."""
    wanted = calls or tuple(ToolCall(each.name) for each in tools)
    turns = [Turn(tool_calls=list(wanted)), Turn(text="done")]
    return Agent(id, model=ScriptedModel(turns), tools=tools)


async def begin(rt: Runtime) -> RunResult:
    run = await rt.start("a", "go", run_id="r1")
    return await run.result()


async def finish(rt: Runtime) -> RunResult:
    return await rt.result("r1")


def said(result: RunResult) -> list[Any]:
    """What the model was told of its calls: results, or the kinds of errors."""
    return [
        message.result if message.error is None else message.error.kind
        for message in result.messages
        if isinstance(message, ToolMessage)
    ]


def answering(value: object, suspension: str | None = None) -> Callable[[Runtime], Awaitable[Any]]:
    async def body(rt: Runtime) -> RunResult:
        assert await rt.resume("r1", value, suspension=suspension)
        return await rt.result("r1")

    return body


@tool(in_doubt="retry")
async def ask(ctx: ToolContext) -> Any:
    """Ask which one."""
    return await ctx.suspend("which", {"among": ["x", "y"]}, answer_type=str)


@tool(in_doubt="retry")
def ask_in_thread(ctx: SyncToolContext) -> Any:
    """Ask how many, in a thread."""
    return ctx.suspend("how many", answer_type=int)


@tool(in_doubt="retry")
async def ask_both(ctx: ToolContext) -> list[str]:
    """Ask two things at once."""
    questions = (ctx.suspend(key, answer_type=str) for key in ("left", "right"))
    return list(await asyncio.gather(*questions))


# -- asked and answered --


@pytest.mark.parametrize(("asks", "answer"), [(ask, "x"), (ask_in_thread, 3)])
def test_an_answer_days_later_in_another_process_with_only_the_id(
    asks: AnyTool, answer: object
) -> None:
    machine, a = Machine(), agent([asks])
    assert machine.run(begin, a).status == "suspended"
    machine.clock.advance(3 * DAY)
    result = machine.run(answering(answer), a)
    assert (result.unwrap(), said(result)) == ("done", [answer])


@pytest.mark.parametrize("asks", [ask, ask_in_thread])
def test_what_waits_survives_a_crash_and_is_not_asked_again(asks: AnyTool) -> None:
    machine, a = Machine(), agent([asks])
    machine.crash(begin, a)
    machine.crash(finish, a)
    assert machine.run(finish, a).status == "suspended"
    assert machine.kinds("r1").count("tool-call-suspended") == 1
    assert machine.kinds("r1").count("run-recovered") == 0


def test_two_questions_at_once_both_count_and_the_tool_waits_for_both() -> None:
    machine, a = Machine(), agent([ask_both])

    async def one_answer(rt: Runtime) -> list[Pending]:
        with pytest.raises(AmbiguousSuspension) as ambiguous:
            await rt.resume("r1", "l")
        assert ambiguous.value.names == ("0.0/left", "0.0/right")
        await rt.resume("r1", "l", suspension="left")
        assert (await rt.result("r1")).status == "suspended"
        return await rt.runs.pending()

    machine.run(begin, a)
    (left,) = machine.run(one_answer, a)
    assert (left.key, left.suspension) == ("right", "0.0/right")
    assert said(machine.run(answering("r"), a)) == [["l", "r"]]
    assert machine.kinds("r1").count("tool-call-started") == 2


def test_what_was_done_in_a_step_before_is_not_done_again() -> None:
    done: list[int] = []

    @tool(in_doubt="retry")
    async def order(ctx: ToolContext) -> int:
        def look_up() -> int:
            done.append(ctx.attempt)
            return 7

        price = await ctx.step("price", look_up)
        await ctx.suspend("pay", price)
        return price

    machine, a = Machine(), agent([order])
    machine.run(begin, a)
    assert said(machine.run(answering("yes"), a)) == [7]
    assert done == [1]


def test_others_of_the_step_go_on_and_the_run_is_suspended_after_them() -> None:
    @tool(read_only=True)
    async def slow() -> str:
        await asyncio.sleep(60)
        return "slow"

    async def body() -> tuple[str, float, list[Any]]:
        async with open_runtime(agent([ask, slow])) as rt:
            result = await begin(rt)
            waited = clock().seconds
            await rt.resume("r1", "x")
            return result.status, waited, said(await rt.result("r1"))

    assert run_virtual(body()) == ("suspended", 60.0, ["x", "slow"])


def test_an_answer_while_another_call_still_runs_lets_the_tool_go_on_at_once() -> None:
    @tool(read_only=True)
    async def slow() -> str:
        await asyncio.sleep(60)
        return "slow"

    async def body() -> list[Any]:
        async with open_runtime(agent([ask, slow])) as rt:
            await rt.start("a", "go", run_id="r1")
            await asyncio.sleep(1)
            await rt.resume("r1", "x")
            await asyncio.sleep(1)
            kinds = [tag(record.event) for record in rt.log.read(run_stream("r1"))]
            assert "run-suspended" not in kinds
            return said(await rt.result("r1"))

    assert run_virtual(body()) == ["x", "slow"]


def test_a_tool_that_takes_everything_for_an_error_asks_all_the_same() -> None:
    @tool(in_doubt="retry")
    async def careful(ctx: ToolContext) -> str:
        try:
            return str(await ctx.suspend("which"))
        except Exception as error:  # noqa: BLE001
            return f"failed: {error!r}"

    machine, a = Machine(), agent([careful])
    assert machine.run(begin, a).status == "suspended"
    assert said(machine.run(answering("x"), a)) == ["x"]


def test_a_question_again_and_again_as_long_as_the_tool_wants() -> None:
    @tool(in_doubt="retry")
    async def guess(ctx: ToolContext) -> int:
        number = 0
        while not await ctx.suspend(f"is it {number}", answer_type=bool):
            number += 1
        return number

    machine, a = Machine(), agent([guess])
    machine.run(begin, a)
    for number in range(3):
        assert machine.run(answering(False, f"is it {number}"), a).status == "suspended"
    assert said(machine.run(answering(True), a)) == [3]


class Address(msgspec.Struct):
    street: str
    number: int = 1


@dataclass
class Choice:
    name: str
    sure: bool = False


KINDS: list[tuple[Any, Any, Any, list[Any]]] = [
    (bool, True, True, ["true", 1, None]),
    (int, 3, 3, ["3", 3.5, True]),
    (Literal["x", "y"], "y", "y", ["z", None]),
    (Choice, {"name": "n"}, Choice("n"), [{}, {"name": 1}, "n"]),
    (Address, {"street": "s", "number": 2}, Address("s", 2), [{"number": 2}, {"street": 1}]),
    (list[int], [1, 2], [1, 2], [["1"], 1]),
    (int | None, None, None, ["x"]),
    (int | None, 4, 4, ["x"]),
    (Any, {"any": 1}, {"any": 1}, []),
]


@pytest.mark.parametrize("later", [False, True], ids=["", "in another process"])
@pytest.mark.parametrize(("kind", "right", "rebuilt", "wrong"), KINDS)
def test_an_answer_has_the_shape_that_was_asked_for(
    kind: Any, right: Any, rebuilt: Any, wrong: list[Any], later: bool
) -> None:
    got: list[Any] = []

    @tool(in_doubt="retry")
    async def form(ctx: ToolContext) -> None:
        got.append(await ctx.suspend("form", answer_type=kind))

    async def answer(rt: Runtime) -> RunResult:
        for value in wrong:
            with pytest.raises(InvalidResumeValue) as refused:
                await rt.resume("r1", value)
            assert (refused.value.run_id, refused.value.suspension) == ("r1", "0.0/form")
            assert (await rt.result("r1")).status == "suspended"
        await rt.resume("r1", right)
        return await rt.result("r1")

    async def all_of_it(rt: Runtime) -> RunResult:
        await begin(rt)
        return await answer(rt)

    machine, a = Machine(), agent([form])
    if later:
        machine.run(begin, a)
    result = machine.run(answer if later else all_of_it, a)
    assert (result.unwrap(), got) == ("done", [rebuilt])
    assert machine.kinds("r1").count("run-resumed") == 1


def test_an_answer_may_be_the_value_itself() -> None:
    machine, a = Machine(), agent([ask_in_thread, ask])
    machine.run(begin, a)
    machine.run(answering(2, "how many"), a)
    assert said(machine.run(answering("x", "which"), a)) == [2, "x"]


def test_the_same_answer_again_is_nothing_and_another_is_refused() -> None:
    async def body(rt: Runtime) -> None:
        for _ in range(2):
            await rt.resume("r1", "x", suspension="which", by="me")
        with pytest.raises(AlreadyResumed) as refused:
            await rt.resume("r1", "y", suspension="0.0/which")
        assert refused.value.suspension == "0.0/which"
        await rt.result("r1")
        await rt.resume("r1", "x", suspension="which")

    machine, a = Machine(), agent([ask])
    machine.run(begin, a)
    machine.run(body, a)
    (resumed,) = (event for event in machine.events("r1") if isinstance(event, RunResumed))
    assert (resumed.value, resumed.by) == ("x", "me")


def test_an_answer_that_many_give_at_once_is_one_answer() -> None:
    async def body(rt: Runtime) -> list[Any]:
        answers = (rt.resume("r1", each, suspension="which") for each in "xyxy")
        return await asyncio.gather(*answers, return_exceptions=True)

    machine, a = Machine(), agent([ask])
    machine.run(begin, a)
    first, second, third, fourth = machine.run(body, a)
    assert (first, third) == (True, True)
    assert {type(second), type(fourth)} == {AlreadyResumed}


def test_what_nobody_has_asked_is_refused_at_once() -> None:
    async def body(rt: Runtime) -> None:
        with pytest.raises(SuspensionNotFound) as unknown:
            await rt.resume("r1", "x", suspension="what")
        assert unknown.value.names == ("0.0/which",)
        with pytest.raises(SuspensionNotFound):
            await rt.approve("r1", "0.0")
        with pytest.raises(SuspensionNotFound):
            await rt.resolve("r1", "7.7", retry=True)
        await rt.resume("r1", "x")
        await rt.result("r1")
        with pytest.raises(NotSuspended) as over:
            await rt.approve("r1", "0.0")
        assert over.value.status == "completed"

    machine, a = Machine(), agent([ask])
    machine.run(begin, a)
    machine.run(body, a)


def test_an_unknown_run_is_answered_at_once() -> None:
    async def body() -> None:
        async with open_runtime(agent([ask])) as rt:
            for attempt in (
                rt.resume("r9", 1),
                rt.approve("r9", "0.0"),
                rt.decline("r9", "0.0"),
                rt.resolve("r9", "0.0", retry=True),
                rt.cancel("r9"),
            ):
                with pytest.raises(RunNotFound):
                    await attempt
            assert rt.live() == []
            assert clock().seconds == 0

    run_virtual(body())


# -- memory --


def test_a_suspended_run_is_not_in_memory_and_comes_back_on_its_answer() -> None:
    async def body() -> None:
        async with open_runtime(agent([ask, ask_in_thread])) as rt:
            await begin(rt)
            assert rt.live() == []
            await rt.resume("r1", 3, suspension="how many")
            assert (await rt.result("r1")).status == "suspended"
            assert rt.live() == []
            with pytest.raises(InvalidResumeValue):
                await rt.resume("r1", 3)
            await asyncio.sleep(0)
            assert rt.live() == []
            await rt.resume("r1", "x")
            assert (await rt.result("r1")).status == "completed"
            assert rt.live() == []

    run_virtual(body())


def test_opening_a_log_brings_no_suspended_run_into_memory() -> None:
    async def body(rt: Runtime) -> list[Any]:
        await asyncio.sleep(1)
        return list(rt.live())

    machine, a = Machine(), agent([ask])
    machine.crash(begin, a)
    assert machine.run(body, a) == []
    assert machine.status("r1") == "suspended"


def test_open_questions_are_in_the_saved_state() -> None:
    machine, a = Machine(), agent([ask_both, publish_soon])

    async def save(rt: Runtime) -> RunResult:
        await begin(rt)
        await rt.resume("r1", "l", suspension="left")
        return await rt.result("r1")

    async def life(body: Callable[[Runtime], Awaitable[RunResult]]) -> RunResult:
        async with Runtime(
            None, agents=[a], log=machine.log, clock=machine.clock, save_every=1
        ) as rt:
            return await body(rt)

    run_virtual(life(save), clock=machine.clock)
    machine.log = machine.log.reopened()
    stream = run_stream("r1")
    saved = machine.log.snapshot(stream)
    assert saved is not None
    assert saved.version == machine.log.version(stream)
    run_virtual(life(answering("r", "right")), clock=machine.clock)
    machine.log = machine.log.reopened()
    machine.clock.advance(DAY)

    async def wait(rt: Runtime) -> RunResult:
        await asyncio.sleep(1)
        return await rt.result("r1")

    assert said(run_virtual(life(wait), clock=machine.clock)) == [["l", "r"], "denied"]


# -- what others see of it --


def test_a_suspended_run_is_listed_observed_and_has_a_result() -> None:
    async def body() -> None:
        async with open_runtime(agent([ask])) as rt:
            result = await begin(rt)
            assert (result.status, result.error, result.output) == ("suspended", None, "")
            assert (await rt.runs.get("r1")).status == "suspended"
            assert [run.run_id for run in (await rt.runs.list(status="suspended")).runs] == ["r1"]
            assert (await rt.runs.list(status="running")).runs == ()
            seen = [tag(record.event) async for record in rt.observe("r1", until="rest")]
            assert seen[-2:] == ["tool-call-suspended", "run-suspended"]
            (question,) = await rt.runs.pending()
            assert (question.kind, question.tool, question.payload, question.answer_schema) == (
                "suspension",
                "ask",
                {"among": ["x", "y"]},
                {"type": "string"},
            )
            await rt.resume("r1", "x")
            later = rt.observe("r1", after=len(seen), until="rest")
            assert [tag(record.event) async for record in later][-1] == "run-completed"
            assert await rt.runs.pending() == []
            assert (await rt.runs.get("r1")).status == "completed"

    run_virtual(body())


def test_who_observes_to_the_end_sees_the_run_through_its_suspension() -> None:
    async def body() -> list[str]:
        async with open_runtime(agent([ask])) as rt:
            await begin(rt)

            async def watch() -> list[str]:
                return [tag(record.event) async for record in rt.observe("r1")]

            watching = asyncio.ensure_future(watch())
            await asyncio.sleep(DAY)
            assert not watching.done()
            await rt.resume("r1", "x")
            return await watching

    kinds = run_virtual(body())
    assert [kinds.count(kind) for kind in ("run-suspended", "run-resumed", "run-completed")] == [
        1,
        1,
        1,
    ]


# -- in an LMDB folder --


def test_in_a_folder_questions_wait_over_restarts(tmp_path: Path) -> None:
    a = agent([ask, ask_in_thread])

    async def life(body: Callable[[Runtime], Awaitable[RunResult]]) -> RunResult:
        async with Runtime(tmp_path / "data", agents=[a]) as rt:
            result = await body(rt)
            assert rt.live() == []
            return result

    assert asyncio.run(life(begin)).status == "suspended"
    assert asyncio.run(life(answering("x", "which"))).status == "suspended"
    result = asyncio.run(life(answering(2)))
    assert (result.status, said(result)) == ("completed", ["x", 2])


# -- consent --


@tool(in_doubt="retry", requires_approval=True)
async def publish(text: str = "one") -> str:
    """Publish something."""
    return f"published {text}"


@tool(in_doubt="retry", requires_approval=True, approval_expires=3600)
async def publish_soon(text: str = "one") -> str:
    """Publish something, if somebody agrees within an hour."""
    return f"published {text}"


@tool(in_doubt="retry", requires_approval="is_dear")
async def buy(price: int) -> str:
    """Buy something."""
    return f"bought for {price}"


@pytest.mark.parametrize("way", ["approve", "resume"])
def test_a_call_is_made_once_somebody_agrees(way: str) -> None:
    async def agree(rt: Runtime) -> RunResult:
        (asked,) = await rt.runs.pending()
        assert (asked.kind, asked.arguments) == ("approval", {"text": "two"})
        if way == "approve":
            await rt.approve("r1", asked.call_id, digest=asked.digest, note="fine", by="me")
            await rt.approve("r1", asked.call_id)
        else:
            await rt.resume("r1", {"approved": True, "note": "fine"}, by="me")
        with pytest.raises(AlreadyDecided) as decided:
            await rt.decline("r1", asked.call_id)
        assert decided.value.decision == "granted"
        return await rt.result("r1")

    machine, a = Machine(), agent([publish], ToolCall("publish", {"text": "two"}))
    machine.run(begin, a)
    assert said(machine.run(agree, a)) == ["published two"]
    (granted,) = (event for event in machine.events("r1") if isinstance(event, ApprovalGranted))
    assert (granted.note, granted.by, granted.arguments) == ("fine", "me", None)


def test_other_arguments_are_recorded_and_reach_the_tool_also_after_a_crash() -> None:
    async def agree(rt: Runtime) -> None:
        with pytest.raises(InvalidResumeValue):
            await rt.approve("r1", "0.0", args={"text": 1})
        with pytest.raises(ArgumentsChanged) as changed:
            await rt.approve("r1", "0.0", digest="0" * 32)
        (asked,) = await rt.runs.pending()
        assert (changed.value.expected, changed.value.actual) == ("0" * 32, asked.digest)
        await rt.approve("r1", "0.0", args={"text": "uno"})

    machine, a = Machine(), agent([publish])
    machine.run(begin, a)
    machine.crash(agree, a)
    assert said(machine.run(finish, a)) == ["published uno"]
    (granted,) = (event for event in machine.events("r1") if isinstance(event, ApprovalGranted))
    assert granted.arguments == {"text": "uno"}


def test_who_does_not_agree_says_why_and_the_model_is_told() -> None:
    async def decline(rt: Runtime) -> RunResult:
        await rt.decline("r1", "0.0", reason="too early", by="me")
        with pytest.raises(AlreadyDecided):
            await rt.approve("r1", "0.0")
        return await rt.result("r1")

    machine, a = Machine(), agent([publish])
    machine.run(begin, a)
    result = machine.run(decline, a)
    (told,) = (message for message in result.messages if isinstance(message, ToolMessage))
    assert told.error is not None
    assert (told.error.kind, "too early" in told.error.message) == ("denied", True)
    assert machine.kinds("r1").count("tool-call-started") == 0


@pytest.mark.parametrize(("price", "status"), [(5, "completed"), (500, "suspended")])
def test_a_predicate_tells_by_the_arguments_whether_somebody_must_agree(
    price: int, status: str
) -> None:
    def is_dear(arguments: dict[str, Any]) -> bool:
        return bool(arguments["price"] > 100)

    a = agent([buy], ToolCall("buy", {"price": price}))
    assert Machine().run(begin, a, functions={"is_dear": is_dear}).status == status


def test_if_a_predicate_raises_somebody_must_agree(logs: Logs) -> None:
    def is_dear(arguments: dict[str, Any]) -> bool:
        raise ValueError(arguments)

    machine, a = Machine(), agent([buy], ToolCall("buy", {"price": 5}))
    result = machine.run(begin, a, functions={"is_dear": is_dear})
    assert result.status == "suspended"
    assert [entry["predicate"] for entry in logs if entry["event"] == "predicate_failed"] == [
        "is_dear"
    ]


@pytest.mark.parametrize("restart", [False, True], ids=["", "over a restart"])
def test_no_answer_in_time_is_a_no(restart: bool) -> None:
    machine, a = Machine(), agent([publish_soon])

    async def wait(rt: Runtime) -> RunResult:
        if not restart:
            await begin(rt)
        await asyncio.sleep(3599 - clock().seconds)
        assert (await rt.result("r1")).status == "suspended"
        assert rt.live() == []
        await asyncio.sleep(2)
        return await rt.result("r1")

    if restart:
        machine.crash(begin, a)
        machine.clock.advance(1800)
    result = machine.run(wait, a)
    assert (result.unwrap(), said(result)) == ("done", ["denied"])
    (denied,) = (event for event in machine.events("r1") if isinstance(event, ApprovalDenied))
    assert denied.expired


def test_what_has_expired_while_nothing_ran_is_a_no_at_the_next_opening() -> None:
    machine, a = Machine(), agent([publish_soon])
    machine.run(begin, a)
    machine.clock.advance(DAY)

    async def late(rt: Runtime) -> RunResult:
        await asyncio.sleep(1)
        with pytest.raises(AlreadyDecided):
            await rt.approve("r1", "0.0")
        return await rt.result("r1")

    assert said(machine.run(late, a)) == ["denied"]


def test_two_calls_are_decided_apart_and_nobody_waits_for_an_expiry_that_is_over() -> None:
    machine, a = Machine(), agent([publish_soon, publish, ask])

    async def agree(rt: Runtime) -> None:
        await rt.approve("r1", "0.0")
        await rt.decline("r1", "0.1")
        await asyncio.sleep(2 * 3600)
        assert (await rt.result("r1")).status == "suspended"

    machine.run(begin, a)
    machine.run(agree, a)
    result = machine.run(answering("x"), a)
    assert sorted(said(result)) == ["denied", "published one", "x"]


# -- in doubt --


@tool(destructive=True)
async def wipe(ctx: ToolContext) -> str:
    """Wipe a disk; the first time that takes for ever."""
    if ctx.attempt == 1:
        await asyncio.get_running_loop().create_future()
    return f"wiped by attempt {ctx.attempt}"


@tool(destructive=True, timeout=5)
async def wipe_in_time(ctx: ToolContext) -> str:
    """Wipe a disk within five seconds."""
    if ctx.attempt == 1:
        await asyncio.sleep(60)
    return f"wiped by attempt {ctx.attempt}"


async def cut_off(rt: Runtime) -> None:
    await rt.start("a", "go", run_id="r1")
    await asyncio.sleep(1)


RESOLUTIONS: list[tuple[dict[str, Any], Any]] = [
    ({"outcome": "wiped by hand"}, "wiped by hand"),
    ({"error": "the disk is gone"}, "resolved"),
    ({"retry": True}, "wiped by attempt 2"),
]


@pytest.mark.parametrize("cause", ["crash", "timeout"])
@pytest.mark.parametrize(("resolution", "told"), RESOLUTIONS)
def test_a_person_says_what_became_of_a_call_in_doubt(
    cause: str, resolution: dict[str, Any], told: Any
) -> None:
    machine = Machine()
    a = agent([wipe if cause == "crash" else wipe_in_time])
    if cause == "crash":
        machine.crash(cut_off, a)
    else:
        machine.run(begin, a)

    async def look(rt: Runtime) -> None:
        assert (await rt.result("r1")).status == "suspended"
        assert rt.live() == []
        (doubt,) = await rt.runs.pending()
        assert (doubt.kind, doubt.cause, doubt.call_id) == ("in_doubt", cause, "0.0")

    async def resolve(rt: Runtime) -> RunResult:
        for _ in range(2):
            await rt.resolve("r1", "0.0", **resolution, by="me")
        return await rt.result("r1")

    machine.run(look, a)
    assert said(machine.run(resolve, a)) == [told]
    events = machine.events("r1")
    assert sum(isinstance(event, ToolCallInDoubt) for event in events) == 1
    (resolved,) = (event for event in events if isinstance(event, ToolCallResolved))
    assert (resolved.by, resolved.attempt) == ("me", 1)


def test_a_resolution_fits_the_tool_and_is_not_changed_afterwards() -> None:
    async def resolve(rt: Runtime) -> RunResult:
        await rt.result("r1")
        several: list[dict[str, Any]] = [
            {},
            {"retry": True, "error": "x"},
            {"outcome": None, "retry": True},
        ]
        for wrong in several:
            with pytest.raises(ValueError, match="one of"):
                await rt.resolve("r1", "0.0", **wrong)
        with pytest.raises(InvalidResumeValue):
            await rt.resolve("r1", "0.0", outcome=7)
        with pytest.raises(InvalidResumeValue):
            await rt.resume("r1", "wiped")
        await rt.resolve("r1", "0.0", outcome="wiped")
        with pytest.raises(AlreadyDecided):
            await rt.resolve("r1", "0.0", retry=True)
        return await rt.result("r1")

    machine, a = Machine(), agent([wipe])
    machine.crash(cut_off, a)
    assert said(machine.run(resolve, a)) == ["wiped"]


def test_a_thread_in_doubt_that_ends_after_all_is_recorded_as_late() -> None:
    with Gate() as gate:

        @tool(destructive=True, timeout=5)
        def burn(ctx: SyncToolContext) -> str:
            if ctx.attempt == 1:
                gate.wait()
            return f"burned by attempt {ctx.attempt}"

        async def body(rt: Runtime) -> RunResult:
            assert (await begin(rt)).status == "suspended"
            gate.open()
            await asyncio.sleep(1)
            assert (await rt.result("r1")).status == "suspended"
            assert rt.live() == []
            await rt.resolve("r1", "0.0", retry=True)
            return await rt.result("r1")

        machine = Machine()
        assert said(machine.run(body, agent([burn]))) == ["burned by attempt 2"]
    events = machine.events("r1")
    assert [event.attempt for event in events if isinstance(event, ToolResultIgnored)] == [1]
    assert [event.attempt for event in events if isinstance(event, ToolCallCompleted)] == [2]
    assert [event.attempt for event in events if isinstance(event, ToolCallStarted)] == [1, 2]
