"""What a thread's facts say besides that they happened, what refusals say, and what is kept."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from outlive.actors.mail import Deliver
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
from outlive.events import (
    AssistantMessage,
    Event,
    Failure,
    FireOf,
    ForkPoint,
    HistoryCondensed,
    IfActive,
    IfIdle,
    MessageAppended,
    MessageDelivered,
    MessageId,
    NobodyAnswers,
    NotQueued,
    OtherResource,
    OutliveError,
    RunExists,
    RunWish,
    Signal,
    SignalDropped,
    SignalExists,
    SignalReceived,
    SignalReturned,
    StreamId,
    TextPart,
    ThreadBusy,
    ThreadCreated,
    ThreadEvent,
    ThreadExists,
    ThreadNotFound,
    ThreadRenamed,
    ThreadRunAsked,
    ThreadRunCancelled,
    ThreadRunClaimed,
    ThreadRunReleased,
    ThreadRunWithdrawn,
    ThreadState,
    Usage,
    UserMessage,
    run_stream,
)
from outlive.events.thread.state import ANSWERS_KEPT
from outlive.testing import Given, given

NOW: Final = 1_000
SAID: Final = UserMessage(text="hi")
ANSWERED: Final = AssistantMessage(text="hello")
CREATED: Final = ThreadCreated(resource_id="u")
BOOM: Final = Failure(kind="error", message="boom")
HEARTBEAT: Final = StreamId("heartbeat-h")
FIRE: Final = FireOf(heartbeat_id="h", fire=3)
Thread = Given[ThreadState, ThreadCommand]


def on(*events: Event) -> Thread:
    return given(*events, entity=THREAD)


def wish(said: str = "hi", agent_id: str = "a") -> RunWish:
    return RunWish(agent_id=agent_id, input=said)


def ask(run_id: str, on_busy: Any = "queue", *, agent_id: str = "a") -> AskRun:
    return AskRun(
        thread_id="t",
        resource_id="u",
        run_id=run_id,
        wish=wish(agent_id=agent_id),
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


def received(action: Any, agent_id: str = "", **more: Any) -> SignalReceived:
    fields: dict[str, Any] = {"signal_id": "s", "signal": Signal(text="hear"), "run_id": "w"}
    return SignalReceived(action=action, agent_id=agent_id, **{**fields, **more})


def end(run_id: str, *messages: Any, unread: tuple[Unread, ...] = ()) -> EndRun:
    return EndRun(
        message=MessageId(sender=run_stream(run_id), sequence=4),
        run_id=run_id,
        status="failed",
        messages=messages,
        unread=unread,
        now_ns=NOW,
    )


def released(run_id: str) -> ThreadRunReleased:
    return ThreadRunReleased(
        run_id=run_id,
        status="failed",
        message=MessageId(sender=run_stream(run_id), sequence=4),
    )


def unread(version: int, **changes: Any) -> Unread:
    fields: dict[str, Any] = {"run_id": "w", "agent_id": "a", "signal_id": "s", **changes}
    return Unread(version=version, **fields)


NEW: Final = on()
IDLE: Final = on(CREATED)
ACTIVE: Final = NEW.when(ask("r1")).after
BEGUN: Final = on(*ACTIVE.events, MessageDelivered(sequence=1, to=run_stream("r1")))
QUEUED: Final = ACTIVE.when(ask("r2")).after
AFTER: Final = BEGUN.when(end("r1", SAID, ANSWERED)).after
LATE: Final = 5  # when what may wait that long has waited too long
EXPIRING: Final = BEGUN.when(signal(after=True, expires_at_ns=NOW + LATE)).after
"""A run is active, and a signal waits its turn, but not for long."""

# -- what is recorded --

FACTS: Final[list[tuple[str, Thread, ThreadCommand, tuple[ThreadEvent, ...]]]] = [
    (
        "a thread that is created",
        NEW,
        CreateThread(
            thread_id="t",
            resource_id="u",
            agent_id="a",
            title="Talk",
            metadata={"k": 1},
            forked_from=ForkPoint(thread_id="o", version=7),
            copied=Copied(messages=(SAID, ANSWERED), condensed=1, summary="so far"),
        ),
        (
            ThreadCreated(
                resource_id="u",
                agent_id="a",
                title="Talk",
                metadata={"k": 1},
                forked_from=ForkPoint(thread_id="o", version=7),
            ),
            MessageAppended(message=SAID),
            MessageAppended(message=ANSWERED),
            HistoryCondensed(upto=2, messages=1, text="so far"),
        ),
    ),
    (
        "a title",
        IDLE,
        RenameThread(thread_id="t", title="Talk"),
        (ThreadRenamed(title="Talk"),),
    ),
    (
        "what is said from outside",
        IDLE,
        AppendMessages(thread_id="t", messages=(SAID,)),
        (MessageAppended(message=SAID),),
    ),
    (
        "a run that begins the thread",
        NEW,
        ask("r1"),
        (
            CREATED,
            ThreadRunAsked(run_id="r1", wish=wish()),
            ThreadRunClaimed(run_id="r1", agent_id="a"),
        ),
    ),
    ("a run that waits its turn", ACTIVE, ask("r2"), (ThreadRunAsked(run_id="r2", wish=wish()),)),
    (
        "an input that is told to the active run",
        ACTIVE,
        ask("r2", "deliver"),
        (ThreadRunAsked(run_id="r2", wish=wish(), delivered_to="r1"),),
    ),
    (
        "an input that another agent is to answer",
        ACTIVE,
        ask("r2", "deliver", agent_id="b"),
        (ThreadRunAsked(run_id="r2", wish=wish(agent_id="b")),),
    ),
    (
        "a run that does not want to wait",
        QUEUED.when(ask("r3", "cancel_previous")).after,
        ask("r4", "cancel_previous"),
        (
            ThreadRunWithdrawn(run_id="r3", reason="another input has come"),
            ThreadRunAsked(run_id="r4", wish=wish(), first=True),
        ),
    ),
    (
        "and cancels the active one",
        QUEUED,
        ask("r3", "cancel_previous"),
        (
            ThreadRunAsked(run_id="r3", wish=wish(), first=True),
            ThreadRunCancelled(run_id="r1"),
        ),
    ),
    (
        "the end of a run",
        QUEUED,
        end("r1", SAID, ANSWERED),
        (
            MessageAppended(message=SAID, run_id="r1"),
            MessageAppended(message=ANSWERED, run_id="r1"),
            released("r1"),
            ThreadRunClaimed(run_id="r2", agent_id="a"),
        ),
    ),
    (
        "a run that could not begin",
        QUEUED,
        RefuseBegin(sequence=1, run_id="r1", now_ns=NOW),
        (
            MessageDelivered(sequence=1, to=run_stream("r1")),
            ThreadRunReleased(run_id="r1", status="refused"),
            ThreadRunClaimed(run_id="r2", agent_id="a"),
        ),
    ),
    (
        "what is condensed",
        ACTIVE,
        CondenseHistory(
            run_id="r1", upto=3, messages=2, text="so far", usage=Usage(input_tokens=1)
        ),
        (
            HistoryCondensed(
                upto=3, messages=2, text="so far", run_id="r1", usage=Usage(input_tokens=1)
            ),
        ),
    ),
    (
        "what could not be condensed",
        ACTIVE,
        CondenseHistory(run_id="r1", upto=3, messages=2, error=BOOM),
        (HistoryCondensed(upto=3, messages=2, run_id="r1", error=BOOM),),
    ),
    (
        "a run that is taken back",
        QUEUED,
        CancelQueued(thread_id="t", reason="enough", by="me"),
        (ThreadRunWithdrawn(run_id="r2", reason="enough", by="me"),),
    ),
    (
        "a run that is taken back before it has begun",
        ACTIVE,
        CancelQueued(thread_id="t", run_ids=("r1",), by="me"),
        (ThreadRunCancelled(run_id="r1", reason="it was taken back", by="me"),),
    ),
    (
        "with a reason, beside others",
        QUEUED,
        CancelQueued(thread_id="t", run_ids=("r1", "r2"), reason="enough", by="me"),
        (
            ThreadRunCancelled(run_id="r1", reason="enough", by="me"),
            ThreadRunWithdrawn(run_id="r2", reason="enough", by="me"),
        ),
    ),
    (
        "a run that is taken back twice before it has begun",
        ACTIVE.when(CancelQueued(thread_id="t", run_ids=("r1",))).after,
        CancelQueued(thread_id="t", run_ids=("r1",)),
        (),
    ),
    (
        "a signal that is taken back",
        EXPIRING,
        CancelQueued(thread_id="t"),
        (SignalDropped(signal_id="s", reason="cancelled"),),
    ),
    (
        "a fire that is taken back",
        BEGUN.when(signal(agent_id="b", fire=FIRE)).after,
        StopFire(heartbeat_id="h", fire=3, reason="late"),
        (SignalDropped(signal_id="s", reason="cancelled"),),
    ),
]


@pytest.mark.parametrize(
    ("thread", "command", "events"),
    [pytest.param(thread, command, events, id=name) for name, thread, command, events in FACTS],
)
def test_a_fact_says_of_which_run_it_is_by_whom_and_why(
    thread: Thread, command: ThreadCommand, events: tuple[ThreadEvent, ...]
) -> None:
    thread.when(command).then(*events)


# -- signals --


def test_all_that_is_said_of_a_signal_is_recorded_with_what_becomes_of_it() -> None:
    said: dict[str, Any] = {
        "if_active": IfActive(attributes={"n": 1}),
        "if_idle": IfIdle(attributes={"n": 2}),
        "expires_at_ns": NOW + LATE,
        "source": "door",
        "fire": FIRE,
        "message": MessageId(sender=HEARTBEAT, sequence=2),
    }
    after = ACTIVE.when(signal(**said)).then(received("delivered", "a", delivered_to="r1", **said))
    assert after.state.mail.heard == {HEARTBEAT: 2}
    assert after.state.told["door"].version == after.state.version


@pytest.mark.parametrize(
    ("thread", "how", "event"),
    [
        (ACTIVE, {}, received("delivered", "a", delivered_to="r1")),
        (ACTIVE, {"agent_id": "a"}, received("delivered", "a", delivered_to="r1")),
        (ACTIVE, {"agent_id": "b"}, received("queued", "b")),
        (ACTIVE, {"suspended": True}, received("queued", "a", delivered_to="r1")),
        (ACTIVE, {"after": True}, received("queued", "a")),
        (ACTIVE, {"after": True, "agent_id": "b"}, received("queued", "b")),
        (
            ACTIVE,
            {"if_active": IfActive("discard")},
            received("discarded", if_active=IfActive("discard")),
        ),
        (
            IDLE,
            {"if_idle": IfIdle("discard")},
            received("discarded", if_idle=IfIdle("discard")),
        ),
    ],
)
def test_a_signal_says_who_is_to_read_it(
    thread: Thread, how: dict[str, Any], event: SignalReceived
) -> None:
    thread.when(signal(**how)).then(event)


@pytest.mark.parametrize(
    ("thread", "how"),
    [
        (ACTIVE, {"if_active": IfActive("persist", attributes={"n": 2})}),
        (IDLE, {"if_idle": IfIdle("persist", attributes={"n": 2})}),
    ],
)
def test_what_is_persisted_is_kept_as_a_model_reads_it(thread: Thread, how: dict[str, Any]) -> None:
    said = Signal(text="hear", parts=(TextPart("hear"),), attributes={"n": 1}, transient=True)
    shown = UserMessage(
        text='<notification n="2">hear</notification>',
        parts=(TextPart('<notification n="2">'), TextPart("hear"), TextPart("</notification>")),
        transient=True,
    )
    thread.when(signal(signal=said, **how)).then(
        received("persisted", signal=said, **how), MessageAppended(message=shown)
    )


def test_a_signal_wakes_the_agent_that_is_named_or_the_threads_own_or_the_last_one() -> None:
    own = replace(CREATED, agent_id="b")
    ran = (ThreadRunClaimed(run_id="r1", agent_id="c"), released("r1"))

    def woken(*events: Event, **how: Any) -> str:
        [said, claimed] = on(*events).when(signal(**how)).decided
        assert isinstance(said, SignalReceived)
        assert claimed == ThreadRunClaimed(run_id="w", agent_id=said.agent_id)
        return said.agent_id

    assert woken(own, *ran, agent_id="a") == "a"
    assert woken(own, *ran) == "b"
    assert woken(CREATED, *ran) == "c"


def test_one_like_it_that_was_not_read_is_enough() -> None:
    first = BEGUN.when(signal(suspended=True, source="door")).after
    again = signal(signal_id="s2", run_id="w2", suspended=True, source="door")
    after = first.when(again).then(
        received("queued", "a", signal_id="s2", run_id="w2", source="door", coalesced_into="s")
    )
    assert after.state.mail == first.state.mail
    assert after.state.answers["s2"].run_id == "r1"
    heard = on(*first.events, MessageDelivered(sequence=2, to=run_stream("r1")))
    told = heard.when(signal(signal_id="s3", run_id="w3", source="other", suspended=True)).after
    read = replace(again, unread=("s3",))
    decided = told.when(read).decided[0]
    assert isinstance(decided, SignalReceived)
    assert decided.coalesced_into == "", "what is on its way is another one"


# -- what has waited too long --


@pytest.mark.parametrize("command", [WakeThread(now_ns=NOW), end("r1")], ids=["a clock", "an end"])
@pytest.mark.parametrize("late", [False, True])
def test_what_has_waited_too_long_is_dropped_at_that_instant(
    command: WakeThread | EndRun, late: bool
) -> None:
    decided = EXPIRING.when(replace(command, now_ns=NOW + LATE - 1 + late)).decided
    dropped = SignalDropped(signal_id="s", reason="expired")
    assert (dropped in decided) is late


def test_what_has_waited_too_long_is_dropped_whatever_makes_room_for_it() -> None:
    dropped = SignalDropped(signal_id="s", reason="expired")
    waits = ACTIVE.when(signal(after=True, expires_at_ns=NOW + LATE)).after
    refuse = RefuseBegin(sequence=1, run_id="r1", now_ns=NOW + LATE)
    waits.when(refuse).then(
        MessageDelivered(sequence=1, to=run_stream("r1")),
        ThreadRunReleased(run_id="r1", status="refused"),
        dropped,
    )
    tells = waits.when(signal(signal_id="s2", run_id="w2")).after.when(end("r1")).after
    assert tells.state.active is None
    back = ReturnSignal(
        sequence=2,
        over="r1",
        unread=unread(5, signal_id="s2", run_id="w2"),
        now_ns=NOW + LATE,
    )
    tells.when(back).then(
        MessageDelivered(sequence=2, to=run_stream("r1")),
        SignalReturned(version=5, run_id="w2", agent_id="a", signal_id="s2"),
        dropped,
        ThreadRunClaimed(run_id="w2", agent_id="a"),
    )


# -- what comes back --


@pytest.mark.parametrize(
    ("how", "event"),
    [
        (
            {"expires_at_ns": NOW + 1},
            SignalReturned(
                version=4, run_id="w", agent_id="a", signal_id="s", expires_at_ns=NOW + 1
            ),
        ),
        ({"expires_at_ns": NOW}, SignalDropped(signal_id="s", reason="expired")),
        ({"if_idle": "discard"}, SignalDropped(signal_id="s", reason="discarded")),
        ({"if_idle": "persist", "appended": SAID}, MessageAppended(message=SAID)),
        (
            {"if_idle": "persist"},
            SignalReturned(version=4, run_id="w", agent_id="a", signal_id="s"),
        ),
    ],
)
@pytest.mark.parametrize("way", ["unread", "too late"])
def test_what_comes_back_is_dealt_with_as_it_was_said(
    way: str, how: dict[str, Any], event: ThreadEvent
) -> None:
    tells = BEGUN.when(signal()).after
    if way == "unread":
        ended = end("r1", unread=(unread(4, **how),))
        assert tells.when(ended).decided[:2] == (released("r1"), event)
    else:
        back = ReturnSignal(sequence=2, over="r1", unread=unread(4, **how), now_ns=NOW)
        after = tells.when(back).then(MessageDelivered(sequence=2, to=run_stream("r1")), event)
        after.when(back).then()


def test_the_next_run_of_the_same_agent_is_told_what_came_back_after_it() -> None:
    waits = BEGUN.when(ask("r2")).after
    back = (
        unread(8, expires_at_ns=NOW + LATE),
        unread(9, signal_id="s2", run_id="w2", agent_id="b"),
    )
    after = waits.when(end("r1", unread=back)).then(
        released("r1"),
        SignalReturned(
            version=8, run_id="w", agent_id="a", signal_id="s", expires_at_ns=NOW + LATE
        ),
        SignalReturned(version=9, run_id="w2", agent_id="b", signal_id="s2"),
        ThreadRunClaimed(run_id="r2", agent_id="a"),
        SignalReturned(
            version=8,
            run_id="w",
            agent_id="a",
            signal_id="s",
            expires_at_ns=NOW + LATE,
            delivered_to="r2",
        ),
    )
    assert [one.run_id for one in after.state.queue] == ["w2"]
    assert [(one.subject, one.about) for one in after.state.mail.outbox.values()] == [
        ("begin", "5/9"),
        ("tell", "8"),
    ]


# -- what a refusal says --

REFUSALS: Final[list[tuple[Thread, ThreadCommand, type[OutliveError], str]]] = [
    (
        IDLE,
        CreateThread(thread_id="t", resource_id="v", metadata={}),
        ThreadExists,
        "thread 't' exists already",
    ),
    (NEW, RenameThread(thread_id="t", title="x"), ThreadNotFound, "no thread 't'"),
    (NEW, AppendMessages(thread_id="t", messages=()), ThreadNotFound, "no thread 't'"),
    (NEW, CancelQueued(thread_id="t"), ThreadNotFound, "no thread 't'"),
    (NEW, replace(ask("r1"), resource_id=""), ThreadNotFound, "no thread 't'"),
    (NEW, signal(agent_id="a"), ThreadNotFound, "no thread 't'"),
    (IDLE, replace(ask("r1"), resource_id="v"), OtherResource, "'t' .*'v'"),
    (IDLE, signal(agent_id="a", resource_id="v"), OtherResource, "'t' .*'v'"),
    (ACTIVE, replace(ask("r1"), wish=wish("else")), RunExists, "run 'r1'"),
    (ACTIVE, ask("r2", "reject"), ThreadBusy, "run 'r1' is active on thread 't'"),
    (ACTIVE, CancelQueued(thread_id="t", run_ids=("r2",)), NotQueued, "'r2' on thread 't'"),
    (BEGUN, CancelQueued(thread_id="t", run_ids=("r1",)), NotQueued, "'r1' on thread 't'"),
    (
        BEGUN.when(signal()).after,  # It is told something, and has begun.
        CancelQueued(thread_id="t", run_ids=("r1",)),
        NotQueued,
        "'r1' on thread 't'",
    ),
    (
        BEGUN.when(ask("r2"), CancelQueued(thread_id="t")).after,  # Another one begins, to end.
        CancelQueued(thread_id="t", run_ids=("r1",)),
        NotQueued,
        "'r1' on thread 't'",
    ),
    (IDLE, signal(), NobodyAnswers, "thread 't'"),
    (
        ACTIVE.when(signal()).after,
        signal(signal=Signal(text="else")),
        SignalExists,
        "thread 't' has another signal under 's'",
    ),
    (ACTIVE.when(signal()).after, signal(if_idle=IfIdle("discard")), SignalExists, "'s'"),
    (ACTIVE.when(signal()).after, signal(if_active=IfActive("discard")), SignalExists, "'s'"),
]


@pytest.mark.parametrize(("thread", "command", "error", "words"), REFUSALS)
def test_a_refusal_names_the_thread_and_what_stands_in_the_way(
    thread: Thread, command: ThreadCommand, error: type[OutliveError], words: str
) -> None:
    thread.when(command).then_refused(error, match=words)


# -- what it comes to --


def test_it_is_known_who_is_active_who_was_and_what_was_said() -> None:
    active = ACTIVE.state.active
    assert active is not None
    assert (active.run_id, active.agent_id, active.cancelled, active.fire) == (
        *("r1", "a", False, None),
    )
    state = AFTER.state
    assert (state.active, state.ended, state.last_agent_id, state.messages) == (
        None,
        active,
        "a",
        2,
    )
    assert state.mail.heard == {}, "the run says no more"
    assert (state.version, state.resource_id) == (len(AFTER.events), "u")
    again = AFTER.when(ask("r2")).after.state
    assert again.ended is None
    titled = on(replace(CREATED, title="Talk", agent_id="b")).state
    assert (titled.title, titled.agent_id) == ("Talk", "b")
    assert on(CREATED, ThreadRenamed(title="Chat")).state.title == "Chat"


def test_a_run_that_is_asked_for_is_answered_for_when_it_is_asked_for_again() -> None:
    delivered = ACTIVE.when(ask("r2", "deliver")).after.state.answers["run r2"]
    assert (delivered.action, delivered.run_id) == ("delivered", "r1")
    queued = ACTIVE.when(ask("r2")).after.state.answers["run r2"]
    assert (queued.action, queued.run_id) == ("queued", "r2")


def test_the_last_answers_are_kept() -> None:
    signals = [received("discarded", signal_id=f"s{number}") for number in range(ANSWERS_KEPT + 1)]
    answers = on(CREATED, *signals).state.answers
    assert (len(answers), "s0" in answers, "s1" in answers) == (ANSWERS_KEPT, False, True)


def test_what_waits_stands_by_when_it_was_said_but_behind_one_that_would_not_wait() -> None:
    def order(*versions: int, first: bool = False) -> list[str]:
        thread = on(CREATED, ThreadRunClaimed(run_id="r1", agent_id="a"))
        if first:
            thread = thread.when(ask("now", "cancel_previous")).after
        back = [
            SignalReturned(version=version, run_id=f"v{version}", agent_id="a")
            for version in versions
        ]
        return [one.run_id for one in on(*thread.events, *back).state.queue]

    assert order(3, 1, 2) == ["v1", "v2", "v3"]
    assert order(2, 1, first=True) == ["now", "v1", "v2"]


def test_a_heartbeat_is_told_of_a_fire_that_began_no_run() -> None:
    waits = BEGUN.when(signal(agent_id="b", fire=FIRE)).after
    dropped = waits.when(CancelQueued(thread_id="t")).after
    assert list(outstanding(dropped.state)) == [Deliver(2, HEARTBEAT, "fire-dropped", "3")]
    claims = waits.when(end("r1")).after
    assert claims.state.active is not None
    assert claims.state.active.fire == FIRE
    refused = claims.when(RefuseBegin(sequence=2, run_id="w", now_ns=NOW)).after
    assert list(outstanding(refused.state)) == [Deliver(3, HEARTBEAT, "fire-refused", "3")]
    assert outstanding(claims.when(end("w")).after.state) == {
        Deliver(2, run_stream("w"), "begin", "5/7"): None
    }


def test_a_run_that_is_cancelled_is_told_so_ahead_of_what_it_is_to_hear() -> None:
    tells = BEGUN.when(signal()).after.when(ask("r2", "cancel_previous")).after
    assert tells.state.active is not None
    assert tells.state.active.cancelled
    assert list(outstanding(tells.state)) == [
        Deliver(2, run_stream("r1"), "tell", "5"),
        Deliver(3, run_stream("r1"), "cancel", "7"),
    ]


def test_the_row_says_until_when_what_waits_does_and_whether_anything_goes_on() -> None:
    row = open_entry(EXPIRING.state)
    assert row is not None
    assert (row.kind, row.status, row.wake_at_ns, row.owes) == (
        *("thread", "active", NOW + LATE, False),
    )
    sooner = EXPIRING.when(
        signal(signal_id="s2", run_id="w2", after=True, expires_at_ns=NOW + 2),
        signal(signal_id="s3", run_id="w3", after=True),
    ).after
    row = open_entry(sooner.state)
    assert row is not None
    assert (row.wake_at_ns, row.summary["queued"]) == (NOW + 2, '["w","w2","w3"]')
    withdrawn = BEGUN.when(ask("r2"), end("r1"), ask("r3"), end("r2")).after
    cancelled = withdrawn.when(CancelQueued(thread_id="t", run_ids=("r3",)), end("r3")).after
    row = open_entry(cancelled.state)
    assert row is not None
    assert (row.status, row.owes) == ("idle", True)
