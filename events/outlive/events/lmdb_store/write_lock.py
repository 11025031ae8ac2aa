"""Waiting for LMDB's write lock, and telling who stands still with it.

There is one such lock in an environment. It is a robust mutex in LMDB's lock file: one who dies
with it gives it back, one who is frozen with it keeps it. Nobody can take it away, and who waits
for it cannot be woken, so the wait is in a thread of its own, that may be left behind: if it is
given the lock after all, it gives it back at once.

Who has it is in the mutex: a robust mutex holds the thread id of its owner, by which the kernel
gives it back when that one dies. In LMDB 0.9 it follows the first line of 64 bytes of the lock
file. Where that is not so, nobody is named. It is read from where LMDB has mapped the file, as
the file itself must never be opened: closing a file gives up all locks that the process has on
it, and by such a lock LMDB tells living readers from dead ones.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import Final, TypeVar

import lmdb

from outlive.events.errors import WriterStuck
from outlive.events.lmdb_store.folder import Folder
from outlive.events.lmdb_store.owner_lock import look_at_owner

PATIENCE_S = 5.0

T = TypeVar("T")
Txn = TypeVar("Txn")

_left: Final[dict[Path, threading.Thread]] = {}  # by environment: at most one waits in vain

_MUTEX_AT: Final = 64
_MUTEX: Final = Struct("=I")
_THREAD_ID: Final = 0x3FFF_FFFF


def write_within(
    transaction: Callable[[Callable[[Txn], T]], T],
    work: Callable[[Txn], T],
    *,
    folder: Folder,
    patience_s: float,
    environment: Path | None = None,
    left_behind: Callable[[], None] | None = None,
) -> T:
    """Return what `work` returns in a write transaction. Blocks; not for an event loop's thread.

    `transaction` begins one, calls what it is given, and commits: in the log's environment, or
    in another one of its folder.

    Raises:
        WriterStuck: the write lock was not free within so many seconds. Nothing was done, and
            nothing will be; `left_behind` is called when the lock is free in the end.
    """
    environment = environment or folder.environment
    before = _left.get(environment)
    if before is not None:
        before.join(patience_s)
        if before.is_alive():
            raise writer_stuck(folder, environment)
    door = threading.Lock()
    begun = left = False
    done = threading.Event()
    outcome: list[T] = []
    failure: list[BaseException] = []

    def guarded(txn: Txn) -> T:
        nonlocal begun
        with door:
            if left:
                raise _LeftBehind
            begun = True
        return work(txn)

    def run() -> None:
        try:
            outcome.append(transaction(guarded))
        except BaseException as error:  # noqa: BLE001  # handed on
            failure.append(error)
            if isinstance(error, _LeftBehind) and left_behind is not None:
                left_behind()
        done.set()

    thread = threading.Thread(target=run, name="outlive-write", daemon=True)
    thread.start()
    if not done.wait(patience_s):
        with door:
            left = not begun
        if left:
            _left[environment] = thread
            raise writer_stuck(folder, environment)
        done.wait()
    if failure:
        raise failure[0]
    return outcome[0]


def first_write(
    env: lmdb.Environment,
    work: Callable[[lmdb.Transaction[bytes]], T],
    *,
    folder: Folder,
    unfinished: ExitStack,
) -> T:
    """Return what `work` returns in a write transaction of an environment that is being opened.

    `unfinished` closes it, if that fails. Raises WriterStuck, after 5 seconds.
    """

    def transaction(body: Callable[[lmdb.Transaction[bytes]], T]) -> T:
        with env.begin(write=True) as txn:
            return body(txn)

    try:
        return write_within(
            transaction, work, folder=folder, patience_s=PATIENCE_S, left_behind=env.close
        )
    except WriterStuck:
        unfinished.pop_all()  # The thread that waits is within it, and will close it.
        raise


class _LeftBehind(Exception):
    """Nobody waits for this transaction any more: it is given up."""


def writer_stuck(folder: Folder, environment: Path | None = None) -> WriterStuck:
    """Return the error that names who holds the write lock now, of the log's environment."""
    environment = environment or folder.environment
    pid = _holder(environment / "lock.mdb")
    _, lease = look_at_owner(folder.owner_lock)
    owner = lease.pid if lease is not None else None
    path = folder.path if environment == folder.environment else environment
    return WriterStuck(str(path), pid, "owner" if pid == owner else "visitor")


def _holder(lock_file: Path) -> int | None:
    """Return the id of the process that holds the write lock; None if that cannot be told."""
    with suppress(OSError, StructError, ValueError, StopIteration):
        maps = Path("/proc/self/maps").read_text("utf-8")
        line = next(line for line in maps.splitlines() if line.endswith(f" {lock_file}"))
        start = int(line.partition("-")[0], 16)
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            (word,) = _MUTEX.unpack(os.pread(memory.fileno(), _MUTEX.size, start + _MUTEX_AT))
        status = Path(f"/proc/{word & _THREAD_ID}/status").read_text("ascii")
        line = next(line for line in status.splitlines() if line.startswith("Tgid:"))
        return int(line.split()[1])
    return None
