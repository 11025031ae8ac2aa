"""Random runs under random deaths: whatever happens on the way, they come to the same end."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlive.actors import (
    Agent,
    Retry,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import (
    RunEvent,
    ToolCallCompleted,
    ToolCallStarted,
    ToolStepCompleted,
    Usage,
)
from outlive.projections import RunResult
from outlive.testing import fold
from tests.support import Machine

pytestmark = pytest.mark.usefixtures("saved_every")


@dataclass(frozen=True)
class Plan:
    """What one tool call does: takes its time, fails at first, and works in steps."""

    in_thread: bool
    seconds: float
    failures: int
    steps: int


@dataclass(frozen=True)
class Script:
    """What a run does."""

    turns: tuple[tuple[Plan, ...], ...]
    delay: float
    concurrency: int


SECONDS = st.sampled_from([0.0, 0.001, 0.02, 0.5, 3.0])
PLANS = st.builds(
    Plan,
    in_thread=st.booleans(),
    seconds=SECONDS,
    failures=st.integers(0, 2),
    steps=st.integers(0, 3),
)
SCRIPTS = st.builds(
    Script,
    turns=st.lists(st.lists(PLANS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(
        tuple
    ),
    delay=SECONDS,
    concurrency=st.integers(1, 3),
)
LIVES = st.lists(st.floats(0, 30, allow_subnormal=False), max_size=4)
LAGS = st.sampled_from([0.0, 0.0, 0.03, 0.7])


class World:
    """What happened outside, and the agent that did it."""

    def __init__(self, script: Script) -> None:
        self.failed: Counter[int] = Counter()
        self.keys: dict[str, set[str]] = defaultdict(set)
        plans = [plan for turn in script.turns for plan in turn]

        def begin(n: int, ctx: ToolContext | SyncToolContext) -> None:
            self.keys[ctx.call_id].add(ctx.idempotency_key)

        def end(n: int, given: list[int]) -> dict[str, list[int]]:
            if self.failed[n] < plans[n].failures:
                self.failed[n] += 1
                raise ConnectionError(f"{n} is down")
            return {"given": given}

        retry = Retry(2, delay=1.0)

        @tool(idempotent=True, retry=retry)
        async def work(n: int, ctx: ToolContext) -> dict[str, list[int]]:
            begin(n, ctx)
            found: list[int] = []
            for step in range(plans[n].steps):

                async def take(step: int = step) -> int:
                    await asyncio.sleep(plans[n].seconds)
                    return 10 * n + step

                found.append(await ctx.step(f"s{step}", take))
                await ctx.progress(done=step)
            await asyncio.sleep(plans[n].seconds)
            return end(n, found)

        @tool(idempotent=True, retry=retry)
        def dig(n: int, ctx: SyncToolContext) -> dict[str, list[int]]:
            begin(n, ctx)
            found: list[int] = []
            for step in range(plans[n].steps):
                found.append(ctx.step(f"s{step}", int, 10 * n + step, result_type=int))
            return end(n, found)

        turns, first = list[Turn](), 0
        for plans_of_turn in script.turns:
            calls = [
                ToolCall("dig" if plan.in_thread else "work", {"n": first + index})
                for index, plan in enumerate(plans_of_turn)
            ]
            first += len(calls)
            usage = Usage(input_tokens=first, output_tokens=1)
            turns.append(Turn("a b c", tool_calls=calls, delay=script.delay, usage=usage))
        turns.append(Turn("the end", delay=script.delay))
        self.agent = Agent(
            "a",
            model=ScriptedModel(turns),
            tools=[work, dig],
            tool_concurrency=script.concurrency,
        )


async def start_and_wait(rt: Runtime) -> RunResult:
    run = await rt.start("a", "hi", run_id="r1")
    return await run.result(timeout=10_000)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCRIPTS, LIVES, LAGS)
def test_a_run_comes_to_the_same_end_however_often_and_whenever_its_process_dies(
    script: Script, lives: list[float], lag: float
) -> None:
    wanted = Machine().run(start_and_wait, World(script).agent)
    assert wanted.status == "completed"

    machine, world = Machine(), World(script)
    for life in lives:

        async def live(rt: Runtime, life: float = life) -> None:
            waiting = asyncio.ensure_future(start_and_wait(rt))
            await asyncio.sleep(life)
            waiting.cancel()

        machine.crash(live, world.agent, max_recoveries=None, lag=lag)
        machine.clock.advance(0.25)
    found = machine.run(start_and_wait, world.agent, max_recoveries=None, lag=lag)

    assert (found.status, found.messages, found.usage) == (
        wanted.status,
        wanted.messages,
        wanted.usage,
    )
    events = [event for event in machine.events("r1") if isinstance(event, RunEvent)]
    assert machine.log.open_entries() == []
    assert fold(*events).over
    completed = Counter(e.call_id for e in events if isinstance(e, ToolCallCompleted))
    assert all(count == 1 for count in completed.values())
    steps = Counter((e.call_id, e.key) for e in events if isinstance(e, ToolStepCompleted))
    assert all(count == 1 for count in steps.values())
    attempts: Counter[str] = Counter()
    for event in events:
        if isinstance(event, ToolCallStarted):
            attempts[event.call_id] += 1
            assert event.attempt == attempts[event.call_id]
    assert all(len(keys) == 1 for keys in world.keys.values())
