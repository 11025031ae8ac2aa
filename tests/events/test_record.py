from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outlive.events import (
    CODEC,
    CorruptLog,
    NewerFormat,
    Position,
    Record,
    ToolCallCompleted,
    UnknownEvent,
    Version,
    run_stream,
)
from outlive.events.ids import CallId
from outlive.events.record import (
    GENESIS,
    blob_reference,
    decode,
    link_hash,
    payload_digest,
    split,
)
from outlive.testing.log_contract.chain import chain_hash, encode_header
from outlive.testing.log_contract.filling import delta

STREAM = run_stream("a")
AT = Position(7)


def stored(
    *,
    schema: int = CODEC.schema,
    cause: Position | str | None = None,
    correlation_id: str | None = None,
    payload: bytes | None = None,
    count: int = 2,
) -> bytes:
    payload = CODEC.encode(delta("1", "2")) if payload is None else payload
    header = encode_header(
        count=count,
        schema=schema,
        epoch=3,
        stream_number=4,
        first_version=5,
        recorded_at_ns=-6,
        commit_id=bytes(16),
        cause=cause,
        correlation_id=correlation_id,
    )
    return header + chain_hash(GENESIS, AT, header, payload) + payload


def read(data: bytes) -> Record:
    return decode(split(AT, data), STREAM, CODEC)


@pytest.mark.parametrize("cause", [None, Position(9), "", "message"])
@pytest.mark.parametrize("correlation_id", [None, "", "ü" * 1_000])
def test_a_record_comes_back_as_it_was_written(
    cause: Position | str | None, correlation_id: str | None
) -> None:
    record = read(stored(cause=cause, correlation_id=correlation_id))
    assert record.events == tuple(delta("1", "2"))
    assert (record.cause, record.correlation_id) == (cause, correlation_id)
    assert (record.epoch, record.first_version, record.last_version) == (3, 5, 6)
    assert (record.position, record.stream, record.recorded_at_ns) == (AT, STREAM, -6)
    assert [one.version for one in record.recorded(after=Version(5))] == [6]


def test_the_chain_is_linked_by_the_digest_of_the_payload() -> None:
    assert chain_hash(GENESIS, 1, b"header", b"payload") == link_hash(
        GENESIS, 1, b"header", payload_digest(b"payload")
    )


@pytest.mark.parametrize(
    ("data", "found"), [(b"\2" + stored()[1:], 2), (b"\xff", 255), (stored(schema=2), 2)]
)
def test_what_a_later_release_wrote_is_named_so(data: bytes, found: int) -> None:
    with pytest.raises(NewerFormat) as error:
        read(data)
    assert error.value.found == found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        stored()[:40],
        stored()[:-1],
        stored()[:83],
        stored() + b"\0",
        stored()[:1] + b"\x10" + stored()[2:],
        stored()[:1] + b"\3" + stored()[2:],
        stored(count=3),
        stored(count=0, payload=CODEC.encode([])),
        stored(payload=b"\xdd\xff\xff\xff\xff"),
        stored(payload=b"\x91" * 5_000),
        stored(payload=b"\x91\x82\xa4type\xabmodel-delta\xa4text\x01"),
        stored(payload=b"\x91\x82\xa4type\xabmodel-delta\xa4text\xa1\xff"),
    ],
)
def test_what_nobody_wrote_is_damage(data: bytes) -> None:
    with pytest.raises(CorruptLog, match="record 7"):
        read(data)


def test_an_event_that_is_not_in_the_catalogue_is_no_damage() -> None:
    with pytest.raises(UnknownEvent, match=r"record 7 of stream 'run-a'.*'unknown'"):
        read(stored(payload=b"\x91\x81\xa4type\xa7unknown"))


BLOB_RECORD = bytes([1, 32]) + bytes(48) + bytes(32)
"""One whose payload is kept apart, up to what refers to that."""


def test_what_refers_to_a_payload_has_one_length() -> None:
    digest = payload_digest(b"x")
    raw = split(AT, BLOB_RECORD + blob_reference(digest, 1))
    assert raw.digest == digest
    assert raw.events_payload(b"x") == b"x"
    for wrong in (b"x", blob_reference(digest, 1) + b"\0", blob_reference(digest, 1)[:-1]):
        with pytest.raises(CorruptLog, match="another length"):
            split(AT, BLOB_RECORD + wrong)


@given(st.binary(max_size=300))
@example(b"\1\4" + bytes(48) + b"\0\1\xff" + bytes(40))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        read(data)
    except (CorruptLog, NewerFormat, UnknownEvent):
        return


@given(payload=st.binary(max_size=200), count=st.integers(0, 3))
def test_any_payload_is_decoded_or_refused(payload: bytes, count: int) -> None:
    try:
        read(stored(payload=payload, count=count))
    except (CorruptLog, NewerFormat, UnknownEvent):
        return


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_record_with_a_flipped_bit_is_decoded_or_refused(at: int, bit: int) -> None:
    data = bytearray(
        stored(
            cause="message",
            correlation_id="c",
            payload=CODEC.encode(
                [ToolCallCompleted(call_id=CallId("0.0"), result={"a": [1, 2.5, b"x", None]})] * 2
            ),
        )
    )
    data[at % len(data)] ^= 1 << bit
    try:
        read(bytes(data))
    except (CorruptLog, NewerFormat, UnknownEvent):
        return
