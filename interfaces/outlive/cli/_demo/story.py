"""The demo's course: a worker works, this process looks on, and kills it at two moments.

All that is known of the run comes from its log, read beside whoever owns it: `observe` follows
it through every death, and is asked in the end whether it has seen each event once. Where the
brief is to be published, a third worker is killed while the run waits for consent. The question
is then read from the log, by this process, and whoever answers it does so through the inbox.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO, Final

from outlive.actors import Runtime
from outlive.cli._demo.reading import RULES
from outlive.cli._demo.asking import Said
from outlive.cli._demo.moments import (
    AnswerGrew,
    AnswerVoid,
    AnyMoment,
    Killed,
    Recovered,
    Report,
    WorkerStarted,
)
from outlive.cli._demo.question import Question
from outlive.cli._demo.report import report_of
from outlive.cli._demo.retelling import Retelling
from outlive.cli._demo.web_server import Counts
from outlive.cli._demo.worker import Job
from outlive.cli._demo.worker_process import WorkerProcess
from outlive.cli._exit import FAILED, Wrong
from outlive.cli._text import counted
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    LogReader,
    ModelDelta,
    Recorded,
    RunSuspended,
    ToolStepCompleted,
    run_stream,
)
from outlive.projections import pending_of, read_run
from outlive.projections.timeline import Timeline, timeline

_AT_WORK: Final = 2  # workers are killed while they work: one reads, the next one answers
_SILENCE: Final = 60.0  # seconds without an event after which something is wrong
_DELTAS: Final = 30  # pieces of the answer after which the worker is killed, or
_ANSWERING: Final = 1.0  # seconds of answering, if the pieces are few
_FEWEST_DELTAS: Final = 3


class Story:
    """One performance.

    Args:
        job: what the workers are to do.
        kills: how many of them to kill: two while they work, a third while the run asks.
        complaints: where the workers' stderr goes.
        tell: is given every moment as it comes.
        counts: what the server has counted; None if the site is not ours.
        publish: whether the brief is to be published, if a person agrees.
        goes_on: whether this is the rest of a run that was left before.
        consent: asks the person at the terminal; None if there is nobody.
    """

    def __init__(
        self,
        job: Job,
        *,
        kills: int,
        complaints: IO[bytes],
        tell: Callable[[AnyMoment], None],
        counts: Callable[[], Counts] | None,
        publish: bool = False,
        goes_on: bool = False,
        consent: Callable[[], Awaitable[Said | None]] | None = None,
    ) -> None:
        self._job = job
        self._complaints = complaints
        self._tell = tell
        self._counts = counts
        self._publish = publish
        self._goes_on = goes_on
        self._began_s = time.monotonic()
        self._seen: list[int] = []
        self._kills: list[Killed] = []
        self._planned = kills
        self._workers: list[WorkerProcess] = []
        self._retelling = Retelling(max_pages=job.max_pages)
        self._question = Question(job.run_id, Path(job.data), consent=consent)

    async def play(self) -> tuple[Report, Timeline]:
        """Let it happen, and return what came of it. No worker is left when this ends.

        Raises:
            Wrong: a worker could not work, or ended by itself.
            LogError: the log cannot be read.
        """
        try:
            worker = await self._start_worker()
            await worker.ready()
            async with Runtime(Path(self._job.data), role="visitor") as rt:
                before = rt.log.version(run_stream(self._job.run_id)) if self._goes_on else 0
                async for recorded in self._followed(rt):
                    self._retell(recorded, before=before)
                    if self._is_time_to_kill(recorded):
                        await self._kill(rt.log)
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

    def _retell(self, recorded: Recorded, *, before: int) -> None:
        """Tell of an event; of one that is from `before` this performance, only what came of it."""
        self._seen.append(recorded.version)
        for moment in self._retelling.take(
            recorded,
            at_ms=self._now_ms(),
            number=len(self._workers),
            pid=self._workers[-1].pid,
        ):
            passed = isinstance(moment, Recovered | AnswerGrew | AnswerVoid)
            if recorded.version > before or not passed:
                self._tell(moment)

    async def _start_worker(self) -> WorkerProcess:
        worker = await WorkerProcess.start(self._job, self._complaints)
        self._workers.append(worker)
        self._tell(WorkerStarted(at_ms=self._now_ms(), number=len(self._workers), pid=worker.pid))
        return worker

    async def _followed(self, rt: Runtime) -> AsyncIterator[Recorded]:
        """Yield the run's events. Raises Wrong when nobody is left to add to them."""
        events = rt.observe(self._job.run_id)
        upcoming = asyncio.ensure_future(_next(events))
        try:
            while True:
                worker = self._workers[-1]
                await asyncio.wait(
                    {upcoming, worker.ended, *self._question.asking},
                    timeout=None if self._question.is_open else _SILENCE,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                self._question.look()
                if not upcoming.done() and not worker.ended.done() and self._question.is_open:
                    continue
                if not upcoming.done():
                    # What it has written last may still be on its way to us.
                    await asyncio.wait({upcoming}, timeout=2.0)
                if not upcoming.done() and worker.ended.done():
                    await worker.ready()  # It may have said why.
                    raise worker.gone()
                if not upcoming.done():
                    raise Wrong(f"nothing happened for {_SILENCE:.0f} s", code=FAILED)
                recorded = upcoming.result()
                if recorded is None:
                    return
                yield recorded
                upcoming = asyncio.ensure_future(_next(events))
        finally:
            upcoming.cancel()

    def _is_time_to_kill(self, recorded: Recorded) -> bool:
        known = self._retelling
        match recorded.event:
            case ToolStepCompleted() if self._planned and not self._kills:
                if 2 * len(known.pages) < known.total:
                    return False
                # In the pause after a page nothing is being fetched. If this process learnt of
                # the page too late for that, it aims at the next pause, up to a last chance.
                return self._is_resting() or 4 * len(known.pages) >= 3 * known.total
            case ModelDelta() if len(self._kills) < min(self._planned, _AT_WORK):
                if known.deltas >= _DELTAS:
                    return True
                answering_s = time.monotonic() - known.answering_since_s
                return known.deltas >= _FEWEST_DELTAS and answering_s >= _ANSWERING
            case RunSuspended():
                return self._planned > _AT_WORK and not any(kill.asking for kill in self._kills)
            case _:
                return False

    def _is_resting(self) -> bool:
        if self._counts is None:
            return True
        counts = self._counts()
        return counts.in_flight == 0 and counts.started.keys() <= self._retelling.pages

    async def _kill(self, log: LogReader) -> None:
        """Kill the worker, look what survived, and start the next one."""
        worker = self._workers[-1]
        signal = await worker.kill()
        events = read_run(log, self._job.run_id)
        line = timeline(events)
        recorded = {
            r.event.key
            for r in events
            if isinstance(r.event, ToolStepCompleted) and r.event.key != RULES
        }
        fetched = set[str]() if self._counts is None else self._counts().started.keys()
        unrecorded = tuple(sorted(fetched - recorded))
        answering = [span for span in line.spans if span.kind == "model" and span.outcome == "open"]
        asking = bool(pending_of(self._job.run_id, events))
        killed = Killed(
            at_ms=self._now_ms(),
            number=len(self._workers),
            pid=worker.pid,
            signal=signal,
            in_flight="nothing: the run waits for a person"
            if asking
            else _in_flight(line, len(recorded), self._retelling.total, unrecorded),
            version=line.head,
            pages=len(recorded),
            characters=sum(span.characters for span in answering),
            fetched_unrecorded=unrecorded,
            asking=asking,
        )
        self._kills.append(killed)
        self._tell(killed)
        await self._start_worker()

    def _report(self, log: LogReader, *, last_status: int) -> tuple[Report, Timeline]:
        events = read_run(log, self._job.run_id)
        line = timeline(events)
        report = report_of(
            events,
            line,
            at_ms=self._now_ms(),
            run_id=self._job.run_id,
            seen=self._seen,
            kills=self._kills,
            planned_kills=None if self._goes_on else self._planned,
            last_status=last_status,
            next_pids=[worker.pid for worker in self._workers[1:]],
            counts=None if self._counts is None else self._counts(),
            asked=self._question.told,
            publish=self._publish,
        )
        self._tell(report)
        return report, line

    def _now_ms(self) -> int:
        return round((time.monotonic() - self._began_s) * 1_000)


def _in_flight(line: Timeline, pages: int, total: int, fetched: Sequence[str]) -> str:
    """Return what was under way when a worker died, from the log and the server's counts."""
    parts: list[str] = []
    for span in line.spans:
        if span.outcome != "open":
            continue
        if span.kind == "tool":
            lost = f", {', '.join(fetched)} fetched and not recorded" if fetched else ""
            parts.append(f"tool {span.name}, {pages} of {total} pages recorded{lost}")
        elif span.characters:
            parts.append(f"the answer, {counted(span.characters, 'character')} streamed")
        else:
            parts.append(f"model call {span.step}, nothing streamed yet")
    return "; ".join(parts) or "nothing"


async def _next(events: AsyncIterator[Recorded]) -> Recorded | None:
    return await anext(events, None)
