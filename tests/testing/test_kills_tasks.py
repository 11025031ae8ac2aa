"""The harness that kills processes sees what does not hold of background tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlive.actors import (
    Agent,
    Background,
    BackgroundTasks,
    Retry,
    Runtime,
    ScriptedModel,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import (
    BackgroundResultReceived,
    CallId,
    Event,
    MemoryLog,
    StreamId,
    TaskCancelled,
    TaskQueued,
    TaskResultIgnored,
    TaskStarted,
    ToolCallDeferred,
    run_stream,
    task_stream,
)
from outlive.testing.kills import Ledger, Line, records_of
from outlive.testing.kills._checks import check_all
from outlive.testing.kills._evidence import read_evidence

DEFERRED, AWAITED = "r:0.0", "r:0.1"
SLOTS = BackgroundTasks(global_concurrency=3)


def make(ledger: Ledger) -> Agent:
    @tool(in_doubt="fail", background=True, concurrency=2)
    async def pay(ctx: ToolContext) -> str:
        """Pay; never twice."""
        ledger.note(ctx.idempotency_key)
        return "paid"

    retry = Retry(1, delay=0.01)

    @tool(idempotent=True, background=Background(mode="awaited", retry=retry))
    async def mail(ctx: ToolContext) -> str:
        """Send a letter, the second time."""
        ledger.note(ctx.idempotency_key)
        if ctx.attempt == 1:
            raise ConnectionError("the letter box is full")
        return "sent"

    calls = [ToolCall("pay"), ToolCall("mail")]
    script = [Turn(tool_calls=calls), *[Turn("done")] * 3]
    return Agent("clerk", model=ScriptedModel(script), tools=[pay, mail])


class Scene:
    """A run with two tasks that nobody has killed."""

    def __init__(self, folder: Path) -> None:
        self.log, self.ledger = MemoryLog(), Ledger(folder)
        self.agent = make(self.ledger)
        asyncio.run(self._run())
        self.log.deliver_on(lambda call: call())  # Its loop is closed.
        self.lines = list(self.ledger.account.lines())

    async def _run(self) -> None:
        async with Runtime(None, log=self.log, agents=[self.agent], background_tasks=SLOTS) as rt:
            run = await rt.start("clerk", "go", run_id="r", until_idle=True)
            assert (await run.result()).status == "completed"
            await rt.tasks.wait([DEFERRED, AWAITED])

    def append(self, stream: StreamId, *events: Event) -> None:
        self.log.append(stream, events, expected_version=self.log.version(stream)).result()

    def begin(self, name: str, tool: str, *more: Event) -> None:
        queued = TaskQueued(tool=tool, agent_id="clerk")
        self.append(task_stream(name), queued, TaskStarted(), *more)

    def problems(self) -> list[str]:
        observed: list[Line] = [
            ("record", each.position, each.stream, each.first_version, len(each.events))
            for each in records_of(self.log)
        ]
        found, counted = check_all(
            self.log,
            read_evidence(self.lines),
            agents={"clerk": self.agent},
            start_of=lambda _: ("clerk", "go"),
            taken=self.ledger.taken,
            observed=observed,
            reply_to=lambda _: None,
            background_tasks=SLOTS,
        )
        self.counted = counted
        return [str(problem) for problem in found]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_what_was_never_disturbed_holds(scene: Scene) -> None:
    assert scene.problems() == []
    assert (scene.counted.runs, scene.counted.tasks, scene.counted.tasks_at_once) == (1, 2, 2)


def test_what_an_attempt_does_that_was_given_up_changes_nothing(scene: Scene) -> None:
    scene.append(task_stream(DEFERRED), TaskResultIgnored())
    assert scene.problems() == []


@pytest.mark.parametrize(("name", "most"), [("pay", 1), ("mail", 2)])
def test_an_effect_that_a_task_had_too_often_is_seen(scene: Scene, name: str, most: int) -> None:
    effects = [line for line in scene.lines if line[0] == "effect"]
    scene.lines.append(next(line for line in effects if effects.count(line) == most))
    (problem,) = scene.problems()
    assert f"of {name!r} took effect {most + 1} times, at most {most} are allowed" in problem


def test_a_task_that_is_not_over_is_seen(scene: Scene) -> None:
    scene.begin("left", "mail")
    assert scene.problems() == ["task 'left' is running, and not over"]


def test_a_task_that_has_not_told_its_run_is_seen(scene: Scene) -> None:
    queued = TaskQueued(tool="mail", agent_id="clerk", run_id="r", call_id=CallId("9.9"))
    scene.append(task_stream("mute"), queued, TaskCancelled())
    assert scene.problems() == [
        "run 'r': task 'mute' has not told its run how it ended",
        "run 'r': task 'mute' answers call 9.9, which has not asked for it",
    ]


def test_an_end_that_comes_after_the_end_is_seen(scene: Scene) -> None:
    scene.append(task_stream(AWAITED), TaskCancelled())
    problems = scene.problems()
    assert f"run 'r': task {AWAITED!r} was over, and TaskCancelled followed" in problems


def test_a_task_that_is_queued_twice_is_seen(scene: Scene) -> None:
    scene.begin("again", "mail", TaskQueued(tool="mail", agent_id="clerk"), TaskCancelled())
    assert scene.problems() == ["task 'again' was queued more than once"]


def test_more_tasks_than_there_are_slots_are_seen(scene: Scene) -> None:
    for number in range(4):
        scene.begin(f"t{number}", "pay")
    for number in range(4):
        scene.append(task_stream(f"t{number}"), TaskCancelled())
    assert scene.problems() == [
        "3 tasks ran at the same time of tool 'pay', 2 may",
        "4 tasks ran at the same time of all, 3 may",
        "4 tasks ran at the same time of tool 'pay', 2 may",
    ]


def told(call_id: str, task_id: str, status: str = "succeeded") -> Event:
    return BackgroundResultReceived(
        call_id=CallId(call_id),
        task_id=task_id,
        status=status,  # type: ignore[arg-type]  # one of them
    )


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ((told("0.0", DEFERRED),), "the result of call 0.0 was told 2 times"),
        (
            (ToolCallDeferred(call_id=CallId("0.0"), task_id=DEFERRED),),
            "call 0.0 was deferred 2 times",
        ),
        (
            (ToolCallDeferred(call_id=CallId("7.7"), task_id="other"),),
            "call 7.7 was deferred, and its result never told",
        ),
        ((told("7.7", "other"),), "call 7.7 was told the result of task 'other'"),
    ],
)
def test_a_run_that_was_not_told_once_is_seen(
    scene: Scene, events: tuple[Event, ...], problem: str
) -> None:
    scene.append(run_stream("r"), *events)
    assert f"run 'r': {problem}" in scene.problems()


def test_an_outcome_that_was_told_otherwise_is_seen(scene: Scene) -> None:
    scene.append(run_stream("r"), told("0.0", DEFERRED, "failed"))
    assert (
        f"run 'r': task {DEFERRED!r} is succeeded, its run was told succeeded, failed"
        in scene.problems()
    )
