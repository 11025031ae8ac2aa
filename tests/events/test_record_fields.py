"""Each field of a stored record, where it lies and what it comes back as."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from outlive.events import CODEC, CorruptLog, NewerFormat, Position, StreamId, Version, run_stream
from outlive.events.record import (
    BLOB,
    GENESIS,
    RawRecord,
    Record,
    blob_reference,
    chain_fields,
    decode,
    header_tail,
    link_hash,
    pack_header,
    payload_digest,
    split,
)
from outlive.testing.log_contract.filling import delta

AT = Position(9)
COMMIT_ID, HASH = b"commit-number-01", b"h" * 32
PAYLOAD = CODEC.encode(delta("1", "2"))
CAUSES: list[Position | str | None] = [None, Position(258), "", "message"]


def header(
    cause: Position | str | None = None, correlation_id: str | None = None, *, flags: int = 0
) -> bytes:
    found, tail = header_tail(cause, correlation_id)
    return pack_header(flags | found, 2, 1, 0x0A0B0C, 0x0D0E, 0x0F10, -2, COMMIT_ID) + tail


PLAIN = header()
FIELDS = (2, 1, 0x0A0B0C, 0x0D0E, 0x0F10, -2, COMMIT_ID)


def fields(raw: RawRecord) -> tuple[object, ...]:
    return (
        raw.count,
        raw.schema,
        raw.epoch,
        raw.stream_number,
        raw.first_version,
        raw.recorded_at_ns,
        raw.commit_id,
    )


def test_the_header_is_the_same_for_ever() -> None:
    assert PLAIN.hex() == (
        "010000020001000a0b0c0000000000000d0e0000000000000f10fffffffffffffffe" + COMMIT_ID.hex()
    )


def test_what_led_to_a_commit_is_written_the_same_for_ever() -> None:
    assert header_tail(None, None) == (0, b"")
    assert header_tail(Position(258), None) == (1, bytes(6) + b"\1\2")
    assert header_tail("ü", None) == (2, b"\0\2" + "ü".encode())
    assert header_tail(None, "c" * 258) == (4, b"\1\2" + b"c" * 258)
    assert header_tail(Position(1), "c") == (5, bytes(7) + b"\1" + b"\0\1c")
    assert header_tail("", "") == (6, b"\0\0\0\0")


def test_the_chain_is_the_same_for_ever() -> None:
    assert (
        link_hash(GENESIS, AT, PLAIN, payload_digest(PAYLOAD)).hex()
        == "465b93ae2ec36be1eb5b1b4eabecd9f4b34587302a8d6c6f5d692955d406d334"
    )


@pytest.mark.parametrize("correlation_id", [None, "", "c" * 258])
@pytest.mark.parametrize("cause", CAUSES)
def test_a_record_is_split_into_what_was_written(
    cause: Position | str | None, correlation_id: str | None
) -> None:
    written = header(cause, correlation_id)
    raw = split(AT, written + HASH + PAYLOAD)
    assert fields(raw) == FIELDS
    assert (raw.position, raw.cause, raw.correlation_id) == (AT, cause, correlation_id)
    assert (raw.header, raw.hash, raw.payload) == (written, HASH, PAYLOAD)
    assert raw.digest == payload_digest(PAYLOAD)
    assert raw.events_payload(None) == PAYLOAD
    assert raw.size_bytes == len(PAYLOAD)


def test_a_trace_context_is_passed_over() -> None:
    found, tail = header_tail("message", "c")
    start = pack_header(found | 8, 2, 1, 0x0A0B0C, 0x0D0E, 0x0F10, -2, COMMIT_ID)
    written = start + tail + b"\0\5trace"
    raw = split(AT, written + HASH + PAYLOAD)
    assert (fields(raw), raw.cause, raw.correlation_id) == (FIELDS, "message", "c")
    assert (raw.header, raw.hash, raw.payload) == (written, HASH, PAYLOAD)


@pytest.mark.parametrize("before", [b"", b"another record's bytes"])
@pytest.mark.parametrize("flags", [0, 4, BLOB])
def test_what_a_check_of_the_chain_needs_is_what_a_split_finds(flags: int, before: bytes) -> None:
    written = header(None, "c" if flags == 4 else None, flags=flags & BLOB)
    payload = blob_reference(payload_digest(PAYLOAD), 7) if flags == BLOB else PAYLOAD
    found = chain_fields(AT, before + written + HASH + payload, len(before))
    assert found == (flags, 2, 0x0A0B0C, 0x0D0E, 0x0F10, len(before) + len(written))


@pytest.mark.parametrize("written", [PLAIN, header("message", "c")], ids=["plain", "flags"])
def test_a_record_that_was_cut_off_is_damage_however_it_is_read(written: bytes) -> None:
    whole = written + HASH + b"\x90"
    for length in range(len(whole)):
        with pytest.raises(CorruptLog, match=r"^record 9 is damaged: "):
            split(AT, whole[:length])
        with pytest.raises(CorruptLog, match=r"^record 9 is damaged: "):
            chain_fields(AT, b"xx" + whole[:length], 2)
    assert split(AT, whole).payload == b"\x90"
    assert chain_fields(AT, b"xx" + whole, 2)[-1] == 2 + len(written)


def test_the_reasons_tell_a_short_header_from_a_short_record() -> None:
    with pytest.raises(CorruptLog, match="its header cannot be read"):
        split(AT, PLAIN[:-1])
    with pytest.raises(CorruptLog, match=r"^record 9 is damaged: it is cut off$"):
        split(AT, PLAIN + HASH)
    with pytest.raises(CorruptLog, match=r"^record 9 is damaged: its reference to its payload "):
        split(AT, header(flags=BLOB) + HASH + bytes(39))


@pytest.mark.parametrize("flags", [3, 3 | 4, 16, 64, 128], ids=hex)
def test_flags_that_mean_nothing_are_damage(flags: int) -> None:
    data = PLAIN[:1] + bytes([flags]) + PLAIN[2:] + b"\0\0" * 4 + HASH + PAYLOAD
    for read in (lambda: split(AT, data), lambda: chain_fields(AT, data, 0)):
        with pytest.raises(CorruptLog, match=f"^record 9 is damaged: flags {flags:#x} are not kno"):
            read()


def test_a_format_that_is_not_known_is_told_with_both() -> None:
    data = b"\2" + PLAIN[1:] + HASH + PAYLOAD
    for read in (lambda: split(AT, data), lambda: chain_fields(AT, data, 0)):
        with pytest.raises(NewerFormat) as newer:
            read()
        assert (newer.value.what, newer.value.found, newer.value.known) == ("record 9", 2, 1)


# -- payloads that are kept apart --


def apart(size_bytes: int = len(PAYLOAD)) -> RawRecord:
    reference = blob_reference(payload_digest(PAYLOAD), size_bytes)
    return split(AT, header(flags=BLOB) + HASH + reference)


def test_a_payload_that_is_kept_apart_is_known_by_its_digest_and_size() -> None:
    raw = apart()
    assert (raw.digest, raw.size_bytes) == (payload_digest(PAYLOAD), len(PAYLOAD))
    assert raw.events_payload(PAYLOAD) == PAYLOAD


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (None, "it lacks"),
        (PAYLOAD[:-1], f"it has {len(PAYLOAD) - 1} bytes, and had {len(PAYLOAD)}"),
        (PAYLOAD[:-1] + b"x", "it is not what was written"),
    ],
    ids=["none", "short", "other"],
)
def test_another_payload_is_not_taken_for_it(blob: bytes | None, why: str) -> None:
    with pytest.raises(CorruptLog, match=f"^the payload of record 9 is damaged: {why}$"):
        apart().events_payload(blob)


# -- events --


def record_of(cause: Position | str | None = None) -> Record:
    raw = split(AT, header(cause, "c") + HASH + PAYLOAD)
    return decode(raw, run_stream("a"), CODEC)


@pytest.mark.parametrize("cause", CAUSES)
def test_a_decoded_record_has_every_field_of_the_stored_one(cause: Position | str | None) -> None:
    assert record_of(cause) == Record(
        position=AT,
        stream=StreamId("run-a"),
        first_version=Version(0x0F10),
        recorded_at_ns=-2,
        epoch=0x0A0B0C,
        commit_id=COMMIT_ID,
        events=tuple(delta("1", "2")),
        hash=HASH,
        cause=cause,
        correlation_id="c",
    )


def test_a_payload_that_is_kept_apart_is_decoded_as_if_it_were_not() -> None:
    assert decode(apart(), run_stream("a"), CODEC, PAYLOAD).events == tuple(delta("1", "2"))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_record_with_more_or_fewer_events_than_it_says_is_damage(count: int) -> None:
    stored = PLAIN[:2] + count.to_bytes(2, "big") + PLAIN[4:] + HASH + PAYLOAD
    why = f"^record 9 of stream 'run-a' is damaged: it holds 2 events, its header says {count}$"
    with pytest.raises(CorruptLog, match=why):
        decode(split(AT, stored), run_stream("a"), CODEC)


def test_a_record_without_events_is_damage() -> None:
    stored = PLAIN[:2] + bytes(2) + PLAIN[4:] + HASH + CODEC.encode([])
    with pytest.raises(CorruptLog, match=r"it holds 0 events, its header says 0$"):
        decode(split(AT, stored), run_stream("a"), CODEC)


def test_its_events_are_given_out_with_their_places_from_any_version_on() -> None:
    record = record_of("message")
    first = record.first_version
    whole = record.recorded()
    assert [(one.version, one.index, one.id) for one in whole] == [
        (first, 0, "9.0"),
        (first + 1, 1, "9.1"),
    ]
    for one, event in zip(whole, delta("1", "2"), strict=True):
        assert (one.event, one.stream, one.position) == (event, "run-a", AT)
        assert (one.recorded_at_ns, one.epoch) == (-2, 0x0A0B0C)
        assert (one.cause, one.correlation_id) == ("message", "c")
    assert record.last_version == first + 1
    for after, left in [(0, 2), (first - 1, 2), (first, 1), (first + 1, 0), (first + 9, 0)]:
        assert record.recorded(after=Version(after)) == whole[2 - left :]


def test_when_it_was_recorded_is_told_in_utc() -> None:
    stored = pack_header(0, 2, 1, 1, 1, 1, 1_000_000_001_999, COMMIT_ID) + HASH + PAYLOAD
    (one, _) = decode(split(AT, stored), run_stream("a"), CODEC).recorded()
    assert one.recorded_at == datetime(1970, 1, 1, 0, 16, 40, 1, tzinfo=UTC)
