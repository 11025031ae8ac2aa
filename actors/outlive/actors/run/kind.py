"""The run as a kind of entity: what it needs from its runtime, and what comes of it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

from outlive.actors.addresses import Addresses
from outlive.actors.entity import Entity, World
from outlive.actors.kind import Recovery
from outlive.actors.residents import Resident
from outlive.actors.run.commands import Effect, Recover, RunCommand, Wake
from outlive.actors.run.entity import RUN
from outlive.actors.run.world import RunWorld
from outlive.actors.surroundings import Surroundings
from outlive.events import LogError, OpenEntry, RunState, StreamId
from outlive.events.ids import id_of
from outlive.events.run.stopping import StopFunction
from outlive.projections import RunResult, Transcript, result_of


class RunKind:
    """`Kind` of runs."""

    def __init__(self, surroundings: Surroundings, recovery: Recovery) -> None:
        self._all = surroundings
        self._recovery = recovery

    @property
    def name(self) -> str:
        """The kind, as in the open table."""
        return "run"

    @property
    def entity(self) -> Entity[RunState, RunCommand, Effect]:
        """The pure parts."""
        return RUN

    def world(self, stream: StreamId) -> RunWorld:
        """Return what the effects of this run are done to."""
        return RunWorld(stream, self._all)

    def missing(self, state: RunState) -> str:
        """Return what an open run needs and this runtime does not have."""
        if state.status not in ("running", "suspended"):
            return ""
        agent = self._all.agents.get(state.agent_id)
        if agent is None:
            return f"agent {state.agent_id!r} is not registered"
        for condition in state.stop_when:
            if isinstance(condition, StopFunction) and condition.name not in self._all.functions:
                return f"function {condition.name!r} is not registered"
        starting = {letter.about for letter in state.mail.outbox.values()}
        for call_id, call in state.calls.items():
            if call.child is None and call.name not in agent.tools:
                return f"agent {state.agent_id!r} has no tool {call.name!r} any more"
            begun = call.status == "child" and call_id not in starting
            if call.child is not None and not begun and call.child.agent_id not in self._all.agents:
                return f"agent {call.child.agent_id!r} is not registered"
        return ""

    def recover(
        self, state: RunState, running: frozenset[Effect], *, released: bool = False
    ) -> Recover:
        """Return the command that settles what was in flight."""
        agent = self._all.agents.get(state.agent_id)  # None: it is over, and released to say so
        tools = {} if agent is None else agent.tools
        return Recover(
            epoch=self._recovery.epoch,
            running=running,
            in_doubt={name: tool.in_doubt for name, tool in tools.items()},
            clean=self._recovery.clean or released,
            max_recoveries=self._recovery.max_recoveries,
            model=state.model if agent is None else agent.model_named(state.model).name,
        )

    def point(self, state: RunState) -> Hashable:
        """Return how far the run has got: its step, and which calls are open."""
        failures = tuple((call_id, call.failures) for call_id, call in state.calls.items())
        return state.status, state.step, failures

    def outdated(self, state: RunState) -> bool:
        """Whether the run's agent calls another model now than the one on record."""
        return state.status in ("running", "suspended") and (
            state.model not in self._all.agents[state.agent_id].models
        )

    def wake(self, now_ns: int) -> Wake:
        """Return the command for an instant that was waited for."""
        return Wake(now_ns=now_ns)

    def outcome(
        self,
        stream: StreamId,
        state: RunState,
        world: World[Effect],
        entry: OpenEntry | None,
    ) -> RunResult:
        """Return the run's result. Raises LogError if its messages cannot be read."""
        assert isinstance(world, RunWorld)
        try:
            transcript = world.transcript
        except LogError:
            if entry is None:
                raise
            transcript = Transcript()  # It may stand still for this very reason.
        return result_of(id_of(stream), state, transcript, entry)


RunResident: TypeAlias = Resident[RunState, RunCommand, Effect, RunResult]
Runs: TypeAlias = Addresses[RunState, RunCommand, Effect, RunResult]
