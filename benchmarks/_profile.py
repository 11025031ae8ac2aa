"""Where the time of our runs goes: CPU by thread, and functions on the loop's thread."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from benchmarks._bench import Row, indent, scratch, table

RunMany = Callable[[Path, int, int], Awaitable[tuple[list[int], int]]]
_LINES: Final = 40


def profile(run_many: RunMany, parent: Path, runs: int) -> None:
    """Print CPU by thread for runs one by one and 50 at once, then the functions of the latter.

    The functions are those of the loop's thread, slowed down by being watched: read shares, not
    times.
    """
    shares: list[Row] = []
    for at_once in (1, 50):
        with scratch(parent) as folder:
            shares.append(_by_thread(run_many, folder, runs, at_once))
    print("CPU a run, in microseconds:\n" + indent(table(shares)) + "\n")
    watch = cProfile.Profile()
    with scratch(parent) as folder:
        asyncio.run(_watched(watch, run_many(folder, runs, 50)))
    pstats.Stats(watch).sort_stats("tottime").print_stats(_LINES)


async def _watched(watch: cProfile.Profile, body: Awaitable[object]) -> None:
    watch.enable()
    await body
    watch.disable()


def _by_thread(run_many: RunMany, folder: Path, runs: int, at_once: int) -> Row:
    """Return the CPU time of the loop's thread and of the others, and the time that passed."""
    before_ns, loop_before_ns = time.process_time_ns(), time.thread_time_ns()
    _, took_ns = asyncio.run(_awaited(run_many(folder, runs, at_once)))
    loop_ns = time.thread_time_ns() - loop_before_ns
    others_ns = time.process_time_ns() - before_ns - loop_ns
    return {
        "at once": at_once,
        "elapsed": took_ns / runs / 1e3,
        "loop thread": loop_ns / runs / 1e3,
        "other threads": others_ns / runs / 1e3,
    }


async def _awaited(body: Awaitable[tuple[list[int], int]]) -> tuple[list[int], int]:
    return await body
