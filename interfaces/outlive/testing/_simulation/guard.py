"""Keeps code under simulation from what it has no power over: sockets, threads, processes.

What is refused raises where it is tried, and is noted besides: a tool that catches it, or whose
failure is told to the model, would be tried on the way it fails only, and pass.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

# Now: as it is imported it runs a program, to learn of the machine.
import croniter  # noqa: F401  # pyright: ignore[reportUnusedImport]

from outlive.testing._simulation.process import NotSimulable, ProcessDied, here

_REFUSED: Final = {
    "socket.__new__": "socket.socket",
    "socket.connect": "socket.connect",
    "socket.getaddrinfo": "socket.getaddrinfo",
    "socket.gethostbyaddr": "socket.gethostbyaddr",
    "socket.gethostbyname": "socket.gethostbyname",
    "socket.sendto": "socket.sendto",
    "subprocess.Popen": "subprocess.Popen",
    "os.system": "os.system",
    "os.fork": "os.fork",
    "os.forkpty": "os.forkpty",
    "os.posix_spawn": "os.posix_spawn",
    "os.exec": "os.exec",
}


_TOLD: Final = 100
"""How often code in a dead process is told so."""


class _Watch(threading.local):
    """Whether this thread runs code under simulation now, and where is noted what it tries."""

    refused: list[NotSimulable] | None = None


_watch: Final = _Watch()
_begun: Final = threading.Lock()


def _audit(event: str, _: tuple[object, ...]) -> None:
    if _watch.refused is not None and event in _REFUSED:
        raise refuse(_REFUSED[event], _watch.refused)


def refuse(call: str, refused: list[NotSimulable] | None, instead: str = "") -> NotSimulable:
    """Note that `call` was refused, and return what says so."""
    error = NotSimulable(call, instead)
    if refused is not None:
        refused.append(error)
    return error


def _watched_start(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def start_watched(self: threading.Thread) -> None:
        if _watch.refused is not None:
            instead = "use `asyncio.to_thread`, or make it a sync tool"
            raise refuse("threading.Thread.start", _watch.refused, instead)
        start(self)

    return start_watched


def begin_to_watch() -> None:
    """Make real sockets, threads and processes refusable. Once for this interpreter, for good."""
    if _begun.acquire(blocking=False):
        sys.addaudithook(_audit)
        threading.Thread.start = _watched_start(threading.Thread.start)  # type: ignore[assignment,method-assign]


@contextmanager
def watched(refused: list[NotSimulable] | None) -> Generator[None]:
    """Refuse them in this `with`, on this thread, and note what was refused; None lets all be."""
    before = watch(refused)
    try:
        yield
    finally:
        watch(before)


def watch(refused: list[NotSimulable] | None) -> list[NotSimulable] | None:
    """As `watched`, from now on; return what it was before."""
    before, _watch.refused = _watch.refused, refused
    return before


def is_alive() -> bool:
    """Return True. Raises ProcessDied if the process in which this is called is dead.

    Code that catches that and tries again for ever is told a hundred times, and then False: it
    may end like that, and is refused where the simulation is driven.
    """
    process = here()
    if process is None or process.alive:
        return True
    process.told += 1
    if process.told <= _TOLD:
        raise ProcessDied
    refuse("a tool that catches BaseException and goes on", _watch.refused, "let it end")
    return False


REFUSED: Final = (
    "add_reader",
    "add_signal_handler",
    "add_writer",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
    "sendfile",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_sendall",
    "sock_sendto",
    "start_tls",
    "subprocess_exec",
    "subprocess_shell",
)
"""What a loop is asked for that reaches outside of the simulation."""


def refusing(name: str) -> Callable[..., Any]:
    """Return a method that refuses to be called."""

    def method(*_: Any, **__: Any) -> Any:
        raise refuse(f"loop.{name}", _watch.refused)

    return method
