"""The event log could not do what was asked."""

from __future__ import annotations

from outlive.events.errors.not_found import NotFound
from outlive.events.errors.root import OutliveError


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
