"""The harness that kills processes sees what does not hold of threads, signals and heartbeats."""

from __future__ import annotations

import pytest

from outlive.events import (
    Event,
    FireScheduled,
    FireSkipped,
    InvalidDefinition,
    MemoryLog,
    OpenEntry,
    Signal,
    SignalReceived,
    StreamId,
    heartbeat_stream,
    thread_stream,
)
from outlive.testing.kills import Setup, records_of
from outlive.testing.kills._talks import Talks

THREAD, BEAT = thread_stream("t"), heartbeat_stream("hb_h")
KEPT = SignalReceived(signal_id="s", signal=Signal(text="x"), action="persisted", run_id="r")
WOKEN = SignalReceived(signal_id="w", signal=Signal(text="x"), action="woken", run_id="r")
LEFT = OpenEntry(kind="heartbeat", status="paused", owes=True)
DUE: list[Event] = [FireScheduled(due_ns=10, anchor_ns=0)]


def problems(
    *commits: tuple[StreamId, list[Event]],
    told: dict[tuple[str, str], set[str]] | None = None,
    rows: dict[StreamId, OpenEntry] | None = None,
) -> str:
    log, talks = MemoryLog(), Talks()
    for stream, events in commits:
        log.append(stream, events, expected_version=log.version(stream)).result(5)
    for record in records_of(log):
        talks.take(record)
    return "; ".join(talks.problems(told or {}, rows or {}))


def test_what_holds_is_left_alone() -> None:
    told = {("t", "s"): {"persisted"}}
    skipped: list[Event] = [FireSkipped(due_ns=10), FireScheduled(due_ns=20)]
    resting = OpenEntry(kind="heartbeat", status="paused", owes=False)
    found = problems(
        (THREAD, [KEPT]), (BEAT, DUE), (BEAT, skipped), told=told, rows={BEAT: resting}
    )
    assert found == ""


@pytest.mark.parametrize(
    ("commits", "told", "rows", "expected"),
    [
        ([(THREAD, [KEPT]), (THREAD, [KEPT])], {}, {}, "was taken 2 times"),
        ([], {("t", "s"): {"persisted"}}, {}, "it is []"),
        ([(THREAD, [KEPT])], {("t", "s"): {"woken"}}, {}, "told to be woken"),
        ([(THREAD, [WOKEN])], {}, {}, "read by nobody"),
        ([(BEAT, DUE), (BEAT, [FireScheduled(due_ns=20)])], {}, {}, "no instant is left out"),
        ([], {}, {BEAT: LEFT}, "not at rest"),
        ([], {}, {THREAD: OpenEntry(kind="thread", status="active", owes=False)}, "not at rest"),
    ],
)
def test_what_does_not_hold_is_seen(
    commits: list[tuple[StreamId, list[Event]]],
    told: dict[tuple[str, str], set[str]],
    rows: dict[StreamId, OpenEntry],
    expected: str,
) -> None:
    assert expected in problems(*commits, told=told, rows=rows)


@pytest.mark.parametrize("threads", [-1, 1.5, True])
def test_a_number_of_threads_that_cannot_be_is_refused(threads: int) -> None:
    with pytest.raises(InvalidDefinition, match="threads"):
        Setup(agents=[], threads=threads)
