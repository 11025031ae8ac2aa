"""The runs of the golden files: every event there is, in histories that `decide` has written.

`python -m tests.events.golden_runs 0.1.0` writes the file of that release, unless it is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from msgspec.structs import replace

from outlive.actors import Retry
from outlive.actors.mail import Acknowledge
from outlive.actors.run.commands import (
    AnswerSuspension,
    Approval,
    CancelRun,
    CompleteModelCall,
    CompleteStep,
    CompleteToolCall,
    ConcludeCheck,
    DecideApproval,
    EndChildRun,
    FailModelCall,
    FailToolCall,
    IgnoreToolResult,
    InDoubt,
    PlannedCall,
    ReceiveBackgroundResult,
    RecordDelta,
    Recover,
    RefuseChildRun,
    RefuseTask,
    ReportProgress,
    ResolveToolCall,
    RunCommand,
    StartRun,
    SuspendToolCall,
    TaskTaken,
    TellRun,
    Wake,
)
from outlive.actors.run.entity import RUN
from outlive.events import (
    BackgroundCall,
    CallId,
    ChildRun,
    Failure,
    FilePart,
    ImagePart,
    MemoryLog,
    MessageId,
    ParentCall,
    RunId,
    Signal,
    StopAfterSteps,
    StopOnText,
    StopOnTool,
    TaskLimits,
    TextPart,
    ThreadPlace,
    Usage,
    Value,
    run_stream,
    thread_stream,
)
from outlive.events.run.background import IdlePolicy
from outlive.events.run.stopping import StopFunction
from outlive.testing import fold, stored
from outlive.testing.golden import golden_of
from outlive.testing.log_contract.filling import Ticks

FOLDER = Path(__file__).parents[1] / "data" / "golden"
START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
BOOM = Failure(kind="error", message="bäng", exception="ValueError")
BUSY = Failure(kind="rate_limit", message="slow down")
RETRY = Retry(3, delay=2.0, jitter=0)
C0, C1, C2, C3 = CallId("0.0"), CallId("0.1"), CallId("0.2"), CallId("0.3")


def start(agent_id: str, input: str) -> StartRun:
    tags: list[Value] = [1, 2.5, None, True, b"\0"]
    return StartRun(
        agent_id=agent_id,
        input=input,
        model="m",
        max_steps=7,
        tool_concurrency=2,
        metadata={"for": "ü", "tags": tags},
    )


def recover(epoch: int, *, clean: bool = False) -> Recover:
    in_doubt: dict[str, InDoubt] = {"look": "retry", "send": "fail"}
    return Recover(epoch=epoch, in_doubt=in_doubt, clean=clean, model="m")


def asks(*names: str, attempt: int = 1) -> CompleteModelCall:
    return CompleteModelCall(
        step=0,
        attempt=attempt,
        text="I will look.",
        reasoning="hm",
        tool_calls=tuple(
            PlannedCall(name=name, arguments={"at": [number]}, provider_id=f"p{number}")
            for number, name in enumerate(names)
        ),
        usage=Usage(input_tokens=11, output_tokens=7),
        finish_reason="tool_calls",
        elapsed_ms=12,
    )


def failing(call_id: CallId, attempt: int, retry: Retry) -> FailToolCall:
    now_ns = START_NS + SECOND
    return FailToolCall(
        call_id=call_id, attempt=attempt, error=BOOM, now_ns=now_ns, retry=retry, elapsed_ms=3
    )


def calls_child(number: int, run_id: str) -> PlannedCall:
    return PlannedCall(
        name="helper",
        arguments={"input": f"part {number}"},
        child=ChildRun(run_id=RunId(run_id), agent_id="helper"),
    )


def as_child(number: int) -> StartRun:
    return replace(
        start("helper", f"part {number}"),
        parent=ParentCall(run_id=RunId("parent"), call_id=CallId(f"0.{number}")),
        message=MessageId(sender=run_stream("parent"), sequence=number + 1),
    )


def in_background(task_id: str, *, awaited: bool = False, detached: bool = False) -> PlannedCall:
    return PlannedCall(
        name="crawl",
        arguments={"from": "ü"},
        task=BackgroundCall(
            task_id=task_id,
            mode="awaited" if awaited else "deferred",
            limits=TaskLimits(timeout_ns=3 * SECOND, max_retries=1, retry_on=("timeout",)),
            priority=2,
            detached=detached,
        ),
    )


ANSWER = CompleteModelCall(step=1, attempt=1, text="It is fine.", usage=Usage(input_tokens=2))
PLACE = ThreadPlace(thread_id="th", resource_id="re", until=7, max_messages=40, max_tokens=900)
BEGUN = MessageId(sender=thread_stream("th"), sequence=1)
SAID = Signal(text="hear", type="state", tag_name="heat", attributes={"unit": "°C"}, transient=True)

HISTORIES: dict[str, list[RunCommand]] = {
    "completed": [
        start("looker", "look"),
        RecordDelta(step=0, attempt=1, text="I wi"),
        RecordDelta(step=0, attempt=1, text="hm", kind="reasoning"),
        recover(2),  # the model is called again
        asks("look", "send", "wait", attempt=2),
        CompleteStep(call_id=C0, attempt=1, key="page-1", value={"words": 3}, elapsed_ms=1),
        ReportProgress(call_id=C0, attempt=1, done=1.0, total=2.0, note="half"),
        recover(3),  # one in doubt is repeated, the other one fails
        CompleteToolCall(call_id=C0, attempt=2, result={"seen": [1, "ü"]}, elapsed_ms=4),
        IgnoreToolResult(call_id=C1, attempt=1, outcome="completed"),
        failing(C2, 1, RETRY),
        Wake(now_ns=START_NS + 4 * SECOND),
        CompleteToolCall(call_id=C2, attempt=2, result=None),
        ANSWER,
    ],
    "failed": [
        start("looker", "look elsewhere"),
        FailModelCall(step=0, attempt=1, error=BOOM, elapsed_ms=9),
    ],
    "waiting": [
        start("waiter", "wait"),
        asks("look", "wait", "wait"),
        failing(C1, 1, RETRY),
        recover(2, clean=True),
        failing(C0, 2, Retry(0)),
    ],
    "reshaped": [
        start("shaper", "shape it"),
        CompleteModelCall(
            step=0,
            attempt=1,
            text="no JSON",
            problem=Failure(kind="invalid_output", message="malformed"),
            repairs=1,
            repair="Again.",
        ),
        FailModelCall(step=1, attempt=1, error=BUSY, now_ns=START_NS, retry=RETRY, fallback="n"),
        Wake(now_ns=START_NS + 4 * SECOND),
        FailModelCall(step=1, attempt=2, error=BOOM, fallback="n"),
        CompleteModelCall(step=1, attempt=3, text='{"n": 1}', data={"n": 1}, request_digest="d"),
    ],
    "stopped": [
        replace(
            start("stopper", "stop"),
            request_context={"user": "ü"},
            provider_options={"tier": [1]},
            parts=(
                TextPart("stop"),
                ImagePart(media_type="image/png", data=b"\x89PNG"),
                FilePart(media_type="text/plain", url="https://example.org/ü", name="ü"),
            ),
            stop_when=(StopAfterSteps(9), StopOnTool("x"), StopOnText("y"), StopFunction("enough")),
        ),
        asks("look"),
        CompleteToolCall(call_id=C0, attempt=1, result=1),
        recover(2),
        ConcludeCheck(step=1, number=1, stop="enough"),
    ],
    "begun": [start("waiter", "only that")],
    "asked": [
        start("asker", "ask"),
        CompleteModelCall(
            step=0,
            attempt=1,
            tool_calls=(
                PlannedCall(
                    name="send",
                    arguments={"to": "ü"},
                    approval=Approval(digest="d0", expires_at_ns=START_NS + 60 * SECOND),
                ),
                PlannedCall(name="send", arguments={}, approval=Approval(digest="d1")),
                PlannedCall(name="look", arguments={}),
                PlannedCall(name="drop", arguments={}),
            ),
        ),
        DecideApproval(call_id=C0, granted=True, arguments={"to": "me"}, note="so", by="somebody"),
        CompleteToolCall(call_id=C0, attempt=1, result="sent"),
        DecideApproval(call_id=C1, granted=False, note="not that", by="somebody"),
        SuspendToolCall(
            call_id=C2,
            attempt=1,
            key="which",
            payload={"of": [1, 2]},
            answer_schema={"type": "integer"},
        ),
        Recover(epoch=2, in_doubt={"drop": "ask"}, model="m"),
        AnswerSuspension(value=2, suspension="which", by="somebody"),
        ResolveToolCall(call_id=C3, outcome="completed", result=[1], note="seen", by="somebody"),
        CompleteToolCall(call_id=C2, attempt=2, result=2),
        CancelRun(reason="enough", by="somebody"),
    ],
    "suspended": [
        start("asker", "ask"),
        CompleteModelCall(
            step=0,
            attempt=1,
            tool_calls=(PlannedCall(name="look", arguments={}),),
        ),
        SuspendToolCall(call_id=C0, attempt=1, key="which"),
    ],
    "parent": [
        start("caller", "call them"),
        CompleteModelCall(
            step=0, attempt=1, tool_calls=tuple(calls_child(n, f"child {n}") for n in range(3))
        ),
        Acknowledge(sequence=1),
        EndChildRun(
            message=MessageId(sender=run_stream("child 0"), sequence=1),
            call_id=C0,
            run_id=RunId("child 0"),
            status="completed",
            result="ü",
            usage=Usage(input_tokens=5, output_tokens=3),
        ),
        RefuseChildRun(
            sequence=2,
            call_id=C1,
            run_id=RunId("child 1"),
            error=replace(BOOM, kind="child_failed"),
        ),
        CancelRun(reason="enough", by="somebody"),
    ],
    "deferring": [
        start("caller", "call them"),
        CompleteModelCall(
            step=0,
            attempt=1,
            tool_calls=(
                in_background("t0"),
                in_background("t1", awaited=True),
                in_background("t2", detached=True),
                in_background("t3"),
            ),
        ),
        TaskTaken(sequence=1, call_id=C0, task_id="t0", queued=True),
        TaskTaken(sequence=2, call_id=C1, task_id="t1", queued=True),
        Acknowledge(sequence=3),
        ReceiveBackgroundResult(call_id=C1, task_id="t1", status="succeeded", result=["ü"]),
        TaskTaken(sequence=3, call_id=C2, task_id="t2", queued=True),
        TaskTaken(sequence=4, call_id=C3, task_id="t3", queued=False),
        ReceiveBackgroundResult(
            call_id=C0, task_id="t0", status="timed_out", error=replace(BOOM, kind="timeout")
        ),
        CancelRun(reason="enough", by="somebody"),
    ],
    "patient": [
        replace(
            start("patient", "wait for it"),
            until_idle=IdlePolicy(react="all", max_wait_ns=60 * SECOND),
        ),
        CompleteModelCall(step=0, attempt=1, tool_calls=(in_background("t0"), in_background("t1"))),
        TaskTaken(sequence=1, call_id=C0, task_id="t0", queued=True),
        TaskTaken(sequence=2, call_id=C1, task_id="t1", queued=True),
        replace(ANSWER, data={"n": 1}, now_ns=START_NS),
        ReceiveBackgroundResult(call_id=C0, task_id="t0", status="succeeded", result=1),
        Wake(now_ns=START_NS + 60 * SECOND),
    ],
    "refused": [
        start("caller", "call it"),
        CompleteModelCall(step=0, attempt=1, tool_calls=(in_background("t0"),)),
        RefuseTask(sequence=1, call_id=C0, task_id="t0", error=replace(BOOM, kind="rejected")),
    ],
    "on thread": [
        replace(start("talker", "talk"), thread=PLACE, message=BEGUN),
        TellRun(signal_id="s1", signal=SAID, message=replace(BEGUN, sequence=2)),
        replace(ANSWER, step=0),
        replace(ANSWER, step=1),
        Acknowledge(sequence=1),
    ],
    "withdrawn": [
        replace(start("talker", "talk"), thread=PLACE, message=BEGUN, withdrawn="enough"),
    ],
    "child 0": [as_child(0), replace(ANSWER, step=0), Acknowledge(sequence=1)],
    "child 2": [
        as_child(2),
        CancelRun(reason="over", message=MessageId(sender=run_stream("parent"), sequence=4)),
    ],
}


def text_of_now() -> str:
    """Return the golden file of what this version decides and writes."""
    log = MemoryLog(clock=Ticks(START_NS), log_id="golden")
    for run_id, commands in HISTORIES.items():
        stream, state = run_stream(RunId(run_id)), RUN.initial
        for number, command in enumerate(commands):
            events = stored(*RUN.decide(state, command))
            state = fold(*events, state=state)
            log.append(
                stream,
                events,
                expected_version=log.version(stream),
                commit_id=b"%-9s%07d" % (run_id.encode(), number),
                entry=RUN.open_entry(state),
            ).result(5)
    return golden_of(log)


if __name__ == "__main__":
    with (FOLDER / f"runs-{sys.argv[1]}.json").open("x", encoding="utf-8") as out:
        out.write(text_of_now())
