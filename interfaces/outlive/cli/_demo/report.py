"""What survived, counted from the log, the server and the observer; and what had to hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from outlive.cli._demo.reading import RULES
from outlive.cli._demo.moments import Asked, Check, Killed, KillFacts, Report
from outlive.cli._demo.report_consent import consent_checks
from outlive.cli._demo.retelling import BRIEF_STEP
from outlive.cli._demo.web_server import Counts
from outlive.cli._text import counted
from outlive.events import (
    ModelCallCompleted,
    Recorded,
    ToolCallCompleted,
    ToolCallFailed,
    ToolStepCompleted,
)
from outlive.projections import fold_run
from outlive.projections.timeline import Timeline

_CITED: Final = re.compile(r"(?<=\S) \[(\d+)\]")
_SOURCE: Final = re.compile(r"^(\d+)\. .*, (https?://\S+)$", re.MULTILINE)


def report_of(
    events: Sequence[Recorded],
    line: Timeline,
    *,
    at_ms: int,
    run_id: str,
    seen: Sequence[int],
    kills: Sequence[Killed],
    planned_kills: int | None,
    next_pids: Sequence[int],
    last_status: int,
    counts: Counts | None,
    asked: Asked | None = None,
    publish: bool = False,
) -> Report:
    """Return the report on a run.

    Args:
        events: all of the run, as the log has them in the end.
        line: their timeline.
        at_ms: how long the demo took.
        run_id: the run.
        seen: the versions that the observer was given, in that order.
        kills: those that were made, and how many were planned.
        planned_kills: see `kills`; None for the rest of a run that others have begun.
        next_pids: the process that followed on each kill.
        last_status: how the last process ended.
        counts: what the server counted; None if it was not ours.
        asked: what a person was asked last.
        publish: whether the brief was to be published.
    """
    state, _ = fold_run(recorded.event for recorded in events)
    steps = [r.event for r in events if isinstance(r.event, ToolStepCompleted)]
    pages = [step for step in steps if step.key != RULES]
    skipped = [step for step in pages if isinstance(step.value, dict) and step.value.get("skipped")]
    models = [span for span in line.spans if span.kind == "model"]
    tools = [span for span in line.spans if span.kind == "tool"]
    abandoned = sum(span.outcome == "cut_off" for span in models)
    checks = [
        *([] if planned_kills is None else [_killed(kills, planned_kills)]),
        _completed(state.status, [r.event for r in events]),
        _recorded_once(pages, served=counts is not None),
        *([] if counts is None else [_fetched_once(pages, counts, kills)]),
        _called_once(events, len(models), abandoned, len(tools)),
        *([] if planned_kills is None else [_recovered(line, kills)]),
        _seen_once(seen, events),
        _cited(_brief(events), pages),
        *(consent_checks(events, asked, kills) if publish else []),
        _ended(last_status),
    ]
    silent = [
        (recovery.recorded_at_ns - recovery.silent_since_ns) // 1_000_000
        for recovery in line.recoveries
    ]
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
                next_pid=next_pids[index] if index < len(next_pids) else None,
                silent_ms=silent[index] if index < len(silent) and not kill.asking else None,
            )
            for index, kill in enumerate(kills)
        ),
        pages=len(pages),
        pages_skipped=len(skipped),
        fetches=None if counts is None else counts.started,
        tool_attempts=len(tools),
        model_answers=state.step,
        model_attempts=len(models),
        model_abandoned=abandoned,
        input_tokens=state.usage.input_tokens,
        output_tokens=state.usage.output_tokens,
        recoveries=len(line.recoveries),
        versions=len(events),
        elapsed_ms=line.elapsed_ms,
    )


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
        if isinstance(e, ToolCallFailed) and e.retry_at_ns is None and e.error.kind != "denied"
    ]
    if failed:
        return Check(name="completed", holds=False, says=failed[0].error.message)
    return Check(name="completed", holds=status == "completed", says=f"the run {status}")


def _recorded_once(pages: Sequence[ToolStepCompleted], *, served: bool) -> Check:
    times = Counter(page.key for page in pages)
    again = sorted(path for path, count in times.items() if count > 1)
    says = f"{counted(len(times), 'page')}, each recorded once in the log"
    if not served:
        says += "; nobody counted fetches, the site is not served by the demo"
    if again:
        says = f"recorded more than once: {', '.join(again)}"
    return Check(name="recorded once", holds=bool(times) and not again, says=says)


def _fetched_once(
    pages: Sequence[ToolStepCompleted], counts: Counts, kills: Sequence[Killed]
) -> Check:
    """What is recorded is never fetched again. What a kill cut off before that has to be."""
    cut_off = Counter(path for kill in kills for path in kill.fetched_unrecorded)
    times = {page.key: counts.started.get(page.key, 0) for page in pages}
    holds = bool(times) and all(times[path] == 1 + cut_off[path] for path in times)
    again = [f"{path} {count} times" for path, count in sorted(times.items()) if count != 1]
    says = f"{counted(len(times), 'page')}, each fetched once, as the web server counted"
    if again:
        says = f"{counted(len(times), 'page')}, fetched once but for {', '.join(again)}"
        says += ", which a kill cut off before it was recorded" if holds else ""
    return Check(name="fetched once", holds=holds, says=says)


def _called_once(events: Sequence[Recorded], models: int, abandoned: int, tools: int) -> Check:
    answers = Counter(r.event.step for r in events if isinstance(r.event, ModelCallCompleted))
    results = Counter(r.event.call_id for r in events if isinstance(r.event, ToolCallCompleted))
    once = set(answers.values()) <= {1} and set(results.values()) <= {1}
    says = (
        f"{counted(len(answers), 'model answer')} in {counted(models, 'attempt')} "
        f"({abandoned} abandoned), {counted(len(results), 'tool result')} in "
        f"{counted(tools, 'attempt')}, none recorded twice"
    )
    return Check(name="one result a call", holds=once and bool(answers), says=says)


def _recovered(line: Timeline, kills: Sequence[Killed]) -> Check:
    """Who waits for a person has nothing in flight: that kill is none to recover from."""
    at_work = sum(not kill.asking for kill in kills)
    owners = [recovery.epoch for recovery in line.recoveries]
    in_order = owners == sorted(set(owners))
    while_it_worked = "" if at_work == len(kills) else " while it worked"
    says = f"{counted(len(owners), 'recovery', 'recoveries')} for {counted(at_work, 'kill')}"
    says += while_it_worked
    return Check(name="recovered", holds=len(owners) == at_work and in_order, says=says)


def _seen_once(seen: Sequence[int], events: Sequence[Recorded]) -> Check:
    wanted = [recorded.version for recorded in events]
    holds = list(seen) == wanted == list(range(1, len(wanted) + 1))
    says = f"this terminal saw versions 1 to {len(wanted)} of the run, each once, in order"
    if not holds:
        says = f"the log has versions 1 to {len(wanted)}, this terminal saw {list(seen)}"
    return Check(name="seen once", holds=holds, says=says)


def _brief(events: Sequence[Recorded]) -> str:
    answers = [r.event for r in events if isinstance(r.event, ModelCallCompleted)]
    return next((answer.text for answer in answers if answer.step == BRIEF_STEP), "")


def _cited(output: str, pages: Sequence[ToolStepCompleted]) -> Check:
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
