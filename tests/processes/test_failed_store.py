"""An owner whose store has failed lets go of the log: another process takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from outlive.actors import Agent, EchoModel, Runtime
from outlive.actors.seat import Role
from outlive.events import LogFailed, failpoints
from tests.processes.conftest import Member


@pytest.fixture(autouse=True)
def disarmed() -> Generator[None]:
    yield
    failpoints.disarm_all()


def fail() -> None:
    raise OSError(5, "the disk is gone")


@pytest.mark.parametrize("role", ["auto", "owner"])
def test_another_process_goes_on(
    process: Callable[..., Member], tmp_path: Path, role: Role
) -> None:
    async def work() -> None:
        echo = Agent("echo", model=EchoModel())
        async with Runtime(tmp_path / "data", agents=[echo], role=role) as rt:
            other = process()
            assert other.hear("open") == ("open", "visitor")
            failpoints.arm("batch.begun", fail)
            with pytest.raises(LogFailed, match="the disk is gone"):
                await rt.start("echo", "hello", run_id="r")
            await asyncio.to_thread(other.ask, "start", "s", "worker", answer="started")
            while await asyncio.to_thread(other.ask, "role") != ("role", "owner"):
                continue
            with pytest.raises(LogFailed, match="the disk is gone"):
                await rt.start("echo", "hello", run_id="r")

    asyncio.run(work())
