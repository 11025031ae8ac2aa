"""The state that a thread's events fold into: who is active, and what waits; no message."""

from __future__ import annotations

from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from outlive.events.fires import FIRE_DROPPED, FIRE_REFUSED, FireOf, tell_heartbeat
from outlive.events.ids import StreamId
from outlive.events.mail import NO_MAIL, Letter, Mail, MessageDelivered, delivered, hear, post
from outlive.events.run.thread import BEGIN, CANCEL, TELL
from outlive.events.thread.events import (
    HistoryCondensed,
    MessageAppended,
    RunWish,
    SignalAction,
    SignalDropped,
    SignalReceived,
    SignalReturned,
    ThreadCreated,
    ThreadEvent,
    ThreadRenamed,
    ThreadRunAsked,
    ThreadRunCancelled,
    ThreadRunClaimed,
    ThreadRunReleased,
    ThreadRunWithdrawn,
)
from outlive.events.values import digest

ANSWERS_KEPT: Final = 1_000
"""So many signals, the last ones, are known again when they are repeated."""

_encode: Final = msgspec.msgpack.Encoder().encode


class ActiveRun(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The run that the thread belongs to."""

    run_id: str
    agent_id: str
    cancelled: bool = False  # it is to be
    fire: FireOf | None = None  # of a heartbeat, which it is


class Waiting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What will be a run when its turn has come. `version` is that of the event that holds it."""

    version: int
    run_id: str
    agent_id: str
    signal_id: str = ""  # none: it was asked for as a run
    expires_at_ns: int | None = None
    first: bool = False  # it has cancelled what was before it
    joins: bool = False  # it was told to a run that is over: the next one of its agent is told
    fire: FireOf | None = None  # of a heartbeat, which it will be


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a signal, or of a wish to run, for who repeats it."""

    action: SignalAction
    run_id: str = ""  # the run that it was delivered to, or that it begins
    digest: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The last signal of a source. `version` is that of the event that holds it."""

    signal_id: str
    version: int


class ThreadState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A thread between two events."""

    version: int = 0
    request: str = ""  # digest of what it was created with
    resource_id: str = ""
    agent_id: str = ""
    last_agent_id: str = ""  # of the last run
    title: str = ""
    messages: int = 0
    active: ActiveRun | None = None
    ended: ActiveRun | None = None  # the last one, until there is another
    queue: tuple[Waiting, ...] = ()  # in the order in which they begin
    told: dict[str, Told] = {}  # by source
    answers: dict[str, Answer] = {}  # by signal, or `asked_key`
    condensed: int = 0  # what was said up to this version is
    mail: Mail = NO_MAIL

    @property
    def exists(self) -> bool:
        """Whether the thread has begun."""
        return self.version > 0

    def waiting(self, run_id: str) -> Waiting | None:
        """Return what waits under a run's id; None if nothing does."""
        return next((one for one in self.queue if one.run_id == run_id), None)


def signal_digest(signal: SignalReceived) -> str:
    """Return the digest that tells a repeated signal from another one under the same key."""
    return digest(_encode((signal.signal, signal.if_active, signal.if_idle)))


def wish_digest(wish: RunWish) -> str:
    """Return the digest that tells a repeated wish from another one for the same run."""
    return digest(_encode(wish))


def creation_digest(created: ThreadCreated) -> str:
    """Return the digest that tells a repeated creation from another one under the same id."""
    return digest(_encode(created))


def asked_key(run_id: str) -> str:
    """Return under which key of `answers` a wish to run stands."""
    return f"run {run_id}"


def evolve(state: ThreadState, event: ThreadEvent) -> ThreadState:  # one arm an event
    """Return the state after `event`. Pure and total; raises nothing."""
    state = replace(state, version=state.version + 1)
    match event:
        case MessageAppended():
            return replace(state, messages=state.messages + 1)
        case MessageDelivered():
            return replace(state, mail=delivered(state.mail, event.sequence))
        case ThreadCreated():
            return replace(
                state,
                request=creation_digest(event),
                resource_id=event.resource_id,
                agent_id=event.agent_id,
                title=event.title,
            )
        case ThreadRenamed():
            return replace(state, title=event.title)
        case ThreadRunAsked():
            return _asked(state, event)
        case SignalReceived():
            return _received(state, event)
        case SignalReturned():
            if event.delivered_to:
                state = replace(state, queue=_without(state.queue, event.run_id))
                return _tell(state, event.delivered_to, event.version)
            return _with_waiting(
                state,
                Waiting(
                    version=event.version,
                    run_id=event.run_id,
                    agent_id=event.agent_id,
                    signal_id=event.signal_id,
                    expires_at_ns=event.expires_at_ns,
                    joins=True,
                ),
            )
        case SignalDropped():
            return _dropped(state, event)
        case ThreadRunClaimed():
            return _claimed(state, event)
        case ThreadRunCancelled():
            if state.active is None:
                return state
            # One that stands still takes nothing else, and is to end all the same.
            to, about = _stream(event.run_id), str(state.version)
            letter = Letter(to=to, subject=CANCEL, about=about, overtakes=TELL)
            return replace(
                state,
                active=replace(state.active, cancelled=True),
                mail=post(state.mail, letter),
            )
        case ThreadRunReleased():
            mail = hear(state.mail, event.message, last=True)
            if state.active is not None and event.status == "refused":
                mail = tell_heartbeat(mail, state.active.fire, FIRE_REFUSED)
            return replace(state, active=None, ended=state.active, mail=mail)
        case ThreadRunWithdrawn():
            one = state.waiting(event.run_id)
            if one is None:
                return state
            about = f"{one.version}/{state.version}"
            return replace(
                state,
                queue=_without(state.queue, event.run_id),
                mail=post(state.mail, Letter(to=_stream(event.run_id), subject=BEGIN, about=about)),
            )
        case HistoryCondensed():
            return state if event.error is not None else replace(state, condensed=event.upto)
        case _:
            assert_never(event)


def _asked(state: ThreadState, event: ThreadRunAsked) -> ThreadState:
    run_id = event.delivered_to
    answer = Answer(
        action="delivered" if run_id else "queued",
        run_id=run_id or event.run_id,
        digest=wish_digest(event.wish),
    )
    state = _answered(state, asked_key(event.run_id), answer)
    if run_id:
        return _tell(state, run_id, state.version)
    asked = Waiting(
        version=state.version,
        run_id=event.run_id,
        agent_id=event.wish.agent_id,
        first=event.first,
    )
    return replace(state, queue=(asked, *state.queue) if event.first else (*state.queue, asked))


def _answered(state: ThreadState, key: str, answer: Answer) -> ThreadState:
    answers = {**state.answers, key: answer}
    if len(answers) > ANSWERS_KEPT:
        del answers[next(iter(answers))]
    return replace(state, answers=answers)


def _received(state: ThreadState, event: SignalReceived) -> ThreadState:
    run_id = event.delivered_to
    if event.coalesced_into and state.active is not None:
        run_id = state.active.run_id
    elif event.action == "woken" or (event.action == "queued" and not run_id):
        run_id = event.run_id
    answer = Answer(action=event.action, run_id=run_id, digest=signal_digest(event))
    state = _answered(state, event.signal_id, answer)
    state = replace(state, mail=hear(state.mail, event.message))
    if event.coalesced_into:
        return state
    if event.source:
        last = Told(signal_id=event.signal_id, version=state.version)
        state = replace(state, told={**state.told, event.source: last})
    if event.delivered_to:
        return _tell(state, event.delivered_to, state.version)
    if event.action not in ("queued", "woken"):
        return state
    return _with_waiting(
        state,
        Waiting(
            version=state.version,
            run_id=event.run_id,
            agent_id=event.agent_id,
            signal_id=event.signal_id,
            expires_at_ns=event.expires_at_ns,
            fire=event.fire,
        ),
    )


def _dropped(state: ThreadState, event: SignalDropped) -> ThreadState:
    mail = state.mail
    for one in state.queue:
        if one.signal_id == event.signal_id:
            mail = tell_heartbeat(mail, one.fire, FIRE_DROPPED)
    queue = tuple(one for one in state.queue if one.signal_id != event.signal_id)
    return replace(state, queue=queue, mail=mail)


def _with_waiting(state: ThreadState, one: Waiting) -> ThreadState:
    """Return the state with one more that waits: behind what came before it, or is first."""
    place = len(state.queue)
    while place and state.queue[place - 1].version > one.version:
        if state.queue[place - 1].first:
            break
        place -= 1
    return replace(state, queue=(*state.queue[:place], one, *state.queue[place:]))


def _claimed(state: ThreadState, event: ThreadRunClaimed) -> ThreadState:
    one = state.waiting(event.run_id)
    mail = state.mail
    if one is not None:
        about = f"{one.version}/{state.version}"
        mail = post(mail, Letter(to=_stream(event.run_id), subject=BEGIN, about=about))
    return replace(
        state,
        active=ActiveRun(
            run_id=event.run_id,
            agent_id=event.agent_id,
            fire=None if one is None else one.fire,
        ),
        ended=None,
        last_agent_id=event.agent_id,
        queue=_without(state.queue, event.run_id),
        mail=mail,
    )


def _tell(state: ThreadState, run_id: str, version: int) -> ThreadState:
    """Return the state of a thread that owes a run what the event of this version holds."""
    letter = Letter(to=_stream(run_id), subject=TELL, about=str(version))
    return replace(state, mail=post(state.mail, letter))


def _without(queue: tuple[Waiting, ...], run_id: str) -> tuple[Waiting, ...]:
    return tuple(one for one in queue if one.run_id != run_id)


def _stream(run_id: str) -> StreamId:
    return StreamId(f"run-{run_id}")  # Folding never refuses an id.
