"""The heartbeat as a kind of entity: what it needs from its runtime, and what comes of it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

from outlive.actors.addresses import Addresses
from outlive.actors.entity import Entity, World
from outlive.actors.heartbeat.commands import (
    Effect,
    HeartbeatCommand,
    RecoverHeartbeat,
    WakeHeartbeat,
)
from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.actors.heartbeat.world import HeartbeatWorld
from outlive.actors.kind import Recovery
from outlive.actors.surroundings import Surroundings
from outlive.events import HeartbeatSettings, HeartbeatState, OpenEntry, StreamId


class HeartbeatKind:
    """`Kind` of heartbeats."""

    def __init__(self, surroundings: Surroundings, recovery: Recovery) -> None:
        self._all = surroundings
        self._recovery = recovery

    @property
    def name(self) -> str:
        """The kind, as in the open table."""
        return "heartbeat"

    @property
    def entity(self) -> Entity[HeartbeatState, HeartbeatCommand, Effect]:
        """The pure parts."""
        return HEARTBEAT

    def world(self, stream: StreamId) -> HeartbeatWorld:
        """Return what the effects of this heartbeat are done to."""
        return HeartbeatWorld(stream, self._all)

    def missing(self, state: HeartbeatState) -> str:
        """Return what a heartbeat needs and this runtime does not have.

        One that is not due any more needs its hooks as long as they are to be called; what was
        deleted waits for nothing.
        """
        if state.status == "active":
            return self.missing_for(state.settings)
        if state.status == "deleted":
            return ""
        going = any(one.hooked for one in state.going.values())
        called = state.claims or state.hooks or going
        return self._hooks_missing(state.settings) if called else ""

    def missing_for(self, settings: HeartbeatSettings) -> str:
        """Return what these settings name and this runtime does not have."""
        agent = self._all.agents.get(settings.agent_id)
        if agent is None and (settings.agent_id or not settings.tool):
            return f"agent {settings.agent_id!r} is not registered"
        if settings.tool and self._all.tool(settings.agent_id, settings.tool) is None:
            who = f"agent {agent.id!r}" if agent is not None else "the runtime"
            return f"{who} has no tool {settings.tool!r} any more"
        for name in settings.tools or ():
            if agent is not None and name not in agent.tools and name not in agent.agents:
                return f"agent {settings.agent_id!r} has no tool {name!r} any more"
        return self._hooks_missing(settings)

    def _hooks_missing(self, settings: HeartbeatSettings) -> str:
        if self._all.heartbeat_hooks.of(settings.hook) is None:
            return f"the runtime has no heartbeat hooks {settings.hook!r}"
        return ""

    def recover(
        self, state: HeartbeatState, running: frozenset[Effect], *, released: bool = False
    ) -> RecoverHeartbeat:
        """Return the command that settles what was in flight."""
        return RecoverHeartbeat(
            epoch=self._recovery.epoch,
            running=running,
            clean=self._recovery.clean or released,
            max_recoveries=self._recovery.max_recoveries,
            now_ns=self._all.clock.now_ns(),
            hooks=self._all.hooks_at_hand,
        )

    def point(self, state: HeartbeatState) -> Hashable:
        """Return how far the heartbeat has got."""
        return state.status, state.due_ns, state.fires, tuple(state.going)

    def outdated(self, state: HeartbeatState) -> bool:
        """Whether something has changed that a heartbeat must be told: nothing has."""
        return False

    def wake(self, now_ns: int) -> WakeHeartbeat:
        """Return the command for an instant that was waited for."""
        return WakeHeartbeat(now_ns=now_ns, hooks=self._all.hooks_at_hand)

    def outcome(
        self,
        stream: StreamId,
        state: HeartbeatState,
        world: World[Effect],
        entry: OpenEntry | None,
    ) -> HeartbeatState:
        """Return what those get who wait until the heartbeat is over."""
        return state


Heartbeats: TypeAlias = Addresses[HeartbeatState, HeartbeatCommand, Effect, HeartbeatState]
