"""What a thread's events say of a signal or of a wish to run, for who has sent it."""

from __future__ import annotations

from typing import Final

from outlive.events import (
    Event,
    LogReader,
    Recorded,
    RunWish,
    Signal,
    SignalReceived,
    StreamId,
    ThreadRunAsked,
    Version,
)

_FIRST_LOOK: Final = 32  # events
_PAGE: Final = 1_000


def asked_on(
    log: LogReader, thread: StreamId, *, run_id: str = "", signal_id: str = ""
) -> Recorded | None:
    """Return the event by which a thread has taken a wish to run, or a signal; None if none has.

    It is looked for from the end: what was taken just now is found at once.
    """
    upto, size = log.version(thread), _FIRST_LOOK
    while upto:
        start = Version(max(upto - size, 0))
        for recorded in reversed(log.read(thread, after=start, limit=upto - start)):
            event = recorded.event
            if isinstance(event, ThreadRunAsked | SignalReceived) and run_id == event.run_id:
                return recorded
            if isinstance(event, SignalReceived) and signal_id == event.signal_id:
                return recorded
        upto, size = start, min(size * 4, _PAGE)
    return None


def wish_of(event: Event) -> tuple[RunWish, bool]:
    """Return what a run is started with that an event asks for, and whether it is transient."""
    if isinstance(event, ThreadRunAsked):
        return event.wish, False
    assert isinstance(event, SignalReceived), "a run begins with what was asked, or signalled"
    idle = event.if_idle
    text, parts = event.signal.with_attributes(idle.attributes).rendered()
    wish = RunWish(
        agent_id=event.agent_id,
        input=text,
        parts=parts,
        request_context=idle.request_context,
        provider_options=event.signal.provider_options,
    )
    return wish, event.signal.transient


def told_by(event: Event) -> tuple[str, Signal]:
    """Return what a run is told that an event holds, and under which id."""
    if isinstance(event, ThreadRunAsked):
        wish = event.wish
        said = Signal(
            text=wish.input,
            parts=wish.parts,
            type="user",
            provider_options=wish.provider_options,
        )
        return event.run_id, said
    assert isinstance(event, SignalReceived), "only what was said is told"
    return event.signal_id, event.signal.with_attributes(event.if_active.attributes)
