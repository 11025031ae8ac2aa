"""What runs say to each other: made of the sender's events when it is delivered, each time anew."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from outlive.actors.agent import Agent
from outlive.actors.mail import Deliver, Parcel
from outlive.actors.run.carrying_out import start_command
from outlive.actors.run.commands import CancelRun, EndChildRun, RefuseChildRun
from outlive.actors.run.model_call import cut
from outlive.actors.run.notes import Notes
from outlive.actors.run.submitted import StartRequest
from outlive.events import (
    CallId,
    EventTooLarge,
    Failure,
    MessageId,
    OutliveError,
    ParentCall,
    RunCancelled,
    RunCompleted,
    RunExists,
    RunFailed,
    RunId,
    Value,
    run_stream,
)
from outlive.events.ids import id_of
from outlive.events.run.children import CANCEL, ENDED, START
from outlive.events.sizes import check_size


def parcel(message: Deliver, run_id: RunId, notes: Notes, agents: Mapping[str, Agent]) -> Parcel:
    """Return what a message of a run says.

    Raises:
        AgentNotFound: a child's agent is not registered.
    """
    if message.subject == START:
        return _start(message, run_id, notes, agents)
    id = MessageId(sender=run_stream(run_id), sequence=message.sequence)
    if message.subject == CANCEL:
        reason = f"run {run_id!r}, which it worked for, is over"
        cancel = CancelRun(run_id=id_of(message.to), reason=cut(reason), message=id)
        return Parcel(cancel, ends=True)
    assert message.subject == ENDED, f"a run says nothing about {message.subject!r}"
    return Parcel(_end(id, run_id, CallId(message.about), notes))


def _start(message: Deliver, run_id: RunId, notes: Notes, agents: Mapping[str, Agent]) -> Parcel:
    child, call_id = RunId(id_of(message.to)), CallId(message.about)
    call = notes.transcript.calls[call_id]
    assert call.child is not None, "only a child run is started"
    request = StartRequest(
        agent_id=call.child.agent_id,
        input=str(call.arguments["input"]),
        request_context=notes.request_context,
    )
    command = replace(
        start_command(request, agents),
        parent=ParentCall(run_id=run_id, call_id=call_id),
        message=MessageId(sender=run_stream(run_id), sequence=message.sequence),
    )

    def refused(error: OutliveError) -> RefuseChildRun:
        kind = "too_large" if isinstance(error, EventTooLarge) else "child_failed"
        why = "there is another run of this id" if isinstance(error, RunExists) else str(error)
        reason = f"run {child!r} could not begin: {why}"
        return RefuseChildRun(
            call_id=call_id,
            run_id=child,
            sequence=message.sequence,
            error=Failure(kind=kind, message=cut(reason)),
        )

    return Parcel(command, refused=refused)


def _end(id: MessageId, run_id: RunId, call_id: CallId, notes: Notes) -> EndChildRun:
    told = EndChildRun(
        message=id, call_id=call_id, run_id=run_id, status="completed", usage=notes.usage
    )
    match notes.end:
        case RunCompleted(data=data):
            result: Value = notes.transcript.output if data is None else data
            try:
                check_size(result)
            except EventTooLarge as too_large:
                return replace(told, error=Failure(kind="too_large", message=str(too_large)))
            return replace(told, result=result)
        case RunFailed(error=failure):
            reason = cut(f"{failure.kind}: {failure.message}")
            error = Failure(kind="child_failed", message=reason)
            return replace(told, status="failed", error=error)
        case RunCancelled(reason=reason):
            error = Failure(kind="child_cancelled", message=cut(reason) or "it was cancelled")
            return replace(told, status="cancelled", error=error)
        case None:
            raise AssertionError("a run says that it is over once it is")
