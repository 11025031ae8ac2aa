"""Everything that decodes bytes of a log's files, to be fed with bytes that nobody wrote."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from tempfile import mkdtemp
from typing import Any, Final
from zlib import crc32

import msgspec

from outlive.events import (
    CODEC,
    CorruptLog,
    ModelCallCompleted,
    NewerFormat,
    OpenEntry,
    Position,
    RequestedToolCall,
    RunStarted,
    ToolCallCompleted,
    UnknownEvent,
    run_stream,
)
from outlive.events.ids import CallId
from outlive.events.lmdb_store.folder import Folder, Marker
from outlive.events.lmdb_store.gaps import (
    Covered,
    GapRow,
    decode_gap,
    encode_gap,
    gap_end,
    is_intact,
)
from outlive.events.lmdb_store.pieces import pieces_of
from outlive.events.lmdb_store.rows import pack, parts_of
from outlive.events.record import (
    GENESIS,
    MessageId,
    chain_fields,
    decode,
    header_tail,
    link_hash,
    pack_header,
    payload_digest,
    split,
)
from outlive.events.store import decode_entry, encode_entry
from outlive.testing.log_contract.filling import delta

NAMED: Final = (CorruptLog, NewerFormat, UnknownEvent)
"""What decoding may raise."""

_STREAM: Final = run_stream("a")
_FIRST: Final = 5


def _payload() -> bytes:
    call = RequestedToolCall(call_id=CallId("0.0"), name="t", arguments={"a": [1, 2.5, None]})
    return CODEC.encode(
        [
            RunStarted(agent_id="a", input="ü", metadata={"k": {"b": b"\0"}}),
            ModelCallCompleted(text="x" * 40, tool_calls=(call,)),
            ToolCallCompleted(call_id=CallId("0.0"), result={"k": [True, -1, 1 << 40]}),
            *delta("one", "two"),
        ]
    )


def _record() -> bytes:
    flags, tail = header_tail(MessageId("from elsewhere"), "c")
    header = pack_header(flags, 5, CODEC.schema, 1, 1, 1, 1, bytes(16)) + tail
    payload = _payload()
    return header + link_hash(GENESIS, _FIRST, header, payload_digest(payload)) + payload


def _entry() -> bytes:
    entry = OpenEntry(kind="run", status="waiting", wake_at_ns=9, owes=True, summary={"a": "b"})
    return encode_entry(entry, _STREAM)


def _gap() -> bytes:
    covered = [Covered(1, 3, 4, 6, 2), Covered(2, 1, 5, 9, 0)]
    return encode_gap(GENESIS, _FIRST, 9, bytes(32), covered)


def _several() -> bytes:
    ((_, row),) = pack([bytes(8) + _record()] * 3)
    return row


def _read_record(data: bytes) -> object:
    chain_fields(_FIRST, data, 0)
    return decode(split(Position(_FIRST), data), _STREAM, CODEC)


def _read_gap(data: bytes) -> object:
    row = GapRow(_FIRST, gap_end(_FIRST, data), data)
    for number in range(4):
        row.covered(number)
    return is_intact(decode_gap(_FIRST, data), GENESIS)


def _read_sealed_entry(data: bytes) -> object:
    """With a checksum that fits, so that what is behind it is decoded."""
    checksum = crc32(data, crc32(_STREAM.encode())).to_bytes(4, "big")
    return decode_entry(checksum + data, _STREAM)


_folder: Final = Folder(mkdtemp(prefix="outlive-marker-"))


def _read_marker(data: bytes) -> object:
    (_folder.path / "log.json").write_bytes(data)
    return _folder.marker()


DECODERS: Final[dict[str, tuple[Callable[[bytes], object], bytes]]] = {
    "payload": (lambda data: CODEC.decode(data, schema=1, where="here"), _payload()),
    "record": (_read_record, _record()),
    "row": (lambda data: parts_of(_FIRST, data), _several()),
    "pieces of a row": (lambda data: pieces_of([(_FIRST, data)], GENESIS), _several()),
    "gap": (_read_gap, _gap()),
    "open row": (lambda data: decode_entry(data, _STREAM), _entry()),
    "open entry": (_read_sealed_entry, _entry()[4:]),
    "marker": (_read_marker, msgspec.json.encode(Marker(log_id="x", store_format=1))),
}
"""By name: the decoder, and bytes that it takes (the marker's promise a file that is not there)."""


def is_decoded_or_refused(name: str, data: bytes) -> bool:
    """Decode; return whether it was taken. What is raised else goes through."""
    try:
        DECODERS[name][0](data)
    except NAMED:
        return False
    return True


def fuzz() -> None:
    """`python -m tests.events.decoders` with atheris installed: until it is stopped."""
    atheris: Any = import_module("atheris")
    names = list(DECODERS)

    def one_input(data: bytes) -> None:
        if data:
            is_decoded_or_refused(names[data[0] % len(names)], data[1:])

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz()
