"""What a thread does about each command, and each signal, in each state it can be in."""

from __future__ import annotations

from typing import Any, Final, get_args

import pytest
from hypothesis import given as examples

from outlive.actors.mail import Acknowledge, Deliver
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
from outlive.actors.thread.entity import THREAD, open_entry, outstanding
from outlive.actors.thread.turns import comes_back
from outlive.events import (
    AssistantMessage,
    Event,
    Failure,
    FireOf,
    IfActive,
    IfIdle,
    MessageAppended,
    MessageId,
    NobodyAnswers,
    NotQueued,
    OtherResource,
    OutliveError,
    RunExists,
    RunWish,
    Signal,
    SignalExists,
    SignalReceived,
    StreamId,
    ThreadBusy,
    ThreadCreated,
    ThreadEvent,
    ThreadExists,
    ThreadNotFound,
    ThreadRunAsked,
    ThreadRunCancelled,
    ThreadRunClaimed,
    ThreadRunReleased,
    ThreadState,
    UserMessage,
    run_stream,
)
from outlive.events.thread import evolve
from outlive.testing import Given, given
from outlive.testing.strategies import thread_events, thread_histories
from tests.support.machine import tags

NOW: Final = 1_000
SAID: Final = UserMessage(text="hi")
ANSWERED: Final = AssistantMessage(text="hello")
CREATED: Final = ThreadCreated(resource_id="u")
Thread = Given[ThreadState, ThreadCommand]


def on(*events: Event) -> Thread:
    return given(*events, entity=THREAD)


def ask(
    run_id: str,
    on_busy: Any = "queue",
    *,
    agent_id: str = "a",
    resource_id: str = "u",
    said: str = "hi",
) -> AskRun:
    return AskRun(
        thread_id="t",
        resource_id=resource_id,
        run_id=run_id,
        wish=RunWish(agent_id=agent_id, input=said),
        on_busy=on_busy,
        now_ns=NOW,
    )


def signal(**changes: Any) -> SendSignal:
    fields: dict[str, Any] = {
        "thread_id": "t",
        "signal_id": "s",
        "signal": Signal(text="hear"),
        "run_id": "w",
        "now_ns": NOW,
    }
    return SendSignal(**{**fields, **changes})


def end(run_id: str, *messages: Any, unread: tuple[Unread, ...] = ()) -> EndRun:
    return EndRun(
        message=MessageId(sender=run_stream(run_id), sequence=1),
        run_id=run_id,
        status="completed",
        messages=messages,
        unread=unread,
        now_ns=NOW,
    )


NEW: Final = on()
IDLE: Final = on(CREATED)
ACTIVE: Final = NEW.when(ask("r1")).after
QUEUED: Final = ACTIVE.when(ask("r2")).after
AFTER: Final = ACTIVE.when(end("r1", SAID, ANSWERED)).after
STATES: Final = (NEW, IDLE, ACTIVE, QUEUED, AFTER)
NAMES: Final = ("new", "idle", "active", "queued", "after")

Expected = str | type[OutliveError]
TABLE: Final[list[tuple[ThreadCommand, dict[str, Expected]]]] = [
    (
        CreateThread(thread_id="t", resource_id="u", metadata={}),
        {"new": "thread-created"},
    ),
    (
        CreateThread(thread_id="t", resource_id="v", metadata={}),
        {"new": "thread-created", "rest": ThreadExists},
    ),
    (
        CreateThread(
            thread_id="t",
            resource_id="u",
            metadata={},
            copied=Copied(messages=(SAID, ANSWERED), condensed=1, summary="so far"),
        ),
        {"new": "thread-created message-appended message-appended history-condensed"},
    ),
    (
        RenameThread(thread_id="t", title="Talk"),
        {"new": ThreadNotFound, "rest": "thread-renamed"},
    ),
    (RenameThread(thread_id="t", title=""), {"new": ThreadNotFound}),
    (
        AppendMessages(thread_id="t", messages=(SAID, ANSWERED)),
        {"new": ThreadNotFound, "rest": "message-appended message-appended"},
    ),
    (
        ask("r3"),
        {
            "new": "thread-created thread-run-asked thread-run-claimed",
            "rest": "thread-run-asked",
            "idle": "thread-run-asked thread-run-claimed",
            "after": "thread-run-asked thread-run-claimed",
        },
    ),
    (
        ask("r3", resource_id=""),
        {
            "new": ThreadNotFound,
            "rest": "thread-run-asked",
            "idle": "thread-run-asked thread-run-claimed",
            "after": "thread-run-asked thread-run-claimed",
        },
    ),
    (
        ask("r3", resource_id="v"),
        {
            "new": "thread-created thread-run-asked thread-run-claimed",
            "rest": OtherResource,
        },
    ),
    (
        ask("r3", "reject"),
        {
            "new": "thread-created thread-run-asked thread-run-claimed",
            "idle": "thread-run-asked thread-run-claimed",
            "after": "thread-run-asked thread-run-claimed",
            "rest": ThreadBusy,
        },
    ),
    (
        ask("r3", "cancel_previous"),
        {
            "new": "thread-created thread-run-asked thread-run-claimed",
            "idle": "thread-run-asked thread-run-claimed",
            "after": "thread-run-asked thread-run-claimed",
            "rest": "thread-run-asked thread-run-cancelled",
        },
    ),
    (
        ask("r1"),
        {
            "new": "thread-created thread-run-asked thread-run-claimed",
            "idle": "thread-run-asked thread-run-claimed",
        },
    ),
    (
        ask("r1", said="something else"),
        {
            "new": "thread-created thread-run-asked thread-run-claimed",
            "idle": "thread-run-asked thread-run-claimed",
            "rest": RunExists,
        },
    ),
    (CancelQueued(thread_id="t"), {"new": ThreadNotFound, "queued": "thread-run-withdrawn"}),
    (
        CancelQueued(thread_id="t", run_ids=("r2",)),
        {"new": ThreadNotFound, "rest": NotQueued, "queued": "thread-run-withdrawn"},
    ),
    (
        CancelQueued(thread_id="t", run_ids=("r1",)),
        {
            "new": ThreadNotFound,
            "rest": NotQueued,
            "active": "thread-run-cancelled",  # it has not begun yet
            "queued": "thread-run-cancelled",
        },
    ),
    (
        CondenseHistory(run_id="r1", upto=1, messages=1, text="so far"),
        {"active": "history-condensed", "queued": "history-condensed"},
    ),
    (CondenseHistory(run_id="r2", upto=1, messages=1, text="so far"), {}),
    (
        end("r1", SAID, ANSWERED),
        {
            "active": "message-appended message-appended thread-run-released",
            "queued": "message-appended message-appended thread-run-released thread-run-claimed",
        },
    ),
    (end("r2"), {}),
    (
        RefuseBegin(sequence=1, run_id="r1", now_ns=NOW),
        {
            "active": "message-delivered thread-run-released",
            "queued": "message-delivered thread-run-released thread-run-claimed",
            "after": "message-delivered",
        },
    ),
    (
        Acknowledge(sequence=1),
        {
            "active": "message-delivered",
            "queued": "message-delivered",
            "after": "message-delivered",
        },
    ),
    (Acknowledge(sequence=9), {}),
    (WakeThread(now_ns=NOW), {}),
    (
        ReturnSignal(
            sequence=9,
            over="r1",
            unread=Unread(version=2, run_id="w", agent_id="a", signal_id="s"),
            now_ns=NOW,
        ),
        {},
    ),
    (StopFire(heartbeat_id="hb_h", fire=1, reason="late"), {}),
    (
        signal(agent_id="a"),
        {
            "new": ThreadNotFound,
            "idle": "signal-received thread-run-claimed",
            "after": "signal-received thread-run-claimed",
            "rest": "signal-received",
        },
    ),
]
CELLS: Final = [
    pytest.param(
        state,
        command,
        row.get(name, row.get("rest", "") if name != "new" else ""),
        id=f"{name}-{type(command).__name__}-{index}",
    )
    for index, (command, row) in enumerate(TABLE)
    for state, name in zip(STATES, NAMES, strict=True)
]


@pytest.mark.parametrize(("thread", "command", "expected"), CELLS)
def test_each_command_in_each_state_causes_what_the_table_says(
    thread: Thread, command: ThreadCommand, expected: Expected
) -> None:
    if isinstance(expected, str):
        assert tags(thread.when(command).decided) == expected.split()
    else:
        thread.when(command).then_refused(expected)


def test_the_table_names_every_command() -> None:
    assert {type(command) for command, _ in TABLE} == set(get_args(ThreadCommand))


def test_each_part_is_condensed_once_and_what_could_not_be_changes_nothing() -> None:
    boom = Failure(kind="error", message="boom")
    failed = ACTIVE.when(CondenseHistory(run_id="r1", upto=2, messages=1, error=boom)).after
    assert failed.state.condensed == 0
    done = failed.when(CondenseHistory(run_id="r1", upto=2, messages=1, text="so far")).after
    assert done.state.condensed == 2
    assert done.when(CondenseHistory(run_id="r1", upto=2, messages=1, text="x")).decided == ()


# -- signals: what the thread does x what is to become of it --


@pytest.mark.parametrize(
    ("thread", "how", "action", "reader"),
    [
        (ACTIVE, {}, "delivered", "r1"),
        (ACTIVE, {"agent_id": "a"}, "delivered", "r1"),
        (ACTIVE, {"agent_id": "b"}, "queued", "w"),
        (ACTIVE, {"suspended": True}, "queued", "r1"),
        (ACTIVE, {"after": True}, "queued", "w"),
        (ACTIVE, {"if_active": IfActive("persist")}, "persisted", ""),
        (ACTIVE, {"if_active": IfActive("discard")}, "discarded", ""),
        (ACTIVE, {"suspended": True, "if_active": IfActive("persist")}, "persisted", ""),
        (AFTER, {}, "woken", "w"),
        (IDLE, {"agent_id": "a"}, "woken", "w"),
        (NEW, {"agent_id": "a", "resource_id": "u"}, "woken", "w"),
        (AFTER, {"after": True}, "woken", "w"),
        (IDLE, {"if_idle": IfIdle("persist")}, "persisted", ""),
        (IDLE, {"if_idle": IfIdle("discard")}, "discarded", ""),
        (NEW, {"resource_id": "u", "if_idle": IfIdle("discard")}, "discarded", ""),
    ],
)
def test_what_becomes_of_a_signal(
    thread: Thread, how: dict[str, Any], action: str, reader: str
) -> None:
    after = thread.when(signal(**how)).after
    answer = after.state.answers["s"]
    assert (answer.action, answer.run_id) == (action, reader)
    kept = after.state.messages - thread.state.messages
    assert kept == (action == "persisted")
    assert thread.when(signal(**how), signal(**how)).decided == (), "a repeat is a no-op"


@pytest.mark.parametrize(
    ("thread", "how", "error"),
    [
        (NEW, {"agent_id": "a"}, ThreadNotFound),
        (IDLE, {}, NobodyAnswers),
        (IDLE, {"agent_id": "a", "resource_id": "v"}, OtherResource),
        (ACTIVE, {"resource_id": "v"}, OtherResource),
        (ACTIVE.when(signal()).after, {"signal": Signal(text="else")}, SignalExists),
    ],
)
def test_a_signal_that_is_refused(
    thread: Thread, how: dict[str, Any], error: type[OutliveError]
) -> None:
    thread.when(signal(**how)).then_refused(error)


def test_a_signal_that_wakes_is_of_the_agent_that_answered_last_or_of_the_threads_own() -> None:
    woken = AFTER.when(signal()).decided
    assert ThreadRunClaimed(run_id="w", agent_id="a") in woken
    own = on(ThreadCreated(resource_id="u", agent_id="b"))
    assert ThreadRunClaimed(run_id="w", agent_id="b") in own.when(signal()).decided


def test_attributes_of_the_branch_are_merged_into_what_is_kept() -> None:
    how = IfIdle("persist", attributes={"n": 2})
    kept = IDLE.when(signal(signal=Signal(text="x", attributes={"n": 1}), if_idle=how)).decided
    assert kept[1] == MessageAppended(
        message=UserMessage(text='<notification n="2">x</notification>')
    )


def test_a_message_of_another_entity_is_taken_once() -> None:
    message = MessageId(sender=StreamId("heartbeat-hb_1"), sequence=3)
    heard = ACTIVE.when(signal(message=message)).after
    assert heard.when(signal(signal_id="other", message=message)).decided == ()


# -- what a suspended run is told again and again --


def again(**changes: Any) -> SendSignal:
    fields: dict[str, Any] = {"suspended": True, "source": "hb_1", **changes}
    return signal(signal_id="s2", run_id="w2", **fields)


SUSPENDED: Final = ACTIVE.when(signal(suspended=True, source="hb_1")).after


def test_a_suspended_run_is_told_once_what_a_source_says_again_and_again() -> None:
    on_its_way = SUSPENDED.when(again()).after
    assert (on_its_way.state.answers["s2"].action, on_its_way.state.mail) == (
        "queued",
        SUSPENDED.state.mail,
    )
    heard = SUSPENDED.when(Acknowledge(sequence=1), Acknowledge(sequence=2)).after
    unread = heard.when(again(unread=("s",))).decided
    assert [getattr(event, "coalesced_into", None) for event in unread] == ["s"]
    last = heard.when(again(unread=("s",)), signal(signal_id="s3", run_id="w3")).decided
    assert tags(last) == ["signal-received"]


@pytest.mark.parametrize(
    "changes",
    [{"unread": ()}, {"source": "hb_2", "unread": ("s",)}, {"suspended": False, "unread": ("s",)}],
)
def test_what_was_read_or_is_of_another_source_is_told_again(changes: dict[str, Any]) -> None:
    heard = SUSPENDED.when(Acknowledge(sequence=1), Acknowledge(sequence=2)).after
    told_again = heard.when(again(**changes)).after
    assert [one.subject for one in told_again.state.mail.outbox.values()] == ["tell"]


# -- the fires of a heartbeat --

FIRE: Final = FireOf(heartbeat_id="hb_h", fire=1)
STOP: Final = StopFire(heartbeat_id="hb_h", fire=1, reason="late")
OF_FIRE: Final = AFTER.when(signal(fire=FIRE)).after
WAITING: Final = ACTIVE.when(signal(agent_id="b", fire=FIRE)).after


def letters(thread: Thread) -> list[tuple[str, str]]:
    return [(one.subject, one.about) for one in thread.state.mail.outbox.values()]


def test_a_run_of_a_fire_is_cancelled_with_the_reason_and_only_that_of_this_fire() -> None:
    stopped = OF_FIRE.when(STOP).after
    assert letters(stopped)[-1] == ("cancel", str(stopped.state.version))
    cancelled = ThreadRunCancelled(run_id="w", reason="late")
    assert OF_FIRE.when(STOP).decided == (cancelled,)
    assert stopped.when(STOP).decided == (), "a repeat changes nothing"
    other = StopFire(heartbeat_id="hb_h", fire=2, reason="late")
    assert OF_FIRE.when(other).decided == ()
    assert OF_FIRE.when(end("w", SAID)).after.when(STOP).decided == (), "it is over"


def test_a_fire_that_waits_its_turn_is_taken_back_and_its_heartbeat_is_told() -> None:
    for command in (STOP, CancelQueued(thread_id="t")):
        dropped = WAITING.when(command).after
        assert dropped.state.queue == ()
        assert letters(dropped)[-1] == ("fire-dropped", "1")
        assert dropped.when(STOP).decided == ()


def test_a_heartbeat_is_told_of_a_run_that_could_not_begin() -> None:
    sequence = max(OF_FIRE.state.mail.outbox)
    refused = OF_FIRE.when(RefuseBegin(sequence=sequence, run_id="w", now_ns=NOW)).after
    assert letters(refused)[-1] == ("fire-refused", "1")


def test_a_fire_waits_for_the_end_of_a_run_that_is_being_cancelled() -> None:
    cancelled = OF_FIRE.when(STOP).after
    fire = FireOf(heartbeat_id="hb_h", fire=2)
    after = cancelled.when(signal(signal_id="s2", run_id="w2", fire=fire)).after
    assert after.state.answers["s2"].action == "queued"
    assert [one.fire for one in after.state.queue] == [fire]
    kept = signal(signal_id="s2", run_id="w2", fire=fire, if_idle=IfIdle("persist"))
    assert cancelled.when(kept).after.state.queue == (), "it is to begin no run"


# -- what was told to a run that was over --


def told(thread: Thread) -> tuple[int, int]:
    """Return the sequence and the version of what is told last."""
    sequence = max(thread.state.mail.outbox)
    return sequence, int(thread.state.mail.outbox[sequence].about)


def returned(thread: Thread, **changes: Any) -> ReturnSignal:
    sequence, version = told(thread)
    return ReturnSignal(sequence=sequence, over="r1", unread=unread(version, **changes), now_ns=NOW)


def unread(version: int, **changes: Any) -> Unread:
    fields: dict[str, Any] = {"run_id": "w", "agent_id": "a", "signal_id": "s", **changes}
    return Unread(version=version, **fields)


TELLS: Final = ACTIVE.when(signal()).after


def test_what_came_too_late_waits_until_the_run_has_said_that_it_is_over() -> None:
    waits = TELLS.when(returned(TELLS)).after
    assert [one.run_id for one in waits.state.queue] == ["w"]
    begins = waits.when(end("r1", SAID)).decided
    assert begins[-1] == ThreadRunClaimed(run_id="w", agent_id="a")


def test_what_came_too_late_begins_a_run_if_the_thread_is_idle() -> None:
    idle = TELLS.when(end("r1", SAID)).after
    assert tags(idle.when(returned(idle)).decided) == [
        "message-delivered",
        "signal-returned",
        "thread-run-claimed",
    ]


def test_nobody_is_next_until_what_came_too_late_has_come_back() -> None:
    sequence, version = told(TELLS)
    ended = TELLS.when(ask("r2"), end("r1", SAID)).after
    assert (ended.state.active, len(ended.state.queue)) == (None, 1)
    entry = open_entry(ended.state)
    assert entry is not None
    assert entry.status == "active"
    late = ReturnSignal(sequence=sequence, over="r1", unread=unread(version), now_ns=NOW)
    assert of_runs(ended.when(late).after) == ("w", ["r2"], [("w", "begin")])
    taken = ended.when(Acknowledge(sequence=sequence)).after
    assert of_runs(taken) == ("r2", [], [("r2", "begin")])


def test_what_is_said_meanwhile_comes_back_after_it() -> None:
    ended = TELLS.when(end("r1", SAID)).after
    more = ended.when(signal(signal_id="s2", run_id="w2")).after
    assert [one.to for one in more.state.mail.outbox.values()] == [run_stream("r1")] * 3
    own = ended.when(signal(signal_id="s2", run_id="w2", after=True)).after
    assert [one.run_id for one in own.state.queue] == ["w2"]


@pytest.mark.parametrize(
    ("how", "kept"),
    [({"if_idle": "discard"}, "signal-dropped"), ({"appended": SAID}, "message-appended")],
)
def test_what_came_too_late_is_dealt_with_as_on_an_idle_thread(
    how: dict[str, Any], kept: str
) -> None:
    assert tags(TELLS.when(returned(TELLS, **how)).decided) == ["message-delivered", kept]


# -- what a run was told, and has not read --


def heard(thread: Thread) -> Thread:
    """Return the thread once all that it says has arrived."""
    for sequence in thread.state.mail.outbox:
        thread = thread.when(Acknowledge(sequence=sequence)).after
    return thread


LATER: Final = TELLS.when(signal(signal_id="s2", run_id="w2")).after
S1: Final = unread(TELLS.state.version)
S2: Final = unread(LATER.state.version, signal_id="s2", run_id="w2")


def of_runs(thread: Thread) -> tuple[str, list[str], list[tuple[str, str]]]:
    """Return who is active, who waits, and what the runs are told that have not begun before."""
    active = thread.state.active
    told = [
        (one.to.removeprefix("run-"), one.subject)
        for one in thread.state.mail.outbox.values()
        if one.to != run_stream("r1")
    ]
    return active.run_id if active else "", [one.run_id for one in thread.state.queue], told


def test_what_a_run_has_not_read_begins_the_next_one_which_is_told_the_rest() -> None:
    after = heard(LATER).when(end("r1", SAID, unread=(S1, S2))).after
    assert of_runs(after) == ("w", [], [("w", "begin"), ("w", "tell")])


def test_what_a_run_has_not_read_comes_before_what_came_later() -> None:
    queued = heard(TELLS).when(ask("r2"), ask("r3", agent_id="b")).after
    after = queued.when(end("r1", SAID, unread=(S1,))).after
    assert of_runs(after) == ("w", ["r2", "r3"], [("w", "begin")])


def test_what_a_run_has_not_read_comes_after_what_waited_before() -> None:
    tells = heard(QUEUED.when(signal()).after)
    version = QUEUED.state.version + 1
    after = tells.when(end("r1", SAID, unread=(unread(version),))).after
    assert of_runs(after) == ("r2", [], [("r2", "begin"), ("r2", "tell")])
    other = heard(ACTIVE.when(ask("r2", agent_id="b"), signal()).after)
    after = other.when(end("r1", SAID, unread=(unread(version),))).after
    assert of_runs(after) == ("r2", ["w"], [("r2", "begin")])


def test_one_that_does_not_want_to_wait_is_told_what_the_cancelled_one_has_not_read() -> None:
    cancels = heard(LATER.when(ask("r2", "cancel_previous")).after)
    after = cancels.when(end("r1", unread=(S1, S2))).after
    assert of_runs(after) == ("r2", [], [("r2", "begin"), ("r2", "tell"), ("r2", "tell")])


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ({"if_idle": "discard"}, "signal-dropped"),
        ({"if_idle": "persist", "appended": SAID}, "message-appended"),
        ({"expires_at_ns": NOW}, "signal-dropped"),
    ],
)
def test_what_a_run_has_not_read_need_not_wake_anybody(how: dict[str, Any], kept: str) -> None:
    after = end("r1", unread=(unread(TELLS.state.version, **how),))
    assert tags(TELLS.when(after).decided) == ["thread-run-released", kept]


def test_what_is_to_be_kept_is_there_before_the_next_run_begins() -> None:
    kept = unread(S1.version, if_idle="persist", appended=SAID)
    decided = heard(LATER).when(end("r1", unread=(S2, kept))).decided
    assert tags(decided)[1:] == ["signal-returned", "message-appended", "thread-run-claimed"]


@pytest.mark.parametrize(("behaviour", "kept"), [("persist", SAID), ("discard", None)])
def test_what_is_to_wake_nobody_does_not_wait_for_the_turn_of_another_agent(
    behaviour: Any, kept: Any
) -> None:
    said = signal(agent_id="b", if_idle=IfIdle(behaviour), signal=Signal(text="hi", type="user"))
    after = ACTIVE.when(said).after
    assert after.state.queue == ()
    assert after.state.messages == (kept is not None)


# -- turns --


def test_a_run_that_does_not_want_to_wait_is_next_and_replaces_another_such_one() -> None:
    thread = QUEUED.when(ask("r3", "cancel_previous"), ask("r4", "cancel_previous")).after
    assert [one.run_id for one in thread.state.queue] == ["r4", "r2"]
    letters = [(one.to, one.subject) for one in thread.state.mail.outbox.values()]
    assert letters == [("run-r1", "begin"), ("run-r1", "cancel"), ("run-r3", "begin")]


def test_what_is_told_to_the_active_run_is_told_by_a_message() -> None:
    thread = ACTIVE.when(ask("r2", "deliver")).after
    assert thread.state.queue == ()
    assert list(outstanding(thread.state)) == [Deliver(1, run_stream("r1"), "begin", "2/3")]
    begun = thread.when(Acknowledge(sequence=1)).after
    assert list(outstanding(begun.state)) == [Deliver(2, run_stream("r1"), "tell", "4")]


def test_an_input_for_another_agent_is_not_told_to_the_active_run() -> None:
    thread = ACTIVE.when(ask("r2", "deliver", agent_id="b")).after
    assert [one.run_id for one in thread.state.queue] == ["r2"]


def test_a_signal_that_has_waited_too_long_is_dropped() -> None:
    waits = ACTIVE.when(signal(after=True, expires_at_ns=NOW + 5)).after
    row = open_entry(waits.state)
    assert row is not None
    assert (row.status, row.wake_at_ns) == ("active", NOW + 5)
    assert tags(waits.when(WakeThread(now_ns=NOW + 4)).decided) == []
    assert tags(waits.when(WakeThread(now_ns=NOW + 5)).decided) == ["signal-dropped"]


def test_a_thread_on_which_nothing_goes_on_has_no_row() -> None:
    assert open_entry(IDLE.state) is None
    row = open_entry(QUEUED.state)
    assert row is not None
    assert (row.kind, row.status, row.owes) == ("thread", "active", True)
    assert row.summary == {
        "resource_id": "u",
        "run_id": "r1",
        "agent_id": "a",
        "queued": '["r2"]',
        "begins": '["r1"]',
    }


def test_signals_that_wait_can_be_taken_back() -> None:
    waits = ACTIVE.when(signal(after=True)).after
    assert tags(waits.when(CancelQueued(thread_id="t")).decided) == ["signal-dropped"]


# -- any history --


@examples(thread_histories())
def test_at_most_one_run_is_active_and_each_begins_once(
    history: list[tuple[ThreadEvent, ...]],
) -> None:
    state, active = THREAD.initial, ""
    begun: set[str] = set()
    for event in (event for commit in history for event in commit):
        match event:
            case ThreadRunClaimed(run_id=run_id):
                assert not active
                active = run_id
            case ThreadRunReleased(run_id=run_id):
                assert active == run_id
                active = ""
            case ThreadRunAsked() | SignalReceived():
                assert event.run_id not in begun or not event.delivered_to
                begun.add(event.run_id)
            case _:
                pass
        state = evolve(state, event)
        assert (state.active.run_id if state.active else "") == active
    assert state.active is not None or not state.queue or comes_back(state)


@examples(thread_events())
def test_any_single_event_is_taken_in_even_if_nothing_led_to_it(event: ThreadEvent) -> None:
    assert evolve(ThreadState(), event).version == 1
