"""Agents that are drawn: what they do is a plain value, which a failing test can print."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from hypothesis import strategies as st
from msgspec.structs import replace

from outlive.actors import (
    Agent,
    Background,
    ModelRequest,
    Retry,
    ScriptedModel,
    SyncToolContext,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
)
from outlive.actors.background import Mode
from outlive.actors.retry import NO_RETRY
from outlive.projections import RunResult, ToolMessage
from outlive.testing._drawn.values import durations
from outlive.testing._outcome import Outcome, same_result
from outlive.testing._world import World

End: TypeAlias = Literal["answers", "fails", "is cut off"]

_FOR_EVER: Final = 10 * 3_600.0  # longer than any time that a tool is given
_AGES: Final = 10 * 365 * 86_400.0  # so long that a disk will have come back
_ODD_CALLS: Final = (ToolCall("missing"), ToolCall("tool_0", {"n": "none"}), ToolCall("tool_0"))


@dataclass(frozen=True, kw_only=True)
class PlannedTool:
    """What a tool does: it fails at first, works in steps, asks, takes its time, has its effect.

    Each step records the effect `"NAME step"` in the `World`, its end the effect `NAME`.
    """

    name: str
    in_thread: bool = False
    in_doubt: Literal["retry", "fail"] = "retry"
    sink: bool = False  # repeats of its effects are known by their key
    seconds: float = 0.0
    steps: int = 0
    progress: bool = False
    failures: int | None = 0  # attempts that fail before it works; None: all
    hangs: bool = False  # it has its effect, and then does not come back within its timeout
    timeout: float | None = None
    retry: Retry = NO_RETRY
    asks: int = 0  # people, for a number, so often
    background: Background | None = None

    def tool(self, world: World) -> Tool[..., Any]:
        """Return the tool itself, whose effects are on `world`."""
        act = world.put if self.sink else world.record

        def begin(ctx: ToolContext | SyncToolContext) -> None:
            if self.failures is None or ctx.attempt <= self.failures:
                raise ConnectionError(f"{self.name} is down")

        def take_step(key: str, number: int) -> int:
            act(f"{self.name} step", key, number)
            return number

        async def work(ctx: ToolContext, n: int) -> list[int]:
            begin(ctx)
            found: list[int] = []
            for number in range(self.steps):
                key = f"step {number}"
                found.append(await ctx.step(key, take_step, ctx.key_for(key), n + number))
                if self.progress:
                    await ctx.progress(done=number, total=self.steps)
            for number in range(self.asks):
                found.append(await ctx.suspend(f"question {number}", answer_type=int))
            if self.seconds:
                await asyncio.sleep(self.seconds)
            act(self.name, ctx.idempotency_key, n)
            if self.hangs:
                await asyncio.sleep(_FOR_EVER)
            return found

        def work_in_thread(ctx: SyncToolContext, n: int) -> list[int]:
            begin(ctx)
            found: list[int] = []
            for number in range(self.steps):
                key = f"step {number}"
                found.append(ctx.step(key, take_step, ctx.key_for(key), n + number))
                if self.progress:
                    ctx.progress(done=number, total=self.steps)
            for number in range(self.asks):
                found.append(ctx.suspend(f"question {number}", answer_type=int))
            if self.seconds:
                world.sleep(self.seconds)
            act(self.name, ctx.idempotency_key, n)
            if self.hangs:
                world.sleep(_FOR_EVER)
            return found

        function: Callable[..., Any] = work_in_thread if self.in_thread else work
        return Tool(
            function,
            name=self.name,
            description="Do what was planned.",
            timeout=self.timeout,
            retry=self.retry,
            in_doubt=self.in_doubt,
            background=self.background or False,
        )


@dataclass(frozen=True, kw_only=True)
class PlannedAgent:
    """An agent as a plain value. Called with a `World` it is a list of that agent.

    So it can be handed on wherever agents are asked for: `Simulation(plan)`,
    `assert_survives_crashes(scenario, plan)`.

    Whatever happens to it, it comes to the same, but for tools with `in_doubt="fail"`: see
    `at_most_once` and `promise`, which are for `assert_survives_crashes`.
    """

    id: str = "agent"
    turns: tuple[Turn, ...]
    end: End = "answers"
    tools: tuple[PlannedTool, ...] = ()
    max_steps: int = 20
    tool_concurrency: int = 10

    def __call__(self, world: World) -> Sequence[Agent]:
        """Make the agent."""
        return [
            Agent(
                self.id,
                model=ScriptedModel(self._turn),
                tools=[planned.tool(world) for planned in self.tools],
                max_steps=self.max_steps,
                tool_concurrency=self.tool_concurrency,
            )
        ]

    def _turn(self, request: ModelRequest) -> Turn:
        """The last one also whenever a task tells how it has ended."""
        return self.turns[request.step] if request.step < len(self.turns) else self._last

    @property
    def _last(self) -> Turn:
        match self.end:
            case "answers":
                return Turn(text="it is done")
            case "fails":
                return Turn(text="it is", error=ConnectionError("the model is down"))
            case "is cut off":
                return Turn(text="it is", cut_off=True)

    @property
    def at_most_once(self) -> frozenset[str]:
        """The names of the effects that must not be repeated."""
        careful = [planned for planned in self.tools if planned.in_doubt == "fail"]
        return frozenset(name for one in careful for name in (one.name, f"{one.name} step"))

    def judge(self, calm: RunResult, stormy: RunResult) -> None:
        """Compare a run's result with what came out without crashes.

        A tool that must not be repeated may have been cut off; all else is the same.

        Raises:
            AssertionError: it is something else.
        """
        careful = {planned.name for planned in self.tools if planned.in_doubt == "fail"}
        cut_off = {
            message.call_id
            for message in stormy.messages
            if isinstance(message, ToolMessage)
            and message.name in careful
            and message.error is not None
            and message.error.kind == "in_doubt"
        }
        same_result(_without(calm, cut_off), _without(stormy, cut_off))

    def promise(self, calm: Outcome, stormy: Outcome) -> None:
        """See `judge`: the same for all that a scenario has come to."""
        assert calm.results.keys() == stormy.results.keys()
        for run_id, result in calm.results.items():
            self.judge(result, stormy.results[run_id])


def _without(result: RunResult, calls: set[Any]) -> RunResult:
    """Leave out what these calls have answered."""
    messages = tuple(
        replace(message, result=None, error=None)
        if isinstance(message, ToolMessage) and message.call_id in calls
        else message
        for message in result.messages
    )
    return replace(result, messages=messages)


@st.composite
def _tools(
    draw: st.DrawFn, name: str, *, at_most_once: bool, people: bool, background: bool
) -> PlannedTool:
    hangs = draw(st.sampled_from([False, False, False, True]))
    # A tool that waits for the disk, as in its steps, has no timeout: a slow disk is no other
    # result.
    steps = 0 if hangs else draw(st.integers(0, 3))
    asks = 0 if hangs or not people else draw(st.sampled_from([0, 0, 1, 2]))
    timeout = (
        3_600.0 if hangs else None if steps or asks else draw(st.sampled_from([None, 3_600.0]))
    )
    retries = draw(st.integers(0, 2))
    delays = durations(max_seconds=3_600)
    return PlannedTool(
        name=name,
        # Of threads that do not come back there is a limit, over all tasks of a process.
        in_thread=draw(st.booleans()) and not (hangs and background),
        in_doubt=draw(st.sampled_from(["retry", "fail"])) if at_most_once else "retry",
        sink=draw(st.booleans()),
        seconds=draw(durations(max_seconds=60)),
        steps=steps,
        progress=steps > 0 and draw(st.booleans()),
        failures=draw(st.sampled_from([0, 0, *range(1, retries + 1), None])),
        hangs=hangs,
        timeout=timeout,
        retry=Retry(retries, delay=draw(delays), max_delay=3_600.0) if retries else NO_RETRY,
        asks=asks,
        background=draw(_backgrounds(timeout)) if background else None,
    )


@st.composite
def _backgrounds(draw: st.DrawFn, timeout: float | None) -> Background | None:
    modes: list[Mode | None] = [None, "deferred", "deferred", "awaited"]
    mode = draw(st.sampled_from(modes))
    if mode is None:
        return None
    return Background(
        mode=mode,
        timeout=_AGES if timeout is None else None,
        priority=draw(st.integers(0, 1)),
        detached=draw(st.booleans()),
    )


@st.composite
def agents(
    draw: st.DrawFn,
    id: str = "agent",
    *,
    max_turns: int = 3,
    max_calls: int = 3,
    max_tools: int = 3,
    at_most_once: bool = True,
    people: bool = False,
    background: bool = False,
) -> PlannedAgent:
    """Draw agents: a script for the model, and tools of all kinds.

    Async tools and those in threads; that fail, at first or always, that take their time or do
    not come back; with steps, progress, retries, timeouts; the calls of one turn at once. The
    model answers at the end, or fails, or breaks off; it asks for tools that do not exist, or
    with arguments that they do not take. Shrinks to an agent that just answers.

    Args:
        id: what it is called.
        max_turns: answers of the model that ask for tools.
        max_calls: tool calls of one answer.
        max_tools: how many tools there are.
        at_most_once: also tools that must not be repeated (`in_doubt="fail"`).
        people: also tools that ask people, for numbers. Their runs wait until somebody answers.
        background: also tools that are called in the background, deferred or awaited. At which
            step a result arrives is left to chance.
    """
    names = [f"tool_{number}" for number in range(draw(st.integers(0, max_tools)))]
    wishes = [ToolCall(name, {"n": n}) for n in (1, 2) for name in names]
    # What is odd comes last, as one shrinks towards the first.
    calls = st.sampled_from([*wishes, *wishes, *_ODD_CALLS])
    turns = st.builds(
        Turn,
        text=st.sampled_from(["", "so be it", "one two three four"]),
        tool_calls=st.lists(calls, min_size=1, max_size=max_calls).map(tuple),
        delay=durations(max_seconds=1),
    )
    return PlannedAgent(
        id=id,
        turns=tuple(draw(st.lists(turns, max_size=max_turns))),
        end=draw(st.sampled_from(["answers", "answers", "answers", "fails", "is cut off"])),
        tools=tuple(
            draw(_tools(name, at_most_once=at_most_once, people=people, background=background))
            for name in names
        ),
        max_steps=draw(st.sampled_from([20, 1, 2])),
        tool_concurrency=draw(st.sampled_from([10, 1, 2])),
    )
