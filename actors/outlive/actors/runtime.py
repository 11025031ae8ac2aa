"""The composition root: opens a log, and lets the actors of its runs work on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import structlog

from outlive.actors.agent import Agent
from outlive.actors.effects import EffectTable
from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.ids import Ids, RandomIds
from outlive.actors.run.commands import Recover, StartRun, Wake
from outlive.actors.run.decide import RecoveryExhausted, decide
from outlive.actors.run.entity import RUN
from outlive.actors.run.handle import Run
from outlive.actors.run.world import RunActor, RunWorld, Surroundings
from outlive.actors.threads import DaemonThreads
from outlive.actors.timers import Timers
from outlive.events import (
    AgentNotFound,
    Clock,
    EventLog,
    InvalidDefinition,
    LogClosed,
    LogError,
    MemoryLog,
    OpenEntry,
    OutliveError,
    Recorded,
    RunExists,
    RunId,
    RunNotFound,
    RunState,
    StreamId,
    SystemClock,
    Value,
    run_stream,
    to_plain,
)
from outlive.events.ids import id_of, kind_of
from outlive.projections import (
    RunResult,
    fold_run,
    observe_run,
    read_run,
    result_of,
    run_result,
)

_log = structlog.stdlib.get_logger("outlive")
_CHUNK: Final = 32  # runs taken up before the loop gets its turn


class _Live:
    """A run in memory: its actor, its world, and who waits for its end."""

    __slots__ = ("actor", "waiters", "world")

    def __init__(self, actor: RunActor, world: RunWorld) -> None:
        self.actor = actor
        self.world = world
        self.waiters: list[asyncio.Future[RunResult]] = []


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
        self._live: dict[StreamId, _Live] = {}
        self._standing: dict[StreamId, OpenEntry] = {}
        self._closing = False

    async def __aenter__(self) -> Self:
        """Open the log and begin to take up what was left unfinished."""
        if self._log is not None:
            raise OutliveError("a Runtime is entered once; make another one")
        loop = asyncio.get_running_loop()
        self._loop = loop
        log = self._given_log or self._open_log()
        log.deliver_on(loop.call_soon_threadsafe)
        self._log = log
        if self._executor is None:
            self._executor = self._own_executor = DaemonThreads()
        self._effects = EffectTable(loop)
        self._timers = Timers(self._clock, self._wake)
        self._surroundings = Surroundings(
            log_id=log.log_id,
            agents=self._agents,
            effects=self._effects,
            clock=self._clock,
            executor=self._executor,
            deps=self._deps,
        )
        self._take_up_all([row for row in log.open_entries() if kind_of(row[0]) == "run"])
        return self

    def _open_log(self) -> EventLog:
        if self._path is None:
            return MemoryLog(clock=self._clock)
        from outlive.events import LmdbLog

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
        """Stop what runs and let go of the log. Twice is once.

        Unfinished runs stay as they are, and go on when the folder is opened again. Who waits
        for a result gets `LogClosed`.
        """
        if self._log is None or self._closing:
            return
        self._closing = True
        self._timers.close()
        await self._effects.close()
        closed = LogClosed("the runtime was closed before the run was over")
        for live in self._live.values():
            _fail(live, closed)
        if self._own_executor is not None:
            self._own_executor.shutdown()
        if self._given_log is None:
            # Its writer may be in the middle of a flush: not on the loop.
            await self._loop.run_in_executor(None, self._log.close)
        self._live.clear()

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
        log = self.log
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
        live = self._live.get(stream) or self._bring(stream)
        try:
            if isinstance(live, OpenEntry):
                decide(fold_run(recorded.event for recorded in read_run(log, id))[0], command)
            else:
                await live.actor.ask(command)
        except RunExists:
            raise RunExists(id) from None
        return Run(self, id)

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

    def observe(self, run_id: str, *, after: int = 0) -> AsyncIterator[Recorded]:
        """Yield a run's events beyond version `after`, then live, until the run is over.

        See `outlive.projections.observe_run` for the order, and for what it raises.
        """
        return observe_run(self.log, run_id, after=after)

    async def result(self, run_id: str, *, timeout: float | None = None) -> RunResult:
        """Wait until the run is at rest and return what it came to.

        Raises:
            RunNotFound: at once, when there is no such run.
            TimeoutError: not at rest within `timeout` seconds; the run goes on.
            LogClosed: this runtime was closed first; the run goes on at the next opening.
        """
        log, stream = self.log, run_stream(run_id)
        if log.version(stream) == 0 and stream not in self._live:
            raise RunNotFound(run_id)
        live = self._live.get(stream)
        if live is None and log.open_entry(stream) is not None:
            found = self._standing.get(stream) or self._bring(stream)
            if isinstance(found, OpenEntry):
                return run_result(log, run_id, entry=found)
            live = found
        if live is None:
            return run_result(log, run_id)
        waiter: asyncio.Future[RunResult] = self._loop.create_future()
        live.waiters.append(waiter)
        if timeout is None:
            return await waiter
        async with asyncio.timeout(timeout):
            return await waiter

    # -- taking up, and letting go --

    def _take_up_all(self, rows: list[tuple[StreamId, OpenEntry]]) -> None:
        """Take up some of the runs that owe something; the others in the loop's next turn."""
        for stream, entry in rows[:_CHUNK]:
            if self._closing or stream in self._live:
                continue
            if entry.status == "quarantined":
                self._standing[stream] = entry
            elif entry.owes or entry.status == "blocked":
                self._bring(stream)
            else:
                self._timers.set(stream, entry.wake_at_ns)
        if len(rows) > _CHUNK and not self._closing:
            self._loop.call_soon(self._take_up_all, rows[_CHUNK:])

    def _bring(self, stream: StreamId) -> _Live | OpenEntry:
        """Bring a run into memory, or return why it stands still.

        What was in flight when it left memory is settled before anything else.
        """
        world = RunWorld(RunId(id_of(stream)), self._surroundings)
        actor: RunActor = EventSourcedActor(
            stream,
            RUN,
            self.log,
            world,
            wake_at=self._timers.set,
            at_rest=lambda: self._at_rest(stream),
            broken=lambda error: self._broken(stream, error),
        )
        world.bind(actor)
        try:
            actor.load()
        except LogError as error:
            return self._mark(stream, "quarantined", str(error))
        missing = self._missing(actor.state)
        if missing:
            return self._mark(stream, "blocked", missing)
        self._standing.pop(stream, None)
        live = self._live[stream] = _Live(actor, world)
        if actor.owes:
            self._recover(stream, actor)
        actor.run()
        return live

    def _recover(self, stream: StreamId, actor: RunActor) -> None:
        """Settle what was in flight: the first command of an actor that was loaded."""
        agent = self._agents[actor.state.agent_id]
        recovered = actor.ask(
            Recover(
                epoch=self.log.epoch,
                running=self._effects.of(stream),
                in_doubt={name: tool.in_doubt for name, tool in agent.tools.items()},
                clean=self.log.clean,
                max_recoveries=self._max_recoveries,
                model=agent.model.name,
            )
        )

        def look() -> None:
            try:
                recovered.get()
            except RecoveryExhausted as error:
                self._stand_still(stream, "quarantined", str(error))
            except LogError:
                pass  # `_broken` has been told.
            except Exception as error:  # noqa: BLE001  # one run's trouble is not the others'
                self._broken(stream, error)

        recovered.when_set(look)

    def _missing(self, state: RunState) -> str:
        """Return what an open run needs and this runtime does not have."""
        if state.status != "running":
            return ""
        agent = self._agents.get(state.agent_id)
        if agent is None:
            return f"agent {state.agent_id!r} is not registered"
        tools = [call.name for call in state.calls.values() if call.name not in agent.tools]
        return f"agent {state.agent_id!r} has no tool {tools[0]!r} any more" if tools else ""

    def _stand_still(self, stream: StreamId, status: str, reason: str) -> None:
        """Take a run out of memory, with the reason in its row."""
        live = self._live.pop(stream)
        live.actor.stop_now()
        self._timers.set(stream, None)
        entry = self._mark(stream, status, reason)
        _answer(live, result_of(id_of(stream), live.actor.state, live.world.transcript, entry))

    def _mark(self, stream: StreamId, status: str, reason: str) -> OpenEntry:
        """Say in the run's row that it stands still, and why."""
        before = self.log.open_entry(stream)
        entry = OpenEntry(
            kind="run",
            status=status,
            wake_at_ns=None if before is None else before.wake_at_ns,
            owes=before is None or before.owes,
            reason=reason,
            summary={} if before is None else before.summary,
        )
        self._standing[stream] = entry
        _log.warning("run_stands_still", stream=stream, status=status, reason=reason)
        if entry != before:
            self.log.append(stream, (), expected_version=self.log.version(stream), entry=entry)
        return entry

    def _wake(self, stream: StreamId, now_ns: int) -> None:
        """An instant that a run waits for has come."""
        live = self._live.get(stream) or self._bring(stream)
        if isinstance(live, _Live):
            live.actor.tell(Wake(now_ns=now_ns))

    def _at_rest(self, stream: StreamId) -> None:
        """The run is over, or was not begun: it leaves memory."""
        live = self._live.pop(stream, None)
        if live is None:
            return
        live.actor.stop_now()
        if live.waiters:
            _answer(live, result_of(id_of(stream), live.actor.state, live.world.transcript))

    def _broken(self, stream: StreamId, error: BaseException) -> None:
        """The run cannot go on in this process: its actor is thrown away."""
        if self._closing or stream not in self._live:
            return
        _log.error("run_broken", stream=stream, exc_info=error)
        if not isinstance(error, LogError):
            self._stand_still(stream, "quarantined", f"{type(error).__name__}: {error}")
            return
        live = self._live.pop(stream)
        live.actor.stop_now()
        _fail(live, error)


def _answer(live: _Live, result: RunResult) -> None:
    for waiter in live.waiters:
        if not waiter.done():
            waiter.set_result(result)


def _fail(live: _Live, error: OutliveError) -> None:
    for waiter in live.waiters:
        if not waiter.done():
            waiter.set_exception(error)
            waiter.exception()  # Nobody may be left who awaits it.
