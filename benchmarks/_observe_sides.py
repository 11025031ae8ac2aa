"""The sides of `bench_observe`: with a log and bare, in the same process and in another one."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks._observers import SOCKET, STREAM, Times, drained, observe
from outlive.events import Commit, LmdbLog, ModelDelta, Version

_ROOT: Final = Path(__file__).parents[1]
_EVENT: Final = ModelDelta(text="x" * 200)
_LINE_BYTES: Final = 1 << 26


class Sizes(msgspec.Struct, frozen=True):
    """Events a round, and how fast they come."""

    events: int = 500
    rate: int = 200
    observers: tuple[int, ...] = (1, 50)


class Latencies:
    """Milliseconds from a moment to its observers, over all rounds."""

    def __init__(self) -> None:
        self.from_ack: list[float] = []
        self.from_append: list[float] = []

    def add(self, appended_ns: list[int], acked_ns: list[int], seen: Times) -> None:
        """Take one round."""
        for times_ns in seen:
            pairs = zip(times_ns, acked_ns, appended_ns, strict=True)
            for seen_ns, ack_ns, append_ns in pairs:
                self.from_ack.append((seen_ns - ack_ns) / 1e6)
                self.from_append.append((seen_ns - append_ns) / 1e6)


class _Appender:
    """Appends to the observed stream, and notes when it did and when it was acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.log: Final = LmdbLog(folder)
        self.log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
        self.appended_ns: list[int] = []
        self.acked_ns: list[int] = []
        self._version = 0

    def append(self) -> None:
        self.appended_ns.append(time.monotonic_ns())
        commit = self.log.append(STREAM, (_EVENT,), expected_version=Version(self._version))
        commit.then(self._acknowledged)
        self._version += 1

    def _acknowledged(self, commit: Commit) -> None:
        self.acked_ns.append(time.monotonic_ns())
        assert commit.error is None, commit.error

    async def close(self) -> None:
        await asyncio.to_thread(self.log.close)


async def _paced(sizes: Sizes, send: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(sizes.events):
        await asyncio.sleep(max(started + number / sizes.rate - loop.time(), 0))
        send()


async def _observe_here(
    sources: Sequence[AsyncIterator[object]], sizes: Sizes, send: Callable[[], None]
) -> Times:
    begun = [asyncio.Event() for _ in sources]
    tasks = [
        asyncio.create_task(observe(source, sizes.events, first))
        for source, first in zip(sources, begun, strict=True)
    ]
    send()  # the event that says all is ready
    for first in begun:
        await first.wait()
    await _paced(sizes, send)
    return [await task for task in tasks]


async def ours_here(folder: Path, sizes: Sizes, observers: int, found: Latencies) -> None:
    """Follow the log in the owner's event loop."""
    owner = _Appender(folder)
    following = [owner.log.follow(STREAM) for _ in range(observers)]
    seen = await _observe_here(following, sizes, owner.append)
    for subscription in following:
        await subscription.aclose()
    await owner.close()
    found.add(owner.appended_ns[1:], owner.acked_ns[1:], seen)


async def floor_here(_: Path, sizes: Sizes, observers: int, found: Latencies) -> None:
    """Wake observers from a thread."""
    loop = asyncio.get_running_loop()
    queues = [asyncio.Queue[bytes]() for _ in range(observers)]
    sent_ns: list[int] = []

    def wake() -> None:
        for queue in queues:
            queue.put_nowait(b"")

    def send() -> None:
        sent_ns.append(time.monotonic_ns())
        loop.call_soon_threadsafe(wake)

    def from_thread() -> None:
        started = time.monotonic()
        for number in range(sizes.events):
            time.sleep(max(started + number / sizes.rate - time.monotonic(), 0))
            send()

    begun = [asyncio.Event() for _ in queues]
    tasks = [
        asyncio.create_task(observe(drained(queue), sizes.events, first))
        for queue, first in zip(queues, begun, strict=True)
    ]
    send()
    for first in begun:
        await first.wait()
    await asyncio.to_thread(from_thread)
    seen = [await task for task in tasks]
    found.add(sent_ns[1:], sent_ns[1:], seen)


async def _other_process(program: str, folder: Path, sizes: Sizes, observers: int) -> Process:
    command = (sys.executable, "-m", "benchmarks._observers", program, str(folder))
    return await asyncio.create_subprocess_exec(
        *command, str(sizes.events), str(observers), cwd=_ROOT, stdout=PIPE, limit=_LINE_BYTES
    )


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"the observers ended with {await process.wait()}")
    return line


async def _told(process: Process) -> Times:
    seen = msgspec.json.decode(await _line(process), type=Times)
    await process.wait()
    return seen


async def ours_there(folder: Path, sizes: Sizes, observers: int, found: Latencies) -> None:
    """Follow the log in another process."""
    owner = _Appender(folder)
    owner.append()
    process = await _other_process("log", folder, sizes, observers)
    await _line(process)
    await _paced(sizes, owner.append)
    seen = await _told(process)
    await owner.close()
    found.add(owner.appended_ns[1:], owner.acked_ns[1:], seen)


async def floor_there(folder: Path, sizes: Sizes, observers: int, found: Latencies) -> None:
    """Wake observers in another process with a datagram."""
    process = await _other_process("socket", folder, sizes, observers)
    await _line(process)
    sent_ns: list[int] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect(str(folder / SOCKET))

        def send() -> None:
            sent_ns.append(time.monotonic_ns())
            out.send(b"x")

        send()
        await _line(process)
        await _paced(sizes, send)
        seen = await _told(process)
    found.add(sent_ns[1:], sent_ns[1:], seen)
