"""From a request to the task and the command that carry it out: with what only the owner has."""

from __future__ import annotations

from typing import Any, Final

from outlive.actors.background import BackgroundTasks
from outlive.actors.background_plans import limits_of
from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.surroundings import Surroundings
from outlive.actors.task.carrying_out import check_outcome, require_same, steer_command
from outlive.actors.task.commands import QueueTask, TaskCommand
from outlive.actors.task.decide import WITHOUT_SUCCESS
from outlive.actors.task.kind import Tasks
from outlive.actors.task.submitted import (
    CancelTaskRequest,
    EnqueueRequest,
    ResumeTaskRequest,
    RetryTaskRequest,
    TaskRequest,
)
from outlive.actors.thread.required import require_thread
from outlive.actors.tool import Tool
from outlive.events import (
    AgentNotFound,
    EventLog,
    NotSuspended,
    OpenEntry,
    Refused,
    StreamId,
    TaskLimits,
    TaskNotFound,
)
from outlive.events.ids import id_of


class TaskDoor:
    """Where what people and programs want of tasks comes in."""

    def __init__(
        self,
        tasks: Tasks,
        *,
        log: EventLog,
        surroundings: Surroundings,
        settings: BackgroundTasks,
    ) -> None:
        self._tasks: Final = tasks
        self._log = log
        self._all = surroundings
        self._desk = surroundings.desk
        self._agents = surroundings.agents
        self._settings = settings
        self._limits: dict[tuple[str, str], TaskLimits] = {}  # by agent and tool

    def prepare(
        self, stream: StreamId, request: TaskRequest
    ) -> tuple[EventSourcedActor[Any, Any, Any], TaskCommand] | None:
        """Return the actor that a request is for, and the command; None if nothing is left to do.

        Raises:
            TaskNotFound: there is no such task, and this is no beginning of one.
            AgentNotFound, Refused: it cannot begin here, or be tried once more.
            NotSuspended: it stands still.
            InvalidResumeValue: the tool cannot have returned this.
        """
        if isinstance(request, EnqueueRequest):
            return self._enqueue(stream, request)
        command = steer_command(request, id_of(stream), worker=self._desk.worker)
        if self._tasks.resident(stream) is None and not self._log.version(stream):
            raise TaskNotFound(id_of(stream))
        task = self._tasks.at(stream)
        if isinstance(task, OpenEntry):
            if not isinstance(request, CancelTaskRequest):
                raise NotSuspended(id_of(stream), task.status, "task")
            task = self._tasks.at_as_it_is(stream)
        state = task.actor.state
        if isinstance(request, RetryTaskRequest) and state.status in WITHOUT_SUCCESS:
            self._tool(state.agent_id, state.tool)
        if isinstance(request, ResumeTaskRequest) and state.in_doubt:
            tool = self._all.tool(state.agent_id, state.tool)
            assert tool is not None, "a task without its tool is blocked"
            check_outcome(id_of(stream), tool, request.value)
        return task.actor, command

    def _enqueue(
        self, stream: StreamId, request: EnqueueRequest
    ) -> tuple[EventSourcedActor[Any, Any, Any], QueueTask] | None:
        agent_id = request.agent_id
        tool = self._tool(agent_id, request.tool)
        if request.thread_id:
            require_thread(self._log, request.thread_id, request.resource_id)
        problem = tool.problem_with(request.arguments)
        if problem is not None:
            raise Refused(f"{problem.kind}: {problem.message}")
        task = self._tasks.at(stream)
        if isinstance(task, OpenEntry):  # It stands still, and only the log can tell what it is.
            require_same(self._log, stream, request)
            return None
        begun = task.actor.version > 0
        place = self._desk.admit(stream, agent_id, tool.name, begun=begun)
        return task.actor, QueueTask(
            task_id=id_of(stream),
            tool=tool.name,
            arguments=request.arguments,
            agent_id=agent_id,
            thread_id=request.thread_id,
            resource_id=request.resource_id,
            on_complete=request.on_complete,
            request_context=request.request_context,
            priority=request.priority,
            place=place.number,
            limits=self._limits_of(agent_id, tool),
            verdict=place.verdict,
            turn=place.turn,
            reason=place.reason,
            worker=self._desk.worker,
            hooked=any(self._all.layers_of_hooks(agent_id, tool.name)),
        )

    def _tool(self, agent_id: str, name: str) -> Tool[..., Any]:
        """Return the tool that is to be called. Raises AgentNotFound, Refused."""
        tool = self._all.tool(agent_id, name)
        if tool is not None:
            return tool
        agent = self._agents.get(agent_id)
        if agent_id and agent is None:
            raise AgentNotFound(agent_id, tuple(self._agents))
        who = f"agent {agent.id!r}" if agent is not None else "the runtime"
        tools = agent.tools if agent is not None else self._all.tools
        known = ", ".join(tools) or "none"
        raise Refused(f"{who} has no tool {name!r} (known: {known})")

    def _limits_of(self, agent_id: str, tool: Tool[..., Any]) -> TaskLimits:
        """Return the limits of the tool's tasks; of one that has none, those it would have."""
        found = self._limits.get((agent_id, tool.name))
        if found is not None:
            return found
        agent = self._agents.get(agent_id)
        limits = self._limits[agent_id, tool.name] = limits_of(agent, tool, self._settings)
        return limits
