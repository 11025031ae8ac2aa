"""The processes of `bench_recovery`: one that is killed, and one that goes on.

    python -m benchmarks._recovery_ours start   FOLDER NAME RUNS
    python -m benchmarks._recovery_ours recover FOLDER NAME RUNS

`start` prints a line once all runs wait in their tool, and stays. `recover` prints the monotonic
time at which all are over.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from benchmarks._floor import STUCK_STEP
from benchmarks._process import run, tell
from benchmarks._workload import AGENT, PAYLOAD, STEPS, agent
from outlive.actors import Runtime, ToolContext, tool

_STARTERS = 50


async def start(folder: Path, name: str, runs: int) -> None:
    """Start runs that never come out of their third tool call."""
    waiting = 0
    all_wait, never = asyncio.Event(), asyncio.Event()

    @tool(idempotent=True)
    async def look(ctx: ToolContext) -> str:
        nonlocal waiting
        if ctx.call_id == f"{STUCK_STEP}.0":
            waiting += 1
            if waiting == runs:
                all_wait.set()
            await never.wait()
        return PAYLOAD

    async with Runtime(folder, agents=[agent(look)]) as runtime:
        numbers = iter(range(runs))

        async def starter() -> None:
            for number in numbers:
                await runtime.start(AGENT, "go", run_id=f"{name}-{number}")

        await asyncio.gather(*(starter() for _ in range(_STARTERS)))
        await all_wait.wait()
        tell("waiting")
        await never.wait()


async def recover(folder: Path, name: str, runs: int) -> None:
    """Open the folder, which takes all runs up, and wait until none is open."""
    calls_left = runs * (STEPS - STUCK_STEP)
    last_call = asyncio.Event()

    @tool(idempotent=True)
    async def look() -> str:
        nonlocal calls_left
        calls_left -= 1
        if not calls_left:
            last_call.set()
        return PAYLOAD

    async with Runtime(folder, agents=[agent(look)]) as runtime:
        await last_call.wait()
        while runtime.log.open_entries():  # noqa: ASYNC110  # its last commits are on their way
            await asyncio.sleep(0.001)
        tell(time.monotonic_ns())
        for number in range(0, runs, 97):
            result = await runtime.result(f"{name}-{number}")
            assert (result.status, result.steps) == ("completed", STEPS), result


if __name__ == "__main__":
    program, where, called, count = sys.argv[1:]
    main = {"start": start, "recover": recover}[program]
    run(main(Path(where), called, int(count)))
