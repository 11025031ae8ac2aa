"""Runs that wait for people, as their users see them: asked, and answered days later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from outlive.actors import (
    Agent,
    Runtime,
    ScriptedModel,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import (
    AlreadyResumed,
    AmbiguousSuspension,
    InvalidResumeValue,
    ModelCallStarted,
    NotSuspended,
    RunNotFound,
    RunResumed,
    SuspensionNotFound,
    run_stream,
)
from outlive.projections import Pending, RunResult
from tests.support import Machine, clock, open_runtime, run_virtual, tag
from tests.support.people import (
    DAY,
    AnyTool,
    agent,
    all_leave,
    answering,
    ask,
    ask_both,
    ask_in_thread,
    begin,
    finish,
    publish_soon,
    said,
)

pytestmark = pytest.mark.usefixtures("saved_every")

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
            await all_leave(rt)
            await rt.resume("r1", 3, suspension="how many")
            assert (await rt.result("r1")).status == "suspended"
            await all_leave(rt)
            with pytest.raises(InvalidResumeValue):
                await rt.resume("r1", 3)
            await all_leave(rt)
            await rt.resume("r1", "x")
            assert (await rt.result("r1")).status == "completed"
            await all_leave(rt)

    run_virtual(body())


def test_what_is_refused_before_the_run_sees_it_leaves_it_at_rest() -> None:
    async def body(rt: Runtime) -> RunResult:
        with pytest.raises(InvalidResumeValue):
            await rt.approve("r1", "0.0", args={"text": 1})
        result = await rt.result("r1")
        assert rt.live() == []
        return result

    machine, a = Machine(), agent([publish_soon])
    machine.run(begin, a)
    assert machine.run(body, a).status == "suspended"


def test_a_run_that_waits_and_was_blocked_meanwhile_waits_again_and_is_answered() -> None:
    async def blocked(rt: Runtime) -> None:
        await asyncio.sleep(1)
        with pytest.raises(NotSuspended) as refused:
            await rt.approve("r1", "0.0")
        assert refused.value.status == "blocked"

    async def back(rt: Runtime) -> RunResult:
        assert (await rt.result("r1")).status == "suspended"
        await asyncio.sleep(1)
        assert rt.live() == []
        await rt.approve("r1", "0.0")
        return await rt.result("r1")

    machine, a = Machine(), agent([publish_soon])
    machine.run(begin, a)
    machine.run(blocked)
    assert machine.status("r1") == "blocked"
    assert said(machine.run(back, a)) == ["published one"]


def test_a_run_that_is_answered_with_another_model_says_so() -> None:
    machine, turns = Machine(), [Turn(tool_calls=[ToolCall("ask")]), Turn("done")]
    before, after = (
        Agent("a", model=ScriptedModel(turns, name=name), tools=[ask]) for name in ("old", "new")
    )
    machine.run(begin, before)
    machine.run(answering("x"), after)
    called = [event for event in machine.events("r1") if isinstance(event, ModelCallStarted)]
    assert [call.model for call in called] == ["old", "new"]


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
            await all_leave(rt)
            return result

    assert asyncio.run(life(begin)).status == "suspended"
    assert asyncio.run(life(answering("x", "which"))).status == "suspended"
    result = asyncio.run(life(answering(2)))
    assert (result.status, said(result)) == ("completed", ["x", 2])
