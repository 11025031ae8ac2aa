"""Snapshots: saved states of streams. A cache; without them all is the same, but slower.

A stored snapshot, under the number of its stream; numbers big-endian:

    offset  size  field
         0     1  format, 1
         1     8  version of the stream that it is the state of
         9     8  position of the record with that version
        17    16  BLAKE2b of the stream's number (8), the fields before it and the state
        33        the state, as the one who saved it encodes it

It is written in one transaction with its record, so it never tells of what is not in the log.
A row that is damaged is as good as none: it is not an error of the log.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import Final

import msgspec

from outlive.events.ids import Position, Version

_FORMAT: Final = 1
_HEAD: Final = Struct(">BQQ")
_DIGEST_BYTES: Final = 16
_DATA_AT: Final = _HEAD.size + _DIGEST_BYTES


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """The state of a stream after its event `version`, which the record at `position` holds."""

    version: Version
    position: Position
    data: bytes


def pack_snapshot(stream_number: int, version: int, position: int, data: bytes) -> bytes:
    """Return a snapshot as it is stored."""
    head = _HEAD.pack(_FORMAT, version, position)
    return head + _digest(stream_number, head, data) + data


def unpack_snapshot(stream_number: int, row: bytes) -> Snapshot | None:
    """Return the stored snapshot of a stream.

    None if the row is damaged, another stream's, or of a later release.
    """
    head, data = row[: _HEAD.size], row[_DATA_AT:]
    if len(row) < _DATA_AT or _digest(stream_number, head, data) != row[_HEAD.size : _DATA_AT]:
        return None
    number, version, position = _HEAD.unpack(head)
    if number != _FORMAT:
        return None
    return Snapshot(Version(version), Position(position), data)


def _digest(stream_number: int, head: bytes, data: bytes) -> bytes:
    key = stream_number.to_bytes(8, "big")
    return blake2b(key + head + data, digest_size=_DIGEST_BYTES).digest()
