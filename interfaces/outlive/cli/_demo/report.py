"""What survived, counted from the log, the server and the observer; and what had to hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import Final, TypeAlias

from outlive.cli._demo.course import Course
from outlive.cli._demo.facts import Check, KillFacts, TaskFacts
from outlive.cli._demo.moments import Asked, Killed, Report
from outlive.cli._demo.report_consent import consent_checks
from outlive.cli._demo.report_fetches import fetched_again, fetched_once
from outlive.cli._demo.report_tasks import task_checks
from outlive.cli._demo.web_server import Counts
from outlive.cli._text import counted
from outlive.events import (
    ModelCallCompleted,
    Recorded,
    TaskStepCompleted,
    ToolCallCompleted,
    ToolCallFailed,
    ToolStepCompleted,
)
from outlive.projections import fold_run

_CITED: Final = re.compile(r"(?<=\S) \[(\d+)\]")
_Step: TypeAlias = ToolStepCompleted | TaskStepCompleted
_SOURCE: Final = re.compile(r"^(\d+)\. .*, (https?://\S+)$", re.MULTILINE)


def report_of(
    course: Course,
    *,
    at_ms: int,
    run_id: str,
    seen: Sequence[Recorded],
    kills: Sequence[Killed],
    planned_kills: int | None,
    next_pids: Sequence[int],
    last_status: int,
    fetches: Sequence[Counts] | None,
    before: int = 0,
    asked: Asked | None = None,
    publish: bool = False,
) -> Report:
    """Return the report on a run.

    Args:
        course: all of the run and its tasks, as the log has it in the end.
        at_ms: how long the demo took.
        run_id: the run.
        seen: the events that the observer was given, in that order.
        kills: those that were made, and how many were planned.
        planned_kills: see `kills`; None for the rest of a run that others have begun.
        next_pids: the process that followed on each kill.
        last_status: how the last process ended.
        fetches: what the server had counted at each kill, and in the end; None if it was not
            ours.
        before: the last owner of the log that has worked on the run before this performance.
        asked: what a person was asked last.
        publish: whether the brief was to be published.
    """
    events, pages = course.run, course.pages
    state, _ = fold_run(recorded.event for recorded in events)
    skipped = [step for step in pages if isinstance(step.value, dict) and step.value.get("skipped")]
    models = [span for span in course.line.spans if span.kind == "model"]
    tools = [span for span in course.line.spans if span.kind == "tool"]
    abandoned = sum(span.outcome == "cut_off" for span in models)
    again = fetched_again(course, kills, fetches)
    checks = [
        *([] if planned_kills is None else [_killed(kills, planned_kills)]),
        _completed(state.status, [r.event for r in events]),
        *task_checks(course),
        _recorded_once(pages, served=fetches is not None),
        *([] if fetches is None else [fetched_once(course, again, fetches[-1], before=before)]),
        _called_once(events, len(models), abandoned),
        *([] if planned_kills is None else [_recovered(course, kills)]),
        _seen_once(seen, course),
        _cited(_brief(events), pages),
        *(consent_checks(events, asked, kills) if publish else []),
        _ended(last_status),
    ]
    silent = [taken.silent_ms for taken in course.taken_up]
    return Report(
        at_ms=at_ms,
        run_id=run_id,
        ok=all(check.holds for check in checks),
        status=state.status,
        checks=tuple(checks),
        kills=tuple(
            KillFacts(
                pid=kill.pid,
                signal=kill.signal,
                in_flight=kill.in_flight,
                tasks=kill.tasks,
                fetched_again=again[index],
                next_pid=next_pids[index] if index < len(next_pids) else None,
                silent_ms=silent[index] if index < len(silent) and not kill.asking else None,
            )
            for index, kill in enumerate(kills)
        ),
        pages=len(pages),
        pages_skipped=len(skipped),
        fetches=None if fetches is None else fetches[-1].started,
        tasks=tuple(
            TaskFacts(
                number=task.number,
                task_id=task.task_id,
                status=task.status,
                pages=len(task.recorded),
                attempts=len(line.spans),
            )
            for task, line in zip(course.tasks, course.lines, strict=True)
        ),
        tool_attempts=len(tools),
        model_answers=state.step,
        model_attempts=len(models),
        model_abandoned=abandoned,
        input_tokens=state.usage.input_tokens,
        output_tokens=state.usage.output_tokens,
        recoveries=len(course.taken_up),
        events=len(course.events),
        elapsed_ms=course.line.elapsed_ms,
    )


_SAID_NO: Final = ("denied", "cancelled")
"""The kinds of errors that a person has wanted."""


def _killed(kills: Sequence[Killed], planned: int) -> Check:
    if not planned:
        return Check(name="kills", holds=not kills, says="nobody was killed, as asked for")
    by_signal = sum(kill.signal == "SIGKILL" for kill in kills)
    pids = ", ".join(str(kill.pid) for kill in kills)
    says = f"{by_signal} of {planned} kills made" + (f": SIGKILL to {pids}" if pids else "")
    return Check(name="kills", holds=by_signal == len(kills) == planned, says=says)


def _completed(status: str, events: Sequence[object]) -> Check:
    failed = [
        e
        for e in events
        if isinstance(e, ToolCallFailed) and e.retry_at_ns is None and e.error.kind not in _SAID_NO
    ]
    if failed:
        return Check(name="completed", holds=False, says=failed[0].error.message)
    return Check(name="completed", holds=status == "completed", says=f"the run {status}")


def _recorded_once(pages: Sequence[_Step], *, served: bool) -> Check:
    times = Counter(page.key for page in pages)
    again = sorted(path for path, count in times.items() if count > 1)
    says = f"{counted(len(times), 'page')}, each recorded once in the log"
    if not served:
        says += "; nobody counted fetches, the site is not served by the demo"
    if again:
        says = f"recorded more than once: {', '.join(again)}"
    return Check(name="recorded once", holds=bool(times) and not again, says=says)


def _called_once(events: Sequence[Recorded], models: int, abandoned: int) -> Check:
    answers = Counter(r.event.step for r in events if isinstance(r.event, ModelCallCompleted))
    results = Counter(r.event.call_id for r in events if isinstance(r.event, ToolCallCompleted))
    once = set(answers.values()) <= {1} and set(results.values()) <= {1}
    says = (
        f"{counted(len(answers), 'model answer')} in {counted(models, 'attempt')} "
        f"({abandoned} abandoned), {counted(len(results), 'tool result')}, none recorded twice"
    )
    return Check(name="one result a call", holds=once and bool(answers), says=says)


def _recovered(course: Course, kills: Sequence[Killed]) -> Check:
    """Who waits for a person has nothing in flight: that kill is none to recover from."""
    at_work = sum(not kill.asking for kill in kills)
    owners = [taken.owner for taken in course.taken_up]
    in_order = owners == sorted(set(owners))
    while_it_worked = "" if at_work == len(kills) else " while it worked"
    says = f"{counted(len(owners), 'recovery', 'recoveries')} for {counted(at_work, 'kill')}"
    says += while_it_worked
    return Check(name="recovered", holds=len(owners) == at_work and in_order, says=says)


def _seen_once(seen: Sequence[Recorded], course: Course) -> Check:
    wanted = [(recorded.stream, recorded.version) for recorded in course.events]
    shown = [(recorded.stream, recorded.version) for recorded in seen]
    tasks = f" and its {counted(len(course.tasks), 'task')}" if course.tasks else ""
    says = f"this terminal saw all {len(wanted)} events of the run{tasks}, each once, in order"
    if shown != wanted:
        pairs = zip(shown, wanted, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        says = (
            f"the log has {len(wanted)} events of the run{tasks}, this terminal saw {len(shown)}; "
            f"the first {same} are the same"
        )
    return Check(name="seen once", holds=shown == wanted and _no_gaps(wanted), says=says)


def _no_gaps(events: Sequence[tuple[str, int]]) -> bool:
    """Whether each stream has the versions from 1 on, in order."""
    last: Counter[str] = Counter()
    for stream, version in events:
        last[stream] += 1
        if version != last[stream]:
            return False
    return True


def _brief(events: Sequence[Recorded]) -> str:
    """Return the model's first answer that is a text."""
    answers = [r.event for r in events if isinstance(r.event, ModelCallCompleted)]
    return next((answer.text for answer in answers if answer.text), "")


def _cited(output: str, pages: Sequence[_Step]) -> Check:
    text, _, _ = output.partition("\n## Sources\n")
    numbers = {int(number) for number in _CITED.findall(text)}
    sources = {int(number): url for number, url in _SOURCE.findall(output)}
    read = {
        str(page.value.get("url"))
        for page in pages
        if isinstance(page.value, dict) and not page.value.get("skipped")
    }
    holds = numbers == sources.keys() and set(sources.values()) <= read
    says = f"{counted(len(sources), 'source')} cited, each of them a page that was read"
    if not sources:
        says = "nothing is cited"
    if not holds:
        says = "the brief cites what was not read, or lists what it does not cite"
    return Check(name="cited", holds=holds, says=says)


def _ended(status: int) -> Check:
    says = "the last worker ended by itself, in good order"
    if status:
        says = f"the last worker ended with status {status}"
    return Check(name="ended", holds=status == 0, says=says)
