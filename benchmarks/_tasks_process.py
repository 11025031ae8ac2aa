"""The processes of `bench_tasks`: one that is killed with a long queue, and one that goes on.

    python -m benchmarks._tasks_process queue FOLDER TASKS AT_ONCE
    python -m benchmarks._tasks_process again FOLDER TASKS AT_ONCE

Both print the monotonic time at which AT_ONCE tools have been entered, and stay: no task ends.
`queue` enqueues TASKS first.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from benchmarks._background import MANY_CALLERS, enqueue_many, opened
from benchmarks._process import run, tell

_FOR_EVER = 1e6


async def main(program: str, folder: Path, tasks: int, at_once: int) -> None:
    """Open the folder, and stay."""
    entered = 0
    all_entered = asyncio.Event()
    entered_ns = 0

    def on_entry(_: int) -> None:
        nonlocal entered, entered_ns
        entered += 1
        if entered == at_once:
            entered_ns = time.monotonic_ns()
            all_entered.set()

    async with opened(folder, at_once, on_entry) as runtime:
        if program == "queue":
            await enqueue_many(runtime, tasks, _FOR_EVER, callers=MANY_CALLERS)
        await all_entered.wait()
        tell(entered_ns)
        await asyncio.sleep(_FOR_EVER)


if __name__ == "__main__":
    run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
