"""Commands about child runs and messages, for a run in some state."""

from __future__ import annotations

from typing import Any, Final, Literal

from hypothesis import strategies as st

from outlive.actors.mail import Acknowledge
from outlive.actors.run.commands import CancelRun, EndChildRun, RefuseChildRun, RunCommand
from outlive.events import (
    CallId,
    ChildRun,
    ChildRunEnded,
    ChildRunStarted,
    Failure,
    MessageDelivered,
    MessageId,
    ParentCall,
    RunId,
    RunState,
    StreamId,
    Usage,
    Value,
    run_stream,
)
from outlive.events.run.background import QUEUE

SUB_AGENT: Final = "h"
"""The name of a sub-agent, as a model calls it."""
PARENT: Final = ParentCall(run_id=RunId("p"), call_id=CallId("0.0"))
STARTED_BY: Final = MessageId(sender=run_stream("p"), sequence=1)
_FAILED: Final = Failure(kind="child_failed", message="boom")


def child_of(step: int, index: int) -> ChildRun:
    """Return the run that is to answer a call."""
    return ChildRun(run_id=RunId(f"r:{step}.{index}"), agent_id=SUB_AGENT)


def children_of(state: RunState) -> list[tuple[CallId, RunId]]:
    """Return the calls of a run that child runs are about to answer."""
    return [
        (call_id, call.child.run_id)
        for call_id, call in state.calls.items()
        if call.status == "child" and call.child is not None
    ]


def told(draw: st.DrawFn, state: RunState) -> RunCommand:
    """Draw what others tell a run with open children, or messages to deliver."""
    children = children_of(state)
    if not children or (bool(state.mail.outbox) and draw(st.booleans())):
        letters = [n for n, letter in state.mail.outbox.items() if letter.subject != QUEUE]
        return Acknowledge(sequence=draw(st.sampled_from([*letters, 1])))
    call_id, run_id = draw(st.sampled_from(children))
    sequences = [number for number, one in state.mail.outbox.items() if one.about == call_id]
    if bool(sequences) and draw(st.booleans()):
        return RefuseChildRun(sequence=sequences[0], call_id=call_id, run_id=run_id, error=_FAILED)
    statuses: list[Literal["completed", "failed", "cancelled"]]
    statuses = ["completed", "completed", "failed", "cancelled"]
    status = draw(st.sampled_from(statuses))
    result: Value = "said" if status == "completed" else None
    return EndChildRun(
        message=MessageId(sender=run_stream(run_id), sequence=1),
        call_id=call_id,
        run_id=run_id,
        status=status,
        result=result,
        error=None if status == "completed" else _FAILED,
        usage=Usage(input_tokens=3, output_tokens=4),
    )


def cancelled_by_its_parent() -> CancelRun:
    """Return the wish of a parent that is over."""
    return CancelRun(reason="over", message=MessageId(sender=STARTED_BY.sender, sequence=2))


def parents() -> st.SearchStrategy[ParentCall | None]:
    """Draw whose child a run is, with anything in it."""
    text = st.text(max_size=10)
    return st.none() | st.builds(ParentCall, run_id=text.map(RunId), call_id=text.map(CallId))


def messages() -> st.SearchStrategy[MessageId | None]:
    """Draw the id of a message, or none."""
    senders = st.text(max_size=10).map(StreamId)
    return st.none() | st.builds(MessageId, sender=senders, sequence=st.integers(1, 2**31))


def child_runs() -> st.SearchStrategy[ChildRun | None]:
    """Draw the run that answers a call, or none."""
    text = st.text(max_size=10)
    return st.none() | st.builds(ChildRun, run_id=text.map(RunId), agent_id=text)


def events_of_children(
    call_ids: st.SearchStrategy[CallId], usages: st.SearchStrategy[Usage]
) -> st.SearchStrategy[Any]:
    """Draw an event about child runs and messages, with anything in it."""
    text = st.text(max_size=10)
    run_ids = text.map(RunId)
    return st.one_of(
        st.builds(ChildRunStarted, call_id=call_ids, run_id=run_ids, agent_id=text),
        st.builds(
            ChildRunEnded,
            call_id=call_ids,
            run_id=run_ids,
            status=st.sampled_from(["completed", "failed", "cancelled"]),
            usage=usages,
            message=messages(),
        ),
        st.builds(MessageDelivered, sequence=st.integers(1, 2**31), to=text.map(StreamId)),
    )
