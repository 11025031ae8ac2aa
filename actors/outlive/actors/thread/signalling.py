"""What can be said to threads and runs from outside: `Runtime.signal` and its shorthands."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final, Literal

from outlive.actors.agent import Agent
from outlive.actors.ids import Ids
from outlive.actors.kind import SUSPENDED
from outlive.actors.retry import seconds
from outlive.actors.run.begun import Inbox, has_begun
from outlive.actors.run.submitted import SignalRunRequest
from outlive.actors.steering import Steering, text_of
from outlive.actors.thread.accepted import SignalAccepted, accepted_by
from outlive.actors.thread.rows import begun_by, thread_that_begins, thread_that_queues
from outlive.actors.thread.submitted import CancelQueuedRequest, SignalRequest
from outlive.events import (
    Clock,
    IfActive,
    IfIdle,
    InvalidDefinition,
    InvalidSignal,
    NotQueued,
    Refused,
    RunId,
    Signal,
    SignalType,
    StreamId,
    run_stream,
    thread_stream,
)
from outlive.events.ids import stream_id
from outlive.events.run.parts import Input
from outlive.events.signals import check_if_active, check_if_idle, new_signal
from outlive.events.values import digest
from outlive.projections.lists import check_text

_PATIENCE_S: Final = 5.0
DELIVER: Final = IfActive()
WAKE: Final = IfIdle()


class Signalling(Steering):
    """The part of a runtime through which things are said to threads and runs."""

    _ids: Ids
    _clock: Clock

    @property
    @abstractmethod
    def _inbox(self) -> Inbox:
        """The log, with what waits in its inbox."""

    async def signal(
        self,
        contents: Input,
        *,
        thread_id: str | None = None,
        resource_id: str | None = None,
        run_id: str | None = None,
        agent: str | Agent | None = None,
        type: SignalType | Literal["system-reminder"] = "notification",
        tag_name: str | None = None,
        attributes: Mapping[str, object] | None = None,
        if_active: IfActive = DELIVER,
        if_idle: IfIdle = WAKE,
        provider_options: Mapping[str, object] | None = None,
        transient: bool = False,
        idempotency_key: str | None = None,
        expires: float | timedelta | None = None,
    ) -> SignalAccepted:
        """Say something to whoever works on a thread, or to one run; return once that is durable.

        What was accepted survives SIGKILL, and is read once, in order. What becomes of it depends
        on what the thread does at that moment, and is in the answer's `action`. With no owner up
        it waits in the inbox, and the action is `submitted`.

        Args:
            contents: text, or a list of `TextPart`, `ImagePart` and `FilePart`.
            thread_id: the thread; or else
            run_id: the run. Then nothing is said of idle threads, agents and expiry.
            resource_id: to whom the thread belongs. One that does not exist is created for it.
            agent: who is to read it; whoever is active, or has answered last, if left out. If
                another one is active, it waits.
            type: who speaks: `user`, `notification`, `reactive` (also `system-reminder`), `state`.
            tag_name: the element that the model sees, in the place of the type's.
            attributes: JSON values under XML names.
            if_active: what becomes of it while a run is active on the thread.
            if_idle: what becomes of it otherwise.
            provider_options: JSON, merged into that of the run that reads it.
            transient: show it to the run that reads it, and do not keep it in the thread.
            idempotency_key: the same again, among the last thousand of a thread or hundred of a
                run, changes nothing, and has the same answer.
            expires: seconds, or a `timedelta`, after which it is dropped if it waits its turn
                still.

        Raises:
            InvalidSignal: it could not be shown to a model, or the options contradict each other.
            ThreadNotFound: there is no such thread, and no `resource_id` to create one for.
            OtherResource: the thread belongs to another one.
            NobodyAnswers: it is to wake an agent, and none is known.
            AgentNotFound: the agent is not registered with the owner.
            SignalExists: another signal has this idempotency key.
            RunOver, RunNotFound: nobody reads what is said to the run.
            Refused: the run has not begun: it waits its turn on a thread.
            EventTooLarge, InvalidId, LogParked, ValueError: nothing was written.
        """
        signal = new_signal(
            contents,
            type=type,
            tag_name=tag_name,
            attributes=attributes,
            provider_options=provider_options,
            transient=transient,
        )
        if run_id is not None:
            others = (thread_id, resource_id, agent, expires)
            if any(one is not None for one in others) or (if_active, if_idle) != (DELIVER, WAKE):
                raise ValueError("to a run nothing is said about threads, agents and expiry")
            return await self._signal_run(run_id, signal, idempotency_key)
        if thread_id is None:
            raise ValueError("say to whom: thread_id=..., or run_id=...")
        return await self._signal_thread(
            thread_id,
            signal,
            resource_id=resource_id,
            agent=agent,
            if_active=if_active,
            if_idle=if_idle,
            idempotency_key=idempotency_key,
            expires=expires,
        )

    async def send_message(
        self,
        contents: Input,
        *,
        thread_id: str,
        resource_id: str | None = None,
        agent: str | Agent | None = None,
        attributes: Mapping[str, object] | None = None,
        provider_options: Mapping[str, object] | None = None,
        idempotency_key: str | None = None,
    ) -> SignalAccepted:
        """Say what a user says, now: to the active run, or it begins one.

        The same as `signal(type="user")`; see there.
        """
        signal = new_signal(
            contents, type="user", attributes=attributes, provider_options=provider_options
        )
        return await self._signal_thread(
            thread_id,
            signal,
            resource_id=resource_id,
            agent=agent,
            idempotency_key=idempotency_key,
        )

    async def queue_message(
        self,
        contents: Input,
        *,
        thread_id: str,
        resource_id: str | None = None,
        agent: str | Agent | None = None,
        attributes: Mapping[str, object] | None = None,
        provider_options: Mapping[str, object] | None = None,
        idempotency_key: str | None = None,
        expires: float | timedelta | None = None,
    ) -> SignalAccepted:
        """Say what a user says, after the active run: it begins a run of its own, in order.

        See `signal`; the action is `queued`, or `woken` if the thread is idle.
        """
        signal = new_signal(
            contents, type="user", attributes=attributes, provider_options=provider_options
        )
        return await self._signal_thread(
            thread_id,
            signal,
            resource_id=resource_id,
            agent=agent,
            idempotency_key=idempotency_key,
            expires=expires,
            after=True,
        )

    async def _signal_thread(
        self,
        thread_id: str,
        signal: Signal,
        *,
        resource_id: str | None,
        agent: str | Agent | None,
        if_active: IfActive = DELIVER,
        if_idle: IfIdle = WAKE,
        idempotency_key: str | None,
        expires: float | timedelta | None = None,
        after: bool = False,
    ) -> SignalAccepted:
        active, idle = check_if_active(if_active), check_if_idle(if_idle)
        if signal.transient and "persist" in (active.behaviour, idle.behaviour):
            raise InvalidSignal("transient", "what is persisted is kept, and this is not to be")
        stream = thread_stream(thread_id)
        if resource_id is not None:
            check_text("resource_id", resource_id)
        agent_id = agent.id if isinstance(agent, Agent) else agent or ""
        if agent_id:
            stream_id("agent", agent_id)
        expires_at_ns = None
        if expires is not None:
            expires_at_ns = self._clock.now_ns() + _length_ns(expires)
        request = SignalRequest(
            signal_id=self._signal_id(idempotency_key),
            signal=signal,
            run_id=self._ids.run_id(),
            if_active=active,
            if_idle=idle,
            agent_id=agent_id,
            resource_id=resource_id or "",
            after=after,
            expires_at_ns=expires_at_ns,
        )
        waits = await self._obey(stream, request) is not None
        if waits:
            return SignalAccepted(signal_id=request.signal_id, action="submitted")
        return accepted_by(self._inbox, stream, request.signal_id)

    async def _signal_run(
        self, run_id: str, signal: Signal, idempotency_key: str | None
    ) -> SignalAccepted:
        stream = run_stream(run_id)
        await self._require_begun(run_id, stream)
        request = SignalRunRequest(signal_id=self._signal_id(idempotency_key), signal=signal)
        if await self._obey(stream, request) is not None:
            return SignalAccepted(signal_id=request.signal_id, action="submitted")
        entry = self._inbox.open_entry(stream)
        waits = entry is not None and entry.status == SUSPENDED
        return SignalAccepted(
            signal_id=request.signal_id,
            action="queued" if waits else "delivered",
            run_id=RunId(run_id),
        )

    async def _require_begun(self, run_id: str, stream: StreamId) -> None:
        """Wait for a run that is just about to begin. Raises Refused if its turn has not come."""
        log = self._inbox
        if begun_by(log, stream) is None:
            return
        if thread_that_queues(log, stream) is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await has_begun(log, stream)
        if not log.version(stream):
            raise Refused(f"run {run_id!r} has not begun: it waits its turn, and can be told then")

    def _signal_id(self, idempotency_key: str | None) -> str:
        if idempotency_key is None:
            return str(self._ids.run_id())
        if not text_of("idempotency_key", idempotency_key):
            raise ValueError("an idempotency key is not empty")
        return digest(b"signal", idempotency_key.encode())

    async def cancel(self, run_id: str, reason: str = "", *, by: str = "") -> bool:
        """End a run that is not wanted any more. See `Steering.cancel`.

        One that waits its turn on a thread is cancelled before it begins.
        """
        log, stream = self._inbox, run_stream(run_id)
        request = CancelQueuedRequest(
            run_ids=(run_id,), reason=text_of("reason", reason), by=text_of("by", by)
        )
        thread = thread_that_queues(log, stream)
        if thread is not None:
            with suppress(NotQueued):  # Its turn has come meanwhile.
                return await self._obey(thread, request) is None
        thread = thread_that_begins(log, stream)
        if thread is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await has_begun(log, stream)
            if not log.version(stream):
                with suppress(NotQueued):  # What it is to see is still being condensed.
                    return await self._obey(thread, request) is None
        return await super().cancel(run_id, reason, by=by)


def _length_ns(expires: float | timedelta) -> int:
    try:
        length = seconds("expires", expires)
    except InvalidDefinition as error:
        raise InvalidSignal("expires", str(error)) from None
    return round(length * 1e9)
