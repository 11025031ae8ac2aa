"""`TasksQuery.wait`, where nobody says that a task has come to stand still: its row does."""

from __future__ import annotations

import asyncio

from outlive.events import MemoryLog, OpenEntry, task_stream
from outlive.projections import TaskInfo, TasksQuery, TasksView, ViewRunner
from tests.support.tasks import TaskLog
from tests.support.virtual import VirtualClock, run_virtual

BLOCKED = OpenEntry(kind="task", status="blocked", owes=True, reason="no such tool")


def stand_still(log: MemoryLog, task_id: str) -> None:
    stream = task_stream(task_id)
    log.append(stream, (), expected_version=log.version(stream), entry=BLOCKED).result(5)


def wait_for(*task_ids: str) -> list[TaskInfo]:
    """Return what is told of tasks that run: `one` comes to stand still, `two` succeeds."""
    clock = VirtualClock()
    log = MemoryLog(clock=clock)
    tasks = TaskLog(log)

    async def work() -> list[TaskInfo]:
        query = TasksQuery(log, ViewRunner(log, [TasksView()], folder=None))
        loop = asyncio.get_running_loop()
        loop.call_later(1, stand_still, log, "one")
        loop.call_later(2, tasks.succeed, "two", 2)
        return await query.wait(task_ids, timeout=60)

    for task_id in ("one", "two"):
        tasks.begin(task_id)
    return run_virtual(work(), clock=clock)


def test_one_that_comes_to_stand_still_is_not_waited_for() -> None:
    (info,) = wait_for("one")
    assert (info.status, info.over) == ("blocked", False)
    assert info.error is not None
    assert info.error.message == "no such tool"


def test_the_others_are_waited_for_all_the_same() -> None:
    assert [info.status for info in wait_for("two", "one", "two")] == [
        "succeeded",
        "blocked",
        "succeeded",
    ]


def test_one_that_stands_still_already_is_told_at_once() -> None:
    log = MemoryLog(clock=VirtualClock())
    tasks = TaskLog(log)
    tasks.begin("one")
    stand_still(log, "one")

    async def work() -> list[TaskInfo]:
        query = TasksQuery(log, ViewRunner(log, [TasksView()], folder=None))
        return await query.wait("one", timeout=1e-9)

    assert run_virtual(work())[0].status == "blocked"
