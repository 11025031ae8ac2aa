"""From a request to the run and the command that carry it out: with what only the owner has."""

from __future__ import annotations

from typing import Any, TypeAlias

from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.run.carrying_out import agent_for, command_for, start_command
from outlive.actors.run.commands import StartRun
from outlive.actors.run.decide import decide
from outlive.actors.run.kind import RunResident, Runs
from outlive.actors.run.submitted import CancelRequest, RunRequest, StartRequest
from outlive.actors.surroundings import Surroundings
from outlive.events import EventLog, NotSuspended, OpenEntry, RunExists, RunNotFound, StreamId
from outlive.events.ids import id_of
from outlive.projections import fold_run, read_run

Prepared: TypeAlias = tuple[EventSourcedActor[Any, Any, Any], object]
"""The actor that a request is for, and the command that carries it out."""


class RunDoor:
    """Where what people and programs want of runs comes in."""

    def __init__(self, runs: Runs, *, log: EventLog, surroundings: Surroundings) -> None:
        self._runs = runs
        self._log = log
        self._agents = surroundings.agents
        self._clock = surroundings.clock

    def prepare(self, stream: StreamId, request: RunRequest) -> Prepared | None:
        """Return the actor that a request is for, and the command; None if nothing is left to do.

        Raises:
            RunNotFound: there is no such run, and this is no start.
            AgentNotFound: nobody of that name can run here.
            InvalidResumeValue: what is said does not fit the tool that it is about.
            NotSuspended: it stands still.
            RunExists: another run has been started with this id, and stands still.
        """
        run = self._find(stream, request)
        if run is None:
            return None
        state, now_ns = run.actor.state, self._clock.now_ns()
        return run.actor, command_for(request, id_of(stream), state, self._agents, now_ns=now_ns)

    def _find(self, stream: StreamId, request: RunRequest) -> RunResident | None:
        if isinstance(request, StartRequest):
            agent_for(request, self._agents)  # Before anything is brought into memory.
        elif self._runs.resident(stream) is None and not self._log.version(stream):
            raise RunNotFound(id_of(stream))
        run = self._runs.at(stream)
        if not isinstance(run, OpenEntry):
            return run
        if isinstance(request, CancelRequest):
            return self._runs.at_as_it_is(stream)
        if isinstance(request, StartRequest):
            self._require_same(stream, start_command(request, self._agents))
            return None
        raise NotSuspended(id_of(stream), run.status)

    def started_again(self, stream: StreamId, command: StartRun) -> Prepared | None:
        """Return what starts a run that has begun before: it says whether it is the same.

        Raises:
            RunExists: it is another one, and stands still.
        """
        run = self._runs.at(stream)
        if not isinstance(run, OpenEntry):
            return run.actor, command
        self._require_same(stream, command)
        return None

    def _require_same(self, stream: StreamId, command: StartRun) -> None:
        """Of a run that stands still only the log can tell whether it is the same."""
        events = (recorded.event for recorded in read_run(self._log, id_of(stream)))
        try:
            decide(fold_run(events)[0], command)
        except RunExists:
            raise RunExists(id_of(stream)) from None
