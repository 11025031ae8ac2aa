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

from __future__ import annotations


class OutliveError(Exception):
    """The root of all errors that Outlive raises."""


class InvalidId(OutliveError, ValueError):
    """An id that cannot name anything. Use printable text of 1 to 200 bytes."""


class NotFound(OutliveError, LookupError):
    """There is no such thing in this log. Answered at once, never waited for."""


class RunNotFound(NotFound):
    """There is no run with this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id!r} in this log")
        self.run_id = run_id


class TaskNotFound(NotFound):
    """There is no task with this id."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"there is no task {task_id!r} in this log")
        self.task_id = task_id


class HeartbeatNotFound(NotFound):
    """There is no heartbeat with this id, or none any more."""

    def __init__(self, heartbeat_id: str) -> None:
        super().__init__(f"there is no heartbeat {heartbeat_id!r} in this log")
        self.heartbeat_id = heartbeat_id


class ToolNotFound(NotFound):
    """No agent of this runtime has a tool of this name."""

    def __init__(self, tool: str, known: tuple[str, ...]) -> None:
        names = ", ".join(repr(name) for name in known) or "none"
        super().__init__(f"there is no tool {tool!r} here (known: {names})")
        self.tool = tool
        self.known = known


class AgentNotFound(NotFound):
    """No agent with this id is registered with the runtime."""

    def __init__(self, agent_id: str, known: tuple[str, ...]) -> None:
        names = ", ".join(repr(name) for name in known) or "none"
        super().__init__(f"no agent {agent_id!r} is registered with this runtime (known: {names})")
        self.agent_id = agent_id
        self.known = known


class HookNotFound(NotFound):
    """The runtime has no heartbeat hooks of this name."""

    def __init__(self, hook: str, known: tuple[str, ...]) -> None:
        names = ", ".join(repr(name) for name in known) or "none"
        super().__init__(f"this runtime has no heartbeat hooks {hook!r} (known: {names})")
        self.hook = hook
        self.known = known


class Refused(OutliveError):
    """The command cannot be obeyed in the present state. Nothing was written."""


class RunExists(Refused):
    """A run with this id was started with another agent or input."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id!r} exists already, with another agent or input")
        self.run_id = run_id


class TaskExists(Refused):
    """A task with this id was queued with another tool or arguments."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"task {task_id!r} exists already, with another tool or arguments")
        self.task_id = task_id


class ThreadNotFound(NotFound):
    """There is no thread with this id."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"there is no thread {thread_id!r} in this log")
        self.thread_id = thread_id


class ThreadExists(Refused):
    """A thread with this id was created otherwise: with another resource, title, agent, ..."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"thread {thread_id!r} exists already, and was created otherwise")
        self.thread_id = thread_id


class SignalExists(Refused):
    """A signal with this idempotency key says something else."""

    def __init__(self, thread_id: str, signal_id: str) -> None:
        super().__init__(f"thread {thread_id!r} has another signal under {signal_id!r}")
        self.thread_id = thread_id
        self.signal_id = signal_id


class ThreadBusy(Refused):
    """A run is active on the thread, and this one was not to wait for it."""

    def __init__(self, thread_id: str, run_id: str) -> None:
        super().__init__(f"run {run_id!r} is active on thread {thread_id!r}")
        self.thread_id = thread_id
        self.run_id = run_id


class NotQueued(Refused):
    """The run does not wait its turn: it has begun, or was taken back before."""

    def __init__(self, thread_id: str, run_id: str) -> None:
        super().__init__(f"nothing waits as {run_id!r} on thread {thread_id!r}")
        self.thread_id = thread_id
        self.run_id = run_id


class OtherResource(Refused):
    """The thread belongs to another resource. Nothing of it is told."""

    def __init__(self, thread_id: str, resource_id: str) -> None:
        super().__init__(f"thread {thread_id!r} does not belong to resource {resource_id!r}")
        self.thread_id = thread_id
        self.resource_id = resource_id


class NobodyAnswers(Refused):
    """Nobody is known who is to answer on the thread: say which agent is."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"no agent has answered on thread {thread_id!r} yet: say which one is to")
        self.thread_id = thread_id


class RunOver(Refused):
    """The run has come to its end: it reads no signals any more. `status` is which."""

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(f"run {run_id!r} is {status} already: nobody reads a signal to it")
        self.run_id = run_id
        self.status = status


class HeartbeatExists(Refused):
    """There is a heartbeat with this id already: update that one, or choose another id."""

    def __init__(self, heartbeat_id: str) -> None:
        super().__init__(f"heartbeat {heartbeat_id!r} exists already")
        self.heartbeat_id = heartbeat_id


class SuspensionNotFound(NotFound):
    """The run has no suspension of this name, and had none. `names` are those that are open.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(
        self, run_id: str, suspension: str, names: tuple[str, ...], kind: str = "run"
    ) -> None:
        known = ", ".join(repr(name) for name in names) or "none"
        super().__init__(f"{kind} {run_id!r} has no suspension {suspension!r} (open: {known})")
        self.run_id = run_id
        self.suspension = suspension
        self.names = names
        self.kind = kind


class NotSuspended(Refused):
    """The run waits for nobody. `status` tells what it does.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(self, run_id: str, status: str, kind: str = "run") -> None:
        super().__init__(f"{kind} {run_id!r} is not suspended: it is {status}")
        self.kind = kind
        self.run_id = run_id
        self.status = status


class AmbiguousSuspension(Refused):
    """The run waits for several answers. Say which one this is.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(self, run_id: str, names: tuple[str, ...], kind: str = "run") -> None:
        super().__init__(
            f"{kind} {run_id!r} waits for several answers, name one: {', '.join(map(repr, names))}"
        )
        self.run_id = run_id
        self.names = names
        self.kind = kind


class AlreadyResumed(Refused):
    """The suspension was answered before, with another value.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(self, run_id: str, suspension: str, kind: str = "run") -> None:
        super().__init__(
            f"suspension {suspension!r} of {kind} {run_id!r} has another answer already"
        )
        self.run_id = run_id
        self.suspension = suspension
        self.kind = kind


class AlreadyDecided(Refused):
    """It was decided before, and otherwise. `decision` is what was decided."""

    def __init__(self, run_id: str, call_id: str, decision: str) -> None:
        super().__init__(f"tool call {call_id!r} of run {run_id!r} is {decision} already")
        self.run_id = run_id
        self.call_id = call_id
        self.decision = decision


class ArgumentsChanged(Refused):
    """The call has other arguments than those that the decision is about. Look again."""

    def __init__(self, run_id: str, call_id: str, expected: str, actual: str) -> None:
        super().__init__(
            f"tool call {call_id!r} of run {run_id!r} has arguments with digest {actual!r}, "
            f"not {expected!r}"
        )
        self.run_id = run_id
        self.call_id = call_id
        self.expected = expected
        self.actual = actual


class InvalidResumeValue(Refused):
    """The answer has not the shape that was asked for. The run is still suspended.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(self, run_id: str, suspension: str, reason: str, kind: str = "run") -> None:
        said = f"the answer to suspension {suspension!r} of" if suspension else "what is said of"
        super().__init__(f"{said} {kind} {run_id!r} does not fit: {reason}")
        self.run_id = run_id
        self.suspension = suspension
        self.reason = reason
        self.kind = kind


class AlreadyOver(Refused):
    """The run has come to its end. `status` is which.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(self, run_id: str, status: str, kind: str = "run") -> None:
        super().__init__(f"{kind} {run_id!r} is over already: {status}")
        self.run_id = run_id
        self.status = status
        self.kind = kind


class NotQuarantined(Refused):
    """There is nothing to release: the run does not stand still for its failures.

    `run_id` is that of the thread or heartbeat, if its `kind` is that.
    """

    def __init__(self, run_id: str, status: str, kind: str = "run") -> None:
        super().__init__(f"{kind} {run_id!r} is not quarantined: it is {status}")
        self.kind = kind
        self.run_id = run_id
        self.status = status


class InvalidOffset(Refused):
    """No offset of this log: beyond the head, negative, or no whole number.

    It was not handed out by this log, or the log was put back to an earlier state. Reading on
    from there would miss events without a word. Begin again at an offset that you can rely on.
    """

    def __init__(self, after: object, head: int, reason: str = "") -> None:
        super().__init__(reason or f"offset {after!r} lies outside of 0 to {head}, the head")
        self.after = after
        self.head = head


class OffsetMovedOn(Refused):
    """Another reader has saved a later offset under this name. Nothing was saved."""

    def __init__(self, name: str, offset: int, saved: int) -> None:
        super().__init__(f"{name!r} is at offset {saved}: {offset} would go back")
        self.name = name
        self.offset = offset
        self.saved = saved


class NameTaken(Refused):
    """The name is that of a subscription to something else. Choose another, or forget it."""

    def __init__(self, name: str, stream: str | None) -> None:
        what = "the whole log" if stream is None else f"stream {stream!r}"
        super().__init__(f"{name!r} is the name of a subscription to {what}")
        self.name = name
        self.stream = stream


class AttemptEnded(Refused):
    """The tool's attempt is over (timed out or replaced); what it does now is not recorded."""

    def __init__(self, call_id: str, attempt: int) -> None:
        super().__init__(f"attempt {attempt} of tool call {call_id!r} is over")
        self.call_id = call_id
        self.attempt = attempt


class MailboxFull(Refused):
    """As many commands wait for one run as may. Nothing was queued; try again later."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit:,} commands wait already, and no more may: try again later")
        self.limit = limit


class InvalidDefinition(OutliveError, ValueError):
    """An agent, tool or setting that cannot hold. Raised at construction."""


class InvalidCron(InvalidDefinition):
    """A schedule that cannot be read or that names no day, or a time zone unknown here."""


class InvalidHeartbeat(InvalidDefinition):
    """A field of a heartbeat that cannot hold; the message says which, and why."""


class ResourceIdRequired(InvalidHeartbeat):
    """A heartbeat with a thread says to whom that belongs: pass `resource_id` too."""


class ThreadlessOption(InvalidHeartbeat):
    """What is said of a heartbeat is about a thread, and it has none: pass `thread_id` too."""


class InvalidSignal(OutliveError, ValueError):
    """What is to be signalled cannot be. `field` tells what of it; nothing was written."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} of a signal: {reason}")
        self.field = field
        self.reason = reason


class UnserialisableValue(OutliveError, TypeError):
    """A value that cannot be stored, or does not fit the type that was promised for it."""


class EventTooLarge(OutliveError, ValueError):
    """A value that is too large to be stored. Nothing was written.

    Keep it where large things are kept, and store where that is.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{size_bytes:,} bytes are too many to be stored, at most {limit_bytes:,} are: "
            "keep them elsewhere, and store where"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class RunUnsuccessful(OutliveError):
    """A run did not complete: it failed, or stands still. Raised by `RunResult.unwrap()`."""

    def __init__(self, run_id: str, status: str, reason: str) -> None:
        super().__init__(f"run {run_id!r} is {status}: {reason}")
        self.run_id = run_id
        self.status = status
        self.reason = reason


class TaskUnsuccessful(OutliveError):
    """A task did not succeed. Raised by `TaskResult.unwrap()`."""

    def __init__(self, task_id: str, status: str, reason: str) -> None:
        super().__init__(f"task {task_id!r} is {status}: {reason}")
        self.task_id = task_id
        self.status = status
        self.reason = reason


class InvalidCursor(OutliveError, ValueError):
    """No page of this log has handed out this cursor. Pass one back as it came."""


class ViewError(OutliveError):
    """A read model cannot answer now. The log itself is not touched by that."""


class ViewBehind(ViewError):
    """The view did not get as far as the log was when it was asked. Ask again."""

    def __init__(self, view: str, at: int, head: int) -> None:
        super().__init__(
            f"the view {view!r} has got to position {at} and the log is at {head}: ask again"
        )
        self.view = view
        self.at = at
        self.head = head


class ViewFailed(ViewError):
    """The view stands still: its projection raised, or its files cannot be used."""

    def __init__(self, view: str, reason: str) -> None:
        super().__init__(f"the view {view!r} stands still: {reason}")
        self.view = view
        self.reason = reason


class LogError(OutliveError):
    """The event log could not do what was asked."""


class WrongExpectedVersion(LogError):
    """Someone appended first. Load again and decide again; do not retry the bytes."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"stream {stream!r} is at version {actual}, expected {expected}")
        self.stream = stream
        self.expected = expected
        self.actual = actual


class LogInUse(LogError):
    """Another owner holds the folder. Stop it, or open the log read-only."""

    def __init__(self, path: str, owner: str) -> None:
        super().__init__(
            {
                "this process": f"this process has the log in {path!r} open already: "
                "share that one",
                "the parent process": f"this process was forked off one that had the log in "
                f"{path!r} open: start processes that use the log by spawn or forkserver, or "
                "open it after the fork alone",
            }.get(
                owner,
                f"the log in {path!r} has an owner already ({owner}): "
                "one process at a time may write; open it read-only, or stop the owner",
            )
        )
        self.path = path
        self.owner = owner


class LogNotWritable(LogError):
    """The folder cannot be written by this user."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"cannot write in {path!r} ({reason}): "
            "choose a folder that this user may write, on a disk that has room"
        )
        self.path = path


class LogNotFound(LogError, NotFound):
    """There is no log in the folder."""

    def __init__(self, path: str) -> None:
        super().__init__(f"there is no log in {path!r}")
        self.path = path


class NewerFormat(LogError):
    """The log was written by a later release. Nothing was touched; upgrade Outlive."""

    def __init__(self, what: str, found: int, known: int) -> None:
        super().__init__(
            f"{what} has format {found}, this release knows up to {known}: upgrade outlive"
        )
        self.what = what
        self.found = found
        self.known = known


class UnknownEvent(LogError):
    """An event of a type that is not in the catalogue. Never skipped, never guessed at.

    A later release wrote it, or one with other event types.
    """

    def __init__(self, where: str, tag: str) -> None:
        super().__init__(
            f"{where} holds an event of type {tag!r}, which is not known here: "
            "upgrade outlive, or register the type"
        )
        self.where = where
        self.tag = tag


class CorruptLog(LogError):
    """Bytes that are not what was written. Nothing is guessed at or skipped."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} is damaged: {reason}")
        self.where = where
        self.reason = reason


class Fenced(LogError):
    """Another owner took over with a higher epoch; this one may not write any more."""

    def __init__(self, epoch: int, current: int) -> None:
        super().__init__(f"this owner has epoch {epoch}, the log is owned with epoch {current}")
        self.epoch = epoch
        self.current = current


class WriterStuck(LogError):
    """A process stands still while it holds the log's write lock: nobody can write.

    It is frozen (stopped, or in a debugger) in the middle of a commit. Let it go on (SIGCONT),
    or kill it: the lock is free then, and its commit is in altogether or not at all.
    """

    def __init__(self, path: str, pid: int | None, role: str) -> None:
        who = "a process that cannot be told" if pid is None else f"process {pid} ({role})"
        super().__init__(
            f"nobody can write the log in {path!r}: {who} stands still within a commit; "
            "let it go on (kill -CONT) or kill it"
        )
        self.path = path
        self.pid = pid
        self.role = role


class LogParked(LogError):
    """There is no space for what was appended. Free some: the log goes on by itself.

    What was acknowledged is there and can be read; what was appended since waits, and is
    written in order when there is space.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"the log in {path!r} is parked: {reason}. What was appended waits; "
            "free some space, and it goes on by itself"
        )
        self.path = path
        self.reason = reason


class LogFailed(LogError):
    """The store failed while committing. Whether the last commits are in is unknown.

    Close the log and open it again: what was acknowledged is there.
    """


class LogClosed(LogError):
    """The log is closed."""
