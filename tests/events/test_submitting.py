"""What a visitor may put into the inbox: nothing that the owner could not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from outlive.events import EventTooLarge, InvalidId, StreamId, UnserialisableValue
from outlive.events.lmdb_store import LmdbLog, LmdbVisitor
from outlive.testing.log_contract.filling import A


@pytest.fixture
def visitor(tmp_path: Path) -> LmdbVisitor:
    LmdbLog(tmp_path).close()
    return LmdbVisitor(tmp_path)


@pytest.mark.parametrize("command_id", ["", "\ud800", "x" * 201, "x" * 505, 5])
def test_a_command_that_cannot_be_named_is_refused(visitor: LmdbVisitor, command_id: Any) -> None:
    with pytest.raises(InvalidId):
        visitor.submit(command_id, A, b"")
    assert visitor.submitted() == []
    visitor.close()


@pytest.mark.parametrize("stream", ["", "\ud800", "x" * 256, 5])
def test_a_command_for_what_cannot_be_is_refused(visitor: LmdbVisitor, stream: Any) -> None:
    with pytest.raises(InvalidId):
        visitor.submit("c", stream, b"")
    assert visitor.submitted() == []
    visitor.close()


def test_a_command_that_is_too_large_or_of_another_type_is_refused(
    visitor: LmdbVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outlive.events.lmdb_store.visitor.MAX_PAYLOAD_BYTES", 100)
    with pytest.raises(EventTooLarge):
        visitor.submit("c", A, bytes(101))
    text: Any = "text"
    with pytest.raises(UnserialisableValue):
        visitor.submit("c", A, text)
    visitor.submit("c", A, bytes(100))
    assert [command.command_id for command in visitor.submitted()] == ["c"]
    visitor.close()


def test_the_longest_names_are_answered(visitor: LmdbVisitor) -> None:
    command_id, stream = "ü" * 100, StreamId("x" * 255)
    visitor.submit(command_id, stream, b"")
    log = visitor.take_over()
    (command,) = log.submitted()
    log.append(
        command.stream,
        [],
        expected_version=log.version(stream),
        command_id=command_id,
        reply=b"done",
    ).result(5)
    log.close()
    again = LmdbVisitor(log.path)
    assert again.reply(command_id) == b"done"
    assert again.submitted() == []
    again.close()
