"""The rules of an `AgentMachine` about background tasks: asked for, answered, called off."""

from __future__ import annotations

from typing import Any, ClassVar, Final, cast

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from outlive.actors.task.submitted import (
    CancelTaskRequest,
    ResumeTaskRequest,
    RetryTaskRequest,
    TaskRequest,
)
from outlive.events import (
    LogParked,
    TaskState,
    Value,
    task_stream,
)
from outlive.events.ids import id_of, kind_of
from outlive.projections import Pending
from outlive.testing._machine_people import PeopleRules
from outlive.testing._reference import ask_for
from outlive.testing._reference_tasks import KnownErrand

_UNSUCCESSFUL: Final = ("failed", "timed_out", "cancelled")
_RETRY: Final[Value] = {"retry": True}

Errand = tuple[str, str, dict[str, Any]]


class TaskRules(PeopleRules):
    """What people and programs do to tasks, in the background."""

    errands: ClassVar[st.SearchStrategy[Errand] | None] = None
    """Tasks that no model asks for: the agent's id, the tool's name, and the arguments."""

    def _tasks(self) -> dict[str, TaskState]:
        """Return all tasks, by their ids, as the disk has them."""
        if self._simulation is None:
            return {}
        index, invariants = self._simulation.disk.store.index, self._simulation.invariants
        return {
            id_of(stream): cast("TaskState", invariants.state(stream))
            for stream in index
            if kind_of(stream) == "task"
        }

    def _questions(self) -> list[Pending]:
        """Return what tasks ask people now."""
        return [each for each in self._all_asked() if each.task_id]

    def _say_to_task(self, task_id: str, request: TaskRequest) -> None:
        self._speak(task_stream(task_id), request)

    @precondition(lambda self: bool(self._questions()))
    @rule(data=st.data())
    def answer_a_task(self, data: st.DataObject) -> None:
        """Answer what a task asks, or say what became of its attempt in doubt."""
        asked = data.draw(st.sampled_from(self._questions()))
        value = cast("Value", data.draw(self.answers(asked)))
        if asked.kind == "in_doubt":
            says: list[Value] = [_RETRY, {"error": "it looks like that"}, {"outcome": value}]
            request = ResumeTaskRequest(value=data.draw(st.sampled_from(says)), by="somebody")
        else:
            key = data.draw(st.sampled_from([asked.key, None]))
            request = ResumeTaskRequest(value=value, key=key, by="somebody")
        self._say_to_task(asked.task_id, request)

    @precondition(lambda self: bool(self._tasks()))
    @rule(data=st.data())
    def call_a_task_off(self, data: st.DataObject) -> None:
        """Cancel a task, whatever it does."""
        task_id = data.draw(st.sampled_from([*self._tasks()]))
        self._say_to_task(task_id, CancelTaskRequest(reason="not needed", by="somebody"))

    @precondition(lambda self: bool(self._tasks()))
    @rule(data=st.data())
    def try_a_task_again(self, data: st.DataObject) -> None:
        """Want a task tried once more: it is, if it has ended without success."""
        tasks = self._tasks()
        ended = [id for id, state in tasks.items() if state.status in _UNSUCCESSFUL]
        task_id = data.draw(st.sampled_from([*ended, *ended, *tasks]))
        self._say_to_task(task_id, RetryTaskRequest(by="somebody"))

    @precondition(lambda self: self._simulation is not None and self.errands is not None)
    @rule(data=st.data())
    def ask_for_a_task(self, data: st.DataObject) -> None:
        """Have a tool called in the background, though no model asks for it."""
        assert self.errands is not None
        agent, tool, arguments = data.draw(self.errands)
        known = self._reference.errands
        errand = KnownErrand(f"errand{len(known) + 1}", agent, tool, arguments)
        errand.asking = self.simulation.spawn(self._ask_for(errand))
        known.append(errand)

    async def _ask_for(self, errand: KnownErrand) -> str:
        client, pause = self.simulation.client, 1.0
        while True:
            try:
                return await ask_for(errand, client)
            except LogParked:
                await client.sleep(pause)
                pause = min(2 * pause, 3_600.0)

    def _ask_again(self) -> None:
        """All clients begin again."""
        for errand in self._reference.errands:
            errand.asking = self.simulation.spawn(self._ask_for(errand))
