"""Calls that a person agrees to, or not; and calls of which nobody knows what they did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from outlive.actors import (
    Runtime,
    SyncToolContext,
    ToolCall,
    ToolContext,
    tool,
)
from outlive.events import (
    AlreadyDecided,
    ApprovalDenied,
    ApprovalGranted,
    ArgumentsChanged,
    InvalidResumeValue,
    ToolCallCompleted,
    ToolCallInDoubt,
    ToolCallResolved,
    ToolCallStarted,
    ToolResultIgnored,
)
from outlive.projections import RunResult, ToolMessage
from tests.actors.conftest import Logs
from tests.support import Gate, Machine, clock
from tests.support.people import (
    DAY,
    agent,
    answering,
    ask,
    begin,
    finish,
    publish,
    publish_soon,
    said,
)

pytestmark = pytest.mark.usefixtures("saved_every")

# -- consent --


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


@pytest.mark.parametrize(("price", "status"), [(5, "completed"), (500, "suspended")])
def test_a_predicate_may_be_async(price: int, status: str) -> None:
    async def is_dear(arguments: dict[str, Any]) -> bool:
        await asyncio.sleep(1)
        return bool(arguments["price"] > 100)

    a = agent([buy], ToolCall("buy", {"price": price}))
    assert Machine().run(begin, a, functions={"is_dear": is_dear}).status == status


def test_what_a_predicate_takes_is_not_taken_from_the_time_to_agree() -> None:
    @tool(in_doubt="retry", requires_approval="is_dear", approval_expires=60)
    async def buy_soon() -> None:
        pass

    async def is_dear(arguments: dict[str, Any]) -> bool:
        await asyncio.sleep(600)
        return True

    result = Machine().run(begin, agent([buy_soon]), functions={"is_dear": is_dear})
    assert result.status == "suspended"


def test_what_a_predicate_does_to_the_arguments_is_not_what_the_model_has_asked_for() -> None:
    @tool(in_doubt="retry", requires_approval="is_dear")
    async def buy_all(prices: list[int]) -> int:
        return sum(prices)

    def is_dear(arguments: dict[str, Any]) -> bool:
        return bool(arguments["prices"].pop() > 100)

    a = agent([buy_all], ToolCall("buy_all", {"prices": [1, 2]}))
    assert said(Machine().run(begin, a, functions={"is_dear": is_dear})) == [3]


def _raise(arguments: dict[str, Any]) -> bool:
    raise ValueError(arguments)


async def _raise_later(arguments: dict[str, Any]) -> bool:
    await asyncio.sleep(0)
    raise ValueError(arguments)


@pytest.mark.parametrize("is_dear", [_raise, _raise_later])
def test_if_a_predicate_raises_somebody_must_agree(
    logs: Logs, is_dear: Callable[[dict[str, Any]], object]
) -> None:
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


AGREES: Final[dict[str, Callable[[Runtime], Awaitable[bool]]]] = {
    "approve": lambda rt: rt.approve("r1", "0.0"),
    "resume": lambda rt: rt.resume("r1", {"approved": True}),
}


@pytest.mark.parametrize("agree", AGREES.values(), ids=AGREES)
def test_who_agrees_too_late_does_not_agree_even_before_the_clock_has_rung(
    agree: Callable[[Runtime], Awaitable[bool]],
) -> None:
    """The first thing that a process does, a day later, is to agree."""
    machine, a = Machine(), agent([publish_soon])
    machine.run(begin, a)
    machine.clock.advance(DAY)

    async def late(rt: Runtime) -> RunResult:
        with pytest.raises(AlreadyDecided, match="denied"):
            await agree(rt)
        assert await rt.decline("r1", "0.0", reason="and so it is")
        return await rt.result("r1")

    assert said(machine.run(late, a)) == ["denied"]
    (denied,) = (event for event in machine.events("r1") if isinstance(event, ApprovalDenied))
    assert denied.expired


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
