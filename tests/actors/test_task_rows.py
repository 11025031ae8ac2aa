"""What a task's row tells those who give slots away, and who of the suspected has its turn."""

from __future__ import annotations

from typing import Any, Final

import pytest

from outlive.actors.task.admission import Admission
from outlive.actors.task.one_by_one import OneByOne
from outlive.actors.task.rows import note, place_in, priority_in, turn_in
from outlive.events import OpenEntry, StreamId

A, B, C = StreamId("task-a"), StreamId("task-b"), StreamId("task-c")
STANDS_STILL: Final = OpenEntry(kind="task", status="quarantined", summary={"why": "unreadable"})


def row(status: str = "queued", **summary: str) -> OpenEntry:
    return OpenEntry(kind="task", status=status, summary={"agent_id": "a", "tool": "t", **summary})


def suspected(status: str = "queued", place: int = 0, priority: int = 0) -> OpenEntry:
    return row(status, suspected="yes", place=str(place), priority=str(priority))


# -- what a row tells --


def test_a_row_tells_place_priority_and_the_last_start_and_none_is_0() -> None:
    told = row(place="7", priority="-2", turn="9")
    assert (place_in(told), priority_in(told), turn_in(told)) == (7, -2, 9)
    assert (place_in(row()), priority_in(row()), turn_in(row())) == (0, 0, 0)


@pytest.mark.parametrize(
    ("entry", "due", "holds", "waits"),
    [
        pytest.param(row("running"), True, 1, 0, id="one that runs holds a slot"),
        pytest.param(row("running", inline="yes"), True, 0, 0, id="inline it needs none"),
        pytest.param(row("queued"), True, 0, 1, id="one that is queued waits for one"),
        pytest.param(row("queued"), False, 0, 0, id="not before its instant"),
        pytest.param(row("queued", inline="yes"), True, 0, 0, id="inline it waits for none"),
        pytest.param(row("suspended"), True, 0, 0, id="a suspended one does neither"),
        pytest.param(STANDS_STILL, True, 0, 0, id="nor does one that cannot be read"),
        pytest.param(None, True, 0, 0, id="nor one without a row"),
    ],
)
@pytest.mark.parametrize("before", [None, row("running"), row("queued")])
def test_who_holds_a_slot_and_who_waits_for_one(
    before: OpenEntry | None, entry: OpenEntry | None, due: bool, holds: int, waits: int
) -> None:
    line = Admission(overall=5, per_agent=5, tools={})
    note(line, A, before, due=True)
    note(line, A, entry, due=due)
    assert (line.holding, line.queued) == (holds, waits)
    assert line.knows(A) is bool(holds or waits)


def test_those_that_wait_are_served_as_their_rows_say() -> None:
    line = Admission(overall=5, per_agent=5, tools={"full": 0})
    note(line, A, row(place="2"), due=True)
    note(line, B, row(place="3", priority="1"), due=True)
    note(line, C, row(place="1"), due=True)
    note(line, StreamId("task-d"), row(tool="full", priority="9"), due=True)
    served = [line.next() for _ in range(4)]
    assert [None if one is None else one.task for one in served] == [B, C, A, None]


def test_one_that_runs_holds_a_slot_of_its_agent_and_of_its_tool() -> None:
    def may_start(agent: str, tool: str) -> bool:
        line = Admission(overall=5, per_agent=1, tools={"t": 1})
        note(line, A, row("running"), due=True)
        note(line, B, row("queued", agent_id=agent, tool=tool), due=True)
        return line.next() is not None

    assert not may_start("a", "u")
    assert not may_start("b", "t")
    assert may_start("b", "u")


# -- one by one --


def hears(line: OneByOne, *rows: tuple[StreamId, OpenEntry | None]) -> list[bool]:
    return [line.holds_back(task, entry) for task, entry in rows]


def test_of_those_that_are_suspected_the_first_goes_on_and_the_others_wait() -> None:
    line = OneByOne()
    assert hears(line, (A, suspected()), (B, suspected()), (A, suspected("running"))) == [
        *(False, True, False)
    ]
    assert line.next() is None, "there is one that goes on"


@pytest.mark.parametrize(
    "over",
    [None, row("running"), row("queued"), suspected("suspended")],
    ids=["over", "got further", "tried again", "waits for a person"],
)
def test_the_next_one_comes_up_when_the_first_is_over_or_no_longer_suspected(
    over: OpenEntry | None,
) -> None:
    line = OneByOne()
    hears(line, (A, suspected()), (B, suspected(place=2)), (A, over))
    assert line.next() == (B, suspected(place=2))
    assert line.next() is None
    assert hears(line, (B, suspected(place=2)), (A, suspected())) == [False, True]


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        ([(B, suspected(place=2)), (C, suspected(place=1))], C),
        ([(B, suspected(place=2, priority=1)), (C, suspected(place=1))], B),
        ([(C, suspected(place=1)), (B, suspected(place=1))], B),
    ],
    ids=["the oldest", "the highest priority", "the first name"],
)
def test_who_comes_up_is_the_first_in_the_line(rows: list[Any], first: StreamId) -> None:
    line = OneByOne()
    hears(line, (A, suspected()), *rows, (A, None))
    up = line.next()
    assert up is not None
    assert up[0] == first


def test_one_that_is_not_suspected_any_more_waits_for_nobody() -> None:
    line = OneByOne()
    assert hears(line, (A, suspected()), (B, suspected()), (B, row("queued"))) == [
        *(False, True, False)
    ]
    hears(line, (A, None))
    assert line.next() is None


def test_one_that_runs_is_the_one_that_has_its_turn() -> None:
    line = OneByOne()
    assert hears(line, (A, suspected()), (B, suspected("running")), (A, suspected())) == [
        *(False, False, True)
    ]


def test_what_others_do_frees_no_turn() -> None:
    line = OneByOne()
    assert hears(line, (A, suspected()), (B, suspected()), (C, None), (C, row("running"))) == [
        *(False, True, False, False)
    ]
    assert line.next() is None
