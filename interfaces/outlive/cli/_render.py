"""Events as lines that a person reads."""

from __future__ import annotations

from typing import Final

import msgspec
from rich.text import Text

from outlive.cli._json import plain, utc
from outlive.cli._text import counted, duration, printable
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    BackgroundResultReceived,
    ChildRunEnded,
    ChildRunStarted,
    Event,
    MessageDelivered,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    OutputRejected,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRecovered,
    RunResumed,
    RunStarted,
    RunSuspended,
    RunWaiting,
    TaskRequested,
    TextPart,
    ToolCallCompleted,
    ToolCallDeferred,
    ToolCallFailed,
    ToolCallInDoubt,
    ToolCallResolved,
    ToolCallStarted,
    ToolCallSuspended,
    ToolProgressed,
    ToolResultIgnored,
    ToolStepCompleted,
    Value,
)

_RESOLVED: Final = {
    "completed": "it was done",
    "failed": "it was not done",
    "retry": "to be called again",
}


def event_line(recorded: Recorded, *, width: int) -> Text:
    """Return version, time (UTC), kind and what matters of an event, in `width` columns."""
    event = recorded.event
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{recorded.version:>5}  ", style="bold")
    line.append(f"{recorded.recorded_at:%H:%M:%S.%f}"[:-3] + "Z  ", style="dim")
    line.append(f"{_kind(event):<23}  ", style=_style(event))
    line.append(says(event))
    line.truncate(width, overflow="ellipsis")
    return line


def says(event: Event) -> str:
    """Return what matters of an event, in one line of any length."""
    match event:
        case RunStarted():
            files = sum(not isinstance(part, TextPart) for part in event.parts)
            attached = f"  ({counted(files, 'file')} attached)" if files else ""
            parent = "" if event.parent is None else f"  (for run {printable(event.parent.run_id)})"
            return f"{printable(event.agent_id)}: {printable(event.input)}{attached}{parent}"
        case RunRecovered():
            end = "a clean end" if event.clean else "an unclean end"
            return f"by owner {event.epoch}, after {end} of the one before"
        case ModelCallStarted():
            heard = counted(event.messages, "message")
            return f"step {event.step} #{event.attempt}  {printable(event.model)}, {heard}"
        case ModelDelta():
            text = printable(event.text)
            thought = "  (reasoning)" if event.kind == "reasoning" else ""
            return f"step {event.step} #{event.attempt}  {text}{thought}"
        case ModelCallCompleted():
            return f"step {event.step} #{event.attempt}  {_answer(event)}"
        case OutputRejected():
            return f"step {event.step}  {_failure(event.error)}"
        case ModelCallFailed():
            again = "" if event.retry_at_ns is None else "; tried again later"
            return f"step {event.step} #{event.attempt}  {_failure(event.error)}{again}"
        case ModelAttemptAbandoned():
            return f"step {event.step} #{event.attempt}  cut off: its text is void"
        case ToolCallStarted():
            return f"{event.call_id} #{event.attempt}  {printable(event.name)}"
        case ToolStepCompleted():
            took = duration(event.elapsed_ms)
            return f"{event.call_id} #{event.attempt}  {printable(event.key)}  ({took})"
        case ToolProgressed():
            total = "" if event.total is None else f" of {event.total:g}"
            note = printable(event.note)
            return f"{event.call_id} #{event.attempt}  {event.done:g}{total}  {note}".rstrip()
        case ToolCallCompleted():
            result = _short(event.result)
            return f"{event.call_id} #{event.attempt}  {result}  ({duration(event.elapsed_ms)})"
        case ToolCallFailed():
            again = "" if event.retry_at_ns is None else "; tried again later"
            return f"{event.call_id} #{event.attempt}  {_failure(event.error)}{again}"
        case ToolResultIgnored():
            return f"{event.call_id} #{event.attempt}  {event.outcome}, too late to count"
        case ChildRunStarted():
            return f"{event.call_id}  {printable(event.agent_id)}, run {printable(event.run_id)}"
        case ChildRunEnded():
            tokens = counted(event.usage.output_tokens, "token")
            return f"{event.call_id}  run {printable(event.run_id)} {event.status}  ({tokens})"
        case TaskRequested():
            return f"{event.call_id}  task {printable(event.task_id)}"
        case ToolCallDeferred():
            return f"{event.call_id}  the model goes on, the result comes later"
        case BackgroundResultReceived():
            result = "" if event.result is None else f"  {_short(event.result)}"
            why = "" if event.error is None else f"  {_failure(event.error)}"
            how = event.status.replace("_", " ")
            return f"{event.call_id}  task {printable(event.task_id)} {how}{result}{why}"
        case RunWaiting():
            until = ""
            if event.until_ns is not None:
                until = f", until {utc(event.until_ns):%Y-%m-%d %H:%M:%S}Z"
            return f"waits for its tasks{until}"
        case MessageDelivered():
            return f"message {event.sequence} to {printable(event.to)}"
        case RunCompleted():
            return printable(event.finish_reason)
        case RunFailed():
            return _failure(event.error)
        case _:
            return _of_people(event)


def _of_people(event: Event) -> str:
    match event:
        case ToolCallSuspended():
            shown = "" if event.payload is None else f"  {_short(event.payload)}"
            return f"{event.call_id} #{event.attempt}  asks {printable(event.key)}{shown}"
        case ApprovalRequested():
            until = ""
            if event.expires_at_ns is not None:
                until = f", until {utc(event.expires_at_ns):%Y-%m-%d %H:%M:%S}Z"
            return f"{event.call_id}  {printable(event.name)} needs consent{until}"
        case ApprovalGranted():
            what = "agreed" if event.arguments is None else "agreed, with other arguments"
            return f"{event.call_id}  {_said(what, event.by, event.note)}"
        case ApprovalDenied():
            what = "nobody agreed in time" if event.expired else "not agreed"
            return f"{event.call_id}  {_said(what, event.by, event.reason)}"
        case ToolCallInDoubt():
            cause = "a crash" if event.cause == "crash" else "its timeout"
            return f"{event.call_id} #{event.attempt}  what it did before {cause} is unknown"
        case ToolCallResolved():
            says = _said(_RESOLVED[event.outcome], event.by, event.note)
            return f"{event.call_id} #{event.attempt}  {says}"
        case RunSuspended():
            return f"waits for {printable(', '.join(event.waiting))}"
        case RunResumed():
            says = _said(_short(event.value), event.by, "")
            return f"{event.call_id}  {printable(event.key)}: {says}"
        case RunCancelled():
            return _said("cancelled", event.by, event.reason)
        case _:
            return _short(plain(event))


def _said(what: str, by: str, why: str) -> str:
    who = f" by {printable(by)}" if by else ""
    return f"{what}{who}: {printable(why)}" if why else f"{what}{who}"


def _answer(event: ModelCallCompleted) -> str:
    calls = ", ".join(f"{call.name}({_short(call.arguments)})" for call in event.tool_calls)
    text = printable(event.text, limit=60)
    tokens = counted(event.usage.output_tokens, "token")
    return f"{calls or text}  ({tokens}, {duration(event.elapsed_ms)})"


def _failure(error: object) -> str:
    kind = getattr(error, "kind", "error")
    message = getattr(error, "message", "")
    return f"{printable(kind)}: {printable(message)}".rstrip(": ")


def _short(value: Value | object) -> str:
    """Return a value as JSON; long ones by their size."""
    data = msgspec.json.encode(value)
    if len(data) > 120:
        return f"{len(data):,} bytes"
    return printable(data.decode())


def _kind(event: Event) -> str:
    return str(event.__struct_config__.tag)


def _style(event: Event) -> str:
    match event:
        case ModelCallFailed() | OutputRejected() | ToolCallFailed() | RunFailed() | RunCancelled():
            return "bold red"
        case RunRecovered() | ModelAttemptAbandoned() | ToolResultIgnored():
            return "yellow"
        case ToolCallSuspended() | ApprovalRequested() | ToolCallInDoubt() | RunSuspended():
            return "bold yellow"
        case RunStarted() | RunCompleted():
            return "bold green"
        case ModelDelta() | ModelCallStarted() | ModelCallCompleted():
            return "magenta"
        case _:
            return "cyan"
