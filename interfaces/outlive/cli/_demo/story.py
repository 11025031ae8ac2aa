"""The demo's course: a worker works, this process looks on, and kills it at some moments.

All that is known of the run and its tasks comes from the log, read beside whoever owns it: it is
followed through every death, and in the end it is asked whether each event was seen once. Where
the brief is to be published, a worker is killed while the run waits for consent. The question is
then read from the log, by this process, and whoever answers it does so through the inbox.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, Final

from outlive.actors import Runtime
from outlive.cli._demo.aim import Aim, what_survived
from outlive.cli._demo.asking import Said
from outlive.cli._demo.course import Course, course_of
from outlive.cli._demo.following import Upcoming, follow_family, read_family
from outlive.cli._demo.moments import (
    AnswerGrew,
    AnswerVoid,
    AnyMoment,
    Killed,
    OutcomeHeard,
    Recovered,
    Report,
    TaskBegun,
    TaskTold,
    WorkerStarted,
)
from outlive.cli._demo.question import Question
from outlive.cli._demo.report import report_of
from outlive.cli._demo.retelling import Retelling
from outlive.cli._demo.web_server import Counts, SiteServer
from outlive.cli._demo.worker import Job
from outlive.cli._demo.worker_process import WorkerProcess
from outlive.cli._exit import FAILED, Wrong
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    LogReader,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunSuspended,
)

_SILENCE: Final = 60.0  # seconds without an event after which something is wrong
_ON_ITS_WAY: Final = 2.0  # seconds that an event which is in the log may take to us
_ENDS: Final = (RunCompleted, RunFailed, RunCancelled)
_PASSED: Final = (
    Recovered,
    TaskBegun,
    TaskTold,
    OutcomeHeard,
    AnswerGrew,
    AnswerVoid,
)
"""What is of no interest in a run that was left, and is gone on with."""


class Story:
    """One performance.

    Args:
        job: what the workers are to do.
        kills: how many of them to kill: see `Aim`.
        complaints: where the workers' stderr goes.
        tell: is given every moment as it comes.
        server: the site's, which counts; None if it is not ours.
        publish: whether the brief is to be published, if a person agrees.
        before: the last owner of the log that has worked on the run, if this is its rest.
        consent: asks the person at the terminal; None if there is nobody.
    """

    def __init__(
        self,
        job: Job,
        *,
        kills: int,
        complaints: IO[bytes],
        tell: Callable[[AnyMoment], None],
        server: SiteServer | None,
        publish: bool = False,
        before: int | None = None,
        consent: Callable[[], Awaitable[Said | None]] | None = None,
    ) -> None:
        self._job = job
        self._complaints = complaints
        self._tell = tell
        self._server = server
        self._publish = publish
        self._before = before
        self._began_s = time.monotonic()
        self._seen: list[Recorded] = []
        self._kills: list[Killed] = []
        self._fetched: list[Counts] = []  # at each kill
        self._planned = kills
        self._aim = Aim(kills, None if server is None else server.counts)
        self._workers: list[WorkerProcess] = []
        self._retelling = Retelling(max_pages=job.setting.max_pages)
        self._question = Question(job.run_id, Path(job.data), consent=consent)

    async def play(self) -> tuple[Report, Course]:
        """Let it happen, and return what came of it. No worker is left when this ends.

        Raises:
            Wrong: a worker could not work, or ended by itself.
            LogError: the log cannot be read.
        """
        try:
            worker = await self._start_worker()
            await worker.ready()
            async with Runtime(Path(self._job.data), role="visitor") as rt:
                async for recorded in self._followed(rt.log):
                    self._retell(recorded)
                    if self._aim.is_now(recorded, self._retelling, self._kills):
                        await self._kill(rt.log, recorded.epoch)
                    if isinstance(recorded.event, RunSuspended):
                        await self._workers[-1].ready()
                        self._question.put(rt, self._tell, at_ms=self._now_ms())
                    if isinstance(recorded.event, ApprovalGranted | ApprovalDenied):
                        self._question.withdraw()
                status = await self._workers[-1].finish()
                return self._report(rt.log, last_status=status)
        finally:
            self._question.withdraw()
            for worker in self._workers:
                await worker.end()

    def _retell(self, recorded: Recorded) -> None:
        """Tell of an event; of one from before this performance, only what came of it."""
        self._seen.append(recorded)
        for moment in self._retelling.take(
            recorded,
            at_ms=self._now_ms(),
            number=len(self._workers),
            pid=self._workers[-1].pid,
        ):
            if recorded.epoch > (self._before or 0) or not isinstance(moment, _PASSED):
                self._tell(moment)

    async def _start_worker(self) -> WorkerProcess:
        worker = await WorkerProcess.start(self._job, self._complaints)
        self._workers.append(worker)
        self._tell(WorkerStarted(at_ms=self._now_ms(), number=len(self._workers), pid=worker.pid))
        return worker

    async def _followed(self, log: LogReader) -> AsyncIterator[Recorded]:
        """Yield the events of the run and its tasks, until the last worker has ended.

        Raises Wrong when nobody is left to add to them, though the run is not over.
        """
        events = Upcoming(follow_family(log, self._job.run_id))
        try:
            while not isinstance((recorded := await self._next(events)).event, _ENDS):
                yield recorded
            yield recorded
            # A task learns after that that its run has heard of its end.
            await self._workers[-1].finish()
            for _ in range(len(read_family(log, self._job.run_id)) - len(self._seen)):
                if not await events.is_there(within=_ON_ITS_WAY):
                    return
                yield events.take()
        finally:
            await events.aclose()

    async def _next(self, events: Upcoming) -> Recorded:
        """Wait for the next event."""
        while True:
            worker, upcoming = self._workers[-1], events.awaited()
            await asyncio.wait(
                {upcoming, worker.ended, *self._question.asking},
                timeout=None if self._question.is_open else _SILENCE,
                return_when=asyncio.FIRST_COMPLETED,
            )
            self._question.look()
            if not upcoming.done() and not worker.ended.done() and self._question.is_open:
                continue
            if await events.is_there(within=_ON_ITS_WAY):
                return events.take()
            if worker.ended.done():
                await worker.ready()  # It may have said why.
                raise worker.gone()
            raise Wrong(f"nothing happened for {_SILENCE:.0f} s", code=FAILED)

    async def _kill(self, log: LogReader, owner: int) -> None:
        """Kill the worker, look what survived, and start the next one."""
        worker = self._workers[-1]
        signal = await worker.kill()
        if self._server is not None:
            self._fetched.append(await asyncio.to_thread(self._server.settled))
        killed = what_survived(
            read_family(log, self._job.run_id),
            self._job.run_id,
            total=self._retelling.total,
            at_ms=self._now_ms(),
            number=len(self._workers),
            pid=worker.pid,
            signal=signal,
            owner=owner,
        )
        self._kills.append(killed)
        self._tell(killed)
        await self._start_worker()

    def _report(self, log: LogReader, *, last_status: int) -> tuple[Report, Course]:
        course = course_of(read_family(log, self._job.run_id))
        report = report_of(
            course,
            at_ms=self._now_ms(),
            run_id=self._job.run_id,
            seen=self._seen,
            kills=self._kills,
            planned_kills=None if self._before is not None else self._planned,
            before=self._before or 0,
            last_status=last_status,
            next_pids=[worker.pid for worker in self._workers[1:]],
            fetches=None if self._server is None else [*self._fetched, self._server.counts()],
            asked=self._question.told,
            publish=self._publish,
        )
        self._tell(report)
        return report, course

    def _now_ms(self) -> int:
        return round((time.monotonic() - self._began_s) * 1_000)
