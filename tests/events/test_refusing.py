"""What every store of ours refuses, and where its pages end."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from outlive.events import (
    Event,
    EventLog,
    InvalidId,
    InvalidOffset,
    LmdbLog,
    MemoryLog,
    Position,
    UnserialisableValue,
    Version,
)
from outlive.testing.log_contract.filling import NONE, A, Filler, delta, run


class Unheard(Event, tag="unheard", frozen=True, kw_only=True):
    """An event of somebody's own, which no codec was told of."""


@pytest.fixture(params=["memory", "lmdb"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[EventLog]:
    log = MemoryLog() if request.param == "memory" else LmdbLog(tmp_path)
    yield log
    log.close()


@pytest.mark.parametrize("name", [b"run-1", 5, None])
def test_a_stream_that_is_no_text_is_refused_at_once(log: EventLog, name: Any) -> None:
    with pytest.raises(InvalidId):
        log.append(name, delta("1"), expected_version=NONE)
    log.append(A, delta("1"), expected_version=NONE).result(5)


@pytest.mark.parametrize("after", [-1, -10, 1 << 63, 1 << 64, 1.0, "1", None, True])
def test_what_is_no_offset_is_refused_and_called_no_damage(log: EventLog, after: Any) -> None:
    Filler(log).numbered(2)
    with pytest.raises(InvalidOffset):
        log.read(A, after=after, limit=5)
    with pytest.raises(InvalidOffset):
        log.read_all(after=after)
    assert log.read(A, after=Version(99)) == []
    assert log.read_all(after=Position(99)) == []


@pytest.mark.parametrize("limit", [0, -1, 10_001, 1.5, "1", None, True])
def test_what_is_no_limit_is_refused(log: EventLog, limit: Any) -> None:
    for read in (lambda: log.read(A, limit=limit), lambda: log.read_all(limit=limit)):
        with pytest.raises(ValueError, match="a limit is"):
            read()


def test_a_page_of_the_log_is_bounded_in_bytes_and_has_at_least_one_record(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "lmdb_store.reading"):
        monkeypatch.setattr(f"outlive.events.{module}.MAX_PAGE_BYTES", 300_000)
    sizes = (100_000, 100_000, 90_000, 100_000, 400_000, 1, 2, 60_000, 60_000, 60_000)
    for version, size in enumerate(sizes):
        log.append(A, delta("x" * size), expected_version=Version(version)).result(5)
    pages: list[list[int]] = []
    after = Position(0)
    while page := log.read_all(after=after):
        pages.append([record.position for record in page])
        after = page[-1].position
    assert pages == [[1, 2, 3], [4], [5], [6, 7, 8, 9, 10]]
    assert [one.position for one in log.read_all(after=Position(5), limit=2)] == [6, 7]

    async def work() -> None:
        async with log.follow_all() as records:
            seen = [(await anext(records)).position for _ in sizes]
            assert seen == list(range(1, 11))

    run(work())


@pytest.mark.parametrize(
    "wrong",
    [
        {"commit_id": "commit-number-01"},
        {"snapshot": "text"},
        {"command_id": "c", "reply": "text"},
        {"entry": {"kind": "run", "status": "running"}},
        {"cause": 1.5},
        {"correlation_id": 7},
    ],
    ids="-".join,
)
def test_what_is_of_another_type_is_refused_at_once_and_the_log_goes_on(
    log: EventLog, wrong: dict[str, Any]
) -> None:
    with pytest.raises(UnserialisableValue):
        log.append(A, delta("1"), expected_version=NONE, **wrong)
    log.append(A, delta("1"), expected_version=NONE).result(5)
    assert log.head == 1


@pytest.mark.parametrize("command_id", ["", "\ud800", "x" * 201, 5])
def test_a_command_that_cannot_be_named_is_refused_at_once_and_the_log_goes_on(
    log: EventLog, command_id: Any
) -> None:
    with pytest.raises(InvalidId):
        log.append(A, [], expected_version=NONE, command_id=command_id, reply=b"")
    log.append(A, [], expected_version=NONE, command_id="ü" * 100, reply=b"").result(5)


@pytest.mark.parametrize(
    "event", [Unheard(), {"type": "model-delta", "text": "x"}, "x", None], ids=repr
)
def test_what_is_no_event_of_the_catalogue_is_refused_and_never_written(
    log: EventLog, event: Any
) -> None:
    with pytest.raises(UnserialisableValue, match="no event type"):
        log.append(A, [*delta("1"), event], expected_version=NONE)
    assert log.head == 0
