"""Which records may go, and that nothing is lost with them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outlive.events import (
    Event,
    MemoryLog,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    RunEvent,
    StreamId,
    run_stream,
)
from outlive.events.event import Failure
from outlive.events.run import RunState, evolve
from outlive.testing.log_contract.compacting import append

streams = st.sampled_from([run_stream(name) for name in "abc"])
steps = st.integers(0, 2)
events = st.one_of(
    steps.map(lambda step: ModelDelta(step=step, text=f"{step}")),
    steps.map(lambda step: ModelDelta(step=step, text=f"{step}", kind="reasoning")),
    steps.map(lambda step: ModelCallCompleted(step=step, text="0" * step)),
    steps.map(lambda step: ModelCallStarted(step=step, model="m")),
    steps.map(lambda step: ModelAttemptAbandoned(step=step)),
    steps.map(lambda step: ModelCallFailed(step=step, error=Failure(kind="error"))),
)
histories = st.lists(st.tuples(streams, st.lists(events, min_size=1, max_size=3)), max_size=30)


def facts(log: MemoryLog, stream: StreamId) -> tuple[RunState, list[Event], int]:
    """What a stream comes to: its state, all but pieces of answers, its version."""
    state = RunState()
    found = [recorded.event for recorded in log.read(stream)]
    for event in found:
        if isinstance(event, RunEvent):
            state = evolve(state, event)
    return state, [one for one in found if not isinstance(one, ModelDelta)], log.version(stream)


@given(history=histories)
def test_no_stream_comes_to_something_else(history: list[tuple[StreamId, list[Event]]]) -> None:
    log = MemoryLog()
    for stream, found in history:
        append(log, stream, found)
    before = {stream: facts(log, stream) for stream, _ in history}
    pieces = [one for one in log.read_all() if all(isinstance(e, ModelDelta) for e in one.events)]
    log.compact()
    assert {stream: facts(log, stream) for stream, _ in history} == before
    # What went has its whole answer behind it, what stayed has not.
    left = log.read_all()
    for record in pieces:
        answers = {
            event.step
            for other in left
            if other.stream == record.stream and other.position > record.position
            for event in other.events
            if isinstance(event, ModelCallCompleted)
        }
        steps = {event.step for event in record.events if isinstance(event, ModelDelta)}
        assert (record not in left) == (steps <= answers)
