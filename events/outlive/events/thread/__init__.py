"""The thread: a conversation, and who is active on it. Its events, and what they fold into."""

from outlive.events.thread.events import (
    ForkPoint,
    MessageAppended,
    RunWish,
    SignalAction,
    SignalDropped,
    SignalReceived,
    SignalReturned,
    ThreadCreated,
    ThreadEvent,
    ThreadRenamed,
    ThreadRunAsked,
    ThreadRunCancelled,
    ThreadRunClaimed,
    ThreadRunReleased,
    ThreadRunWithdrawn,
)
from outlive.events.thread.state import ActiveRun, Answer, ThreadState, Waiting, evolve

__all__ = [
    "ActiveRun",
    "Answer",
    "ForkPoint",
    "MessageAppended",
    "RunWish",
    "SignalAction",
    "SignalDropped",
    "SignalReceived",
    "SignalReturned",
    "ThreadCreated",
    "ThreadEvent",
    "ThreadRenamed",
    "ThreadRunAsked",
    "ThreadRunCancelled",
    "ThreadRunClaimed",
    "ThreadRunReleased",
    "ThreadRunWithdrawn",
    "ThreadState",
    "Waiting",
    "evolve",
]
