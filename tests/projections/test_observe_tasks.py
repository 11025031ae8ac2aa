"""Following tasks: one until it is over, all of an agent, thread or run, and waiting for some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlive.events import (
    InvalidId,
    InvalidOffset,
    LogClosed,
    MemoryLog,
    Position,
    Recorded,
    RunNotFound,
    TaskNotFound,
    TaskUnsuccessful,
    ThreadNotFound,
)
from outlive.projections import TasksQuery, TasksView, ViewRunner
from outlive.projections.tasks.observe import observe_several
from tests.support import run_virtual
from tests.support.tasks import BOOM, LATE, TaskLog
from tests.support.views import records_of, start_run, start_thread
from tests.support.virtual import VirtualClock

T = TypeVar("T")

Told = tuple[str, int]  # of which stream, and which version


def ask(body: Callable[[TaskLog, TasksQuery], Awaitable[T]], log: MemoryLog | None = None) -> T:
    """Do something with a log's tasks and what may be asked of them."""
    clock = VirtualClock()
    log = log or MemoryLog(clock=clock)

    async def run() -> T:
        views = ViewRunner(log, [TasksView()], folder=None)
        views.start()
        try:
            return await body(TaskLog(log), TasksQuery(log, views))
        finally:
            await views.close()

    return run_virtual(run(), clock=clock)


def place(recorded: Recorded) -> Told:
    return recorded.stream.removeprefix("task-"), recorded.version


async def collect(events: AsyncGenerator[Recorded, None]) -> list[Told]:
    return [place(recorded) async for recorded in events]


async def take(events: AsyncIterator[Recorded], count: int) -> list[Told]:
    return [place(await anext(events)) for _ in range(count)]


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def of(task_id: str, *versions: int) -> list[Told]:
    return [(task_id, version) for version in versions]


# -- one --


@pytest.mark.parametrize(
    ("after", "told"), [(0, [1, 2, 3, 4]), (2, [3, 4]), (3, [4]), (4, [5]), (5, [])]
)
def test_a_task_that_is_over_is_told_from_any_version_to_its_end(
    after: int, told: list[int]
) -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        tasks.begin("t1", run_id="r")
        tasks.progress("t1", 1.0)
        tasks.succeed("t1", "yes")
        tasks.deliver("t1")
        assert await collect(query.observe(id="t1", after=after)) == of("t1", *told)

    ask(body)


def test_a_task_that_goes_on_is_told_live_until_its_end() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        tasks.begin("t1")
        following = asyncio.ensure_future(collect(query.observe(id="t1", after=1)))
        await turns()
        tasks.begin("t2")
        tasks.fail("t1", delay=1)
        tasks.start("t1")
        tasks.cancel("t1")
        assert await following == of("t1", 2, 3, 4, 5)

    ask(body)


def test_who_asks_of_a_task_that_is_not_there_is_told_at_once() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        start_run(tasks.log, "t1")
        with pytest.raises(TaskNotFound):
            await collect(query.observe(id="t1"))
        with pytest.raises(TaskNotFound):
            await query.wait(["t1"])
        with pytest.raises(RunNotFound):
            await collect(query.observe(run_id="r"))
        with pytest.raises(ThreadNotFound):
            await collect(query.observe(thread_id="t"))

    ask(body)


@pytest.mark.parametrize("after", [-1, 3, "1", 1.0, True])
def test_an_offset_that_is_none_is_refused(after: Any) -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        tasks.begin("t1")
        with pytest.raises(InvalidOffset):
            await collect(query.observe(id="t1", after=after))
        with pytest.raises(InvalidOffset):
            await collect(query.observe(agent_id="looker", after=after))

    ask(body)


def test_one_thing_is_observed() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        observe: Any = query.observe
        with pytest.raises(ValueError, match="not 0 of them"):
            observe()
        with pytest.raises(ValueError, match="not 2 of them"):
            observe(id="t1", run_id="r")
        with pytest.raises(InvalidId):
            observe(agent_id="")
        with pytest.raises(InvalidId):
            observe(thread_id=3)

    ask(body)


# -- several --


def test_all_tasks_of_an_agent_are_told_in_order_then_live() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        tasks.queue("t1")
        tasks.queue("t2")
        tasks.queue("of another", agent_id="other")
        tasks.start("t2")
        tasks.start("t1")
        events = query.observe(agent_id="looker")
        assert await take(events, 4) == [("t1", 1), ("t2", 1), ("t2", 2), ("t1", 2)]
        tasks.start("of another")
        tasks.succeed("t1")
        tasks.queue("t3")
        tasks.queue("of another, too", agent_id="other")
        tasks.succeed("t2")
        assert await take(events, 3) == [("t1", 3), ("t3", 1), ("t2", 3)]
        await events.aclose()

    ask(body)


def test_an_agent_without_tasks_is_waited_for() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        events = query.observe(agent_id="looker")
        first = asyncio.ensure_future(anext(events))
        await turns()
        tasks.queue("t1")
        assert place(await first) == ("t1", 1)
        await events.aclose()

    ask(body)


@pytest.mark.parametrize("asked", ["agent_id", "thread_id", "run_id"])
def test_a_run_is_told_of_its_own_tasks_and_so_are_agents_and_threads(asked: str) -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        start_run(tasks.log, "one")
        start_thread(tasks.log, "one")
        for number, value in enumerate(["one", "other", "one"]):
            tasks.queue(f"t{number}", **{asked: value})
        observe: Any = query.observe
        events = observe(**{asked: "one"})
        assert await take(events, 2) == [("t0", 1), ("t2", 1)]
        await events.aclose()

    ask(body)


def test_a_run_whose_start_is_known_is_waited_for() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        async def begun(stream: str) -> None:
            start_run(tasks.log, "r")
            tasks.queue("t1", run_id="r")

        query._begun = begun  # pyright: ignore[reportPrivateUsage]
        events = query.observe(run_id="r")
        assert await take(events, 1) == [("t1", 1)]
        await events.aclose()

    ask(body)


def test_a_thread_whose_first_run_is_known_is_waited_for() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        async def begun(stream: str) -> None:
            assert stream == "thread-t"
            start_thread(tasks.log, "t")
            tasks.queue("t1", thread_id="t")

        query._begun = begun  # pyright: ignore[reportPrivateUsage]
        events = query.observe(thread_id="t")
        assert await take(events, 1) == [("t1", 1)]
        await events.aclose()

    ask(body)


ACTIONS = ("begin", "step", "fail", "succeed")


@given(
    actions=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(ACTIONS)), max_size=40),
    share=st.floats(0, 1),
    backwards=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_from_any_position_it_is_what_a_scan_of_the_log_would_find(
    actions: list[tuple[int, str]], share: float, *, backwards: bool
) -> None:
    clock = VirtualClock()
    log = MemoryLog(clock=clock)
    tasks = TaskLog(log)
    start_run(log, "r")
    for number, action in actions:
        clock.set_forward(-1 if backwards else 1)
        act(tasks, f"t{number}", action, agent_id="one" if number % 2 else "other")
    records = records_of(log)
    split = round(share * len(records))
    after = records[split - 1].position if split else Position(0)
    expected = [
        place(recorded)
        for record in records[split:]
        if record.stream in ("task-t1", "task-t3")
        for recorded in record.recorded()
    ]

    async def body(_: TaskLog, query: TasksQuery) -> None:
        events = query.observe(agent_id="one", after=after)
        assert await take(events, len(expected)) == expected
        following = asyncio.ensure_future(anext(events))
        await turns()
        tasks.queue("t5", agent_id="one")
        assert place(await following) == ("t5", 1)
        await events.aclose()

    ask(body, log)


def act(tasks: TaskLog, task_id: str, action: str, agent_id: str) -> None:
    status = tasks.state(task_id).status
    if status == "none":
        tasks.queue(task_id, agent_id=agent_id)
    elif status == "queued":
        tasks.start(task_id)
    elif status == "running":
        match action:
            case "begin" | "step":
                tasks.step(task_id, "page")
            case "fail":
                tasks.fail(task_id, delay=0)
            case _:
                tasks.succeed(task_id)


def test_very_many_tasks_are_told_in_order() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        for number in range(1_100):  # more than are looked at in one go
            tasks.queue(f"t{number}")
        for number in range(300):  # more than a page of one task
            tasks.start("t7") if not number else tasks.step("t7", f"step {number}")
        events = query.observe(agent_id="looker")
        told = await take(events, 1_400)
        assert told == [(f"t{number}", 1) for number in range(1_100)] + of("t7", *range(2, 302))
        await events.aclose()

    ask(body)


def test_a_log_that_closes_is_told_to_who_observes() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        tasks.queue("t1")
        one = asyncio.ensure_future(collect(query.observe(id="t1")))
        all_of_it = asyncio.ensure_future(collect(query.observe(agent_id="looker")))
        waiting = asyncio.ensure_future(query.wait(["t1"]))
        await turns()
        tasks.log.close()
        for future in (one, all_of_it, waiting):
            with pytest.raises(LogClosed):
                await future

    ask(body)


def test_leaving_detaches() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        log = tasks.log
        assert isinstance(log, MemoryLog)
        tasks.queue("t1")
        by_stream = log._feed._by_stream  # pyright: ignore[reportPrivateUsage]
        events = query.observe(id="t1")
        await anext(events)
        assert by_stream
        await events.aclose()
        assert not by_stream

    ask(body)


# -- some --


def test_some_tasks_are_told_until_all_of_them_are_over() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        for name in ("a", "b", "c"):
            tasks.begin(name, run_id="r")
        tasks.succeed("a")
        events = observe_several(tasks.log, ["b", "a"])
        told = await take(events, 5)
        assert told == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("a", 3)]
        tasks.deliver("a")
        tasks.succeed("c")
        tasks.fail("b")
        tasks.deliver("b")
        assert await collect(events) == [("a", 4), ("b", 3)]
        assert await collect(observe_several(tasks.log, ["a", "b"], after=tasks.log.head)) == []
        assert await collect(observe_several(tasks.log, ["c"])) == of("c", 1, 2, 3)
        with pytest.raises(TaskNotFound):
            await collect(observe_several(tasks.log, ["a", "nobody"]))
        with pytest.raises(InvalidOffset):
            await collect(observe_several(tasks.log, ["a"], after=tasks.log.head + 1))

    ask(body)


def test_one_that_ends_while_the_past_is_told_ends_it() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        tasks.begin("a")
        events = observe_several(tasks.log, ["a"])
        await anext(events)
        tasks.succeed("a")
        assert await collect(events) == of("a", 2, 3)

    ask(body)


# -- waiting --


def test_what_tasks_come_to_is_waited_for_in_the_order_asked_for() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        for name in ("good", "bad", "late", "gone"):
            tasks.begin(name, run_id="r")
        tasks.succeed("good", [1])
        tasks.deliver("good")
        names = ["gone", "good", "late", "good", "bad", "full"]
        tasks.queue("full", verdict="reject", reason="no room")
        waiting = asyncio.ensure_future(query.wait(names))
        await turns()
        tasks.fail("bad")
        tasks.fail("late", LATE)
        await turns()
        assert not waiting.done()
        tasks.cancel("gone", "enough")

        gone, good, late, again, bad, full = await waiting

        assert good == again
        assert (good.status, good.result, good.unwrap()) == ("succeeded", [1], [1])
        assert (bad.status, bad.error) == ("failed", BOOM)
        assert (late.status, late.error) == ("timed_out", LATE)
        assert [(one.status, one.error and one.error.message) for one in (gone, full)] == [
            ("cancelled", "enough"),
            ("rejected", "no room"),
        ]
        with pytest.raises(TaskUnsuccessful, match="'bad' is failed: error: bang"):
            bad.unwrap()

    ask(body)


def test_a_wait_ends_at_its_timeout_and_the_tasks_go_on() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        tasks.begin("t1")
        loop = asyncio.get_running_loop()
        before = loop.time()
        with pytest.raises(TimeoutError):
            await query.wait(["t1"], timeout=3)
        assert loop.time() - before == pytest.approx(3)
        tasks.succeed("t1")
        assert [one.status for one in await query.wait(["t1"], timeout=0)] == ["succeeded"]
        assert await query.wait([]) == []
        assert [one.task_id for one in await query.wait("t1")] == ["t1"]

    ask(body)


def test_a_wait_that_cannot_be_meant_is_refused() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        tasks.queue("t1")
        with pytest.raises(TypeError, match="a list of ids, not of type int"):
            await query.wait(1)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="in seconds"):
            await query.wait(["t1"], timeout="3")  # type: ignore[arg-type]
        with pytest.raises(InvalidId):
            await query.wait([""])

    ask(body)


def test_a_late_result_behind_the_end_is_no_end() -> None:
    async def body(tasks: TaskLog, query: TasksQuery) -> None:
        tasks.begin("t1", run_id="r")
        tasks.succeed("t1", "yes")
        for _ in range(20):
            tasks.ignore("t1")
        (result,) = await query.wait(["t1"])
        assert result.result == "yes"

    ask(body)
