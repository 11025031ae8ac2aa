"""An owner that was replaced while it stood still, and does not know it yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from outlive.actors import Agent, EchoModel, Runtime
from outlive.events import LmdbLog
from tests.processes.conftest import Member


def test_what_it_lists_is_no_older_than_what_it_has_told(
    process: Callable[..., Member], tmp_path: Path
) -> None:
    """Streams are read from the file, where the next owner's records are."""

    async def work() -> None:
        echo = Agent("echo", model=EchoModel())
        async with Runtime(tmp_path / "data", agents=[echo], lease=3_600.0) as rt:
            await rt.run("echo", "hello", run_id="before")
            await rt.runs.get("before")
            run_out_of_time(rt)
            other = process()
            await asyncio.to_thread(other.hear, "open")
            while await asyncio.to_thread(other.ask, "role") != ("role", "owner"):
                continue
            await asyncio.to_thread(other.ask, "start", "r", "worker", answer="started")
            await asyncio.to_thread(other.ask, "result", "r")

            assert (await rt.result("r")).status == "completed"
            listing = asyncio.create_task(rt.runs.get("r"))
            # It finds out when it writes, and asks the other one from then on.
            await rt.start("echo", "hello", run_id="after")
            assert (await listing).status == "completed"

    asyncio.run(work())


def run_out_of_time(rt: Runtime) -> None:
    """Let its lease end, as that of a frozen process does; it looks after it once in an hour."""
    assert isinstance(rt.log, LmdbLog)
    keeper = rt.log._keeper  # pyright: ignore[reportPrivateUsage]
    keeper._lock.renew(rt.log.epoch, 0.0)  # pyright: ignore[reportPrivateUsage]
