"""The task as a kind of entity: what it needs from its runtime, and what comes of it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

from outlive.actors.addresses import Addresses
from outlive.actors.entity import Entity, World
from outlive.actors.kind import Recovery
from outlive.actors.residents import Resident
from outlive.actors.surroundings import Surroundings
from outlive.actors.task.commands import Effect, RecoverTask, StartTask, TaskCommand
from outlive.actors.task.entity import TASK
from outlive.actors.task.world import TaskWorld
from outlive.events import OpenEntry, StreamId, TaskState
from outlive.events.ids import id_of


class TaskKind:
    """`Kind` of tasks."""

    def __init__(self, surroundings: Surroundings, recovery: Recovery) -> None:
        self._all = surroundings
        self._recovery = recovery

    @property
    def name(self) -> str:
        """The kind, as in the open table."""
        return "task"

    @property
    def entity(self) -> Entity[TaskState, TaskCommand, Effect]:
        """The pure parts."""
        return TASK

    def world(self, stream: StreamId) -> TaskWorld:
        """Return what the effects of this task are done to."""
        return TaskWorld(id_of(stream), self._all)

    def missing(self, state: TaskState) -> str:
        """Return what an open task needs and this runtime does not have."""
        if state.status == "none" or state.over:
            return ""
        if self._all.tool(state.agent_id, state.tool) is not None:
            return ""
        if not state.agent_id:
            return f"tool {state.tool!r} is not registered"
        if state.agent_id not in self._all.agents:
            return f"agent {state.agent_id!r} is not registered"
        return f"agent {state.agent_id!r} has no tool {state.tool!r} any more"

    def recover(
        self, state: TaskState, running: frozenset[Effect], *, released: bool = False
    ) -> RecoverTask:
        """Return the command that settles what was in flight."""
        tool = self._all.tool(state.agent_id, state.tool)
        return RecoverTask(
            epoch=self._recovery.epoch,
            running=running,
            in_doubt="fail" if tool is None else tool.in_doubt,  # There is none to be called again.
            clean=self._recovery.clean or released,
            max_recoveries=self._recovery.max_recoveries,
            worker=self._all.desk.worker,
        )

    def point(self, state: TaskState) -> Hashable:
        """Return how far the task has got."""
        return state.status, state.attempt, state.failures

    def outdated(self, state: TaskState) -> bool:
        """Whether something has changed that an open task must be told: nothing has."""
        return False

    def wake(self, now_ns: int) -> StartTask:
        """Return the command for an instant that was waited for, of a task that needs no slot."""
        return StartTask(now_ns=now_ns, turn=0, worker=self._all.desk.worker)

    def outcome(
        self,
        stream: StreamId,
        state: TaskState,
        world: World[Effect],
        entry: OpenEntry | None,
    ) -> TaskState:
        """Return what those get who wait until the task is at rest."""
        return state


TaskResident: TypeAlias = Resident[TaskState, TaskCommand, Effect, TaskState]
Tasks: TypeAlias = Addresses[TaskState, TaskCommand, Effect, TaskState]
