"""Events to bytes and back: msgpack, one array a record, each event tagged by name.

Decoding builds the structs of the catalogue and nothing else: no import, no call, nothing
named by the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Union, get_args

import msgspec

from outlive.events.errors import CorruptLog, NewerFormat, UnknownEvent
from outlive.events.event import Event
from outlive.events.heartbeat.events import HeartbeatEvent
from outlive.events.run.events import RunEvent
from outlive.events.task.events import TaskEvent
from outlive.events.thread.events import ThreadEvent
from outlive.events.upcast import Upcaster, Upcasters, tag_of

SCHEMA: Final = 1
"""The catalogue's edition, written in every record, so that upcasters know what they read."""


class Codec:
    """Encodes and decodes the events of a catalogue of event types.

    Args:
        types: the catalogue.
        schema: its edition, 1 to 65,535. One more when stored forms change.
        upcasters: what turns events of older editions into today's.

    Raises:
        InvalidDefinition: two upcasters for the same, or one for no earlier edition.
    """

    def __init__(
        self,
        types: Iterable[type[Event]],
        *,
        schema: int = SCHEMA,
        upcasters: Iterable[Upcaster] = (),
    ) -> None:
        self.schema: Final = schema
        self._upcasters = Upcasters(upcasters, schema)
        self.types: Final = {_tag(event_type): event_type for event_type in types}
        self.known: Final = frozenset(self.types.values())
        union: Any = Union[tuple(self.types.values())]  # noqa: UP007  # of a list made at run time
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(tuple[union, ...]).decode
        self._decode_plain = msgspec.msgpack.Decoder(list[Any]).decode

    def encode(self, events: Sequence[Event]) -> bytes:
        """Return the events as one msgpack array."""
        return self._encode(events)

    def decode(self, payload: bytes, *, schema: int, where: str) -> tuple[Event, ...]:
        """Return the events of a record's payload. `where` names the record in errors.

        Raises:
            NewerFormat: written by a later edition of the catalogue.
            UnknownEvent: an event type that is not in the catalogue.
            CorruptLog: fields that do not fit. Never guessed at.
        """
        if schema != self.schema:
            if schema > self.schema:
                raise NewerFormat(where, schema, self.schema)
            if self._upcasters.apply_to(schema):
                payload = self._upcast(payload, schema, where)
        try:
            events: tuple[Event, ...] = self._decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._refuse_unknown(payload, where)
            raise CorruptLog(where, str(error)) from None
        return events

    def _upcast(self, payload: bytes, schema: int, where: str) -> bytes:
        """Return the payload as today's edition would have stored it."""
        try:
            events = self._decode_plain(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptLog(where, str(error)) from None
        return self._encode(self._upcasters.raised(events, schema))

    def _refuse_unknown(self, payload: bytes, where: str) -> None:
        """Raise UnknownEvent if that is why a payload could not be decoded."""
        try:
            events = self._decode_plain(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        for event in events:
            tag = tag_of(event)
            if tag is not None and tag not in self.types:
                raise UnknownEvent(where, tag) from None


def _tag(event_type: type[Event]) -> str:
    tag = event_type.__struct_config__.tag
    assert isinstance(tag, str), f"{event_type.__name__} has no tag"
    return tag


EVENT_TYPES: Final[tuple[type[Event], ...]] = tuple(
    dict.fromkeys(
        (
            *get_args(RunEvent),
            *get_args(TaskEvent),
            *get_args(ThreadEvent),
            *get_args(HeartbeatEvent),
        )
    )
)
CODEC: Final = Codec(EVENT_TYPES)
"""The codec of all events that Outlive knows."""
