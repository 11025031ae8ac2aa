"""Commands, events and whole histories of threads; and what runs hear of theirs."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, cast

from hypothesis import strategies as st

from outlive.actors.mail import Acknowledge
from outlive.actors.thread.commands import (
    AppendMessages,
    AskRun,
    CancelQueued,
    CondenseHistory,
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
    Failure,
    FireOf,
    ForkPoint,
    HistoryCondensed,
    IfActive,
    IfIdle,
    MessageAppended,
    MessageDelivered,
    MessageId,
    RunWish,
    Signal,
    SignalDropped,
    SignalReceived,
    SignalReturned,
    StreamId,
    ThreadCreated,
    ThreadEvent,
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
from outlive.events.ids import id_of
from outlive.events.run.thread import BEGIN, TELL
from outlive.testing._drawn.runs import histories
from outlive.testing._drawn.values import values

_NEW: Final = ThreadState()
_AGENTS: Final = ("a", "b")
_RUNS: Final = ("r1", "r2", "r3", "r4")
_Idle: TypeAlias = Literal["wake", "persist", "discard"]
_IDLES: Final[tuple[_Idle, ...]] = ("wake", "persist", "discard")
_IDLE: Final = st.sampled_from(_IDLES)
_SAID: Final = UserMessage(text="said")
_BEGINNINGS: Final[tuple[type[Any], ...]] = (CreateThread, AskRun, SendSignal)
_EXPIRES_NS: Final = 3_000_000_000
_ANY: Final[tuple[type[Any], ...]] = (
    *[AskRun] * 4,
    *[SendSignal] * 5,
    *[EndRun] * 6,
    *[Acknowledge] * 5,
    *[ReturnSignal] * 2,
    *[CondenseHistory] * 2,
    RefuseBegin,
    CancelQueued,
    StopFire,
    WakeThread,
    AppendMessages,
    RenameThread,
    CreateThread,
)


@st.composite
def thread_commands(
    draw: st.DrawFn, state: ThreadState = _NEW, *, now_ns: int = 0
) -> ThreadCommand:
    """Draw a command for a thread in `state`: mostly one that brings it on.

    Args:
        state: what the thread has come to. Before its first event it can only be begun.
        now_ns: the instant at which the command comes.
    """
    kind: type[Any] = draw(st.sampled_from(_ANY if state.exists else _BEGINNINGS))
    if kind is CreateThread:
        return _create()
    if kind is RenameThread:
        return RenameThread(thread_id="t", title=draw(st.sampled_from("xy")))
    if kind is AppendMessages:
        return AppendMessages(thread_id="t", messages=(_SAID,))
    if kind is AskRun:
        return AskRun(
            thread_id="t",
            resource_id="u",
            run_id=draw(st.sampled_from(_RUNS)),
            wish=RunWish(agent_id=draw(st.sampled_from(_AGENTS)), input="do it"),
            on_busy=draw(st.sampled_from(["queue", "deliver", "reject", "cancel_previous"])),
            now_ns=now_ns,
        )
    if kind is SendSignal:
        return _signal(draw, now_ns)
    if kind is CancelQueued:
        ids = tuple(one.run_id for one in state.queue[:1])
        return CancelQueued(thread_id="t", run_ids=draw(st.sampled_from([None, ids])), by="p")
    if kind is StopFire:
        return StopFire(heartbeat_id="hb_h", fire=draw(st.integers(1, 9)), reason="late")
    if kind is WakeThread:
        return WakeThread(now_ns=now_ns)
    if kind is CondenseHistory:
        return CondenseHistory(
            run_id="r0" if state.active is None else state.active.run_id,
            upto=draw(st.integers(1, state.version)),
            messages=1,
            text="so far",
            error=draw(st.sampled_from([None, None, Failure(kind="error", message="boom")])),
        )
    if kind is EndRun:
        return _end(draw, state, now_ns)
    return _of_a_message(draw, state, kind, now_ns)


def _create() -> CreateThread:
    return CreateThread(thread_id="t", resource_id="u", agent_id="a", metadata={})


def _signal(draw: st.DrawFn, now_ns: int) -> SendSignal:
    number = draw(st.integers(1, 9))
    return SendSignal(
        thread_id="t",
        resource_id="u",
        signal_id=f"s{number}",
        signal=Signal(text="hear"),
        if_active=IfActive(draw(st.sampled_from(["deliver", "deliver", "persist", "discard"]))),
        if_idle=IfIdle(draw(st.sampled_from(["wake", "wake", "persist", "discard"]))),
        run_id=f"w{number}",
        agent_id=draw(st.sampled_from(["", *_AGENTS])),
        after=draw(st.booleans()),
        suspended=draw(st.booleans()),
        source=draw(st.sampled_from(["", "hb"])),
        unread=(f"s{draw(st.integers(1, 9))}",),
        expires_at_ns=draw(st.sampled_from([None, _EXPIRES_NS])),
        now_ns=now_ns,
        fire=draw(st.sampled_from([None, FireOf(heartbeat_id="hb_h", fire=number)])),
        message=None,
    )


def _end(draw: st.DrawFn, state: ThreadState, now_ns: int) -> EndRun:
    run_id = "r0" if state.active is None else state.active.run_id
    told = draw(st.lists(st.integers(1, max(state.version, 1)), max_size=2, unique=True))
    return EndRun(
        message=MessageId(sender=run_stream(run_id), sequence=1),
        run_id=run_id,
        status="completed",
        messages=(_SAID, AssistantMessage(text="done")),
        unread=tuple(_unread(draw, version) for version in sorted(told)),
        now_ns=now_ns,
    )


def _of_a_message(
    draw: st.DrawFn, state: ThreadState, kind: type[Any], now_ns: int
) -> RefuseBegin | ReturnSignal | Acknowledge:
    sequence, letter = state.mail.sent, None
    if state.mail.outbox:
        sequence = draw(st.sampled_from(list(state.mail.outbox)))
        letter = state.mail.outbox[sequence]
    if kind is RefuseBegin and letter is not None and letter.subject == BEGIN:
        return RefuseBegin(sequence=sequence, run_id=id_of(letter.to), now_ns=now_ns)
    if kind is ReturnSignal and letter is not None and letter.subject == TELL:
        return ReturnSignal(
            sequence=sequence,
            over=id_of(letter.to),
            unread=_unread(draw, int(letter.about)),
            now_ns=now_ns,
        )
    return Acknowledge(sequence=sequence)


def _unread(draw: st.DrawFn, version: int) -> Unread:
    behaviour = draw(_IDLE)
    return Unread(
        version=version,
        run_id=f"w{version}",
        agent_id=draw(st.sampled_from(_AGENTS)),
        signal_id=f"u{version}",
        expires_at_ns=draw(st.sampled_from([None, _EXPIRES_NS])),
        if_idle=behaviour,
        appended=_SAID if behaviour == "persist" else None,
    )


def thread_histories(*, max_commands: int = 40) -> st.SearchStrategy[list[tuple[ThreadEvent, ...]]]:
    """Draw valid histories of threads: a list of commits, as `decide` has caused them."""
    drawn = histories(
        lambda state, now_ns: thread_commands(state, now_ns=now_ns),
        entity=THREAD,
        max_commands=max_commands,
    )
    return cast("st.SearchStrategy[list[tuple[ThreadEvent, ...]]]", drawn)


def thread_events() -> st.SearchStrategy[ThreadEvent]:
    """Draw a single event of a thread, with anything in it that it may hold.

    For what must take any event whatever came before it: codecs, exporters, views. For events
    that follow from each other see `thread_histories`.
    """
    text, count = st.text(max_size=10), st.integers(0, 2**31)
    instants = st.none() | st.integers(0, 2**62)
    objects = st.dictionaries(text, values(), max_size=3)
    said = st.builds(UserMessage, text=text) | st.builds(AssistantMessage, text=text)
    wishes = st.builds(
        RunWish, agent_id=text, input=text, metadata=objects, request_context=objects
    )
    ids = {"run_id": text, "agent_id": text}
    message_ids = st.builds(MessageId, sender=text.map(StreamId), sequence=count)
    return st.one_of(
        st.builds(
            ThreadCreated,
            resource_id=text,
            agent_id=text,
            title=text,
            metadata=objects,
            forked_from=st.none() | st.builds(ForkPoint, thread_id=text, version=count),
        ),
        st.builds(ThreadRenamed, title=text),
        st.builds(MessageAppended, message=said, run_id=text),
        st.builds(ThreadRunAsked, run_id=text, wish=wishes, first=st.booleans(), delivered_to=text),
        st.builds(
            SignalReceived,
            signal_id=text,
            signal=signals(),
            action=st.sampled_from(["delivered", "queued", "woken", "persisted", "discarded"]),
            if_active=st.builds(
                IfActive, st.sampled_from(["deliver", "persist", "discard"]), objects
            ),
            if_idle=st.builds(
                IfIdle, st.sampled_from(["wake", "persist", "discard"]), objects, objects
            ),
            delivered_to=text,
            expires_at_ns=instants,
            source=text,
            coalesced_into=text,
            fire=st.none() | st.builds(FireOf, heartbeat_id=text, fire=count),
            message=st.none() | message_ids,
            **ids,
        ),
        st.builds(
            SignalReturned,
            version=count,
            signal_id=text,
            expires_at_ns=instants,
            delivered_to=text,
            **ids,
        ),
        st.builds(
            SignalDropped,
            signal_id=text,
            reason=st.sampled_from(["expired", "cancelled", "discarded"]),
        ),
        st.builds(ThreadRunClaimed, **ids),
        st.builds(ThreadRunCancelled, run_id=text, reason=text, by=text),
        st.builds(
            HistoryCondensed,
            upto=count,
            messages=count,
            text=text,
            run_id=text,
            usage=st.builds(Usage, input_tokens=count, output_tokens=count),
            error=st.none() | st.builds(Failure, kind=text, message=text, exception=text),
        ),
        st.builds(
            ThreadRunReleased,
            run_id=text,
            status=st.sampled_from(["completed", "failed", "cancelled", "refused"]),
            message=st.none() | message_ids,
        ),
        st.builds(ThreadRunWithdrawn, run_id=text, reason=text, by=text),
        st.builds(MessageDelivered, sequence=count, to=text.map(StreamId)),
    )


def signals() -> st.SearchStrategy[Signal]:
    """Draw a signal, with anything in it that it may hold."""
    text = st.text(max_size=10)
    names = st.from_regex("[a-z]{1,5}", fullmatch=True)
    return st.builds(
        Signal,
        text=text,
        type=st.sampled_from(["user", "notification", "reactive", "state"]),
        tag_name=st.just("") | names,
        attributes=st.dictionaries(names, st.integers(0, 9) | text, max_size=2),
        provider_options=st.dictionaries(text, st.integers(0, 9), max_size=2),
        transient=st.booleans(),
    )
