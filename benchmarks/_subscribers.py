"""The sides of `bench_subscribers`: a busy log, and those who follow it.

    python -m benchmarks._subscribers FOLDER COMMITS OBSERVERS SLOW

follows from another process: prints a line once all observers have the first record, and one
when all have all of them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Final

import msgspec

from outlive.events import LmdbLog, LmdbReader, LogReader, ModelDelta, Version, run_stream

_ROOT: Final = Path(__file__).parents[1]
_EVENT: Final = ModelDelta(text="x" * 200)
_PAUSE_EVERY: Final = 500
_PAUSE_S: Final = 0.05


class Sizes(msgspec.Struct, frozen=True):
    """Commits a round, by how many writers, and who follows."""

    commits: int = 20_000
    writers: int = 50
    observers: int = 100
    slow: int = 10
    grown_commits: int = 5_000


class Found(msgspec.Struct):
    """Commits a second while they were made, and when the last observer had the last one."""

    commits_per_second: float
    behind_ms: float


async def _observe(log: LogReader, commits: int, slow: bool, begun: asyncio.Event) -> None:
    """Follow the log; complain about a record that lacks or comes twice."""
    expected = 1
    async with log.follow_all() as records:
        async for record in records:
            assert record.position == expected, f"{record.position} came for {expected}"
            begun.set()
            if expected == commits:
                return
            expected += 1
            if slow and expected % _PAUSE_EVERY == 0:
                await asyncio.sleep(_PAUSE_S)


async def _observers(
    log: LogReader, commits: int, count: int, slow: int
) -> list[asyncio.Task[None]]:
    begun = [asyncio.Event() for _ in range(count)]
    tasks = [
        asyncio.create_task(_observe(log, commits, number < slow, first))
        for number, first in enumerate(begun)
    ]
    for first in begun:
        await first.wait()
    return tasks


async def _write(log: LmdbLog, sizes: Sizes) -> float:
    """Have all writers append at once; return the seconds."""
    left = iter(range(sizes.commits - 1))

    async def writer(number: int) -> None:
        stream = run_stream(f"busy-{number}")
        for version, _ in enumerate(left):
            await log.append(stream, (_EVENT,), expected_version=Version(version))

    started_ns = time.monotonic_ns()
    await asyncio.gather(*(writer(number) for number in range(sizes.writers)))
    return (time.monotonic_ns() - started_ns) / 1e9


async def _busy(folder: Path, sizes: Sizes, where: str) -> Found:
    log = LmdbLog(folder)
    log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
    await log.append(run_stream("first"), (_EVENT,), expected_version=Version(0))
    tasks: list[asyncio.Task[None]] = []
    process: asyncio.subprocess.Process | None = None
    numbers = (sizes.commits, sizes.observers, sizes.slow)
    if where == "same process":
        tasks = await _observers(log, *numbers)
    elif where == "other process":
        command = ["-m", "benchmarks._subscribers", str(folder), *map(str, numbers)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=_ROOT, stdout=PIPE
        )
        assert process.stdout is not None
        await process.stdout.readline()
    seconds = await _write(log, sizes)
    written_ns = time.monotonic_ns()
    for task in tasks:
        await task
    if process is not None:
        assert await process.wait() == 0, "an observer missed something"
    behind_ms = (time.monotonic_ns() - written_ns) / 1e6
    await asyncio.to_thread(log.close)
    return Found((sizes.commits - 1) / seconds, behind_ms)


def busy(folder: Path, sizes: Sizes, where: str) -> Found:
    """Write as fast as it goes while observers follow `where`: nowhere, if that is empty."""
    return asyncio.run(_busy(folder, sizes, where))


def grown_bytes(folder: Path, sizes: Sizes, *, held: bool) -> float:
    """Return by how much the data file grows with a commit, while a reader stays or not."""
    log = LmdbLog(folder)
    env, stream = log._opened.env, run_stream("grown")  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    snapshot = env.begin() if held else None
    data = folder / "log" / "data.mdb"
    before = data.stat().st_size
    for version in range(sizes.grown_commits):
        log.append(stream, (_EVENT,), expected_version=Version(version)).result()
    if snapshot is not None:
        snapshot.abort()
    grown = data.stat().st_size - before
    log.close()
    return grown / sizes.grown_commits


async def _main(folder: Path, commits: int, count: int, slow: int) -> None:
    reader = LmdbReader(folder)
    tasks = await _observers(reader, commits, count, slow)
    print("following", flush=True)
    for task in tasks:
        await task
    reader.close()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
