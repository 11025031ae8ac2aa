"""The processes of `bench_suspended`: one that has runs ask a person, and one that is asked.

    python -m benchmarks._suspended_runs ask    FOLDER RUNS
    python -m benchmarks._suspended_runs answer FOLDER RUNS ANSWERS SKIP
    python -m benchmarks._suspended_runs retry  FOLDER RUNS

`ask` starts runs that suspend themselves, and prints the KiB of anonymous memory before and
after, at rest. `answer` opens the folder anew, and prints the milliseconds until it is open,
until a first answer has reached its tool, the KiB of memory before and at rest, the CPU
milliseconds of an answered run until its end, and the milliseconds of each answer until its
tool goes on. SKIP is how many were answered in earlier rounds. With 0 runs it only opens it.

`retry` starts runs whose model is to be asked again in an hour, and prints the KiB of anonymous
memory at rest, before and after. With 0 runs it only opens the folder.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks._views import all_built
from outlive.actors import (
    Agent,
    ModelError,
    Runtime,
    ScriptedModel,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import ModelCallFailed

_STARTERS = 50
_ANSWERED: dict[str, asyncio.Event] = {}
"""By run: set once its tool has got its answer."""


@tool(idempotent=True)
async def ask(ctx: ToolContext) -> bool:
    """Ask whether to go on."""
    answer = await ctx.suspend("go on", {"cost": 12}, answer_type=bool)
    if ctx.run_id in _ANSWERED:
        _ANSWERED[ctx.run_id].set()
    return answer


def _agent() -> Agent:
    turns = [Turn(tool_calls=[ToolCall("ask")]), Turn(text="done")]
    return Agent("asking", model=ScriptedModel(turns), tools=[ask])


@asynccontextmanager
async def _open(folder: Path) -> AsyncGenerator[Runtime]:
    async with Runtime(folder, agents=[_agent()]) as runtime:
        yield runtime


async def _memory_at_rest(runtime: Runtime) -> int:
    """Return the KiB of anonymous memory once nothing is left to do."""
    await all_built(runtime)
    assert not runtime.live(), "a run that waits is in memory"
    gc.collect()
    await asyncio.sleep(0.2)
    return _anonymous_kib()


def _anonymous_kib() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise RuntimeError("this system does not tell how much anonymous memory a process has")


async def suspend(folder: Path, runs: int) -> None:
    """Start runs and wait until all of them wait."""
    async with _open(folder) as runtime:
        before = await _memory_at_rest(runtime)
        numbers = iter(range(runs))

        async def starter() -> None:
            for number in numbers:
                run = await runtime.start("asking", "go", run_id=f"run-{number}")
                result = await run.result()
                assert result.status == "suspended", result

        await asyncio.gather(*(starter() for _ in range(_STARTERS)))
        print(before, await _memory_at_rest(runtime), flush=True)


async def answer(folder: Path, runs: int, answers: int, skip: int) -> None:
    """Open the folder, and answer some of the runs one by one."""
    before = _anonymous_kib()
    mixed = random.Random(1).sample(range(runs), runs)
    chosen = mixed[skip : skip + answers + 1]
    started_ns = time.monotonic_ns()
    async with _open(folder) as runtime:
        opened_ms = (time.monotonic_ns() - started_ns) / 1e6
        first_ms, figures = opened_ms, list[float]()
        if chosen:
            await _answer(runtime, chosen[0])
            first_ms = (time.monotonic_ns() - started_ns) / 1e6
        memory = await _memory_at_rest(runtime)
        used = time.process_time()
        for number in chosen[1:]:
            figures.append(await _answer(runtime, number))
        cpu_ms = (time.process_time() - used) * 1e3 / max(len(figures), 1)
        print(opened_ms, first_ms, before, memory, cpu_ms, *figures, flush=True)


async def _answer(runtime: Runtime, number: int) -> float:
    """Answer a run; return the milliseconds until its tool has the answer."""
    run_id = f"run-{number}"
    answered = _ANSWERED[run_id] = asyncio.Event()
    started_ns = time.monotonic_ns()
    await runtime.resume(run_id, True)
    await answered.wait()
    elapsed_ms = (time.monotonic_ns() - started_ns) / 1e6
    result = await runtime.result(run_id)
    assert result.status == "completed", result
    return elapsed_ms


async def wait_for_a_model(folder: Path, runs: int) -> None:
    """Start runs whose model says that it is busy for an hour."""
    busy = Turn(error=ModelError("busy", kind="rate_limit", retry_after=3_600))
    agent = Agent("waiting", model=ScriptedModel([busy]))
    async with Runtime(folder, agents=[agent]) as runtime:
        before = await _memory_at_rest(runtime)
        for number in range(runs):
            run = await runtime.start("waiting", "go", run_id=f"run-{number}")
            async for recorded in run.events():
                if isinstance(recorded.event, ModelCallFailed):
                    break
        print(before, await _memory_at_rest(runtime), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        asyncio.run(suspend(Path(sys.argv[2]), int(sys.argv[3])))
    elif sys.argv[1] == "retry":
        asyncio.run(wait_for_a_model(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        asyncio.run(answer(Path(sys.argv[2]), *map(int, sys.argv[3:6])))
