"""Each option of background tasks makes a difference; and there is none that is not tried here.

A line of the table plays the same with one option after the other, on virtual time, and says
what comes out. An option that were accepted and did nothing would make two of them equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final, TypeVar, cast

import pytest

from outlive.actors import (
    Agent,
    Background,
    BackgroundTasks,
    ModelRequest,
    Retry,
    Runtime,
    ScriptedModel,
    TaskHooks,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    UntilIdle,
    tool,
)
from outlive.events import InvalidDefinition, TaskProgressed, TaskState
from outlive.events.task import TaskEvent, evolve
from outlive.projections import TaskInfo, ToolMessage, UserMessage
from tests.support.machine import Machine

T = TypeVar("T")

EXACT: Final = Retry(2, delay=1, factor=1, jitter=0)
"""Two more attempts, a second after each."""


# -- what is played --


def nap(**options: Any) -> Tool[..., Any]:
    @tool(name="nap", read_only=True, **options)
    async def body(seconds: float = 1.0) -> str:
        await asyncio.sleep(seconds)
        return "slept"

    return body


def failing(error: type[Exception] = ConnectionError, **options: Any) -> Tool[..., Any]:
    @tool(name="failing", read_only=True, **options)
    async def body() -> None:
        raise error("busy")

    return body


def play(
    body: Callable[[Runtime], Awaitable[T]],
    *agents: Agent,
    settings: BackgroundTasks | None = None,
) -> tuple[T, Machine]:
    machine = Machine()
    return machine.run(body, *agents, background_tasks=settings), machine


def agent(
    *tools: Tool[..., Any], id: str = "a", calls: Sequence[ToolCall] = (), **more: Any
) -> Agent:
    turns = [Turn(tool_calls=calls), Turn("fine"), Turn("fine"), Turn("fine")]
    return Agent(id, model=ScriptedModel(turns), tools=tools, **more)


async def over(rt: Runtime, name: str, *, agent: str = "a", **args: Any) -> TaskInfo:
    """Enqueue a task, and return what it came to."""
    return (await rt.tasks.wait(await rt.tasks.enqueue(name, args, agent=agent)))[0]


def one(used: Tool[..., Any], settings: BackgroundTasks | None = None, **args: Any) -> TaskInfo:
    """Return what one task of a tool came to."""
    return play(lambda rt: over(rt, used.name, **args), agent(used), settings=settings)[0]


def waits(info: TaskInfo) -> list[float]:
    """Return the seconds between one attempt's end and the next one's start."""
    return [
        (after.started_at - before.ended_at).total_seconds()
        for before, after in pairwise(info.attempts)
        if before.ended_at is not None
    ]


def at_once(machine: Machine) -> int:
    """Return how many tasks ran at the same time."""
    states: dict[str, TaskState] = {}
    most = 0
    for record in machine.log.read_all():
        for event in record.events:
            if isinstance(event, TaskEvent):
                states[record.stream] = evolve(states.get(record.stream, TaskState()), event)
        most = max(most, sum(state.status == "running" for state in states.values()))
    return most


def crowd(used: Tool[..., Any], settings: BackgroundTasks | None = None) -> int:
    """Return how many of the tasks of two agents ran at the same time."""

    async def work(rt: Runtime) -> None:
        names = [id for id in "ab" for _ in range(6)]
        await rt.tasks.wait([await rt.tasks.enqueue(used, agent=id) for id in names])

    agents = [agent(used, id=id) for id in "ab"]
    return at_once(play(work, *agents, settings=settings)[1])


def after_its_run(**options: Any) -> tuple[int, int]:
    """Return how much was said on a thread, and in how many runs, when a late task is over."""

    async def work(rt: Runtime) -> tuple[int, int]:
        await rt.run("a", "x", run_id="r", thread_id="t", resource_id="u")
        await rt.tasks.wait("r:0.0")
        await asyncio.sleep(5)
        said = await rt.threads.messages("t")
        texts = [one for one in said if getattr(one.message, "text", "") != QUEUED]
        return len(texts), len((await rt.runs.list()).runs)

    used = nap(background=Background(**options))
    return play(work, agent(used, calls=[ToolCall("nap", {"seconds": 9})]))[0]


def three_for_one_slot(**settings: Any) -> list[str]:
    """Return the statuses of three tasks for which there is one slot, once all were asked for."""

    async def work(rt: Runtime) -> list[str]:
        ids = [await rt.tasks.enqueue("nap", {"seconds": 5}, agent="a") for _ in range(3)]
        await asyncio.sleep(1)
        return [(await rt.tasks.get(id)).status for id in ids]

    slots = BackgroundTasks(global_concurrency=1, **settings)
    return play(work, agent(nap()), settings=slots)[0]


def progress(throttle: float | timedelta) -> int:
    """Return how often progress is recorded that is told ten times a second, for two seconds."""

    @tool(read_only=True)
    async def busy(ctx: ToolContext) -> None:
        for number in range(20):
            await ctx.progress(done=number)
            await asyncio.sleep(0.1)

    settings = BackgroundTasks(progress_throttle=throttle)
    _, machine = play(lambda rt: over(rt, "busy"), agent(busy), settings=settings)
    records = machine.log.read_all()
    return sum(isinstance(event, TaskProgressed) for each in records for event in each.events)


def told(
    used: Tool[..., Any], *, start: dict[str, Any] | None = None, **more: Any
) -> tuple[list[str], str, float]:
    """Return what a model is told of a call of a second, the run's last status, and its length."""
    called = agent(used, calls=[ToolCall(used.name, more.pop("args", {}))], **more)

    async def work(rt: Runtime) -> tuple[list[str], str, float]:
        began = asyncio.get_running_loop().time()
        result = await rt.run("a", "go", run_id="r", **(start or {}))
        took = asyncio.get_running_loop().time() - began
        messages = [m.text for m in result.messages if isinstance(m, UserMessage | ToolMessage)]
        return messages[1:], result.finish_reason or result.status, round(took, 3)

    return play(work, called)[0]


QUEUED: Final = "queued as background task r:0.0: its result will be told when there is one"
SLEPT: Final = "Background task r:0.0 (tool nap) succeeded: slept"


def order(priority: int) -> list[str]:
    """Return the order in which two tasks start that wait behind another one."""
    ran: list[str] = []

    @tool(read_only=True)
    async def first() -> None:
        await asyncio.sleep(1)

    @tool(read_only=True, background=True)
    async def plain() -> None:
        ran.append("plain")

    @tool(read_only=True, background=Background(priority=priority))
    async def other() -> None:
        ran.append("other")

    called = agent(first, plain, other, calls=[ToolCall("plain"), ToolCall("other")])

    async def work(rt: Runtime) -> None:
        await rt.tasks.enqueue("first", agent="a")
        await rt.run("a", "go", run_id="r")
        await rt.tasks.wait(["r:0.0", "r:0.1"])

    play(work, called, settings=BackgroundTasks(global_concurrency=1))
    return ran


def after_a_cancel(*, detached: bool) -> str:
    """Return the status of a task whose run was cancelled."""
    called = agent(
        nap(background=Background(detached=detached)),
        calls=[ToolCall("nap", {"seconds": 5})],
    )

    async def work(rt: Runtime) -> str:
        run = await rt.start("a", "go", run_id="r", until_idle=True)
        await asyncio.sleep(1)
        await rt.cancel(run.id, "enough")
        (info,) = await rt.tasks.wait("r:0.0")
        return info.status

    return play(work, called)[0]


def stalled(stall_timeout: float | None) -> str:
    """Return the status of a task that tells of no progress for three seconds."""
    return one(nap(background=Background(stall_timeout=stall_timeout)), seconds=3).status


def chosen(*, let_model_choose: bool, **choice: Any) -> tuple[int, str]:
    """Return the attempts and the status of a task whose model wants this, of a failing tool."""
    used = failing(background=Background(retry=EXACT, let_model_choose=let_model_choose))
    called = agent(used, calls=[ToolCall("failing", {"_background": choice})])

    async def work(rt: Runtime) -> tuple[int, str]:
        result = await rt.run("a", "go", run_id="r")
        for message in result.messages:
            if isinstance(message, ToolMessage) and message.error is not None:
                return 0, message.error.kind
        (info,) = await rt.tasks.wait("r:0.0")
        return len(info.attempts), info.status

    return play(work, called)[0]


def clamped_timeout(timeout: float) -> str:
    """Return what becomes of a task of three seconds whose model wants such a timeout."""
    used = nap(background=Background(timeout=2, let_model_choose=True))
    call = ToolCall("nap", {"seconds": 3, "_background": {"timeout": timeout}})
    called = agent(used, calls=[call])

    async def work(rt: Runtime) -> str:
        await rt.run("a", "go", run_id="r")
        (info,) = await rt.tasks.wait("r:0.0")
        assert info.error is not None
        return info.error.message.partition(";")[0]

    return play(work, called)[0]


def reactions(react: Any) -> int:
    """Return how often a model is called whose two tasks end at different times."""
    seen: list[int] = []

    def script(request: ModelRequest) -> Turn:
        seen.append(request.step)
        if request.step:
            return Turn("fine")
        return Turn(tool_calls=[ToolCall("nap", {"seconds": length}) for length in (1, 3)])

    waiting = Agent("a", model=ScriptedModel(script), tools=[nap(background=True)])

    async def work(rt: Runtime) -> None:
        await rt.run("a", "go", until_idle=UntilIdle(react=react))

    play(work, waiting)
    return len(seen)


def hooked(hook: str, used: Tool[..., Any], *, cancel: bool = False) -> list[str]:
    """Return the statuses of the tasks that a hook was told of."""
    heard: list[str] = []

    def hear(info: TaskInfo) -> None:
        heard.append(info.status)

    hooks = TaskHooks(**cast("Any", {hook: hear}))

    async def work(rt: Runtime) -> None:
        task = await rt.tasks.enqueue(used, agent="a")
        if cancel:
            await rt.tasks.cancel(task)
        await rt.tasks.wait(task)
        await asyncio.sleep(1)

    play(work, agent(used, task_hooks=hooks))
    return heard


def hook_of_five_seconds(timeout: Any) -> list[str]:
    """Return what a hook was told of that it came to the end of."""
    heard: list[str] = []

    async def hear(info: TaskInfo) -> None:
        await asyncio.sleep(5)
        heard.append(info.status)

    async def work(rt: Runtime) -> None:
        await rt.tasks.wait(await rt.tasks.enqueue("nap", agent="a"))
        await asyncio.sleep(9)

    hooks = TaskHooks(on_task_complete=hear, timeout=timeout)
    play(work, agent(nap(), task_hooks=hooks))
    return heard


def retried(retry: Any, error: type[Exception] = ConnectionError) -> list[float]:
    """Return the waits between the attempts of a task that fails each time."""
    return waits(one(failing(error, background=Background(retry=retry))))


# -- the table --


@dataclass(frozen=True)
class Line:
    """An option, what is played with it, and what comes of each of its values."""

    option: str
    play: Callable[[Any], object]
    outcomes: list[tuple[Any, object]]


def runtimes(
    name: str, play: Callable[[BackgroundTasks], object], *outcomes: tuple[Any, object]
) -> Line:
    return Line(
        f"BackgroundTasks.{name}", lambda value: play(BackgroundTasks(**{name: value})), [*outcomes]
    )


TABLE: Final = [
    runtimes("global_concurrency", lambda s: crowd(nap(), s), (1, 1), (3, 3), (20, 10)),
    runtimes("per_agent_concurrency", lambda s: crowd(nap(), s), (1, 2), (3, 6), (20, 12)),
    Line(
        "BackgroundTasks.backpressure",
        lambda value: three_for_one_slot(backpressure=value),
        [
            ("queue", ["running", "queued", "queued"]),
            ("reject", ["running", "rejected", "rejected"]),
            ("run_inline", ["running", "running", "running"]),
        ],
    ),
    Line(
        "BackgroundTasks.max_queued",
        lambda value: three_for_one_slot(max_queued=value),
        [
            (None, ["running", "queued", "queued"]),
            (1, ["running", "queued", "rejected"]),
            (0, ["running", "rejected", "rejected"]),
        ],
    ),
    runtimes(
        "default_timeout",
        lambda s: one(nap(), s, seconds=200).status,
        (120, "timed_out"),
        (timedelta(minutes=5), "succeeded"),
        (None, "succeeded"),
    ),
    runtimes("default_retry", lambda s: waits(one(failing(), s)), (0, []), (EXACT, [1.0, 1.0])),
    Line(
        "BackgroundTasks.progress_throttle", progress, [(0.5, 5), (timedelta(seconds=1), 3), (9, 2)]
    ),
    Line(
        "Background.timeout",
        lambda value: one(nap(background=Background(timeout=value)), seconds=200).status,
        [(None, "timed_out"), (300, "succeeded"), (timedelta(seconds=9), "timed_out")],
    ),
    Line("Background.stall_timeout", stalled, [(None, "succeeded"), (2, "timed_out")]),
    Line("Background.retry", retried, [(None, []), (0, []), (EXACT, [1.0, 1.0])]),
    Line(
        "Background.mode",
        lambda value: told(nap(background=Background(mode=value)))[::2],
        [
            ("foreground", (["slept"], 1.0)),
            ("awaited", (["slept"], 1.0)),
            ("deferred", ([QUEUED], 0.0)),
        ],
    ),
    Line("Background.priority", order, [(0, ["plain", "other"]), (1, ["other", "plain"])]),
    Line(
        "Background.detached",
        lambda value: after_a_cancel(detached=value),
        [(False, "cancelled"), (True, "succeeded")],
    ),
    Line(
        "Background.on_complete",
        lambda value: after_its_run(on_complete=value),
        [("ignore", (3, 1)), ("append", (4, 1)), ("wake", (7, 2))],
    ),
    Line(
        "Background.let_model_choose",
        lambda value: chosen(let_model_choose=value, retry=1),
        [(False, (0, "invalid_arguments")), (True, (2, "failed"))],
    ),
    Line(
        "_background.retry",
        lambda value: chosen(let_model_choose=True, retry=value),
        [(0, (1, "failed")), (1, (2, "failed")), (99, (3, "failed"))],
    ),
    Line(
        "_background.timeout",
        clamped_timeout,
        [(1, "no result within 1 s"), (99, "no result within 2 s")],
    ),
    Line(
        "_background.mode",
        lambda value: told(
            nap(background=Background(let_model_choose=True)),
            args={"_background": {"mode": value}},
        )[::2],
        [
            ("foreground", (["slept"], 1.0)),
            ("awaited", (["slept"], 1.0)),
            ("deferred", ([QUEUED], 0.0)),
        ],
    ),
    Line(
        "Retry.max_retries",
        lambda value: retried(Retry(value, delay=1, factor=1, jitter=0)),
        [(0, []), (1, [1.0]), (3, [1.0, 1.0, 1.0])],
    ),
    Line(
        "Retry.delay",
        lambda value: retried(Retry(1, delay=value, jitter=0)),
        [(1, [1.0]), (7, [7.0])],
    ),
    Line(
        "Retry.factor",
        lambda value: retried(Retry(3, delay=1, factor=value, jitter=0)),
        [(1, [1.0, 1.0, 1.0]), (3, [1.0, 3.0, 9.0])],
    ),
    Line(
        "Retry.max_delay",
        lambda value: retried(Retry(3, delay=1, factor=10, max_delay=value, jitter=0)),
        [(30, [1.0, 10.0, 30.0]), (5, [1.0, 5.0, 5.0])],
    ),
    Line(
        "Retry.jitter",
        lambda value: retried(Retry(1, delay=8, jitter=value)) == [8.0],
        [(0, True), (0.5, False)],
    ),
    Line(
        "Retry.retry_on",
        lambda value: len(retried(Retry(1, retry_on=value))),
        [
            (None, 1),
            (("timeout",), 0),
            (("error",), 1),
            (("ConnectionError",), 1),
            (("OSError",), 1),  # which a ConnectionError is
            (("ValueError",), 0),
        ],
    ),
    Line(
        "tool.background",
        lambda value: told(nap(background=value))[0],
        [(False, ["slept"]), (True, [QUEUED]), (Background(mode="awaited"), ["slept"])],
    ),
    Line("tool.concurrency", lambda value: crowd(nap(concurrency=value)), [(None, 10), (3, 3)]),
    Line(
        "Agent.background",
        lambda value: told(nap(), background=value)[0],
        [
            (None, ["slept"]),
            ("all", [QUEUED]),
            ({"nap": True}, [QUEUED]),
            ({"nap": False}, ["slept"]),
        ],
    ),
    Line(
        "start.until_idle",
        lambda value: told(nap(background=True), start={"until_idle": value})[0],
        [(False, [QUEUED]), (True, [QUEUED, SLEPT])],
    ),
    Line("UntilIdle.react", reactions, [("each", 4), ("all", 3)]),
    Line(
        "UntilIdle.max_wait",
        lambda value: told(nap(background=True), start={"until_idle": UntilIdle(max_wait=value)})[
            1:
        ],
        [
            (None, ("stop", 1.0)),
            (0.5, ("tasks_pending", 0.5)),
            (timedelta(seconds=9), ("stop", 1.0)),
        ],
    ),
    Line(
        "TaskHooks.on_task_complete",
        lambda used: hooked("on_task_complete", used),
        [(nap(), ["succeeded"]), (failing(), [])],
    ),
    Line(
        "TaskHooks.on_task_failed",
        lambda used: hooked("on_task_failed", used),
        [(nap(), []), (failing(), ["failed"]), (nap(timeout=0.5), ["timed_out"])],
    ),
    Line(
        "TaskHooks.on_task_cancelled",
        lambda cancel: hooked("on_task_cancelled", nap(), cancel=cancel),
        [(False, []), (True, ["cancelled"])],
    ),
    Line(
        "TaskHooks.timeout",
        hook_of_five_seconds,
        [(4, []), (6, ["succeeded"]), (timedelta(seconds=1), []), (None, ["succeeded"])],
    ),
]


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.option)
def test_an_option_makes_its_difference(line: Line) -> None:
    assert [(value, line.play(value)) for value, _ in line.outcomes] == line.outcomes
    assert any(one != other for (_, one), (_, other) in pairwise(line.outcomes))


def test_there_is_no_option_that_is_not_tried() -> None:
    structs = (BackgroundTasks, Background, Retry, UntilIdle, TaskHooks)
    known = {f"{of.__name__}.{name}" for of in structs for name in of.__struct_fields__}
    known |= {"tool.background", "tool.concurrency", "Agent.background", "start.until_idle"}
    known |= {f"_background.{name}" for name in ("mode", "timeout", "retry")}
    assert {line.option for line in TABLE} == known


@pytest.mark.parametrize(
    ("kind", "option"),
    [(Background, "in_doubt"), (BackgroundTasks, "on_complete")],
)
def test_an_option_that_there_is_not_is_refused(kind: Callable[..., object], option: str) -> None:
    with pytest.raises(TypeError, match=option):
        kind(**{option: "append"})


@pytest.mark.parametrize("throttle", [0, -1, float("nan"), "often"])
def test_a_throttle_that_is_no_duration_is_refused(throttle: Any) -> None:
    with pytest.raises(InvalidDefinition, match="progress_throttle"):
        BackgroundTasks(progress_throttle=throttle)
