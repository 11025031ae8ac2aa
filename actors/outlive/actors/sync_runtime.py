"""The runtime for code without an event loop: scripts, notebooks, synchronous services."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar, overload

from msgspec import UNSET

from outlive.actors.agent import Agent
from outlive.actors.background import BackgroundTasks
from outlive.actors.heartbeat.declared import Heartbeat
from outlive.actors.heartbeat.hooks import HeartbeatHooks
from outlive.actors.ids import Ids
from outlive.actors.live import LiveEntity
from outlive.actors.loop_actor import MAILBOX_LIMIT, BlockingAskRefused
from outlive.actors.run.handle import Run
from outlive.actors.run_context import EMPTY, Functions
from outlive.actors.runtime import CLOSE_TIMEOUT_S, Runtime
from outlive.actors.seat import Role
from outlive.actors.sync_heartbeats import SyncHeartbeats
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
from outlive.events import (
    Clock,
    Compacted,
    EventLog,
    LogClosed,
    LogReader,
    OutliveError,
    Record,
    Recorded,
    RunId,
    StreamId,
)
from outlive.events.forks import Birthplace
from outlive.events.lmdb_store.durability import Durability
from outlive.events.lmdb_store.taking import LEASE_S
from outlive.events.run.parts import Input
from outlive.projections import (
    Projection,
    RunResult,
    TextReset,
    ViewRows,
)

T = TypeVar("T")


class SyncRun:
    """A run that was started. The same as `Run`, without await."""

    def __init__(self, runtime: SyncRuntime, run: Run) -> None:
        self._runtime = runtime
        self._run = run
        self.id: Final[RunId] = run.id

    def __repr__(self) -> str:
        """Name the run."""
        return f"<SyncRun {self.id}>"

    @property
    def submitted(self) -> bool:
        """Whether the start lies in the inbox still. See `Run.submitted`."""
        return self._run.submitted

    def events(self, *, after: int = 0) -> Iterator[Recorded]:
        """Yield the run's events beyond version `after`, then live. See `Run.events`."""
        return self._runtime.observe(self.id, after=after)

    def text(self) -> Iterator[str | TextReset]:
        """Yield the text of the answers as it comes in. See `Run.text`."""
        return self._runtime.iterate(self._run.text())

    def result(self, *, timeout: float | None = None) -> RunResult:
        """Wait until the run is at rest. See `Run.result`."""
        return self._runtime.wait_for(self._run.result(timeout=timeout))


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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._entered_in: Birthplace | None = None
        self._door = threading.Lock()  # between those who begin to wait and the loop's end
        self._closing = threading.RLock()  # A signal's handler may close it while it is closed.
        self._calls: dict[Future[Any], None] = {}  # that somebody waits for
        self._ended_calls: tuple[Future[Any], ...] = ()

    def __enter__(self) -> Self:
        """Start the loop, open the log, and begin to take up what was left unfinished."""
        _refuse_on_a_loop()
        if self._entered_in is not None:
            raise OutliveError("a SyncRuntime is entered once; make another one")
        self._entered_in = Birthplace()
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="outlive-loop", daemon=True)
        thread.start()
        self._loop, self._thread = loop, thread
        try:
            self._await(self._runtime.__aenter__())
        except BaseException:
            # Who is interrupted here has left a loop at work that goes on opening the log.
            self._await(self._runtime.close())
            self._loop = None
            self._end_loop(loop)
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
        if self._entered_in is None or self._entered_in.left:
            return
        with self._closing:
            if self._loop is None:
                return
            self._await(self._runtime.close())
            loop = self._shut()
            if loop is not None:
                self._end_loop(loop)

    def _shut(self) -> asyncio.AbstractEventLoop | None:
        """Let nobody in any more; return the loop, the first time."""
        with self._door:
            loop, self._loop = self._loop, None
        return loop

    def _end_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        # What the runtime's end did not end would be waited for for ever.
        self._ended_calls = tuple(self._calls)
        for call in self._ended_calls:
            call.cancel()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

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

    def resume(
        self, run_id: str, value: object, *, suspension: str | None = None, by: str = ""
    ) -> bool:
        """Answer what a suspended run asks. See `Runtime.resume`."""
        return self._await(self._runtime.resume(run_id, value, suspension=suspension, by=by))

    def approve(
        self,
        run_id: str,
        call_id: str,
        *,
        digest: str | None = None,
        args: Mapping[str, object] | None = None,
        note: str = "",
        by: str = "",
    ) -> bool:
        """Agree to a tool call that needs it. See `Runtime.approve`."""
        return self._await(
            self._runtime.approve(run_id, call_id, digest=digest, args=args, note=note, by=by)
        )

    def decline(self, run_id: str, call_id: str, *, reason: str = "", by: str = "") -> bool:
        """Do not agree to a tool call. See `Runtime.decline`."""
        return self._await(self._runtime.decline(run_id, call_id, reason=reason, by=by))

    def resolve(
        self,
        run_id: str,
        call_id: str,
        *,
        outcome: object = UNSET,
        error: str | None = None,
        retry: bool = False,
        by: str = "",
    ) -> bool:
        """Say what became of a tool call in doubt. See `Runtime.resolve`."""
        return self._await(
            self._runtime.resolve(run_id, call_id, outcome=outcome, error=error, retry=retry, by=by)
        )

    def cancel(self, run_id: str, reason: str = "", *, by: str = "") -> bool:
        """End a run that is not wanted any more. See `Runtime.cancel`."""
        return self._await(self._runtime.cancel(run_id, reason, by=by))

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

    def release(self, run_id: str) -> bool:
        """Try once more with a run that is quarantined. See `Runtime.release`."""
        return self._await(self._runtime.release(run_id))

    def compact(self, *, before: datetime | None = None) -> Compacted:
        """Drop pieces of answers that are recorded in full. See `Runtime.compact`."""
        return self._await(self._runtime.compact(before=before))

    def _await(self, body: Coroutine[Any, Any, T]) -> T:
        try:
            _refuse_on_a_loop()
            if self._entered_in is not None:
                self._entered_in.check("the runtime")  # First: a lock may have been held there.
            with self._door:
                if self._loop is None:
                    raise LogClosed("the runtime is not open: use it in `with`")
                call = asyncio.run_coroutine_threadsafe(body, self._loop)
                self._calls[call] = None
        except (OutliveError, BlockingAskRefused):
            body.close()
            raise
        try:
            return call.result()
        except CancelledError:
            if call in self._ended_calls:
                raise LogClosed("the runtime was closed meanwhile") from None
            raise
        finally:
            call.cancel()  # If it is not done: who waited for it was interrupted.
            self._calls.pop(call, None)

    def wait_for(self, body: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine of this runtime's loop returns."""
        return self._await(body)

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Yield what an async iterator of this runtime's loop yields, and close it after."""
        # A step that was interrupted ends before the iterator is closed.
        stepping = asyncio.Lock()

        async def step() -> tuple[T] | None:
            async with stepping:
                try:
                    return (await anext(items),)
                except StopAsyncIteration:
                    return None

        async def close() -> None:
            ending = getattr(items, "aclose", None)
            if ending is not None:
                async with stepping:
                    await ending()

        try:
            found = self._await(step())
            while found is not None:
                yield found[0]
                found = self._await(step())
        finally:
            with suppress(LogClosed):  # The loop's end has closed it; in a fork, the parent does.
                self._await(close())


def _refuse_on_a_loop() -> None:
    if asyncio._get_running_loop() is not None:  # noqa: SLF001  # public, but for its name
        raise BlockingAskRefused("SyncRuntime would block the event loop: use Runtime")
