"""The tasks of the golden files: every event there is, in histories that `decide` has written.

`python -m tests.events.golden_tasks 0.1.0` writes the file of that release, unless it is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from outlive.actors import Retry
from outlive.actors.mail import Acknowledge
from outlive.actors.run.commands import (
    CompleteStep,
    CompleteToolCall,
    FailToolCall,
    IgnoreToolResult,
    ReportProgress,
    SuspendToolCall,
)
from outlive.actors.task.commands import (
    CancelTask,
    ConcludeHooks,
    QueueTask,
    RecoverTask,
    ResumeTask,
    RetryTask,
    StartTask,
    TaskCommand,
)
from outlive.actors.task.entity import TASK
from outlive.events import CallId, Failure, MemoryLog, TaskLimits, task_stream
from outlive.testing import fold, stored
from outlive.testing.golden import golden_of
from outlive.testing.log_contract.filling import Ticks

FOLDER = Path(__file__).parents[1] / "data" / "golden"
START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
BOOM = Failure(kind="error", message="bäng", exception="ValueError")
LATE = Failure(kind="timeout", message="no result within 3 s")
C = CallId("2.1")
LIMITS = TaskLimits(
    timeout_ns=3 * SECOND,
    stall_timeout_ns=SECOND,
    max_retries=2,
    delay_ns=SECOND,
    factor=2.0,
    max_delay_ns=30 * SECOND,
    jitter=0.1,
    retry_on=("timeout", "ValueError"),
)


def queue(run_id: str = "", **changes: object) -> QueueTask:
    fields: dict[str, object] = {
        "tool": "look",
        "arguments": {"at": ["ü", 1, None]},
        "agent_id": "looker",
        "run_id": run_id,
        "call_id": C,
        "request_context": {"user": "ü"},
        "place": 4,
        "limits": LIMITS,
    }
    return QueueTask(**{**fields, **changes})  # type: ignore[arg-type]


def start(turn: int) -> StartTask:
    return StartTask(now_ns=START_NS + 60 * SECOND, turn=turn, worker="owner-1")


def fails(attempt: int, error: Failure, retry: Retry, *, ask: bool = False) -> FailToolCall:
    return FailToolCall(
        call_id=C,
        attempt=attempt,
        error=error,
        now_ns=START_NS,
        retry=retry,
        elapsed_ms=3,
        ask=ask,
    )


HISTORIES: dict[str, list[TaskCommand]] = {
    "succeeded": [
        queue("r", priority=2, mode="awaited", thread_id="th", resource_id="re"),
        start(1),
        ReportProgress(call_id=C, attempt=1, done=1.0, total=2.0, note="half"),
        CompleteStep(call_id=C, attempt=1, key="page-1", value={"words": 3}, elapsed_ms=1),
        fails(1, BOOM, Retry(2, delay=2.0, jitter=0)),
        start(2),
        RecoverTask(epoch=2, worker="owner-2"),
        IgnoreToolResult(call_id=C, attempt=2, outcome="completed"),
        CompleteToolCall(call_id=C, attempt=3, result={"seen": [1, "ü"]}, elapsed_ms=4),
        Acknowledge(sequence=1),
    ],
    "failed": [queue(), start(3), fails(1, BOOM, Retry(0))],
    "timed-out": [queue("r"), start(4), fails(1, LATE, Retry(0))],
    "rejected": [queue("r", verdict="reject", reason="20 tasks run already")],
    "inline": [
        queue("r", verdict="run_inline", worker="owner-1"),
        SuspendToolCall(
            call_id=C, attempt=1, key="which", payload=[1, 2], answer_schema={"type": "integer"}
        ),
        ResumeTask(value=2, by="somebody", worker="owner-1"),
        CompleteToolCall(call_id=C, attempt=2, result=None),
    ],
    "resolved": [
        queue("r"),
        start(5),
        RecoverTask(epoch=2, in_doubt="ask", clean=True),
        ResumeTask(value={"error": "it was lost"}, by="somebody"),
    ],
    "cancelled": [queue("r"), CancelTask(reason="enough", by="somebody")],
    "retrying": [queue(), start(6), fails(1, BOOM, Retry(1, delay=90.0, jitter=0))],
    "suspended": [queue(), start(7), SuspendToolCall(call_id=C, attempt=1, key="which")],
    "in-doubt": [queue(), start(8), fails(1, LATE, Retry(0), ask=True)],
    "suspected": [
        queue("r"),
        start(12),
        RecoverTask(epoch=2, worker="owner-2"),
        RecoverTask(epoch=3, worker="owner-3"),
    ],
    "requeued": [
        queue("r", thread_id="th", resource_id="re"),
        start(10),
        fails(1, BOOM, Retry(0)),
        Acknowledge(sequence=1),
        RetryTask(by="somebody"),
        start(11),
        CompleteToolCall(call_id=C, attempt=2, result=1),
    ],
    "hooked": [
        queue(hooked=True),
        start(9),
        CompleteToolCall(call_id=C, attempt=1, result=1),
        RecoverTask(epoch=2, worker="owner-2"),
        ConcludeHooks(number=2, failures=(BOOM,)),
    ],
    "hooking": [queue("r", hooked=True), CancelTask()],
    "queued": [queue("r")],
}


def text_of_now() -> str:
    """Return the golden file of what this version decides and writes."""
    log = MemoryLog(clock=Ticks(START_NS), log_id="golden")
    for task_id, commands in HISTORIES.items():
        stream, state = task_stream(task_id), TASK.initial
        for number, command in enumerate(commands):
            events = stored(*TASK.decide(state, command))
            state = fold(*events, entity=TASK, state=state)
            log.append(
                stream,
                events,
                expected_version=log.version(stream),
                commit_id=b"%-9s%07d" % (task_id.encode(), number),
                entry=TASK.open_entry(state),
            ).result(5)
    return golden_of(log)


if __name__ == "__main__":
    with (FOLDER / f"tasks-{sys.argv[1]}.json").open("x", encoding="utf-8") as out:
        out.write(text_of_now())
