"""What has to hold of background tasks when everything is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from outlive.actors import Agent, BackgroundTasks
from outlive.events import (
    BackgroundResultReceived,
    Event,
    Record,
    StreamId,
    TaskEvent,
    TaskQueued,
    TaskRequested,
    TaskRequeued,
    TaskStarted,
    TaskState,
    ToolCallDeferred,
)
from outlive.events.ids import id_of, kind_of
from outlive.events.task import evolve


@dataclass
class Task:
    """A task's stream, folded."""

    id: str
    queued: TaskQueued
    events: list[Event] = field(default_factory=list[Event])
    state: TaskState = field(default_factory=TaskState)
    after_the_end: Event | None = None
    """The first one that changes the status of a task that was over."""


class Tasks:
    """Folds the records of a log, in order, and finds what does not hold of its tasks."""

    def __init__(self, agents: Mapping[str, Agent], settings: BackgroundTasks) -> None:
        self._agents, self._settings = agents, settings
        self._tasks: dict[StreamId, Task] = {}
        self._by_run: dict[str, list[Task]] = {}
        self._running: dict[StreamId, TaskQueued] = {}  # and hold a slot
        self.most = 0
        """How many had a slot at the same time."""
        self._crowded: dict[str, None] = {}

    def take(self, record: Record) -> None:
        """Take the next record. Those of other entities are passed over."""
        if kind_of(record.stream) != "task":
            return
        for event in record.events:
            if isinstance(event, TaskEvent):
                self._take(record.stream, event)

    def _take(self, stream: StreamId, event: TaskEvent) -> None:
        task = self._tasks.get(stream)
        if task is None:
            if not isinstance(event, TaskQueued):
                return  # Found where the stream's first version is looked at.
            task = self._tasks[stream] = Task(id_of(stream), event)
            self._by_run.setdefault(event.run_id, []).append(task)
        before = task.state
        task.events.append(event)
        task.state = evolve(before, event)
        changed = task.state.status != before.status and not isinstance(event, TaskRequeued)
        if before.over and changed and task.after_the_end is None:
            task.after_the_end = event
        if task.state.status == "running" and not task.state.inline:
            self._running[stream] = task.queued
        else:
            self._running.pop(stream, None)
        if isinstance(event, TaskStarted):
            self._look_for_room()

    def _look_for_room(self) -> None:
        """A task was started: were there as many slots?"""
        self.most = max(self.most, len(self._running))
        settings = self._settings
        by_agent = Counter(queued.agent_id for queued in self._running.values())
        by_tool = Counter(queued.tool for queued in self._running.values())
        bounds = {
            queued.tool: self._agents[queued.agent_id].tools[queued.tool].concurrency
            for queued in self._running.values()
            if queued.agent_id in self._agents
        }
        found = [("all", len(self._running), settings.global_concurrency)]
        found += [
            (f"agent {id!r}", count, settings.per_agent_concurrency)
            for id, count in by_agent.items()
        ]
        found += [
            (f"tool {name!r}", count, most)
            for name, count in by_tool.items()
            if (most := bounds.get(name)) is not None
        ]
        for of, count, most in found:
            if count > most:
                self._crowded[f"{count} tasks ran at the same time of {of}, {most} may"] = None

    @property
    def count(self) -> int:
        """How many tasks there are."""
        return len(self._tasks)

    def of(self, run_id: str) -> list[Task]:
        """Return the tasks that a run has asked for."""
        return self._by_run.get(run_id, [])

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not hold, each with the run concerned, or an empty id."""
        for what in self._crowded:
            yield what, ""
        for task in self._tasks.values():
            where, state = f"task {task.id!r}", task.state
            if sum(isinstance(event, TaskQueued) for event in task.events) > 1:
                yield f"{where} was queued more than once", task.queued.run_id
            if not state.over:
                yield f"{where} is {state.status}, and not over", task.queued.run_id
            elif state.mail.outbox:
                yield f"{where} has not told its run how it ended", task.queued.run_id
            if task.after_the_end is not None:
                end = type(task.after_the_end).__name__
                yield f"{where} was over, and {end} followed", task.queued.run_id


def check_told(events: Iterable[Event], tasks: Sequence[Task]) -> Iterator[str]:
    """Yield what does not hold between a run and its tasks: each has told its end once."""
    told: dict[str, list[BackgroundResultReceived]] = {}
    wanted: dict[str, str] = {}  # by call: the task
    deferred: Counter[str] = Counter()
    for event in events:
        match event:
            case TaskRequested():
                wanted[event.call_id] = event.task_id
            case ToolCallDeferred():
                deferred[event.call_id] += 1
            case BackgroundResultReceived():
                told.setdefault(event.call_id, []).append(event)
            case _:
                pass
    for call_id, times in deferred.items():
        if times > 1:
            yield f"call {call_id} was deferred {times} times"
        if call_id not in told:
            yield f"call {call_id} was deferred, and its result never told"
    for call_id, received in told.items():
        if len(received) > 1:
            yield f"the result of call {call_id} was told {len(received)} times"
        if wanted.get(call_id) != received[0].task_id:
            yield f"call {call_id} was told the result of task {received[0].task_id!r}"
    for task in tasks:
        if wanted.get(task.queued.call_id) != task.id:
            yield f"task {task.id!r} answers call {task.queued.call_id}, which has not asked for it"
        if any(isinstance(event, TaskRequeued) for event in task.events):
            continue  # Of what it has come to since its thread is told, if it has one.
        call_id, status = task.queued.call_id, task.state.status
        outcomes = [each.status for each in told.get(call_id, ())]
        if outcomes and outcomes != [status]:
            yield f"task {task.id!r} is {status}, its run was told {', '.join(outcomes)}"
