"""The file lock that an owner holds, and the lease that is written in it.

The lock shows death at once: the kernel lets go of it with the process. It does not show that
a process is frozen, as that one keeps its lock. So the owner also writes into the file until
when it may be taken for alive, and moves that on from a thread of its own. The lease is told by
the machine's monotonic clock, which all processes share and nobody can set; after a restart of
the machine it means nothing, and nobody holds the lock.

Neither is authority: that is the epoch in the log, compared in each write transaction. They say
when it may be raised:

- Nobody holds the lock: take it, then raise the epoch.
- Somebody holds it, and the lease has run out: that one can not be made to let go. Its place is
  taken by another file, locked already, that is renamed over the old one within the transaction
  that raises the epoch. Of several who try, the transactions make a row: the next one finds
  another lease than the one that it saw run out. Who holds the file of before finds out by
  looking whether it still is the one in the folder.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from outlive.events.clock import SystemClock
from outlive.events.errors import LogFailed, LogInUse, LogNotWritable

OPENING_S: Final = 30.0
"""The lease of one that opens a log: it renews it only when the log is open."""

OwnerState: TypeAlias = Literal["none", "alive", "frozen"]

_TRIES: Final = 500
_PAUSE_S: Final = 0.002
_LEASE_BYTES: Final = 256

_clock: Final = SystemClock()
_drafts: Final = count(1)


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns the log, and until when it may be taken for alive if nothing more is heard."""

    pid: int
    epoch: int
    until_ns: int  # of the machine's monotonic clock
    boot_id: str
    pid_namespace: int

    @property
    def expired(self) -> bool:
        """Whether the owner did not renew it in time."""
        # Without /proc it is unknown; who has the lock has it since the last start anyway.
        restarted = "" != self.boot_id != boot_id() != ""
        return restarted or _clock.monotonic_ns() > self.until_ns


@cache
def boot_id() -> str:
    """Return what is another one after each start of the machine, where that can be told."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    return ""


def _pid_namespace() -> int:
    """Return the number of the namespace to which this process's id belongs; 0 if unknown."""
    with suppress(OSError):
        return os.stat("/proc/self/ns/pid").st_ino
    return 0


def check_namespace(path: Path) -> None:
    """Return unless the log's owner is in another PID namespace, as in another container.

    LMDB's table of readers holds process ids: in another namespace a living reader looks dead,
    and the owner would write over what it reads. Raises LogFailed.
    """
    state, lease = look_at_owner(path)
    if state == "none" or lease is None or lease.pid_namespace == _pid_namespace():
        return
    raise LogFailed(
        f"the owner of the log in {str(path.parent)!r} (process {lease.pid}) runs in another PID "
        "namespace: processes in several containers can share a folder only if they share one "
        "(docker run --pid=container:..., shareProcessNamespace in a pod)"
    )


def _read_lease(descriptor: int) -> Lease | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, _LEASE_BYTES, 0), type=Lease)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # It is renewed soon, or written anew by the next owner.


def look_at_owner(path: Path) -> tuple[OwnerState, Lease | None]:
    """Return whether the log has an owner, and its lease if it can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return "none", None
    try:
        # Shared: one that takes the lock meanwhile sees that it is only being looked at.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        lease = _read_lease(descriptor)
        return ("frozen" if lease is not None and lease.expired else "alive"), lease
    finally:
        os.close(descriptor)
    return "none", None


class OwnerLock:
    """An exclusive `flock` on the file in which the lease stands.

    The kernel lets go of it when the last descriptor is closed. A child made by `fork` has
    one too, and would keep a dead owner's lock, so it is closed in the child.
    """

    def __init__(self, path: Path, descriptor: int, draft: Path | None = None) -> None:
        self._path = path
        self._descriptor = descriptor
        self._draft = draft
        _held.add(self)

    @classmethod
    def take(cls, path: Path) -> OwnerLock:
        """Take the lock that nobody holds.

        Raises:
            LogInUse: another process holds it, or this one does already.
            LogNotWritable: the file cannot be written or locked.
        """
        while True:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise LogNotWritable(str(path.parent), error.strerror or str(error)) from error
            try:
                _lock(descriptor)
            except BlockingIOError:
                lease = _read_lease(descriptor)
                os.close(descriptor)
                raise LogInUse(str(path.parent), _name(lease)) from None
            except OSError as error:
                os.close(descriptor)
                raise LogNotWritable(str(path.parent), error.strerror or str(error)) from error
            lock = cls(path, descriptor)
            if lock.in_place:
                try:
                    lock.renew(0, OPENING_S)
                except OSError as error:
                    lock.release()
                    raise LogNotWritable(str(path.parent), error.strerror or "") from error
                return lock
            lock.release()  # Another file has taken its place meanwhile.

    @classmethod
    def instead_of(cls, path: Path, lease: Lease) -> OwnerLock:
        """Make a lock that is to take the place of the one whose lease has run out.

        It does in `put_in_place`. Raises LogNotWritable.
        """
        draft = path.with_name(f"{path.name}.{os.getpid()}.{next(_drafts)}")
        try:
            descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LogNotWritable(str(path.parent), error.strerror or str(error)) from error
        lock = cls(path, descriptor, draft)
        try:
            lock.renew(lease.epoch, OPENING_S)
        except OSError as error:
            lock.release()
            raise LogNotWritable(str(path.parent), error.strerror or str(error)) from error
        return lock

    def put_in_place(self, lease: Lease) -> None:
        """Take the place of the file with that lease. Within a write transaction of the log.

        Raises:
            LogInUse: another lease is written there now: the owner goes on, or there is a new one.
        """
        assert self._draft is not None
        state, now = look_at_owner(self._path)
        if state != "frozen" or now != lease:
            raise LogInUse(str(self._path.parent), _name(now))
        try:
            self._draft.replace(self._path)
        except FileNotFoundError:  # A new owner has cleared it away, before it was locked.
            raise LogInUse(str(self._path.parent), "another process was first") from None
        self._draft = None

    @property
    def in_place(self) -> bool:
        """Whether this file still is the one in the folder. Raises FileNotFoundError."""
        return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))

    def renew(self, epoch: int, lease_s: float) -> None:
        """Be taken for alive for so many seconds from now on."""
        lease = Lease(
            pid=os.getpid(),
            epoch=epoch,
            until_ns=_clock.monotonic_ns() + int(lease_s * 1e9),
            boot_id=boot_id(),
            pid_namespace=_pid_namespace(),
        )
        # Of one length, in one write: who reads meanwhile reads the old or the new one.
        os.pwrite(self._descriptor, msgspec.json.encode(lease).ljust(_LEASE_BYTES - 1) + b"\n", 0)

    def release(self) -> None:
        """Let go. Twice is once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        if self._draft is not None:
            with suppress(OSError):
                self._draft.unlink()

    def release_in_child(self) -> None:
        """Let go of what a fork has copied: the files are the parent's."""
        self._draft = None
        self.release()


def clear_drafts(path: Path) -> None:
    """Remove the locks that nobody holds and that never came to their place."""
    for draft in path.parent.glob(f"{path.name}.*"):
        with suppress(OSError):
            descriptor = os.open(draft, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                draft.unlink()
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # By an owner, then this raises; or by one that reads or looks, and will be done soon.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            threading.Event().wait(_PAUSE_S)
        else:
            return
    raise BlockingIOError


def _name(lease: Lease | None) -> str:
    if lease is None:
        return "process unknown"
    mine = ", this process" if lease.pid == os.getpid() else ""
    return f"process {lease.pid}{mine}"


class Unowned:
    """For reading without an entry in LMDB's table of readers: only while nobody owns the log.

    Without that entry an owner writes over the pages that are being read, and what reads them
    is stopped by LMDB, with its process. An owner that comes meanwhile waits for the read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def held(self) -> Generator[None]:
        """Keep owners away. Raises LogNotWritable if there is one."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise LogNotWritable(
                str(self._path.parent),
                "while the log has an owner, who reads it has to write log/lock.mdb",
            ) from None
        finally:
            os.close(descriptor)


_held: Final[weakref.WeakSet[OwnerLock]] = weakref.WeakSet()


def _release_in_child() -> None:
    for lock in list(_held):
        lock.release_in_child()


os.register_at_fork(after_in_child=_release_in_child)
