"""Waking those who follow from other processes: one byte on a socket after a commit.

A process that follows binds a datagram socket with a name of its own in `wake/`. The owner sees a
new name by the directory's time of change. The owner has one too, with another beginning, which
is rung by those who put a command into the inbox. A byte that is lost costs a quarter of a second,
no more: who follows looks at the log by itself that often, and a socket is only there to make
it look sooner. So nothing here is an error: without sockets, the slow look has to do.

The paths of sockets are limited to about 100 bytes, so they are used through a short alias of
the directory. Times here are the machine's own, of its file system and sockets; no other clock
would do.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from outlive.events.clock import SystemClock

LOOK_AFTER_S: Final = 0.25
"""A follower looks at the log that often without being woken."""

_RESCAN_AFTER_S: Final = 0.02
_SETTLED_AFTER_S: Final = 2.5  # the coarsest time of change of a file system is 2 s
_NS: Final = 1_000_000_000

_OWNER: Final = "owner."

_clock: Final = SystemClock()
_bells: Final = count(1)


class _ShortPath:
    """A short alias of a directory, for as long as it is open."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._made: str | None = None
        self.prefix = f"/proc/self/fd/{self._descriptor}/"
        if not os.path.isdir(self.prefix):
            self._made = tempfile.mkdtemp(prefix="outlive-")
            alias = os.path.join(self._made, "w")
            os.symlink(directory, alias)
            self.prefix = alias + "/"

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)


def clear_dead(directory: Path) -> None:
    """Remove the sockets of processes that died. One that is alive, frozen too, keeps its own.

    Who dies leaves its socket, and an owner's is rung by visitors only: without any, each
    owner that is killed would leave one more for ever.
    """
    with suppress(OSError):
        short = _ShortPath(directory)
        try:
            for name in sorted(os.listdir(directory)):
                _remove_if_dead(short.prefix + name)
        finally:
            short.close()


def _remove_if_dead(path: str) -> None:
    # No other process binds this name meanwhile: as long as the file is there, it is taken.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)


class Wakers:
    """Knows the sockets of those who follow, or with `owner` that of the owner; sends the bytes."""

    def __init__(self, directory: Path, *, owner: bool = False) -> None:
        self._owner = owner
        self._directory = directory
        self._names: list[str] = []
        self._changed_ns = -1
        self._scan_at = 0.0
        self._settled_at = 0.0
        self._short: _ShortPath | None = None
        self._socket: socket.socket | None = None
        with suppress(OSError):
            directory.mkdir(exist_ok=True)
            self._short = _ShortPath(directory)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def ring(self) -> bool:
        """Send a byte to each socket; return whether one of their processes was found dead.

        It may be closed meanwhile, by another thread: then it has nobody to wake any more.
        """
        bell, short = self._socket, self._short
        if bell is None or short is None:
            return False
        dead = False
        now = _clock.monotonic_ns() / _NS
        if now >= self._scan_at:
            self._scan(now)
        for name in self._names:
            path = short.prefix + name
            try:
                bell.sendto(b"\0", path)
            except BlockingIOError:
                continue  # It has bytes enough to wake up.
            except ConnectionRefusedError:
                dead = True
                with suppress(OSError):
                    os.unlink(path)
                self._names = [other for other in self._names if other != name]
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    self._names = [other for other in self._names if other != name]
        return dead

    def look_again(self) -> None:
        """Look for new names with the next byte: somebody may just have come. From any thread."""
        self._scan_at = 0.0

    def _scan(self, now: float) -> None:
        """Look for new names, at most every 20 ms: it gives up the GIL."""
        self._scan_at = now + _RESCAN_AFTER_S
        with suppress(OSError):
            changed_ns = os.stat(self._directory).st_mtime_ns
            if changed_ns != self._changed_ns:
                # A later change may bear the same time, if the file system counts coarsely.
                self._changed_ns, self._settled_at = changed_ns, now + _SETTLED_AFTER_S
            if now < self._settled_at:
                names = sorted(os.listdir(self._directory))
                self._names = [name for name in names if name.startswith(_OWNER) == self._owner]

    def close(self) -> None:
        """Let go of the socket and the directory."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._short is not None:
            self._short.close()


class Bell:
    """The side of one that is woken: waits for a byte, or for the time of the next look."""

    def __init__(self, directory: Path, *, owner: bool = False) -> None:
        self._kind = _OWNER if owner else ""
        self._stopped = threading.Event()
        self._short: _ShortPath | None = None
        self._socket: socket.socket | None = None
        self._path = ""
        with suppress(OSError):
            self._short = _ShortPath(directory)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self._path = self._bind(self._socket, self._short.prefix)
            except OSError:
                self._socket.close()  # A read-only folder: the slow look has to do.
                self._socket = None
                raise
            os.chmod(self._path, 0o666)  # The owner may be another user.

    def _bind(self, bell: socket.socket, prefix: str) -> str:
        while True:
            path = f"{prefix}{self._kind}{os.getpid()}.{next(_bells)}"
            try:
                bell.bind(path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:  # by a dead process with the same id
                    raise
            else:
                return path

    def wait(self) -> bool:
        """Return after a byte, or after `LOOK_AFTER_S`; False when stopped."""
        if self._socket is None:
            self._stopped.wait(LOOK_AFTER_S)
            return not self._stopped.is_set()
        with suppress(OSError):
            self._socket.settimeout(LOOK_AFTER_S)
            self._socket.recv(1)
            self._socket.setblocking(False)
            while True:  # One look is enough for all bytes that are there.
                self._socket.recv(1)
        return not self._stopped.is_set()

    def stop(self) -> None:
        """Let `wait` return False, soon. From any thread."""
        self._stopped.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto(b"\0", self._path)

    def close(self) -> None:
        """Take the socket away. On the thread that waits, when it is done."""
        if self._socket is not None:
            self._socket.close()
            with suppress(OSError):
                os.unlink(self._path)
        if self._short is not None:
            self._short.close()
