"""When the demo's workers are killed, and what was in flight then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from outlive.cli._demo.course import course_of
from outlive.cli._demo.moments import Killed
from outlive.cli._demo.reading import READ
from outlive.cli._demo.retelling import Retelling
from outlive.cli._demo.web_server import Counts
from outlive.cli._demo.words_for import named
from outlive.cli._text import counted
from outlive.events import (
    ModelDelta,
    Recorded,
    RunSuspended,
    TaskStepCompleted,
    ToolStepCompleted,
)
from outlive.projections import pending_of
from outlive.projections.timeline import Timeline

WHILE_READING: Final = 2
AT_WORK: Final = 3
"""Workers are killed while they work: two while tasks read, the next one as it answers. The one
after them is killed while the run waits for a person."""

_DELTAS: Final = 30  # pieces of the answer after which the worker is killed, or
_ANSWERING: Final = 1.0  # seconds of answering, if the pieces are few
_FEWEST_DELTAS: Final = 3


class Aim:
    """Says when to kill.

    Args:
        planned: how many kills are to be made, up to four.
        counts: what the server has counted; None if it is not ours.
    """

    def __init__(self, planned: int, counts: Callable[[], Counts] | None) -> None:
        self._planned = planned
        self._counts = counts

    def is_now(self, recorded: Recorded, known: Retelling, made: Sequence[Killed]) -> bool:
        """Whether the worker is to be killed now that it has recorded this."""
        if len(made) >= self._planned or (made and recorded.epoch <= made[-1].owner):
            return False  # The dead may have left more than was seen of them.
        match recorded.event:
            case ToolStepCompleted() | TaskStepCompleted() if len(made) < WHILE_READING:
                return self._in_the_reading(known, len(made))
            case ModelDelta() if len(made) < WHILE_READING:
                return True  # A site of few pages was read too fast.
            case ModelDelta() if len(made) < AT_WORK:
                if known.deltas >= _DELTAS:
                    return True
                answering_s = time.monotonic() - known.answering_since_s
                return known.deltas >= _FEWEST_DELTAS and answering_s >= _ANSWERING
            case RunSuspended():
                return len(made) == AT_WORK
            case _:
                return False

    def _in_the_reading(self, known: Retelling, made: int) -> bool:
        """After a third of the pages, and after two, or a bit later.

        That is when several tasks run and each of them rests after a page: what was being
        fetched would be fetched again. If this process learns of the pages too late to meet
        such an instant, there is a last chance.
        """
        done, parts = 12 * len(known.pages), known.total
        if done < 4 * (made + 1) * parts:
            return False
        if done >= (4 * made + 7) * parts:
            return True
        return len(known.tasks.running()) > 1 and self._are_resting(known)

    def _are_resting(self, known: Retelling) -> bool:
        if self._counts is None:
            return True
        counts = self._counts()
        return counts.in_flight == 0 and counts.started.keys() <= known.pages


def what_survived(
    events: Sequence[Recorded],
    run_id: str,
    *,
    total: int,
    at_ms: int,
    number: int,
    pid: int,
    signal: str,
    owner: int,
) -> Killed:
    """Return what is to be told of a kill.

    Args:
        events: those of the run and its tasks, read after the death. What was being written
            then may be missing: it is seen once the next process has opened the log.
        run_id: the run.
        total: pages that are known of.
        at_ms, number, pid, signal, owner: see `Killed`.
    """
    course = course_of(events)
    pages = len({page.key for page in course.pages})
    models = [span for span in course.line.spans if span.kind == "model"]
    asking = bool(pending_of(run_id, course.run))
    tasks = tuple(task.number for task in course.tasks if task.status == "running")
    says = _in_flight(course.line, tasks, f"{pages} of {total} pages recorded")
    return Killed(
        at_ms=at_ms,
        number=number,
        pid=pid,
        signal=signal,
        in_flight="nothing: the run waits for a person" if asking else says,
        version=course.line.head,
        pages=pages,
        characters=sum(span.characters for span in models if span.outcome == "open"),
        owner=owner,
        tasks=tasks,
        asking=asking,
    )


def _in_flight(line: Timeline, tasks: Sequence[int], pages: str) -> str:
    """Return what was under way when a worker died."""
    parts: list[str] = []
    if tasks:
        parts.append(f"{named(tasks)}, with {pages}")
    for span in line.spans:
        if span.outcome != "open" or span.kind not in ("model", "tool"):
            continue
        if span.kind == "tool" and span.name != READ:
            parts.append(f"tool {span.name}, {pages}")
        elif span.characters:
            parts.append(f"the answer, {counted(span.characters, 'character')} streamed")
        elif span.kind == "model":
            parts.append(f"model call {span.step}, nothing streamed yet")
    return "; ".join(parts) or "nothing"
