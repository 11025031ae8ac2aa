"""Events of the demo's run and its tasks, told anew as moments."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from outlive.cli._demo.moments import (
    AnswerBegun,
    Answered,
    AnswerGrew,
    AnswerVoid,
    AnyMoment,
    Concluded,
    Decided,
    Failed,
    PageRecorded,
    Published,
    Recovered,
)
from outlive.cli._demo.publishing import PUBLISH
from outlive.cli._demo.reading import RULES
from outlive.cli._demo.retelling_tasks import task_moments
from outlive.cli._demo.tasks import Tasks
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    CallId,
    Event,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    Recorded,
    RunRecovered,
    TaskRecovered,
    TaskStepCompleted,
    ToolCallCompleted,
    ToolCallFailed,
    ToolStepCompleted,
)


class Retelling:
    """Folds events into what the observer knows, and says what is worth telling.

    `pages` are the paths recorded so far, `total` is how many are known of, `tasks` what became
    of the tasks. `deltas` counts the pieces of the brief, `answering_since_s` is when the first
    of them came.
    """

    def __init__(self, *, max_pages: int) -> None:
        self._max_pages: Final = max_pages
        self.pages: set[str] = set()
        self.total = 0
        self.tasks = Tasks()
        self.deltas = 0
        self.answering_since_s = 0.0
        self._paths: set[str] = set()  # of pages, and what they link to
        self._brief_step: int | None = None  # the first of the model's answers that has a text
        self._characters = 0
        self._last_at_ns = 0
        self._owner = 0  # the last one that has taken something up
        self._tools: dict[CallId, str] = {}  # that were asked for, by call

    def take(self, recorded: Recorded, *, at_ms: int, number: int, pid: int) -> Iterator[AnyMoment]:
        """Take one event, in the order of the log, and yield the moments it makes.

        Args:
            recorded: the event.
            at_ms: how long the demo has lasted.
            number: of the worker that works now.
            pid: its process.
        """
        running = tuple(task.number for task in self.tasks.running())
        task = self.tasks.take(recorded)
        match recorded.event:
            case RunRecovered(epoch=owner) | TaskRecovered(epoch=owner) if owner != self._owner:
                self._owner = owner
                yield Recovered(
                    at_ms=at_ms,
                    version=recorded.version,
                    number=number,
                    pid=pid,
                    owner=owner,
                    silent_ms=(recorded.recorded_at_ns - self._last_at_ns) // 1_000_000,
                    pages_kept=len(self.pages),
                    tasks=running,
                )
            case ToolStepCompleted() | TaskStepCompleted() as step:
                if step.key != RULES:
                    by = 0 if task is None else task.number
                    yield self._page(step, recorded.version, at_ms=at_ms, task=by)
            case _ if task is not None:
                yield from task_moments(task, recorded, at_ms=at_ms)
            case _:
                yield from self._of_run(recorded.event, recorded.version, at_ms)
        self._last_at_ns = recorded.recorded_at_ns

    def _page(
        self, step: ToolStepCompleted | TaskStepCompleted, version: int, *, at_ms: int, task: int
    ) -> PageRecorded:
        page = step.value if isinstance(step.value, dict) else {}
        links = page.get("links")
        self.pages.add(step.key)
        self._paths |= {step.key, *map(str, links if isinstance(links, list) else ())}
        self.total = min(len(self._paths), self._max_pages)
        return PageRecorded(
            at_ms=at_ms,
            version=version,
            task=task,
            path=step.key,
            title=str(page.get("title") or step.key),
            skipped=str(page.get("skipped") or ""),
            attempt=step.attempt,
            done=len(self.pages),
            total=self.total,
        )

    def _of_run(self, event: Event, version: int, at_ms: int) -> Iterator[AnyMoment]:
        match event:
            case ModelCallStarted() if event.step == self._brief_step:
                yield AnswerBegun(at_ms=at_ms, version=version, attempt=event.attempt)
            case ModelDelta() if self._brief_step in (None, event.step):
                yield from self._brief_begins(event.step, event.attempt, version, at_ms)
                self.answering_since_s = self.answering_since_s or time.monotonic()
                self.deltas += 1
                self._characters += len(event.text)
                yield AnswerGrew(
                    at_ms=at_ms, version=version, attempt=event.attempt, text=event.text
                )
            case ModelAttemptAbandoned() if event.step == self._brief_step:
                characters, self._characters = self._characters, 0
                self.deltas, self.answering_since_s = 0, 0.0
                yield AnswerVoid(
                    at_ms=at_ms, version=version, attempt=event.attempt, characters=characters
                )
            case ModelCallCompleted():
                self._tools |= {call.call_id: call.name for call in event.tool_calls}
                text = event.text
                if text:
                    yield from self._brief_begins(event.step, event.attempt, version, at_ms)
                if event.step == self._brief_step:
                    yield Answered(at_ms=at_ms, version=version, attempt=event.attempt, text=text)
                elif text:
                    yield Concluded(at_ms=at_ms, version=version, text=text)
            case ApprovalGranted():
                yield Decided(
                    at_ms=at_ms,
                    version=version,
                    granted=True,
                    by=event.by,
                    note=event.note,
                    arguments=event.arguments,
                )
            case ApprovalDenied():
                yield Decided(
                    at_ms=at_ms, version=version, granted=False, by=event.by, note=event.reason
                )
            case ToolCallCompleted() if self._tools.get(event.call_id) == PUBLISH:
                yield Published(at_ms=at_ms, version=version, path=str(event.result))
            case ToolCallFailed() if event.error.kind != "denied":
                what = self._tools.get(event.call_id, "a tool")
                yield Failed(at_ms=at_ms, version=version, what=what, reason=event.error.message)
            case ModelCallFailed():
                yield Failed(at_ms=at_ms, version=version, what="model", reason=event.error.message)
            case _:
                pass

    def _brief_begins(
        self, step: int, attempt: int, version: int, at_ms: int
    ) -> Iterator[AnswerBegun]:
        if self._brief_step is None:
            self._brief_step = step
            yield AnswerBegun(at_ms=at_ms, version=version, attempt=attempt)
