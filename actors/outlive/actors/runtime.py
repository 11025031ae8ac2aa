"""The composition root: opens a log, and lets the actors of its runs work on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from outlive.actors.agent import Agent
from outlive.actors.background import BackgroundTasks, check_background_tasks
from outlive.actors.background_plans import tools_by_name
from outlive.actors.functions import check_functions
from outlive.actors.heartbeat.control import RuntimeHeartbeats
from outlive.actors.heartbeat.declared import Heartbeat, check_heartbeats
from outlive.actors.heartbeat.hooks import HeartbeatHooks, check_heartbeat_hooks
from outlive.actors.ids import Ids, RandomIds
from outlive.actors.live import LiveEntity
from outlive.actors.loop_actor import MAILBOX_LIMIT
from outlive.actors.owner_side import OwnerSide
from outlive.actors.retry import seconds
from outlive.actors.run.begun import Inbox, submitted
from outlive.actors.run_context import EMPTY, Functions
from outlive.actors.seat import Role, Seat
from outlive.actors.settings import Settings, agents_by_id, listed
from outlive.actors.sides import Sides
from outlive.actors.starting import Starting
from outlive.actors.task.control import RuntimeTasks
from outlive.actors.task.hooks import TaskHooks, check_hooks
from outlive.actors.thread.control import RuntimeThreads
from outlive.actors.tool import Tool
from outlive.actors.workers.port import Workers
from outlive.events import (
    Clock,
    Compacted,
    EventLog,
    LogClosed,
    LogError,
    OutliveError,
    Refused,
    StreamId,
    SystemClock,
)
from outlive.events.forks import Birthplace
from outlive.events.lmdb_store.durability import Durability
from outlive.events.lmdb_store.taking import LEASE_S
from outlive.projections import Projection, RunsQuery, ViewRows
from outlive.projections.tasks.standing import StandingWatch

T = TypeVar("T")

CLOSE_TIMEOUT_S: Final = 5.0
"""How long tools may go on when a runtime is closed, if nothing else is said."""


class Runtime(Starting):
    """Runs agents durably. Use it as `async with Runtime(path, agents=[...]) as rt:`.

    Opening it makes this process the owner of the log in `path`, if nobody else is, and takes
    up every run that an earlier process left unfinished, by itself and in the background.
    Leaving it stops what runs; the next opening goes on from there. Everything happens on the
    caller's event loop: used on another one it refuses to do anything.

    Args:
        path: the folder of the log, made if need be. None keeps everything in memory.
        agents: what may be run, and what interrupted runs go on with; their sub-agents too. A run
            whose agent, or a tool it still needs, is not among them is `blocked` until a runtime
            has it.
        tools: what `tasks.enqueue` calls without an agent. Of the slots these tasks get as much as
            those of one agent.
        deps: handed to tools as `ctx.deps`; never stored.
        functions: by name, what agents and stored data refer to: conditions to stop are
            given a `RunContext`, the predicates of `requires_approval` the arguments. They may be
            async, and are called on the event loop. A run that needs a condition which is
            not there is `blocked`.
        background_tasks: how many tasks run at the same time, and what holds for all of them.
            See `BackgroundTasks`.
        task_hooks: functions that are called when a task is over. See `TaskHooks`.
        heartbeats: those that the code declares; the others stay as they are. See `Heartbeat`.
        heartbeat_hooks: functions that are called around each fire. See `HeartbeatHooks`.
        projections: read models of your own, kept beside those of runs and tasks. See `read_view`.
        max_recoveries: how often a run is taken up after its process died without getting any
            further, before it is quarantined (it may be what kills the process). None: always.
        close_timeout: seconds, or a `timedelta`, that tools which run have when it is closed.
            Then they are cancelled, and left to the next opening.
        mailbox_limit: commands that may wait for one run; further callers get `MailboxFull`, and
            what other processes want waits in the inbox until there is room. What comes from the
            run's own tools and models is always taken.
        role: `auto` owns the log if nobody does, else it is a visitor that takes over when the
            owner dies or freezes. `owner` owns it, or raises `LogInUse`. A `visitor` never owns
            it: it reads, and has the owner act. A `standby` is as `auto`, but leaves a log
            without an owner to others for the time of a lease.
        durability: `sync`: what is acknowledged survives SIGKILL and power loss. `relaxed`: it
            survives SIGKILL; power loss may take the last commits, never what is before them
            or their wholeness. For a runtime with a folder of its own.
        lease: seconds without a sign of life after which this owner may be taken for frozen.
        save_every: after how many events the state of an unfinished run is saved beside the
            log, so that taking it up need not begin at its first event; 500 if left out.
        clock, ids, executor, workers, log: what is used in the place of the machine's clock,
            random ids, threads of our own for sync tools, processes for tools with
            `isolation="process"`, and `LmdbLog(path)`. A log that was handed in is not closed,
            and is that of one runtime at a time.

    Raises, on entering:
        LogInUse, LogNotWritable, NewerFormat, CorruptLog: see there.

    In a process that is forked off afterwards it raises `LogClosed`, and closing it does nothing.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        agents: Sequence[Agent] = (),
        tools: Sequence[Tool[..., Any] | Callable[..., Any]] = (),
        deps: object = None,
        functions: Functions = EMPTY,
        projections: Sequence[Projection] = (),
        background_tasks: BackgroundTasks | None = None,
        task_hooks: TaskHooks | None = None,
        heartbeats: Sequence[Heartbeat] = (),
        heartbeat_hooks: HeartbeatHooks | None = None,
        max_recoveries: int | None = 5,
        mailbox_limit: int = MAILBOX_LIMIT,
        close_timeout: float | timedelta = CLOSE_TIMEOUT_S,
        clock: Clock | None = None,
        ids: Ids | None = None,
        executor: Executor | None = None,
        workers: Workers | None = None,
        log: EventLog | None = None,
        role: Role = "auto",
        durability: Durability = "sync",
        lease: float = LEASE_S,
        save_every: int | None = None,
    ) -> None:
        super().__init__()
        known = agents_by_id(agents)
        self._ids: Ids = ids or RandomIds()
        self._clock: Clock = clock or SystemClock()
        self._settings = Settings(
            agents=known,
            tools=tools_by_name(listed(tools, "tools")),
            deps=deps,
            functions=check_functions(functions, known.values()),
            background_tasks=check_background_tasks(background_tasks),
            task_hooks=check_hooks("a runtime", task_hooks),
            heartbeats=check_heartbeats(listed(heartbeats, "heartbeats")),
            heartbeat_hooks=check_heartbeat_hooks(heartbeat_hooks),
            max_recoveries=max_recoveries,
            mailbox_limit=mailbox_limit,
            save_every=save_every,
            clock=self._clock,
        )
        # No time at all is a time, too.
        self._close_timeout = seconds("close_timeout", close_timeout) if close_timeout else 0.0
        self._standing = StandingWatch(self._task_stands_still)
        self._sides = Sides(
            path,
            settings=self._settings,
            role=role,
            lease=lease,
            durability=durability,
            projections=projections,
            ids=self._ids,
            executor=executor,
            workers=workers,
            log=log,
            standing=self._standing,
        )
        self._heartbeats: tuple[Inbox, RuntimeHeartbeats] | None = None  # those of the log now
        self._ending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open the log and begin to take up what was left unfinished."""
        if self._seat is not None:
            raise OutliveError("a Runtime is entered once; make another one")
        self._loop = asyncio.get_running_loop()
        self._entered_in = Birthplace()
        self._seat = self._sides.seat()
        await self._sides.open(self._seat)
        return self

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

        Nothing is taken any more, and what was queued becomes durable. Tools that run have
        `close_timeout` to end; then they are cancelled. Model calls are cut off at once, as
        they can be made again.
        Unfinished runs stay as they are, and go on when the folder is opened again. Who waits
        for a result gets `LogClosed`.

        Raises:
            WriterStuck: a frozen process keeps what was appended from being written; after
                10 seconds. The log stays open then; close it again when that one is gone.
        """
        seat = self._seat
        if seat is None or self._entered_in.left:
            return  # In a process that was forked off all of it is the parent's.
        self._check_loop()
        if self._ending is None or (self._ending.done() and self._ending.exception() is not None):
            # A task of its own: whoever waits for it may be cancelled, and be a tool even.
            self._ending = self._loop.create_task(self._end(seat))
        await asyncio.shield(self._ending)

    async def _end(self, seat: Seat) -> None:
        closed = LogClosed("the runtime was closed before the run was over")
        log = await seat.close(closed, patience=self._close_timeout)
        self._end_observers(closed)
        await self._sides.let_go(log)

    @property
    def abandoned_threads(self) -> int:
        """How many threads of sync tools go on although their attempt is over.

        While there are 32, further calls of sync tools fail with kind `no_threads`.
        """
        return self._sides.abandoned.count

    def live(self) -> list[LiveEntity]:
        """Return what this process has in memory; nothing while it is a visitor.

        For tests, and for looking into a runtime that does not do what it should. Raises
        LogClosed unless the runtime is open.
        """
        side = self._open.side
        return side.live() if isinstance(side, OwnerSide) else []

    @property
    def runs(self) -> RunsQuery:
        """What is known of the runs: `await rt.runs.get(run_id)`, `await rt.runs.list(...)`.

        The same in every role. Raises LogClosed unless the runtime is open.
        """
        log = self._open.side.log
        return RunsQuery(log, self._open, submitted=partial(submitted, log))

    @property
    def tasks(self) -> RuntimeTasks:
        """The background tasks: `await rt.tasks.get(task_id)`, `list`, `cancel`, `wait`, ...

        The same in every role. Raises LogClosed unless the runtime is open.
        """
        return RuntimeTasks(
            self._open.side.log,
            self._open,
            ids=self._ids,
            obey=self._obey,
            follow=self._follow,
            follow_all=self._follow_all,
            stands_still=self._task_stands_still,
            standing=self._standing,
        )

    def _task_stands_still(self, stream: StreamId) -> bool:
        try:
            return self._open.side.task_stands_still(stream)
        except LogError:
            return False  # Who waits is told so by what he follows.

    @property
    def _inbox(self) -> Inbox:
        return self._open.side.log

    @property
    def threads(self) -> RuntimeThreads:
        """The threads: `await rt.threads.create(...)`, `get`, `list`, `messages`, `fork`, ...

        The same in every role. Raises LogClosed unless the runtime is open.
        """
        return RuntimeThreads(
            self._open.side.log, self._open, ids=self._ids, obey=self._obey, follow=self._follow
        )

    @property
    def heartbeats(self) -> RuntimeHeartbeats:
        """What runs on a schedule: `await rt.heartbeats.create(...)`, `get`, `list`, `pause`, ...

        The same in every role. Raises LogClosed unless the runtime is open.
        """
        log = self._open.side.log
        if self._heartbeats is None or self._heartbeats[0] is not log:  # Asked for very often.
            heartbeats = RuntimeHeartbeats(
                log, self._open, ids=self._ids, obey=self._have_obeyed, follow=self._follow
            )
            self._heartbeats = (log, heartbeats)
        return self._heartbeats[1]

    async def read_view(self, view: str, work: Callable[[ViewRows], T]) -> T:
        """Return what `work` makes of the rows of a view. See `outlive.projections.Views.read`."""
        return await self._here.read(view, work)

    async def compact(self, *, before: datetime | None = None) -> Compacted:
        """Drop pieces of answers that are recorded in full, while runs go on.

        State, results and the text that observers of a run are told stay the same. See
        `EventLog.compact`, also for what it raises.

        Raises:
            Refused: this process does not own the log.
        """
        side = self._open.side
        if not isinstance(side, OwnerSide):
            raise Refused("only the owner compacts a log, and this process is a visitor")
        return await asyncio.to_thread(side.log.compact, before=before)
