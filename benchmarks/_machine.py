"""Where, and with what, a benchmark was run."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

import lmdb
import msgspec

_LIBRARIES: Final = ("outlive", "lmdb", "msgspec", "pykka", "structlog")


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    filesystem: str
    loop_ms: float
    """What a fixed loop takes this Python here and now: to compare figures of different times."""


def versions() -> dict[str, str]:
    """Return what it was measured with."""
    found = {"python": platform.python_version()}
    found |= {name: version(name) for name in _LIBRARIES}
    found["liblmdb"] = ".".join(str(part) for part in lmdb.version())
    return found


def machine(folder: Path) -> Machine:
    """Return where it was measured; the filesystem is the one that holds `folder`."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory / 2**30, 1),
        kernel=platform.release(),
        filesystem=_filesystem(folder),
        loop_ms=round(min(_loop_ms() for _ in range(5)), 1),
    )


def _loop_ms() -> float:
    began = time.perf_counter()
    total = 0
    for number in range(1_000_000):
        total += number * number % 7
    return (time.perf_counter() - began) * 1e3


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _filesystem(folder: Path) -> str:
    """Return the type of the mount that holds `folder`, as Linux tells it."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return sys.platform
    place = folder.resolve()
    found = [
        (len(parts[1]), parts[2])
        for parts in (line.split(" ") for line in mounts)
        if place.is_relative_to(parts[1])
    ]
    return max(found)[1] if found else "unknown"
