"""What a thread does about a command: pure, without clock, random or I/O.

The thread is the lock: a run works on it from `ThreadRunClaimed` to `ThreadRunReleased`, and the
next one is claimed in the commit that releases the one before. So there is one truth about who
is active, in the log.
"""

from __future__ import annotations

from typing import Final, assert_never

from outlive.actors.mail import Acknowledge, acknowledged
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
    WakeThread,
)
from outlive.actors.thread.signals import come_back, receive, send_back, stop
from outlive.actors.thread.turns import Events, folded, next_turn, required, take_turns
from outlive.events import (
    HistoryCondensed,
    MessageAppended,
    NotQueued,
    RunExists,
    SignalDropped,
    ThreadBusy,
    ThreadCreated,
    ThreadEvent,
    ThreadExists,
    ThreadNotFound,
    ThreadRenamed,
    ThreadRunAsked,
    ThreadRunCancelled,
    ThreadRunReleased,
    ThreadRunWithdrawn,
    ThreadState,
    run_stream,
)
from outlive.events.mail import is_repeat
from outlive.events.run.thread import BEGIN
from outlive.events.thread.state import asked_key, creation_digest, wish_digest

TAKEN_BACK: Final = "it was taken back"


def decide(state: ThreadState, command: ThreadCommand) -> Events:  # one arm each
    """Return the events that `command` causes; none if it is a repeat or comes too late.

    Raises:
        ThreadExists: created under the same id, otherwise.
        ThreadNotFound: it does not exist, and this does not begin it.
        OtherResource: it belongs to somebody else.
        ThreadBusy: a run is active, and this one is not to wait.
        RunExists, SignalExists: something else was asked under the same id.
        NobodyAnswers: no agent is known that is to answer.
        NotQueued: nothing waits under this id.
    """
    match command:
        case CreateThread():
            return _create(state, command)
        case RenameThread():
            _require(state, command.thread_id)
            return () if command.title == state.title else (ThreadRenamed(title=command.title),)
        case AppendMessages():
            _require(state, command.thread_id)
            return tuple(MessageAppended(message=message) for message in command.messages)
        case AskRun():
            return _ask(state, command)
        case SendSignal():
            return receive(state, command)
        case StopFire():
            return stop(state, command)
        case CancelQueued():
            return _cancel_queued(state, command)
        case EndRun():
            return _end(state, command)
        case RefuseBegin():
            return _refuse_begin(state, command)
        case ReturnSignal():
            return send_back(state, command)
        case CondenseHistory():
            return _condense(state, command)
        case WakeThread():
            return take_turns(state, now_ns=command.now_ns)
        case Acknowledge():
            told = acknowledged(state.mail, command)
            return (*told, *next_turn(folded(state, told)))
        case _:
            assert_never(command)


def _require(state: ThreadState, thread_id: str) -> None:
    if not state.exists:
        raise ThreadNotFound(thread_id)


def _create(state: ThreadState, command: CreateThread) -> Events:
    created = ThreadCreated(
        resource_id=command.resource_id,
        agent_id=command.agent_id,
        title=command.title,
        metadata=command.metadata,
        forked_from=command.forked_from,
    )
    if state.exists:
        if creation_digest(created) != state.request:
            raise ThreadExists(command.thread_id)
        return ()
    copied = command.copied
    said: Events = tuple(MessageAppended(message=message) for message in copied.messages)
    if not copied.condensed:
        return (created, *said)
    condensed = HistoryCondensed(
        upto=1 + copied.condensed, messages=copied.condensed, text=copied.summary
    )
    return (created, *said, condensed)


def _ask(state: ThreadState, command: AskRun) -> Events:
    known = state.answers.get(asked_key(command.run_id))
    if known is not None:
        if known.digest != wish_digest(command.wish):
            raise RunExists(command.run_id)
        return ()
    begun = required(state, command.thread_id, command.resource_id)
    asked = ThreadRunAsked(run_id=command.run_id, wish=command.wish)
    active = state.active
    if active is None:
        return take_turns(state, *begun, asked, now_ns=command.now_ns)
    match command.on_busy:
        case "queue":
            return (asked,)
        case "reject":
            raise ThreadBusy(command.thread_id, active.run_id)
        case "deliver":
            if active.agent_id != command.wish.agent_id:
                return (asked,)  # The one that is active could not answer for it.
            return (
                ThreadRunAsked(
                    run_id=command.run_id, wish=command.wish, delivered_to=active.run_id
                ),
            )
        case "cancel_previous":
            superseded = "another input has come"
            withdrawn = (
                ThreadRunWithdrawn(run_id=one.run_id, reason=superseded)
                for one in state.queue
                if one.first
            )
            cancelled = () if active.cancelled else (ThreadRunCancelled(run_id=active.run_id),)
            first = ThreadRunAsked(run_id=command.run_id, wish=command.wish, first=True)
            return (*withdrawn, first, *cancelled)


def _cancel_queued(state: ThreadState, command: CancelQueued) -> Events:
    _require(state, command.thread_id)
    waiting = {one.run_id: one for one in state.queue}
    begins = _about_to_begin(state)
    for run_id in command.run_ids or ():
        if run_id not in waiting and run_id != begins:
            raise NotQueued(command.thread_id, run_id)
    facts: list[ThreadEvent] = []
    for run_id in waiting if command.run_ids is None else command.run_ids:
        if run_id == begins:
            if state.active is not None and not state.active.cancelled:
                facts.append(
                    ThreadRunCancelled(
                        run_id=run_id, reason=command.reason or TAKEN_BACK, by=command.by
                    )
                )
            continue
        signal_id = waiting[run_id].signal_id
        if signal_id:
            facts.append(SignalDropped(signal_id=signal_id, reason="cancelled"))
        else:
            facts.append(ThreadRunWithdrawn(run_id=run_id, reason=command.reason, by=command.by))
    return tuple(facts)


def _about_to_begin(state: ThreadState) -> str:
    """Return the active run, if it has not begun yet: it may wait for what it is to see."""
    active = state.active
    if active is None:
        return ""
    to = run_stream(active.run_id)
    letters = state.mail.outbox.values()
    begins = any(letter.subject == BEGIN and letter.to == to for letter in letters)
    return active.run_id if begins else ""


def _end(state: ThreadState, command: EndRun) -> Events:
    """The active run is over: keep what was said in it, and let the next one begin.

    What it was told and has not read is read by the next one, or begins it: before what came
    later, but not before one that did not want to wait.
    """
    active = state.active
    if is_repeat(state.mail, command.message) or active is None:
        return ()
    if active.run_id != command.run_id:
        return ()  # It was withdrawn before it began, and has said nothing.
    said = (MessageAppended(message=message, run_id=command.run_id) for message in command.messages)
    released = ThreadRunReleased(
        run_id=command.run_id, status=command.status, message=command.message
    )
    facts: Events = (*said, released)
    after = folded(state, facts)
    for one in command.unread:
        more = come_back(one, now_ns=command.now_ns)
        facts, after = (*facts, *more), folded(after, more)
    return (*facts, *take_turns(after, now_ns=command.now_ns))


def _condense(state: ThreadState, command: CondenseHistory) -> Events:
    """Each part is condensed once, for the run that is about to begin."""
    active = state.active
    if active is None or active.run_id != command.run_id or command.upto <= state.condensed:
        return ()
    condensed = HistoryCondensed(
        upto=command.upto,
        messages=command.messages,
        text=command.text,
        run_id=command.run_id,
        usage=command.usage,
        error=command.error,
    )
    return (condensed,)


def _refuse_begin(state: ThreadState, command: RefuseBegin) -> Events:
    told = acknowledged(state.mail, Acknowledge(sequence=command.sequence))
    active = state.active
    if not told or active is None or active.run_id != command.run_id:
        return told
    released = ThreadRunReleased(run_id=command.run_id, status="refused")
    return take_turns(state, *told, released, now_ns=command.now_ns)
