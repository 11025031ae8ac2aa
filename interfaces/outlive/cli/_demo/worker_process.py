"""The worker, seen from the terminal: started, killed, waited for."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from typing import IO, Self

import msgspec

from outlive.cli._demo.worker import Job, Ready, Refusal
from outlive.cli._exit import FAILED, Wrong

_STARTS_WITHIN = 30.0  # seconds
_ENDS_WITHIN = 5.0


class WorkerProcess:
    """A process of its own, with a process group of its own: Ctrl-C does not reach it.

    Its stdin is a pipe that nothing is written to. The system closes it when this process dies,
    however it dies, and then the worker ends as well.
    """

    def __init__(self, process: asyncio.subprocess.Process, complaints: IO[bytes]) -> None:
        self._process = process
        self._complaints = complaints
        self._ready = False
        self.ended = asyncio.create_task(process.wait())

    @classmethod
    async def start(cls, job: Job, complaints: IO[bytes]) -> Self:
        """Start a worker. What it writes to stderr goes to the file `complaints`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # The folder that the user stands in holds no modules for us.
            "-m",
            "outlive.cli._demo.worker",
            msgspec.json.encode(job).decode(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
        )
        return cls(process, complaints)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def ready(self) -> None:
        """Return when the run is durable. Twice is once.

        Raises:
            Wrong: it cannot work, with its reason; or it says nothing for half a minute.
        """
        if self._ready:
            return
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_STARTS_WITHIN):
                line = await self._process.stdout.readline()
        except TimeoutError:
            message = f"worker {self.pid} said nothing within {_STARTS_WITHIN:.0f} s"
            raise Wrong(message, code=FAILED) from None
        if not line:
            await self.finish()
            raise self.gone()
        told = msgspec.json.decode(line, type=Ready | Refusal)
        if isinstance(told, Refusal):
            raise Wrong(told.reason, code=told.code)
        self._ready = True

    def gone(self) -> Wrong:
        """Return what to say of a worker that ended and was not killed."""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        code = self._process.returncode
        return Wrong(f"worker {self.pid} ended by itself (status {code}){last}", code=FAILED)

    async def kill(self) -> str:
        """Send SIGKILL, wait for the death, and return the name of the signal it died of."""
        with suppress(ProcessLookupError):
            self._process.kill()
        status = await self.ended
        return signal.Signals(-status).name if status < 0 else f"status {status}"

    async def finish(self) -> int:
        """Wait until it has ended by itself, a few seconds at most, and return its status."""
        try:
            async with asyncio.timeout(_ENDS_WITHIN):
                return await asyncio.shield(self.ended)
        except TimeoutError:
            await self.kill()
            return await self.ended

    async def end(self) -> None:
        """See to it that it is gone. Twice is once."""
        if not self.ended.done():
            await self.kill()
