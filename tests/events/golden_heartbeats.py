"""The heartbeats of the golden files: every event, in histories that `decide` has written.

`python -m tests.events.golden_heartbeats 0.1.0` writes the file of that release, unless there is
one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from outlive.actors.heartbeat.commands import (
    ConcludeHook,
    ConcludePrepare,
    CreateHeartbeat,
    DeclareHeartbeat,
    DeleteHeartbeat,
    EndFire,
    HeartbeatChanges,
    HeartbeatCommand,
    HooksAtHand,
    PauseHeartbeat,
    RecoverHeartbeat,
    ResumeHeartbeat,
    RunNow,
    SettleFire,
    TellFire,
    UpdateHeartbeat,
    WakeHeartbeat,
)
from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.actors.mail import Acknowledge
from outlive.events import (
    Failure,
    FireOverrides,
    HeartbeatSettings,
    IfActive,
    IfIdle,
    MemoryLog,
    MessageId,
    StreamId,
    TextPart,
    Usage,
    Value,
    heartbeat_stream,
)
from outlive.testing import fold, stored
from outlive.testing.golden import golden_of
from outlive.testing.log_contract.filling import Ticks

FOLDER = Path(__file__).parents[1] / "data" / "golden"
START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
BOOM = Failure(kind="prepare", message="bäng", exception="ValueError")
FOR: dict[str, Value] = {"for": ["ü", None, 1.5]}


def at(seconds: int) -> int:
    return START_NS + seconds * SECOND


def create(id: str, **more: object) -> CreateHeartbeat:
    said = {"agent_id": "helper", "prompt": "Sum up.", "every_ns": 10 * SECOND, **more}
    return CreateHeartbeat(
        heartbeat_id=id,
        settings=HeartbeatSettings(**said),  # type: ignore[arg-type]
        key="command-1",
        now_ns=START_NS,
        by="somebody",
    )


def wake(seconds: int, *, prepares: bool = False, hooked: bool = False) -> WakeHeartbeat:
    one = frozenset({""})
    none: frozenset[str] = frozenset()
    hooks = HooksAtHand(prepare=one if prepares else none, end=one if hooked else none)
    return WakeHeartbeat(now_ns=at(seconds), hooks=hooks)


def message(id: str, fire: int, sequence: int = 1, kind: str = "run") -> MessageId:
    return MessageId(sender=StreamId(f"{kind}-{id}:{fire}"), sequence=sequence)


def end(id: str, fire: int, seconds: int, sequence: int = 1) -> EndFire:
    return EndFire(
        message=message(id, fire, sequence),
        fire=fire,
        status="succeeded",
        usage=Usage(input_tokens=3, output_tokens=2),
        now_ns=at(seconds),
    )


HISTORIES: dict[str, list[HeartbeatCommand]] = {
    "hb_whole": [
        create(
            "hb_whole",
            name="daily",
            metadata=FOR,
            request_context=FOR,
            provider_options=FOR,
            parts=(TextPart(text="Sum up."),),
            tools=("look",),
            timeout_ns=60 * SECOND,
            max_failures=3,
            max_fires=9,
            jitter_ns=SECOND,
            starts_at_ns=at(0),
            ends_at_ns=at(9_000),
        ),
        wake(11, prepares=True, hooked=True),
        RecoverHeartbeat(epoch=2, now_ns=at(12)),
        ConcludePrepare(
            fire=1,
            attempt=2,
            overrides=FireOverrides(prompt="Today: ü", metadata={}),
            now_ns=at(13),
        ),
        Acknowledge(sequence=1),
        TellFire(message=message("hb_whole", 1), fire=1, news="suspended", now_ns=at(14)),
        ConcludeHook(fire=1, attempt=1, hook="on_finish"),
        TellFire(message=message("hb_whole", 1, 2), fire=1, news="resumed", now_ns=at(15)),
        end("hb_whole", 1, 16, 3),
        wake(100, prepares=True, hooked=True),
        ConcludePrepare(fire=2, attempt=1, error=BOOM, now_ns=at(101)),
        PauseHeartbeat(heartbeat_id="hb_whole", reason="for now", by="somebody", now_ns=at(102)),
        ResumeHeartbeat(heartbeat_id="hb_whole", by="somebody", now_ns=at(103)),
        UpdateHeartbeat(
            heartbeat_id="hb_whole",
            changes=HeartbeatChanges(cron="*/5 * * * *", timezone="Europe/Berlin"),
            by="somebody",
            now_ns=at(104),
        ),
        RunNow(heartbeat_id="hb_whole", run_id="drawn", by="somebody", now_ns=at(105)),
        DeleteHeartbeat(heartbeat_id="hb_whole", by="somebody", now_ns=at(106)),
    ],
    "hb_late": [
        create("hb_late", timeout_ns=5 * SECOND, overlap="queue", misfire="all"),
        wake(10),
        wake(20),
        EndFire(
            message=message("hb_late", 1),
            fire=1,
            status="aborted",
            error=Failure(kind="cancelled", message="enough"),
            now_ns=at(21),
        ),
    ],
    "hb_once": [create("hb_once", every_ns=0, at_ns=at(30)), wake(30), end("hb_once", 1, 31)],
    "hb_tool": [
        create("hb_tool", prompt="", tool="sync", arguments=FOR, misfire="skip", grace_ns=SECOND),
        wake(95),
    ],
    "hb_thread": [
        create(
            "hb_thread",
            thread_id="t",
            resource_id="re",
            signal_type="state",
            tag_name="näws",
            attributes={"k": 1},
            if_active=IfActive("persist", attributes={"k": 2}),
            if_idle=IfIdle(request_context=FOR),
            max_fires=2,
        ),
        wake(11, prepares=True),
        ConcludePrepare(
            fire=1,
            attempt=1,
            overrides=FireOverrides(attributes={"k": 3}, thread_id="other", tag_name="news"),
            now_ns=at(12),
        ),
        SettleFire(fire=1, sequence=1, outcome="delivered", run_id="r1", now_ns=at(13)),
        wake(21),
        Acknowledge(sequence=2),
        end("hb_thread", 2, 22),
    ],
    "hb_declared": [
        DeclareHeartbeat(
            heartbeat_id="hb_declared",
            settings=HeartbeatSettings(
                agent_id="helper", prompt="p", cron="@daily", timezone="Asia/Tokyo"
            ),
            declared="digest",
            now_ns=START_NS,
        )
    ],
}


def text_of_now() -> str:
    """Return the golden file of what this version decides and writes."""
    log = MemoryLog(clock=Ticks(START_NS), log_id="golden")
    for heartbeat_id, commands in HISTORIES.items():
        stream, state = heartbeat_stream(heartbeat_id), HEARTBEAT.initial
        for number, command in enumerate(commands):
            events = stored(*HEARTBEAT.decide(state, command))
            assert events, f"{heartbeat_id}: command {number} changes nothing"
            state = fold(*events, entity=HEARTBEAT, state=state)
            log.append(
                stream,
                events,
                expected_version=log.version(stream),
                commit_id=b"%-9s%07d" % (heartbeat_id[3:].encode(), number),
                entry=HEARTBEAT.open_entry(state),
            ).result(5)
    return golden_of(log)


if __name__ == "__main__":
    file = FOLDER / f"heartbeats-{sys.argv[1]}.json"
    with file.open("x", encoding="utf-8") as out:
        out.write(text_of_now())
