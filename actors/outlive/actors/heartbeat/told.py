"""What a heartbeat is told by what it has fired: made of their events each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, assert_never

from outlive.actors.heartbeat.commands import EndFire, TellFire
from outlive.actors.mail import Deliver, Parcel
from outlive.events import (
    Failure,
    MessageId,
    RunCancelled,
    RunCompleted,
    RunFailed,
    StreamId,
    TaskCancelled,
    TaskFailed,
    TaskRejected,
    TaskSucceeded,
    TaskTimedOut,
    Usage,
)
from outlive.events.fires import FIRE_RESUMED, FIRE_SUSPENDED

if TYPE_CHECKING:
    from outlive.actors.run.notes import Notes
    from outlive.actors.surroundings import Surroundings
    from outlive.actors.task.notes import End as TaskEnd

Status: TypeAlias = Literal["succeeded", "failed", "aborted", "timed_out"]


class End(NamedTuple):
    """How what was fired has ended."""

    status: Status
    error: Failure | None = None
    usage: Usage = Usage()


def parcel_to_heartbeat(
    message: Deliver, stream: StreamId, all: Surroundings, end: Callable[[], End]
) -> Parcel:
    """Return what a message of a run, a task or a thread to a heartbeat says.

    It reaches one that stands still, too, which has nothing to settle for it.
    """
    id = MessageId(sender=stream, sequence=message.sequence)
    hooks, now_ns, fire = all.hooks_at_hand, all.clock.now_ns(), int(message.about)
    if message.subject in (FIRE_SUSPENDED, FIRE_RESUMED):
        news = TellFire(
            message=id,
            fire=fire,
            news="suspended" if message.subject == FIRE_SUSPENDED else "resumed",
            now_ns=now_ns,
            hooks=hooks,
        )
        return Parcel(news, ends=True)
    status, error, usage = end()
    ended = EndFire(
        message=id,
        fire=fire,
        status=status,
        error=error,
        usage=usage,
        now_ns=now_ns,
        hooks=hooks,
    )
    return Parcel(ended, ends=True)


def run_end(notes: Notes) -> End:
    """Return how a run has ended."""
    match notes.end:
        case RunCompleted():
            return End("succeeded", usage=notes.usage)
        case RunFailed(error=error):
            return End("failed", error, notes.usage)
        case RunCancelled(reason=reason):
            return End("aborted", Failure(kind="cancelled", message=reason), notes.usage)
        case None:
            raise AssertionError("a run says that it is over once it is")


def task_end(end: TaskEnd) -> End:
    """Return how a task has ended."""
    match end:
        case TaskSucceeded():
            return End("succeeded")
        case TaskFailed(error=error):
            return End("failed", error)
        case TaskTimedOut(error=error):
            return End("timed_out", error)
        case TaskCancelled(reason=reason):
            return End("aborted", Failure(kind="cancelled", message=reason))
        case TaskRejected(reason=reason):
            return End("failed", Failure(kind="rejected", message=reason))
        case _:
            assert_never(end)
