"""What can be said to threads and runs from outside: `Runtime.signal` and its shorthands."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import suppress
from typing import Final

from outlive.actors.run.begun import Inbox, has_begun
from outlive.actors.steering import Steering, text_of
from outlive.actors.thread.rows import thread_that_begins, thread_that_queues
from outlive.actors.thread.submitted import CancelQueuedRequest
from outlive.events import NotQueued, run_stream

_PATIENCE_S: Final = 5.0


class Signalling(Steering):
    """The part of a runtime through which things are said to threads and runs."""

    @property
    @abstractmethod
    def _inbox(self) -> Inbox:
        """The log, with what waits in its inbox."""

    async def cancel(self, run_id: str, reason: str = "", *, by: str = "") -> bool:
        """End a run that is not wanted any more. See `Steering.cancel`.

        One that waits its turn on a thread is cancelled before it begins.
        """
        log, stream = self._inbox, run_stream(run_id)
        thread = thread_that_queues(log, stream)
        if thread is not None:
            request = CancelQueuedRequest(
                run_ids=(run_id,), reason=text_of("reason", reason), by=text_of("by", by)
            )
            with suppress(NotQueued):  # Its turn has come meanwhile.
                return await self._obey(thread, request) is None
        if thread_that_begins(log, stream) is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await has_begun(log, stream)
        return await super().cancel(run_id, reason, by=by)
