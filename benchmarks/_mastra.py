"""Mastra's background tasks on this machine, in the same minutes as ours.

They need Node 22 and two packages, in any folder, which is then given as `--mastra FOLDER`:

    npm install --legacy-peer-deps @mastra/core@1.71 @mastra/libsql@1.23 ai zod node@22
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from benchmarks._bench import scratch

_SCRIPT: Final = Path(__file__).with_name("mastra_tasks.mjs")
_PATIENCE_S: Final = 600


class _Package(msgspec.Struct):
    version: str


class Mastra:
    """A folder in which Mastra is installed.

    Raises ValueError if it is not, or there is no Node to run it.
    """

    def __init__(self, modules: Path, data: Path) -> None:
        self._data = data
        self._modules = modules
        package = modules / "node_modules" / "@mastra" / "core" / "package.json"
        own = modules / "node_modules" / ".bin" / "node"
        node = str(own) if own.exists() else shutil.which("node")
        if node is None or not package.exists():
            raise ValueError(f"no Mastra, or no node, in {str(modules)!r}: {__doc__}")
        self._node = node
        self.version: Final = msgspec.json.decode(package.read_bytes(), type=_Package).version

    def begins_ms(self, tasks: int) -> tuple[list[float], list[float]]:
        """Return the milliseconds from the call of `enqueue` to the tool, and from its return.

        One task after the other.
        """
        said = self._run("begins", tasks)
        return msgspec.json.decode(said, type=tuple[list[float], list[float]])

    def all_s(self, tasks: int, at_once: int, nap: float) -> float:
        """Return the seconds from the first `enqueue` until all tasks are over."""
        said = self._run("all", tasks, at_once, int(nap * 1_000))
        return msgspec.json.decode(said, type=float)

    def _run(self, what: str, *numbers: int) -> str:
        with scratch(self._data) as place:
            places = map(str, (_SCRIPT, self._modules, place))
            command = [self._node, *places, what, *map(str, numbers)]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE_S, check=True
            )
        lines: list[str] = done.stdout.splitlines()
        return lines[-1]
