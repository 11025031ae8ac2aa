"""What a thread's effects are done to: the runs that it begins, tells things, and cancels.

What a message says is made of the events that it is about, each time anew: nothing of a thread
need be kept in memory for that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from outlive.actors.agent import Agent
from outlive.actors.heartbeat.told import End, parcel_to_heartbeat
from outlive.actors.mail import Acknowledge, Courier, Deliver, Parcel
from outlive.actors.run.carrying_out import plain_start, start_command
from outlive.actors.run.commands import CancelRun, StartRun, TellRun
from outlive.actors.run.model_call import cut
from outlive.actors.surroundings import Surroundings
from outlive.actors.thread.answers import told_by, wish_of
from outlive.actors.thread.commands import RefuseBegin, ReturnSignal
from outlive.actors.thread.condensing import Condenser
from outlive.actors.thread.unread import unread
from outlive.events import (
    CorruptLog,
    Event,
    Failure,
    MessageId,
    OutliveError,
    Position,
    RunState,
    SignalReceived,
    ThreadCreated,
    ThreadPlace,
    ThreadRunCancelled,
    ThreadRunWithdrawn,
    Version,
    run_stream,
    thread_stream,
)
from outlive.events.fires import FIRE_DROPPED, FIRE_REFUSED
from outlive.events.ids import id_of
from outlive.events.run.thread import BEGIN, CANCEL, TELL

SUPERSEDED: Final = "another input has come"


class ThreadWorld:
    """Performs one thread's effects. Fulfils `entity.World`."""

    def __init__(self, thread_id: str, surroundings: Surroundings) -> None:
        self._thread_id = thread_id
        self._stream = thread_stream(thread_id)
        self._all = surroundings
        self._condenser = Condenser(thread_id, surroundings)

    def reset(self, version: Version) -> None:
        """Nothing is noted, so nothing is to be forgotten."""

    def committed(self, events: Sequence[Event], version: Version) -> None:
        """Nothing need be noted; a run that is to be cancelled need not see anything."""
        for event in events:
            if isinstance(event, ThreadRunCancelled):
                self._condenser.cancelled(event.run_id)

    def perform(self, effect: Deliver, cause: Position) -> None:
        """Deliver a message, unless that is being done."""
        courier = Courier(self._stream, post=self._all.post, effects=self._all.effects)
        courier.start(effect, partial(self._pack, effect), cause)

    def give_up(self, effect: Deliver) -> None:
        """The message has arrived, or is not to any more."""
        self._all.effects.settle(self._stream, effect)

    def _pack(self, message: Deliver) -> Parcel | Awaitable[Parcel]:
        """Return what a message says.

        Raises:
            AgentNotFound: the agent of a run that is to begin is not registered.
            LogError: the events that it is about cannot be read.
        """
        id = MessageId(sender=self._stream, sequence=message.sequence)
        run_id = id_of(message.to)
        if message.subject == BEGIN:
            return self._begin(id, run_id, message.about)
        if message.subject == CANCEL:
            event = self._event(int(message.about))
            assert isinstance(event, ThreadRunCancelled), "that is what it is about"
            reason = cut(event.reason or SUPERSEDED)
            cancel = CancelRun(run_id=run_id, reason=reason, by=event.by, message=id)
            return Parcel(cancel, ends=True)
        if message.subject in (FIRE_DROPPED, FIRE_REFUSED):
            return parcel_to_heartbeat(message, self._stream, self._all, partial(_never, message))
        assert message.subject == TELL, f"a thread says nothing about {message.subject!r}"
        return self._tell(id, run_id, Version(int(message.about)))

    def _begin(self, id: MessageId, run_id: str, about: str) -> Parcel | Awaitable[Parcel]:
        asked, _, since = about.partition("/")
        event, turn = self._event(int(asked)), self._event(int(since))
        wish, transient = wish_of(event)
        created = self._event(1)
        assert isinstance(created, ThreadCreated), "a thread begins with its creation"
        place = ThreadPlace(
            thread_id=self._thread_id,
            resource_id=created.resource_id,
            until=int(since),
            transient=transient,
        )
        agent: Agent | None = None
        if isinstance(turn, ThreadRunWithdrawn):
            # Its agent may be gone: nobody calls its model.
            start = replace(plain_start(wish), withdrawn=cut(turn.reason), withdrawn_by=turn.by)
        else:
            start = start_command(wish, self._all.agents)
            agent = self._all.agents[wish.agent_id]
            history = agent.history
            place = replace(place, max_messages=history.max_messages, max_tokens=history.max_tokens)

        def refused(_: OutliveError) -> RefuseBegin:
            now_ns = self._all.clock.now_ns()
            return RefuseBegin(sequence=id.sequence, run_id=run_id, now_ns=now_ns)

        fire = event.fire if isinstance(event, SignalReceived) else None
        start = replace(start, fire=fire, message=id, thread=place)
        if agent is None or agent.history.summarize is None:
            return Parcel(start, refused=refused)
        if self._all.log.version(run_stream(run_id)):
            return Parcel(start, refused=refused)  # It has begun: what it sees is settled.
        return self._begin_condensed(start, run_id, place, agent, refused)

    async def _begin_condensed(
        self,
        start: StartRun,
        run_id: str,
        place: ThreadPlace,
        agent: Agent,
        refused: Callable[[OutliveError], RefuseBegin],
    ) -> Parcel:
        summary = await self._condenser.summary_for(
            agent, run_id, resource_id=place.resource_id, until=place.until
        )
        if isinstance(summary, ThreadRunCancelled):
            start = replace(
                start,
                withdrawn=cut(summary.reason or SUPERSEDED),
                withdrawn_by=summary.by,
            )
        else:
            start = replace(start, thread=replace(place, summary=summary))
        return Parcel(start, refused=refused)

    def _tell(self, id: MessageId, run_id: str, version: Version) -> Parcel:
        event = self._event(version)
        signal_id, signal = told_by(event)
        command = TellRun(run_id=run_id, signal_id=signal_id, signal=signal, message=id)

        def answered(state: RunState) -> Acknowledge | ReturnSignal:
            if state.mail.heard.get(self._stream, 0) >= id.sequence:
                return Acknowledge(sequence=id.sequence)
            return ReturnSignal(
                sequence=id.sequence,
                over=run_id,
                unread=unread(event, version),
                now_ns=self._all.clock.now_ns(),
            )

        return Parcel(command, answered=answered)

    def _event(self, version: int) -> Event:
        found = self._all.log.read(self._stream, after=Version(version - 1), limit=1)
        if not found or found[0].version != version:
            raise CorruptLog(f"stream {self._stream!r}", f"there is no event {version}")
        return found[0].event


def _never(message: Deliver) -> End:
    """Return how a fire has ended whose run never begins."""
    if message.subject == FIRE_REFUSED:
        taken = Failure(kind="refused", message="its run could not begin: there is one of its id")
        return End("failed", taken)
    return End("aborted", Failure(kind="cancelled", message="it was taken back before its turn"))
