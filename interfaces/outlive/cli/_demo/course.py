"""What the log says of the demo's course: the run on its time axis, its tasks, its recoveries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from outlive.cli._demo.reading import RULES
from outlive.cli._demo.tasks import Task, Tasks
from outlive.events import (
    Recorded,
    RunRecovered,
    StreamId,
    TaskRecovered,
    TaskStepCompleted,
    ToolStepCompleted,
    task_stream,
)
from outlive.projections.timeline import Timeline, timeline

Page: TypeAlias = ToolStepCompleted | TaskStepCompleted


class TakenUp(NamedTuple):
    """A process took the work up, some time after the last event of the one before."""

    owner: int
    silent_ms: int


class Course(NamedTuple):
    """A run and its tasks. `events` are those of all, in the order of the log, `run` the run's.

    `lines` are the timelines of the tasks, with a span for each attempt.
    """

    events: Sequence[Recorded]
    run: Sequence[Recorded]
    line: Timeline
    tasks: Sequence[Task]
    lines: Sequence[Timeline]
    taken_up: Sequence[TakenUp]

    @property
    def pages(self) -> list[Page]:
        """The pages that were recorded, in order, repeats included."""
        return [page for page, _ in self._pages()]

    @property
    def recorded_by(self) -> dict[str, int]:
        """The owner of the log that has recorded each page first, by path."""
        found: dict[str, int] = {}
        for page, owner in self._pages():
            found.setdefault(page.key, owner)
        return found

    def _pages(self) -> Iterator[tuple[Page, int]]:
        for recorded in self.events:
            step = recorded.event
            if isinstance(step, ToolStepCompleted | TaskStepCompleted) and step.key != RULES:
                yield step, recorded.epoch


def course_of(events: Sequence[Recorded]) -> Course:
    """Fold the events of a run and its tasks, in the order of the log. Pure."""
    tasks = Tasks(events)
    run = [recorded for recorded in events if recorded.stream not in tasks]
    of_task: dict[StreamId, list[Recorded]] = {task_stream(t.task_id): [] for t in tasks.all()}
    for recorded in events:
        if recorded.stream in of_task:
            of_task[recorded.stream].append(recorded)
    lines = [timeline(recorded) for recorded in of_task.values()]
    return Course(events, run, timeline(run), tasks.all(), lines, _taken_up(events))


def _taken_up(events: Sequence[Recorded]) -> list[TakenUp]:
    """Return who took the work up, once each: the first of its events about that."""
    found: list[TakenUp] = []
    for before, recorded in pairwise(events):
        match recorded.event:
            case RunRecovered(epoch=owner) | TaskRecovered(epoch=owner):
                if not found or found[-1].owner != owner:
                    silent_ns = recorded.recorded_at_ns - before.recorded_at_ns
                    found.append(TakenUp(owner, silent_ns // 1_000_000))
            case _:
                pass
    return found
