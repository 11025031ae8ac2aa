"""What a process does that does not own the log: it reads, and asks the owner through the inbox."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from outlive.actors.heartbeat.submitted import CreateHeartbeatRequest, HeartbeatRequest
from outlive.actors.ids import Ids
from outlive.actors.kind import SUSPENDED
from outlive.actors.releasing import not_quarantined, nothing_there
from outlive.actors.run.begun import LOOK_AFTER, has_begun, is_known
from outlive.actors.run.carrying_out import command_for
from outlive.actors.run.decide import decide
from outlive.actors.run.submission import Submission
from outlive.actors.run.submitted import ReleaseRequest, Request, StartRequest, encode_request
from outlive.actors.snapshots import state_now
from outlive.actors.task.carrying_out import require_same, steer_command
from outlive.actors.task.entity import TASK
from outlive.actors.task.submitted import EnqueueRequest, TaskRequest
from outlive.actors.thread.check import check_thread_request
from outlive.actors.thread.door import begins
from outlive.actors.thread.submitted import AskRunRequest, ThreadRequest
from outlive.events import (
    Clock,
    HeartbeatExists,
    LmdbVisitor,
    NotSuspended,
    OutliveError,
    RunCancelled,
    RunCompleted,
    RunExists,
    RunFailed,
    RunId,
    RunNotFound,
    RunSuspended,
    StreamId,
)
from outlive.events.ids import id_of
from outlive.events.run.requested import request_digest
from outlive.projections import (
    RunResult,
    ViewReader,
    fold_run,
    read_run,
    run_result,
    standing_result,
)
from outlive.projections.run_summary import STANDING_STILL
from outlive.projections.tasks.standing import row_stands_still

PATIENCE_S: Final = 5.0
"""A start is waited for that long while its owner is alive, but does not get to it."""

_AT_REST: Final = (RunCompleted, RunFailed, RunCancelled, RunSuspended)


class VisitorSide:
    """Has commands carried out by the owner, whoever that is by then.

    That may be this very process, if it takes over meanwhile: what waits here goes on waiting.
    """

    def __init__(self, log: LmdbVisitor, *, ids: Ids, views: ViewReader, clock: Clock) -> None:
        self.log = log
        self.views = views
        self._ids = ids
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._ended: OutliveError | None = None
        self._waiters: dict[asyncio.Future[None], None] = {}

    async def close(self, error: OutliveError) -> None:
        """Let those go that wait. What was submitted stays in the inbox."""
        self._ended = error
        self._wake()
        self.views.close()

    async def obey(self, stream: StreamId, request: Request) -> Submission | None:
        """Have a request carried out. Returns None once that is durable.

        If no owner is alive, it returns at once, what was submitted; if one does not get to
        it, after `PATIENCE_S`.

        Raises:
            RunNotFound, TaskNotFound, ThreadNotFound: there is no such thing, and this does not
                begin it.
            Refused: or what else the owner refuses it with, or will.
        """
        if not _begins(request) and not is_known(self.log, stream):
            raise nothing_there(stream)
        if self.log.owner() != "alive":
            self._check(stream, request)  # What is refused leaves nothing in the inbox.
        until = self._loop.time() + PATIENCE_S
        command_id = self._ids.command_id()
        put = partial(self.log.submit, command_id, stream, encode_request(request))
        run_id = request.run_id if isinstance(request, AskRunRequest) else id_of(stream)
        submission = Submission(self.log, command_id, RunId(run_id))
        self.log.watch(self._hear)
        try:
            await self._loop.run_in_executor(None, put)
            while not submission.answered():
                if self._ended is not None:
                    raise self._ended
                if self.log.owner() != "alive" or self._loop.time() >= until:
                    self._check(stream, request)
                    return submission
                if not submission.waits() and not submission.answered():
                    # The reply has come and, after a day, gone. A start may be repeated.
                    await self._loop.run_in_executor(None, put)
                await self._news()
        finally:
            self.log.unwatch(self._hear)
        return None

    def _check(self, stream: StreamId, request: Request) -> None:
        """Raise what an owner will refuse it with, as far as that can be told without one."""
        if not self.log.version(stream):
            return
        if isinstance(request, TaskRequest):
            self._check_task(stream, request)
            return
        if isinstance(request, ThreadRequest):
            check_thread_request(self.log, id_of(stream), request)
            return
        if isinstance(request, HeartbeatRequest):
            self._check_heartbeat(stream, request)
            return
        if isinstance(request, ReleaseRequest):
            entry = self.log.open_entry(stream)
            if entry is None or entry.status != "quarantined":
                raise not_quarantined(self.log, stream)
            return
        run_id = id_of(stream)
        state = fold_run(recorded.event for recorded in read_run(self.log, run_id))[0]
        if isinstance(request, StartRequest):
            if state.request != request_digest(request):
                raise RunExists(run_id)
        else:
            decide(state, command_for(request, run_id, state, {}, now_ns=self._clock.now_ns()))

    def _check_task(self, stream: StreamId, request: TaskRequest) -> None:
        if isinstance(request, EnqueueRequest):
            require_same(self.log, stream, request)
            return
        state = state_now(self.log, stream, TASK)
        TASK.decide(state, steer_command(request, id_of(stream)))

    def task_stands_still(self, stream: StreamId) -> bool:
        """Whether a task cannot go on, as its row tells it."""
        return row_stands_still(self.log, stream)

    def _check_heartbeat(self, stream: StreamId, request: HeartbeatRequest) -> None:
        """Raise what can be told by the heartbeat's status: it is all that is looked at."""
        entry = self.log.open_entry(stream)
        status = "over" if entry is None or entry.over else entry.status
        if status != "over" and isinstance(request, CreateHeartbeatRequest):
            raise HeartbeatExists(id_of(stream))
        if status == "quarantined":
            raise NotSuspended(id_of(stream), status, "heartbeat")

    async def result(self, run_id: str, stream: StreamId) -> RunResult:
        """Wait until the run is at rest. See `Runtime.result`."""
        log = self.log
        if not await has_begun(log, stream):
            raise RunNotFound(run_id)
        async with log.follow(stream, after=log.version(stream)) as events:
            while True:
                entry = log.open_entry(stream)
                if entry is None or entry.over or entry.status == SUSPENDED:
                    return run_result(log, run_id)
                if entry.status in STANDING_STILL:
                    return standing_result(log, run_id, entry)
                try:
                    async with asyncio.timeout(LOOK_AFTER):
                        while not isinstance((await anext(events)).event, _AT_REST):
                            continue
                except TimeoutError:
                    continue

    def _hear(self) -> None:
        """Something was committed. On another thread."""
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _news(self) -> None:
        """Wait for the next commit, or a quarter of a second."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters[waiter] = None
        timer = self._loop.call_later(LOOK_AFTER, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)


def _begins(request: Request) -> bool:
    """Whether a request may begin what it is for."""
    if isinstance(request, ThreadRequest):
        return begins(request)
    return isinstance(request, StartRequest | EnqueueRequest | CreateHeartbeatRequest)
