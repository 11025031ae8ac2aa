"""The composition root: opens a log, and lets the actors of its runs work on it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import structlog

from outlive.actors.addresses import Addresses
from outlive.actors.agent import Agent
from outlive.actors.effects import EffectTable
from outlive.actors.ids import Ids, RandomIds
from outlive.actors.loop_actor import MailboxClosed
from outlive.actors.run.commands import StartRun
from outlive.actors.run.decide import decide
from outlive.actors.run.handle import Run
from outlive.actors.run.kind import RunKind, Runs
from outlive.actors.run.world import Surroundings
from outlive.actors.threads import DaemonThreads
from outlive.actors.timers import Timers
from outlive.events import (
    AgentNotFound,
    Clock,
    EventLog,
    InvalidDefinition,
    LmdbLog,
    LogClosed,
    MemoryLog,
    OpenEntry,
    OutliveError,
    Recorded,
    RunExists,
    RunId,
    RunNotFound,
    StreamId,
    Subscription,
    SystemClock,
    Value,
    Version,
    run_stream,
    to_plain,
)
from outlive.events.ids import id_of
from outlive.projections import (
    RunResult,
    fold_run,
    observe_run,
    read_run,
    run_result,
    standing_result,
)

_log = structlog.stdlib.get_logger("outlive")
_CHUNK: Final = 32  # runs taken up before the loop gets its turn


class Runtime:
    """Runs agents durably. Use it as `async with Runtime(path, agents=[...]) as rt:`.

    Opening it makes this process the owner of the log in `path`, and takes up every run that
    an earlier process left unfinished, by itself and in the background. Leaving it stops what
    runs; the next opening goes on from there. Everything happens on the caller's event loop.

    Args:
        path: the folder of the log, made if need be. None keeps everything in memory.
        agents: what may be run, and what interrupted runs go on with. A run whose agent, or a
            tool it still needs, is not among them is `blocked` until a runtime has it.
        deps: handed to tools as `ctx.deps`; never stored.
        max_recoveries: how often a run is taken up after its process died without getting any
            further, before it is quarantined (it may be what kills the process). None: always.
        clock, ids, executor, log: what is used in the place of the machine's clock, random
            ids, threads of our own for sync tools, and `LmdbLog(path)`. A log that was handed
            in is not closed.

    Raises, on entering:
        LogInUse, LogNotWritable, NewerFormat, CorruptLog: see there.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        agents: Sequence[Agent] = (),
        deps: object = None,
        max_recoveries: int | None = 5,
        clock: Clock | None = None,
        ids: Ids | None = None,
        executor: Executor | None = None,
        log: EventLog | None = None,
    ) -> None:
        self._path = path
        self._agents: dict[str, Agent] = {}
        for agent in agents:
            if not isinstance(agent, Agent):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidDefinition(f"agents are of type Agent, not {agent!r}")
            if agent.id in self._agents:
                raise InvalidDefinition(f"two agents have the id {agent.id!r}")
            self._agents[agent.id] = agent
        if max_recoveries is not None and max_recoveries < 0:
            raise InvalidDefinition(f"max_recoveries is 0 or more, or None, not {max_recoveries}")
        self._deps = deps
        self._max_recoveries = max_recoveries
        self._clock: Clock = clock or SystemClock()
        self._ids: Ids = ids or RandomIds()
        self._executor = executor
        self._own_executor: DaemonThreads | None = None
        self._given_log = log
        self._log: EventLog | None = None
        self._closing = False
        self._ending: asyncio.Task[None] | None = None
        self._observers: weakref.WeakSet[Subscription[Recorded]] = weakref.WeakSet()

    async def __aenter__(self) -> Self:
        """Open the log and begin to take up what was left unfinished."""
        if self._log is not None:
            raise OutliveError("a Runtime is entered once; make another one")
        self._loop = asyncio.get_running_loop()
        self._log = self._given_log or self._open_log()
        try:
            self._begin(self._log, self._loop)
        except BaseException:
            if self._given_log is None:
                self._log.close()
            raise
        return self

    def _begin(self, log: EventLog, loop: asyncio.AbstractEventLoop) -> None:
        log.deliver_on(loop.call_soon_threadsafe)
        if self._executor is None:
            self._executor = self._own_executor = DaemonThreads()
        self._effects = EffectTable(loop)
        self._timers = Timers(self._clock, self._wake)
        surroundings = Surroundings(
            log_id=log.log_id,
            agents=self._agents,
            effects=self._effects,
            clock=self._clock,
            executor=self._executor,
            deps=self._deps,
        )
        kind = RunKind(
            surroundings,
            epoch=log.epoch,
            clean=log.clean,
            max_recoveries=self._max_recoveries,
        )
        self._runs: Runs = Addresses(kind, log, self._effects, self._timers)
        surroundings.post = self._runs
        self._runs.bring_in_all([row for row in log.open_entries() if row[1].kind == kind.name])

    def _wake(self, stream: StreamId, now_ns: int) -> None:
        self._runs.wake(stream, now_ns)

    def _open_log(self) -> EventLog:
        if self._path is None:
            return MemoryLog(clock=self._clock)
        return LmdbLog(self._path, clock=self._clock)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close. See `close`."""
        await self.close()

    async def close(self) -> None:
        """Stop what runs and let go of the log. Twice is once, also for a close that was cancelled.

        Unfinished runs stay as they are, and go on when the folder is opened again. Who waits
        for a result gets `LogClosed`.
        """
        if self._log is None:
            return
        if self._ending is None:
            # A task of its own: whoever waits for it may be cancelled, and be a tool even.
            self._ending = self._loop.create_task(self._end(self._log))
        await asyncio.shield(self._ending)

    async def _end(self, log: EventLog) -> None:
        self._closing = True
        self._timers.close()
        await self._effects.close()
        closed = LogClosed("the runtime was closed before the run was over")
        self._runs.close(closed)
        for observer in list(self._observers):
            observer.end(closed)
        if self._own_executor is not None:
            self._own_executor.shutdown()
        if self._given_log is None:
            # Its writer may be in the middle of a flush: not on the loop.
            await self._loop.run_in_executor(None, log.close)

    @property
    def log(self) -> EventLog:
        """The log of this runtime. Raises LogClosed unless the runtime is open."""
        if self._log is None or self._closing:
            raise LogClosed("the runtime is not open: use it in `async with`")
        return self._log

    async def start(
        self,
        agent: str | Agent,
        input: str,
        *,
        run_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Run:
        """Start a run and return once it is durable: from here on it will come to its end.

        Args:
            agent: an agent of this runtime, or its id.
            input: what the agent is to do.
            run_id: makes the start idempotent: the same agent, input and metadata return the
                same run. Drawn at random if left out.
            metadata: JSON kept with the run.

        Raises:
            AgentNotFound: the agent is not registered with this runtime.
            RunExists: there is a run with this id and another agent, input or metadata.
            InvalidId, UnserialisableValue, TypeError: before anything was written.
        """
        self.log  # noqa: B018  # raises LogClosed unless open
        agent_id = agent.id if isinstance(agent, Agent) else agent
        registered = self._agents.get(agent_id)
        if registered is None or (isinstance(agent, Agent) and registered is not agent):
            raise AgentNotFound(agent_id, tuple(self._agents))
        if not isinstance(input, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"the input of a run is text, not {type(input).__name__}")
        to_plain(input)
        plain = to_plain(dict(metadata or {}))
        id = self._ids.run_id() if run_id is None else RunId(run_id)
        stream = run_stream(id)
        command = StartRun(
            agent_id=agent_id,
            input=input,
            model=registered.model.name,
            max_steps=registered.max_steps,
            tool_concurrency=registered.tool_concurrency,
            metadata=cast("dict[str, Value]", plain),
        )
        try:
            await self._ask(stream, command)
        except RunExists:
            raise RunExists(id) from None
        return Run(self, id)

    async def _ask(self, stream: StreamId, command: StartRun) -> None:
        while True:
            run = self._runs.at(stream)
            if isinstance(run, OpenEntry):  # It stands still: nobody but the log can tell.
                events = (recorded.event for recorded in read_run(self.log, id_of(stream)))
                decide(fold_run(events)[0], command)
                return
            try:
                await run.actor.ask(command)
            except MailboxClosed:
                self.log  # noqa: B018  # raises LogClosed when that is why
            else:
                return

    async def run(
        self,
        agent: str | Agent,
        input: str,
        *,
        run_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> RunResult:
        """Start a run and wait for its result. See `start` and `result`."""
        started = await self.start(agent, input, run_id=run_id, metadata=metadata)
        return await started.result()

    def observe(self, run_id: str, *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Yield a run's events beyond version `after`, then live, until the run is over.

        See `outlive.projections.observe_run` for the order, and for what it raises.
        """
        return observe_run(self.log, run_id, after=after, follow=self._follow)

    def _follow(self, stream: StreamId, after: Version) -> Subscription[Recorded]:
        """Follow a stream until the runtime is closed, whoever owns the log."""
        subscription = self.log.follow(stream, after=after)
        self._observers.add(subscription)
        return subscription

    async def result(self, run_id: str, *, timeout: float | None = None) -> RunResult:
        """Wait until the run is at rest and return what it came to.

        Raises:
            RunNotFound: at once, when there is no such run.
            TimeoutError: not at rest within `timeout` seconds; the run goes on.
            LogClosed: this runtime was closed first; the run goes on at the next opening.
        """
        log, stream = self.log, run_stream(run_id)
        run = self._runs.resident(stream)
        if run is None:
            if log.version(stream) == 0:
                raise RunNotFound(run_id)
            if log.open_entry(stream) is None:
                return run_result(log, run_id)
            found = self._runs.at(stream)
            if isinstance(found, OpenEntry):
                return standing_result(log, run_id, found)
        async with asyncio.timeout(timeout):
            return await self._runs.outcome(stream)
