"""The invariants of threads: they hold, and they notice when they do not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from outlive.events import (
    Event,
    MemoryLog,
    MessageId,
    ModelCallStarted,
    OpenEntry,
    RunCancelled,
    RunCompleted,
    RunSignalled,
    RunStarted,
    RunWish,
    Signal,
    SignalDropped,
    SignalReceived,
    StreamId,
    ThreadCreated,
    ThreadPlace,
    ThreadRunAsked,
    ThreadRunClaimed,
    ThreadRunReleased,
    ThreadRunWithdrawn,
    run_stream,
    thread_stream,
)
from outlive.testing._conversations import Conversations

THREAD, ONE, TWO = thread_stream("t"), run_stream("one"), run_stream("two")
Commit = tuple[StreamId, Sequence[Event]]

PLACE = ThreadPlace(thread_id="t", resource_id="u")
BEGINS = RunStarted(agent_id="a", input="x", thread=PLACE)
SAID = Signal(text="hear")
HEARD = RunSignalled(signal_id="s", signal=SAID)
CALLED = ModelCallStarted(model="m")


def asked(run_id: str) -> Event:
    return ThreadRunAsked(run_id=run_id, wish=RunWish(agent_id="a", input="x"))


def claimed(run_id: str) -> Event:
    return ThreadRunClaimed(run_id=run_id, agent_id="a")


def released(run_id: str) -> Event:
    message = MessageId(sender=run_stream(run_id), sequence=1)
    return ThreadRunReleased(run_id=run_id, status="completed", message=message)


FIRST: list[Commit] = [
    (THREAD, [ThreadCreated(resource_id="u"), asked("one"), claimed("one")]),
    (ONE, [BEGINS]),
]
DELIVERED: Commit = (
    THREAD,
    [
        SignalReceived(
            signal_id="s", signal=SAID, action="delivered", run_id="w", delivered_to="one"
        )
    ],
)


def following(*commits: Commit) -> Conversations:
    log, conversations = MemoryLog(), Conversations()
    for stream, events in commits:
        log.append(stream, events, expected_version=log.version(stream)).result(5)
    for record in log.read_all():
        conversations.hear(record)
    return conversations


def test_a_conversation_as_it_should_be_has_no_problem() -> None:
    conversations = following(
        *FIRST,
        (THREAD, [asked("two"), asked("three")]),
        DELIVERED,
        (ONE, [HEARD, CALLED, RunCompleted()]),
        (THREAD, [released("one"), claimed("two"), ThreadRunWithdrawn(run_id="three")]),
        (run_stream("three"), [BEGINS, RunCancelled()]),
        (TWO, [BEGINS]),
    )
    assert conversations.problem() is None
    assert conversations.unread({}) is None


@pytest.mark.parametrize(
    ("commits", "rule"),
    [
        ([(THREAD, [asked("two"), claimed("two")])], "one run a thread"),
        ([(TWO, [BEGINS])], "a run works on a thread that is its"),
        ([(THREAD, [released("one")])], "a run is what its thread heard"),
        (
            [(ONE, [RunCompleted()]), (THREAD, [released("one"), released("one")])],
            "a run releases its thread once",
        ),
        ([DELIVERED, (ONE, [HEARD, HEARD])], "a signal is read once"),
        ([DELIVERED, (ONE, [HEARD, CALLED]), (TWO, [HEARD])], "a signal is read once"),
    ],
)
def test_what_is_wrong_is_noticed(commits: list[Commit], rule: str) -> None:
    problem = following(*FIRST, *commits).problem()
    assert problem is not None
    assert problem[0] == rule


def test_what_a_run_was_told_and_has_not_read_is_read_by_another_one() -> None:
    told: list[Commit] = [*FIRST, DELIVERED, (ONE, [HEARD, RunCompleted()])]
    assert following(*told).unread({}) is not None
    begun: list[Commit] = [
        (THREAD, [released("one"), claimed("w")]),
        (run_stream("w"), [BEGINS, CALLED]),
    ]
    read = following(*told, *begun)
    assert read.problem() is None
    assert read.unread({}) is None
    twice = following(*told, *begun, (run_stream("w"), [HEARD])).problem()
    assert twice is not None
    assert twice[0] == "a signal is read once"


def test_a_signal_that_nobody_has_read_is_noticed_when_nothing_goes_on_any_more() -> None:
    lost = following(*FIRST, DELIVERED)
    problem = lost.unread({})
    assert problem is not None
    assert problem[0] == "a signal that was taken is read"
    assert lost.unread({THREAD: OpenEntry(kind="thread", status="active")}) is None
    dropped = following(*FIRST, DELIVERED, (THREAD, [SignalDropped(signal_id="s")]))
    assert dropped.unread({}) is None


@pytest.mark.parametrize(
    ("status", "rests"), [("suspended", True), ("blocked", True), ("running", False)]
)
def test_a_thread_waits_for_its_run(status: str, rests: bool) -> None:
    rows = {
        THREAD: OpenEntry(kind="thread", status="active"),
        ONE: OpenEntry(kind="run", status=status),
    }
    assert following(*FIRST).waits_for_one_at_rest(THREAD, rows) is rests
    assert not following(*FIRST).waits_for_one_at_rest(ONE, rows)
