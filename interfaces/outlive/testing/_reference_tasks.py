"""What the reference model knows of background tasks: what was asked for, what must come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from msgspec.structs import replace

from outlive.events import TaskQueued, Usage, Value
from outlive.events.ids import id_of, kind_of
from outlive.projections import RunResult, TaskInfo
from outlive.testing._retold_task import RetoldTask
from outlive.testing._simulation.simulation import Simulation

Judge: TypeAlias = Callable[[TaskInfo, TaskInfo], None]


@dataclass
class KnownErrand:
    """A task that no model has asked for, and what its client was told."""

    key: str
    agent: str
    tool: str
    arguments: Mapping[str, Value]
    asking: asyncio.Task[str] | None = None

    @property
    def task_id(self) -> str:
        """Its id; empty until it is acknowledged."""
        asking = self.asking
        if asking is None or not asking.done() or asking.cancelled():
            return ""
        return asking.result()

    def check_told(self, simulation: Simulation) -> None:
        """What was acknowledged is in the log.

        Raises:
            AssertionError: it is not.
        """
        if not self.task_id:
            return
        events = simulation.task_events(self.task_id)
        first = events[0] if events else None
        assert isinstance(first, TaskQueued), (
            f"task {self.task_id} was acknowledged, and the log has {first}"
        )
        asked = (self.agent, self.tool, self.arguments)
        assert (first.agent_id, first.tool, first.arguments) == asked, (
            f"{asked} was asked for as task {self.task_id}, the log has {first}"
        )


def tasks_of(simulation: Simulation) -> dict[str, TaskInfo]:
    """Return what tasks have come to, by their ids."""
    streams = [stream for stream in simulation.disk.store.index if kind_of(stream) == "task"]
    runtime = simulation.runtime
    return {id_of(each): simulation.drive(runtime.tasks.get(id_of(each))) for each in streams}


def same_end(calm: TaskInfo, stormy: TaskInfo) -> None:
    """A task has come to the same: how many attempts that took is another matter."""
    for what in ("status", "result", "error"):
        was, now = getattr(calm, what), getattr(stormy, what)
        assert was == now, (
            f"task {stormy.task_id} came to {what} {now!r}, when nothing goes wrong to {was!r}"
        )


def without_the_instants(result: RunResult) -> RunResult:
    """Return what does not depend on the instants at which tasks have told their run."""
    return replace(result, messages=(), steps=0, finish_reason="", usage=Usage())


def check_tasks(
    told: Mapping[str, RetoldTask],
    calm: Mapping[str, TaskInfo],
    stormy: Mapping[str, TaskInfo],
    *,
    judge: Judge,
    disturbed: bool = False,
) -> None:
    """Every task of a run has come to what it comes to when nothing goes wrong.

    Args:
        told: what people have said to them.
        calm, stormy: what they have come to, alone and here.
        judge: compares the two.
        disturbed: which tasks there are may differ, as the run has heard something else.

    Raises:
        AssertionError: one has not.
    """
    for task_id, said in told.items():
        came = stormy[task_id]
        assert came.over, f"task {task_id} is {came.status}, and nobody moves it"
        if said.ends_called_off:
            assert came.status == "cancelled", f"task {task_id} was called off, and is {came}"
        elif task_id not in calm:
            assert disturbed, f"there is a task {task_id}, which is not there alone"
        elif not (said.vouched or said.without_a_thread) and calm[task_id].status != "cancelled":
            judge(calm[task_id], came)
    if not disturbed:
        for task_id in calm:
            assert task_id in told, f"there is no task {task_id}, as there is alone"
