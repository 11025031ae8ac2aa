"""Commands to runs as they lie in the inbox: ids and data, nothing that only one process has."""

from __future__ import annotations

from typing import Final

import msgspec

from outlive.events import CorruptLog, Value


class StartRequest(msgspec.Struct, frozen=True, kw_only=True, tag="start-run"):
    """A run is to be started. What its agent is made of is the owner's to know."""

    agent_id: str
    input: str
    metadata: dict[str, Value] = {}


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(StartRequest).decode


def encode_request(request: StartRequest) -> bytes:
    """Return the request as it is put into the inbox."""
    return _encode(request)


def decode_request(data: bytes) -> StartRequest:
    """Return the request in the inbox.

    Raises:
        CorruptLog: it cannot be read, or a later release put it there.
    """
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise CorruptLog("a command in the inbox", str(error)) from None
