"""The process of `bench_open`: opens a folder, then does nothing.

    python -m benchmarks._opener FOLDER RUNS

prints the milliseconds from opening until all open runs are taken up: each is in its tool again,
which never ends. Then it reads how many seconds to stand idle, and prints the CPU time used
meanwhile, as a share of one core.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from benchmarks._views import all_built
from benchmarks._workload import agent
from outlive.actors import Runtime, tool


async def stand(folder: Path, runs: int) -> None:
    """Open the folder, and wait to be told how long to stand idle."""
    taken_up = 0
    all_taken_up, never = asyncio.Event(), asyncio.Event()

    @tool(idempotent=True)
    async def look() -> str:
        nonlocal taken_up
        taken_up += 1
        if taken_up == runs:
            all_taken_up.set()
        await never.wait()
        return ""

    started_ns = time.monotonic_ns()
    async with Runtime(folder, agents=[agent(look)], max_recoveries=None) as runtime:
        opened_ns = time.monotonic_ns()
        await all_taken_up.wait()
        done_ns = time.monotonic_ns()
        print((opened_ns - started_ns) / 1e6, (done_ns - started_ns) / 1e6, flush=True)
        line = await asyncio.to_thread(sys.stdin.readline)
        seconds = float(line)
        await all_built(runtime)
        used, began_ns = time.process_time(), time.monotonic_ns()
        await asyncio.sleep(seconds)
        elapsed = (time.monotonic_ns() - began_ns) / 1e9
        print((time.process_time() - used) / elapsed, flush=True)
        await never.wait()


if __name__ == "__main__":
    asyncio.run(stand(Path(sys.argv[1]), int(sys.argv[2])))
