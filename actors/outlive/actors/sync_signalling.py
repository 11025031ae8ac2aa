"""What can be said to threads and runs, for code without an event loop."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from outlive.actors.agent import Agent
from outlive.actors.sync_steering import SyncSteering
from outlive.actors.thread.accepted import SignalAccepted
from outlive.actors.thread.signalling import DELIVER, WAKE
from outlive.events import IfActive, IfIdle, SignalType
from outlive.events.run.parts import Input


class SyncSignalling(SyncSteering):
    """The part of a `SyncRuntime` through which things are said to threads and runs."""

    def signal(
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
        """Say something to whoever works on a thread, or to one run. See `Runtime.signal`."""
        return self._await(
            self._signalling.signal(
                contents,
                thread_id=thread_id,
                resource_id=resource_id,
                run_id=run_id,
                agent=agent,
                type=type,
                tag_name=tag_name,
                attributes=attributes,
                if_active=if_active,
                if_idle=if_idle,
                provider_options=provider_options,
                transient=transient,
                idempotency_key=idempotency_key,
                expires=expires,
            )
        )

    def send_message(
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
        """Say what a user says, now. See `Runtime.send_message`."""
        return self._await(
            self._signalling.send_message(
                contents,
                thread_id=thread_id,
                resource_id=resource_id,
                agent=agent,
                attributes=attributes,
                provider_options=provider_options,
                idempotency_key=idempotency_key,
            )
        )

    def queue_message(
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
        """Say what a user says, after the active run. See `Runtime.queue_message`."""
        return self._await(
            self._signalling.queue_message(
                contents,
                thread_id=thread_id,
                resource_id=resource_id,
                agent=agent,
                attributes=attributes,
                provider_options=provider_options,
                idempotency_key=idempotency_key,
                expires=expires,
            )
        )
