"""The runtime for code without an event loop: scripts, notebooks, synchronous services."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from outlive.actors.agent import Agent
from outlive.actors.background import BackgroundTasks
from outlive.actors.heartbeat.declared import Heartbeat
from outlive.actors.heartbeat.hooks import HeartbeatHooks
from outlive.actors.ids import Ids
from outlive.actors.live import LiveEntity
from outlive.actors.loop_actor import MAILBOX_LIMIT
from outlive.actors.loop_thread import LoopThread
from outlive.actors.run_context import EMPTY, Functions
from outlive.actors.runtime import CLOSE_TIMEOUT_S, Runtime
from outlive.actors.seat import Role
from outlive.actors.sync_heartbeats import SyncHeartbeats
from outlive.actors.sync_run import SyncRun
from outlive.actors.sync_runs import SyncRunsQuery
from outlive.actors.sync_signalling import SyncSignalling
from outlive.actors.sync_subscription import SyncSubscription
from outlive.actors.sync_tasks import SyncTasks
from outlive.actors.sync_threads import SyncThreads
from outlive.actors.task.hooks import TaskHooks
from outlive.actors.thread.signalling import Signalling
from outlive.actors.thread.submitted import OnBusy
from outlive.actors.tool import Tool
from outlive.actors.until_idle import UntilIdle
from outlive.actors.workers.port import Workers
from outlive.events import Clock, Compacted, EventLog, LogReader, Record, Recorded, StreamId
from outlive.events.lmdb_store.durability import Durability
from outlive.events.lmdb_store.taking import LEASE_S
from outlive.events.run.parts import Input
from outlive.projections import Projection, RunResult, ViewRows

T = TypeVar("T")


class SyncRuntime(SyncSignalling):
    """`Runtime` with the same methods without `await`, on a loop in a thread of its own.

    Use it as `with SyncRuntime(path, agents=[...]) as rt:`. Its methods may be called from
    any thread but that of a running event loop, where `Runtime` is the right one.
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
        self._runtime = Runtime(
            path,
            agents=agents,
            tools=tools,
            functions=functions,
            deps=deps,
            projections=projections,
            background_tasks=background_tasks,
            task_hooks=task_hooks,
            heartbeats=heartbeats,
            heartbeat_hooks=heartbeat_hooks,
            max_recoveries=max_recoveries,
            mailbox_limit=mailbox_limit,
            close_timeout=close_timeout,
            clock=clock,
            ids=ids,
            executor=executor,
            workers=workers,
            log=log,
            role=role,
            durability=durability,
            lease=lease,
            save_every=save_every,
        )
        self._loop = LoopThread()
        self._closing = threading.RLock()  # A signal's handler may close it while it is closed.

    def __enter__(self) -> Self:
        """Start the loop, open the log, and begin to take up what was left unfinished."""
        self._loop.begin()
        try:
            self._await(self._runtime.__aenter__())
        except BaseException:
            # Who is interrupted here has left a loop at work that goes on opening the log.
            self._await(self._runtime.close())
            self._loop.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close. See `close`."""
        self.close()

    def close(self) -> None:
        """Stop what runs, let go of the log, and end the loop. Twice is once.

        From any thread. Who waits in another one gets `LogClosed`. In a process that was forked
        off it does nothing.
        """
        if not self._loop.here:
            return
        with self._closing:
            if self._loop.runs:
                self._await(self._runtime.close())
                self._loop.end()

    @property
    def _signalling(self) -> Signalling:
        return self._runtime

    @property
    def log(self) -> LogReader:
        """The log of this runtime. Raises LogClosed unless the runtime is open."""
        return self._runtime.log

    @property
    def role(self) -> Literal["owner", "visitor"]:
        """What this process is at this moment. See `Runtime.role`."""
        return self._runtime.role

    @property
    def abandoned_threads(self) -> int:
        """How many threads of tools go on in nobody's name. See `Runtime.abandoned_threads`."""
        return self._runtime.abandoned_threads

    def live(self) -> list[LiveEntity]:
        """Return what this process has in memory. See `Runtime.live`."""

        async def live() -> list[LiveEntity]:
            return self._runtime.live()

        return self._await(live())

    @property
    def runs(self) -> SyncRunsQuery:
        """What is known of the runs. See `Runtime.runs`."""
        return SyncRunsQuery(self._runtime.runs, self._await)

    @property
    def tasks(self) -> SyncTasks:
        """What is known of the background tasks. See `Runtime.tasks`."""
        return SyncTasks(self._runtime.tasks, self._await, self.iterate)

    @property
    def threads(self) -> SyncThreads:
        """The threads. See `Runtime.threads`."""
        return SyncThreads(self._runtime.threads, self._await, self.iterate)

    @property
    def heartbeats(self) -> SyncHeartbeats:
        """What runs on a schedule. See `Runtime.heartbeats`."""
        return SyncHeartbeats(self._runtime.heartbeats, self._await, self.iterate)

    def read_view(self, view: str, work: Callable[[ViewRows], T]) -> T:
        """Return what `work`, on another thread, makes of the rows of a view."""
        return self._await(self._runtime.read_view(view, work))

    def start(
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
    ) -> SyncRun:
        """Start a run and return once it is durable. See `Runtime.start`."""
        started = self._runtime.start(
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
        return SyncRun(self, self._await(started))

    def run(
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
        """Start a run and wait for its result. See `Runtime.run`."""
        result = self._runtime.run(
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
        return self._await(result)

    def observe(
        self, run_id: str, *, after: int = 0, until: Literal["end", "rest"] = "end"
    ) -> Iterator[Recorded]:
        """Yield a run's events beyond version `after`, then live. See `Runtime.observe`."""
        return self.iterate(self._runtime.observe(run_id, after=after, until=until))

    @overload
    def subscription(self, name: str) -> SyncSubscription[Record]: ...

    @overload
    def subscription(self, name: str, *, stream: StreamId) -> SyncSubscription[Recorded]: ...

    def subscription(
        self, name: str, *, stream: StreamId | None = None
    ) -> SyncSubscription[Record] | SyncSubscription[Recorded]:
        """Return a reader that begins where `name` has saved. See `Runtime.subscription`."""
        if stream is None:
            return SyncSubscription[Record](self._runtime.subscription(name), self._await)
        events = self._runtime.subscription(name, stream=stream)
        return SyncSubscription[Recorded](events, self._await)

    def result(self, run_id: str, *, timeout: float | None = None) -> RunResult:
        """Wait until the run is at rest. See `Runtime.result`."""
        return self._await(self._runtime.result(run_id, timeout=timeout))

    def compact(self, *, before: datetime | None = None) -> Compacted:
        """Drop pieces of answers that are recorded in full. See `Runtime.compact`."""
        return self._await(self._runtime.compact(before=before))

    def _await(self, body: Coroutine[Any, Any, T]) -> T:
        return self._loop.call(body)

    def wait_for(self, body: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine of this runtime's loop returns."""
        return self._loop.call(body)

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Yield what an async iterator of this runtime's loop yields, and close it after."""
        return self._loop.iterate(items)
