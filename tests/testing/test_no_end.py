"""What does not come to an end is said, with the line that waits, rather than waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    Retry,
    ScriptedModel,
    SyncToolContext,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.testing import Client, Simulation, SimulationFailed, Stuck, assert_survives_crashes
from outlive.testing import _sweep as sweep
from outlive.testing._simulation import loop

ECHO = [Agent("echo", model=EchoModel())]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PATIENCE", 5_000)
    monkeypatch.setattr(sweep, "_MOST_POINTS", 200)


async def echo(client: Client) -> str:
    return (await client.run("echo", "hi")).output


async def go_round(seconds: float) -> None:
    while True:  # noqa: ASYNC110  # that is the mistake
        await asyncio.sleep(seconds)


async def waits_for_nothing(client: Client) -> None:
    await echo(client)
    await asyncio.Event().wait()


async def asks_for_ever(client: Client) -> None:
    while True:
        await client.sleep(1)


async def leaves_a_task_behind(client: Client) -> str:
    left = asyncio.create_task(go_round(0))
    assert not left.done()
    return await echo(client)


@pytest.mark.parametrize(
    ("scenario", "says"),
    [
        (waits_for_nothing, r"nothing is due; what waits is at\n .*py:\d+ in waits_for_nothing"),
        (asks_for_ever, r"5,000 steps, and nothing came of them; .*\n .*py:\d+ in asks_for_ever"),
        (leaves_a_task_behind, r"5,000 steps, (.|\n)* in go_round"),
    ],
    ids=["waits", "asks", "leaves a task"],
)
def test_a_scenario_without_an_end_says_where_it_is(
    scenario: Callable[[Client], Awaitable[Any]], says: str
) -> None:
    with pytest.raises(SimulationFailed, match=says):
        assert_survives_crashes(scenario, ECHO)


def test_time_that_does_not_pass_is_no_end_either() -> None:
    with Simulation(ECHO) as sim:
        sim.spawn(go_round(0))
        with pytest.raises(Stuck, match="go_round"):
            sim.advance("1h")


def test_a_long_wait_is_an_end_in_sight() -> None:
    with Simulation(ECHO) as sim:
        sim.spawn(go_round(1))
        sim.advance("1h")
        sim.advance("3h")
        assert sim.loop.steps > loop.PATIENCE


def of(body: Callable[..., Any], retry: Retry | None = None) -> list[Agent]:
    do = tool(name="do", in_doubt="retry", timeout=60, retry=retry or 0)(body)
    script = [Turn(tool_calls=[ToolCall("do")]), Turn("done")]
    return [Agent("agent", model=ScriptedModel(script), tools=[do])]


async def one_run(client: Client) -> str:
    return (await client.run("agent", "go", run_id="one")).output


async def deaf(ctx: ToolContext) -> None:
    """Hear of no cancellation."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)


async def failing(ctx: ToolContext) -> None:
    """Fail, always."""
    raise ConnectionError("not now")


@pytest.mark.parametrize(
    ("agents", "says"),
    [
        (of(deaf), r"5,000 steps, and nothing came of them; what waits is at\n .* in deaf"),
        (of(failing, Retry(9_999, delay=1, max_delay=1)), "points, and no end: .* at most 200"),
    ],
    ids=["deaf", "a storm of retries"],
)
def test_a_tool_without_an_end_is_found(agents: list[Agent], says: str) -> None:
    with pytest.raises(SimulationFailed, match=says):
        assert_survives_crashes(one_run, agents)
    asyncio.run(nothing())  # It has left no loop behind that would be taken for the running one.


async def nothing() -> None:
    """Do nothing."""


async def stubborn(ctx: ToolContext) -> str:
    """Try until it works, whatever is raised."""
    while True:
        try:
            ctx.deps.record("mail", ctx.idempotency_key)
            return "sent"
        except BaseException:  # noqa: BLE001  # that is the mistake
            continue


def stubborn_in_a_thread(ctx: SyncToolContext) -> str:
    """Try until it works, whatever is raised."""
    while True:
        try:
            ctx.deps.sleep(1)
            ctx.deps.put("mail", ctx.idempotency_key, None)
            return "sent"
        except BaseException:  # noqa: BLE001  # that is the mistake
            continue


@pytest.mark.parametrize("body", [stubborn, stubborn_in_a_thread])
def test_a_tool_that_does_not_die_with_its_process_is_found(body: Callable[..., Any]) -> None:
    with pytest.raises(SimulationFailed, match="catches BaseException and goes on"):
        assert_survives_crashes(one_run, of(body))
