"""Events as lines that a person reads."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from outlive.cli._json import plain, utc
from outlive.cli._render_parts import failure, progress, said, short
from outlive.cli._render_tasks import RESOLVED, UNKNOWN, task_says
from outlive.cli._render_threads import thread_says
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
    TaskCancelled,
    TaskFailed,
    TaskInDoubt,
    TaskQueued,
    TaskRecovered,
    TaskRejected,
    TaskRequested,
    TaskResultIgnored,
    TaskRetryScheduled,
    TaskSucceeded,
    TaskSuspended,
    TaskTimedOut,
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
)
from outlive.events.ids import id_of

_ID_CHARS: Final = 16


def event_line(recorded: Recorded, *, width: int) -> Text:
    """Return version, time (UTC), kind and what matters of an event, in `width` columns."""
    return _line(f"{recorded.version:>5}  ", recorded, width)


def task_event_line(recorded: Recorded, *, width: int) -> Text:
    """Return the task, time (UTC), kind and what matters of an event, in `width` columns."""
    return _line(f"{printable(id_of(recorded.stream)):<{_ID_CHARS}}  ", recorded, width)


def _line(place: str, recorded: Recorded, width: int) -> Text:
    event = recorded.event
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(place, style="bold")
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
            return f"step {event.step}  {failure(event.error)}"
        case ModelCallFailed():
            again = "" if event.retry_at_ns is None else "; tried again later"
            return f"step {event.step} #{event.attempt}  {failure(event.error)}{again}"
        case ModelAttemptAbandoned():
            return f"step {event.step} #{event.attempt}  cut off: its text is void"
        case ToolCallStarted():
            return f"{event.call_id} #{event.attempt}  {printable(event.name)}"
        case ToolStepCompleted():
            took = duration(event.elapsed_ms)
            return f"{event.call_id} #{event.attempt}  {printable(event.key)}  ({took})"
        case ToolProgressed():
            how_far = progress(event.done, event.total, event.note)
            return f"{event.call_id} #{event.attempt}  {how_far}"
        case ToolCallCompleted():
            result = short(event.result)
            return f"{event.call_id} #{event.attempt}  {result}  ({duration(event.elapsed_ms)})"
        case ToolCallFailed():
            again = "" if event.retry_at_ns is None else "; tried again later"
            return f"{event.call_id} #{event.attempt}  {failure(event.error)}{again}"
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
            result = "" if event.result is None else f"  {short(event.result)}"
            why = "" if event.error is None else f"  {failure(event.error)}"
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
            return failure(event.error)
        case _:
            return _of_people(event)


def _of_people(event: Event) -> str:
    match event:
        case ToolCallSuspended():
            shown = "" if event.payload is None else f"  {short(event.payload)}"
            return f"{event.call_id} #{event.attempt}  asks {printable(event.key)}{shown}"
        case ApprovalRequested():
            until = ""
            if event.expires_at_ns is not None:
                until = f", until {utc(event.expires_at_ns):%Y-%m-%d %H:%M:%S}Z"
            return f"{event.call_id}  {printable(event.name)} needs consent{until}"
        case ApprovalGranted():
            what = "agreed" if event.arguments is None else "agreed, with other arguments"
            return f"{event.call_id}  {said(what, event.by, event.note)}"
        case ApprovalDenied():
            what = "nobody agreed in time" if event.expired else "not agreed"
            return f"{event.call_id}  {said(what, event.by, event.reason)}"
        case ToolCallInDoubt():
            return f"{event.call_id} #{event.attempt}  {UNKNOWN[event.cause]}"
        case ToolCallResolved():
            how = said(RESOLVED[event.outcome], event.by, event.note)
            return f"{event.call_id} #{event.attempt}  {how}"
        case RunSuspended():
            return f"waits for {printable(', '.join(event.waiting))}"
        case RunResumed():
            return (
                f"{event.call_id}  {printable(event.key)}: {said(short(event.value), event.by, '')}"
            )
        case RunCancelled():
            return said("cancelled", event.by, event.reason)
        case _:
            told = task_says(event)
            if told is None:
                told = thread_says(event)
            return short(plain(event)) if told is None else told


def _answer(event: ModelCallCompleted) -> str:
    calls = ", ".join(f"{call.name}({short(call.arguments)})" for call in event.tool_calls)
    text = printable(event.text, limit=60)
    tokens = counted(event.usage.output_tokens, "token")
    return f"{calls or text}  ({tokens}, {duration(event.elapsed_ms)})"


def _kind(event: Event) -> str:
    return str(event.__struct_config__.tag)


def _style(event: Event) -> str:
    match event:
        case ModelCallFailed() | OutputRejected() | ToolCallFailed() | RunFailed() | RunCancelled():
            return "bold red"
        case TaskFailed() | TaskTimedOut() | TaskCancelled() | TaskRejected():
            return "bold red"
        case RunRecovered() | ModelAttemptAbandoned() | ToolResultIgnored():
            return "yellow"
        case TaskRecovered() | TaskRetryScheduled() | TaskResultIgnored():
            return "yellow"
        case ToolCallSuspended() | ApprovalRequested() | ToolCallInDoubt() | RunSuspended():
            return "bold yellow"
        case TaskSuspended() | TaskInDoubt():
            return "bold yellow"
        case RunStarted() | RunCompleted() | TaskQueued() | TaskSucceeded():
            return "bold green"
        case ModelDelta() | ModelCallStarted() | ModelCallCompleted():
            return "magenta"
        case _:
            return "cyan"
