"""How long after a commit does an observer have its events, here and in another process?

A run's stream gets one event of 200 characters at a time, 200 a second; 1 or 50 observers
follow it, in the owner's event loop or all in one other process (`LmdbReader.follow`). Times
are percentiles over all events and observers: from the acknowledgement (the commit's callback
on the owner's loop), and from the append, which includes the flush. fsync is on. An observer
may have the event before the owner has handled the acknowledgement.

The floor is the bare wake-up at the same rate, with the same observers: `call_soon_threadsafe`
from a thread here, a datagram to another process there, without log, read or decoding.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks._bench import Report, Row, Target, finish, options, percentile, report, scratch
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


QUICK: Final = Sizes(events=100)


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


async def _ours_here(folder: Path, sizes: Sizes, observers: int, found: Latencies) -> None:
    owner = _Appender(folder)
    following = [owner.log.follow(STREAM) for _ in range(observers)]
    seen = await _observe_here(following, sizes, owner.append)
    for subscription in following:
        await subscription.aclose()
    await owner.close()
    found.add(owner.appended_ns[1:], owner.acked_ns[1:], seen)


async def _floor_here(_: Path, sizes: Sizes, observers: int, found: Latencies) -> None:
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


async def _ours_there(folder: Path, sizes: Sizes, observers: int, found: Latencies) -> None:
    owner = _Appender(folder)
    owner.append()
    process = await _other_process("log", folder, sizes, observers)
    await _line(process)
    await _paced(sizes, owner.append)
    seen = await _told(process)
    await owner.close()
    found.add(owner.appended_ns[1:], owner.acked_ns[1:], seen)


async def _floor_there(folder: Path, sizes: Sizes, observers: int, found: Latencies) -> None:
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


_Side = Callable[[Path, Sizes, int, Latencies], Awaitable[None]]
_PLACES: Final[dict[str, tuple[_Side, _Side]]] = {
    "same process": (_ours_here, _floor_here),
    "other process": (_ours_there, _floor_there),
}
_PROMISES: Final = {"same process": (5.0, 2.0), "other process": (20.0, 8.0)}


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure both places with each number of observers."""
    rows: list[Row] = []
    targets: list[Target] = []
    for place, sides in _PLACES.items():
        for observers in sizes.observers:
            ours, floor = Latencies(), Latencies()
            for turn in range(2 * rounds):
                side, found = ((sides[0], ours), (sides[1], floor))[turn % 2]
                with scratch(folder) as empty:
                    asyncio.run(_run(side, empty, sizes, observers, found))
            rows.append(
                {
                    "observers in": place,
                    "observers": observers,
                    "from ack p50 ms": percentile(ours.from_ack, 0.5),
                    "p99 ms": percentile(ours.from_ack, 0.99),
                    "from append p50 ms": percentile(ours.from_append, 0.5),
                    "p99 ms ": percentile(ours.from_append, 0.99),
                    "floor p50 ms": percentile(floor.from_ack, 0.5),
                    "floor p99 ms": percentile(floor.from_ack, 0.99),
                }
            )
            target, aim = _PROMISES[place]
            targets.append(
                Target(
                    what=f"observers: p99 from the commit, {observers} in {place}",
                    unit="ms",
                    measured=percentile(ours.from_ack, 0.99),
                    target=target,
                    aim=aim,
                )
            )
    tables = {"from a commit to its observers": rows}
    return report(
        "observe",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables=tables,
        targets=targets,
    )


async def _run(side: _Side, folder: Path, sizes: Sizes, observers: int, found: Latencies) -> None:
    await side(folder, sizes, observers, found)


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (1 if given.quick else 2)), given)


if __name__ == "__main__":
    main()
