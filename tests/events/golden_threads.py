"""The threads of the golden files: every event there is, in histories that `decide` has written.

`python -m tests.events.golden_threads 0.1.0` writes the file of that release, unless it is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from outlive.actors.mail import Acknowledge
from outlive.actors.thread.commands import (
    AppendMessages,
    AskRun,
    CancelQueued,
    CondenseHistory,
    Copied,
    CreateThread,
    EndRun,
    RefuseBegin,
    RenameThread,
    ReturnSignal,
    SendSignal,
    StopFire,
    ThreadCommand,
    Unread,
    WakeThread,
)
from outlive.actors.thread.entity import THREAD
from outlive.events import (
    AssistantMessage,
    CallId,
    Failure,
    FireOf,
    ForkPoint,
    IfActive,
    IfIdle,
    ImagePart,
    MemoryLog,
    MessageId,
    RequestedToolCall,
    RunWish,
    Signal,
    StreamId,
    TextPart,
    ToolMessage,
    Usage,
    UserMessage,
    run_stream,
    thread_stream,
)
from outlive.events.run.background import IdlePolicy
from outlive.testing import fold, stored
from outlive.testing.golden import golden_of
from outlive.testing.log_contract.filling import Ticks

FOLDER = Path(__file__).parents[1] / "data" / "golden"
START_NS = 1_700_000_000_000_000_000
C = CallId("0.0")
PARTS = (TextPart("säh"), ImagePart(media_type="image/png", data=b"\x89PNG"))
SAID = (
    UserMessage(text="säh", parts=PARTS),
    AssistantMessage(
        reasoning="hm", tool_calls=(RequestedToolCall(call_id=C, name="look", arguments={"n": 1}),)
    ),
    ToolMessage(call_id=C, name="look", error=Failure(kind="error", message="bäng")),
    AssistantMessage(text="done"),
)
WISH = RunWish(
    agent_id="talker",
    input="säh",
    parts=PARTS,
    metadata={"k": [1]},
    request_context={"user": "ü"},
    provider_options={"effort": "high"},
    until_idle=IdlePolicy(),
)
SIGNAL = Signal(
    text="it is hot",
    type="state",
    tag_name="heat",
    attributes={"unit": "°C"},
    provider_options={"effort": "low"},
)


def ask(run_id: str, on_busy: str = "queue", agent_id: str = "talker") -> AskRun:
    wish = RunWish(agent_id=agent_id, input="säh") if agent_id != "talker" else WISH
    return AskRun(
        thread_id="t",
        resource_id="re",
        run_id=run_id,
        wish=wish,
        on_busy=on_busy,  # type: ignore[arg-type]
        now_ns=START_NS,
    )


def signal(number: int, **changes: object) -> SendSignal:
    fields: dict[str, object] = {
        "thread_id": "t",
        "resource_id": "re",
        "signal_id": f"s{number}",
        "signal": SIGNAL,
        "if_active": IfActive(attributes={"busy": True}),
        "if_idle": IfIdle(attributes={"busy": False}, request_context={"by": "ü"}),
        "run_id": f"w{number}",
        "now_ns": START_NS,
    }
    return SendSignal(**{**fields, **changes})  # type: ignore[arg-type]


def end(run_id: str) -> EndRun:
    return EndRun(
        message=MessageId(sender=run_stream(run_id), sequence=1),
        run_id=run_id,
        status="completed",
        messages=SAID,
        now_ns=START_NS,
    )


HISTORIES: dict[str, list[ThreadCommand]] = {
    "told": [
        CreateThread(
            thread_id="t", resource_id="re", agent_id="talker", title="Tälk", metadata={"k": 1}
        ),
        RenameThread(thread_id="t", title="Talk"),
        ask("r1"),
        ask("r2", "deliver"),
        signal(1),
        signal(2, message=MessageId(sender=StreamId("heartbeat-hb_1"), sequence=4)),
        Acknowledge(sequence=1),
        ReturnSignal(
            sequence=3,
            over="r1",
            unread=Unread(version=7, run_id="w1", agent_id="talker"),
            now_ns=1,
        ),
        end("r1"),
    ],
    "condensed": [
        CreateThread(thread_id="t", resource_id="re", metadata={}, copied=Copied(messages=SAID)),
        ask("r1"),
        CondenseHistory(
            run_id="r1", upto=2, messages=2, error=Failure(kind="error", message="bäng")
        ),
        CondenseHistory(
            run_id="r1",
            upto=3,
            messages=2,
            text="what säh said",
            usage=Usage(input_tokens=7, output_tokens=3),
        ),
        CancelQueued(thread_id="t", run_ids=("r1",), reason="enough", by="somebody"),
    ],
    "queued": [
        ask("r1"),
        ask("r2"),
        signal(1, after=True, expires_at_ns=START_NS + 5),
        WakeThread(now_ns=START_NS + 5),
        ask("r3", "cancel_previous"),
        CancelQueued(thread_id="t", run_ids=("r2",), reason="enough", by="somebody"),
        RefuseBegin(sequence=1, run_id="r1", now_ns=START_NS),
    ],
    "woken": [signal(1, agent_id="talker"), signal(2, if_active=IfActive("persist"))],
    "coalesced": [
        ask("r1"),
        signal(1, suspended=True, source="hb_1"),
        signal(2, suspended=True, source="hb_1"),
    ],
    "fires": [
        signal(1, agent_id="talker", fire=FireOf(heartbeat_id="hb_1", fire=1)),
        signal(2, agent_id="other", fire=FireOf(heartbeat_id="hb_1", fire=2, tools=("look",))),
        StopFire(heartbeat_id="hb_1", fire=2, reason="late"),
        StopFire(heartbeat_id="hb_1", fire=1, reason="late"),
    ],
    "kept": [signal(1, if_idle=IfIdle("persist")), signal(2, if_idle=IfIdle("discard"))],
    "forked": [
        CreateThread(
            thread_id="t",
            resource_id="re",
            metadata={},
            forked_from=ForkPoint(thread_id="told", version=9),
            copied=Copied(messages=SAID),
        ),
        AppendMessages(thread_id="t", messages=(UserMessage(text="by hand"),)),
    ],
}


def text_of_now() -> str:
    """Return the golden file of what this version decides and writes."""
    log = MemoryLog(clock=Ticks(START_NS), log_id="golden")
    for thread_id, commands in HISTORIES.items():
        stream, state = thread_stream(thread_id), THREAD.initial
        for number, command in enumerate(commands):
            events = stored(*THREAD.decide(state, command))
            state = fold(*events, entity=THREAD, state=state)
            log.append(
                stream,
                events,
                expected_version=log.version(stream),
                commit_id=b"%-9s%07d" % (thread_id.encode(), number),
                entry=THREAD.open_entry(state),
            ).result(5)
    return golden_of(log)


if __name__ == "__main__":
    with (FOLDER / f"threads-{sys.argv[1]}.json").open("x", encoding="utf-8") as out:
        out.write(text_of_now())
