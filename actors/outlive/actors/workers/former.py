"""Workers of an owner that is gone: named in the folder, and ended before another call is made.

A worker dies with its owner, but an owner that is frozen is not dead, and another one may have
taken over. So each worker's pid and start time stand in a file while it runs, and whoever owns
the folder next ends those that are left, before a tool runs in a process again.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

_START_TIME: Final = 19  # of the fields after the command's name, from 0; see proc(5)
_PATIENCE_MS: Final = 10_000


def started_at(pid: int) -> str:
    """Return when a process began, in a form that no other with its pid has; or nothing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    return f"{boot} {stat.rpartition(')')[2].split()[_START_TIME]}"


def note(folder: Path, pid: int) -> None:
    """Say in the folder that a worker runs. Raises OSError."""
    folder.mkdir(exist_ok=True)
    (folder / str(pid)).write_text(started_at(pid), "ascii")


def forget(folder: Path, pid: int) -> None:
    """It has ended."""
    with suppress(OSError):
        (folder / str(pid)).unlink(missing_ok=True)


def end_all(folder: Path) -> list[int]:
    """End the workers named in the folder, wait until they are gone, and return their pids."""
    ended: list[int] = []
    with suppress(FileNotFoundError):
        for file in sorted(folder.iterdir()):
            if file.name.isdecimal():
                if _end(int(file.name), file.read_text("ascii", "replace")):
                    ended.append(int(file.name))
                forget(folder, int(file.name))
    return ended


def _end(pid: int, started: str) -> bool:
    if not hasattr(os, "pidfd_open"):
        return False  # Without /proc and the like its pipe's end has to do.
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # Asked after the handle was taken: from here on it is this process and no later one.
        if not started or started_at(pid) != started:
            return False
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if poll.poll(0):
            return False  # It is dead, and nobody has asked how it ended.
        with suppress(OSError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        poll.poll(_PATIENCE_MS)
        return True
    finally:
        os.close(handle)
