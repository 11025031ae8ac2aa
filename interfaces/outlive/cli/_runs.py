"""`outlive runs ...`: read-only, beside whatever process owns the log."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
from rich.table import Table
from rich.text import Text

from outlive.actors.run.begun import has_begun
from outlive.cli._answered import answered
from outlive.cli._asking import opened, require_begun
from outlive.cli._exit import FAILED, OK, complain
from outlive.cli._json import plain, print_json, recorded_object, utc
from outlive.cli._listing import how_long
from outlive.cli._pending_text import once_more, print_pending
from outlive.cli._render import event_line
from outlive.cli._text import console, counted, duration, printable, printable_lines, put
from outlive.cli._timeline import bars
from outlive.events import (
    Failure,
    LmdbReader,
    LogReader,
    ModelCallCompleted,
    RunStarted,
    SystemClock,
    Usage,
    Value,
    run_stream,
)
from outlive.projections import Pending, RunResult, observe_run, pending_of, read_run, run_result
from outlive.projections.tasks import pending_of_tasks
from outlive.projections.timeline import Span, Timeline, timeline

STATUS_STYLE = {
    "completed": "bold green",
    "running": "bold cyan",
    "waiting": "bold cyan",
    "failed": "bold red",
    "cancelled": "bold red",
}
_SAYS = {"cut_off": "in doubt", "in_doubt": "in doubt", "suspended": "asks", "open": "running"}
_PIPE_LINE = 200


class ToolCallFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call with all its attempts. `elapsed_ms` is their sum, up to the last event.

    That of a sub-agent has one, and is answered by run `run_id`; one in the background by task
    `task_id`, which has attempts of its own.
    """

    call_id: str
    name: str
    arguments: dict[str, Value]
    attempts: int
    outcome: str
    elapsed_ms: int
    steps: int
    error: Failure | None = None
    run_id: str | None = None
    task_id: str | None = None


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What `runs show` shows."""

    run_id: str
    status: str
    agent_id: str
    model: str
    input: str
    metadata: dict[str, Value]
    finish_reason: str
    error: Failure | None
    started_at_ns: int
    ended_at_ns: int | None
    elapsed_ms: int
    version: int
    steps: int
    model_attempts: int
    recoveries: int
    usage: Usage
    tool_calls: tuple[ToolCallFacts, ...]
    timeline: Timeline
    output: str
    pending: tuple[Pending, ...] = ()
    parent_id: str | None = None


def run_facts(log: LogReader, run_id: str) -> RunFacts:
    """Gather what is known of a run. Raises RunNotFound."""
    events = read_run(log, run_id)
    result: RunResult = run_result(log, run_id)
    line = timeline(events)
    begun = next((r.event for r in events if isinstance(r.event, RunStarted)), None)
    asked: dict[str, dict[str, Value]] = {
        call.call_id: call.arguments
        for recorded in events
        if isinstance(recorded.event, ModelCallCompleted)
        for call in recorded.event.tool_calls
    }
    models = [span for span in line.spans if span.kind == "model"]
    by_call: dict[str, list[Span]] = {}
    for span in line.spans:
        if span.kind != "model":
            by_call.setdefault(span.call_id, []).append(span)
    return RunFacts(
        run_id=run_id,
        status=result.status,
        agent_id=begun.agent_id if begun else "",
        model=models[-1].name if models else "",
        input=begun.input if begun else "",
        metadata=begun.metadata if begun else {},
        finish_reason=result.finish_reason,
        error=result.error,
        started_at_ns=line.started_at_ns,
        ended_at_ns=line.ended_at_ns,
        elapsed_ms=line.elapsed_ms,
        version=line.head,
        steps=result.steps,
        model_attempts=len(models),
        recoveries=len(line.recoveries),
        usage=result.usage,
        tool_calls=tuple(
            _tool_call(call_id, asked.get(call_id, {}), spans, line.last_at_ns)
            for call_id, spans in by_call.items()
        ),
        timeline=line,
        output=result.output,
        pending=(*pending_of(run_id, events), *pending_of_tasks(log, events)),
        parent_id=begun.parent.run_id if begun and begun.parent else None,
    )


def _tool_call(
    call_id: str, arguments: dict[str, Value], spans: list[Span], last_at_ns: int
) -> ToolCallFacts:
    ended = [span.ended_at_ns or last_at_ns for span in spans]
    elapsed_ns = sum(end - span.started_at_ns for end, span in zip(ended, spans, strict=True))
    return ToolCallFacts(
        call_id=call_id,
        name=spans[-1].name,
        arguments=arguments,
        attempts=len(spans),
        outcome=spans[-1].outcome,
        elapsed_ms=elapsed_ns // 1_000_000,
        steps=sum(len(span.steps) for span in spans),
        error=spans[-1].error,
        run_id=spans[-1].run_id or None,
        task_id=spans[-1].task_id or None,
    )


def show_run(data: Path, run_id: str, *, json: bool) -> int:
    """Print what a run came to so far. Raises RunNotFound, LogError."""
    with opened(data) as log:
        require_begun(log, run_stream(run_id), f"run {run_id!r}")
        facts = run_facts(log, run_id)
        said = answered(log, facts.pending)
    if json:
        print_json(plain(facts))
    else:
        _print_facts(facts, data, said)
    return OK


def _print_facts(facts: RunFacts, data: Path, said: set[int]) -> None:
    out = console()
    put(out, _head(facts))
    if facts.status == "quarantined":
        out.print(once_more("runs", facts.run_id, data), soft_wrap=True)
    if facts.pending:
        put(out, "\n[bold]Waits for a person[/]")
        print_pending(out, facts.pending, data, said=said)
    if facts.tool_calls:
        put(out, "\n[bold]Tool calls[/]", _tool_calls(facts))
    put(out, "\n[bold]Timeline[/]", bars(facts.timeline, out.width))
    if facts.output:
        put(out, "\n[bold]Output[/]")
        out.print(Text(printable_lines(facts.output)), soft_wrap=not out.is_terminal)


def _head(facts: RunFacts) -> Table:
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_column(style="dim", no_wrap=True)
    head.add_column(overflow="fold")
    status = Text(facts.status, style=STATUS_STYLE.get(facts.status, "bold yellow"))
    if facts.finish_reason not in ("", "stop"):
        status.append(f" ({printable(facts.finish_reason)})", style="default")
    head.add_row("run", Text(printable(facts.run_id), style="bold"))
    if facts.parent_id is not None:
        head.add_row("works for", Text(f"run {printable(facts.parent_id)}"))
    head.add_row("status", status)
    if facts.error is not None:
        reason = f"{facts.error.kind}: {facts.error.message}".rstrip(": ")
        head.add_row("reason", Text(printable(reason), style="red"))
    agent = f"{printable(facts.agent_id)}, model {printable(facts.model)}"
    head.add_row("agent", Text(agent))
    head.add_row("input", Text(printable(facts.input)))
    took = how_long(facts.timeline, SystemClock())
    head.add_row("started", f"{utc(facts.started_at_ns):%Y-%m-%d %H:%M:%S} UTC, {took}")
    head.add_row("events", f"{facts.version:,}")
    head.add_row(
        "model",
        f"{counted(facts.steps, 'answer')} in {counted(facts.model_attempts, 'attempt')}, "
        f"{facts.usage.input_tokens:,} tokens in, {facts.usage.output_tokens:,} out",
    )
    head.add_row("recovered", counted(facts.recoveries, "time"))
    return head


def _tool_calls(facts: RunFacts) -> Table:
    calls = Table.grid(padding=(0, 2, 0, 0))
    for call in facts.tool_calls:
        says = _SAYS.get(call.outcome, call.outcome)
        note = "" if call.error is None else f"{call.error.kind}: {call.error.message}"
        who = "" if call.run_id is None else f"run {printable(call.run_id)}"
        who = who if call.task_id is None else f"task {printable(call.task_id)}"
        calls.add_row(
            Text(printable(call.call_id), style="bold"),
            Text(printable(call.name, limit=30), style="cyan"),
            who or counted(call.attempts, "attempt"),
            "" if who else counted(call.steps, "step"),
            duration(call.elapsed_ms),
            Text(says, style="green" if says == "completed" else "yellow"),
            Text(printable(note, limit=80), style="red"),
        )
    return calls


def watch_run(data: Path, run_id: str, *, after: int, json: bool) -> int:
    """Print a run's events beyond `after`, then live, until it is over.

    Raises:
        RunNotFound, InvalidOffset, LogError: before anything was printed.
    """
    with opened(data) as log:
        entry = log.open_entry(run_stream(run_id))
        if entry is not None and entry.reason:
            complain(f"run {run_id!r} is {entry.status}: {entry.reason}")
        asyncio.run(_watch(log, run_id, after=after, json=json))
        failed = run_result(log, run_id).status in ("failed", "cancelled")
    return FAILED if failed else OK


async def _watch(log: LmdbReader, run_id: str, *, after: int, json: bool) -> None:
    out = console()
    width = out.width if out.is_terminal else _PIPE_LINE
    events = observe_run(log, run_id, after=after, begun=lambda stream: has_begun(log, stream))
    async for recorded in events:
        if json:
            print_json(recorded_object(recorded))
        else:
            out.print(event_line(recorded, width=width), soft_wrap=True)
            sys.stdout.flush()
