"""What people have said to runs and tasks, held against the log.

A command is decided upon one version of its entity: not before the one that was there when it
was said, nor after the one that was there when it was answered. `decide` is pure, so what it says
to each of these versions tells what may have come of the command: the events that follow in the
log, nothing because it was a repeat, or the refusal that its sender was told.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, cast

from outlive.actors import Agent
from outlive.actors.run.carrying_out import command_for
from outlive.actors.run.decide import decide
from outlive.actors.run.submitted import RunRequest
from outlive.actors.task.carrying_out import check_outcome, steer_command
from outlive.actors.task.decide import decide as decide_task
from outlive.actors.task.submitted import (
    CancelTaskRequest,
    ResumeTaskRequest,
    RetryTaskRequest,
    TaskRequest,
)
from outlive.events import (
    Event,
    NotFound,
    OutliveError,
    Refused,
    RunEvent,
    RunNotFound,
    RunState,
    StreamId,
    TaskEvent,
    TaskNotFound,
    TaskStarted,
    TaskState,
)
from outlive.events.ids import id_of
from outlive.events.run import evolve
from outlive.events.task import evolve as evolve_task

_NOBODY: Final[Mapping[str, Agent]] = {}
_AFTER_ALL: Final = 2**63 - 1  # nanoseconds: whatever has a time, it is up then


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a person has said to a run or a task, and was told."""

    stream: StreamId
    request: RunRequest | TaskRequest
    since: int  # the version when it was said
    until: int | None = None  # and when it was answered; None: any later one
    refusal: str = ""  # empty: it was obeyed

    @property
    def id(self) -> str:
        """Whom it was said to."""
        return id_of(self.stream)

    def __str__(self) -> str:
        """Say what was said, and when."""
        until = "the end" if self.until is None else f"version {self.until}"
        return f"{self.request} was said at version {self.since}, and by {until}"


def told(error: OutliveError) -> str:
    """Return a refusal as it is compared."""
    return f"{type(error).__name__}: {error}"


def name_of(refusal: str) -> str:
    """Return the name of the error."""
    return refusal.partition(":")[0]


class Hearing(ABC):
    """The events of an entity, against which is held what was said to it."""

    def __init__(self, missing: OutliveError, events: Iterable[Event]) -> None:
        self._missing = told(missing)
        self._events = tuple(events)

    def problem(self, said: Said) -> str:
        """Return why it cannot be that this was answered so; empty if it can."""
        end = len(self._events)
        until = end if said.until is None else min(said.until, end)
        if said.refusal == self._missing:
            return "" if said.since == 0 else f"{said} it was refused: {said.refusal}"
        possible: dict[str, None] = {}
        for version in range(said.since, until + 1):
            for events in self._decided(said, version):
                came = events if isinstance(events, str) else self._came(events, version, until)
                if came == said.refusal:
                    return ""
                possible[came or "it is obeyed"] = None
        came = f"refused: {said.refusal}" if said.refusal else "obeyed"
        return f"{said} it was {came}. What may have come of it: {'; '.join(possible)}"

    def _came(self, events: Sequence[Event], version: int, until: int) -> str:
        """Return empty if these events follow in the log."""
        if self._same(events, self._events[version : min(version + len(events), until)]):
            return ""
        return f"{' '.join(type(event).__name__ for event in events)} after version {version}"

    def _same(self, events: Sequence[Event], found: Sequence[Event]) -> bool:
        return tuple(events) == tuple(found)

    @abstractmethod
    def _decided(self, said: Said, version: int) -> Iterator[str | Sequence[Event]]:
        """Yield what it decides at a version: with what it refuses, or its events."""


class RunHearing(Hearing):
    """A run, to which somebody speaks."""

    def __init__(self, run_id: str, events: Iterable[Event], agents: Mapping[str, Agent]) -> None:
        super().__init__(RunNotFound(run_id), events)
        self._run_id = run_id
        self._agents = agents
        self._states = [RunState()]
        for event in self._events:
            self._states.append(evolve(self._states[-1], cast("RunEvent", event)))

    def _decided(self, said: Said, version: int) -> Iterator[str | Sequence[Event]]:
        assert isinstance(said.request, RunRequest)
        state = self._states[version]
        # A visitor that finds no owner refuses by the log alone, without agents. That the time
        # of an approval is up may be seen before it is on record.
        for agents, now_ns in product((self._agents, _NOBODY), (0, _AFTER_ALL)):
            try:
                command = command_for(said.request, self._run_id, state, agents, now_ns=now_ns)
                yield decide(state, command)
            except (Refused, NotFound) as error:
                yield told(error)


class TaskHearing(Hearing):
    """A background task, to which somebody speaks."""

    def __init__(self, task_id: str, events: Iterable[Event], agents: Mapping[str, Agent]) -> None:
        super().__init__(TaskNotFound(task_id), events)
        self._task_id = task_id
        self._agents = agents
        self._states = [TaskState()]
        for event in self._events:
            self._states.append(evolve_task(self._states[-1], cast("TaskEvent", event)))

    def _decided(self, said: Said, version: int) -> Iterator[str | Sequence[Event]]:
        request, state = said.request, self._states[version]
        assert isinstance(request, ResumeTaskRequest | CancelTaskRequest | RetryTaskRequest)
        try:
            if isinstance(request, ResumeTaskRequest) and state.in_doubt:
                tool = self._agents[state.agent_id].tools[state.tool]
                check_outcome(self._task_id, tool, request.value)
            yield decide_task(state, steer_command(request, self._task_id))
        except (Refused, NotFound) as error:
            yield told(error)

    def _same(self, events: Sequence[Event], found: Sequence[Event]) -> bool:
        """Which process makes an attempt is nothing that is decided."""
        return len(events) == len(found) and all(
            isinstance(other, TaskStarted) if isinstance(one, TaskStarted) else one == other
            for one, other in zip(events, found, strict=True)
        )
