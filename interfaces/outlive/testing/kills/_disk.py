"""A disk that is small, and can be made full at any instant."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from outlive.events import OutliveError

_BLOCK: Final = 4_096
_TRIES: Final = 20


class CannotMount(OutliveError):
    """This process may not mount a disk of its own; the message says why. Skip what needs it."""


class SmallDisk:
    """A tmpfs over a folder, as long as it is entered. Needs root, on Linux.

    What is in it is gone on leaving.

    Raises, on entering:
        CannotMount: it cannot be mounted.
    """

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self._folder = folder
        self._size_bytes = size_bytes
        self.full = False

    def __enter__(self) -> SmallDisk:
        """Mount it."""
        if shutil.which("mount") is None or not hasattr(os, "geteuid"):
            raise CannotMount("there is no `mount` here")
        if os.geteuid() != 0:
            raise CannotMount("only root may mount a small disk, and this process is not root")
        self._folder.mkdir(parents=True, exist_ok=True)
        done = self._mount("-t", "tmpfs", "-o", f"size={self._size_bytes}", "outlive")
        if done.returncode:
            raise CannotMount(f"a small disk cannot be mounted: {done.stderr.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away, with all that is in it."""
        subprocess.run(["umount", "-l", str(self._folder)], check=True)

    def fill(self) -> None:
        """Leave no space, by making the disk as small as what is in it."""
        for _ in range(_TRIES):  # Somebody may write meanwhile: then it is refused.
            found = os.statvfs(self._folder)
            used_bytes = (found.f_blocks - found.f_bfree) * found.f_frsize
            if not self._resize(max(used_bytes, _BLOCK)):
                continue
            self.full = True
            return

    def free(self) -> None:
        """Give the space back."""
        if not self._resize(self._size_bytes):
            raise CannotMount(f"the small disk in {self._folder} cannot be made larger again")
        self.full = False

    def _resize(self, size_bytes: int) -> bool:
        return self._mount("-o", f"remount,size={size_bytes}").returncode == 0

    def _mount(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["mount", *words, str(self._folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)
