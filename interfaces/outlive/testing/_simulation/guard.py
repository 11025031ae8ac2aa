"""Keeps code under simulation from what it has no power over: sockets, threads, processes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from outlive.testing._simulation.process import NotSimulable

_REFUSED: Final = {
    "socket.__new__": "socket.socket",
    "socket.getaddrinfo": "socket.getaddrinfo",
    "subprocess.Popen": "subprocess.Popen",
    "os.system": "os.system",
    "os.fork": "os.fork",
    "os.forkpty": "os.forkpty",
    "os.posix_spawn": "os.posix_spawn",
    "os.exec": "os.exec",
}


class _Watch(threading.local):
    """Whether this thread runs code under simulation now."""

    on = False


_watch: Final = _Watch()
_begun: Final = threading.Lock()


def _audit(event: str, _: tuple[object, ...]) -> None:
    if _watch.on and event in _REFUSED:
        raise NotSimulable(_REFUSED[event])


def _watched_start(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def start_watched(self: threading.Thread) -> None:
        if _watch.on:
            raise NotSimulable("threading.Thread.start", "make it a sync tool or `ctx.step`")
        start(self)

    return start_watched


def begin_to_watch() -> None:
    """Make real sockets, threads and processes refusable. Once for this interpreter, for good."""
    if _begun.acquire(blocking=False):
        sys.addaudithook(_audit)
        threading.Thread.start = _watched_start(threading.Thread.start)  # type: ignore[assignment,method-assign]


@contextmanager
def watched(on: bool = True) -> Generator[None]:
    """Refuse them in this `with`, on this thread."""
    before, _watch.on = _watch.on, on
    try:
        yield
    finally:
        _watch.on = before


def watch(on: bool) -> bool:
    """Switch refusing on or off on this thread; return what it was. As `watched`, but quick."""
    before, _watch.on = _watch.on, on
    return before


def refusing(name: str) -> Callable[..., Any]:
    """Return a method that refuses to be called."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise NotSimulable(f"loop.{name}")

    return refuse
