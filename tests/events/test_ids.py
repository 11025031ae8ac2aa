"""What may name an entity, and how its stream is told from its id."""

from __future__ import annotations

from typing import Any

import pytest

from outlive.events import InvalidId, StreamId, run_stream
from outlive.events.ids import id_of, kind_of, stream_id


@pytest.mark.parametrize("id", ["7f3a", "a-b-c", "-", "ein Überblick", "x" * 200, "ü" * 100])
def test_kind_and_id_come_back_from_the_stream_they_make(id: str) -> None:
    stream = stream_id("run", id)
    assert stream == f"run-{id}"
    assert (kind_of(stream), id_of(stream)) == ("run", id)


def test_the_stream_of_a_run_is_of_the_kind_run() -> None:
    assert run_stream("7f3a") == stream_id("run", "7f3a") == StreamId("run-7f3a")


@pytest.mark.parametrize(
    ("id", "why"),
    [
        (7, "^an id of a run is text, not int$"),
        (b"a", "^an id of a run is text, not bytes$"),
        ("", "^an id of a run must not be empty$"),
        (" a", "^' a' is no id of a run: use printable characters, no outer spaces$"),
        ("a ", "no outer spaces"),
        ("a\nb", "use printable characters"),
        ("\0", "use printable characters"),
        ("\ud800", "use printable characters"),
        ("x" * 201, "^an id of a run has at most 200 bytes, this one 201$"),
        ("ü" * 101, "at most 200 bytes, this one 202"),
    ],
)
def test_what_cannot_name_an_entity_is_refused_with_the_reason(id: Any, why: str) -> None:
    with pytest.raises(InvalidId, match=why):
        run_stream(id)


def test_a_refusal_shows_no_more_than_the_beginning_of_a_long_id() -> None:
    with pytest.raises(InvalidId) as refused:
        run_stream("\n" * 10_000)
    assert len(str(refused.value)) < 500
