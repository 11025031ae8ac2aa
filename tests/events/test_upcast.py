"""Reading what older editions of a catalogue wrote, and refusing what later ones did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from outlive.events import (
    Codec,
    CorruptLog,
    Event,
    InvalidDefinition,
    MemoryLog,
    NewerFormat,
    UnknownEvent,
    Upcaster,
    Version,
    run_stream,
)
from outlive.events.lmdb_store import LmdbLog
from outlive.events.upcast import Plain

A, B = run_stream("a"), run_stream("b")
NONE = Version(0)


class Waited1(Event, tag="waited", frozen=True, kw_only=True):
    seconds: float


class Named1(Event, tag="named", frozen=True, kw_only=True):
    full_name: str
    photo: bytes = b""


class Waited2(Event, tag="waited", frozen=True, kw_only=True):
    elapsed_ms: int


class Named3(Event, tag="person-named", frozen=True, kw_only=True):
    first: str
    last: str
    photo: bytes = b""


def to_ms(event: Plain) -> Plain:
    seconds = event.pop("seconds")
    assert isinstance(seconds, int | float)
    return {**event, "elapsed_ms": int(seconds * 1000)}


def to_person(event: Plain) -> Plain:
    return {**event, "type": "person-named"}


def to_two_names(event: Plain) -> Plain:
    full = event.pop("full_name")
    assert isinstance(full, str)
    first, last = full.split()
    return {**event, "first": first, "last": last}


UPCASTERS = [
    Upcaster("waited", 1, to_ms),
    Upcaster("named", 1, to_person),
    Upcaster("person-named", 2, to_two_names),
]
ONE = Codec([Waited1, Named1])
TWO = Codec([Waited2, Named1], schema=2, upcasters=UPCASTERS[:1])
THREE = Codec([Waited2, Named3], schema=3, upcasters=UPCASTERS)
OLD = [Waited1(seconds=1.5), Named1(full_name="Ada Lovelace", photo=b"\0\xff"), Waited1(seconds=2)]
NEW = (Waited2(elapsed_ms=1500), Named3(first="Ada", last="Lovelace", photo=b"\0\xff"))


def decoded(codec: Codec, events: list[Event], schema: int, by: Codec = ONE) -> tuple[Event, ...]:
    return codec.decode(by.encode(events), schema=schema, where="here")


def test_an_old_event_is_given_out_as_what_it_is_today_step_by_step() -> None:
    assert decoded(THREE, list(OLD[:2]), 1) == NEW
    assert decoded(TWO, list(OLD[:1]), 1) == NEW[:1]


def test_an_event_without_an_upcaster_stays_what_it_is() -> None:
    assert decoded(TWO, [OLD[1]], 1) == (OLD[1],)


def test_records_of_todays_edition_are_not_touched() -> None:
    def never(event: Plain) -> Plain:
        raise AssertionError(event)

    codec = Codec([Waited2], schema=2, upcasters=[Upcaster("waited", 1, never)])
    assert decoded(codec, [NEW[0]], 2, codec) == NEW[:1]
    with pytest.raises(AssertionError):
        decoded(codec, [NEW[0]], 1, codec)


def test_an_old_log_is_read_and_goes_on_with_new_events(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path, codec=ONE)
    log.append(A, OLD, expected_version=NONE).result(5)
    log.close()
    log = LmdbLog(tmp_path, codec=THREE)
    found = log.read(A)
    assert [one.event for one in found] == [*NEW, Waited2(elapsed_ms=2000)]
    assert [one.version for one in found] == [1, 2, 3]
    log.append(A, [NEW[1]], expected_version=Version(3)).result(5)
    assert [one.event for one in log.read(A, after=Version(2))] == [
        Waited2(elapsed_ms=2000),
        NEW[1],
    ]
    assert [record.last_version for record in log.read_all()] == [3, 4]
    log.close()
    log = LmdbLog(tmp_path, codec=ONE)  # The release before: refuses what came after it.
    assert [one.event for one in log.read(A, limit=3)] == OLD
    with pytest.raises(NewerFormat, match="upgrade outlive"):
        log.read(A)
    log.close()


@pytest.mark.parametrize("returned", [None, {}, {"type": 1}, [{"type": "waited"}]])
def test_an_upcaster_that_does_not_return_one_event_is_told(returned: Any) -> None:
    codec = Codec([Waited2], schema=2, upcasters=[Upcaster("waited", 1, lambda _: returned)])
    with pytest.raises(TypeError, match="upcaster of 'waited', edition 1"):
        decoded(codec, [OLD[0]], 1)


def test_what_an_upcaster_makes_is_checked_like_anything_that_is_read() -> None:
    codec = Codec([Waited2], schema=2, upcasters=[Upcaster("waited", 1, lambda event: event)])
    with pytest.raises(CorruptLog, match="elapsed_ms"):
        decoded(codec, [OLD[0]], 1)
    unknown = Upcaster("waited", 1, lambda event: {**event, "type": "rested"})
    with pytest.raises(UnknownEvent, match="'rested'"):
        decoded(Codec([Waited2], schema=2, upcasters=[unknown]), [OLD[0]], 1)


def test_damaged_bytes_of_an_old_edition_are_damage() -> None:
    for payload in (b"", b"\xc1", b"\x91\x01", ONE.encode([OLD[0]])[:-1]):
        with pytest.raises(CorruptLog):
            THREE.decode(payload, schema=1, where="here")


@pytest.mark.parametrize(
    "upcasters",
    [
        [Upcaster("a", 2, to_ms)],
        [Upcaster("a", 0, to_ms)],
        [Upcaster("a", 1, to_ms), Upcaster("a", 1, to_person)],
    ],
)
def test_upcasters_that_cannot_hold_are_refused(upcasters: list[Upcaster]) -> None:
    with pytest.raises(InvalidDefinition):
        Codec([Waited2], schema=2, upcasters=upcasters)


def test_an_unknown_event_is_told_with_its_type_and_nothing_is_skipped(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path, codec=ONE)
    log.append(A, [OLD[0], OLD[1]], expected_version=NONE).result(5)
    log.append(B, [OLD[0]], expected_version=NONE).result(5)
    log.close()
    log = LmdbLog(tmp_path, codec=Codec([Waited1]))
    with pytest.raises(UnknownEvent, match=r"record 1 .*'named'.*register the type") as unknown:
        log.read(A)
    assert unknown.value.tag == "named"
    with pytest.raises(UnknownEvent):
        log.read_all()
    assert [one.event for one in log.read(B)] == [OLD[0]]
    log.append(A, [OLD[0]], expected_version=Version(2)).result(5)
    log.close()


def test_an_unknown_event_beside_a_damaged_one_is_told_first() -> None:
    payload = msgspec.msgpack.encode([{"type": "waited", "seconds": "no"}, {"type": "future"}])
    with pytest.raises(UnknownEvent):
        ONE.decode(payload, schema=1, where="here")
    payload = msgspec.msgpack.encode([{"type": "waited", "seconds": "no"}])
    with pytest.raises(CorruptLog):
        ONE.decode(payload, schema=1, where="here")


def test_a_log_in_memory_reads_the_same() -> None:
    log = MemoryLog(codec=ONE)
    log.append(A, OLD, expected_version=NONE)
    log.store.codec = THREE  # as another release would
    assert [one.event for one in log.read(A)][:2] == list(NEW)
