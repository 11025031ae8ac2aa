"""One of the processes of `bench_processes`: opens a folder in a role, then obeys its stdin.

    starts N      start N runs one by one; prints the milliseconds that each took
    hang          start a run that stays in its tool; prints `working` and the time
    idle S        do nothing for so many seconds; prints the share of a core that it took

A run that is taken up again prints `working` as well. Times are the machine's monotonic clock,
in nanoseconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

from benchmarks._process import run, tell
from outlive.actors import Agent, EchoModel, Runtime, ScriptedModel, ToolCall, Turn, tool
from outlive.actors.seat import Role


@tool(idempotent=True)
async def hang() -> str:
    """Stay here."""
    tell("working", time.monotonic_ns())
    await asyncio.sleep(3_600)
    return ""


AGENTS = [
    Agent("echo", model=EchoModel()),
    Agent("hanger", model=ScriptedModel([Turn(tool_calls=[ToolCall("hang", {})])]), tools=[hang]),
]


async def main(folder: str, role: Role, lease: float) -> None:
    """Open the folder and obey."""
    loop = asyncio.get_running_loop()
    async with Runtime(folder, agents=AGENTS, role=role, lease=lease) as rt:
        tell(rt.role)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            match line.split():
                case ["starts", count]:
                    took: list[float] = []
                    for _ in range(int(count)):
                        before = time.perf_counter()
                        await rt.start("echo", "hello")
                        took.append((time.perf_counter() - before) * 1_000)
                    tell(*took)
                case ["hang"]:
                    await rt.start("hanger", "hello")
                case ["idle", seconds]:
                    wall, cpu = time.perf_counter(), time.process_time()
                    await asyncio.sleep(float(seconds))
                    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
                    tell(share)
                case _:
                    raise AssertionError(line)


if __name__ == "__main__":
    run(main(sys.argv[1], cast("Role", sys.argv[2]), float(sys.argv[3])))
