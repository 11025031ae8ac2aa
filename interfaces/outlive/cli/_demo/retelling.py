"""Events of the demo's run, told anew as moments."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from outlive.cli._demo.reading import RULES
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
    ToolTold,
)
from outlive.cli._demo.publishing import PUBLISH
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    CallId,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    Recorded,
    RunRecovered,
    ToolCallCompleted,
    ToolCallFailed,
    ToolProgressed,
    ToolStepCompleted,
)

BRIEF_STEP: Final = 1
"""The model's call in which it answers with the brief: the one before asks for the site."""


class Retelling:
    """Folds events into what the observer knows, and says what is worth telling.

    `pages` are the paths recorded so far, `total` is how many are known of. `deltas` counts
    the pieces of the brief, `answering_since_s` is when the first of them came.
    """

    def __init__(self, *, max_pages: int) -> None:
        self._max_pages: Final = max_pages
        self.pages: set[str] = set()
        self.total = 0
        self.deltas = 0
        self.answering_since_s = 0.0
        self._paths: set[str] = set()  # of pages, and what they link to
        self._characters = 0
        self._last_at_ns = 0
        self._tools: dict[CallId, str] = {}  # that were asked for, by call

    def take(self, recorded: Recorded, *, at_ms: int, number: int, pid: int) -> Iterator[AnyMoment]:
        """Take one event, in order, and yield the moments it makes.

        Args:
            recorded: the event.
            at_ms: how long the demo has lasted.
            number: of the worker that works now.
            pid: its process.
        """
        event, version = recorded.event, recorded.version
        match event:
            case ToolStepCompleted() if event.key != RULES:
                yield self._page(event, at_ms, version)
            case ToolProgressed():
                yield ToolTold(
                    at_ms=at_ms,
                    version=version,
                    done=int(event.done),
                    total=None if event.total is None else int(event.total),
                    note=event.note,
                )
            case ModelCallStarted() if event.step == BRIEF_STEP:
                yield AnswerBegun(at_ms=at_ms, version=version, attempt=event.attempt)
            case ModelDelta() if event.step == BRIEF_STEP:
                self.answering_since_s = self.answering_since_s or time.monotonic()
                self.deltas += 1
                self._characters += len(event.text)
                yield AnswerGrew(
                    at_ms=at_ms, version=version, attempt=event.attempt, text=event.text
                )
            case ModelAttemptAbandoned() if event.step == BRIEF_STEP:
                characters, self._characters = self._characters, 0
                self.deltas, self.answering_since_s = 0, 0.0
                yield AnswerVoid(
                    at_ms=at_ms, version=version, attempt=event.attempt, characters=characters
                )
            case ModelCallCompleted():
                self._tools |= {call.call_id: call.name for call in event.tool_calls}
                text = event.text
                if event.step == BRIEF_STEP:
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
            case RunRecovered():
                yield Recovered(
                    at_ms=at_ms,
                    version=version,
                    number=number,
                    pid=pid,
                    owner=event.epoch,
                    silent_ms=(recorded.recorded_at_ns - self._last_at_ns) // 1_000_000,
                    pages_kept=len(self.pages),
                )
            case ToolCallFailed() if event.error.kind != "denied":
                what = self._tools.get(event.call_id, "a tool")
                yield Failed(at_ms=at_ms, version=version, what=what, reason=event.error.message)
            case ModelCallFailed():
                yield Failed(at_ms=at_ms, version=version, what="model", reason=event.error.message)
            case _:
                pass
        self._last_at_ns = recorded.recorded_at_ns

    def _page(self, event: ToolStepCompleted, at_ms: int, version: int) -> PageRecorded:
        value = event.value if isinstance(event.value, dict) else {}
        links = value.get("links")
        self.pages.add(event.key)
        self._paths |= {event.key, *map(str, links if isinstance(links, list) else ())}
        self.total = min(len(self._paths), self._max_pages)
        return PageRecorded(
            at_ms=at_ms,
            version=version,
            path=event.key,
            title=str(value.get("title") or event.key),
            skipped=str(value.get("skipped") or ""),
            attempt=event.attempt,
            done=len(self.pages),
            total=self.total,
        )
