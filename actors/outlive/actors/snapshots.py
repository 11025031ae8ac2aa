"""States of entities to bytes and back, so that a long stream need not be folded from its start.

A saved state stands behind the digest of its edition: of the schema of its type, and of the
entity's own number for changes of `evolve` that leave the schema as it is. A state of another
edition is not used, whatever it is; its stream is folded anew and saved again in time.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from outlive.actors.entity import Entity
from outlive.events import LogReader, Snapshot, StreamId
from outlive.events.ids import NO_VERSION
from outlive.events.logger import get_logger
from outlive.events.values import digest

S = TypeVar("S")

EVERY_EVENTS = 500
"""A state is saved with the first commit by which its stream has grown by so many events.

Reading and folding so many takes a few milliseconds, saving a state a few microseconds.
"""

_EDITION_BYTES: Final = 16
_PAGE: Final = 1_000
_log = get_logger()


class UnfitState(Exception):
    """A saved state that cannot be used; the message says why."""


class StateCodec(Generic[S]):
    """Encodes and decodes the states of one kind of entity, in its present edition."""

    def __init__(self, state_type: type[S], edition: int) -> None:
        schema = msgspec.json.encode(msgspec.json.schema(state_type))
        self._edition: Final = bytes.fromhex(
            digest(schema, b"%d" % edition, size_bytes=_EDITION_BYTES)
        )
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(state_type).decode

    def encode(self, state: S) -> bytes:
        """Return a state as it is saved."""
        return self._edition + self._encode(state)

    def decode(self, data: bytes) -> S:
        """Return a saved state. Raises UnfitState."""
        if data[:_EDITION_BYTES] != self._edition:
            raise UnfitState("it is of another edition")
        try:
            return self._decode(data[_EDITION_BYTES:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UnfitState("it cannot be decoded") from None


_codecs: Final[dict[tuple[type[Any], int], StateCodec[Any]]] = {}


def codec_of(entity: Entity[S, Any, Any]) -> StateCodec[S]:
    """Return the codec of an entity's states; the same one each time."""
    key = (type(entity.initial), entity.edition)
    codec = _codecs.get(key)
    if codec is None:
        codec = _codecs[key] = StateCodec(*key)
    return cast("StateCodec[S]", codec)


def restored(found: Snapshot, stream: StreamId, entity: Entity[S, Any, Any]) -> S | None:
    """Return a state that was saved of a stream; None if it does not fit, which is logged."""
    try:
        return codec_of(entity).decode(found.data)
    except UnfitState as error:
        _log.warning("snapshot_ignored", stream=stream, reason=str(error))
        return None


def state_now(log: LogReader, stream: StreamId, entity: Entity[S, Any, Any]) -> S:
    """Return what a stream folds into by now, from its last saved state on.

    Raises:
        CorruptLog, NewerFormat, UnknownEvent: the stream cannot be read.
    """
    _, saved, page = log.recall(stream, limit=_PAGE)
    state = entity.initial if saved is None else restored(saved, stream, entity)
    if state is None:
        state, page = entity.initial, log.read(stream, after=NO_VERSION, limit=_PAGE)
    while page:
        for recorded in page:
            state = entity.evolve(state, recorded.event)
        page = log.read(stream, after=page[-1].version, limit=_PAGE) if len(page) == _PAGE else []
    return state
