"""Background tasks, as the users of a runtime see them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    Background,
    BackgroundTasks,
    EchoModel,
    ModelRequest,
    Retry,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    TaskHooks,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    UntilIdle,
    tool,
)
from outlive.actors.run.commands import InDoubt
from outlive.events import (
    AgentNotFound,
    AlreadyOver,
    AlreadyResumed,
    Failure,
    InvalidDefinition,
    InvalidId,
    InvalidResumeValue,
    NotSuspended,
    OpenEntry,
    Refused,
    StreamId,
    TaskExists,
    TaskHooksCalled,
    TaskNotFound,
    TaskStarted,
    TaskState,
    TaskUnsuccessful,
    Version,
    task_stream,
)
from outlive.projections import TaskInfo, ToolMessage, UserMessage
from tests.support.machine import Machine, tags


@tool(read_only=True, background=True)
async def crawl(seconds: float) -> str:
    """Take a long time."""
    await asyncio.sleep(seconds)
    return f"crawled {seconds:g} s"


@tool(read_only=True)
async def rest(seconds: float) -> str:
    """Take some time, in the foreground."""
    await asyncio.sleep(seconds)
    return "rested"


def agent(*turns: Turn, id: str = "a", tools: Sequence[Tool[..., Any]], **more: Any) -> Agent:
    return Agent(id, model=ScriptedModel(turns), tools=tools, **more)


def calls(*calls: tuple[str, dict[str, Any]]) -> Turn:
    return Turn(tool_calls=[ToolCall(name, arguments) for name, arguments in calls])


def task_events(machine: Machine, task_id: str) -> list[str]:
    stream = StreamId(f"task-{task_id}")
    return tags([each.event for each in machine.log.read(stream, after=Version(0))])


def texts(messages: Sequence[object]) -> list[str]:
    return [one.text for one in messages if isinstance(one, UserMessage | ToolMessage)]


async def one_run(rt: Runtime) -> list[str]:
    """Return what the model was told."""
    result = await rt.run("a", "go", run_id="r")
    assert result.status == "completed", result.error
    return texts(result.messages)[1:]


# -- modes --


def test_the_model_goes_on_and_is_told_the_result_at_its_next_step() -> None:
    machine = Machine()
    working = agent(
        calls(("crawl", {"seconds": 2})),
        calls(("rest", {"seconds": 1})),
        calls(("rest", {"seconds": 3})),
        Turn("fine"),
        tools=[crawl, rest],
    )
    assert machine.run(one_run, working) == [
        "queued as background task r:0.0: its result will be told when there is one",
        "rested",
        "rested",
        "Background task r:0.0 (tool crawl) succeeded: crawled 2 s",
    ]


def test_a_step_waits_for_what_is_awaited() -> None:
    machine = Machine()
    awaited = agent(
        calls(("crawl", {"seconds": 2}), ("rest", {"seconds": 1})),
        Turn("fine"),
        tools=[crawl, rest],
        background={"crawl": Background(mode="awaited")},
    )
    assert machine.run(one_run, awaited) == ["crawled 2 s", "rested"]
    assert machine.status("r") is None


def test_an_agent_may_call_a_tool_in_the_foreground_all_the_same() -> None:
    machine = Machine()
    plain = agent(
        calls(("crawl", {"seconds": 2})),
        Turn("fine"),
        tools=[crawl],
        background={"crawl": False},
    )
    assert machine.run(one_run, plain) == ["crawled 2 s"]
    assert "task-requested" not in machine.kinds("r")


def test_all_tools_of_an_agent_may_be_called_so() -> None:
    machine = Machine()
    working = agent(calls(("rest", {"seconds": 2})), Turn("fine"), tools=[rest], background="all")
    assert machine.run(one_run, working)[0].startswith("queued as background task")


def test_a_model_that_may_choose_does_so_within_the_limits() -> None:
    machine = Machine()
    seen: list[ModelRequest] = []

    def script(request: ModelRequest) -> Turn:
        seen.append(request)
        if request.step == 0:
            choice = {"mode": "awaited", "timeout": 99}
            return calls(
                ("crawl", {"seconds": 7, "_background": choice}),
                ("crawl", {"seconds": 1, "_background": {"mode": "foreground"}}),
                ("crawl", {"seconds": 1, "_background": {"mode": "later"}}),
                ("rest", {"seconds": 1, "_background": {}}),
                ("crawl", {"seconds": 2, "_background": None}),
            )
        return Turn("fine")

    chooser = Agent(
        "a",
        model=ScriptedModel(script),
        tools=[crawl, rest],
        background={"crawl": Background(timeout=5, let_model_choose=True)},
    )
    told = machine.run(one_run, chooser)
    assert told[0] == "error (timeout): no result within 5 s; its outcome is unknown"
    assert told[1] == "crawled 1 s"
    assert told[2].startswith("error (invalid_arguments): _background: ")
    assert told[3].startswith("error (invalid_arguments): ")
    assert told[4].startswith("queued as background task"), "none is no choice"
    with_choice, without = (schema.parameters["properties"] for schema in seen[0].tools)
    assert "_background" in str(with_choice)
    assert "_background" not in str(without)


def test_what_a_person_has_agreed_to_is_called_in_the_background_all_the_same() -> None:
    machine = Machine()
    careful = Tool(crawl.fn, name="careful", read_only=True, requires_approval=True)
    cautious = agent(
        calls(("careful", {"seconds": 2})),
        Turn("it has begun"),
        Turn("fine"),
        tools=[careful],
        background={"careful": Background()},
    )

    async def work(rt: Runtime) -> list[str]:
        run = await rt.start("a", "go", run_id="r", until_idle=True)
        await run.result()
        await rt.approve("r", "0.0", args={"seconds": 3})
        told = texts((await run.result()).messages)[1:]
        assert (await rt.tasks.get("r:0.0")).arguments == {"seconds": 3}
        return told

    assert machine.run(work, cautious) == [
        "queued as background task r:0.0: its result will be told when there is one",
        "Background task r:0.0 (tool careful) succeeded: crawled 3 s",
    ]


def test_a_result_that_comes_when_the_run_is_over_is_recorded_once() -> None:
    machine = Machine()
    quick = agent(calls(("crawl", {"seconds": 2})), Turn("fine"), tools=[crawl])

    async def work(rt: Runtime) -> list[str]:
        await rt.run("a", "go", run_id="r")
        await rt.tasks.wait("r:0.0")
        await asyncio.sleep(1)
        return texts((await rt.result("r")).messages)

    assert machine.run(work, quick)[-1] == (
        "Background task r:0.0 (tool crawl) succeeded: crawled 2 s"
    )
    assert machine.kinds("r")[-2:] == ["run-completed", "background-result-received"]
    assert task_events(machine, "r:0.0")[-1] == "message-delivered"


# -- until idle --


def test_a_run_until_idle_tells_the_model_of_its_tasks_though_nobody_stays() -> None:
    machine = Machine()
    turns = [calls(("crawl", {"seconds": 2}), ("crawl", {"seconds": 9})), *[Turn("ok")] * 3]
    worker = agent(*turns, tools=[crawl])

    async def begin(rt: Runtime) -> None:
        await rt.start("a", "go", run_id="r", until_idle=True)
        await asyncio.sleep(1)

    async def look(rt: Runtime) -> tuple[str, list[str]]:
        assert (await rt.runs.get("r")).status == "waiting"
        result = await rt.result("r")
        return result.finish_reason, texts(result.messages)

    machine.crash(begin, worker)
    assert machine.status("r") == "waiting"
    reason, told = machine.run(look, worker)
    assert reason == "stop"
    assert told[-2:] == [
        "Background task r:0.0 (tool crawl) succeeded: crawled 2 s",
        "Background task r:0.1 (tool crawl) succeeded: crawled 9 s",
    ]


def test_a_run_that_has_waited_long_enough_says_that_tasks_are_pending() -> None:
    machine = Machine()
    worker = agent(calls(("crawl", {"seconds": 60})), Turn("later"), tools=[crawl])

    async def work(rt: Runtime) -> tuple[str, str]:
        result = await rt.run("a", "go", until_idle=UntilIdle(react="all", max_wait=10))
        return result.finish_reason, result.output

    assert machine.run(work, worker) == ("tasks_pending", "later")


def test_until_idle_is_checked_at_the_door() -> None:
    with pytest.raises(InvalidDefinition):
        UntilIdle(react="some")  # type: ignore[arg-type]
    with pytest.raises(InvalidDefinition):
        UntilIdle(max_wait=0)

    async def work(rt: Runtime) -> None:
        with pytest.raises(TypeError):
            await rt.start("a", "go", until_idle="yes")  # type: ignore[arg-type]

    Machine().run(work, agent(tools=[crawl]))


# -- slots and order --

ONE = BackgroundTasks(global_concurrency=1)


def starts(machine: Machine) -> list[str]:
    """Return the tasks in the order in which they were started first."""
    found: dict[str, None] = {}
    for record in machine.log.read_all():
        if any(isinstance(event, TaskStarted) for event in record.events):
            found[record.stream.removeprefix("task-")] = None
    return list(found)


async def enqueue_in_turn(rt: Runtime) -> list[str]:
    """Enqueue tasks of three agents, and return their ids by their names."""
    return [
        await rt.tasks.enqueue("crawl", {"seconds": 5}, agent=name[0], idempotency_key=name)
        for name in ("b1", "b2", "b3", "c1", "a1", "a2")
    ]


def three_agents() -> list[Agent]:
    return [agent(id=id, tools=[crawl]) for id in "abc"]


def test_agents_take_turns_and_go_on_with_them_after_a_restart() -> None:
    calm = Machine()

    async def all_of_it(rt: Runtime) -> list[str]:
        ids = await enqueue_in_turn(rt)
        await rt.tasks.wait(ids)
        return ids

    async def a_part_of_it(rt: Runtime) -> None:
        await enqueue_in_turn(rt)
        await asyncio.sleep(60)

    async def the_rest(rt: Runtime) -> None:
        await asyncio.sleep(60)

    ids = calm.run(all_of_it, *three_agents(), background_tasks=ONE)
    order = starts(calm)
    names = dict(zip(ids, ("b1", "b2", "b3", "c1", "a1", "a2"), strict=True))
    assert [names[id] for id in order] == ["b1", "c1", "a1", "b2", "a2", "b3"]
    for commits in range(10, 25):
        restarted = Machine()
        restarted.crash(a_part_of_it, *three_agents(), commits=commits, background_tasks=ONE)
        restarted.run(the_rest, *three_agents(), background_tasks=ONE)
        assert starts(restarted) == order, f"died after {commits} commits"


def test_the_highest_priority_of_an_agent_starts_first() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> list[str]:
        ids = [
            await rt.tasks.enqueue("crawl", {"seconds": 1}, agent="a", priority=priority)
            for priority in (0, -1, 2, 2)
        ]
        await rt.tasks.wait(ids)
        return ids

    first, low, high, high_too = machine.run(work, agent(tools=[crawl]), background_tasks=ONE)
    assert starts(machine) == [first, high, high_too, low]


def test_a_tool_has_a_limit_of_its_own() -> None:
    @tool(read_only=True, concurrency=1)
    async def narrow() -> None:
        await asyncio.sleep(5)

    machine = Machine()

    async def work(rt: Runtime) -> None:
        ids = [await rt.tasks.enqueue("narrow", agent="a") for _ in range(3)]
        ids += [await rt.tasks.enqueue("crawl", {"seconds": 5}, agent="a") for _ in range(2)]
        await asyncio.sleep(1)
        running = [info.tool for info in [await rt.tasks.get(id) for id in ids] if info.attempts]
        assert sorted(running) == ["crawl", "crawl", "narrow"]
        await rt.tasks.wait(ids)

    machine.run(work, agent(tools=[narrow, crawl]))


def test_tools_of_one_name_must_agree_on_their_limit() -> None:
    @tool(read_only=True, concurrency=1, name="crawl")
    async def narrow() -> None: ...

    with pytest.raises(InvalidDefinition, match="'crawl'"):
        Runtime(None, agents=[agent(tools=[crawl]), agent(id="b", tools=[narrow])])


# -- backpressure --


def test_a_task_that_is_rejected_is_an_error_to_the_model_and_the_run_goes_on() -> None:
    machine = Machine()
    busy = agent(
        calls(("crawl", {"seconds": 5}), ("crawl", {"seconds": 1})), Turn("fine"), tools=[crawl]
    )
    told = machine.run(
        one_run,
        busy,
        background_tasks=BackgroundTasks(global_concurrency=1, backpressure="reject"),
    )
    assert sorted(text.partition(":")[0] for text in told) == [
        "error (rejected)",
        "queued as background task r",
    ]


def test_a_task_that_runs_inline_is_waited_for_and_needs_no_slot() -> None:
    machine = Machine()
    busy = agent(
        calls(("crawl", {"seconds": 5}), ("crawl", {"seconds": 1})), Turn("fine"), tools=[crawl]
    )
    told = machine.run(
        one_run,
        busy,
        background_tasks=BackgroundTasks(global_concurrency=1, backpressure="run_inline"),
    )
    assert any(text.startswith("queued") for text in told)
    assert any(text.startswith("crawled") for text in told)


def test_more_than_max_queued_do_not_wait() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> list[str]:
        ids = [await rt.tasks.enqueue("crawl", {"seconds": 5}, agent="a") for _ in range(4)]
        return [(await rt.tasks.get(id)).status for id in ids]

    statuses = machine.run(
        work,
        agent(tools=[crawl]),
        background_tasks=BackgroundTasks(global_concurrency=1, max_queued=2),
    )
    assert statuses[1:] == ["queued", "queued", "rejected"]


# -- deadlines and retries --


def attempts(info: TaskInfo) -> list[str]:
    return [attempt.outcome for attempt in info.attempts]


async def enqueued(rt: Runtime, name: str, **args: object) -> TaskInfo:
    return (await rt.tasks.wait(await rt.tasks.enqueue(name, args, agent="a")))[0]


def test_a_deadline_is_real_and_frees_the_slot() -> None:
    @tool(read_only=True, background=Background(timeout=3))
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
        return "late"

    machine = Machine()

    async def work(rt: Runtime) -> tuple[TaskInfo, TaskInfo]:
        first = await enqueued(rt, "stubborn")
        second = await enqueued(rt, "crawl", seconds=1)
        await asyncio.sleep(200)
        return first, second

    first, second = machine.run(work, agent(tools=[stubborn, crawl]), background_tasks=ONE)
    assert (first.status, attempts(first)) == ("timed_out", ["timed_out"])
    assert first.error is not None
    assert first.error.kind == "timeout"
    assert (second.status, second.result) == ("succeeded", "crawled 1 s")
    assert task_events(machine, first.task_id)[-1] == "task-result-ignored"


def test_a_task_without_progress_has_timed_out_and_one_with_progress_has_not() -> None:
    @tool(read_only=True, background=Background(stall_timeout=3, timeout=60))
    async def steps(ctx: ToolContext, pause: float) -> str:
        for number in range(5):
            await asyncio.sleep(pause)
            await ctx.progress(done=number)
        return "done"

    machine = Machine()

    async def work(rt: Runtime) -> tuple[TaskInfo, TaskInfo]:
        return await enqueued(rt, "steps", pause=2), await enqueued(rt, "steps", pause=4)

    lively, stalled = machine.run(work, agent(tools=[steps]))
    assert (lively.status, lively.progress and lively.progress.done) == ("succeeded", 4)
    assert stalled.status == "timed_out"
    assert stalled.error is not None
    assert stalled.error.message.startswith("no progress within 3 s")


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"done": float("nan")}, ValueError),
        ({"done": 1.0, "total": float("inf")}, ValueError),
        ({"done": "half"}, TypeError),
        ({"done": 1.0, "note": b"half"}, TypeError),
    ],
)
def test_progress_that_nobody_could_show_is_refused_and_the_tool_goes_on(
    told: dict[str, Any], error: type[Exception]
) -> None:
    @tool(read_only=True, background=Background())
    async def crawl_on(ctx: ToolContext) -> str:
        with pytest.raises(error):
            await ctx.progress(**told)
        return "went on"

    @tool(read_only=True, background=Background())
    def crawl_in_a_thread(ctx: SyncToolContext) -> str:
        with pytest.raises(error):
            ctx.progress(**told)
        return "went on"

    machine = Machine()

    async def work(rt: Runtime) -> list[TaskInfo]:
        return [await enqueued(rt, name) for name in ("crawl_on", "crawl_in_a_thread")]

    found = machine.run(work, agent(tools=[crawl_on, crawl_in_a_thread]))
    assert [(info.result, info.progress) for info in found] == [("went on", None)] * 2


def failing(times: int, **how: Any) -> Tool[..., Any]:
    @tool(read_only=True, name="flaky", background=Background(**how))
    async def flaky(ctx: ToolContext) -> int:
        if ctx.attempt <= times:
            raise ConnectionError("busy")
        return ctx.attempt

    return flaky


def test_an_attempt_that_fails_is_made_again_after_its_wait_and_history_is_kept() -> None:
    machine = Machine()
    flaky = failing(2, retry=Retry(2, delay=10, factor=3, jitter=0))

    async def work(rt: Runtime) -> TaskInfo:
        return await enqueued(rt, "flaky")

    info = machine.run(work, agent(tools=[flaky]))
    assert (info.status, info.result) == ("succeeded", 3)
    assert attempts(info) == ["failed", "failed", "succeeded"]
    begun = [attempt.started_at for attempt in info.attempts]
    assert [round((b - a).total_seconds()) for a, b in pairwise(begun)] == [
        10,
        30,
    ]
    assert {attempt.worker for attempt in info.attempts} == {"owner-1"}


def test_a_wait_goes_on_over_a_restart_and_holds_no_slot() -> None:
    machine = Machine()
    flaky = failing(1, retry=Retry(1, delay=40, jitter=0, max_delay=60))
    keeper = agent(tools=[flaky, crawl])
    found: list[str] = []

    async def begin(rt: Runtime) -> None:
        found.append(await rt.tasks.enqueue("flaky", agent="a"))
        await asyncio.sleep(10)
        assert (await enqueued(rt, "crawl", seconds=1)).status == "succeeded"

    async def go_on(rt: Runtime) -> TaskInfo:
        before = await rt.tasks.get(found[0])
        assert (before.status, before.retry_at is not None) == ("queued", True)
        return (await rt.tasks.wait(found[0]))[0]

    machine.crash(begin, keeper, background_tasks=ONE)
    info = machine.run(go_on, keeper, background_tasks=ONE)
    assert info.status == "succeeded"
    first, second = info.attempts
    assert round((second.started_at - first.started_at).total_seconds()) == 40


# -- after a crash --


def crashed(in_doubt: InDoubt) -> tuple[Machine, Agent, str]:
    @tool(in_doubt=in_doubt, name="send")
    async def send(ctx: ToolContext) -> int:
        await asyncio.sleep(5)
        return ctx.attempt

    machine, sender, found = Machine(), agent(tools=[send, crawl]), list[str]()

    async def begin(rt: Runtime) -> None:
        found.append(await rt.tasks.enqueue("send", agent="a", idempotency_key="k"))
        await asyncio.sleep(1)

    machine.crash(begin, sender)
    return machine, sender, found[0]


def test_what_a_crash_has_cut_off_is_made_again() -> None:
    machine, sender, task_id = crashed("retry")

    async def go_on(rt: Runtime) -> TaskInfo:
        return (await rt.tasks.wait(task_id))[0]

    info = machine.run(go_on, sender)
    assert (info.status, info.result) == ("succeeded", 2)
    assert attempts(info) == ["cut_off", "succeeded"]
    assert [attempt.worker for attempt in info.attempts] == ["owner-1", "owner-2"]


def test_what_must_not_be_repeated_has_failed_in_doubt() -> None:
    machine, sender, task_id = crashed("fail")

    async def go_on(rt: Runtime) -> TaskInfo:
        return (await rt.tasks.wait(task_id))[0]

    info = machine.run(go_on, sender)
    assert info.status == "failed"
    assert info.error is not None
    assert info.error.kind == "in_doubt"


def test_a_task_that_kills_its_process_fails_after_some_times() -> None:
    machine, found, deaths = Machine(), list[TaskInfo](), list[asyncio.Event]()

    @tool(in_doubt="retry", name="deadly")
    async def deadly() -> None:
        """Kill the process."""
        deaths[-1].set()
        await asyncio.Event().wait()

    async def live(rt: Runtime) -> None:
        deaths.append(asyncio.Event())
        task_id = await rt.tasks.enqueue("deadly", agent="a", idempotency_key="deadly")
        over = asyncio.ensure_future(rt.tasks.wait(task_id))
        died = asyncio.ensure_future(deaths[-1].wait())
        await asyncio.wait([over, died], return_when=asyncio.FIRST_COMPLETED)
        if over.done():
            found.extend(over.result())
        over.cancel()

    while not found:
        machine.crash(live, agent(tools=[deadly]))
    (killer,) = found
    assert (len(deaths), attempts(killer)) == (7, ["cut_off"] * 6)
    assert killer.error is not None
    assert "the process ended 6 times" in killer.error.message


def test_a_person_says_what_became_of_it() -> None:
    machine, sender, task_id = crashed("ask")

    async def go_on(rt: Runtime) -> TaskInfo:
        await asyncio.sleep(1)
        before = await rt.tasks.get(task_id)
        assert (before.status, before.in_doubt) == ("suspended", True)
        for wrong in ("well", {"outcome": "no number"}):
            with pytest.raises(InvalidResumeValue):
                await rt.tasks.resume(task_id, wrong)
        (asked,) = await rt.runs.pending()
        assert (asked.task_id, asked.kind, asked.cause) == (task_id, "in_doubt", "crash")
        assert await rt.tasks.resume(task_id, {"outcome": 7})
        return (await rt.tasks.wait(task_id))[0]

    info = machine.run(go_on, sender)
    assert (info.status, info.result, attempts(info)) == ("succeeded", 7, ["in_doubt"])


def test_steps_that_are_done_are_not_done_again() -> None:
    done: list[int] = []

    async def page(number: int) -> int:
        await asyncio.sleep(1)
        done.append(number)
        return number

    @tool(in_doubt="retry", name="read")
    async def read(ctx: ToolContext) -> list[int]:
        return [await ctx.step(f"page-{number}", page, number) for number in range(5)]

    machine, reader, found = Machine(), agent(tools=[read]), list[str]()

    async def begin(rt: Runtime) -> None:
        found.append(await rt.tasks.enqueue("read", agent="a"))
        await asyncio.sleep(2.5)

    async def go_on(rt: Runtime) -> TaskInfo:
        return (await rt.tasks.wait(found[0]))[0]

    machine.crash(begin, reader)
    info = machine.run(go_on, reader)
    assert (info.result, info.steps, done) == ([0, 1, 2, 3, 4], 5, [0, 1, 2, 3, 4])


def test_a_task_whose_tool_is_gone_is_blocked_until_it_is_back() -> None:
    machine, sender, task_id = crashed("retry")

    async def look(rt: Runtime) -> TaskInfo:
        await asyncio.sleep(1)
        return await rt.tasks.get(task_id)

    async def go_on(rt: Runtime) -> TaskInfo:
        return (await rt.tasks.wait(task_id))[0]

    blocked = machine.run(look, agent(tools=[rest]))
    assert blocked.status == "blocked"
    assert blocked.error is not None
    assert "send" in blocked.error.message
    assert machine.run(go_on, sender).status == "succeeded"


def test_who_waits_for_a_task_that_is_blocked_is_told_so() -> None:
    machine, sender, task_id = crashed("retry")

    async def waits(rt: Runtime) -> TaskInfo:
        with pytest.raises(NotSuspended, match="it is blocked"):
            await rt.tasks.retry(task_id)
        return (await rt.tasks.wait(task_id))[0]

    blocked = machine.run(waits, agent(tools=[rest]))
    assert blocked.status == "blocked"
    with pytest.raises(TaskUnsuccessful, match="blocked"):
        blocked.unwrap()
    assert machine.run(waits_for(task_id), sender).status == "succeeded"


def test_what_was_told_last_before_a_question_is_recorded() -> None:
    @tool(read_only=True)
    async def half(ctx: ToolContext) -> str:
        await ctx.progress(done=1, total=2)
        await ctx.progress(done=2, total=2)
        return str(await ctx.suspend("more"))

    async def look(rt: Runtime) -> None:
        task_id = await rt.tasks.enqueue(half)
        await asyncio.sleep(1)
        task = await rt.tasks.get(task_id)
        assert task.progress is not None
        assert (task.status, task.progress.done) == ("suspended", 2)

    Machine().run(look, tools=[half])


def test_a_task_is_not_tried_once_more_without_its_tool() -> None:
    machine = Machine()

    async def fail(rt: Runtime) -> None:
        task_id = await rt.tasks.enqueue("crawl", {"seconds": 1}, agent="a", idempotency_key="k")
        await rt.tasks.cancel(task_id)

    async def again(rt: Runtime) -> TaskInfo:
        task_id = await rt.tasks.enqueue("crawl", {"seconds": 1}, agent="a", idempotency_key="k")
        await rt.tasks.retry(task_id)
        return (await rt.tasks.wait(task_id))[0]

    async def without(rt: Runtime) -> None:
        (task,) = (await rt.tasks.list()).tasks
        with pytest.raises(Refused, match="agent 'a' has no tool 'crawl'"):
            await rt.tasks.retry(task.task_id)
        assert (await rt.tasks.get(task.task_id)).status == "cancelled"

    async def without_agent(rt: Runtime) -> None:
        (task,) = (await rt.tasks.list()).tasks
        with pytest.raises(AgentNotFound):
            await rt.tasks.retry(task.task_id)

    machine.run(fail, agent(tools=[crawl]))
    machine.run(without, agent(tools=[rest]))
    machine.run(without_agent)
    assert machine.run(again, agent(tools=[crawl])).status == "succeeded"


def waits_for(task_id: str) -> Callable[[Runtime], Awaitable[TaskInfo]]:
    async def body(rt: Runtime) -> TaskInfo:
        return (await rt.tasks.wait(task_id))[0]

    return body


def test_a_quarantined_task_is_told_to_who_waits_and_may_be_tried_once_more() -> None:
    machine, sender, task_id = crashed("retry")
    stream = task_stream(task_id)
    kills = OpenEntry(kind="task", status="quarantined", owes=True, reason="it killed five")
    machine.log.append(
        stream, (), expected_version=machine.log.version(stream), entry=kills
    ).result(5)

    async def release(rt: Runtime) -> TaskInfo:
        (info,) = await rt.tasks.wait(task_id)
        assert (info.status, info.error) == (
            "quarantined",
            Failure(kind="quarantined", message="it killed five"),
        )
        assert await rt.tasks.enqueue("send", agent="a", idempotency_key="k") == task_id
        with pytest.raises(TaskExists):
            await rt.tasks.enqueue("crawl", {"seconds": 1}, agent="a", idempotency_key="k")
        assert await rt.tasks.retry(task_id)
        return (await rt.tasks.wait(task_id))[0]

    info = machine.run(release, sender)
    assert (info.status, attempts(info)) == ("succeeded", ["cut_off", "succeeded"])


def test_a_task_that_comes_to_stand_still_ends_the_waiting_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine()

    def broken(state: TaskState, command: object) -> object:
        raise RuntimeError("a bug of ours")

    async def work(rt: Runtime) -> TaskInfo:
        task_id = await rt.tasks.enqueue("crawl", {"seconds": 5}, agent="a")
        waiting = asyncio.ensure_future(rt.tasks.wait([task_id, task_id]))
        await asyncio.sleep(1)
        with monkeypatch.context() as patch:
            patch.setattr("outlive.actors.task.entity.TASK.decide", broken)
            info = (await waiting)[0]
        return info

    info = machine.run(work, agent(tools=[crawl]))
    assert info.status == "quarantined"
    assert info.error is not None
    assert "a bug of ours" in info.error.message


# -- people --


@tool(read_only=True, name="ask", background=True)
async def ask(ctx: ToolContext) -> str:
    """Ask for a number."""
    number = await ctx.suspend("which", {"of": [1, 2]}, answer_type=int)
    return f"number {number}"


def test_a_suspended_task_holds_no_slot_and_goes_on_when_it_is_answered() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> TaskInfo:
        task_id = await rt.tasks.enqueue("ask", agent="a")
        await asyncio.sleep(1)
        asked = await rt.tasks.get(task_id)
        assert asked.status == "suspended"
        assert [question.payload for question in asked.questions] == [{"of": [1, 2]}]
        (pending,) = await rt.runs.pending()
        assert (pending.task_id, pending.run_id, pending.kind) == (task_id, "", "suspension")
        assert (pending.tool, pending.key, pending.payload) == ("ask", "which", {"of": [1, 2]})
        assert pending.answer_schema == {"type": "integer"}
        busy = await rt.tasks.enqueue("crawl", {"seconds": 5}, agent="a")
        await asyncio.sleep(1)
        assert (await rt.tasks.get(busy)).status == "running"
        with pytest.raises(InvalidResumeValue, match=f"task '{task_id}'"):
            await rt.tasks.resume(task_id, "two")
        assert await rt.tasks.resume(task_id, 2)
        assert await rt.runs.pending() == []
        assert (await rt.tasks.get(task_id)).status == "queued"
        assert await rt.tasks.resume(task_id)  # On a queued task a no-op.
        info = (await rt.tasks.wait(task_id, timeout=60))[0]
        assert await rt.tasks.resume(task_id, 2)
        with pytest.raises(AlreadyResumed):
            await rt.tasks.resume(task_id, 1, key="which")
        with pytest.raises(AlreadyOver):
            await rt.tasks.resume(task_id, 1)
        return info

    info = machine.run(work, agent(tools=[ask, crawl]), background_tasks=ONE)
    assert (info.result, attempts(info)) == ("number 2", ["suspended", "succeeded"])


# -- cancelling --


def test_a_cancelled_task_is_over_and_its_run_is_told() -> None:
    machine = Machine()
    awaited = agent(
        calls(("crawl", {"seconds": 60})),
        Turn("fine"),
        tools=[crawl],
        background={"crawl": Background(mode="awaited")},
    )

    async def work(rt: Runtime) -> list[str]:
        run = await rt.start("a", "go", run_id="r")
        await asyncio.sleep(5)
        assert await rt.tasks.cancel("r:0.0", "too slow", by="me")
        assert await rt.tasks.cancel("r:0.0")
        return texts((await run.result()).messages)

    assert machine.run(work, awaited)[-1] == "error (cancelled): too slow"


def test_cancelling_a_run_cancels_its_tasks_unless_they_are_detached() -> None:
    machine = Machine()

    @tool(read_only=True, background=Background(detached=True))
    async def detached() -> str:
        await asyncio.sleep(20)
        return "done"

    worker = agent(
        calls(("crawl", {"seconds": 20}), ("detached", {})),
        calls(("rest", {"seconds": 60})),
        tools=[crawl, detached, rest],
    )

    async def work(rt: Runtime) -> tuple[TaskInfo, TaskInfo]:
        await rt.start("a", "go", run_id="r")
        await asyncio.sleep(5)
        await rt.cancel("r")
        cancelled, done = await rt.tasks.wait(["r:0.0", "r:0.1"])
        return cancelled, done

    cancelled, done = machine.run(work, worker)
    assert cancelled.status == "cancelled"
    assert cancelled.error is not None
    assert cancelled.error.message == "run 'r' was cancelled"
    assert done.status == "succeeded"
    with pytest.raises(AlreadyOver, match=r"task 'r:0\.1' is over already: succeeded"):
        machine.run(lambda rt: rt.tasks.cancel("r:0.1"), worker)


# -- out of band --


def test_what_does_not_exist_is_told_at_once() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> None:
        for attempt in (
            rt.tasks.get("x"),
            rt.tasks.cancel("x"),
            rt.tasks.resume("x", 1),
            rt.tasks.wait(["x"]),
            anext(rt.tasks.observe("x")),
        ):
            with pytest.raises(TaskNotFound):
                await attempt

    machine.run(work, agent(tools=[crawl]))


@tool(in_doubt="retry", concurrency=2, background=Background(timeout=7, retry=1))
async def sweep(ctx: ToolContext, seconds: float) -> str:
    """Take a while, for nobody's model."""
    await asyncio.sleep(seconds)
    return f"{ctx.agent_id or 'nobody'} swept"


def test_a_tool_of_the_runtime_is_called_without_an_agent() -> None:
    heard: list[str] = []
    hooks = TaskHooks(on_task_complete=lambda info: heard.append(info.task_id))
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        await rt.tasks.enqueue(sweep, {"seconds": 5}, idempotency_key="k")
        for wrong in ("unknown", crawl):
            with pytest.raises(Refused, match=r"the runtime has no tool .* \(known: sweep\)"):
                await rt.tasks.enqueue(wrong, {"seconds": 1})
        with pytest.raises(InvalidId):
            await rt.tasks.enqueue(sweep, {"seconds": 5}, agent="")
        await asyncio.sleep(1)

    async def look(rt: Runtime) -> TaskInfo:
        task_id = await rt.tasks.enqueue(sweep, {"seconds": 5}, idempotency_key="k")
        (info,) = await rt.tasks.wait(task_id)
        await asyncio.sleep(1)
        return info

    machine.crash(begin, tools=[sweep], task_hooks=hooks)
    machine.run(blocked, agent(tools=[crawl]))
    info = machine.run(look, tools=[sweep], task_hooks=hooks)
    assert (info.agent_id, info.result, attempts(info)) == (
        "",
        "nobody swept",
        ["cut_off", "succeeded"],
    )
    assert heard == [info.task_id]


async def blocked(rt: Runtime) -> None:
    await asyncio.sleep(1)
    (task,) = (await rt.tasks.list(status="blocked")).tasks
    assert task.error is not None
    assert "tool 'sweep' is not registered" in task.error.message


def test_tools_of_the_runtime_have_their_limits_and_slots() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> None:
        ids = [await rt.tasks.enqueue(sweep, {"seconds": 5}) for _ in range(3)]
        late = await rt.tasks.enqueue(sweep, {"seconds": 60})
        await asyncio.sleep(1)
        statuses = [(await rt.tasks.get(id)).status for id in ids]
        assert statuses == ["running", "running", "queued"]
        (info,) = await rt.tasks.wait(late)
        assert (info.status, len(info.attempts)) == ("timed_out", 2)

    machine.run(work, tools=[sweep])


def test_tools_of_the_runtime_are_checked() -> None:
    with pytest.raises(InvalidDefinition, match="two tools named 'sweep'"):
        Runtime(None, tools=[sweep, sweep])
    with pytest.raises(InvalidDefinition, match="tools are a list"):
        Runtime(None, tools=sweep)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    other = tool(name="sweep", read_only=True)(lambda: None)
    with pytest.raises(InvalidDefinition, match="different `concurrency`"):
        Runtime(None, tools=[sweep], agents=[agent(tools=[other])])


def test_the_same_key_is_the_same_task() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> None:
        first = await rt.tasks.enqueue(crawl, {"seconds": 1}, agent="a", idempotency_key="k")
        again = await rt.tasks.enqueue("crawl", {"seconds": 1}, agent="a", idempotency_key="k")
        assert first == again
        with pytest.raises(TaskExists):
            await rt.tasks.enqueue("crawl", {"seconds": 2}, agent="a", idempotency_key="k")
        with pytest.raises(Refused, match="no tool 'walk'"):
            await rt.tasks.enqueue("walk", agent="a")
        with pytest.raises(Refused, match="invalid_arguments"):
            await rt.tasks.enqueue("crawl", {"seconds": "long"}, agent="a")
        await rt.tasks.wait(first)

    machine.run(work, agent(tools=[crawl]))
    assert len(starts(machine)) == 1


def test_a_task_can_be_observed_from_any_version_on() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> list[list[str]]:
        task_id = await rt.tasks.enqueue("crawl", {"seconds": 5}, agent="a")
        live = [each.event async for each in rt.tasks.observe(task_id)]
        later = [each.event async for each in rt.tasks.observe(task_id, after=2)]
        return [tags(live), tags(later)]

    assert machine.run(work, agent(tools=[crawl])) == [
        ["task-queued", "task-started", "task-succeeded"],
        ["task-succeeded"],
    ]


def test_waiting_has_an_end_and_the_task_goes_on() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> TaskInfo:
        task_id = await rt.tasks.enqueue("crawl", {"seconds": 5}, agent="a")
        with pytest.raises(TimeoutError):
            await rt.tasks.wait(task_id, timeout=2)
        return (await rt.tasks.wait(task_id))[0]

    assert machine.run(work, agent(tools=[crawl])).status == "succeeded"


def test_a_queued_task_takes_no_memory_unless_it_is_next() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> int:
        for _ in range(20):
            await rt.tasks.enqueue("crawl", {"seconds": 5}, agent="a")
        await asyncio.sleep(1)
        return sum(one.stream.startswith("task-") for one in rt.live())

    assert machine.run(work, agent(tools=[crawl]), background_tasks=ONE) == 2


# -- once more --


def test_a_task_can_be_tried_once_more_and_keeps_its_history() -> None:
    machine = Machine()
    flaky = failing(1)

    async def work(rt: Runtime) -> TaskInfo:
        first = await enqueued(rt, "flaky")
        assert first.status == "failed"
        assert [task.task_id for task in (await rt.tasks.list(status="failed")).tasks]
        assert await rt.tasks.retry(first.task_id, by="me")
        [info] = await rt.tasks.wait(first.task_id)
        assert (await rt.tasks.list(status="failed")).tasks == ()
        assert len((await rt.tasks.list(status="succeeded")).tasks) == 1
        events = [each.event async for each in rt.tasks.observe(first.task_id)]
        assert tags(events).count("task-started") == 2
        with pytest.raises(AlreadyOver):
            await rt.tasks.retry(first.task_id)
        return info

    info = machine.run(work, agent(tools=[flaky]))
    assert (info.status, info.result, info.error) == ("succeeded", 2, None)
    assert attempts(info) == ["failed", "succeeded"]


# -- hooks --


def test_all_who_want_to_know_are_told_once_and_their_trouble_is_theirs() -> None:
    machine = Machine()
    heard: list[tuple[str, str, object]] = []

    def tells(who: str) -> TaskHooks:
        async def completed(info: TaskInfo) -> None:
            await asyncio.sleep(1)
            heard.append((who, info.status, info.result))

        def others(info: TaskInfo) -> None:
            heard.append((who, info.status, info.error and info.error.kind))

        return TaskHooks(
            on_task_complete=completed, on_task_failed=others, on_task_cancelled=others
        )

    def raises(_: TaskInfo) -> None:
        raise ValueError("no mail today")

    @tool(read_only=True, background=True, task_hooks=tells("tool"))
    async def work(seconds: float) -> str:
        await asyncio.sleep(seconds)
        if seconds == 3:
            raise ValueError("no")
        return "done"

    worker = agent(
        calls(*(("work", {"seconds": seconds}) for seconds in (1, 3, 99))),
        Turn("fine"),
        tools=[work],
        task_hooks=TaskHooks(on_task_complete=raises, on_task_failed=raises),
    )

    async def play(rt: Runtime) -> None:
        await rt.run("a", "go", run_id="r")
        await asyncio.sleep(10)
        await rt.tasks.cancel("r:0.2")
        await rt.tasks.wait(["r:0.0", "r:0.1", "r:0.2"])
        await asyncio.sleep(5)

    machine.run(play, worker, task_hooks=tells("runtime"))
    assert heard == [
        ("runtime", "succeeded", "done"),
        ("tool", "succeeded", "done"),
        ("runtime", "failed", "error"),
        ("tool", "failed", "error"),
        ("runtime", "cancelled", "cancelled"),
        ("tool", "cancelled", "cancelled"),
    ]
    [called] = [
        each.event
        for each in machine.log.read(StreamId("task-r:0.0"), after=Version(0))
        if isinstance(each.event, TaskHooksCalled)
    ]
    assert [failure.message for failure in called.failures] == ["ValueError: no mail today"]


def test_hooks_are_told_of_the_end_for_which_they_are_called() -> None:
    machine = Machine()
    heard: list[tuple[str, str, int]] = []

    def slowly(which: str) -> Callable[[TaskInfo], Awaitable[None]]:
        async def told(info: TaskInfo) -> None:
            await asyncio.sleep(5)
            heard.append((which, info.status, info.attempt))

        return told

    @tool(in_doubt="retry", background=True)
    async def second_time_lucky(ctx: ToolContext) -> str:
        """Fail once."""
        if ctx.attempt == 1:
            raise ValueError("not yet")
        return "done"

    hooks = TaskHooks(
        on_task_complete=slowly("complete"),
        on_task_failed=slowly("failed"),
        on_task_cancelled=slowly("cancelled"),
    )

    async def play(rt: Runtime) -> None:
        task_id = await rt.tasks.enqueue("second_time_lucky", agent="a")
        await rt.tasks.wait(task_id)
        await rt.tasks.retry(task_id)
        await rt.tasks.wait(task_id)
        await asyncio.sleep(20)

    worker = Agent("a", model=EchoModel(), tools=[second_time_lucky])
    machine.run(play, worker, task_hooks=hooks)
    assert sorted(heard) == [("complete", "succeeded", 2), ("failed", "failed", 1)]


def test_hooks_that_a_crash_has_cut_off_are_called_again() -> None:
    machine = Machine()
    heard: list[str] = []

    async def slowly(info: TaskInfo) -> None:
        heard.append(info.task_id)
        await asyncio.sleep(5)

    hooks = TaskHooks(on_task_complete=slowly)
    found: list[str] = []

    async def begin(rt: Runtime) -> None:
        found.append(await rt.tasks.enqueue("crawl", {"seconds": 1}, agent="a"))
        await asyncio.sleep(3)

    async def go_on(rt: Runtime) -> None:
        await asyncio.sleep(20)

    machine.crash(begin, agent(tools=[crawl]), task_hooks=hooks)
    machine.run(go_on, agent(tools=[crawl]), task_hooks=hooks)
    assert heard == found * 2
    assert task_events(machine, found[0])[-2:] == ["task-recovered", "task-hooks-called"]


@pytest.mark.parametrize("timeout", [None, 10, timedelta(seconds=30)])
def test_a_hook_that_hangs_is_waited_for_so_long_and_the_others_are_called(timeout: Any) -> None:
    machine = Machine()
    heard: list[str] = []

    async def hangs(_: TaskInfo) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(10_000)

    def exits(_: TaskInfo) -> None:
        raise SystemExit(1)

    ends = TaskHooks(on_task_complete=lambda _: heard.append("tool"))

    @tool(read_only=True, background=True, task_hooks=ends)
    def work() -> str:
        """Work."""
        return "done"

    async def play(rt: Runtime) -> None:
        heard.append(await rt.tasks.enqueue("work", agent="a"))
        await rt.tasks.wait(heard[0])
        await asyncio.sleep(9)
        assert len(heard) == 1
        await asyncio.sleep(1_000)

    worker = agent(tools=[work], task_hooks=TaskHooks(on_task_complete=exits))
    machine.run(play, worker, task_hooks=TaskHooks(on_task_complete=hangs, timeout=timeout))
    called = [
        each.event
        for each in machine.log.read(StreamId(f"task-{heard[0]}"), after=Version(0))
        if isinstance(each.event, TaskHooksCalled)
    ]
    if timeout is None:
        assert called == []
        return
    assert heard[1:] == ["tool"]
    late, ended = called[0].failures
    seconds = 10 if timeout == 10 else 30
    assert (late.kind, late.message) == ("timeout", f"it took longer than {seconds} seconds")
    assert ended.message == "RuntimeError: it has raised SystemExit"


def test_hooks_are_functions() -> None:
    with pytest.raises(InvalidDefinition, match="timeout"):
        TaskHooks(timeout=0)
    with pytest.raises(InvalidDefinition):
        TaskHooks(on_task_complete=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidDefinition):
        Runtime(None, task_hooks=print)  # type: ignore[arg-type]
