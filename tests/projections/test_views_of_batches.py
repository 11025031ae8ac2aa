"""A view is the same however the records of the log were divided up for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlive.events import (
    Event,
    MemoryLog,
    ModelCallStarted,
    Record,
    RunStarted,
    StreamId,
    heartbeat_stream,
    run_stream,
    task_stream,
    thread_stream,
)
from outlive.projections import Projection, Rows, RunsView
from outlive.projections.heartbeats import HeartbeatsView
from outlive.projections.tasks import TasksView
from outlive.projections.threads import ThreadsView
from outlive.projections.views.following import wanted_of
from outlive.projections.views.store import MemoryStore
from outlive.testing.strategies import (
    heartbeat_histories,
    run_histories,
    task_histories,
    thread_histories,
)
from tests.support.views import Dump, dump, records_of

E = TypeVar("E", bound=Event)

VIEWS = (RunsView(), TasksView(), HeartbeatsView(), ThreadsView())


def drawn(
    stream_of: Callable[[str], StreamId], histories: st.SearchStrategy[list[tuple[E, ...]]]
) -> st.SearchStrategy[tuple[Callable[[str], StreamId], list[Sequence[Event]]]]:
    return histories.map(lambda commits: (stream_of, [*commits]))


HISTORIES = st.one_of(
    drawn(run_stream, run_histories(max_commands=12)),
    drawn(task_stream, task_histories(max_commands=12)),
    drawn(heartbeat_stream, heartbeat_histories(max_commands=12)),
    drawn(thread_stream, thread_histories(max_commands=12)),
)


def folded(view: Projection, parts: Sequence[Sequence[Record]]) -> Dump:
    rows = Rows(MemoryStore())
    for part in parts:
        wanted = wanted_of(part, frozenset(view.events))
        if wanted:
            view.apply(wanted, rows)
    rows.take()  # It can be encoded.
    return dump(rows)


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """The records of some entities of all kinds, mixed as they may come."""
    drawn = draw(st.lists(HISTORIES, min_size=1, max_size=4))
    waiting = [(stream_of(f"e{at}"), commits) for at, (stream_of, commits) in enumerate(drawn)]
    log = MemoryLog()
    while waiting := [one for one in waiting if one[1]]:
        stream, commits = draw(st.sampled_from(waiting))
        log.append(stream, commits.pop(0), expected_version=log.version(stream)).result(1)
    return records_of(log)


@given(records=logs(), data=st.data())
@settings(deadline=None)
def test_a_view_is_the_same_however_the_records_are_divided(
    records: list[Record], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(records)), max_size=6)))
    ends = [*cuts, len(records)]
    parts = [records[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    for view in VIEWS:
        one_by_one = folded(view, [[record] for record in records])
        assert folded(view, [records]) == one_by_one
        assert folded(view, parts) == one_by_one


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_stream_that_begins_in_the_middle_is_the_same_too(at_once: int) -> None:
    """Given a stream whose first record is not how a run begins: it is passed over."""
    log, stream = MemoryLog(), run_stream("r1")
    begun = RunStarted(agent_id="a", input="x", max_steps=3)
    called = ModelCallStarted(step=0, attempt=1, model="m", messages=1)
    for event in (called, begun, called):
        log.append(stream, [event], expected_version=log.version(stream)).result(1)
    records = records_of(log)
    parts = [records[start : start + at_once] for start in range(0, 3, at_once)]
    assert folded(RunsView(), parts) == folded(RunsView(), [[record] for record in records])
    assert folded(RunsView(), parts)
