"""What the owner of a log does: its actors, from taking the log to losing it or closing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Final

import structlog

from outlive.actors.addresses import Addresses
from outlive.actors.agent import Agent
from outlive.actors.effects import EffectTable
from outlive.actors.event_sourced import CommandEnvelope
from outlive.actors.live import LiveEntity
from outlive.actors.logs import told
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.actors.replies import OBEYED, refusal
from outlive.actors.run.begun import has_begun
from outlive.actors.run.commands import StartRun
from outlive.actors.run.decide import decide
from outlive.actors.run.kind import RunKind, Runs
from outlive.actors.run.submitted import StartRequest, decode_request
from outlive.actors.run.world import Surroundings
from outlive.actors.timers import Timers
from outlive.events import (
    AgentNotFound,
    Clock,
    EventLog,
    LogError,
    OpenEntry,
    OutliveError,
    RunExists,
    RunNotFound,
    RunState,
    StreamId,
    Submitted,
    Version,
)
from outlive.events.ids import id_of, stream_id
from outlive.projections import (
    RunResult,
    ViewRunner,
    fold_run,
    read_run,
    run_result,
    standing_result,
)

_log = structlog.stdlib.get_logger("outlive")

_INBOX: Final = StreamId("inbox")
"""Where a command is refused that no actor has seen. There are no events in this stream."""


class OwnerSide:
    """Brings in what the log says is unfinished, and obeys commands, of this process and others."""

    def __init__(
        self,
        log: EventLog,
        *,
        agents: Mapping[str, Agent],
        deps: object,
        clock: Clock,
        executor: Executor,
        max_recoveries: int | None,
        save_every: int | None,
        views: ViewRunner,
    ) -> None:
        self.log = log
        self.views = views
        self._agents = agents
        self._ended: OutliveError | None = None
        self._loop = asyncio.get_running_loop()
        log.deliver_on(self._loop.call_soon_threadsafe)
        self._effects = EffectTable(self._loop)
        self._timers = Timers(clock, self._wake)
        surroundings = Surroundings(
            log=log,
            agents=agents,
            effects=self._effects,
            clock=clock,
            executor=executor,
            deps=deps,
        )
        kind = RunKind(
            surroundings, epoch=log.epoch, clean=log.clean, max_recoveries=max_recoveries
        )
        self._runs: Runs = Addresses(kind, log, self._effects, self._timers, save_every=save_every)
        surroundings.post = self._runs
        self._runs.bring_in_all([row for row in log.open_entries() if row[1].kind == kind.name])
        log.on_submitted(self._hear)
        views.start()

    def _wake(self, stream: StreamId, now_ns: int) -> None:
        self._runs.wake(stream, now_ns)

    def live(self) -> list[LiveEntity]:
        """Return what is in memory."""
        return self._runs.live()

    async def close(self, error: OutliveError) -> None:
        """Stop what runs. Who waits for a result gets `error`."""
        self._ended = error
        self._timers.close()
        await self._effects.close()
        self._runs.close(error)
        await self.views.close()

    def command(self, request: StartRequest) -> StartRun:
        """Return the command that carries out a request. Raises AgentNotFound, InvalidId."""
        agent = self._agents.get(request.agent_id)
        if agent is None:
            stream_id("agent", request.agent_id)  # Can it be one at all, or is it anything?
            raise AgentNotFound(request.agent_id, tuple(self._agents))
        return StartRun(
            agent_id=agent.id,
            input=request.input,
            model=agent.model.name,
            max_steps=agent.max_steps,
            tool_concurrency=agent.tool_concurrency,
            metadata=request.metadata,
        )

    async def start(self, stream: StreamId, request: StartRequest) -> None:
        """Start a run; return once it is durable. See `Runtime.start`."""
        trouble = self.log.trouble
        if trouble is not None:
            raise trouble
        command = self.command(request)
        while self._ended is None:
            run = self._runs.at(stream)
            if isinstance(run, OpenEntry):
                self._start_again(stream, command)
                return
            try:
                await run.actor.ask(command)
            except MailboxClosed:
                continue  # It has come to rest meanwhile, or all was closed.
            except RunExists:
                raise RunExists(id_of(stream)) from None
            return
        raise self._ended

    def _start_again(self, stream: StreamId, command: StartRun) -> None:
        """A run that stands still is started again: only the log can tell whether it is the same.

        Raises:
            RunExists: it is another one.
        """
        events = (recorded.event for recorded in read_run(self.log, id_of(stream)))
        try:
            decide(fold_run(events)[0], command)
        except RunExists:
            raise RunExists(id_of(stream)) from None

    async def result(self, run_id: str, stream: StreamId) -> RunResult:
        """Wait until the run is at rest. See `Runtime.result`."""
        log = self.log
        if self._runs.resident(stream) is None:
            if log.version(stream) == 0:
                if not await has_begun(log, stream):
                    raise RunNotFound(run_id)
                return await self.result(run_id, stream)
            if log.open_entry(stream) is None:
                return run_result(log, run_id)
            found = self._runs.at(stream)
            if isinstance(found, OpenEntry):
                return standing_result(log, run_id, found)
        return await self._runs.outcome(stream)

    def _hear(self, commands: list[Submitted]) -> None:
        """Commands are in the inbox. On another thread."""
        self._loop.call_soon_threadsafe(self._take_all, commands)

    def _take_all(self, commands: Sequence[Submitted]) -> None:
        for command in commands:
            self._take(command)

    def _take(self, submitted: Submitted) -> None:
        """Carry out a command from the inbox, or refuse it."""
        if self._effects.closed:
            return  # It stays in the inbox.
        if not submitted.command_id:
            _log.error("command_unreadable", number=submitted.number)
            return
        stream, id = submitted.stream, submitted.command_id
        try:
            command = self.command(decode_request(submitted.data))
            run = self._runs.at(stream)
            if isinstance(run, OpenEntry):
                self._start_again(stream, command)
                self._reply(id, OBEYED)
                return
        except Exception as error:  # noqa: BLE001  # whatever it is, its sender is told
            _log.info("command_refused", stream=stream, reason=told(error))
            self._reply(id, refusal(error))
            return
        reply = LoopFuture[RunState]()
        reply.when_set(lambda: self._look(submitted, reply))
        try:
            run.actor.mailbox.put(CommandEnvelope(command, reply, id, id))
        except MailboxClosed:
            self._loop.call_soon(self._take, submitted)

    def _look(self, submitted: Submitted, reply: LoopFuture[RunState]) -> None:
        """The actor has answered, and with it the sender; unless it came to rest before."""
        try:
            reply.get()
        except MailboxClosed:
            self._loop.call_soon(self._take, submitted)
        except LogError as error:
            _log.error("command_left", stream=submitted.stream, error=told(error))
        except Exception:  # noqa: BLE001  # recorded as its reply
            return

    def _reply(self, command_id: str, reply: bytes) -> None:
        try:
            self.log.append(
                _INBOX, (), expected_version=Version(0), command_id=command_id, reply=reply
            )
        except LogError as error:
            _log.error("command_left", command_id=command_id, error=told(error))
