"""The other process of `bench_observe`: it observes, and tells when it had what.

    python -m benchmarks._observers log    FOLDER EVENTS OBSERVERS
    python -m benchmarks._observers socket FOLDER EVENTS OBSERVERS

It prints a line once all observers have the first event, and after the last one the monotonic
times of all observers, as JSON.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from outlive.events import run_stream

STREAM: Final = run_stream("observed")
SOCKET: Final = "wake"

Times = list[list[int]]


async def observe(events: AsyncIterator[object], count: int, first: asyncio.Event) -> list[int]:
    """Return when each of `count` events came, after one more that says all is ready."""
    seen_ns: list[int] = []
    await anext(events)
    first.set()
    while len(seen_ns) < count:
        await anext(events)
        seen_ns.append(time.monotonic_ns())
    return seen_ns


async def observe_all(sources: list[AsyncIterator[object]], count: int) -> Times:
    """Observe with all, say when all have begun, and return what each has seen when."""
    begun = [asyncio.Event() for _ in sources]
    tasks = [
        asyncio.create_task(observe(source, count, first))
        for source, first in zip(sources, begun, strict=True)
    ]
    for first in begun:
        await first.wait()
    print("ready", flush=True)
    return [await task for task in tasks]


async def from_log(folder: Path, count: int, observers: int) -> Times:
    """Follow a stream of another process's log."""
    from outlive.events import LmdbReader

    reader = LmdbReader(folder)
    following = [reader.follow(STREAM) for _ in range(observers)]
    try:
        return await observe_all(list(following), count)
    finally:
        for subscription in following:
            await subscription.aclose()
        reader.close()


async def from_socket(folder: Path, count: int, observers: int) -> Times:
    """Read datagrams, and pass each on to every observer."""
    queues = [asyncio.Queue[bytes]() for _ in range(observers)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as here:
        here.bind(str(folder / SOCKET))
        here.setblocking(False)

        def receive() -> None:
            datagram = here.recv(64)
            for queue in queues:
                queue.put_nowait(datagram)

        loop = asyncio.get_running_loop()
        loop.add_reader(here, receive)
        print("bound", flush=True)
        try:
            return await observe_all([drained(queue) for queue in queues], count)
        finally:
            loop.remove_reader(here)


async def drained(queue: asyncio.Queue[bytes]) -> AsyncIterator[object]:
    """Yield what is put into a queue."""
    while True:
        yield await queue.get()


if __name__ == "__main__":
    program, where, events, observers = sys.argv[1:]
    serve = {"log": from_log, "socket": from_socket}[program]
    found = asyncio.run(serve(Path(where), int(events), int(observers)))
    print(msgspec.json.encode(found).decode(), flush=True)
