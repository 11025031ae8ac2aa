"""Whether there is a thread for what is to be told to it later."""

from __future__ import annotations

from outlive.events import (
    LogReader,
    OtherResource,
    ThreadCreated,
    ThreadNotFound,
    Version,
    thread_stream,
)


def require_thread(log: LogReader, thread_id: str, resource_id: str) -> None:
    """Return if there is this thread, of this resource if one is said; or it can be created.

    Raises:
        ThreadNotFound: there is none, and nothing says to whom it would belong.
        OtherResource: it belongs to another one.
    """
    first = log.read(thread_stream(thread_id), after=Version(0), limit=1)
    created = first[0].event if first else None
    if not isinstance(created, ThreadCreated):
        if not resource_id:
            raise ThreadNotFound(thread_id)
    elif resource_id and created.resource_id != resource_id:
        raise OtherResource(thread_id, resource_id)
