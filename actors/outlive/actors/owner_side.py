"""What the owner of a log does: its actors, from taking the log to losing it or closing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

from outlive.actors.abandoned import AbandonedThreads
from outlive.actors.addresses import Addresses
from outlive.actors.background_plans import plans_of, tool_limits
from outlive.actors.clerk import INBOX, Clerk
from outlive.actors.effects import EffectTable
from outlive.actors.envelopes import Reply
from outlive.actors.heartbeat.door import HeartbeatDoor
from outlive.actors.heartbeat.kind import HeartbeatKind, Heartbeats
from outlive.actors.heartbeat.submitted import HeartbeatRequest
from outlive.actors.kind import STANDING, SUSPENDED, WAITING, Kind, Recovery
from outlive.actors.live import LiveEntity
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.actors.mail import Post
from outlive.actors.releasing import not_quarantined, nothing_there
from outlive.actors.retry import seconds
from outlive.actors.run.begun import has_begun
from outlive.actors.run.door import Prepared, RunDoor
from outlive.actors.run.kind import RunKind, Runs
from outlive.actors.run.submission import Obeyed
from outlive.actors.run.submitted import ReleaseRequest, Request, RunRequest
from outlive.actors.settings import Settings
from outlive.actors.surroundings import Surroundings
from outlive.actors.task.desk import Desk
from outlive.actors.task.door import TaskDoor
from outlive.actors.task.kind import TaskKind, Tasks
from outlive.actors.task.submitted import EnqueueRequest, RetryTaskRequest, TaskRequest
from outlive.actors.thread.door import ThreadDoor
from outlive.actors.thread.kind import ThreadKind, Threads
from outlive.actors.thread.submitted import AskRunRequest, ThreadRequest
from outlive.actors.timers import Timers
from outlive.actors.waiters import StandsStill
from outlive.actors.workers.port import Workers
from outlive.events import (
    EventLog,
    OpenEntry,
    OutliveError,
    Refused,
    RunExists,
    RunNotFound,
    StreamId,
    SuspensionNotFound,
    Version,
)
from outlive.events.ids import id_of, kind_of
from outlive.projections import RunResult, ViewRunner, run_result, standing_result
from outlive.projections.tasks.standing import row_stands_still

_ENQUEUED_AT_ONCE: Final = 32
"""Tasks that are being enqueued at the same time; further ones wait in order for their turn.

A hundred that come together would keep the loop for tens of milliseconds, and tasks that run
would have to wait for that with what comes of them, and so would those that are next.
"""

S = TypeVar("S")
C = TypeVar("C")
X = TypeVar("X")
R = TypeVar("R")


class OwnerSide:
    """Brings in what the log says is unfinished, and obeys commands, of this process and others."""

    def __init__(
        self,
        log: EventLog,
        settings: Settings,
        *,
        views: ViewRunner,
        executor: Executor,
        abandoned: AbandonedThreads,
        workers: Workers,
        on_standing_task: Callable[[StreamId], None],
    ) -> None:
        self.log = log
        self._on_standing_task = on_standing_task
        self.views = views
        self._workers = workers
        self._ended: OutliveError | None = None
        self._loop = asyncio.get_running_loop()
        log.deliver_on(self._loop.call_soon_threadsafe)
        self._effects = EffectTable(self._loop)
        self._enqueuing = asyncio.Semaphore(_ENQUEUED_AT_ONCE)
        self._timers = Timers(settings.clock, self._wake)
        post = Post()
        agents, tools, background = settings.agents, settings.tools, settings.background_tasks
        self._desk = Desk(
            background,
            tool_limits(agents.values(), tools),
            log=log,
            post=post,
            clock=settings.clock,
        )
        surroundings = Surroundings(
            log=log,
            agents=agents,
            tools=tools,
            effects=self._effects,
            post=post,
            clock=settings.clock,
            executor=executor,
            abandoned=abandoned,
            workers=workers,
            deps=settings.deps,
            functions=settings.functions,
            plans={id: plans_of(agent, background) for id, agent in agents.items()},
            desk=self._desk,
            task_hooks=settings.task_hooks,
            progress_throttle=seconds("progress_throttle", background.progress_throttle),
            heartbeat_hooks=settings.heartbeat_hooks,
            background=background,
        )
        self._kinds: dict[str, Addresses[Any, Any, Any, Any]] = {}

        def addresses(
            kind: Kind[S, C, X, R],
            row_changed: Callable[[StreamId, OpenEntry | None], None] | None = None,
            stay: Container[StreamId] = (),
        ) -> Addresses[S, C, X, R]:
            found = Addresses(
                kind,
                log,
                self._effects,
                self._timers,
                save_every=settings.save_every,
                mailbox_limit=settings.mailbox_limit,
                row_changed=row_changed,
                stay=stay,
            )
            post.serve(kind.name, found)
            self._kinds[kind.name] = found
            return found

        recovery = Recovery(log.epoch, clean=log.clean, max_recoveries=settings.max_recoveries)
        heartbeat_kind = HeartbeatKind(surroundings, recovery)
        self._runs: Runs = addresses(RunKind(surroundings, recovery))
        self._tasks: Tasks = addresses(
            TaskKind(surroundings, recovery), self._task_row, self._desk.next_in_line
        )
        self._threads: Threads = addresses(ThreadKind(surroundings))
        self._heartbeats: Heartbeats = addresses(heartbeat_kind)
        self._run_door = RunDoor(self._runs, log=log, surroundings=surroundings)
        self._task_door = TaskDoor(
            self._tasks, log=log, surroundings=surroundings, settings=background
        )
        self._thread_door = ThreadDoor(
            self._threads,
            self._runs,
            log=log,
            surroundings=surroundings,
            start_again=self._run_door.started_again,
        )
        self._heartbeat_door = HeartbeatDoor(
            self._heartbeats, heartbeat_kind, log=log, surroundings=surroundings
        )
        rows: dict[str, list[tuple[StreamId, OpenEntry]]] = {name: [] for name in self._kinds}
        for row in log.open_entries():
            if row[1].kind in rows:
                rows[row[1].kind].append(row)
        self._desk.open(rows["task"])
        for name, found in self._kinds.items():
            found.bring_in_all(rows[name])
        self._heartbeat_door.open(rows["heartbeat"], settings.heartbeats)
        clerk = Clerk(log, self._ask_by_command, closing=lambda: self._effects.closing)
        log.on_submitted(clerk.hear)
        views.start()

    def _task_row(self, task: StreamId, entry: OpenEntry | None) -> None:
        self._desk.row(task, entry)
        if entry is not None and entry.status in STANDING:
            self._on_standing_task(task)

    def task_stands_still(self, stream: StreamId) -> bool:
        """Whether a task cannot go on. One whose row says so may have been told to try again."""
        if not row_stands_still(self.log, stream):
            return False
        return isinstance(self._tasks.at(stream), OpenEntry)

    def _wake(self, stream: StreamId, now_ns: int) -> None:
        if kind_of(stream) != "task":
            self._kinds[kind_of(stream)].wake(stream, now_ns)
            return
        self._desk.due(stream, now_ns)
        if self._tasks.resident(stream) is not None:
            self._desk.next_in_line.hear(stream)  # Where there is room, it waits on in memory.
            self._tasks.passed(stream)

    def live(self) -> list[LiveEntity]:
        """Return what is in memory."""
        return [live for kind in self._kinds.values() for live in kind.live()]

    async def close(self, error: OutliveError, *, patience: float = 0.0) -> None:
        """Stop what runs. Who waits for a result gets `error`.

        What is queued is decided first, and tools that run have `patience` seconds to end.
        """
        self._ended = error
        self._timers.close()
        self._desk.close()
        if patience:
            deadline = self._loop.time() + patience
            await self._effects.drain(patience)
            for kind in self._kinds.values():
                await kind.drain(deadline)
        await self._effects.close()
        await self._workers.close()
        for kind in self._kinds.values():
            kind.close(error)
        await self.views.close()

    async def obey(self, stream: StreamId, request: Request) -> Obeyed | None:
        """Carry out a request to a run, task, thread or heartbeat; return once that is durable.

        None: there was nothing left to do.

        Raises:
            RunNotFound, TaskNotFound, ThreadNotFound, HeartbeatNotFound: there is no such thing,
                and this does not begin it.
            LogParked: there is no space for it now.
            Refused: or what else the request is refused with.
            LogError: this process is the owner no more. Whoever is has to be asked.
        """
        trouble = self.log.trouble
        if trouble is not None:
            raise trouble
        try:
            if isinstance(request, EnqueueRequest):
                async with self._enqueuing:
                    return await self._carry_out(stream, request)
            return await self._carry_out(stream, request)
        except (Refused, SuspensionNotFound):
            # A process that was frozen may not know yet what others have made of the run since.
            await self._own()
            raise

    async def _own(self) -> None:
        """Return if this process owns the log still. Raises LogError."""
        await self.log.append(INBOX, (), expected_version=Version(0))

    async def _carry_out(self, stream: StreamId, request: Request) -> Obeyed | None:
        while self._ended is None:
            try:
                reply = self._ask(stream, request)
                if reply is None:
                    return None
                state = await reply
            except MailboxClosed:
                continue  # It has come to rest meanwhile, or all was closed.
            except RunExists:
                id = request.run_id if isinstance(request, AskRunRequest) else id_of(stream)
                raise RunExists(id) from None
            return Obeyed(state, reply.committed if isinstance(reply, Reply) else None)
        raise self._ended

    def _ask(
        self, stream: StreamId, request: Request, *, command_id: str | None = None
    ) -> LoopFuture[Any] | None:
        """Have it decided what is asked of a run or a task; None if there is nothing left to do.

        Raises:
            MailboxClosed: it has come to rest meanwhile; or what the request is refused with.
        """
        if isinstance(request, ReleaseRequest):
            return self._release(stream, command_id)
        if isinstance(request, RetryTaskRequest):
            released = self._tasks.release(stream, command_id=command_id)
            if released is not None:
                return _unless_refused(f"task {id_of(stream)!r}", released)
        prepared = self._prepare(stream, request)
        if prepared is None:
            return None
        actor, command = prepared
        promised = isinstance(request, EnqueueRequest)  # a slot, until it is in the task's row
        try:
            reply = actor.ask(command, cause=command_id, command_id=command_id)
        except OutliveError:
            if promised:
                self._desk.settled(stream)
            raise
        if promised:
            reply.when_set(lambda: self._desk.settled(stream))
        return reply

    def _ask_by_command(
        self, stream: StreamId, request: Request, command_id: str
    ) -> LoopFuture[Any] | None:
        return self._ask(stream, request, command_id=command_id)

    def _prepare(
        self,
        stream: StreamId,
        request: RunRequest | TaskRequest | ThreadRequest | HeartbeatRequest,
    ) -> Prepared | None:
        """Return the actor that a request is for, and its command; None if nothing is left to do.

        Raises:
            Refused, NotFound: see there.
        """
        if isinstance(request, RunRequest):
            return self._run_door.prepare(stream, request)
        if isinstance(request, TaskRequest):
            return self._task_door.prepare(stream, request)
        if isinstance(request, ThreadRequest):
            return self._thread_door.prepare(stream, request)
        return self._heartbeat_door.prepare(stream, request)

    def _release(self, stream: StreamId, command_id: str | None) -> LoopFuture[Any] | None:
        """Try once more with one that is quarantined. See `Runtime.release`."""
        addresses = self._addresses(stream)
        self._require_known(stream)
        released = addresses.release(stream, command_id=command_id)
        if released is None:
            here = addresses.resident(stream)
            entry = None if here is None else here.stands or here.actor.entry
            raise not_quarantined(self.log, stream, entry)
        return _unless_refused(f"{kind_of(stream)} {id_of(stream)!r}", released)

    def _addresses(self, stream: StreamId) -> Addresses[Any, Any, Any, Any]:
        match kind_of(stream):
            case "task":
                return self._tasks
            case "thread":
                return self._threads
            case "heartbeat":
                return self._heartbeats
            case _:
                return self._runs

    def _require_known(self, stream: StreamId) -> None:
        if self._addresses(stream).resident(stream) is None and self.log.version(stream) == 0:
            raise nothing_there(stream)

    async def result(self, run_id: str, stream: StreamId) -> RunResult:
        """Wait until the run is at rest. See `Runtime.result`."""
        log = self.log
        if self._runs.resident(stream) is None:
            if log.version(stream) == 0:
                if not await has_begun(log, stream):
                    raise RunNotFound(run_id)
                return await self.result(run_id, stream)
            entry = log.open_entry(stream)
            if entry is None or entry.over or entry.status == SUSPENDED:
                return run_result(log, run_id)
            if entry.status != WAITING:
                found = self._runs.at(stream)
                if isinstance(found, OpenEntry):
                    return standing_result(log, run_id, found)
        try:
            return await self._runs.outcome(stream)
        except StandsStill as still:
            return standing_result(log, run_id, still.entry)


def _unless_refused(who: str, released: LoopFuture[Any] | OpenEntry) -> LoopFuture[Any] | None:
    """Return what is set once somebody goes on who was quarantined; None if it does so later.

    Raises:
        Refused: it cannot be taken up now either.
    """
    if not isinstance(released, OpenEntry):
        return released
    if released.status == "quarantined":
        raise Refused(f"{who} cannot be taken up: {released.reason}")
    return None
