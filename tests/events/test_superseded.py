"""Which records may go, told record by record from the last one on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from outlive.events import Event, ModelCallCompleted, ModelDelta
from outlive.events.compaction import Superseded

PIECE, ANSWER = ModelDelta(step=1, text="x"), ModelCallCompleted(step=1, text="xx")
AT = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
AT_NS = int(AT.timestamp()) * 1_000_000_000 + 89_000


def shown(
    superseded: Superseded, *events: Event, stream: int = 1, version: int = 5, at_ns: int = 0
) -> bool:
    return superseded.may_go(stream, version, at_ns, events)


def goes(*behind: Event, record: Sequence[Event] = (PIECE,)) -> bool:
    """Whether a record may go if these events are recorded behind it."""
    superseded = Superseded()
    for event in reversed(behind):
        shown(superseded, event)
    return shown(superseded, *record)


def test_a_piece_goes_once_its_whole_answer_is_behind_it() -> None:
    assert goes(ANSWER)
    assert not goes()
    assert not goes(PIECE)
    assert not goes(ModelCallCompleted(step=2))


def test_a_record_goes_only_if_all_that_it_holds_may() -> None:
    other = ModelDelta(step=2, text="y")
    assert goes(ANSWER, ModelCallCompleted(step=2), record=(PIECE, other))
    assert not goes(ANSWER, record=(PIECE, other))
    assert not goes(ANSWER, ANSWER, record=(PIECE, ANSWER))
    assert not goes(ANSWER, record=(ANSWER,))


def test_an_answer_supersedes_nothing_of_its_own_record() -> None:
    superseded = Superseded()
    assert not shown(superseded, PIECE, ANSWER)
    assert shown(superseded, PIECE)


def test_streams_are_told_apart() -> None:
    superseded = Superseded()
    shown(superseded, ANSWER, stream=1)
    assert not shown(superseded, PIECE, stream=2)
    assert shown(superseded, PIECE, stream=1)


def test_answers_of_several_steps_are_kept_in_mind() -> None:
    superseded = Superseded()
    shown(superseded, ModelCallCompleted(step=2))
    shown(superseded, ANSWER)
    assert shown(superseded, PIECE)
    assert shown(superseded, ModelDelta(step=2, text="y"))


def test_a_stream_is_forgotten_at_its_first_event() -> None:
    superseded = Superseded()
    shown(superseded, ANSWER)
    assert shown(superseded, PIECE, version=2)
    assert shown(superseded, PIECE, version=1)
    assert not shown(superseded, PIECE, version=1)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5))])
@pytest.mark.parametrize(("after_ns", "gone"), [(-1, True), (0, False), (1, False)])
def test_only_answers_recorded_before_a_time_supersede(
    zone: timezone, after_ns: int, *, gone: bool
) -> None:
    superseded = Superseded(AT.astimezone(zone))
    shown(superseded, ANSWER, at_ns=AT_NS + after_ns)
    assert shown(superseded, PIECE, at_ns=AT_NS - 5) is gone


def test_what_is_no_time_or_has_no_zone_is_refused_with_the_reason() -> None:
    wrong: Any = "2026-03-04"
    with pytest.raises(TypeError, match=r"^`before` is a datetime, not str$"):
        Superseded(wrong)
    with pytest.raises(
        ValueError, match=r"^`before` needs a time zone: datetime.now.UTC., for one$"
    ):
        Superseded(AT.replace(tzinfo=None))
