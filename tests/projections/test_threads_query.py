"""What is told of threads: by the view, and of their messages."""

from __future__ import annotations

import asyncio
from functools import reduce
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlive.events import (
    AssistantMessage,
    CallId,
    MemoryLog,
    Message,
    MessageAppended,
    OpenEntry,
    ThreadCreated,
    ThreadEvent,
    ThreadRenamed,
    ThreadState,
    ToolMessage,
    UserMessage,
    Version,
    thread_stream,
)
from outlive.events.thread import evolve
from outlive.projections import ThreadsQuery, ThreadsView, Views
from outlive.projections.threads.history import history
from outlive.projections.threads.info import thread_info
from outlive.projections.threads.view import ThreadRow
from outlive.projections.views.rows import Rows
from outlive.projections.views.store import MemoryStore
from outlive.testing.strategies import thread_events, thread_histories
from tests.support.views import records_of

STREAM = thread_stream("t1")


@given(history=thread_histories())
@settings(deadline=None)
def test_the_view_comes_to_what_the_thread_is(history: list[tuple[ThreadEvent, ...]]) -> None:
    log, rows = MemoryLog(), Rows(MemoryStore())
    for commit in history:
        log.append(STREAM, commit, expected_version=log.version(STREAM)).result(1)
    ThreadsView().apply(records_of(log), rows)

    row = rows.get(STREAM.encode(), ThreadRow)
    state = reduce(evolve, (event for commit in history for event in commit), ThreadState())

    if row is None:
        assert not state.exists
        return
    info = thread_info("t1", row, None)
    assert (info.version, info.messages, info.title) == (
        state.version,
        state.messages,
        state.title,
    )
    assert (info.resource_id, info.agent_id or "") == (state.resource_id, state.agent_id)
    assert info.run_id == (None if state.active is None else state.active.run_id)
    assert info.status == ("idle" if state.active is None else "active")


@given(events=st.lists(st.lists(thread_events(), min_size=1, max_size=3), max_size=6))
@settings(deadline=None)
def test_whatever_comes_the_view_takes_it(events: list[list[ThreadEvent]]) -> None:
    log, rows = MemoryLog(), Rows(MemoryStore())
    for commit in events:
        log.append(STREAM, commit, expected_version=log.version(STREAM)).result(1)
    ThreadsView().apply(records_of(log), rows)
    rows.take()  # It can be encoded.


def test_what_stands_still_tells_why_and_what_waits_is_told_in_order() -> None:
    log, rows = MemoryLog(), Rows(MemoryStore())
    created = ThreadCreated(resource_id="u")
    log.append(STREAM, [created], expected_version=Version(0)).result(1)
    ThreadsView().apply(records_of(log), rows)
    row = rows.get(STREAM.encode(), ThreadRow)
    assert row is not None
    blocked = OpenEntry(kind="thread", status="blocked", reason="agent 'a' is not registered")
    info = thread_info("t1", row, blocked)
    assert (info.status, info.reason) == ("blocked", "agent 'a' is not registered")
    active = OpenEntry(kind="thread", status="active", summary={"queued": '["r2","r3"]'})
    assert thread_info("t1", row, active).queued == ("r2", "r3")


# -- what a run sees --


def user(number: int) -> Message:
    return UserMessage(text=f"message {number}")


def said(*messages: Message) -> MemoryLog:
    """Return a log with a thread on which this was said, and on which other things happened."""
    log = MemoryLog()
    events: list[ThreadEvent] = [ThreadCreated(resource_id="u")]
    for message in messages:
        events += [MessageAppended(message=message), ThreadRenamed(title=str(len(events)))]
    log.append(STREAM, events, expected_version=Version(0)).result(5)
    return log


@given(count=st.integers(0, 200), most=st.none() | st.integers(0, 220), until=st.integers(0, 500))
@settings(deadline=None, max_examples=30)
def test_the_last_messages_up_to_a_version_are_seen(
    count: int, most: int | None, until: int
) -> None:
    log = said(*map(user, range(count)))
    there = [user(number) for number in range(count) if 2 * number + 2 <= until]
    expected = there if most is None else there[max(len(there) - most, 0) :]
    upto = min(until, log.version(STREAM))
    assert history(log, "t1", until=upto, max_messages=most) == tuple(expected)


@pytest.mark.parametrize(("tokens", "seen"), [(0, 0), (10, 0), (25, 1), (50, 2), (10_000, 5)])
def test_as_many_tokens_are_seen_as_may_be(tokens: int, seen: int) -> None:
    log = said(*map(user, range(5)))
    found = history(log, "t1", until=log.version(STREAM), max_messages=None, max_tokens=tokens)
    assert len(found) == seen


def test_what_is_seen_does_not_begin_with_answers_of_tools() -> None:
    answers: list[Message] = [
        ToolMessage(call_id=CallId(f"0.{number}"), name="look") for number in range(3)
    ]
    log = said(user(0), AssistantMessage(), *answers, AssistantMessage(text="done"))
    head = log.version(STREAM)
    assert history(log, "t1", until=head, max_messages=3) == (AssistantMessage(text="done"),)
    assert len(history(log, "t1", until=head, max_messages=5)) == 5


def test_others_have_their_turn_while_a_thread_is_read_on_which_little_was_said() -> None:
    log = MemoryLog()
    begin: list[ThreadEvent] = [ThreadCreated(resource_id="u")]
    renamed: list[ThreadEvent] = [ThreadRenamed(title="t") for _ in range(1_000)]
    said: list[ThreadEvent] = [MessageAppended(message=UserMessage(text="hi"))]
    log.append(STREAM, begin + renamed + said, expected_version=Version(0)).result(1)
    query = ThreadsQuery(log, cast("Views", None))  # no view is asked

    async def turns_meanwhile() -> int:
        looking = asyncio.ensure_future(query.messages("t1", limit=1))
        turns = 0
        while not looking.done():
            await asyncio.sleep(0)
            turns += 1
        assert [one.version for one in looking.result()] == [1_002]
        return turns

    # As often as it reads: 256 events at a time, not one, and not all of them.
    assert 4 <= asyncio.run(turns_meanwhile()) <= 20
