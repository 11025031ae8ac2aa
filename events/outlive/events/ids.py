"""The names of things: types that must not be mixed up, although all are text or numbers."""

from typing import Final, NewType

from outlive.events.errors import InvalidId

StreamId = NewType("StreamId", str)
"""One entity's events, in order: `run-7f3a`. The part before the first hyphen is its kind."""

Version = NewType("Version", int)
"""An event's number in its stream, from 1, never reused; 0 = none yet."""

Position = NewType("Position", int)
"""Orders the records of a log. Opaque: compare, store and pass it back, no arithmetic."""

RunId = NewType("RunId", str)
CallId = NewType("CallId", str)
"""A tool call within a run: `{step}.{index}`, drawn by us, never by a provider."""

NO_VERSION: Final = Version(0)
NO_POSITION: Final = Position(0)

_MAX_ID_BYTES: Final = 200


def stream_id(kind: str, id: str) -> StreamId:
    """Return the stream of entity `id` of `kind`.

    Raises:
        InvalidId: `id` is empty, longer than 200 bytes of UTF-8, or holds a character that
            is not printable.
    """
    if not isinstance(id, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # the door
        raise InvalidId(f"an id of a {kind} is text, not {type(id).__name__}")
    if not id:
        raise InvalidId(f"an id of a {kind} must not be empty")
    if not id.isprintable() or id != id.strip():
        raise InvalidId(
            f"{id!r:.300} is no id of a {kind}: use printable characters, no outer spaces"
        )
    size_bytes = len(id.encode())  # A lone surrogate is not printable.
    if size_bytes > _MAX_ID_BYTES:
        raise InvalidId(
            f"an id of a {kind} has at most {_MAX_ID_BYTES} bytes, this one {size_bytes}"
        )
    return StreamId(f"{kind}-{id}")


def run_stream(run_id: str) -> StreamId:
    """Return the stream of a run. Raises InvalidId."""
    return stream_id("run", run_id)


def task_stream(task_id: str) -> StreamId:
    """Return the stream of a task. Raises InvalidId."""
    return stream_id("task", task_id)


def thread_stream(thread_id: str) -> StreamId:
    """Return the stream of a thread. Raises InvalidId."""
    return stream_id("thread", thread_id)


def heartbeat_stream(heartbeat_id: str) -> StreamId:
    """Return the stream of a heartbeat. Raises InvalidId."""
    return stream_id("heartbeat", heartbeat_id)


def kind_of(stream: StreamId) -> str:
    """Return the kind of entity whose events `stream` holds: `run` for `run-7f3a`."""
    return stream.partition("-")[0]


def id_of(stream: StreamId) -> str:
    """Return the entity's id: `7f3a` for `run-7f3a`."""
    return stream.partition("-")[2]
