"""A disk that is really full: a small file system of this process alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

ALONE = ("unshare", "-rm")
"""What a program runs under that calls `mount`."""


def may_mount() -> bool:
    """Whether a program run under `ALONE` may mount anything."""
    unshare = shutil.which("unshare")
    if unshare is None or shutil.which("mount") is None:
        return False
    mounts = [unshare, "-rm", "mount", "-t", "tmpfs", "none", "/tmp"]
    return subprocess.run(mounts, capture_output=True, check=False).returncode == 0


def mount(place: Path, *, mib: int = 4) -> None:
    """Put a disk of so many MiB in the place of a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", place], check=True)


def fill(place: Path) -> Path:
    """Use up all that the disk has; return the file that does."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(os.sysconf("SC_PAGESIZE")))
    return ballast
