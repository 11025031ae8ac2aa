"""From a request to the heartbeat and the command that carry it out: with what the owner has."""

from __future__ import annotations

from typing import Any, Final, assert_never

from msgspec import UNSET
from msgspec.structs import replace

from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.heartbeat.commands import (
    CreateHeartbeat,
    DeclareHeartbeat,
    DeleteHeartbeat,
    HeartbeatChanges,
    HeartbeatCommand,
    PauseHeartbeat,
    ResumeHeartbeat,
    RunNow,
    UpdateHeartbeat,
)
from outlive.actors.heartbeat.decide import BY_CODE
from outlive.actors.heartbeat.declared import Heartbeat
from outlive.actors.heartbeat.kind import HeartbeatKind, Heartbeats
from outlive.actors.heartbeat.settled import changed
from outlive.actors.heartbeat.submitted import (
    CreateHeartbeatRequest,
    DeleteHeartbeatRequest,
    HeartbeatRequest,
    PauseHeartbeatRequest,
    ResumeHeartbeatRequest,
    RunHeartbeatRequest,
    UpdateHeartbeatRequest,
)
from outlive.actors.logs import told
from outlive.actors.loop_actor import LoopFuture
from outlive.actors.surroundings import Surroundings
from outlive.actors.thread.required import require_thread
from outlive.events import (
    AgentNotFound,
    EventLog,
    HeartbeatNotFound,
    HeartbeatSettings,
    HeartbeatState,
    HookNotFound,
    InvalidHeartbeat,
    NotSuspended,
    OpenEntry,
    OutliveError,
    StreamId,
    ToolNotFound,
    heartbeat_stream,
)
from outlive.events.ids import id_of
from outlive.events.logger import get_logger

_log = get_logger()
NOTHING: Final = HeartbeatSettings(agent_id="")


class HeartbeatDoor:
    """Where what people and programs want of heartbeats comes in."""

    def __init__(
        self,
        heartbeats: Heartbeats,
        kind: HeartbeatKind,
        *,
        log: EventLog,
        surroundings: Surroundings,
    ) -> None:
        self._heartbeats = heartbeats
        self._kind = kind
        self._log = log
        self._all = surroundings

    def prepare(
        self, stream: StreamId, request: HeartbeatRequest
    ) -> tuple[EventSourcedActor[Any, Any, Any], HeartbeatCommand]:
        """Return the actor that a request is for, and the command for it.

        Raises:
            HeartbeatNotFound: there is no such heartbeat, and this does not create it.
            AgentNotFound, ToolNotFound, HookNotFound: what it names is not here.
            InvalidHeartbeat, InvalidCron: it cannot be so.
            OtherResource: its thread belongs to another one.
            NotSuspended: it is quarantined.
        """
        settings = NOTHING
        if isinstance(request, CreateHeartbeatRequest):
            settings = self._settings(NOTHING, request.changes)[0]  # Before it is in memory.
        elif self._heartbeats.resident(stream) is None and not self._log.version(stream):
            raise HeartbeatNotFound(id_of(stream))
        heartbeat = self._heartbeats.at(stream)
        if isinstance(heartbeat, OpenEntry):
            if heartbeat.status != "blocked":
                raise NotSuspended(id_of(stream), heartbeat.status, "heartbeat")
            heartbeat = self._heartbeats.at_as_it_is(stream)
        return heartbeat.actor, self._command(stream, request, heartbeat.actor.state, settings)

    def _command(
        self,
        stream: StreamId,
        request: HeartbeatRequest,
        state: HeartbeatState,
        settings: HeartbeatSettings,
    ) -> HeartbeatCommand:
        id, now_ns = id_of(stream), self._all.clock.now_ns()
        match request:
            case CreateHeartbeatRequest():
                return CreateHeartbeat(
                    heartbeat_id=id,
                    settings=settings,
                    key=request.key,
                    now_ns=now_ns,
                    by=request.by,
                )
            case UpdateHeartbeatRequest():
                changes = request.changes
                if state.status not in ("none", "deleted"):
                    changes = self._settings(state.settings, changes)[1]
                return UpdateHeartbeat(
                    heartbeat_id=id, changes=changes, now_ns=now_ns, by=request.by
                )
            case PauseHeartbeatRequest():
                return PauseHeartbeat(
                    heartbeat_id=id, reason=request.reason, now_ns=now_ns, by=request.by
                )
            case ResumeHeartbeatRequest():
                return ResumeHeartbeat(heartbeat_id=id, now_ns=now_ns, by=request.by)
            case RunHeartbeatRequest():
                missing = self._kind.missing_for(state.settings)
                if missing and state.status not in ("none", "deleted"):
                    raise NotSuspended(id, "blocked", "heartbeat")
                return RunNow(
                    heartbeat_id=id,
                    run_id=request.run_id,
                    now_ns=now_ns,
                    hooks=self._all.hooks_at_hand,
                    by=request.by,
                )
            case DeleteHeartbeatRequest():
                return DeleteHeartbeat(heartbeat_id=id, now_ns=now_ns, by=request.by)
            case _:
                assert_never(request)

    def _settings(
        self, settings: HeartbeatSettings, changes: HeartbeatChanges
    ) -> tuple[HeartbeatSettings, HeartbeatChanges]:
        """Return what changes make of settings, and the changes, with the agent of a tool.

        Raises:
            AgentNotFound, ToolNotFound, HookNotFound: there is none of this name here.
            InvalidHeartbeat, InvalidCron: they cannot hold.
            OtherResource: its thread belongs to another one.
        """
        agents = self._all.agents
        if changes.tool is not UNSET and changes.tool and changes.agent_id is UNSET:
            changes = replace(changes, agent_id=self._owner_of(changes.tool, settings.agent_id))
        after = changed(settings, changes)
        agent = agents.get(after.agent_id)
        if agent is None and (after.agent_id or not after.tool):
            raise AgentNotFound(after.agent_id, tuple(agents))
        if after.tool:
            tool = self._all.tool(after.agent_id, after.tool)
            if tool is None:
                raise ToolNotFound(after.tool, self._known_tools())
            problem = tool.problem_with(after.arguments)
            if problem is not None:
                raise InvalidHeartbeat(f"args: {problem.message}")
        if after.thread_id:
            require_thread(self._log, after.thread_id, after.resource_id)
        for name in after.tools or ():
            if agent is not None and name not in agent.tools and name not in agent.agents:
                raise ToolNotFound(name, (*agent.tools, *agent.agents))
        if self._all.heartbeat_hooks.of(after.hook) is None:
            raise HookNotFound(after.hook, tuple(self._all.heartbeat_hooks.named))
        return after, changes

    def _owner_of(self, tool: str, agent_id: str) -> str:
        """Return whose tool is meant: that of the same agent, the runtime's, or any agent's."""
        having = [agent.id for agent in self._all.agents.values() if tool in agent.tools]
        if agent_id in having:
            return agent_id
        if tool in self._all.tools:
            return ""
        if not having:
            raise ToolNotFound(tool, self._known_tools())
        return having[0]

    def _known_tools(self) -> tuple[str, ...]:
        of_agents = (name for agent in self._all.agents.values() for name in agent.tools)
        return tuple(dict.fromkeys([*self._all.tools, *of_agents]))

    def open(self, rows: list[tuple[StreamId, OpenEntry]], declared: tuple[Heartbeat, ...]) -> None:
        """Take in the rows of a log that was opened, and what the code says there is to be.

        Nothing is read but the rows, unless something has changed.
        """
        for stream, entry in rows:
            agent_id, hook = entry.summary["agent_id"], entry.summary.get("hook", "")
            unknown = agent_id and agent_id not in self._all.agents
            if entry.status == "active" and (unknown or self._all.heartbeat_hooks.of(hook) is None):
                self._heartbeats.look_at(stream)  # It is blocked from now on.
        known = {stream: entry.summary.get("declared", "") for stream, entry in rows}
        paused = {stream for stream, entry in rows if entry.status == "paused"}
        for heartbeat in declared:
            stream = heartbeat_stream(heartbeat.id)
            if known.pop(stream, None) != heartbeat.digest or stream in paused:
                self._declare(stream, heartbeat)
        for stream, digest in known.items():
            if digest and stream not in paused:
                self._leave_out(stream)

    def _declare(self, stream: StreamId, heartbeat: Heartbeat) -> None:
        try:
            settings = self._settings(NOTHING, heartbeat.changes)[0]
        except OutliveError as error:
            _log.error("heartbeat_not_declared", stream=stream, reason=told(error))
            return
        command = DeclareHeartbeat(
            heartbeat_id=heartbeat.id,
            settings=settings,
            declared=heartbeat.digest,
            now_ns=self._all.clock.now_ns(),
        )
        self._tell(stream, command, "heartbeat_not_declared")

    def _leave_out(self, stream: StreamId) -> None:
        """A heartbeat was declared, and is so no more: it is kept, and paused."""
        _log.warning("heartbeat_no_longer_declared", stream=stream)
        command = PauseHeartbeat(
            heartbeat_id=id_of(stream),
            reason="the code declares it no more",
            by=BY_CODE,
            now_ns=self._all.clock.now_ns(),
        )
        self._tell(stream, command, "heartbeat_not_paused")

    def _tell(self, stream: StreamId, command: HeartbeatCommand, failed: str) -> None:
        """Send a command, also to one that stands still; whatever is wrong is logged."""
        reply: LoopFuture[HeartbeatState] = LoopFuture()

        def answered() -> None:
            try:
                reply.get()
            except OutliveError as error:
                _log.error(failed, stream=stream, reason=told(error))

        self._heartbeats.deliver(stream, command, reply=reply, ends=True)
        reply.when_set(answered)
