"""What is settled about an append, a row or a page before any store sees it."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest
from msgspec import UNSET, UnsetType
from structlog.testing import capture_logs

from outlive.events import (
    CODEC,
    Commit,
    CorruptLog,
    EventTooLarge,
    InvalidId,
    InvalidOffset,
    ModelDelta,
    OpenEntry,
    Position,
    StreamId,
    UnserialisableValue,
    Version,
    store,
)
from outlive.events.event import Event
from outlive.events.ids import CallId
from outlive.events.record import BLOB, MAX_EVENTS, header_tail, payload_digest
from outlive.events.run.events import ToolCallCompleted
from outlive.events.snapshot import Snapshot
from outlive.events.store import (
    Admitted,
    admit,
    check_after,
    check_command_id,
    check_limit,
    check_offset,
    check_stream,
    decode_entry,
    encode_entry,
    encode_events,
    next_commit_id,
    usable,
)
from outlive.testing.log_contract.filling import RUNNING, A, B, delta


def admitted(
    *events: Event,
    stream: StreamId = A,
    commit_id: bytes | None = None,
    cause: Position | str | None = None,
    correlation_id: str | None = None,
    command_id: str | None = None,
    reply: bytes | None = None,
    snapshot: bytes | None = None,
    entry: OpenEntry | UnsetType | None = UNSET,
) -> Admitted:
    commit = Commit(
        stream=stream,
        events=events,
        expected_version=Version(3),
        recorded_at_ns=5,
        commit_id=commit_id,
        cause=cause,
        correlation_id=correlation_id,
        command_id=command_id,
        reply=reply,
        snapshot=snapshot,
        entry=entry,
    )
    return admit(CODEC, commit)


def text_of(payload_bytes: int) -> ModelDelta:
    """An event that takes so many bytes when it is stored alone."""
    rest = len(CODEC.encode(delta("x" * 1_000))) - 1_000
    if payload_bytes > MAX_INLINE + 1_000:
        rest += 2
    event = ModelDelta(text="x" * (payload_bytes - rest))
    assert len(CODEC.encode([event])) == payload_bytes
    return event


MAX_INLINE = 64 * 1024


# -- an append --


def test_an_append_is_admitted_with_all_that_was_said_of_it() -> None:
    commit, digest, flags, tail, row = admitted(
        *delta("1", "2"),
        commit_id=b"commit-number-01",
        cause="message",
        correlation_id="c",
        command_id="command",
        reply=b"reply",
        snapshot=b"state",
        entry=RUNNING,
    )
    assert isinstance(commit, Commit)
    assert (commit.stream, commit.events, commit.expected_version) == (A, tuple(delta("1", "2")), 3)
    assert (commit.recorded_at_ns, commit.commit_id) == (5, b"commit-number-01")
    assert (commit.cause, commit.correlation_id) == ("message", "c")
    assert (commit.command_id, commit.reply) == ("command", b"reply")
    assert (commit.snapshot, commit.entry) == (b"state", RUNNING)
    assert commit.payload == CODEC.encode(delta("1", "2"))
    assert digest == payload_digest(commit.payload)
    assert (flags, tail) == header_tail("message", "c")
    assert row == encode_entry(RUNNING, A)


@pytest.mark.parametrize("entry", [UNSET, None], ids=["left", "closed"])
def test_a_row_that_is_left_as_it_is_is_told_from_one_that_goes(entry: UnsetType | None) -> None:
    commit, _, flags, tail, row = admitted(*delta("1"), entry=entry)
    assert commit.entry is row is entry
    assert (flags, tail) == (0, b"")


@pytest.mark.parametrize(
    ("cause", "correlation_id"), [(Position(7), None), (None, "c"), (Position(7), "c")]
)
def test_what_led_to_an_append_is_kept_with_or_without_what_it_belongs_to(
    cause: Position | None, correlation_id: str | None
) -> None:
    _, _, flags, tail, _ = admitted(*delta("1"), cause=cause, correlation_id=correlation_id)
    assert (flags, tail) == header_tail(cause, correlation_id)
    assert tail


def test_a_payload_is_kept_apart_beyond_64_kib() -> None:
    assert admitted(text_of(MAX_INLINE))[2] == 0
    assert admitted(text_of(MAX_INLINE + 1))[2] == BLOB
    assert admitted(text_of(MAX_INLINE + 1), cause="m")[2] == BLOB | header_tail("m", None)[0]


def test_a_payload_is_refused_beyond_the_limit_with_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = MAX_INLINE + 5_000
    monkeypatch.setattr(store, "MAX_PAYLOAD_BYTES", limit)
    admitted(text_of(limit))
    with pytest.raises(EventTooLarge) as refused:
        admitted(text_of(limit + 1))
    assert (refused.value.size_bytes, refused.value.limit_bytes) == (limit + 1, limit)


@pytest.mark.parametrize(
    ("wrong", "error", "why"),
    [
        ({"stream": ""}, InvalidId, "^a stream's name has 1 to 255 bytes of UTF-8, not ''$"),
        ({"stream": "x" * 256}, InvalidId, "^a stream's name has 1 to 255 bytes"),
        ({"stream": "ü" * 128}, InvalidId, "^a stream's name has 1 to 255 bytes"),
        ({"stream": "\ud800"}, InvalidId, "^a stream's name has 1 to 255 bytes"),
        ({"stream": 5}, InvalidId, "^a stream's name has 1 to 255 bytes"),
        ({"commit_id": "x" * 16}, UnserialisableValue, "^a commit id is bytes, not str$"),
        ({"commit_id": b"x" * 15}, ValueError, "^a commit id has 16 bytes, not 15$"),
        ({"commit_id": b""}, ValueError, "^a commit id has 16 bytes, not 0$"),
        ({"snapshot": "x"}, UnserialisableValue, "^a snapshot is bytes, not str$"),
        ({"reply": "x"}, UnserialisableValue, "^a reply is bytes, not str$"),
        ({"command_id": ""}, InvalidId, "^a command's id has 1 to 200 bytes of UTF-8, not ''$"),
        ({"cause": 1.5}, UnserialisableValue, "^an append cannot be encoded: .*float"),
        ({"cause": -1}, UnserialisableValue, "^an append cannot be encoded: .*negative"),
        ({"cause": "x" * 65_536}, UnserialisableValue, "^an append cannot be encoded: "),
        ({"correlation_id": 7}, UnserialisableValue, "^an append cannot be encoded: "),
        ({"correlation_id": "\ud800"}, UnserialisableValue, "^an append .*surrogates"),
        ({"entry": {"kind": "run"}}, UnserialisableValue, "its entry is an OpenEntry, not dict$"),
        ({"entry": b"row"}, UnserialisableValue, "its entry is an OpenEntry, not bytes$"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_the_reason(
    wrong: dict[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        admitted(*delta("1"), **wrong)


def test_a_snapshot_without_events_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^a snapshot is the state after events, and there are no"
    ):
        admitted(snapshot=b"state")


def test_names_hold_up_to_their_bounds() -> None:
    for stream in ("x", "x" * 255, "ü" * 127, "ü"):
        check_stream(StreamId(stream))
        assert admitted(stream=StreamId(stream))[0].stream == stream
    for command_id in ("x", "x" * 200, "ü" * 100):
        check_command_id(command_id)


@pytest.mark.parametrize("command_id", ["", "x" * 201, "ü" * 101, "\ud800", b"x", None])
def test_what_cannot_name_a_command_is_refused(command_id: object) -> None:
    with pytest.raises(InvalidId, match=r"^a command's id has 1 to 200 bytes of UTF-8, not "):
        check_command_id(command_id)


def test_events_that_cannot_be_encoded_are_refused_with_the_reason() -> None:
    with pytest.raises(UnserialisableValue, match=r"^an event cannot be encoded: .*surrogates"):
        encode_events(CODEC, delta("\ud800"))
    with pytest.raises(UnserialisableValue, match=r"^an event cannot be encoded: "):
        encode_events(CODEC, [ToolCallCompleted(call_id=CallId("0.0"), result=1 << 70)])
    stranger: Any = object()
    with pytest.raises(UnserialisableValue, match=r"^object is no event type of this log's codec$"):
        encode_events(CODEC, [*delta("1"), stranger])
    with pytest.raises(
        UnserialisableValue, match=r"^a commit holds at most 65535 events, not 65536"
    ):
        encode_events(CODEC, delta("x") * (MAX_EVENTS + 1))
    assert encode_events(CODEC, delta("x") * MAX_EVENTS)


# -- a row of the open table --


ENTRY = OpenEntry(kind="run", status="running", wake_at_ns=7, owes=True, summary={"agent_id": "a"})


def test_a_row_of_the_open_table_comes_back_as_it_was_written() -> None:
    assert decode_entry(encode_entry(ENTRY, A), A) == ENTRY


def test_no_bit_of_a_row_changes_unseen_and_no_row_is_taken_for_anothers() -> None:
    row = encode_entry(ENTRY, A)
    why = "^the open row of stream 'run-a' is damaged: its checksum is not that of its stream and"
    for at in range(len(row) * 8):
        changed = bytearray(row)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(CorruptLog, match=why):
            decode_entry(bytes(changed), A)
    for other in (b"", row[:3], row[:4], row[:-1], row + b"\0", encode_entry(ENTRY, B)):
        with pytest.raises(CorruptLog, match=why):
            decode_entry(other, A)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"\xc1", "malformed"), (b"\x80", "required field"), (b"\x91\x01", "Expected `object`")],
    ids=["no msgpack", "not all", "no entry"],
)
def test_a_row_that_was_written_by_nobody_is_damage_with_the_reason(
    content: bytes, why: str
) -> None:
    checksum = crc32(content, crc32(A.encode())).to_bytes(4, "big")
    with pytest.raises(CorruptLog, match=f"^the open row of stream 'run-a' is damaged: .*{why}"):
        decode_entry(checksum + content, A)


# -- a saved state --


def test_a_saved_state_is_used_up_to_the_version_of_its_stream() -> None:
    saved = Snapshot(Version(4), Position(9), b"state")
    with capture_logs() as logs:
        assert usable(saved, A, Version(4)) is saved
        assert usable(saved, A, Version(5)) is saved
    assert logs == []


@pytest.mark.parametrize(
    ("saved", "reason"),
    [(None, "damaged"), (Snapshot(Version(6), Position(9), b""), "ahead of its stream")],
    ids=["damaged", "ahead"],
)
def test_a_saved_state_that_cannot_be_used_is_told(saved: Snapshot | None, reason: str) -> None:
    with capture_logs() as logs:
        assert usable(saved, A, Version(5)) is None
    told = {"event": "snapshot_ignored", "stream": A, "reason": reason, "log_level": "warning"}
    assert logs == [told]


# -- ids and bounds --


def test_each_commit_of_each_owner_has_an_id_of_its_own() -> None:
    assert next_commit_id(1, 2) == bytes(7) + b"\1" + bytes(7) + b"\2"
    ids = {next_commit_id(epoch, count) for epoch in range(300) for count in range(300)}
    assert len(ids) == 90_000
    assert {len(id) for id in ids} == {16}


def test_a_page_has_1_to_10000_events() -> None:
    check_limit(1)
    check_limit(10_000)
    wrong: list[Any] = [0, 10_001, -1, 1.0, True, None, "1"]
    for limit in wrong:
        with pytest.raises(ValueError, match=f"^a limit is 1 to 10,000, not {limit!r}$"):
            check_limit(limit)


def test_a_read_goes_on_behind_any_number_that_can_be_a_key() -> None:
    for after in (0, 1, 99, (1 << 63) - 1):
        check_after(after, lambda: 9)
    for wrong in (-1, 1 << 63, 1.0, True, None):
        with pytest.raises(InvalidOffset) as refused:
            check_after(wrong, lambda: 9)
        assert (refused.value.after, refused.value.head) == (wrong, 9)


def test_an_offset_is_one_that_may_have_been_handed_out() -> None:
    for after in (0, 1, 9):
        check_offset(after, lambda: 9)
    check_offset(0, lambda: 0)
    for wrong in (-1, 10, 1.0, True, None):
        with pytest.raises(InvalidOffset) as refused:
            check_offset(wrong, lambda: 9)
        assert (refused.value.after, refused.value.head) == (wrong, 9)
