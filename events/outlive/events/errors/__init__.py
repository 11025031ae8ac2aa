"""Everything that Outlive raises on purpose.

OutliveError
├── InvalidId                  the caller's id cannot name anything
├── NotFound                   there is no such thing; answered at once
│   ├── RunNotFound
│   ├── TaskNotFound
│   ├── ThreadNotFound
│   ├── HeartbeatNotFound
│   ├── SuspensionNotFound
│   ├── ToolNotFound
│   ├── HookNotFound
│   └── AgentNotFound
├── Refused                    the command cannot be obeyed in the present state
│   ├── RunExists              same id, other input
│   ├── TaskExists             same id, another tool or arguments
│   ├── ThreadExists           same id, another resource or title
│   ├── SignalExists           same key, another signal
│   ├── ThreadBusy             a run is active on the thread
│   ├── NotQueued              the run does not wait its turn
│   ├── OtherResource          the thread belongs to somebody else
│   ├── NobodyAnswers          no agent is known that is to answer on the thread
│   ├── RunOver                a signal to a run that has come to its end
│   ├── HeartbeatExists        same id
│   ├── InvalidOffset          an offset beyond the head
│   ├── OffsetMovedOn          another reader of that name is further on
│   ├── NameTaken              a subscription's name, in use for another stream
│   ├── NotSuspended           the run waits for nobody
│   ├── AmbiguousSuspension    it waits for several answers: say which
│   ├── AlreadyResumed         answered before, otherwise
│   ├── AlreadyDecided         decided before, otherwise
│   ├── ArgumentsChanged       not the arguments that you have seen
│   ├── InvalidResumeValue     an answer of the wrong shape
│   ├── AlreadyOver            the run has come to its end
│   ├── NotQuarantined         there is nothing to release
│   ├── AttemptEnded           a tool goes on after its attempt was given up
│   └── MailboxFull            too many commands wait for one run; try again later
├── InvalidDefinition          an agent or tool that cannot work, at construction
│   ├── InvalidCron            a schedule that cannot be read, or names no day
│   └── InvalidHeartbeat       a field of a heartbeat that cannot hold
│       ├── ResourceIdRequired a thread, and nobody to whom it belongs
│       └── ThreadlessOption   an option about a thread, and none
├── InvalidSignal              a signal that nobody could be told
├── UnserialisableValue        a value that cannot be stored
├── EventTooLarge              a value that is too large to be stored
├── InvalidCursor              a cursor that no page has handed out
├── ViewError                  a read model cannot answer
│   ├── ViewBehind             it has not got as far as the log yet; ask again
│   └── ViewFailed             it stands still
├── RunUnsuccessful            raised by `RunResult.unwrap()`: failed, or at a standstill
├── TaskUnsuccessful           raised by `TaskResult.unwrap()`
└── LogError
    ├── WrongExpectedVersion   someone appended first
    ├── LogInUse               another owner holds the folder
    ├── LogNotWritable         the folder cannot be written
    ├── LogNotFound            there is no log in the folder
    ├── NewerFormat            written by a later release
    ├── UnknownEvent           an event type that this release does not know
    ├── CorruptLog             bytes that are not what was written
    ├── Fenced                 another owner took over
    ├── WriterStuck            a frozen process holds the log's write lock
    ├── LogParked              no space: it waits, and goes on by itself
    ├── LogFailed              the store failed; close and open again
    └── LogClosed
"""

from outlive.events.errors.invalid import (
    EventTooLarge,
    InvalidCron,
    InvalidCursor,
    InvalidDefinition,
    InvalidHeartbeat,
    InvalidId,
    InvalidSignal,
    ResourceIdRequired,
    ThreadlessOption,
    UnserialisableValue,
)
from outlive.events.errors.log import (
    CorruptLog,
    Fenced,
    LogClosed,
    LogError,
    LogFailed,
    LogInUse,
    LogNotFound,
    LogNotWritable,
    LogParked,
    NewerFormat,
    UnknownEvent,
    WriterStuck,
    WrongExpectedVersion,
)
from outlive.events.errors.not_found import (
    AgentNotFound,
    HeartbeatNotFound,
    HookNotFound,
    NotFound,
    RunNotFound,
    SuspensionNotFound,
    TaskNotFound,
    ThreadNotFound,
    ToolNotFound,
)
from outlive.events.errors.people import (
    AlreadyDecided,
    AlreadyResumed,
    AmbiguousSuspension,
    ArgumentsChanged,
    InvalidResumeValue,
    NotSuspended,
)
from outlive.events.errors.readers import InvalidOffset, NameTaken, OffsetMovedOn
from outlive.events.errors.refused import (
    AlreadyOver,
    AttemptEnded,
    HeartbeatExists,
    MailboxFull,
    NotQuarantined,
    Refused,
    RunExists,
    TaskExists,
)
from outlive.events.errors.root import OutliveError
from outlive.events.errors.threads import (
    NobodyAnswers,
    NotQueued,
    OtherResource,
    RunOver,
    SignalExists,
    ThreadBusy,
    ThreadExists,
)
from outlive.events.errors.unsuccessful import RunUnsuccessful, TaskUnsuccessful
from outlive.events.errors.views import ViewBehind, ViewError, ViewFailed

__all__ = [
    "AgentNotFound",
    "AlreadyDecided",
    "AlreadyOver",
    "AlreadyResumed",
    "AmbiguousSuspension",
    "ArgumentsChanged",
    "AttemptEnded",
    "CorruptLog",
    "EventTooLarge",
    "Fenced",
    "HeartbeatExists",
    "HeartbeatNotFound",
    "HookNotFound",
    "InvalidCron",
    "InvalidCursor",
    "InvalidDefinition",
    "InvalidHeartbeat",
    "InvalidId",
    "InvalidOffset",
    "InvalidResumeValue",
    "InvalidSignal",
    "LogClosed",
    "LogError",
    "LogFailed",
    "LogInUse",
    "LogNotFound",
    "LogNotWritable",
    "LogParked",
    "MailboxFull",
    "NameTaken",
    "NewerFormat",
    "NobodyAnswers",
    "NotFound",
    "NotQuarantined",
    "NotQueued",
    "NotSuspended",
    "OffsetMovedOn",
    "OtherResource",
    "OutliveError",
    "Refused",
    "ResourceIdRequired",
    "RunExists",
    "RunNotFound",
    "RunOver",
    "RunUnsuccessful",
    "SignalExists",
    "SuspensionNotFound",
    "TaskExists",
    "TaskNotFound",
    "TaskUnsuccessful",
    "ThreadBusy",
    "ThreadExists",
    "ThreadNotFound",
    "ThreadlessOption",
    "ToolNotFound",
    "UnknownEvent",
    "UnserialisableValue",
    "ViewBehind",
    "ViewError",
    "ViewFailed",
    "WriterStuck",
    "WrongExpectedVersion",
]
