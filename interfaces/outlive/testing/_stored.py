"""There and back: what is read of an event, a state or a command after it was stored.

All of them are compared with what went in, so that a test which passes something through here
is a test of what is stored of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

import msgspec

from outlive.actors.entity import Entity
from outlive.actors.run.entity import RUN
from outlive.actors.snapshots import UnfitState, codec_of
from outlive.events import CODEC, Codec, Event, OutliveError, RunState
from outlive.testing._shown import events_shown, shown

S = TypeVar("S")
E = TypeVar("E", bound=Event)
T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode


def stored(*events: E, codec: Codec = CODEC) -> tuple[E, ...]:
    """Return what is read back of `events` once they were stored. It is the same.

    Raises:
        AssertionError: it is not the same, or cannot be stored or read.
    """
    __tracebackhide__ = True
    try:
        payload = codec.encode(events)
        read: Any = codec.decode(payload, schema=codec.schema, where="what a test has stored")
        again = codec.encode(read)
    except (OutliveError, msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise AssertionError(
            f"events that cannot be stored and read again: {error}\n{events_shown(events)}"
        ) from error
    if read != events or _types(read) != _types(events) or again != payload:
        raise AssertionError(
            f"events that come back from the log as others: these\n{events_shown(events)}\n"
            f"come back as\n{events_shown(read)}"
        )
    return read  # type: ignore[no-any-return]


def stored_state(state: S, entity: Entity[S, Any, Any]) -> S:
    """Return what is read back of a state that was saved beside the log. It is the same.

    Raises:
        AssertionError: it is not the same, or cannot be saved or read.
    """
    __tracebackhide__ = True
    codec = codec_of(entity)
    try:
        data = codec.encode(state)
        read = codec.decode(data)
    except (UnfitState, msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise AssertionError(
            f"a state that cannot be saved and read again: {error}\n  {shown(state)}"
        ) from error
    if read != state or codec.encode(read) != data:
        raise AssertionError(
            "a state that comes back as another one from where it is saved:\n"
            f"  {shown(state)}\ncomes back as\n  {shown(read)}"
        )
    return read


def stored_command(command: T) -> T:
    """Return what is read back of a command that was written down. It is the same.

    Raises:
        AssertionError: it is not the same, or cannot be written or read.
    """
    __tracebackhide__ = True
    try:
        read = msgspec.msgpack.decode(_encode(command), type=type(command))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise AssertionError(
            f"a command that cannot be written down and read again: {error}\n  {shown(command)}"
        ) from error
    if read != command:
        raise AssertionError(
            f"a command that comes back as another one:\n  {shown(command)}\n"
            f"comes back as\n  {shown(read)}"
        )
    return read


@overload
def fold(*events: Event, state: RunState | None = None) -> RunState: ...


@overload
def fold(
    *events: Event, entity: Entity[S, Any, Any], codec: Codec = CODEC, state: S | None = None
) -> S: ...


def fold(
    *events: Event,
    entity: Entity[Any, Any, Any] = RUN,
    codec: Codec = CODEC,
    state: Any | None = None,
) -> Any:
    """Return the state after `events`: of a run, or of another `entity`.

    Each event and each state on the way goes through its stored form.

    Args:
        entity: whose `evolve` it is.
        codec: the catalogue that the events are in.
        state: what they happen to; the state before any event if it is left out.

    Raises:
        AssertionError: one of them is not what it was when it comes back.
    """
    __tracebackhide__ = True
    folded = entity.initial if state is None else state
    for event in stored(*events, codec=codec):
        folded = stored_state(entity.evolve(folded, event), entity)
    return folded


def _types(events: Sequence[Event]) -> list[type[Event]]:
    return [type(event) for event in events]
