"""The composition root: opens a log, and lets the actors of its runs work on it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self, TypeVar, overload

from outlive.actors.abandoned import AbandonedThreads
from outlive.actors.agent import Agent
from outlive.actors.background import BackgroundTasks
from outlive.actors.background_plans import tool_limits, tools_by_name
from outlive.actors.functions import check_functions
from outlive.actors.heartbeat.control import RuntimeHeartbeats
from outlive.actors.heartbeat.declared import Heartbeat, check_heartbeats
from outlive.actors.heartbeat.hooks import HeartbeatHooks, check_heartbeat_hooks
from outlive.actors.ids import Ids, RandomIds
from outlive.actors.live import LiveEntity
from outlive.actors.loop_actor import MAILBOX_LIMIT
from outlive.actors.owner_side import OwnerSide
from outlive.actors.retry import seconds
from outlive.actors.run.begun import Inbox, has_begun, submitted
from outlive.actors.run.handle import Run
from outlive.actors.run.request import run_wish
from outlive.actors.run.submission import Submission
from outlive.actors.run.submitted import Request, StartRequest, checked_request
from outlive.actors.run_context import EMPTY, Functions
from outlive.actors.seat import Role, Seat, check_role, told_later
from outlive.actors.sub_agents import with_sub_agents
from outlive.actors.task.control import RuntimeTasks
from outlive.actors.task.hooks import TaskHooks, check_hooks
from outlive.actors.thread.asking import ask_run, run_asked
from outlive.actors.thread.control import RuntimeThreads
from outlive.actors.thread.signalling import Signalling
from outlive.actors.thread.submitted import OnBusy
from outlive.actors.threads import DaemonThreads
from outlive.actors.tool import Tool
from outlive.actors.until_idle import UntilIdle
from outlive.actors.visitor_side import VisitorSide
from outlive.actors.workers.port import Workers
from outlive.actors.workers.processes import ProcessWorkers
from outlive.events import (
    AgentNotFound,
    Clock,
    Compacted,
    EventLog,
    InvalidDefinition,
    LmdbLog,
    LmdbVisitor,
    LogClosed,
    LogError,
    LogReader,
    MemoryLog,
    NamedSubscription,
    OutliveError,
    Position,
    Record,
    Recorded,
    Refused,
    RunId,
    StreamId,
    Subscription,
    SystemClock,
    Version,
    run_stream,
    thread_stream,
)
from outlive.events.forks import Birthplace
from outlive.events.ids import stream_id
from outlive.events.lmdb_store.durability import Durability, check_durability
from outlive.events.lmdb_store.folder import folder_path
from outlive.events.lmdb_store.taking import LEASE_S, check_lease
from outlive.events.run.parts import Input
from outlive.projections import (
    HeartbeatsView,
    Projection,
    RunResult,
    RunsQuery,
    RunsView,
    TasksView,
    ThreadsView,
    ViewReader,
    ViewRows,
    ViewRunner,
    check_projections,
    observe_run,
)
from outlive.projections.tasks.standing import StandingWatch

T = TypeVar("T")

CLOSE_TIMEOUT_S: Final = 5.0
"""How long tools may go on when a runtime is closed, if nothing else is said."""


def _listed(items: Iterable[T], what: str) -> tuple[T, ...]:
    """Return what there is several of. Raises InvalidDefinition if it is only one, or nothing."""
    if not isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"{what} are a list, not {items!r}")
    return tuple(items)


class _Observer(Protocol):
    def end(self, error: OutliveError) -> None: ...


class Runtime(Signalling):
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
        check_role(role)
        check_lease(lease)
        if role in ("visitor", "standby") and (path is None or log is not None):
            raise InvalidDefinition(f"a {role} needs a folder that others own: give a path")
        check_durability(durability)
        if durability != "sync" and (path is None or log is not None):
            raise InvalidDefinition("durability is that of a folder: give a path, and no log")
        self._durability: Durability = durability
        self._role: Role = role
        self._lease = lease
        self._path = None if path is None else folder_path(path)
        self._projections: tuple[Projection, ...] = (
            RunsView(),
            TasksView(),
            ThreadsView(),
            HeartbeatsView(),
            *_listed(projections, "projections"),
        )
        check_projections(self._projections)
        self._agents: dict[str, Agent] = {}
        for agent in _listed(agents, "agents"):
            if not isinstance(agent, Agent):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidDefinition(f"agents are of type Agent, not {agent!r}")
            if agent.id in self._agents:
                raise InvalidDefinition(f"two agents have the id {agent.id!r}")
            self._agents[agent.id] = agent
        self._agents = with_sub_agents(self._agents.values())
        whole = max_recoveries is None or type(max_recoveries) is int
        if not whole or (max_recoveries is not None and max_recoveries < 0):
            raise InvalidDefinition(f"max_recoveries is 0 or more, or None, not {max_recoveries!r}")
        if save_every is not None and (type(save_every) is not int or save_every < 1):
            raise InvalidDefinition(f"save_every is 1 or more events, not {save_every!r}")
        self._save_every = save_every
        if not isinstance(background_tasks, BackgroundTasks | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(
                f"background_tasks is BackgroundTasks(...), not {background_tasks!r}"
            )
        self._background_tasks = background_tasks or BackgroundTasks()
        self._task_hooks = check_hooks("a runtime", task_hooks)
        self._heartbeats = check_heartbeats(_listed(heartbeats, "heartbeats"))
        self._heartbeat_hooks = check_heartbeat_hooks(heartbeat_hooks)
        self._tools = tools_by_name(_listed(tools, "tools"))
        tool_limits(self._agents.values(), self._tools)  # They must agree.
        if type(mailbox_limit) is not int or mailbox_limit < 1:
            raise InvalidDefinition(f"mailbox_limit is 1 or more, not {mailbox_limit!r}")
        self._mailbox_limit = mailbox_limit
        # No time at all is a time, too.
        self._close_timeout = seconds("close_timeout", close_timeout) if close_timeout else 0.0
        self._deps = deps
        self._functions = check_functions(functions, self._agents.values())
        self._max_recoveries = max_recoveries
        self._clock: Clock = clock or SystemClock()
        self._ids: Ids = ids or RandomIds()
        self._executor = executor
        self._abandoned = AbandonedThreads()
        self._given_workers = workers
        self._own_executor: DaemonThreads | None = None
        self._given_log = log
        self._seat: Seat | None = None
        self._ending: asyncio.Task[None] | None = None
        # By number, as the order of a set of objects is that of their addresses.
        self._observers: weakref.WeakValueDictionary[int, _Observer] = weakref.WeakValueDictionary()
        self._numbers = count()
        self._standing = StandingWatch(self._task_stands_still)

    async def __aenter__(self) -> Self:
        """Open the log and begin to take up what was left unfinished."""
        if self._seat is not None:
            raise OutliveError("a Runtime is entered once; make another one")
        self._loop = asyncio.get_running_loop()
        self._entered_in = Birthplace()
        if self._executor is None:
            self._executor = self._own_executor = DaemonThreads()
        fixed = self._path is None or self._given_log is not None
        seat = self._seat = Seat(
            "owner" if fixed else self._role,
            lease=self._lease,
            own=self._own,
            visit=lambda: LmdbVisitor(self._folder, clock=self._clock, durability=self._durability),
            stay=lambda log: LmdbVisitor.of(log.step_down(), clock=self._clock),
            owning=self._owning,
            visiting=self._visiting,
        )
        try:
            if self._given_log is not None:
                seat.take(self._given_log, given=True)
            elif self._path is None:
                seat.take(MemoryLog(clock=self._clock))
            else:
                await seat.open()
        except BaseException:
            if self._own_executor is not None:
                self._own_executor.shutdown()
            raise
        return self

    @property
    def _folder(self) -> str | Path:
        assert self._path is not None
        return self._path

    def _own(self) -> LmdbLog:
        return LmdbLog(
            self._folder,
            clock=self._clock,
            durability=self._durability,
            lease=self._lease,
            on_failure=told_later,
        )

    def _owning(self, log: EventLog) -> OwnerSide:
        assert self._executor is not None
        self._standing.be_told(True)
        in_memory = self._path is None or self._given_log is not None
        views = None if in_memory else Path(self._folder) / "views"
        workers = None if in_memory else Path(self._folder) / "workers"
        return OwnerSide(
            log,
            views=ViewRunner(log, self._projections, folder=views),
            agents=self._agents,
            tools=self._tools,
            deps=self._deps,
            functions=self._functions,
            clock=self._clock,
            executor=self._executor,
            abandoned=self._abandoned,
            workers=self._given_workers or ProcessWorkers(workers),
            max_recoveries=self._max_recoveries,
            save_every=self._save_every,
            mailbox_limit=self._mailbox_limit,
            background_tasks=self._background_tasks,
            task_hooks=self._task_hooks,
            on_standing_task=self._standing.stands,
            heartbeat_hooks=self._heartbeat_hooks,
            heartbeats=self._heartbeats,
        )

    def _visiting(self, log: LmdbVisitor) -> VisitorSide:
        self._standing.be_told(False)
        folder = Path(self._folder) / "views"
        views = ViewReader(log, self._projections, folder=folder, clock=self._clock)
        return VisitorSide(log, ids=self._ids, views=views, clock=self._clock)

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
        for observer in list(self._observers.values()):
            observer.end(closed)
        if self._own_executor is not None:
            self._own_executor.shutdown()
        if log is not None and log is not self._given_log:
            # Its writer may be in the middle of a flush: not on the loop.
            await self._loop.run_in_executor(None, log.close)

    @property
    def _open(self) -> Seat:
        if self._seat is None:
            raise LogClosed("the runtime is not open: use it in `async with`")
        self._entered_in.check("the runtime")
        return self._seat

    @property
    def _here(self) -> Seat:
        """The seat, for what is done with actors: on their own event loop, or not at all."""
        seat = self._open
        self._check_loop()
        return seat

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise OutliveError(
                "this runtime lives on another event loop: use it there (from here by "
                "asyncio.run_coroutine_threadsafe), or use SyncRuntime"
            )

    @property
    def log(self) -> LogReader:
        """The log of this runtime. Raises LogClosed unless the runtime is open."""
        return self._open.side.log

    @property
    def role(self) -> Literal["owner", "visitor"]:
        """What this process is at this moment. Raises LogClosed unless the runtime is open."""
        return self._open.role

    @property
    def abandoned_threads(self) -> int:
        """How many threads of sync tools go on although their attempt is over.

        While there are 32, further calls of sync tools fail with kind `no_threads`.
        """
        return self._abandoned.count

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
        return RuntimeHeartbeats(
            self._open.side.log, self._open, ids=self._ids, obey=self._obey, follow=self._follow
        )

    async def read_view(self, view: str, work: Callable[[ViewRows], T]) -> T:
        """Return what `work` makes of the rows of a view. See `outlive.projections.Views.read`."""
        return await self._here.read(view, work)

    async def start(
        self,
        agent: str | Agent,
        input: Input,
        *,
        run_id: str | None = None,
        thread_id: str | None = None,
        resource_id: str | None = None,
        on_busy: OnBusy = "queue",
        metadata: Mapping[str, object] | None = None,
        request_context: Mapping[str, object] | None = None,
        provider_options: Mapping[str, object] | None = None,
        until_idle: bool | UntilIdle = False,
    ) -> Run:
        """Start a run and return once it is durable: from here on it will come to its end.

        A process that does not own the log has the owner start it, and returns when that is
        done. If no owner is up, it returns at once, and `run.submitted` is true until one is;
        so it does after 5 seconds if the owner does not get to it, its event loop being busy.

        Args:
            agent: an agent of this runtime, or its id.
            input: what the agent is to do: text, or a list of `TextPart`, `ImagePart` and
                `FilePart`.
            run_id: makes the start idempotent: the same again returns the same run. Drawn at
                random if left out.
            thread_id: the thread that it works on: it sees what was said there before, and what
                is said in it is kept there.
            resource_id: to whom the thread belongs. A thread that does not exist yet is created
                for this one.
            on_busy: what becomes of it while another run is active on the thread. `queue`: it
                waits its turn. `deliver`: the active run is told its input, if it is of the same
                agent, and is what is returned; else it waits. `reject`: `ThreadBusy`.
                `cancel_previous`: the active run is cancelled, and this one is next.
            metadata: JSON kept with the run.
            request_context: JSON that tools and functions of the agent are given.
            provider_options: JSON that reaches the model as `request.provider_options`.
            until_idle: the run goes on until its background tasks are over, too, and the model
                is told of their results; meanwhile it is `waiting`. `UntilIdle(...)` says more.

        Raises:
            AgentNotFound: the agent is not registered with this runtime.
            RunExists: there is a run with this id and another agent, input or option.
            LogParked: there is no space for it now; nothing was queued.
            MailboxFull: too many wait for the run with this id already.
            ThreadNotFound: there is no such thread, and no `resource_id` to create one for.
            OtherResource: the thread belongs to another one.
            ThreadBusy: see `on_busy`.
            InvalidId, UnserialisableValue, EventTooLarge, TypeError, ValueError: before anything
                was written.
        """
        side = self._open.side
        agent_id = agent.id if isinstance(agent, Agent) else agent
        if not isinstance(agent_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"an agent is told by its id or itself, not {type(agent_id).__name__}")
        registered = self._agents.get(agent_id)
        unknown = registered is None and isinstance(side, OwnerSide)
        if unknown or (isinstance(agent, Agent) and registered is not agent):
            raise AgentNotFound(agent_id, tuple(self._agents))
        if registered is None:
            stream_id("agent", agent_id)  # It is the owner's to know, but can it be one at all?
        wish = run_wish(
            agent_id,
            input,
            metadata=metadata,
            request_context=request_context,
            provider_options=provider_options,
            until_idle=until_idle,
        )
        id = self._ids.run_id() if run_id is None else RunId(run_id)
        stream = run_stream(id)
        if thread_id is None:
            if resource_id is not None or on_busy != "queue":
                raise ValueError("resource_id and on_busy are about a thread: give its thread_id")
            return Run(self, id, await self._obey(stream, StartRequest.of(wish)))
        asked = ask_run(id, wish, resource_id=resource_id, on_busy=on_busy)
        thread = thread_stream(thread_id)
        submission = await self._obey(thread, asked)
        if submission is None and on_busy == "deliver":
            id = RunId(run_asked(self.log, thread, id))
        return Run(self, id, submission)

    async def _obey(self, stream: StreamId, request: Request) -> Submission | None:
        """Have a request carried out, by whoever owns the log; None once that is durable."""
        request, side = checked_request(request), self._here.side
        while True:
            try:
                return await side.obey(stream, request)
            except LogError as error:
                side = await self._open.after(side, error)

    async def run(
        self,
        agent: str | Agent,
        input: Input,
        *,
        run_id: str | None = None,
        thread_id: str | None = None,
        resource_id: str | None = None,
        on_busy: OnBusy = "queue",
        metadata: Mapping[str, object] | None = None,
        request_context: Mapping[str, object] | None = None,
        provider_options: Mapping[str, object] | None = None,
        until_idle: bool | UntilIdle = False,
    ) -> RunResult:
        """Start a run and wait for its result. See `start` and `result`."""
        started = await self.start(
            agent,
            input,
            run_id=run_id,
            thread_id=thread_id,
            resource_id=resource_id,
            on_busy=on_busy,
            metadata=metadata,
            request_context=request_context,
            provider_options=provider_options,
            until_idle=until_idle,
        )
        return await started.result()

    def observe(
        self, run_id: str, *, after: int = 0, until: Literal["end", "rest"] = "end"
    ) -> AsyncGenerator[Recorded, None]:
        """Yield a run's events beyond version `after`, then live, until the run is over.

        With `until="rest"`, until it is suspended too. See `outlive.projections.observe_run` for
        the order, and for what it raises.
        """
        log = self._open.side.log
        return observe_run(
            log,
            run_id,
            after=after,
            until=until,
            follow=self._follow,
            begun=lambda stream: has_begun(log, stream),
        )

    def _follow(self, stream: StreamId, after: Version) -> Subscription[Recorded]:
        """Follow a stream until the runtime is closed, whoever owns the log."""
        subscription = self._here.side.log.follow(stream, after=after)
        self._observers[next(self._numbers)] = subscription
        return subscription

    def _follow_all(self, after: Position) -> Subscription[Record]:
        """Follow the log until the runtime is closed, whoever owns it."""
        subscription = self._here.side.log.follow_all(after=after)
        self._observers[next(self._numbers)] = subscription
        return subscription

    @overload
    def subscription(self, name: str) -> NamedSubscription[Record]: ...

    @overload
    def subscription(self, name: str, *, stream: StreamId) -> NamedSubscription[Recorded]: ...

    def subscription(
        self, name: str, *, stream: StreamId | None = None
    ) -> NamedSubscription[Record] | NamedSubscription[Recorded]:
        """Return a reader of the log that begins where `name` has saved last.

        Ends with `LogClosed` when the runtime is closed. See `LogReader.subscription`.
        """
        log = self.log
        if stream is None:
            records = log.subscription(name)
            self._observers[next(self._numbers)] = records
            return records
        events = log.subscription(name, stream=stream)
        self._observers[next(self._numbers)] = events
        return events

    async def result(self, run_id: str, *, timeout: float | None = None) -> RunResult:
        """Wait until the run is at rest and return what it came to.

        Raises:
            RunNotFound: at once, when there is no such run.
            TimeoutError: not at rest within `timeout` seconds; the run goes on.
            TypeError: `timeout` is no number.
            LogClosed: this runtime was closed first; the run goes on at the next opening.
        """
        side, stream = self._here.side, run_stream(run_id)
        if not isinstance(timeout, int | float | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a timeout is in seconds, not of type {type(timeout).__name__}")
        async with asyncio.timeout(timeout):
            while True:
                try:
                    return await side.result(run_id, stream)
                except LogError as error:
                    side = await self._open.after(side, error)

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
